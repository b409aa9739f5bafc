// Package gateway makes one model call, from admission to settlement. It is the
// only place where money and a provider meet. Who the user is, what is
// remembered of an answer and how it reaches a screen are none of its business.
package gateway

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/credit"
	"onemind/internal/limit"
	"onemind/internal/llm"
	"onemind/internal/money"
	"onemind/internal/upstream"
)

// Counter counts tokens where a provider reports none. It is never called
// before or during an answer, only after one that ended without usage.
type Counter interface {
	// Input counts a chat request's tokens.
	Input(body []byte) int64
	// Text counts the tokens of a text.
	Text(s string) int64
}

// Call is one model call of one user.
type Call struct {
	ID        string // the answer's id; also the hold's and the receipt's
	RequestID string
	User      string
	Key       string       // id of the API key, if one was used
	Run       string       // the chat run it belongs to, if any
	Plan      catalog.Plan // what applies to the user, own limits merged in
	KeyCap    money.Amount // what that key may spend in one day; 0 means no cap
	Model     string
	// Substitutes are models that may answer when Model cannot, in order. nil leaves
	// that to the catalog, an empty list allows none.
	Substitutes []string
	Request     *llm.Request
	Cache       bool         // the response cache may answer, and may keep the answer
	MaxCost     money.Amount // the caller's bound for this answer; 0 means none
	// Share is what this answer may hold at most when its request names no cap: a
	// part of the balance, so that the answers of one run all find something. 0 means no bound.
	Share money.Amount
}

// Observation is what is told of a call when it is over.
type Observation struct {
	Receipt credit.Receipt
	Err     error
	Took    time.Duration
	Settled bool // false: the settlement will be repeated until it is durable
}

// Engine makes calls.
type Engine struct {
	catalog *catalog.Catalog
	limits  limit.Limiter
	credit  *credit.Ledger
	models  llm.Registry
	ways    *upstream.Pool
	options Options
	cache   *cache // nil: there is none

	open    atomic.Int64
	mu      sync.Mutex
	active  map[string]*Ticket        // admitted and not settled, by answer id
	unpaid  map[string]credit.Receipt // settlements the store refused; repeated by Run
	observe func(Observation)
}

// Options are the rest of what an Engine needs.
type Options struct {
	Owner   string // boot id of this instance
	Counter Counter
	Observe func(Observation)
	Now     func() time.Time // time.Now when nil
	// Replies keeps answers for calls that allow it; nil: no response cache.
	Replies Replies
	// Instances is how many instances share each provider's places; 1 when nil.
	Instances func() int
}

// New builds an Engine.
func New(c *catalog.Catalog, l limit.Limiter, b *credit.Ledger, m llm.Registry, o Options) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Instances == nil {
		o.Instances = func() int { return 1 }
	}
	return &Engine{catalog: c, limits: l, credit: b, models: m, ways: upstream.New(upstream.Options{}), options: o, observe: o.Observe, cache: newCache(o.Replies),
		active: map[string]*Ticket{}, unpaid: map[string]credit.Receipt{}}
}

// OpenAnswers is the number of admitted answers that are not settled yet.
func (e *Engine) OpenAnswers() int64 { return e.open.Load() }

// Ticket is an admitted call: routed, within its limits, its worst case held.
// It must be used once: Stream or Cancel.
type Ticket struct {
	engine   *Engine
	call     Call
	asked    *catalog.Route   // nil when it cannot be called and another stands in
	routes   []*catalog.Route // the ways to an answer: the asked model, then what may stand in
	served   *catalog.Route   // of these, the one that answered, or was tried last
	revision int64
	hold     money.Amount
	cap      int64
	release  func()
	started  time.Time
	meter    meter
	cached   bool // the answer is a kept one: free
}

// Revision is the catalog revision the call keeps for its whole life.
func (t *Ticket) Revision() int64 { return t.revision }

// Cap is the number of output tokens the hold covers.
func (t *Ticket) Cap() int64 { return t.cap }

// most is the output tokens of all the answers a request asks for together.
func (t *Ticket) most() int64 { return t.cap * max(t.call.Request.N, 1) }

// Refusal is the admission's answer for one call of several.
type Refusal struct {
	Index int
	Err   error
}

// Admission is what Admit decided.
type Admission struct {
	Tickets  []*Ticket // one per call; nil where refused
	Refused  []Refusal
	Verdict  limit.Verdict // for rate-limit headers
	Revision int64
}

// Admit decides over the calls of one request: routes and prices of one
// revision, all limits in one step, then a hold for each. An error refuses all of
// them and nothing is kept; a call that only it cannot be made (an unknown
// model, no credits left for it) is in Refused.
func (e *Engine) Admit(ctx context.Context, calls ...Call) (Admission, error) {
	snap := e.catalog.Snapshot()
	adm := Admission{Tickets: make([]*Ticket, len(calls)), Revision: snap.Revision}
	refuse := func(i int, err error) {
		adm.Tickets[i], adm.Refused = nil, append(adm.Refused, Refusal{i, err})
	}
	units := int64(0)
	for i := range calls {
		t, err := e.route(snap, &calls[i])
		if err != nil {
			refuse(i, err)
			continue
		}
		adm.Tickets[i] = t
		units++
	}
	if units == 0 {
		return adm, nil
	}
	var err error
	if adm.Verdict, err = e.limits.Take(ctx, e.options.Now(), buckets(snap, adm.Tickets), lease(calls[0], units)); err != nil {
		return Admission{}, fmt.Errorf("take limits: %w", err)
	}
	if !adm.Verdict.OK {
		return Admission{Verdict: adm.Verdict, Revision: snap.Revision}, adm.Verdict.Err()
	}
	e.hold(ctx, adm.Tickets, refuse)
	e.share(adm.Tickets, adm.Verdict.Release)
	return adm, nil
}

// buckets lists everything the admitted calls count against: the user, the user
// at each provider, the user's tokens, everybody.
func buckets(snap *catalog.Snapshot, tickets []*Ticket) []limit.Bucket {
	list := make([]limit.Bucket, 0, 4)
	total, tokens := int64(0), int64(0)
	var plan *catalog.Plan
	var user string
	for _, t := range tickets {
		if t == nil {
			continue
		}
		total++
		tokens += likely(t.call.Request.InputTokens)
		plan, user = &t.call.Plan, t.call.User
	}
	list = append(list, limit.Bucket{Key: "ratelimit:{" + user + "}", Scope: "user", Max: plan.RequestsPerMinute, Take: total})
	for i, t := range tickets {
		if t == nil {
			continue
		}
		provider, n, seen := t.served.Provider.ID, int64(0), false
		for j, other := range tickets {
			if other == nil || other.served.Provider.ID != provider {
				continue
			}
			seen = seen || j < i
			n++
		}
		if !seen {
			list = append(list, providerBucket(user, provider, plan, n))
		}
	}
	if plan.TokensPerMinute > 0 {
		list = append(list, tokenBucket(user, plan.TokensPerMinute, tokens))
	}
	return append(list, limit.Bucket{Key: "ratelimit:global", Scope: "global", Max: snap.Settings.GlobalRequestsPerMinute, Take: total})
}

// providerBucket counts a user's calls at one provider.
func providerBucket(user, provider string, plan *catalog.Plan, n int64) limit.Bucket {
	return limit.Bucket{Key: "ratelimit:{" + user + "}:" + provider, Scope: "user_provider", Max: plan.RequestsPerMinuteProvider, Take: n}
}

// tokenBucket counts a user's tokens: the likely input when a call is admitted,
// the output when it is known. A call may so end above the limit; the next waits.
func tokenBucket(user string, most, tokens int64) limit.Bucket {
	return limit.Bucket{Key: "ratelimit:{" + user + "}:#tokens", Scope: "tokens", Max: most, Take: tokens}
}

// anyNumber is a limit that refuses nothing, for counting what has happened.
const anyNumber = 1 << 36

// countOutput counts the tokens of an answer that is over, if the plan limits them.
func (t *Ticket) countOutput(ctx context.Context, output int64) {
	if t.call.Plan.TokensPerMinute == 0 || output == 0 {
		return
	}
	// What cannot be counted is given away: the answer is there already.
	_, _ = t.engine.limits.Take(ctx, t.engine.options.Now(), []limit.Bucket{tokenBucket(t.call.User, anyNumber, output)}, limit.Lease{})
}

// lease asks for one of the user's places per call.
func lease(c Call, n int64) limit.Lease {
	if c.Plan.ConcurrentAnswers == 0 {
		return limit.Lease{}
	}
	return limit.Lease{Key: "answers:{" + c.User + "}", N: n, Max: c.Plan.ConcurrentAnswers}
}

// share gives every admitted ticket a part of the release: the leases go back
// when the last of them is done.
func (e *Engine) share(tickets []*Ticket, release func()) {
	var left atomic.Int64
	for _, t := range tickets {
		if t != nil {
			left.Add(1)
		}
	}
	if left.Load() == 0 {
		release()
		return
	}
	for _, t := range tickets {
		if t == nil {
			continue
		}
		t.release = sync.OnceFunc(func() {
			if left.Add(-1) == 0 {
				release()
			}
		})
		e.mu.Lock()
		e.active[t.call.ID] = t
		e.mu.Unlock()
		e.open.Add(1)
	}
}

// hold sets every ticket's worst case aside, side by side so that they share a commit.
func (e *Engine) hold(ctx context.Context, tickets []*Ticket, refuse func(int, error)) {
	errs := make([]error, len(tickets))
	var work sync.WaitGroup
	for i, t := range tickets {
		if t == nil {
			continue
		}
		if len(tickets) == 1 {
			errs[i] = t.take(ctx)
			continue
		}
		work.Go(func() { errs[i] = t.take(ctx) })
	}
	work.Wait()
	for i, err := range errs {
		if err != nil {
			refuse(i, err)
		}
	}
}
