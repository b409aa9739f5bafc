package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

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
	err = db.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		newest, _, err = first(ctx, tx, revision, `SELECT number, author, note, created_at, changes::text FROM onemind.catalog_revisions ORDER BY number DESC LIMIT 1`)
		if err != nil {
			return err
		}
		newest.Document, err = readDocument(ctx, tx)
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
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		number, err = newest(ctx, c)
		return err
	})
	return number, err
}

func newest(ctx context.Context, q querier) (number int64, err error) {
	err = q.QueryRow(ctx, `SELECT coalesce(max(number), 0) FROM onemind.catalog_revisions`).Scan(&number)
	return number, err
}

// Save makes the next revision; see catalog.Store.
func (db *DB) Save(ctx context.Context, base int64, next catalog.Revision, keys map[string][]catalog.SealedKey, audit []catalog.Audit) error {
	db.Wrote(operators)
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT id FROM onemind.catalog_state FOR UPDATE`).Scan(new(int)); err != nil {
			return fmt.Errorf("lock the catalog: %w", err)
		}
		number, err := newest(ctx, tx)
		if err != nil {
			return err
		}
		if number != base {
			return catalog.ErrStale
		}
		for _, step := range []func() error{
			func() error { return saving(ctx, tx) },
			func() error { return complete(ctx, tx, base) },
			func() error { return addRevision(ctx, tx, base+1, next) },
			func() error { return saveDocument(ctx, tx, next.Document) },
			func() error { return replaceKeys(ctx, tx, keys) },
			func() error { return appendAudit(ctx, tx, audit...) },
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
}

// saving tells the triggers that this transaction's changes of the rows are not
// made by hand in SQL.
func saving(ctx context.Context, tx pgx.Tx) error {
	_, err := exec(ctx, tx, `SELECT set_config('onemind.saving', txid_current()::text, true)`)
	return err
}

// complete gives a revision that an edit in SQL made its document, before the
// rows change again.
func complete(ctx context.Context, tx pgx.Tx, number int64) error {
	missing, err := exists(ctx, tx, `SELECT 1 FROM onemind.catalog_revisions WHERE number = $1 AND document IS NULL`, number)
	if err != nil || !missing {
		return err
	}
	doc, err := readDocument(ctx, tx)
	if err != nil {
		return fmt.Errorf("read revision %d: %w", number, err)
	}
	text, err := document(doc)
	if err != nil {
		return err
	}
	_, err = exec(ctx, tx, `UPDATE onemind.catalog_revisions SET document = $1::text::jsonb WHERE number = $2`, text, number)
	return err
}

func addRevision(ctx context.Context, tx pgx.Tx, number int64, next catalog.Revision) error {
	texts, err := documents(next.Changes, next.Document)
	if err != nil {
		return err
	}
	_, err = exec(ctx, tx, `INSERT INTO onemind.catalog_revisions (number, author, note, created_at, changes, document) VALUES ($1, $2, $3, $4, $5::text::jsonb, $6::text::jsonb)`,
		number, next.Author, next.Note, instant(next.At), texts[0], texts[1])
	return err
}

func replaceKeys(ctx context.Context, tx pgx.Tx, keys map[string][]catalog.SealedKey) error {
	for provider, replacement := range keys {
		if _, err := exec(ctx, tx, `DELETE FROM onemind.provider_keys WHERE provider_id = $1`, provider); err != nil {
			return err
		}
		for _, k := range replacement {
			if _, err := exec(ctx, tx, `INSERT INTO onemind.provider_keys (id, provider_id, sealed, last4, created_at) VALUES ($1, $2, $3, $4, $5)`,
				k.ID, provider, k.Sealed, k.Last4, instant(k.CreatedAt)); err != nil {
				return err
			}
		}
	}
	return nil
}

// SealedKeys gives every provider's sealed keys, oldest first.
func (db *DB) SealedKeys(ctx context.Context) (keys []catalog.SealedKey, err error) {
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		keys, err = list(ctx, c, func(r *row) catalog.SealedKey {
			return catalog.SealedKey{ID: r.text(), Provider: r.text(), Sealed: r.bytes(), Last4: r.text(), CreatedAt: r.time()}
		}, `SELECT id, provider_id, sealed, last4, created_at FROM onemind.provider_keys ORDER BY provider_id, n`)
		return err
	})
	return keys, err
}

// Revisions lists revisions without documents; see catalog.Store.
func (db *DB) Revisions(ctx context.Context, below int64, limit int) (revisions []catalog.Revision, err error) {
	below, rows := page(below, limit, maxList)
	err = db.history(ctx, operators, func(ctx context.Context, c *pgx.Conn) error {
		revisions, err = list(ctx, c, revision, `
			SELECT number, author, note, created_at, changes::text FROM onemind.catalog_revisions WHERE number < $1 ORDER BY number DESC LIMIT $2`, below, rows)
		return err
	})
	return revisions, err
}

// Revision gives one revision with its document; see catalog.Store. Of several
// edits made in SQL in a row only the last one's document is known.
func (db *DB) Revision(ctx context.Context, number int64) (found catalog.Revision, err error) {
	err = db.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		last, whole := false, true
		var ok bool
		found, ok, err = first(ctx, tx, func(r *row) catalog.Revision {
			v := revision(r)
			r.json(&v.Document)
			last, whole = r.bool(), r.bool()
			return v
		}, `SELECT number, author, note, created_at, changes::text, document::text,
				number = (SELECT max(number) FROM onemind.catalog_revisions), document IS NOT NULL
			FROM onemind.catalog_revisions WHERE number = $1`, number)
		switch {
		case err != nil:
			return err
		case !ok || !whole && !last:
			return catalog.ErrNotFound
		case !whole:
			found.Document, err = readDocument(ctx, tx)
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
	db.Wrote(operators)
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error { return appendAudit(ctx, tx, a) })
}

func appendAudit(ctx context.Context, tx pgx.Tx, rows ...catalog.Audit) error {
	for _, a := range rows {
		if _, err := exec(ctx, tx, `INSERT INTO onemind.audit_log (actor, action, object, before, after, address, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			a.Actor, a.Action, a.Object, a.Before, a.After, a.Address, instant(a.At)); err != nil {
			return err
		}
	}
	return nil
}

// AuditLog lists audit rows, newest first; see catalog.Store.
func (db *DB) AuditLog(ctx context.Context, below int64, limit int) (rows []catalog.Audit, err error) {
	below, n := page(below, limit, maxList)
	err = db.history(ctx, operators, func(ctx context.Context, c *pgx.Conn) error {
		rows, err = list(ctx, c, func(r *row) catalog.Audit {
			return catalog.Audit{ID: r.int(), Actor: r.text(), Action: r.text(), Object: r.text(), Before: r.text(), After: r.text(),
				Address: r.text(), At: r.time()}
		}, `SELECT id, actor, action, object, before, after, address, created_at FROM onemind.audit_log WHERE id < $1 ORDER BY id DESC LIMIT $2`, below, n)
		return err
	})
	return rows, err
}
