package upstream

import (
	"errors"
	"time"

	"onemind/internal/llm"
)

// again prepares another attempt at a route that failed: by the budget, and
// after a pause. It is the n-th of the visit.
func (r *run) again(i, n int, err error) bool {
	alone := r.left(i) == 0
	most := 1
	if alone {
		most = 2
	}
	var f *llm.Failure
	if !errors.As(err, &f) || n > most || f.Retry > shortWait || !r.room(i) {
		return false
	}
	pause := max(r.backoff(), f.Retry)
	if !r.inTime(pause) || !r.afford(i, alone) {
		return false
	}
	if !r.sleep(pause) {
		return false
	}
	r.notice(Retrying, i)
	return true
}

// afford takes a retry out of the provider's budget.
func (r *run) afford(i int, alone bool) bool {
	at := r.legs[i].at
	now := r.pool.now()
	at.mu.Lock()
	defer at.mu.Unlock()
	return at.budget.take(now, alone)
}

// unspent gives a retry back to the budget that was not made after all.
func (r *run) unspent(i int) {
	at := r.legs[i].at
	at.mu.Lock()
	defer at.mu.Unlock()
	at.budget.back(r.pool.now())
}

// backoff is the next pause: full jitter, so that calls which failed together
// do not come back together.
func (r *run) backoff() time.Duration {
	most := min(backoffBase<<min(r.retries, 10), backoffMost)
	r.retries++
	return time.Duration(r.pool.rand() * float64(most))
}

// inTime says whether a pause ends before the caller's deadline.
func (r *run) inTime(d time.Duration) bool {
	end, set := r.ctx.Deadline()
	return !set || r.pool.now().Add(d).Before(end)
}

func (r *run) sleep(d time.Duration) bool {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-r.ctx.Done():
		case <-t.C:
		}
	}
	return r.ctx.Err() == nil
}

// round tries once more what may be well by now, as far as the budgets go. A
// provider that asks for a short pause gets it: calls that wait for the same
// moment may meet a limit again, and then wait again, as long as they have patience.
// What was not tried yet comes first: it is no retry.
func (r *run) round() (over bool) {
	for _, fresh := range []bool{true, false} {
		made := len(r.out.Attempts)
		for i := range r.legs {
			l := &r.legs[i]
			if l.dead || len(r.out.Attempts) >= attemptsMost || fresh != (l.attempts == 0) {
				continue
			}
			pause, ok := r.pause(i)
			if !ok {
				continue
			}
			if l.in.why == cooling {
				r.paused += pause
			}
			if !r.sleep(pause) {
				return r.gone()
			}
			if !fresh {
				r.notice(Retrying, i)
			}
			before := len(r.out.Attempts)
			if r.visit(i, false) {
				return true
			}
			if !fresh && len(r.out.Attempts) == before { // somebody met a limit in between
				r.unspent(i)
			}
		}
		if len(r.out.Attempts) > made {
			break
		}
	}
	return false
}

// pause says whether a route may be tried in this round, and how long to wait before.
func (r *run) pause(i int) (time.Duration, bool) {
	l := &r.legs[i]
	if l.attempts == 0 {
		if l.in.why == cooling && r.short(&r.call.Routes[i], l.in.rest) && r.inTime(l.in.rest) {
			return l.in.rest, true
		}
		return 0, true
	}
	pause, ok := r.worth(i)
	if !ok || !r.inTime(pause) {
		return 0, false
	}
	for !r.afford(i, true) { // the budget grows with every call of others
		rest := r.backoff()
		if r.begged += rest; r.begged > begMost || !r.working(i) || !r.inTime(rest) || !r.sleep(rest) {
			return 0, false
		}
	}
	return pause, true
}

// begMost is how long an answer that has nowhere else to go waits for a retry in
// the budget of a provider that works for others.
const begMost = 20 * time.Second

// working says whether most of what a model answered lately was good.
func (r *run) working(i int) bool {
	l := &r.legs[i]
	l.at.mu.Lock()
	defer l.at.mu.Unlock()
	good, bad := l.at.results(r.call.Routes[i].Model).sum(r.pool.now(), suspectSpan)
	return good > bad
}

// worth says whether a route deserves an attempt in the last round, and after
// which pause.
func (r *run) worth(i int) (time.Duration, bool) {
	l, route := &r.legs[i], &r.call.Routes[i]
	now := r.pool.now()
	l.at.mu.Lock()
	c, in := l.at.choose(now, r.pool, route, &wish{tried: l.tried()})
	l.at.mu.Unlock()
	var f *llm.Failure
	switch {
	case errors.As(l.err, &f) && f.Class == llm.TimedOut && r.late > 1:
		return 0, false // the caller has waited long enough
	case c.lane == nil:
		return in.rest, in.why == cooling && r.short(route, in.rest)
	case f != nil && f.Retry > shortWait && transient(f.Class):
		return 0, false
	case l.attempts == 0: // it had no place, or no key, before
		return 0, true
	}
	return r.backoff(), true
}

// short says whether a time that a provider asked for is waited within the call:
// a short one, as long as all such waits together stay within the call's patience.
func (r *run) short(route *Route, rest time.Duration) bool {
	return rest <= shortWait && r.paused+rest <= r.patience(route)
}

// lastResort is for calls whose routes were all passed by: rather than refuse
// without trying, it tries the least bad one. First those whose breaker is open
// for a while, then those that ask for a short wait, then those whose keys were
// refused, one call a second.
func (r *run) lastResort() (over bool) {
	for _, why := range []obstacle{open, cooling, refused} {
		for i := range r.legs {
			l := &r.legs[i]
			if l.dead || l.in.why != why || len(r.out.Attempts) > 0 {
				continue
			}
			switch {
			case why == cooling && r.short(&r.call.Routes[i], l.in.rest) && r.inTime(l.in.rest):
				r.paused += l.in.rest
				if !r.sleep(l.in.rest) {
					return r.gone()
				}
			case why == cooling || !l.in.hope:
				continue
			}
			if r.visit(i, why != cooling) {
				return true
			}
		}
	}
	return false
}

// verdict is the error of a call for which nothing worked: that of the first
// route that says most about it.
func (r *run) verdict() error {
	var best *leg
	for i := range r.legs {
		if l := &r.legs[i]; l.err != nil && (best == nil || l.rank > best.rank) {
			best = l
		}
	}
	if best == nil {
		return &llm.Failure{Class: llm.Unreachable, Text: "No provider was named."}
	}
	return r.truth(best)
}

// truth replaces a provider's Retry-After by what is left of it: the least of
// the rests of its keys.
func (r *run) truth(l *leg) error {
	var f *llm.Failure
	if !errors.As(l.err, &f) || f.Class != llm.RateLimited {
		return l.err
	}
	for i := range r.legs {
		if &r.legs[i] != l {
			continue
		}
		now := r.pool.now()
		l.at.mu.Lock()
		_, in := l.at.choose(now, r.pool, &r.call.Routes[i], &wish{})
		l.at.mu.Unlock()
		said := *f
		said.Retry = 0
		if in.why == cooling {
			said.Retry = in.rest
		}
		return &said
	}
	return l.err
}
