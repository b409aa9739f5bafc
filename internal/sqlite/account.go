package sqlite

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"onemind/internal/account"
)

var (
	_ account.Store    = (*DB)(nil)
	_ account.Sessions = (*DB)(nil)
)

const selectUser = `SELECT id, email, name, role, suspended, plan, limits, password, created_at, seen_at FROM users`

func user(r *row) account.User {
	u := account.User{ID: r.text(), Email: r.text(), Name: r.text(), Role: account.Role(r.text()), Suspended: r.bool(), Plan: r.text()}
	r.json(&u.Limits)
	u.Password, u.CreatedAt, u.SeenAt = r.text(), r.time(), r.time()
	return u
}

// CreateUser stores a user; see account.Store.
func (db *DB) CreateUser(ctx context.Context, u account.User) error {
	return db.change(ctx, func(c *conn) error {
		email := strings.ToLower(u.Email)
		taken, err := c.first(func(*row) {}, `SELECT 1 FROM users WHERE email = ?`, email)
		if err != nil {
			return err
		}
		if taken {
			return account.ErrTaken
		}
		_, err = c.exec(`INSERT INTO users (id, email, name, role, suspended, plan, limits, password, created_at, seen_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			u.ID, email, u.Name, string(u.Role), u.Suspended, u.Plan, u.Limits, u.Password, u.CreatedAt.UnixMilli(), u.SeenAt)
		return err
	})
}

// UserByID finds a user, or reports account.ErrNoUser.
func (db *DB) UserByID(ctx context.Context, id string) (account.User, error) {
	return db.user(ctx, `id = ?`, id)
}

// Identity is UserByID without the password's digest; see account.Store.
func (db *DB) Identity(ctx context.Context, id string) (account.User, error) {
	u, err := db.UserByID(ctx, id)
	u.Password = ""
	return u, err
}

// UserByEmail finds a user, or reports account.ErrNoUser. Case does not matter.
func (db *DB) UserByEmail(ctx context.Context, email string) (account.User, error) {
	return db.user(ctx, `email = ?`, strings.ToLower(email))
}

func (db *DB) user(ctx context.Context, where, value string) (found account.User, err error) {
	err = db.read(ctx, func(c *conn) error {
		ok, err := c.first(func(r *row) { found = user(r) }, selectUser+` WHERE `+where, value)
		if err == nil && !ok {
			return account.ErrNoUser
		}
		return err
	})
	return found, err
}

// Users lists users, newest first; see account.Store.
func (db *DB) Users(ctx context.Context, f account.Filter) (users []account.User, err error) {
	_, rows := page(0, f.Limit, maxList)
	err = db.read(ctx, func(c *conn) error {
		users, err = list(c, user, selectUser+`
			WHERE (?1 = '' OR (created_at, id) < (SELECT created_at, id FROM users WHERE id = ?1))
				AND (?2 = '' OR email LIKE ?3 ESCAPE '\' OR name LIKE ?3 ESCAPE '\')
			ORDER BY created_at DESC, id DESC LIMIT ?4`, f.After, f.Query, "%"+literal(f.Query)+"%", rows)
		return err
	})
	return users, err
}

// literal takes the meaning from the characters that LIKE treats as patterns.
func literal(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}

// UpdateUser replaces what an operator or the user can change; see account.Store.
func (db *DB) UpdateUser(ctx context.Context, was, u account.User) error {
	return db.change(ctx, func(c *conn) error {
		if was.ActiveAdmin() && !u.ActiveAdmin() {
			another, err := c.first(func(*row) {}, `SELECT 1 FROM users WHERE role = ? AND NOT suspended AND id <> ?`, string(account.Admin), was.ID)
			if err != nil {
				return err
			}
			if !another {
				return account.ErrLastAdmin
			}
		}
		n, err := c.exec(`
			UPDATE users SET name = ?, role = ?, suspended = ?, plan = ?, limits = ?, password = ?
			WHERE id = ? AND name = ? AND role = ? AND suspended = ? AND plan = ? AND limits = ? AND password = ?`,
			u.Name, string(u.Role), u.Suspended, u.Plan, u.Limits, u.Password,
			was.ID, was.Name, string(was.Role), was.Suspended, was.Plan, was.Limits, was.Password)
		if err != nil || n > 0 {
			return err
		}
		there, err := c.first(func(*row) {}, `SELECT 1 FROM users WHERE id = ?`, was.ID)
		if err == nil && !there {
			return account.ErrNoUser
		}
		if err == nil {
			return account.ErrEdited
		}
		return err
	})
}

// CountUsers counts all users.
func (db *DB) CountUsers(ctx context.Context) (n int64, err error) {
	err = db.read(ctx, func(c *conn) error {
		_, err := c.first(func(r *row) { n = r.int() }, `SELECT count(*) FROM users`)
		return err
	})
	return n, err
}

const keyColumns = `id, user_id, name, prefix, hash, created_at, used_at, credits_per_day, response_cache`

func key(r *row) account.Key {
	return account.Key{ID: r.text(), User: r.text(), Name: r.text(), Prefix: r.text(), Hash: r.text(), CreatedAt: r.time(), UsedAt: r.time(),
		CreditsPerDay: r.int(), ResponseCache: r.bool()}
}

// CreateKey stores a key, or reports account.ErrNoUser.
func (db *DB) CreateKey(ctx context.Context, k account.Key) error {
	return db.change(ctx, func(c *conn) error {
		_, err := c.exec(`INSERT INTO api_keys (`+keyColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			k.ID, k.User, k.Name, k.Prefix, k.Hash, k.CreatedAt.UnixMilli(), k.UsedAt, k.CreditsPerDay, k.ResponseCache)
		if errors.Is(err, sqlite3.CONSTRAINT_FOREIGNKEY) {
			return account.ErrNoUser
		}
		return err
	})
}

// KeyByHash finds a key, or reports account.ErrNoKey.
func (db *DB) KeyByHash(ctx context.Context, hash string) (found account.Key, err error) {
	err = db.read(ctx, func(c *conn) error {
		ok, err := c.first(func(r *row) { found = key(r) }, `SELECT `+keyColumns+` FROM api_keys WHERE hash = ?`, hash)
		if err == nil && !ok {
			return account.ErrNoKey
		}
		return err
	})
	return found, err
}

// Keys lists a user's keys, newest first.
func (db *DB) Keys(ctx context.Context, user string) (keys []account.Key, err error) {
	err = db.read(ctx, func(c *conn) error {
		keys, err = list(c, key, `SELECT `+keyColumns+` FROM api_keys WHERE user_id = ? ORDER BY created_at DESC, id DESC`, user)
		return err
	})
	return keys, err
}

// UpdateKey changes a user's key and gives it back; see account.Store.
func (db *DB) UpdateKey(ctx context.Context, user, id string, change account.KeyChange) (changed account.Key, err error) {
	err = db.change(ctx, func(c *conn) error {
		ok, err := c.first(func(r *row) { changed = key(r) }, `
			UPDATE api_keys SET name = coalesce(?, name), credits_per_day = coalesce(?, credits_per_day), response_cache = coalesce(?, response_cache)
			WHERE id = ? AND user_id = ? RETURNING `+keyColumns, optional(change.Name), optional(change.CreditsPerDay), optional(change.ResponseCache), id, user)
		if err == nil && !ok {
			return account.ErrNoKey
		}
		return err
	})
	return changed, err
}

// optional is what a pointer points at, or NULL.
func optional[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// DeleteKey deletes a user's key and gives it back; see account.Store.
func (db *DB) DeleteKey(ctx context.Context, user, id string) (deleted account.Key, err error) {
	err = db.change(ctx, func(c *conn) error {
		ok, err := c.first(func(r *row) { deleted = key(r) }, `DELETE FROM api_keys WHERE id = ? AND user_id = ? RETURNING `+keyColumns, id, user)
		if err == nil && !ok {
			return account.ErrNoKey
		}
		return err
	})
	return deleted, err
}

// Seen notes the last activity of keys and users; see account.Store. An older
// time never replaces a newer one.
func (db *DB) Seen(ctx context.Context, keys, users map[string]time.Time) error {
	return db.change(ctx, func(c *conn) error {
		for id, at := range keys {
			if _, err := c.exec(`UPDATE api_keys SET used_at = max(coalesce(used_at, 0), ?) WHERE id = ?`, at.UnixMilli(), id); err != nil {
				return err
			}
		}
		for id, at := range users {
			if _, err := c.exec(`UPDATE users SET seen_at = max(coalesce(seen_at, 0), ?) WHERE id = ?`, at.UnixMilli(), id); err != nil {
				return err
			}
		}
		return nil
	})
}
