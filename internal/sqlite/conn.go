package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"

	"onemind/internal/money"
)

// conn is one connection and its prepared statements, which are kept by their
// text: preparing a statement costs ten times what running it does. One
// goroutine uses it at a time.
type conn struct {
	db         *sqlite3.Conn
	statements map[string]*sqlite3.Stmt
}

// connect opens a connection. FULL makes a commit durable before it is
// answered; the busy timeout matters when another process writes beside us.
func connect(path string, pragmas string) (*conn, error) {
	db, err := sqlite3.OpenFlags(path, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	c := &conn{db: db, statements: map[string]*sqlite3.Stmt{}}
	if err := db.BusyTimeout(5 * time.Second); err != nil {
		return nil, fmt.Errorf("set the busy timeout: %w", c.closeAfter(err))
	}
	if err := fts5.Register(db); err != nil {
		return nil, fmt.Errorf("load full-text search: %w", c.closeAfter(err))
	}
	const common = `PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA synchronous = FULL;`
	// Turning a fresh file to WAL needs it alone, and SQLite does not wait for
	// that: two commands that start together would meet here.
	err = db.Exec(common + pragmas)
	for end := time.Now().Add(5 * time.Second); errors.Is(err, sqlite3.BUSY) && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
		err = db.Exec(common + pragmas)
	}
	if err != nil {
		return nil, fmt.Errorf("set up a connection to %s: %w", path, c.closeAfter(err))
	}
	return c, nil
}

func (c *conn) closeAfter(err error) error {
	_ = c.close() // the first error is the one that matters
	return err
}

func (c *conn) close() error {
	for _, s := range c.statements {
		_ = s.Close() // repeats the error of its last use
	}
	clear(c.statements)
	return c.db.Close()
}

// statement gives the prepared statement of a text with its arguments bound.
func (c *conn) statement(sql string, args []any) (*sqlite3.Stmt, error) {
	s := c.statements[sql]
	if s == nil {
		var err error
		if s, _, err = c.db.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT); err != nil {
			return nil, fmt.Errorf("prepare %q: %w", sql, err)
		}
		c.statements[sql] = s
	}
	for i, arg := range args {
		if err := bind(s, i+1, arg); err != nil {
			return nil, fmt.Errorf("bind argument %d of %q: %w", i+1, sql, err)
		}
	}
	return s, nil
}

// bind writes one argument. Times are milliseconds, the zero time is NULL, and
// what has no column type of its own is JSON.
func bind(s *sqlite3.Stmt, i int, arg any) error {
	switch v := arg.(type) {
	case string:
		return s.BindText(i, v)
	case int64:
		return s.BindInt64(i, v)
	case money.Amount:
		return s.BindInt64(i, int64(v))
	case int:
		return s.BindInt64(i, int64(v))
	case bool:
		return s.BindBool(i, v)
	case []byte:
		return s.BindBlob(i, v)
	case time.Time:
		if v.IsZero() {
			return s.BindNull(i)
		}
		return s.BindInt64(i, v.UnixMilli())
	case *float64:
		if v == nil {
			return s.BindNull(i)
		}
		return s.BindFloat(i, *v)
	case nil:
		return s.BindNull(i)
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		return s.BindText(i, string(b))
	}
}

// exec runs a statement and gives the number of rows it changed.
func (c *conn) exec(sql string, args ...any) (int64, error) {
	s, err := c.statement(sql, args)
	if err != nil {
		return 0, err
	}
	if err := s.Exec(); err != nil {
		return 0, fmt.Errorf("run %q: %w", sql, err)
	}
	return c.db.Changes(), nil
}

// query passes every row to each, in order.
func (c *conn) query(each func(*row) error, sql string, args ...any) (err error) {
	s, err := c.statement(sql, args)
	if err != nil {
		return err
	}
	defer func() {
		if e := s.Reset(); e != nil && err == nil {
			err = fmt.Errorf("run %q: %w", sql, e)
		}
	}()
	r := row{s: s}
	for s.Step() {
		r.next = 0
		if err := each(&r); err != nil {
			return err
		}
		if r.err != nil {
			return fmt.Errorf("read a row of %q: %w", sql, r.err)
		}
	}
	return nil
}

// first passes the first row to read and tells whether there was one. The
// statement still runs to its end, so that a RETURNING changes all it should.
func (c *conn) first(read func(*row), sql string, args ...any) (found bool, err error) {
	err = c.query(func(r *row) error {
		if !found {
			read(r)
		}
		found = true
		return nil
	}, sql, args...)
	return found, err
}

// list gathers what read makes of every row.
func list[T any](c *conn, read func(*row) T, sql string, args ...any) ([]T, error) {
	var all []T
	err := c.query(func(r *row) error {
		all = append(all, read(r))
		return nil
	}, sql, args...)
	return all, err
}

// transaction runs fn in one snapshot.
func (c *conn) transaction(begin string, fn func() error) error {
	if _, err := c.exec(begin); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return c.rollback(err)
	}
	if _, err := c.exec("COMMIT"); err != nil {
		return c.rollback(err)
	}
	return nil
}

// rollback undoes the open transaction and gives the reason back. SQLite has
// undone it by itself after some errors, a full disk among them.
func (c *conn) rollback(reason error) error {
	if c.db.GetAutocommit() {
		return reason
	}
	c.db.SetInterrupt(context.Background()) // a cancelled reader must still let go of its snapshot
	if _, err := c.exec("ROLLBACK"); err != nil {
		return fmt.Errorf("%w (and rolling back: %w)", reason, err)
	}
	return reason
}

// row reads the columns of a result from left to right: Go evaluates the calls
// in a composite literal in the order they stand there.
type row struct {
	s    *sqlite3.Stmt
	next int
	err  error
}

func (r *row) column() int {
	r.next++
	return r.next - 1
}

func (r *row) text() string         { return r.s.ColumnText(r.column()) }
func (r *row) int() int64           { return r.s.ColumnInt64(r.column()) }
func (r *row) bool() bool           { return r.s.ColumnInt64(r.column()) != 0 }
func (r *row) amount() money.Amount { return money.Amount(r.s.ColumnInt64(r.column())) }
func (r *row) bytes() []byte        { return r.s.ColumnBlob(r.column(), nil) }

func (r *row) time() time.Time {
	i := r.column()
	if r.s.ColumnType(i) == sqlite3.NULL {
		return time.Time{}
	}
	return time.UnixMilli(r.s.ColumnInt64(i)).UTC()
}

func (r *row) float() *float64 {
	i := r.column()
	if r.s.ColumnType(i) == sqlite3.NULL {
		return nil
	}
	f := r.s.ColumnFloat(i)
	return &f
}

// json reads a column of JSON into v; an empty one leaves it as it is.
func (r *row) json(v any) {
	b := r.s.ColumnRawText(r.column())
	if len(b) == 0 {
		return
	}
	if err := json.Unmarshal(b, v); err != nil && r.err == nil {
		r.err = fmt.Errorf("read JSON: %w", err)
	}
}
