package upstream

import (
	"context"
	"errors"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
)

const (
	attemptsMost = 8
	backoffBase  = 100 * time.Millisecond
	backoffMost  = 2 * time.Second
	// shortWait is the longest time a provider may ask for that is waited within
	// the call.
	shortWait = 5 * time.Second
)

// run is one call.
type run struct {
	pool    *Pool
	ctx     context.Context
	call    *Call
	began   time.Time
	out     Outcome
	legs    []leg
	few     [3]leg // legs, of most calls
	guard   guard
	speak   func(*llm.Event) error // emit
	refusal error                  // Emit's
	at      *provider              // of the attempt that runs, and its lane
	lane    *lane
	pass    pass
	retries int           // made so far
	late    int           // attempts that timed out
	lost    time.Duration // they took
	paused  time.Duration // waited for limits to pass and for retries
	cause   llm.Class
	place   int // told last
	expect  time.Duration
}

// leg is what a call knows of one of its routes.
type leg struct {
	at       *provider
	entered  bool
	dead     bool // must not be tried (again)
	barren   bool // gave no way when it was visited last
	attempts int
	keys     [attemptsMost]uint64 // tried
	in       skip                 // the way, when it was looked at last
	err      error
	rank     int // of err: the highest is what the caller gets
}

// The ranks of errors, by how much they say about the call as a whole.
const (
	unfit   = iota + 1 // a substitute cannot do it
	skipped            // nothing was sent
	sent
)

func (l *leg) tried() []uint64 { return l.keys[:l.attempts] }

func (l *leg) fail(rank int, err error) {
	if rank >= l.rank {
		l.err, l.rank = err, rank
	}
}

// Stream gets one answer. It returns when the answer is over and its place is
// given back.
func (p *Pool) Stream(ctx context.Context, c Call) Outcome {
	r := &run{pool: p, ctx: ctx, call: &c, began: p.now()}
	r.legs = r.few[:]
	if len(c.Routes) > len(r.few) {
		r.legs = make([]leg, len(c.Routes))
	}
	r.legs = r.legs[:len(c.Routes)]
	for i := range r.legs {
		r.legs[i].at = p.provider(c.Routes[i].Provider)
	}
	r.speak = r.emit
	r.all()
	if h := r.guard.held; h != nil {
		h.clear()
		p.held.Put(h)
	}
	return r.out
}

// all tries the routes in order, and then, one by one, what may be well by now. If
// nothing could be tried at all it tries the least bad one: first those whose breaker
// is open for a while, then those that ask for a short wait, then those whose keys
// were refused, one call a second.
func (r *run) all() {
	for i := range r.legs {
		if r.visit(i, false) {
			return
		}
	}
	for _, why := range []obstacle{open, refused} {
		if r.lastResort(why) || r.rounds() {
			return
		}
	}
	r.out.Err = r.verdict()
}

// visit makes attempts at one route, until the call is over or the route gives
// nothing more. It says whether the call is over.
func (r *run) visit(i int, force bool) (over bool) {
	l := &r.legs[i]
	if l.dead || len(r.out.Attempts) >= attemptsMost {
		return false
	}
	l.in = skip{}
	s, in, err := r.seat(i, force)
	switch {
	case r.ctx.Err() != nil:
		if s.at != nil {
			r.pool.give(s)
		}
		r.out.Err = r.ctx.Err()
		return true
	case err != nil:
		r.cause = llm.Overloaded
		l.fail(skipped, err)
		return false
	case s.at == nil:
		r.skipped(l, in)
		return false
	}
	defer func() { r.pool.give(s) }()
	if !r.enter(i) {
		return false
	}
	return r.attempts(i, s, force)
}

// skipped keeps why a route was passed by.
func (r *run) skipped(l *leg, in skip) {
	l.in = in
	if in.last != nil {
		r.cause = in.last.Class
		said := *in.last
		said.Retry = in.rest
		if in.why == refused {
			said.Retry = 0 // nothing the caller could wait for
		}
		l.fail(skipped, &said)
	}
}

// enter asks whether a substitute may be used, once.
func (r *run) enter(i int) bool {
	l := &r.legs[i]
	if i == 0 || l.entered {
		return true
	}
	l.entered = true
	if r.call.Enter != nil {
		if err := r.call.Enter(i); err != nil {
			l.dead = true
			l.fail(unfit, err)
			return false
		}
	}
	r.notice(Substituted, i)
	return true
}

func (r *run) notice(kind NoticeKind, i int) {
	if r.call.Notice != nil {
		r.call.Notice(Notice{Kind: kind, Model: r.call.Routes[i].Model, Attempt: len(r.out.Attempts) + 1, Cause: r.cause})
	}
}

// room says whether a route may have one more attempt: each route that was not
// tried yet keeps one.
func (r *run) room(i int) bool { return len(r.out.Attempts)+r.left(i) < attemptsMost }

// left counts the routes after one that were not tried yet.
func (r *run) left(i int) int {
	n := 0
	for j := i + 1; j < len(r.legs); j++ {
		if l := &r.legs[j]; !l.dead && l.attempts == 0 {
			n++
		}
	}
	return n
}

// attempts is a visit with a place.
func (r *run) attempts(i int, s seat, force bool) (over bool) {
	l, route := &r.legs[i], &r.call.Routes[i]
	want := wish{force: force}
	for again, first := 0, true; first || r.room(i); first = false {
		want.tried = l.tried()
		now := r.pool.now()
		l.at.mu.Lock()
		c, in := l.at.choose(now, r.pool, route, &want)
		if c.lane == nil {
			l.at.mu.Unlock()
			r.skipped(l, in)
			return false
		}
		pass := l.at.take(now, c)
		if l.attempts == 0 {
			l.at.budget.call(now)
		}
		suspect := l.at.suspect(now, route.Model)
		l.at.mu.Unlock()
		if want.others {
			r.notice(Retrying, i)
		}
		err := r.attempt(i, c, pass, suspect, s.waited)
		s.waited = 0
		if err == nil || r.over(err) {
			return true
		}
		switch r.judge(i, err) {
		case stop:
			return true
		case elsewhere:
			return false
		case otherKey:
			want.others = true
		case later:
			again++
			if !r.again(i, again, err) {
				return r.gone()
			}
			want.others = false
		}
		want.force = false
	}
	return false
}

// attempt is one try. It books what came of it.
func (r *run) attempt(i int, c choice, pass pass, suspect bool, waited time.Duration) (err error) {
	l, route := &r.legs[i], &r.call.Routes[i]
	l.keys[l.attempts] = c.id
	l.attempts++
	r.out.Served = i
	r.guard.reset(suspect)
	r.at, r.lane, r.pass = l.at, c.lane, pass
	to := route.To
	if c.number > 0 {
		to.Key = route.Keys[c.index]
	}
	start := r.pool.now()
	settled := false
	settle := func(err error) {
		settled = true
		now := r.pool.now()
		r.out.Attempts = append(r.out.Attempts, Attempt{Route: i, Key: c.number, Err: err, Queued: waited,
			Start: start.Sub(r.began), Took: now.Sub(start), Usage: r.out.Result.Usage})
		if r.ended(err) {
			if err = context.Canceled; r.guard.output {
				err = nil // it was answering well
			}
		}
		l.at.mu.Lock()
		defer l.at.mu.Unlock()
		l.at.settle(now, c.lane, route.Model, r.pass, err)
	}
	defer func() { // a dialect that panics must not keep the probe
		if !settled {
			settle(&llm.Failure{Class: llm.Broken, Text: "panic"})
		}
	}()
	r.out.Result = llm.Result{}
	r.out.Result, err = route.Speak.Stream(r.ctx, to, r.call.Request, r.speak)
	if err == nil {
		err = r.finish()
	}
	settle(err)
	return err
}

// streamed says whether the answer comes as events.
func (r *run) streamed() bool { return r.call.Request.Stream && r.call.Request.Op == llm.Chat }

// alive is called at the first output: the provider has shown that it works,
// whatever time the rest takes. Failures show at once; counted at their ends, long
// answers would come too late to be weighed against them.
func (r *run) alive() {
	now := r.pool.now()
	r.at.mu.Lock()
	defer r.at.mu.Unlock()
	r.at.results(r.call.Routes[r.out.Served].Model).book(now, false)
	r.lane.breaker.end(now, r.pass, worked)
	r.pass = pass{round: r.lane.breaker.round, began: r.pass.began, shown: true}
}

// finish delivers what an answer that ended well still owes.
func (r *run) finish() error {
	req, res := r.call.Request, &r.out.Result
	if r.streamed() {
		if !r.guard.committed && !r.guard.output && !r.guard.finished && res.Finish == "" {
			return empty()
		}
		return r.flush(false)
	}
	said := len(res.Body) > 0
	if req.Op == llm.Chat {
		said = said && (res.Finish != "" || res.Text != "" || res.Usage != nil && res.Usage.Output > 0)
	}
	if !said {
		return empty()
	}
	r.out.Committed = true
	return nil
}

func empty() error {
	return &llm.Failure{Class: llm.Broken, Text: "The provider's answer is empty."}
}

// ended says whether it was the caller who ended the call.
func (r *run) ended(err error) bool {
	return err != nil && (r.refusal != nil || r.ctx.Err() != nil)
}

// over says whether nothing more may be tried after an error, and keeps it.
func (r *run) over(err error) bool {
	switch {
	case r.refusal != nil:
		r.out.Err = r.refusal
	case r.ctx.Err() != nil:
		r.out.Err = r.ctx.Err()
	case r.out.Committed:
		r.out.Err = err
	default:
		return false
	}
	return true
}

// gone says whether the caller left, and keeps that.
func (r *run) gone() bool {
	if err := r.ctx.Err(); err != nil {
		r.out.Err = err
		return true
	}
	return false
}

// next is what follows a failed attempt.
type next int

const (
	stop next = iota
	elsewhere
	otherKey
	later // the same route, after a pause
)

// judge says what follows an error that came before anything was delivered.
func (r *run) judge(i int, err error) next {
	l := &r.legs[i]
	var f *llm.Failure
	if !errors.As(err, &f) {
		return r.unsendable(i, err)
	}
	r.cause = f.Class
	if f.Class == llm.TimedOut {
		r.late++
		r.lost += r.out.Attempts[len(r.out.Attempts)-1].Took
	}
	switch f.Class {
	case llm.BadRequest:
		if i == 0 {
			r.out.Err = err
			return stop
		}
		l.dead = true
		l.fail(unfit, err) // the caller did not ask for this model
		return elsewhere
	case llm.NoModel, llm.WrongAddress:
		l.dead = true
		l.fail(sent, err)
		return elsewhere
	case llm.BadKey, llm.NoQuota, llm.RateLimited:
		l.fail(sent, err)
		return otherKey
	}
	l.fail(sent, err)
	return later
}

// unsendable is a request that a dialect could not send: the caller's error when
// it was for the model asked for, and no more than a reason to pass a substitute by.
func (r *run) unsendable(i int, err error) next {
	l := &r.legs[i]
	l.dead = true
	switch {
	case i > 0:
		l.fail(unfit, err)
		return elsewhere
	case fault.Is(err, fault.Invalid) || fault.Is(err, fault.Unprocessable) || fault.Is(err, fault.TooLarge):
		r.out.Err = err
		return stop
	}
	l.fail(sent, err)
	return elsewhere
}
