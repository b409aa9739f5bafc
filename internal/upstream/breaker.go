package upstream

import "time"

// State is what a breaker lets through.
type State int

// The states.
const (
	Closed   State = iota // everything
	Open                  // nothing
	HalfOpen              // one call, to see whether it works again
)

// String gives the state's stable name: "closed", "open" or "half_open".
func (s State) String() string { return [...]string{"closed", "open", "half_open"}[s] }

const (
	breakerSpan  = 30 * time.Second
	breakerCalls = 20  // fewer say nothing
	breakerShare = 0.6 // of failures
	breakerFirst = 5 * time.Second
	breakerLast  = time.Minute
	// breakerFresh is how long nothing at all is tried after opening, even when
	// there is no other way.
	breakerFresh = time.Second
)

// verdict is what an attempt says about the one who was asked.
type verdict int

const (
	nothing verdict = iota // a limit, the caller's fault, an operator's, a caller who left
	worked
	failed
)

// pass is what an attempt got from a breaker, and has to bring back.
type pass struct {
	probe  bool // the one call of half-open
	forced bool // let through although open, for want of another way
	round  int
	shown  bool // its success is counted already
	began  time.Time
}

// breaker keeps calls from what fails again and again. failsafe-go's (v0.9.8) was
// weighed: it takes the late result of a long stream for that of the probe, and
// a probe whose result says nothing keeps its permit for ever.
type breaker struct {
	state   State
	window  window
	round   int       // grows with every change between closed and not: results of older ones do not count
	opened  time.Time // last
	until   time.Time // when a probe may go
	pause   time.Duration
	probing bool
	probed  time.Time // when the last probe began
	// pending are the attempts under way that have not shown what they are. A provider
	// that fails, fails at once; one that answers thinks first. Of many calls that
	// begin together the failures come in before any success does.
	pending int
}

// ready says whether an attempt may be made. A probe that has shown nothing for as
// long as a pause lasts at most no longer keeps others away: one that is not
// streamed may take many minutes.
func (b *breaker) ready(now time.Time) bool {
	return b.state == Closed || !now.Before(b.until) && (!b.probing || now.Sub(b.probed) >= breakerLast)
}

// start lets an attempt through.
func (b *breaker) start(now time.Time) pass {
	switch {
	case b.state == Closed:
		b.pending++
		return pass{round: b.round}
	case b.ready(now):
		b.state, b.probing, b.probed = HalfOpen, true, now
		return pass{probe: true, round: b.round}
	}
	return pass{forced: true, round: b.round}
}

// end takes the result of an attempt.
func (b *breaker) end(now time.Time, p pass, v verdict) {
	if p.round != b.round {
		return
	}
	if p.probe {
		b.probing = false
	}
	switch {
	case b.state == Closed:
		if !p.shown {
			b.pending--
		}
		if v == nothing {
			return
		}
		b.window.add(now, breakerSpan, v == failed)
		if good, bad := b.window.sum(now, breakerSpan); v == failed && good+bad >= breakerCalls && float64(bad) >= breakerShare*float64(good+bad+b.pending) {
			b.open(now, breakerFirst)
		}
	case v == worked:
		*b = breaker{round: b.round + 1}
	case v == failed && p.probe:
		b.open(now, min(2*b.pause, breakerLast))
	}
}

func (b *breaker) open(now time.Time, pause time.Duration) {
	b.state, b.opened, b.until, b.pause, b.pending = Open, now, now.Add(pause), pause, 0
	b.round++
}
