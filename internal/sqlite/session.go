package sqlite

import (
	"context"
	"time"

	"onemind/internal/account"
)

const sessionColumns = `hash, id, user_id, user_agent, address, created_at, seen_at`

func session(r *row) account.Session {
	return account.Session{Hash: r.text(), ID: r.text(), User: r.text(), UserAgent: r.text(), Address: r.text(), CreatedAt: r.time(), SeenAt: r.time()}
}

// CreateSession stores a session; see account.Sessions.
func (db *DB) CreateSession(ctx context.Context, s account.Session) error {
	return db.change(ctx, func(c *conn) error {
		_, err := c.exec(`INSERT INTO sessions (`+sessionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			s.Hash, s.ID, s.User, s.UserAgent, s.Address, s.CreatedAt.UnixMilli(), s.SeenAt.UnixMilli())
		return err
	})
}

// SessionByHash finds a session, or reports account.ErrNoSession.
func (db *DB) SessionByHash(ctx context.Context, hash string) (found account.Session, err error) {
	err = db.read(ctx, func(c *conn) error {
		ok, err := c.first(func(r *row) { found = session(r) }, `SELECT `+sessionColumns+` FROM sessions WHERE hash = ?`, hash)
		if err == nil && !ok {
			return account.ErrNoSession
		}
		return err
	})
	return found, err
}

// TouchSession moves SeenAt forward. A session that was ended meanwhile stays ended.
func (db *DB) TouchSession(ctx context.Context, hash string, at time.Time) error {
	return db.change(ctx, func(c *conn) error {
		_, err := c.exec(`UPDATE sessions SET seen_at = max(seen_at, ?) WHERE hash = ?`, at.UnixMilli(), hash)
		return err
	})
}

// SessionsOf lists a user's sessions, the last seen first.
func (db *DB) SessionsOf(ctx context.Context, user string) (sessions []account.Session, err error) {
	err = db.read(ctx, func(c *conn) error {
		sessions, err = list(c, session, `SELECT `+sessionColumns+` FROM sessions WHERE user_id = ? ORDER BY seen_at DESC, id`, user)
		return err
	})
	return sessions, err
}

// DeleteSession ends one session of a user; see account.Sessions.
func (db *DB) DeleteSession(ctx context.Context, user, id string) (deleted account.Session, err error) {
	err = db.change(ctx, func(c *conn) error {
		ok, err := c.first(func(r *row) { deleted = session(r) }, `DELETE FROM sessions WHERE id = ? AND user_id = ? RETURNING `+sessionColumns, id, user)
		if err == nil && !ok {
			return account.ErrNoSession
		}
		return err
	})
	return deleted, err
}

// DeleteSessions ends all sessions of a user but one; see account.Sessions.
func (db *DB) DeleteSessions(ctx context.Context, user, keep string) error {
	return db.change(ctx, func(c *conn) error {
		_, err := c.exec(`DELETE FROM sessions WHERE user_id = ? AND hash <> ?`, user, keep)
		return err
	})
}

// DeleteStale removes sessions that are over; see account.Sessions.
func (db *DB) DeleteStale(ctx context.Context, idle, absolute time.Time) error {
	return db.change(ctx, func(c *conn) error {
		_, err := c.exec(`DELETE FROM sessions WHERE seen_at < ? OR created_at < ?`, idle.UnixMilli(), absolute.UnixMilli())
		return err
	})
}
