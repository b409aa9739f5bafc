package upstream

import (
	"time"

	"onemind/internal/llm"
)

const (
	heldEvents = 64
	heldBytes  = 256 << 10
	// heldFor is how long the content of a suspect model is held back at most.
	heldFor = 3 * time.Second
	// heldUnknown is the same for a model of which little is known yet, while others
	// have asked it too: answers that begin together learn from each other.
	heldUnknown = 250 * time.Millisecond
	// heldKept is the largest buffer that is kept for other calls.
	heldKept = 64 << 10
)

// held is what was not delivered yet.
type held struct {
	events []llm.Event
	bytes  []byte // what they consist of; a piece that was moved stays valid where it was
}

// guard holds back the beginning of an answer, until it is clear that it is
// one: a provider that accepts a request and then fails, stalls or ends is tried
// again, and nothing was delivered twice.
type guard struct {
	suspect   bool
	content   time.Time // when the first one came
	output    bool
	finished  bool
	committed bool
	*held
}

// reset begins with another attempt.
func (g *guard) reset(suspect bool) {
	if g.held != nil {
		g.clear()
	}
	g.suspect, g.output, g.finished, g.content = suspect, false, false, time.Time{}
}

// keep copies an event, which is valid only until emit returns.
func (g *guard) keep(e *llm.Event) {
	g.events = append(g.events, *e)
	c := &g.events[len(g.events)-1]
	c.Data, c.Content, c.Reasoning = g.copy(e.Data), g.copy(e.Content), g.copy(e.Reasoning)
}

func (g *guard) copy(b []byte) []byte {
	if b == nil {
		return nil
	}
	n := len(g.bytes)
	g.bytes = append(g.bytes, b...)
	return g.bytes[n:len(g.bytes):len(g.bytes)]
}

func (h *held) clear() {
	clear(h.events)
	h.events = h.events[:0]
	if cap(h.bytes) > heldKept {
		h.bytes = nil
	}
	h.bytes = h.bytes[:0]
}

// emit is what a dialect calls.
func (r *run) emit(e *llm.Event) error {
	if !r.streamed() {
		return nil
	}
	g := &r.guard
	if e.Output > 0 && !g.output {
		g.output = true
		r.alive()
	}
	g.finished = g.finished || e.Finish != ""
	if g.committed {
		return r.deliver(e)
	}
	if g.due(r, e) {
		if err := r.flush(true); err != nil {
			return err
		}
		return r.deliver(e)
	}
	if g.held == nil {
		g.held = r.pool.held.Get().(*held)
	}
	g.keep(e)
	return nil
}

// due says whether an event ends the holding back.
func (g *guard) due(r *run, e *llm.Event) bool {
	if g.held != nil && (len(g.events) >= heldEvents || len(g.bytes)+len(e.Data) > heldBytes) {
		return true
	}
	if e.Output == 0 && g.content.IsZero() {
		return false
	}
	now := r.pool.now()
	if g.content.IsZero() {
		g.content = now
	}
	most := heldFor
	if !g.suspect {
		g.suspect, most = r.doubt(now)
	}
	return now.Sub(g.content) >= most
}

// doubt says whether the model that answers became a suspect since the attempt began,
// and how long its content is held back.
func (r *run) doubt(now time.Time) (suspect bool, most time.Duration) {
	model := r.call.Routes[r.out.Served].Model
	r.at.mu.Lock()
	defer r.at.mu.Unlock()
	if r.at.suspect(now, model) {
		return true, heldFor
	}
	if good, bad := r.at.results(model).sum(now, suspectSpan); good+bad < breakerCalls && r.lane.breaker.pending > 0 {
		return false, heldUnknown
	}
	return false, 0
}

// flush delivers what is held. From here on nothing can be tried again.
func (r *run) flush(more bool) error {
	g := &r.guard
	g.committed = true
	if g.held == nil {
		return nil
	}
	defer g.clear()
	for i := range g.events {
		e := &g.events[i]
		e.More = more || i < len(g.events)-1
		if err := r.deliver(e); err != nil {
			return err
		}
	}
	return nil
}

// deliver hands an event to the caller.
func (r *run) deliver(e *llm.Event) error {
	r.out.Committed = true
	if err := r.call.Emit(e); err != nil {
		r.refusal = err
		return err
	}
	return nil
}
