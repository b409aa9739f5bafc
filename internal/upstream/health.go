package upstream

import (
	"cmp"
	"slices"
	"time"

	"onemind/internal/llm"
)

// Health is how a provider does, for operators and metrics.
type Health struct {
	Provider         string
	Running, Waiting int           // answers now
	Places           int           // 0: no bound
	Held             time.Duration // how long an answer takes on average; 0: none has ended
	Lanes            []Lane        // by model and key
}

// Lane is how a model of a provider does by one key.
type Lane struct {
	Key            int // 1-based number of the key when it was last used; 0: the provider needs none
	Model          string
	Breaker        State
	Probe          time.Time // of an open breaker: when one call may try
	Cooling        time.Time // no calls before, after a 429; zero: none
	Asked          bool      // the provider named that time
	Suspect        bool      // the model failed lately: beginnings are held back
	Calls, Failed  int       // of the last 30 s, limits and callers' faults not counted
	Fault          *Fault    // nil: none
	Used           time.Time // last
	LastFailure    string    // the provider's last words beside faults and callers' errors; empty: none
	LastFailedWith llm.Class // of LastFailure
}

// Fault is what only an operator can mend: a refused key (llm.BadKey), an empty
// account (llm.NoQuota), a model the provider does not know (llm.NoModel) or an
// address where it has nothing (llm.WrongAddress).
type Fault struct {
	Class       llm.Class
	Since, Last time.Time
	Until       time.Time // when it is tried again; in the past for models, which always are
	Count       int
	Words       string // the provider's
}

// Health tells how the providers do that were called, by id.
func (p *Pool) Health() []Health {
	p.mu.RLock()
	all := make([]Health, 0, len(p.providers))
	states := make([]*provider, 0, len(p.providers))
	for id, at := range p.providers {
		all, states = append(all, Health{Provider: id}), append(states, at)
	}
	p.mu.RUnlock()
	now := p.now()
	for i, at := range states {
		at.report(now, &all[i])
	}
	all = slices.DeleteFunc(all, func(h Health) bool { return h.Running+h.Waiting+len(h.Lanes) == 0 }) // out of use
	slices.SortFunc(all, func(a, b Health) int { return cmp.Compare(a.Provider, b.Provider) })
	return all
}

func (at *provider) report(now time.Time, h *Health) {
	at.mu.Lock()
	defer at.mu.Unlock()
	at.sweep(now, laneIdle)
	h.Running, h.Waiting, h.Places, h.Held = at.queue.running, at.queue.waiting, at.queue.places, at.queue.average
	for id, l := range at.lanes {
		lane := Lane{Key: l.number, Model: id.model, Breaker: l.breaker.state, Used: l.used, Suspect: at.suspect(now, id.model)}
		good, bad := l.breaker.window.sum(now, breakerSpan)
		lane.Calls, lane.Failed = good+bad, bad
		if lane.Breaker != Closed {
			lane.Probe = l.breaker.until
		}
		if l.cooling.After(now) {
			lane.Cooling, lane.Asked = l.cooling, l.asked
		}
		if l.last != nil {
			lane.LastFailure, lane.LastFailedWith = l.last.Text, l.last.Class
		}
		for _, r := range []*refusal{&l.unknown, &l.refusal, &l.key.refusal} {
			if r.said != nil {
				lane.Fault = &Fault{Class: r.said.Class, Since: r.since, Last: r.last, Until: r.until, Count: r.count, Words: r.said.Text}
			}
		}
		h.Lanes = append(h.Lanes, lane)
	}
	slices.SortFunc(h.Lanes, func(a, b Lane) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Key, b.Key))
	})
}
