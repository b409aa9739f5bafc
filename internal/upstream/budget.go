package upstream

import (
	"slices"
	"sync/atomic"
	"time"
)

const (
	budgetSpan  = 10 * time.Second
	budgetShare = 0.2 // of the calls
	budgetFloor = 3   // retries in a span that an idle provider may always have
)

// budget bounds the retries at a provider, so that an outage does not multiply
// the load that caused it: further attempts at a route that failed are a fifth of
// the provider's calls at most. Successes of its window are calls, failures
// retries. Its owner locks it.
type budget struct {
	window window
	line   []entry // who waits for a retry, first come, first served
}

// turn is one answer's wait for a retry. It may stand in several lines: the first
// one that has a retry for it gives it.
type turn struct {
	over  atomic.Bool // granted or given up
	given chan int    // the route
}

type entry struct {
	*turn
	route int
}

// call counts a call that comes to the provider.
func (b *budget) call(now time.Time) {
	b.window.add(now, budgetSpan, false)
	b.grant(now)
}

// spare asks for a retry that could be done without, because something else was
// not tried yet. Half of the budget is kept for those who have nothing else, and
// all of it while one of them waits.
func (b *budget) spare(now time.Time) bool { return len(b.line) == 0 && b.take(now, budgetShare/2) }

// take takes one retry if there is one.
func (b *budget) take(now time.Time, share float64) bool {
	calls, retries := b.window.sum(now, budgetSpan)
	if float64(retries+1) > max(budgetFloor*share/budgetShare, share*float64(calls)) {
		return false
	}
	b.window.add(now, budgetSpan, true)
	return true
}

// back gives a retry back that was not made.
func (b *budget) back(now time.Time) {
	b.window.back(now, budgetSpan)
	b.grant(now)
}

// join puts a turn at the end of the line.
func (b *budget) join(now time.Time, t *turn, route int) {
	b.line = append(b.line, entry{t, route})
	b.grant(now)
}

// leave takes a turn out of the line.
func (b *budget) leave(t *turn) {
	b.line = slices.DeleteFunc(b.line, func(e entry) bool { return e.turn == t })
}

// grant gives the retries that there are to those who wait.
func (b *budget) grant(now time.Time) {
	for len(b.line) > 0 {
		if b.line[0].over.Load() {
			b.line = slices.Delete(b.line, 0, 1)
			continue
		}
		if !b.take(now, budgetShare) {
			return
		}
		first := b.line[0]
		b.line = slices.Delete(b.line, 0, 1)
		if !first.over.CompareAndSwap(false, true) { // elsewhere, just now
			b.window.back(now, budgetSpan)
			continue
		}
		first.given <- first.route
	}
}
