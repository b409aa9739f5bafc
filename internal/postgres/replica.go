package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// When the replica is read.
const (
	lagMost   = 5 * time.Second  // behind by more, it is left alone
	wroteFor  = 10 * time.Second // a user who wrote within this reads the primary: twice the lag
	lagEvery  = time.Second
	lagKnown  = time.Minute     // how far back the primary's places are remembered
	downAfter = 5 * time.Second // rest after an error
	lookMost  = 2 * time.Second // deadline of one read there: the primary comes after it
)

// replica is a read-only copy of the database that may be a little behind.
type replica struct {
	pool    *pgxpool.Pool
	primary *pgxpool.Pool
	lag     atomic.Int64 // nanoseconds; below zero: unknown
	rests   atomic.Int64 // until when, in nanoseconds since 1970
	cancel  context.CancelFunc
	done    chan struct{}

	places []place // of the primary, oldest first; of watch alone

	mu    sync.Mutex
	wrote map[string]time.Time // by user
}

// place is where the primary's log ended at a time.
type place struct {
	at  time.Time
	lsn int64
}

// reachReplica connects to the replica. One that does not answer is left alone
// until it does; one that refuses us will not change its mind.
func (db *DB) reachReplica(ctx context.Context) error {
	const setting = "DATABASE_REPLICA_URL"
	pool, _, err := openPool(ctx, setting, db.config.Replica)
	if err == nil {
		err = selfTest(ctx, setting, pool)
	}
	var pg *pgconn.PgError
	if err != nil && (!away(err) || errors.As(err, &pg) && pg.Code[:2] == "28") {
		if pool != nil {
			pool.Close()
		}
		return err
	}
	if err != nil {
		db.log.Warn("the replica does not answer; the primary is read until it does", "err", err)
	}
	if pool == nil {
		if pool, err = lazyPool(setting, db.config.Replica); err != nil {
			return err
		}
	}
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	db.replica = &replica{pool: pool, primary: db.pool, cancel: cancel, done: make(chan struct{}), wrote: map[string]time.Time{}}
	db.replica.measure(ctx)
	go db.replica.watch(watching)
	return nil
}

// lazyPool is a pool that nobody answered yet, in the mode that suits any server.
func lazyPool(setting, dsn string) (*pgxpool.Pool, error) {
	config, err := poolConfig(setting, dsn)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	return pgxpool.NewWithConfig(context.Background(), config)
}

func (r *replica) close() {
	r.cancel()
	<-r.done
	r.pool.Close()
}

// watch measures how far behind the replica is, until ctx ends.
func (r *replica) watch(ctx context.Context) {
	defer close(r.done)
	ticker := time.NewTicker(lagEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			r.measure(ctx)
			r.forget(now)
		}
	}
}

// measure finds out how old what the replica shows is: it asks the primary how
// far its log goes, and the replica how much of it has been replayed. The
// replica's own word is not enough, because it does not know what it has not
// heard; and no new entries for a while are no lag. Without the primary nothing
// is written, and the last places stand.
func (r *replica) measure(ctx context.Context) {
	now := time.Now()
	var ends int64
	err := borrow(ctx, r.primary, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT (pg_current_wal_lsn() - '0/0')::bigint`).Scan(&ends)
	})
	if err == nil {
		r.places = append(r.places, place{now, ends})
		r.places = slices.DeleteFunc(r.places, func(p place) bool { return now.Sub(p.at) > lagKnown })
	}
	var replayed *int64 // NULL where nothing is replayed: that is no replica
	err = borrow(ctx, r.pool, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint WHERE pg_is_in_recovery()`).Scan(&replayed)
	})
	if err != nil || replayed == nil {
		r.lag.Store(-1)
		return
	}
	r.lag.Store(int64(behind(r.places, *replayed, now)))
}

// behind is how long ago the primary's log ended where the replica is now. Below
// zero: longer ago than any place that is known.
func behind(places []place, replayed int64, now time.Time) time.Duration {
	for i, p := range slices.Backward(places) {
		if p.lsn > replayed {
			continue
		}
		if i == len(places)-1 {
			return 0
		}
		return now.Sub(p.at)
	}
	return -1
}

// forget drops who wrote long ago.
func (r *replica) forget(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for user, at := range r.wrote {
		if now.Sub(at) > wroteFor {
			delete(r.wrote, user)
		}
	}
}

// good tells whether a user's history may be read here.
func (r *replica) good(user string, now time.Time) bool {
	lag := time.Duration(r.lag.Load())
	if lag < 0 || lag >= lagMost || now.UnixNano() < r.rests.Load() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at, wrote := r.wrote[user]
	return !wrote || now.Sub(at) > wroteFor
}

// operators stands for all who read lists of everything: who edits a user or the
// catalog wants to see it in the list.
const operators = ""

// Wrote notes that users have just written, here or on another instance: they
// read their history from the primary for a while.
func (db *DB) Wrote(users ...string) {
	if db.replica == nil {
		return
	}
	now := time.Now()
	db.replica.mu.Lock()
	defer db.replica.mu.Unlock()
	for _, user := range users {
		db.replica.wrote[user] = now
	}
}

// ReplicaLag is how far behind the replica is, and whether it is read at all.
func (db *DB) ReplicaLag() (lag time.Duration, used bool) {
	if db.replica == nil {
		return 0, false
	}
	return max(0, time.Duration(db.replica.lag.Load())), db.replica.good(operators, time.Now())
}

// history runs fn, which reads what may be a few seconds old, on the replica when
// there is one that will do, else on the primary. user is whose history it is, or
// operators.
func (db *DB) history(ctx context.Context, user string, fn func(context.Context, *pgx.Conn) error) error {
	r := db.replica
	if r == nil || !r.good(user, time.Now()) {
		return db.read(ctx, fn)
	}
	looking, cancel := context.WithTimeout(ctx, lookMost)
	err := borrow(looking, r.pool, fn)
	cancel()
	// 40001: what was read had to make way for what is replayed.
	if err == nil || ctx.Err() != nil || !away(err) && !isCode(err, "40001") {
		return err
	}
	r.rests.Store(time.Now().Add(downAfter).UnixNano())
	db.log.Warn("the replica failed; the primary is read instead", "err", fmt.Sprint(err))
	return db.read(ctx, fn)
}
