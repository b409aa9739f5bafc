// Package sqlite remembers everything in one file: it implements the stores of
// credit, catalog, account, chat and replay for a OneMind that is started alone.
// One goroutine owns the only connection that writes, and acts that arrive
// together share a commit; reads run beside it on connections of their own.
// What an act means is decided by the nouns, not here.
//
// Amounts are whole nano-dollars, times are milliseconds since 1970 in UTC, and
// a time that never came is NULL.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

var (
	// ErrLocked reports a data directory that another process uses.
	ErrLocked = errors.New("the data directory is in use")
	// ErrNewer reports a database written by a newer OneMind.
	ErrNewer = errors.New("the database is newer than this program")
	// ErrClosed reports an act after Close.
	ErrClosed = errors.New("the database is closed")
)

// readers is how many connections read at once. Reads are short, and more than
// the cores of a small machine would only add memory (about 1.5 MB each).
const readers = 4

// DB is the open database file.
type DB struct {
	path   string
	lock   *os.File // nil beside another process
	queue  chan *act
	idle   chan *conn // read connections not in use; nil ones are not open yet
	writer sync.WaitGroup
	end    error // of closing the writer's connection

	gate   sync.RWMutex // held for reading while an act is handed over
	closed bool

	groups, acts atomic.Int64
}

// lockName is the file beside the database that its one server holds.
const lockName = "onemind.lock"

// Open opens the database file for a server, creating it and its directory if
// needed, and brings its schema up to date. Only one server can have it open: a
// second one is refused with ErrLocked.
func Open(ctx context.Context, path string) (*DB, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	held, err := lock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	c, err := openWriter(path, func(c *conn) error { return migrate(ctx, c) })
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	return start(path, c, held), nil
}

// OpenBeside opens the database file for a command, whether a server has it
// open or not. What it commits the server sees at its next read.
func OpenBeside(ctx context.Context, path string) (*DB, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	c, err := openWriter(path, func(c *conn) error { return migrateBeside(ctx, c, filepath.Join(dir, lockName)) })
	if err != nil {
		return nil, err
	}
	return start(path, c, nil), nil
}

// openWriter opens the connection that writes. The files are made for the owner
// alone: prompts and password digests are in them.
func openWriter(path string, migrate func(*conn) error) (*conn, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create the database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("create the database: %w", err)
	}
	// A checkpoint copies the log into the file and costs two flushes, so it comes
	// every 16 MB instead of every 4; after a burst the log shrinks to 64 MB.
	c, err := connect(path, `PRAGMA journal_mode = WAL; PRAGMA cache_size = -8000; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;`)
	if err != nil {
		return nil, err
	}
	if err := migrate(c); err != nil {
		return nil, c.closeAfter(err)
	}
	for _, beside := range []string{"-wal", "-shm"} {
		if err := os.Chmod(path+beside, 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, c.closeAfter(fmt.Errorf("protect the log: %w", err))
		}
	}
	return c, nil
}

// start lets the writer work; Close ends it.
func start(path string, c *conn, held *os.File) *DB {
	db := &DB{path: path, lock: held, queue: make(chan *act, maxGroup), idle: make(chan *conn, readers)}
	for range readers {
		db.idle <- nil
	}
	db.writer.Go(func() { db.end = db.write(c) })
	return db
}

// Close finishes the acts under way and closes the file. Acts and reads after it report ErrClosed.
func (db *DB) Close() error {
	db.gate.Lock()
	if db.closed {
		db.gate.Unlock()
		return nil
	}
	db.closed = true
	close(db.queue)
	db.gate.Unlock()
	db.writer.Wait()
	errs := []error{db.end}
	for range readers {
		if c := <-db.idle; c != nil {
			errs = append(errs, c.close())
		}
	}
	close(db.idle)
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	return errors.Join(errs...)
}

// Stats counts what the writer did since Open.
type Stats struct {
	Groups int64 // commits
	Acts   int64 // acts in them
}

// Stats gives the counts.
func (db *DB) Stats() Stats { return Stats{db.groups.Load(), db.acts.Load()} }

// read runs fn on a read connection, which sees everything committed before.
func (db *DB) read(ctx context.Context, fn func(*conn) error) error {
	var c *conn
	select {
	case got, open := <-db.idle:
		if !open {
			return ErrClosed
		}
		c = got
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { db.idle <- c }()
	if c == nil {
		var err error
		if c, err = connect(db.path, `PRAGMA query_only = ON; PRAGMA cache_size = -2000;`); err != nil {
			return err
		}
	}
	c.db.SetInterrupt(ctx)
	defer c.db.SetInterrupt(context.Background())
	if err := fn(c); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}

// readTogether is read with all of fn's queries in one snapshot.
func (db *DB) readTogether(ctx context.Context, fn func(*conn) error) error {
	return db.read(ctx, func(c *conn) error {
		return c.transaction("BEGIN", func() error { return fn(c) })
	})
}
