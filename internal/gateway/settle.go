package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/money"
)

// settle charges what the outcome's rule says and gives the rest back. It runs
// to the end whatever happened to the caller; if the store is not there the
// receipt waits in memory and Run repeats it.
func (t *Ticket) settle(ctx context.Context, end ending, result llm.Result, cause error) credit.Receipt {
	e := t.engine
	r := t.receipt(end, result, cause)
	settled := e.pay(context.WithoutCancel(ctx), r)
	t.countOutput(context.WithoutCancel(ctx), r.Tokens.Output+r.Tokens.Reasoning)
	e.mu.Lock()
	delete(e.active, t.call.ID)
	if !settled {
		e.unpaid[r.ID] = r
	}
	e.mu.Unlock()
	e.open.Add(-1)
	if e.observe != nil {
		e.observe(Observation{Receipt: r, Err: cause, Took: r.FinishedAt.Sub(r.StartedAt), Settled: settled})
	}
	return r
}

// pay makes one settlement durable, within ten seconds.
func (e *Engine) pay(ctx context.Context, r credit.Receipt) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, _, err := e.credit.Settle(ctx, r)
	return err == nil || errors.Is(err, credit.ErrNoHold)
}

func (t *Ticket) receipt(end ending, result llm.Result, cause error) credit.Receipt {
	e, now := t.engine, t.engine.options.Now()
	outcome := end.outcome()
	tokens, estimated := ruleOf(outcome).tokens(result.Usage, func() (int64, int64) { return t.count(result) })
	r := credit.Receipt{ID: t.call.ID, RequestID: t.call.RequestID, User: t.call.User, Run: t.call.Run,
		Model: t.route.Model.ID, ServedBy: t.route.Model.ID, Provider: t.route.Provider.ID,
		Outcome: outcome, FinishReason: result.Finish, Tokens: tokens, CountedBy: "provider", Estimated: estimated,
		PriceVersion: t.route.Version, Rates: t.route.Rates, Markup: t.route.Markup, Hold: t.hold, Revision: t.revision,
		StartedAt: t.started, FinishedAt: now, FirstTokenMS: t.meter.first.Milliseconds(), TotalMS: now.Sub(t.started).Milliseconds()}
	if estimated {
		r.CountedBy = "onemind"
	}
	if outcome == credit.Stopped {
		r.FinishReason = "stopped"
	}
	if cause != nil && outcome != credit.Stopped {
		r.Error = codeOf(cause)
	}
	if t.asked != nil {
		r.Model = t.asked.Model.ID
	}
	if rule := ruleOf(outcome); rule.input || rule.output {
		r.Charge = t.price(&r, e.cheaper(t))
	}
	r.Released = r.Hold - r.Charge
	return r
}

// cheaper lists the prices a call may be charged at: the served model's and, for
// a fallback, the asked one's.
func (e *Engine) cheaper(t *Ticket) []*catalog.Route {
	if t.asked == nil {
		return []*catalog.Route{t.route}
	}
	return []*catalog.Route{t.route, t.asked}
}

// price charges the tokens at the cheapest of the routes, and never more than
// the hold: a provider that reports more than the worst case is our loss, an
// overdrawn balance would be the user's.
func (t *Ticket) price(r *credit.Receipt, routes []*catalog.Route) money.Amount {
	best := t.hold
	for _, route := range routes {
		cost, err := money.Charge(route.Rates, r.Tokens, route.Markup)
		if err == nil && cost < best {
			best, r.PriceVersion, r.Rates, r.Markup = cost, route.Version, route.Rates, route.Markup
		}
	}
	return best
}

// count is our own count of input and delivered output.
func (t *Ticket) count(result llm.Result) (input, output int64) {
	counter := t.engine.options.Counter
	input = max(1, counter.Input(t.call.Request.Body))
	if result.Text != "" {
		return input, counter.Text(result.Text)
	}
	return input, min(t.meter.tokens(counter), t.most())
}

// codeOf gives an error's stable code, for the receipt.
func codeOf(err error) string {
	var failure *llm.Failure
	if errors.As(err, &failure) {
		return failure.Class.String()
	}
	return fault.From(err).Code
}

// Abandoned settles holds whose owner is gone: what is known to be delivered is
// charged with its input, a call that delivered nothing is free. delivered gives
// the output tokens that are known from elsewhere, such as a run's event log;
// alive tells whether an instance still serves. It gives the number settled.
func (e *Engine) Abandoned(ctx context.Context, before time.Time, alive func(owner string) bool, delivered func(context.Context, credit.Hold) (int64, error)) (int, error) {
	holds, err := e.credit.Open(ctx, before)
	if err != nil {
		return 0, fmt.Errorf("list open holds: %w", err)
	}
	n := 0
	for _, h := range holds {
		if h.Owner == e.options.Owner && e.mine(h.Ref) || h.Owner != e.options.Owner && alive(h.Owner) {
			continue
		}
		output, err := delivered(ctx, h)
		if err != nil {
			return n, fmt.Errorf("find what was delivered of %s: %w", h.Ref, err)
		}
		r, err := interrupted(h, max(output, h.Progress), e.options.Now())
		if err != nil {
			return n, err
		}
		if _, _, err := e.credit.Settle(ctx, r); err != nil {
			return n, fmt.Errorf("settle the abandoned hold %s: %w", h.Ref, err)
		}
		n++
	}
	return n, nil
}

// mine tells whether an answer is under way or waiting for its settlement here.
func (e *Engine) mine(ref string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, active := e.active[ref]
	_, unpaid := e.unpaid[ref]
	return active || unpaid
}
