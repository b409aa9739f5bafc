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
)

// How acts are gathered.
const (
	maxGroup  = 512                  // acts in one statement
	maxFlying = 4                    // statements under way at once
	waitMost  = 2 * time.Millisecond // then another statement starts beside those under way
	groupTry  = 5                    // repetitions of a statement that lost against another
)

// act is one hold or settlement, as the function acts_1 takes it, and what came of it.
type act struct {
	kind, ref, user, owner, text string
	request, run, model, outcome string
	least, most, input, output   int64
	at                           time.Time

	since  time.Time
	sent   bool
	result string
	amount int64
	holder string // whose hold it was, of a settlement
	err    error
	done   chan struct{}
}

// group gathers the acts of concurrent callers, so that they share a round trip
// and a commit. A lone act is sent at once. What comes while a statement is under
// way waits for its end, or for waitMost. No two statements under way hold acts of
// one user, so that these keep their order.
type group struct {
	db *DB

	mu      sync.Mutex
	waiting []*act
	busy    map[string]struct{} // users with acts under way
	flying  int
	armed   bool // a timer will look at waiting
	closed  bool
	work    sync.WaitGroup

	acts, groups atomic.Int64
}

func newGroup(db *DB) *group { return &group{db: db, busy: map[string]struct{}{}} }

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
	batch := g.next()
	g.mu.Unlock()
	if batch != nil {
		g.run(batch) // in the caller's own goroutine: nobody is faster
	}
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

// next gives the acts of the next statement, or nil when those that wait should
// wait on. The caller holds mu.
func (g *group) next() []*act {
	if len(g.waiting) == 0 || g.flying >= maxFlying {
		return nil
	}
	if g.flying > 0 {
		if left := waitMost - time.Since(g.waiting[0].since); left > 0 {
			g.arm(left)
			return nil
		}
	}
	var batch []*act
	rest := g.waiting[:0]
	skipped := map[string]struct{}{}
	for _, a := range g.waiting {
		_, busy := g.busy[a.user]
		_, later := skipped[a.user]
		if busy || later || len(batch) == maxGroup {
			skipped[a.user] = struct{}{}
			rest = append(rest, a)
			continue
		}
		a.sent = true
		batch = append(batch, a)
	}
	clear(g.waiting[len(rest):])
	g.waiting = rest
	if len(batch) == 0 {
		return nil // all of them wait for acts of the same users
	}
	for _, a := range batch {
		g.busy[a.user] = struct{}{}
	}
	g.flying++
	g.work.Add(1)
	return batch
}

// arm looks at what waits again after a while. The caller holds mu.
func (g *group) arm(after time.Duration) {
	if g.armed {
		return
	}
	g.armed = true
	time.AfterFunc(after, func() {
		g.mu.Lock()
		g.armed = false
		batch := g.next()
		g.mu.Unlock()
		if batch != nil {
			g.run(batch)
		}
	})
}

// run sends acts, answers their callers and starts what waited meanwhile.
func (g *group) run(batch []*act) {
	defer g.work.Done()
	// In one order everywhere, so that two instances cannot wait for each other;
	// acts of one user stay in theirs.
	slices.SortStableFunc(batch, func(a, b *act) int { return strings.Compare(a.user, b.user) })
	g.send(batch)
	g.mu.Lock()
	g.flying--
	for _, a := range batch {
		delete(g.busy, a.user)
	}
	following := g.next()
	g.mu.Unlock()
	for _, a := range batch {
		close(a.done)
	}
	if following != nil {
		go g.run(following) // work counts it since next
	}
}

// send runs acts together or, when one of them breaks the statement, each alone.
func (g *group) send(batch []*act) {
	ctx := context.Background()
	err := g.together(ctx, batch)
	if err == nil {
		return
	}
	if len(batch) == 1 || away(err) || lostRace(err) {
		for _, a := range batch {
			a.err = err
		}
	}
	if away(err) {
		return
	}
	for i := range batch {
		g.alone(ctx, batch[i])
	}
}

// alone runs one act by itself. A month that has no partition yet gets one.
func (g *group) alone(ctx context.Context, a *act) {
	one := []*act{a}
	a.err = g.together(ctx, one)
	if noPartition(a.err) {
		if a.err = g.db.makePartition(ctx, a.at); a.err == nil {
			a.err = g.together(ctx, one)
		}
	}
}

// together runs acts in one statement, again if it lost against another one.
func (g *group) together(ctx context.Context, batch []*act) error {
	for try := 1; ; try++ {
		err := borrow(ctx, g.db.pool, func(ctx context.Context, c *pgx.Conn) error { return call(ctx, c, batch) })
		if err == nil {
			g.groups.Add(1)
			g.acts.Add(int64(len(batch)))
			return nil
		}
		if !lostRace(err) || try == groupTry {
			return err
		}
		time.Sleep(rand.N(time.Duration(try) * 2 * time.Millisecond)) //nolint:gosec // spacing, not a secret
	}
}

// call passes acts to the function and takes their outcomes.
func call(ctx context.Context, c *pgx.Conn, batch []*act) error {
	n := len(batch)
	texts := make([]string, 9*n)
	numbers := make([]int64, 4*n)
	kinds, refs, users, owners, bodies := texts[:n], texts[n:2*n], texts[2*n:3*n], texts[3*n:4*n], texts[4*n:5*n]
	requests, runs, models, outcomes := texts[5*n:6*n], texts[6*n:7*n], texts[7*n:8*n], texts[8*n:]
	leasts, mosts, inputs, outputs := numbers[:n], numbers[n:2*n], numbers[2*n:3*n], numbers[3*n:]
	times := make([]time.Time, n)
	for i, a := range batch {
		kinds[i], refs[i], users[i], owners[i], bodies[i] = a.kind, a.ref, a.user, a.owner, a.text
		requests[i], runs[i], models[i], outcomes[i] = a.request, a.run, a.model, a.outcome
		leasts[i], mosts[i], inputs[i], outputs[i], times[i] = a.least, a.most, a.input, a.output, cut(a.at)
	}
	rows, err := c.Query(ctx, `SELECT result, coalesce(amount, 0), coalesce(holder, '') FROM onemind.acts_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		kinds, refs, users, owners, leasts, mosts, bodies, requests, runs, models, outcomes, inputs, outputs, times)
	if err != nil {
		return err
	}
	defer rows.Close()
	i := 0
	for ; rows.Next() && i < n; i++ {
		if err := rows.Scan(&batch[i].result, &batch[i].amount, &batch[i].holder); err != nil {
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
	g.closed = true
	g.mu.Unlock()
	for {
		g.work.Wait()
		g.mu.Lock()
		batch := g.next()
		left := len(g.waiting)
		g.mu.Unlock()
		if batch != nil {
			g.run(batch)
		} else if left == 0 {
			return
		}
	}
}
