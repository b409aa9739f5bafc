package upstream

import (
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
)

// seat is a place that a call has at a provider.
type seat struct {
	at     *provider
	since  time.Time
	waited time.Duration
}

// give gives the place back.
func (p *Pool) give(s seat) {
	now := p.now()
	s.at.mu.Lock()
	defer s.at.mu.Unlock()
	s.at.queue.leave(now, s.since)
}

// seat takes a place at a route's provider, waiting for it if need be. What is in
// the way of the route comes back as a skip or an error, both without a place.
func (r *run) seat(i int, force bool) (seat, skip, error) {
	route, at := &r.call.Routes[i], r.legs[i].at
	patience := r.patience(route)
	looked := false
	for {
		now := r.pool.now()
		at.mu.Lock()
		q := &at.queue
		q.resize(now, route.Places)
		c, in := at.choose(now, r.pool, route, &wish{tried: r.legs[i].tried(), force: force})
		if c.lane == nil {
			at.mu.Unlock()
			return seat{}, in, nil
		}
		if q.free() {
			q.enter(now)
			at.mu.Unlock()
			return seat{at: at, since: now}, skip{}, nil
		}
		estimate := q.estimate(now, q.place(r.call.User, nil))
		if !looked && estimate > patience {
			at.mu.Unlock()
			switch {
			case patience <= 0:
				return seat{}, skip{}, timedOut(estimate)
			case r.freeElsewhere(i):
				return seat{}, skip{}, full(estimate)
			}
			looked = true
			continue
		}
		w := q.join(r.call.User, route.waiting())
		at.mu.Unlock()
		if w == nil {
			return seat{}, skip{}, full(estimate)
		}
		s, err := r.wait(at, route, w, now, patience)
		return s, skip{}, err
	}
}

// wait waits until it is the call's turn.
func (r *run) wait(at *provider, route *Route, w *waiter, joined time.Time, patience time.Duration) (seat, error) {
	left := false
	defer func() {
		r.out.Queued += r.pool.now().Sub(joined)
		if !left { // the caller's Notice panics
			at.abandon(r.pool.now(), w)
		}
	}()
	over := time.NewTimer(patience)
	defer over.Stop()
	tick := r.told(at, route, w)
	if tick != nil {
		defer tick.Stop()
	}
	for {
		var tock <-chan time.Time
		if tick != nil {
			tock = tick.C
		}
		select {
		case <-w.ready:
		case <-tock:
			r.tell(at, route, w)
			continue
		case <-over.C:
		case <-r.ctx.Done():
		}
		now := r.pool.now()
		s := seat{at: at, waited: now.Sub(joined)}
		at.mu.Lock()
		s.since = w.since
		given, pushed := w.given, w.full
		estimate := at.queue.estimate(now, at.queue.place(r.call.User, nil))
		if !given && !pushed {
			at.queue.remove(w)
		}
		at.mu.Unlock()
		left = true
		switch {
		case given: // even if the caller left at the same time: visit sees to that
			return s, nil
		case pushed:
			return seat{}, full(estimate)
		}
		return seat{}, timedOut(estimate)
	}
}

// abandon takes a call out of the queue, or gives back the place it got meanwhile.
func (at *provider) abandon(now time.Time, w *waiter) {
	at.mu.Lock()
	defer at.mu.Unlock()
	switch {
	case w.given:
		at.queue.leave(now, w.since)
	case !w.full:
		at.queue.remove(w)
	}
}

// told begins to tell the caller its place, once a second, if it wants to know.
func (r *run) told(at *provider, route *Route, w *waiter) *time.Ticker {
	if r.call.Notice == nil {
		return nil
	}
	r.place, r.expect = 0, 0
	r.tell(at, route, w)
	return time.NewTicker(time.Second)
}

// tell tells the caller its place if it changed.
func (r *run) tell(at *provider, route *Route, w *waiter) {
	now := r.pool.now()
	at.mu.Lock()
	if w.given || w.full {
		at.mu.Unlock()
		return
	}
	place := at.queue.place(r.call.User, w)
	estimate := at.queue.estimate(now, place)
	at.mu.Unlock()
	if place == r.place && estimate.Round(time.Second) == r.expect {
		return
	}
	r.place, r.expect = place, estimate.Round(time.Second)
	r.call.Notice(Notice{Kind: Queued, Model: route.Model, Place: place, Estimate: estimate, Attempt: len(r.out.Attempts) + 1, Cause: llm.Overloaded})
}

// patience is how long the call may still wait: for places, for limits to pass and
// for retries, all together.
func (r *run) patience(route *Route) time.Duration {
	wait := route.Wait
	if wait <= 0 {
		wait = waitDefault
	}
	return wait - r.out.Queued - r.paused
}

func (route *Route) waiting() int {
	if route.Waiting > 0 {
		return route.Waiting
	}
	return waitingPerPlace * route.Places
}

// freeElsewhere says whether a later route could be used at once.
func (r *run) freeElsewhere(i int) bool {
	for j := i + 1; j < len(r.legs); j++ {
		if !r.legs[j].dead && r.usable(j) {
			return true
		}
	}
	return false
}

func (r *run) usable(i int) bool {
	at, route := r.legs[i].at, &r.call.Routes[i]
	now := r.pool.now()
	at.mu.Lock()
	defer at.mu.Unlock()
	at.queue.resize(now, route.Places)
	c, _ := at.choose(now, r.pool, route, &wish{tried: r.legs[i].tried()})
	return c.lane != nil && at.queue.free()
}

func full(estimate time.Duration) *fault.Error {
	return fault.New(fault.Unavailable, "queue_full", "Too many requests are waiting for this model; try again in a moment.").After(estimate)
}

func timedOut(estimate time.Duration) *fault.Error {
	return fault.New(fault.Unavailable, "queue_timeout", "No place became free for this request in time; try again in a moment.").After(estimate)
}
