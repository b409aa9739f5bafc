// Package upstream is the way to a provider: whose turn it is, which key, what
// is tried again and where else, and from which event on nothing may be tried
// again. Of users it knows an id, to be fair between them. Prices, credits, the
// catalog and what an answer says are none of its business.
//
// Invariants: a place taken is given back before Stream returns, however it
// ends; once an event was delivered no other attempt is made; an answer is
// attempted at most eight times.
package upstream

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"onemind/internal/llm"
)

// Route is one way to an answer: a model at a provider. The first one of a call
// is what was asked for; the others may stand in for it.
type Route struct {
	Model, Provider string        // catalog ids
	Speak           llm.Provider  // the dialect
	To              llm.Target    // without a key; its Cap set
	Keys            []llm.Key     // empty: the provider needs none
	Places          int           // answers at once at this provider, over all models; 0: no bound. The newest call's number holds
	Waiting         int           // how many may wait for a place; 0: 20 per place
	Wait            time.Duration // how long one call waits for places at most; 0: 30 s
}

// Call is one answer that is wanted.
type Call struct {
	User    string // who asks; calls of different users take turns
	Routes  []Route
	Request *llm.Request
	// Emit gets what is delivered, in order. Its error ends the call and comes back
	// unchanged. It is not called for answers that are not streamed.
	Emit func(*llm.Event) error
	// Notice tells what happens meanwhile, from the call's goroutine; may be nil.
	Notice func(Notice)
	// Enter is asked once before the first attempt at Routes[i], i > 0, with a place
	// there already taken; its error skips the route. May be nil.
	Enter func(i int) error
}

// NoticeKind is what a Notice tells.
type NoticeKind int

// The kinds of notice.
const (
	Queued      NoticeKind = iota // waits for a place: Place and Estimate are set
	Retrying                      // another attempt at the same model: Attempt and Cause
	Substituted                   // another model stands in: Attempt and Cause
)

// String gives the kind's stable name: "queued", "retrying" or "substituted".
func (k NoticeKind) String() string {
	return [...]string{"queued", "retrying", "substituted"}[k]
}

// Notice tells a caller that waits what happens.
type Notice struct {
	Kind     NoticeKind
	Model    string        // catalog id of the model that is waited for or tried next
	Place    int           // of Queued: 1 is next
	Estimate time.Duration // of Queued: the expected wait
	Attempt  int           // the attempt that comes now; 1 is the first
	Cause    llm.Class     // what went wrong before; a full queue is Overloaded
}

// Attempt is one try at a provider, for receipts and logs. Failures keep the
// provider's words.
type Attempt struct {
	Route  int           // index in Call.Routes
	Key    int           // 1-based number of the key in Route.Keys; 0: none
	Err    error         // nil: it answered
	Start  time.Duration // when it began, since Stream began
	Took   time.Duration
	Queued time.Duration // how long the place for it was waited for
	Usage  *llm.Usage    // what the provider reported, of failures too; may be nil
}

// Outcome is how a call ended.
type Outcome struct {
	Result llm.Result // of the last attempt
	// Err is nil, the ctx's, Emit's, a *llm.Failure of a provider, or a *fault.Error
	// of a dialect or of the queue ("queue_full", "queue_timeout").
	Err       error
	Served    int           // index of the route that answered, else of the one tried last; 0 when none was
	Attempts  []Attempt     // in order; empty when nothing was sent
	Queued    time.Duration // waited for places, all together
	Committed bool          // something was delivered, or a whole answer is there
}

// Options are what a Pool can be given; the zero value is useful.
type Options struct {
	Now  func() time.Time // nil: time.Now
	Rand func() float64   // in [0, 1), for the jitter of waits; nil: math/rand
}

// Pool holds what is known of the providers, for all calls of this instance.
// Its methods may be called from any goroutine.
type Pool struct {
	now  func() time.Time
	rand func() float64
	seed maphash.Seed
	held sync.Pool // of *held

	mu        sync.RWMutex
	providers map[string]*provider
}

// New returns a Pool that knows nothing yet.
func New(o Options) *Pool {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	return &Pool{now: o.Now, rand: o.Rand, seed: maphash.MakeSeed(), providers: map[string]*provider{},
		held: sync.Pool{New: func() any { return &held{} }}}
}

// Forget clears what was held against a provider's keys and models, because an
// operator edited them. Calls that run or wait are not touched.
func (p *Pool) Forget(provider string) {
	at := p.provider(provider)
	at.mu.Lock()
	defer at.mu.Unlock()
	at.forget()
}

// provider finds or makes the state of a provider.
func (p *Pool) provider(id string) *provider {
	p.mu.RLock()
	at := p.providers[id]
	p.mu.RUnlock()
	if at != nil {
		return at
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if at = p.providers[id]; at == nil {
		at = &provider{}
		at.forget()
		p.providers[id] = at
	}
	return at
}

// keyID is what a key is known by inside the pool: keys are edited, so that a
// number says nothing about which one it was.
func (p *Pool) keyID(k llm.Key) uint64 { return maphash.String(p.seed, k.Reveal()) }
