package postgres

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/account"
)

const sessionColumns = `hash, id, user_id, user_agent, address, created_at, seen_at`

func session(r *row) account.Session {
	return account.Session{Hash: r.text(), ID: r.text(), User: r.text(), UserAgent: r.text(), Address: r.text(), CreatedAt: r.time(), SeenAt: r.time()}
}

// sortedTimes gives ids in order, so that two instances lock rows alike, and
// their times.
func sortedTimes(at map[string]time.Time) (ids []string, times []time.Time) {
	ids = slices.Sorted(maps.Keys(at))
	for _, id := range ids {
		times = append(times, cut(at[id]))
	}
	return ids, times
}

// CreateSession stores a session; see account.Sessions.
func (db *DB) CreateSession(ctx context.Context, s account.Session) error {
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := exec(ctx, tx, `INSERT INTO onemind.sessions (`+sessionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			s.Hash, s.ID, s.User, s.UserAgent, s.Address, instant(s.CreatedAt), instant(s.SeenAt))
		return err
	})
}

// SessionByHash finds a session, or reports account.ErrNoSession.
func (db *DB) SessionByHash(ctx context.Context, hash string) (found account.Session, err error) {
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var ok bool
		found, ok, err = first(ctx, c, session, `SELECT `+sessionColumns+` FROM onemind.sessions WHERE hash = $1`, hash)
		if err == nil && !ok {
			return account.ErrNoSession
		}
		return err
	})
	return found, err
}

// TouchSession moves SeenAt forward. A session that was ended meanwhile stays ended.
func (db *DB) TouchSession(ctx context.Context, hash string, at time.Time) error {
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := exec(ctx, tx, `UPDATE onemind.sessions SET seen_at = greatest(seen_at, $1) WHERE hash = $2`, cut(at), hash)
		return err
	})
}

// SessionsOf lists a user's sessions, the last seen first.
func (db *DB) SessionsOf(ctx context.Context, user string) (sessions []account.Session, err error) {
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		sessions, err = list(ctx, c, session, `SELECT `+sessionColumns+` FROM onemind.sessions WHERE user_id = $1 ORDER BY seen_at DESC, id`, user)
		return err
	})
	return sessions, err
}

// DeleteSession ends one session of a user; see account.Sessions.
func (db *DB) DeleteSession(ctx context.Context, user, id string) (deleted account.Session, err error) {
	err = db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var ok bool
		deleted, ok, err = first(ctx, tx, session, `DELETE FROM onemind.sessions WHERE id = $1 AND user_id = $2 RETURNING `+sessionColumns, id, user)
		if err == nil && !ok {
			return account.ErrNoSession
		}
		return err
	})
	return deleted, err
}

// DeleteSessions ends all sessions of a user but one; see account.Sessions.
func (db *DB) DeleteSessions(ctx context.Context, user, keep string) error {
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := exec(ctx, tx, `DELETE FROM onemind.sessions WHERE user_id = $1 AND hash <> $2`, user, keep)
		return err
	})
}

// DeleteStale removes sessions that are over; see account.Sessions. Nobody is
// told: their time is known everywhere.
func (db *DB) DeleteStale(ctx context.Context, idle, absolute time.Time) error {
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := exec(ctx, tx, `SELECT set_config('onemind.quiet', '1', true)`); err != nil {
			return err
		}
		_, err := exec(ctx, tx, `DELETE FROM onemind.sessions WHERE seen_at < $1 OR created_at < $2`, cut(idle), cut(absolute))
		return err
	})
}
