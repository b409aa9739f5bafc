// Package postgres remembers everything for many instances: it implements the
// stores of credit, catalog, account, chat and replay over one Postgres, and the
// bus and the presence of fleet. It keeps nothing on a connection, so that a
// transaction pooler may stand in between: every statement names its schema,
// locks end with their transaction, and notifications and migrations have a
// direct connection of their own. What an act means is decided by the nouns.
//
// Amounts are whole nano-dollars, times are cut to milliseconds in UTC, and a
// time that never came is NULL.
package postgres

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Deadlines. They are the client's: a server that is stopped cannot keep its own.
const (
	connectWithin = 2 * time.Second
	acquireWithin = 300 * time.Millisecond // of a full pool, then 503: waiting longer would only add to the crowd
	actWithin     = 5 * time.Second
	openWithin    = 15 * time.Second
)

// Sizes of the pool of one instance. Behind a pooler these are its clients.
const (
	maxConns = 20
	minConns = 2
)

// Config is where the database is.
type Config struct {
	URL     string // pooled or not: everything but what follows
	Direct  string // without a pooler: LISTEN and migrations; empty: URL, unless that is pooled
	Replica string // for reading what may be a few seconds old; empty: none
	Migrate bool   // bring an old schema up to date, else refuse it
	Log     *slog.Logger
}

// DB is the open database.
type DB struct {
	config  Config
	pool    *pgxpool.Pool
	pooled  bool // URL goes through a transaction pooler
	replica *replica
	group   *group
	log     *slog.Logger
}

// Open connects, proves that the connections keep apart, and brings the schema
// up to date or checks it. Its errors are one line that names the setting.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	db := &DB{config: c, log: c.Log}
	err := within(ctx, db.reach)
	if err == nil {
		err = db.bringUp(ctx) // takes the time it needs
	}
	if err == nil && c.Replica != "" {
		err = within(ctx, db.reachReplica)
	}
	if err != nil {
		if db.pool != nil {
			db.pool.Close()
		}
		return nil, err
	}
	db.group = newGroup(db)
	return db, nil
}

func within(ctx context.Context, step func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	return step(ctx)
}

// reach connects to the primary and proves its connections.
func (db *DB) reach(ctx context.Context) (err error) {
	if db.pool, db.pooled, err = openPool(ctx, "DATABASE_URL", db.config.URL); err != nil {
		return err
	}
	if err := selfTest(ctx, "DATABASE_URL", db.pool); err != nil {
		return err
	}
	return db.checkDirect(ctx)
}

// openPool opens a pool whose statements are safe whether a pooler is in
// between or not, and tells which it is.
func openPool(ctx context.Context, setting, dsn string) (pool *pgxpool.Pool, pooled bool, err error) {
	config, err := poolConfig(setting, dsn)
	if err != nil {
		return nil, false, err
	}
	if pooled, err = chooseMode(ctx, setting, dsn, config.ConnConfig); err != nil {
		return nil, false, err
	}
	if pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, false, refused(setting, dsn, err)
	}
	return pool, pooled, nil
}

// poolConfig reads a connection string. What it does not say is ours.
func poolConfig(setting, dsn string) (*pgxpool.Config, error) {
	config, err := parse(setting, dsn)
	if err != nil {
		return nil, err
	}
	if config.ConnConfig.ConnectTimeout == 0 || config.ConnConfig.ConnectTimeout > connectWithin {
		config.ConnConfig.ConnectTimeout = connectWithin
	}
	if !hasParameter(dsn, "pool_max_conns") {
		config.MaxConns = maxConns
	}
	if !hasParameter(dsn, "pool_min_conns") {
		config.MinConns = min(minConns, config.MaxConns)
	}
	config.MaxConnLifetime, config.MaxConnLifetimeJitter = 30*time.Minute, 5*time.Minute
	if _, named := config.ConnConfig.RuntimeParams["application_name"]; !named {
		config.ConnConfig.RuntimeParams["application_name"] = "onemind"
	}
	return config, nil
}

// checkDirect makes sure that the direct connection string works and is direct.
func (db *DB) checkDirect(ctx context.Context) error {
	if db.config.Direct == "" {
		if db.pooled {
			db.log.Warn("DATABASE_DIRECT_URL is not set: DATABASE_URL goes through a pooler, so that changes are heard of through Redis and the poll only")
			return nil
		}
		db.config.Direct = db.config.URL
		return nil
	}
	conn, err := connect(ctx, "DATABASE_DIRECT_URL", db.config.Direct)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost
	pooled, err := isPooled(ctx, conn)
	if err != nil {
		return refused("DATABASE_DIRECT_URL", db.config.Direct, err)
	}
	if pooled {
		return errors.New("DATABASE_DIRECT_URL: goes through a transaction pooler, where notifications get lost; name the Postgres itself")
	}
	return nil
}

// connect opens one connection outside of the pool.
func connect(ctx context.Context, setting, dsn string) (*pgx.Conn, error) {
	pool, err := parse(setting, dsn) // it may have settings of a pool
	if err != nil {
		return nil, err
	}
	config := pool.ConnConfig
	config.ConnectTimeout = connectWithin
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, refused(setting, dsn, err)
	}
	return conn, nil
}

// Close ends the group's acts under way and closes the connections.
func (db *DB) Close() error {
	db.group.close()
	if db.replica != nil {
		db.replica.close()
	}
	db.pool.Close()
	return nil
}

// Stats are figures of the pool.
type Stats struct {
	Acquired, Idle, Max int32 // connections
	Waits               int64 // acquisitions that had to wait, since Open
}

// Stats gives the figures.
func (db *DB) Stats() Stats {
	s := db.pool.Stat()
	return Stats{Acquired: s.AcquiredConns(), Idle: s.IdleConns(), Max: s.MaxConns(), Waits: s.EmptyAcquireCount()}
}

// acquire takes a connection out of a pool. It does not wait long for one that
// others use, but as long as it may take for one that is being made: to a far or
// busy server that is several round trips.
func acquire(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Conn, error) {
	conn, err := acquireIn(ctx, pool, acquireWithin)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && pool.Stat().ConstructingConns() > 0 {
		conn, err = acquireIn(ctx, pool, connectWithin)
	}
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded) && pool.Stat().AcquiredConns() >= pool.Stat().MaxConns():
		return nil, errBusy.Because(err)
	default:
		return nil, unavailable(err)
	}
}

func acquireIn(ctx context.Context, pool *pgxpool.Pool, most time.Duration) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return pool.Acquire(ctx)
}

// borrow runs fn on one connection of a pool. What goes wrong with the database,
// and not with the statement, comes back as a fault that may be tried again.
func borrow(ctx context.Context, pool *pgxpool.Pool, fn func(context.Context, *pgx.Conn) error) error {
	conn, err := acquire(ctx, pool)
	if err != nil {
		return err
	}
	defer conn.Release()
	acting, cancel := context.WithTimeout(ctx, actWithin)
	defer cancel()
	if err := fn(acting, conn.Conn()); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return translate(err)
	}
	return nil
}

// broken tells whether an error means that the line was cut. The pool may have
// kept it since before a restart of the server, so that another may do.
func broken(ctx context.Context, c *pgx.Conn, err error) bool {
	return err != nil && c.IsClosed() && ctx.Err() == nil
}

// read runs fn on one connection of the primary, and once more if that broke.
func (db *DB) read(ctx context.Context, fn func(context.Context, *pgx.Conn) error) error {
	cut := false
	err := borrow(ctx, db.pool, func(ctx context.Context, c *pgx.Conn) error {
		err := fn(ctx, c)
		cut = broken(ctx, c, err)
		return err
	})
	if cut {
		return borrow(ctx, db.pool, fn)
	}
	return err
}

// snapshot runs fn in one transaction that sees one state of the database.
func (db *DB) snapshot(ctx context.Context, fn func(context.Context, pgx.Tx) error) error {
	return db.read(ctx, func(ctx context.Context, c *pgx.Conn) error { return oneSnapshot(ctx, c, fn) })
}

func oneSnapshot(ctx context.Context, c *pgx.Conn, fn func(context.Context, pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error { return fn(ctx, tx) })
}

// How often a transaction starts again: because it lost against another one, or
// because it never began on a line that was cut.
const (
	changeTries = 10
	beginTries  = 3
)

// change makes an act durable: all of it, or on an error nothing. Once begun it
// goes to its end whatever becomes of the caller: one that gave up would not
// know the outcome.
func (db *DB) change(ctx context.Context, fn func(context.Context, pgx.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), actWithin)
	defer cancel()
	for try := 1; ; try++ {
		begun, cut := false, false
		err := borrow(ctx, db.pool, func(ctx context.Context, c *pgx.Conn) error {
			err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
				begun = true
				return fn(ctx, tx)
			})
			cut = !begun && broken(ctx, c, err)
			return err
		})
		lost := lostRace(err)
		if !(lost && try < changeTries) && !(cut && try < beginTries) || ctx.Err() != nil {
			if lost {
				return errBusy.Because(err)
			}
			return translate(err)
		}
		time.Sleep(rand.N(time.Duration(try) * 5 * time.Millisecond)) //nolint:gosec // spacing, not a secret
	}
}
