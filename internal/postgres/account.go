package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/account"
)

var (
	_ account.Store    = (*DB)(nil)
	_ account.Sessions = (*DB)(nil)
)

const selectUser = `SELECT id, email, name, role, suspended, plan, limits::text, password, created_at, seen_at FROM onemind.users`

func user(r *row) account.User {
	u := account.User{ID: r.text(), Email: r.text(), Name: r.text(), Role: account.Role(r.text()), Suspended: r.bool(), Plan: r.text()}
	r.json(&u.Limits)
	u.Password, u.CreatedAt, u.SeenAt = r.text(), r.time(), r.time()
	return u
}

// CreateUser stores a user; see account.Store.
func (db *DB) CreateUser(ctx context.Context, u account.User) error {
	db.Wrote(operators)
	limits, err := document(u.Limits)
	if err != nil {
		return err
	}
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		n, err := exec(ctx, tx, `INSERT INTO onemind.users (id, email, name, role, suspended, plan, limits, password, created_at, seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9, $10) ON CONFLICT (email) DO NOTHING`,
			u.ID, strings.ToLower(u.Email), u.Name, string(u.Role), u.Suspended, u.Plan, limits, u.Password, instant(u.CreatedAt), instant(u.SeenAt))
		if err == nil && n == 0 {
			return account.ErrTaken
		}
		return err
	})
}

// UserByID finds a user, or reports account.ErrNoUser.
func (db *DB) UserByID(ctx context.Context, id string) (account.User, error) {
	return db.user(ctx, `id = $1`, id)
}

// Identity is UserByID without the password's digest; see account.Store.
func (db *DB) Identity(ctx context.Context, id string) (account.User, error) {
	u, err := db.UserByID(ctx, id)
	u.Password = ""
	return u, err
}

// UserByEmail finds a user, or reports account.ErrNoUser. Case does not matter.
func (db *DB) UserByEmail(ctx context.Context, email string) (account.User, error) {
	return db.user(ctx, `email = $1`, strings.ToLower(email))
}

func (db *DB) user(ctx context.Context, where, value string) (found account.User, err error) {
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var ok bool
		found, ok, err = first(ctx, c, user, selectUser+` WHERE `+where, value)
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
	err = db.history(ctx, operators, func(ctx context.Context, c *pgx.Conn) error {
		users, err = list(ctx, c, user, selectUser+`
			WHERE ($1::text = '' OR (created_at, id) < (SELECT created_at, id FROM onemind.users WHERE id = $1))
				AND ($2::text = '' OR email ILIKE $3 OR name ILIKE $3)
			ORDER BY created_at DESC, id DESC LIMIT $4`, f.After, f.Query, "%"+literal(f.Query)+"%", rows)
		return err
	})
	return users, err
}

// literal takes the meaning from the characters that LIKE treats as patterns.
func literal(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}

// UpdateUser replaces what an operator or the user can change; see account.Store.
// Administrators' rows are locked together, in order, so that two who suspend
// each other on two instances cannot both succeed.
func (db *DB) UpdateUser(ctx context.Context, was, u account.User) error {
	db.Wrote(operators)
	texts, err := documents(was.Limits, u.Limits)
	if err != nil {
		return err
	}
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if was.ActiveAdmin() && !u.ActiveAdmin() {
			admins, err := list(ctx, tx, user, selectUser+` WHERE role = 'admin' ORDER BY id FOR UPDATE`)
			if err != nil {
				return err
			}
			another := false
			for _, a := range admins {
				another = another || a.ID != was.ID && a.ActiveAdmin()
			}
			if !another {
				return account.ErrLastAdmin
			}
		}
		n, err := exec(ctx, tx, `
			UPDATE onemind.users SET name = $2, role = $3, suspended = $4, plan = $5, limits = $6::text::jsonb, password = $7
			WHERE id = $1 AND name = $8 AND role = $9 AND suspended = $10 AND plan = $11 AND limits = $12::text::jsonb AND password = $13`,
			was.ID, u.Name, string(u.Role), u.Suspended, u.Plan, texts[1], u.Password,
			was.Name, string(was.Role), was.Suspended, was.Plan, texts[0], was.Password)
		if err != nil || n > 0 {
			return err
		}
		there, err := exists(ctx, tx, `SELECT 1 FROM onemind.users WHERE id = $1`, was.ID)
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
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT count(*) FROM onemind.users`).Scan(&n)
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
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := exec(ctx, tx, `INSERT INTO onemind.api_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			k.ID, k.User, k.Name, k.Prefix, k.Hash, instant(k.CreatedAt), instant(k.UsedAt), k.CreditsPerDay, k.ResponseCache)
		if isCode(err, "23503") {
			return account.ErrNoUser
		}
		return err
	})
}

// KeyByHash finds a key, or reports account.ErrNoKey.
func (db *DB) KeyByHash(ctx context.Context, hash string) (found account.Key, err error) {
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var ok bool
		found, ok, err = first(ctx, c, key, `SELECT `+keyColumns+` FROM onemind.api_keys WHERE hash = $1`, hash)
		if err == nil && !ok {
			return account.ErrNoKey
		}
		return err
	})
	return found, err
}

// Keys lists a user's keys, newest first.
func (db *DB) Keys(ctx context.Context, user string) (keys []account.Key, err error) {
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		keys, err = list(ctx, c, key, `SELECT `+keyColumns+` FROM onemind.api_keys WHERE user_id = $1 ORDER BY created_at DESC, id DESC`, user)
		return err
	})
	return keys, err
}

// UpdateKey changes a user's key and gives it back; see account.Store.
func (db *DB) UpdateKey(ctx context.Context, user, id string, c account.KeyChange) (changed account.Key, err error) {
	err = db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var ok bool
		changed, ok, err = first(ctx, tx, key, `
			UPDATE onemind.api_keys SET name = coalesce($3, name), credits_per_day = coalesce($4, credits_per_day), response_cache = coalesce($5, response_cache)
			WHERE id = $1 AND user_id = $2 RETURNING `+keyColumns, id, user, c.Name, c.CreditsPerDay, c.ResponseCache)
		if err == nil && !ok {
			return account.ErrNoKey
		}
		return err
	})
	return changed, err
}

// DeleteKey deletes a user's key and gives it back; see account.Store.
func (db *DB) DeleteKey(ctx context.Context, user, id string) (deleted account.Key, err error) {
	err = db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var ok bool
		deleted, ok, err = first(ctx, tx, key, `DELETE FROM onemind.api_keys WHERE id = $1 AND user_id = $2 RETURNING `+keyColumns, id, user)
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
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		for _, seen := range []struct {
			sql string
			at  map[string]time.Time
		}{
			{`UPDATE onemind.api_keys k SET used_at = greatest(k.used_at, s.at) FROM unnest($1::text[], $2::timestamptz[]) AS s (id, at) WHERE k.id = s.id`, keys},
			{`UPDATE onemind.users u SET seen_at = greatest(u.seen_at, s.at) FROM unnest($1::text[], $2::timestamptz[]) AS s (id, at) WHERE u.id = s.id`, users},
		} {
			if len(seen.at) == 0 {
				continue
			}
			ids, times := sortedTimes(seen.at)
			if _, err := exec(ctx, tx, seen.sql, ids, times); err != nil {
				return err
			}
		}
		return nil
	})
}
