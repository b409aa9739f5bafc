package upstream

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"onemind/internal/llm"
)

const (
	// coolDefault is how long a key rests after a 429 that names no time.
	coolDefault = time.Minute
	// refusedFor is how long a key that was refused, or whose quota is used up, is
	// left alone; then one call of real traffic tries it.
	refusedFor = 10 * time.Minute
	// refusedProbe is how long that call may take before another one tries.
	refusedProbe = 30 * time.Second
	// suspectSpan and suspectShare: failures of a model that make its answers be
	// held back at first.
	suspectSpan  = time.Minute
	suspectShare = 0.01
	// laneIdle is how long a key that no call names any more is remembered.
	laneIdle = time.Hour
	// lanesMost bounds the memory of a provider whose keys are edited all the time;
	// 20 keys of 1000 models need as many.
	lanesMost = 20_000
)

// provider is what is known of one provider.
type provider struct {
	mu     sync.Mutex
	queue  queue
	budget budget
	turn   uint // of the key ring
	keys   map[uint64]*key
	lanes  map[laneID]*lane
	models map[string]*results // of each model, over all keys
}

// forget drops all but who runs and who waits.
func (at *provider) forget() {
	at.keys, at.lanes, at.models = map[uint64]*key{}, map[laneID]*lane{}, map[string]*results{}
}

// key is one secret of a provider.
type key struct{ refusal }

// laneID is one model by one key: what limits and outages are bound to.
type laneID struct {
	key   uint64
	model string
}

// lane is what is known of a model by one key.
type lane struct {
	refusal // of this model only: a 403
	key     *key
	number  int // of the key, when it was last used
	used    time.Time
	breaker breaker
	cooling time.Time // until then, after a 429
	cooled  time.Time // when that 429 came
	asked   bool      // the provider named the time
	last    *llm.Failure
	unknown refusal // the provider does not know the model, or the address it is asked at
}

// refusal is a fault that only an operator can mend.
type refusal struct {
	since time.Time // first seen
	last  time.Time
	until time.Time // when it is tried again
	count int
	said  *llm.Failure // last; nil: there is no fault
}

func (r *refusal) refused(now time.Time) bool { return now.Before(r.until) }

// note counts another one.
func (r *refusal) note(now time.Time, f *llm.Failure, rest time.Duration) {
	if r.said == nil || r.said.Class != f.Class {
		*r = refusal{since: now}
	}
	r.last, r.until, r.said = now, now.Add(rest), f
	r.count++
}

// lane finds or makes one.
func (at *provider) lane(now time.Time, id laneID) *lane {
	l := at.lanes[id]
	if l != nil {
		return l
	}
	if len(at.lanes) >= lanesMost {
		at.sweep(now, 0)
	}
	k := at.keys[id.key]
	if k == nil {
		k = &key{}
		at.keys[id.key] = k
	}
	l = &lane{key: k, used: now}
	at.lanes[id] = l
	return l
}

// sweep drops the lanes unused for so long.
func (at *provider) sweep(now time.Time, idle time.Duration) {
	keep := map[uint64]bool{}
	for id, l := range at.lanes {
		if now.Sub(l.used) > idle && !l.breaker.probing {
			delete(at.lanes, id)
		} else {
			keep[id.key] = true
		}
	}
	for id := range at.keys {
		if !keep[id] {
			delete(at.keys, id)
		}
	}
}

// obstacle is why a route has no key to offer now.
type obstacle int

// The obstacles, the least bad one last.
const (
	free  obstacle = iota
	tried          // every key was tried by this call
	refused
	cooling // the provider named a time
	open
)

// skip says what is in the way of a route.
type skip struct {
	why  obstacle
	rest time.Duration // until it is worth trying
	last *llm.Failure  // the provider's last failure there
	hope bool          // it may be tried for want of another way
}

// wish is which keys a call wants.
type wish struct {
	tried  []uint64 // keys it tried on this route already
	others bool     // none of those, and none that cools: a limit is not met twice at once
	force  bool     // the least bad one, when none is good
}

func (w *wish) has(id uint64) bool {
	for _, t := range w.tried {
		if t == id {
			return true
		}
	}
	return false
}

// choice is a key that is good to use, or the least bad one.
type choice struct {
	lane   *lane
	index  int // in Route.Keys
	number int // for people: index+1, or 0 when the provider needs no key
	id     uint64
	rank   int // lower is better
	oldest time.Time
}

// choose finds the key whose turn it is, without taking it. A key that is fine
// comes before one this call has tried, that before one which cools for a time
// nobody asked for: a provider with one key must not go dark for a minute.
func (at *provider) choose(now time.Time, p *Pool, route *Route, w *wish) (choice, skip) {
	best, in := choice{rank: 99}, skip{}
	n := max(len(route.Keys), 1)
	for i := range n {
		c := choice{index: int((at.turn + uint(i)) % uint(n))}
		if len(route.Keys) > 0 {
			c.id, c.number = p.keyID(route.Keys[c.index]), c.index+1
		}
		c.lane = at.lane(now, laneID{c.id, route.Model})
		before := w.has(c.id)
		s := c.lane.obstacle(now)
		switch {
		case w.others && (before || c.lane.cooling.After(now)):
			s.why = max(s.why, tried)
			in.add(s)
			continue
		case s.why == free && c.lane.cooling.After(now):
			c.rank, c.oldest = 2, c.lane.cooled
		case s.why == free && !before:
			return c, in
		case s.why == free:
		case w.force && s.hope:
			c.rank, c.oldest = 10-int(s.why), now.Add(s.rest)
		default:
			in.add(s)
			continue
		}
		if before {
			c.rank++
		}
		if c.rank < best.rank || c.rank == best.rank && c.oldest.Before(best.oldest) {
			best = c
		}
	}
	return best, in
}

// add keeps the least bad of what is in the way.
func (s *skip) add(other skip) {
	hope := s.hope || other.hope
	if other.why > s.why || other.why == s.why && other.rest < s.rest {
		*s = other
	}
	s.hope = hope
}

// obstacle says what is in the way of a lane. A time to cool that nobody asked
// for is none.
func (l *lane) obstacle(now time.Time) skip {
	for _, r := range []*refusal{&l.key.refusal, &l.refusal} {
		if r.refused(now) {
			return skip{why: refused, rest: r.until.Sub(now), last: r.said, hope: now.Sub(r.last) >= breakerFresh}
		}
	}
	if l.asked && l.cooling.After(now) {
		return skip{why: cooling, rest: l.cooling.Sub(now), last: l.last}
	}
	if !l.breaker.ready(now) {
		return skip{why: open, rest: max(0, l.breaker.until.Sub(now)), last: l.last, hope: now.Sub(l.breaker.opened) >= breakerFresh}
	}
	return skip{}
}

// take marks a choice as used.
func (at *provider) take(now time.Time, c choice) pass {
	at.turn = uint(c.index) + 1
	l := c.lane
	l.used, l.number = now, c.number
	for _, r := range []*refusal{&l.key.refusal, &l.refusal} {
		if r.said != nil {
			r.last, r.until = now, now.Add(refusedProbe) // one at a time
		}
	}
	b := l.breaker.start(now)
	b.began = now
	return b
}

// settle books how an attempt ended. A nil err means that it answered well.
func (at *provider) settle(now time.Time, l *lane, model string, p pass, err error) {
	v := nothing
	var f *llm.Failure
	switch {
	case err == nil:
		v = worked
		for _, r := range []*refusal{&l.key.refusal, &l.refusal, &l.unknown} {
			if !r.last.After(p.began) { // the end of a long answer says nothing of today
				*r = refusal{}
			}
		}
		if l.cooled.Before(p.began) {
			l.cooling = time.Time{}
		}
	case errors.As(err, &f):
		v = l.fail(now, f)
		if v == nothing && f.Class == llm.RateLimited {
			at.results(model).streak++
		}
	}
	if v == nothing || v == worked && p.shown {
		v = nothing
	} else {
		at.results(model).book(now, v == failed)
	}
	l.breaker.end(now, p, v)
}

// results are how a model did lately.
type results struct {
	window
	good   time.Time // last
	streak int       // failures and limits since then
}

func (s *results) book(now time.Time, failed bool) {
	s.add(now, suspectSpan, failed)
	if s.streak++; !failed {
		s.good, s.streak = now, 0
	}
}

// results finds or makes the recent results of a model.
func (at *provider) results(model string) *results {
	s := at.models[model]
	if s == nil {
		s = &results{}
		at.models[model] = s
	}
	return s
}

// fail books a failure.
func (l *lane) fail(now time.Time, f *llm.Failure) verdict {
	switch f.Class {
	case llm.BadRequest:
		return nothing
	case llm.BadKey, llm.NoQuota:
		r := &l.key.refusal
		if f.Status == http.StatusForbidden {
			r = &l.refusal // providers say it of a key that may use other models
		}
		r.note(now, f, refusedFor)
		return nothing
	case llm.NoModel, llm.WrongAddress:
		l.unknown.note(now, f, 0)
		return nothing
	case llm.RateLimited:
		rest := f.Retry
		if rest <= 0 {
			rest = coolDefault
		}
		l.cooling, l.cooled, l.asked, l.last = now.Add(rest), now, f.Retry > 0, f
		return nothing
	}
	l.last = f
	return failed
}

// suspect says whether a model failed lately, so that what it says is held back.
func (at *provider) suspect(now time.Time, model string) bool {
	w := at.models[model]
	if w == nil {
		return false
	}
	good, bad := w.sum(now, suspectSpan)
	return bad > 0 && float64(bad) >= suspectShare*float64(good+bad)
}

// transient says whether a failure may be gone at the next attempt.
func transient(c llm.Class) bool {
	return c == llm.Overloaded || c == llm.Broken || c == llm.TimedOut || c == llm.Unreachable
}
