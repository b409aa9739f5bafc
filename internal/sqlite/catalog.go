package sqlite

import (
	"context"
	"fmt"

	"onemind/internal/catalog"
)

// Catalog is the DB as a catalog.Store. It exists for one method: account.Store
// has a Keys of its own.
type Catalog struct{ *DB }

var _ catalog.Store = Catalog{}

// Catalog gives the database as a catalog.Store.
func (db *DB) Catalog() Catalog { return Catalog{db} }

// Keys gives every provider's sealed keys; see catalog.Store.
func (s Catalog) Keys(ctx context.Context) ([]catalog.SealedKey, error) { return s.SealedKeys(ctx) }

// Load gives the newest revision; see catalog.Store. The document is read from
// the rows and not from the saved JSON, so that an edit made in SQL counts.
func (db *DB) Load(ctx context.Context) (newest catalog.Revision, err error) {
	err = db.readTogether(ctx, func(c *conn) error {
		if _, err := c.first(func(r *row) { newest = revision(r) },
			`SELECT number, author, note, created_at, changes FROM catalog_revisions ORDER BY number DESC LIMIT 1`); err != nil {
			return err
		}
		newest.Document, err = document(c)
		return err
	})
	return newest, err
}

func revision(r *row) catalog.Revision {
	v := catalog.Revision{Number: r.int(), Author: r.text(), Note: r.text(), At: r.time()}
	r.json(&v.Changes)
	return v
}

// Newest gives the newest revision's number.
func (db *DB) Newest(ctx context.Context) (number int64, err error) {
	err = db.read(ctx, func(c *conn) error {
		number, err = newest(c)
		return err
	})
	return number, err
}

func newest(c *conn) (number int64, err error) {
	_, err = c.first(func(r *row) { number = r.int() }, `SELECT coalesce(max(number), 0) FROM catalog_revisions`)
	return number, err
}

// Save makes the next revision; see catalog.Store.
func (db *DB) Save(ctx context.Context, base int64, next catalog.Revision, keys map[string][]catalog.SealedKey, audit []catalog.Audit) error {
	return db.change(ctx, func(c *conn) error {
		number, err := newest(c)
		if err != nil {
			return err
		}
		if number != base {
			return catalog.ErrStale
		}
		for _, step := range []func() error{
			func() error { return saving(c, true) },
			func() error { return complete(c, base) },
			func() error { return addRevision(c, base+1, next) },
			func() error { return saveDocument(c, next.Document) },
			func() error { return replaceKeys(c, keys) },
			func() error { return appendAudit(c, audit...) },
			func() error { return saving(c, false) },
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
}

// saving tells the triggers that the changes of the rows which follow are not
// made by hand in SQL.
func saving(c *conn, yes bool) error {
	_, err := c.exec(`UPDATE catalog_state SET saving = ?`, yes)
	return err
}

// complete gives a revision that an edit in SQL made its document, before the
// rows change again.
func complete(c *conn, number int64) error {
	missing, err := c.first(func(*row) {}, `SELECT 1 FROM catalog_revisions WHERE number = ? AND document IS NULL`, number)
	if err != nil || !missing {
		return err
	}
	doc, err := document(c)
	if err != nil {
		return fmt.Errorf("read revision %d: %w", number, err)
	}
	_, err = c.exec(`UPDATE catalog_revisions SET document = ? WHERE number = ?`, doc, number)
	return err
}

func addRevision(c *conn, number int64, next catalog.Revision) error {
	_, err := c.exec(`INSERT INTO catalog_revisions (number, author, note, created_at, changes, document) VALUES (?, ?, ?, ?, ?, ?)`,
		number, next.Author, next.Note, next.At.UnixMilli(), next.Changes, next.Document)
	return err
}

func replaceKeys(c *conn, keys map[string][]catalog.SealedKey) error {
	for provider, replacement := range keys {
		if _, err := c.exec(`DELETE FROM provider_keys WHERE provider_id = ?`, provider); err != nil {
			return err
		}
		for _, k := range replacement {
			if _, err := c.exec(`INSERT INTO provider_keys (id, provider_id, sealed, last4, created_at) VALUES (?, ?, ?, ?, ?)`,
				k.ID, provider, k.Sealed, k.Last4, k.CreatedAt.UnixMilli()); err != nil {
				return err
			}
		}
	}
	return nil
}

// SealedKeys gives every provider's sealed keys, oldest first.
func (db *DB) SealedKeys(ctx context.Context) (keys []catalog.SealedKey, err error) {
	err = db.read(ctx, func(c *conn) error {
		keys, err = list(c, func(r *row) catalog.SealedKey {
			return catalog.SealedKey{ID: r.text(), Provider: r.text(), Sealed: r.bytes(), Last4: r.text(), CreatedAt: r.time()}
		}, `SELECT id, provider_id, sealed, last4, created_at FROM provider_keys ORDER BY provider_id, rowid`)
		return err
	})
	return keys, err
}

// maxList is the longest page of a list for operators.
const maxList = 1000

// Revisions lists revisions without documents; see catalog.Store.
func (db *DB) Revisions(ctx context.Context, below int64, limit int) (revisions []catalog.Revision, err error) {
	below, rows := page(below, limit, maxList)
	err = db.read(ctx, func(c *conn) error {
		revisions, err = list(c, revision, `
			SELECT number, author, note, created_at, changes FROM catalog_revisions WHERE number < ? ORDER BY number DESC LIMIT ?`, below, rows)
		return err
	})
	return revisions, err
}

// Revision gives one revision with its document; see catalog.Store. Of several
// edits made in SQL in a row only the last one's document is known.
func (db *DB) Revision(ctx context.Context, number int64) (found catalog.Revision, err error) {
	err = db.readTogether(ctx, func(c *conn) error {
		last, whole := false, true
		ok, err := c.first(func(r *row) {
			found = revision(r)
			r.json(&found.Document)
			last, whole = r.bool(), r.bool()
		}, `SELECT number, author, note, created_at, changes, document,
				number = (SELECT max(number) FROM catalog_revisions), document IS NOT NULL
			FROM catalog_revisions WHERE number = ?`, number)
		switch {
		case err != nil:
			return err
		case !ok || !whole && !last:
			return catalog.ErrNotFound
		case !whole:
			found.Document, err = document(c)
		}
		return err
	})
	if err != nil {
		return catalog.Revision{}, err
	}
	return found, nil
}

// Record appends an audit row.
func (db *DB) Record(ctx context.Context, a catalog.Audit) error {
	return db.change(ctx, func(c *conn) error { return appendAudit(c, a) })
}

func appendAudit(c *conn, rows ...catalog.Audit) error {
	for _, a := range rows {
		if _, err := c.exec(`INSERT INTO audit_log (actor, action, object, before, after, address, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			a.Actor, a.Action, a.Object, a.Before, a.After, a.Address, a.At.UnixMilli()); err != nil {
			return err
		}
	}
	return nil
}

// AuditLog lists audit rows, newest first; see catalog.Store.
func (db *DB) AuditLog(ctx context.Context, below int64, limit int) (rows []catalog.Audit, err error) {
	below, n := page(below, limit, maxList)
	err = db.read(ctx, func(c *conn) error {
		rows, err = list(c, func(r *row) catalog.Audit {
			return catalog.Audit{ID: r.int(), Actor: r.text(), Action: r.text(), Object: r.text(), Before: r.text(), After: r.text(),
				Address: r.text(), At: r.time()}
		}, `SELECT id, actor, action, object, before, after, address, created_at FROM audit_log WHERE id < ? ORDER BY id DESC LIMIT ?`, below, n)
		return err
	})
	return rows, err
}
