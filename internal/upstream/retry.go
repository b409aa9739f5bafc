package upstream

import (
	"errors"
	"time"

	"onemind/internal/llm"
)

// again prepares another attempt at a route that failed, before what was not tried
// yet: once, after a pause, and if the budget can spare it.
func (r *run) again(i, n int, err error) bool {
	var f *llm.Failure
	if n > 1 || r.left(i) == 0 || !errors.As(err, &f) || f.Retry > shortWait || !r.room(i) {
		return false
	}
	pause := max(r.backoff(), f.Retry)
	if !r.inTime(pause) || !r.spare(i) || !r.sleep(pause) {
		return false
	}
	r.notice(Retrying, i)
	return true
}

// spare takes a retry that could be done without out of the provider's budget.
func (r *run) spare(i int) bool {
	at := r.legs[i].at
	at.mu.Lock()
	defer at.mu.Unlock()
	return at.budget.spare(r.pool.now())
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

// lastResort is for calls whose routes were all passed by: rather than refuse
// without trying, it tries one in spite of what is in the way.
func (r *run) lastResort(why obstacle) (over bool) {
	for i := range r.legs {
		l := &r.legs[i]
		if l.dead || l.in.why != why || !l.in.hope || len(r.out.Attempts) > 0 {
			continue
		}
		if r.visit(i, true) {
			return true
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
