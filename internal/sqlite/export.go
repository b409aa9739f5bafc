package sqlite

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"onemind/internal/catalog"
	"onemind/internal/credit"
)

// Export is what the whole database holds while nobody writes.
type Export struct {
	db *DB
	c  *conn
}

// Export lets use read everything, for another database to take over. Until it
// returns nobody can write, not even a command beside: what is taken over is all
// there is.
func (db *DB) Export(ctx context.Context, use func(*Export) error) error {
	return db.change(ctx, func(c *conn) error { return use(&Export{db, c}) })
}

// errStopped ends a query whose reader has had enough.
var errStopped = errors.New("no more rows are wanted")

// Rows gives every row of a table with the columns in the order asked for, oldest
// first where a table keeps that order. A value is a string, an int64, a float64,
// a bool, a time.Time, bytes or nil; JSON is text. The slice is used again for
// the next row.
func (e *Export) Rows(table string, columns []string) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		if err := plainNames(append([]string{table}, columns...)); err != nil {
			yield(nil, err)
			return
		}
		sql := "SELECT " + strings.Join(columns, ", ") + " FROM " + table
		if ordered(table) {
			sql += " ORDER BY rowid"
		}
		values := make([]any, len(columns))
		err := e.c.query(func(r *row) error {
			for i, column := range columns {
				values[i] = r.value(column)
			}
			if !yield(values, nil) {
				return errStopped
			}
			return nil
		}, sql)
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// Count gives the number of a table's rows.
func (e *Export) Count(table string) (n int64, err error) {
	if err := plainNames([]string{table}); err != nil {
		return 0, err
	}
	_, err = e.c.first(func(r *row) { n = r.int() }, "SELECT count(*) FROM "+table)
	return n, err
}

// plainNames refuses what is more than the name of a table or column: names go
// into statements as they are.
func plainNames(names []string) error {
	for _, name := range names {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return fmt.Errorf("%q is no name of a table or column", name)
		}
	}
	return nil
}

// ordered tells whether a table has rowids, which grow.
func ordered(table string) bool {
	return !slices.Contains([]string{"credits", "holds", "system_config", "sessions", "run_events"}, table)
}

// value reads a column as what its name says: the file knows neither times nor
// booleans.
func (r *row) value(column string) any {
	i := r.column()
	switch r.s.ColumnType(i) {
	case sqlite3.TEXT:
		return r.s.ColumnText(i)
	case sqlite3.FLOAT:
		return r.s.ColumnFloat(i)
	case sqlite3.BLOB:
		return r.s.ColumnBlob(i, nil)
	case sqlite3.INTEGER:
		n := r.s.ColumnInt64(i)
		if strings.HasSuffix(column, "_at") {
			return time.UnixMilli(n).UTC()
		}
		if column == "held_on" {
			return time.Unix(n*secondsOfDay, 0).UTC()
		}
		if slices.Contains([]string{"suspended", "keyless", "enabled", "allow_private_address", "pinned", "retryable", "estimated", "response_cache"}, column) {
			return n != 0
		}
		return n
	}
	return nil
}

// Sums adds up the books; see credit.Store.
func (e *Export) Sums(ctx context.Context) (credit.Sums, error) { return e.db.Sums(ctx) }

// Document gives the catalog as its rows have it.
func (e *Export) Document() (catalog.Document, error) { return document(e.c) }
