package upstream

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"onemind/internal/llm"
)

const (
	// lifeFailures and lifeSpan: a model that failed so often in a row, and answered
	// nobody for so long, is down: nobody waits for a retry there, or makes more of them
	// than an idle provider's budget has.
	lifeFailures = 3
	lifeSpan     = 2 * time.Second
)

// way is a route that may be tried once more.
type way struct {
	route int
	due   time.Time // not before
	fresh bool      // it was not tried yet: that needs no retry
}

// rounds tries once more what may be well by now: one attempt after the other, what
// is free first, then what was tried least, as long as there are retries for it. The
// place at a provider is given back in between.
func (r *run) rounds() (over bool) {
	for len(r.out.Attempts) < attemptsMost {
		began := r.pool.now()
		w, found := r.next()
		if found {
			r.sleep(w.due.Sub(r.pool.now()))
		}
		r.paused += r.pool.now().Sub(began)
		switch {
		case r.gone():
			if found && !w.fresh {
				r.unspent(w.route)
			}
			return true
		case !found:
			return false
		case !w.fresh:
			r.notice(Retrying, w.route)
		}
		l, made := &r.legs[w.route], len(r.out.Attempts)
		if r.visit(w.route, false) {
			return true
		}
		switch {
		case len(r.out.Attempts) > made:
			for i := range r.legs {
				r.legs[i].barren = false
			}
		default:
			if !w.fresh {
				r.unspent(w.route)
			}
			l.barren = l.in.why != cooling // somebody met a limit in between: that passes
		}
	}
	return false
}

// unspent gives a retry back to the budget that was not made after all.
func (r *run) unspent(i int) {
	at := r.legs[i].at
	at.mu.Lock()
	defer at.mu.Unlock()
	at.budget.back(r.pool.now())
}

// ways finds what is worth another attempt, the soonest first.
func (r *run) ways() []way {
	var ways []way
	now, backoff := r.pool.now(), r.backoff()
	for i := range r.legs {
		l := &r.legs[i]
		if l.dead || l.barren {
			continue
		}
		if pause, ok := r.worth(i, now, backoff); ok && r.inTime(pause) {
			ways = append(ways, way{route: i, due: now.Add(pause), fresh: l.attempts == 0})
		}
	}
	slices.SortStableFunc(ways, func(a, b way) int {
		return cmp.Or(a.due.Compare(b.due), cmp.Compare(r.legs[a.route].attempts, r.legs[b.route].attempts))
	})
	return ways
}

// worth says whether a route deserves another attempt, and after which pause.
func (r *run) worth(i int, now time.Time, backoff time.Duration) (time.Duration, bool) {
	l, route := &r.legs[i], &r.call.Routes[i]
	l.at.mu.Lock()
	c, in := l.at.choose(now, r.pool, route, &wish{tried: l.tried()})
	l.at.mu.Unlock()
	if c.lane == nil {
		return in.rest, in.why == cooling && in.rest <= min(shortWait, r.patience(route))
	}
	if l.attempts == 0 {
		return 0, true
	}
	var f *llm.Failure
	if !errors.As(l.err, &f) || !transient(f.Class) {
		return backoff, true
	}
	late := f.Class == llm.TimedOut && r.late > 1
	switch {
	case f.Retry > shortWait, late && r.lost >= r.patience(route): // the caller would wait too long, or did
		return 0, false
	case late || l.attempts > budgetFloor:
		return max(backoff, f.Retry), r.lives(now, i)
	}
	return max(backoff, f.Retry), true
}

// next waits for the first way on: a time that a provider asked for is over, or
// there is a retry in a budget. There is none when nothing is to be waited for, or
// when the caller's patience is at its end.
func (r *run) next() (way, bool) {
	ways := r.ways()
	switch {
	case len(ways) == 0:
		return way{}, false
	case ways[0].fresh:
		return ways[0], true
	}
	t := &turn{given: make(chan int, 1)}
	defer r.leave(ways, t)
	end := r.pool.now().Add(r.patience(&r.call.Routes[0]))
	r.join(ways, t)
	for {
		select {
		case i := <-t.given:
			return ways[slices.IndexFunc(ways, func(w way) bool { return w.route == i })], true
		default:
		}
		now := r.pool.now()
		until := now.Truncate(time.Second).Add(time.Second) // then the budgets move on
		live := false
		for _, w := range ways {
			switch {
			case !w.fresh:
				live = r.lives(now, w.route) || live
			case now.Before(w.due):
				live = true
				if w.due.Before(until) {
					until = w.due
				}
			case t.over.CompareAndSwap(false, true):
				return w, true
			}
		}
		if (!live || !now.Before(end) || r.ctx.Err() != nil) && t.over.CompareAndSwap(false, true) {
			return way{}, false
		}
		r.await(until.Sub(now), t)
	}
}

// join takes a place in the line of each provider, unless one has a retry at once.
func (r *run) join(ways []way, t *turn) {
	for _, w := range ways {
		if w.fresh || t.over.Load() {
			continue
		}
		at := r.legs[w.route].at
		at.mu.Lock()
		at.budget.join(r.pool.now(), t, w.route)
		at.mu.Unlock()
	}
}

// leave gives the places in the lines up.
func (r *run) leave(ways []way, t *turn) {
	for _, w := range ways {
		at := r.legs[w.route].at
		at.mu.Lock()
		at.budget.leave(t)
		at.mu.Unlock()
	}
}

// lives says whether a model is not down, and sees to the line there.
func (r *run) lives(now time.Time, i int) bool {
	at := r.legs[i].at
	at.mu.Lock()
	defer at.mu.Unlock()
	at.budget.grant(now)
	s := at.results(r.call.Routes[i].Model)
	return s.streak < lifeFailures || now.Sub(s.good) < lifeSpan
}

// await waits for a retry.
func (r *run) await(d time.Duration, t *turn) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case i := <-t.given:
		t.given <- i
	case <-timer.C:
	case <-r.ctx.Done():
	}
}
