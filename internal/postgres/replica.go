package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// When the replica is read.
const (
	lagMost   = 5 * time.Second  // behind by more, it is left alone
	wroteFor  = 10 * time.Second // a user who wrote within this reads the primary: twice the lag
	lagEvery  = time.Second
	downAfter = 5 * time.Second // rest after an error
)

// replica is a read-only copy of the database that may be a little behind.
type replica struct {
	pool   *pgxpool.Pool
	lag    atomic.Int64 // nanoseconds; below zero: unknown
	rests  atomic.Int64 // until when, in nanoseconds since 1970
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	wrote map[string]time.Time // by user
}

func openReplica(ctx context.Context, url string) (*replica, error) {
	pool, _, err := openPool(ctx, "DATABASE_REPLICA_URL", url)
	if err != nil {
		return nil, err
	}
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &replica{pool: pool, cancel: cancel, done: make(chan struct{}), wrote: map[string]time.Time{}}
	r.measure(ctx)
	go r.watch(watching)
	return r, nil
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

// measure asks the replica how old what it shows is. One that has replayed all it
// received is as good as the primary as far as it knows; how long ago it heard
// from there counts then.
func (r *replica) measure(ctx context.Context) {
	var seconds float64
	err := borrow(ctx, r.pool, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, `
			SELECT CASE
				WHEN NOT pg_is_in_recovery() THEN 0
				WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
					THEN coalesce(extract(epoch FROM clock_timestamp() - (SELECT max(last_msg_receipt_time) FROM pg_stat_wal_receiver WHERE status = 'streaming')), 3600) - 30
				ELSE coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 3600)
			END::double precision`).Scan(&seconds)
	})
	if err != nil {
		r.lag.Store(-1)
		return
	}
	r.lag.Store(int64(max(0, seconds) * float64(time.Second)))
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
	return max(0, time.Duration(db.replica.lag.Load())), db.replica.good("", time.Now())
}

// history runs fn, which reads what may be a few seconds old, on the replica when
// there is one that will do, else on the primary. user is whose history it is;
// empty: an operator's list.
func (db *DB) history(ctx context.Context, user string, fn func(context.Context, *pgx.Conn) error) error {
	r := db.replica
	if r == nil || !r.good(user, time.Now()) {
		return db.read(ctx, fn)
	}
	err := borrow(ctx, r.pool, fn)
	if err == nil || ctx.Err() != nil || !away(err) && !isCode(err, "40001", "42P01") {
		return err
	}
	r.rests.Store(time.Now().Add(downAfter).UnixNano())
	db.log.Warn("the replica failed; the primary is read instead", "err", fmt.Sprint(err))
	return db.read(ctx, fn)
}
