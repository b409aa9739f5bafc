package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"onemind/internal/fault"
)

// How acts are gathered.
const (
	maxGroup   = 128                  // acts in one statement; more would only keep other cores idle
	maxFlying  = 4                    // statements under way at once
	waitMost   = 2 * time.Millisecond // then another statement starts beside those under way
	groupTries = 5                    // of a statement that lost against another
)

// act is one hold or settlement, as the function acts_2 takes it, and what came of it.
type act struct {
	kind, ref, user, owner, text, key string
	request, run, model, outcome      string
	least, most, input, output        int64
	dayCap, keyCap                    int64 // 0: none
	at                                time.Time

	since           time.Time
	sent            bool
	result          string
	amount          int64
	holder, receipt string
	err             error
	done            chan struct{}
}

// group gathers the acts of concurrent callers, so that they share a round trip
// and a commit. A lone act is sent at once. What comes while a statement is under
// way waits for its end, or for waitMost. No two statements under way hold acts of
// one user, so that these keep their order.
type group struct {
	db *DB

	mu      sync.Mutex
	waiting []*act              // only while a statement is under way
	busy    map[string]struct{} // users with acts under way
	flying  int
	armed   bool // a timer will look at waiting
	closed  bool
	landed  sync.Cond // a statement ended

	acts, groups atomic.Int64
}

func newGroup(db *DB) *group {
	g := &group{db: db, busy: map[string]struct{}{}}
	g.landed.L = &g.mu
	return g
}

// GroupStats counts what was committed together since Open.
type GroupStats struct {
	Groups int64 // commits
	Acts   int64 // acts in them
}

// GroupStats gives the counts.
func (db *DB) GroupStats() GroupStats {
	return GroupStats{db.group.groups.Load(), db.group.acts.Load()}
}

// do runs one act and waits for its outcome, even if the context ends once it is
// sent: a caller that gave up would not know it.
func (g *group) do(ctx context.Context, a *act) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a.since, a.done = time.Now(), make(chan struct{})
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return unavailable(fmt.Errorf("the database is closed"))
	}
	g.waiting = append(g.waiting, a)
	g.launch()
	g.mu.Unlock()
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
	}
	if g.withdraw(a) {
		return ctx.Err()
	}
	<-a.done
	return a.err
}

// withdraw takes back an act that is not sent yet.
func (g *group) withdraw(a *act) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.sent {
		return false
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(w *act) bool { return w == a })
	return true
}

// launch starts every statement that need not wait any more; close waits for them.
// The caller holds mu.
func (g *group) launch() {
	for batch := g.next(); batch != nil; batch = g.next() {
		go g.run(batch)
	}
}

// next gives the acts of the next statement, or nil when those that wait should
// wait on.
func (g *group) next() []*act {
	if len(g.waiting) == 0 || g.flying == maxFlying || len(g.waiting) < maxGroup && !g.due(g.waiting[0]) {
		return nil
	}
	var batch, rest []*act
	skipped := map[string]struct{}{} // users whose earlier act waits on
	for _, a := range g.waiting {
		_, busy := g.busy[a.user]
		_, later := skipped[a.user]
		if busy || later || len(batch) == maxGroup {
			skipped[a.user] = struct{}{}
			rest = append(rest, a)
		} else {
			batch = append(batch, a)
		}
	}
	if len(batch) == 0 || len(batch) < maxGroup && !g.due(batch[0]) {
		return nil // the others wait for acts of the same users
	}
	g.waiting = rest
	for _, a := range batch {
		a.sent = true
		g.busy[a.user] = struct{}{}
	}
	g.flying++
	return batch
}

// due tells whether an act need not wait for company any more. If it must, it is
// looked at again in time.
func (g *group) due(a *act) bool {
	left := waitMost - time.Since(a.since)
	if g.flying == 0 || left <= 0 {
		return true
	}
	g.arm(left)
	return false
}

// arm looks at what waits again after a while.
func (g *group) arm(after time.Duration) {
	if g.armed {
		return
	}
	g.armed = true
	time.AfterFunc(after, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.armed = false
		g.launch()
	})
}

// run sends acts, answers their callers and starts what waited meanwhile.
func (g *group) run(batch []*act) {
	// In one order everywhere, so that two instances cannot wait for each other;
	// acts of one user stay in theirs.
	slices.SortStableFunc(batch, func(a, b *act) int { return strings.Compare(a.user, b.user) })
	_ = g.send(context.Background(), batch) // each act has its own
	g.mu.Lock()
	g.flying--
	for _, a := range batch {
		delete(g.busy, a.user)
	}
	g.launch()
	g.landed.Broadcast()
	g.mu.Unlock()
	for _, a := range batch {
		close(a.done)
	}
}

// send runs acts together. When one of them breaks the statement, each half goes
// by itself and so on, until the guilty one is alone: it fails, and no other with
// it. When the database is away nobody knows what was done, and all fail.
func (g *group) send(ctx context.Context, batch []*act) (err error) {
	if err = g.together(ctx, batch); noPartition(err) && len(batch) == 1 {
		if err = g.db.makePartition(ctx, batch[0].at); err == nil {
			err = g.together(ctx, batch)
		}
	}
	if err == nil {
		return nil
	}
	if len(batch) == 1 || gone(err) {
		for _, a := range batch {
			a.err = err
		}
		return err
	}
	half := len(batch) / 2
	if err = g.send(ctx, batch[:half]); !gone(err) {
		return g.send(ctx, batch[half:])
	}
	for _, a := range batch[half:] {
		a.err = err
	}
	return err
}

// gone tells whether an error means that another statement would not do better now.
func gone(err error) bool { return fault.Is(err, fault.Unavailable) }

// together runs acts in one statement, again if it lost against another one, or if
// the line turned out to be cut before anything was said.
func (g *group) together(ctx context.Context, batch []*act) error {
	for try := 1; ; try++ {
		err := borrow(ctx, g.db.pool, func(ctx context.Context, c *pgx.Conn) error { return call(ctx, c, batch) })
		if err == nil {
			g.groups.Add(1)
			g.acts.Add(int64(len(batch)))
			return nil
		}
		if try == groupTries || !lostRace(err) && !pgconn.SafeToRetry(err) {
			return err
		}
		time.Sleep(rand.N(time.Duration(try) * 2 * time.Millisecond)) //nolint:gosec // spacing, not a secret
	}
}

// call passes acts to the function and takes their outcomes.
func call(ctx context.Context, c *pgx.Conn, batch []*act) error {
	n := len(batch)
	texts := make([]string, 10*n)
	numbers := make([]int64, 6*n)
	kinds, refs, users, owners, bodies := texts[:n], texts[n:2*n], texts[2*n:3*n], texts[3*n:4*n], texts[4*n:5*n]
	requests, runs, models, outcomes, keys := texts[5*n:6*n], texts[6*n:7*n], texts[7*n:8*n], texts[8*n:9*n], texts[9*n:]
	leasts, mosts, inputs, outputs := numbers[:n], numbers[n:2*n], numbers[2*n:3*n], numbers[3*n:4*n]
	dayCaps, keyCaps := numbers[4*n:5*n], numbers[5*n:]
	times := make([]time.Time, n)
	for i, a := range batch {
		kinds[i], refs[i], users[i], owners[i], bodies[i] = a.kind, a.ref, a.user, a.owner, a.text
		requests[i], runs[i], models[i], outcomes[i] = a.request, a.run, a.model, a.outcome
		keys[i], dayCaps[i], keyCaps[i] = a.key, a.dayCap, a.keyCap
		leasts[i], mosts[i], inputs[i], outputs[i], times[i] = a.least, a.most, a.input, a.output, cut(a.at)
	}
	rows, err := c.Query(ctx, `SELECT result, coalesce(amount, 0), coalesce(holder, ''), coalesce(receipt, '') FROM onemind.acts_2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		kinds, refs, users, owners, leasts, mosts, bodies, requests, runs, models, outcomes, inputs, outputs, times, keys, dayCaps, keyCaps)
	if err != nil {
		return err
	}
	defer rows.Close()
	i := 0
	for ; rows.Next() && i < n; i++ {
		a := batch[i]
		if err := rows.Scan(&a.result, &a.amount, &a.holder, &a.receipt); err != nil {
			return fmt.Errorf("read an outcome: %w", err)
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return err
	}
	if i != n {
		return fmt.Errorf("%d acts have %d outcomes", n, i)
	}
	return nil
}

// close lets the acts under way and those that wait end; later ones are refused.
func (g *group) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.closed = true; g.flying > 0; {
		g.landed.Wait()
	}
}
