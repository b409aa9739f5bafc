package gateway

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/money"
	"onemind/internal/upstream"
)

// settle charges what the outcome's rule says and gives the rest back. It runs
// to the end whatever happened to the caller; if the store is not there the
// receipt waits in memory and Run repeats it.
func (t *Ticket) settle(ctx context.Context, end ending, out upstream.Outcome, result llm.Result, cause error) credit.Receipt {
	e := t.engine
	r := t.receipt(end, result, cause)
	t.witness(&r, out)
	settled := e.pay(context.WithoutCancel(ctx), r)
	if !t.cached {
		t.countOutput(context.WithoutCancel(ctx), r.Tokens.Output+r.Tokens.Reasoning)
	}
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
	now := t.engine.options.Now()
	outcome := end.outcome()
	route := t.served
	chat := t.call.Request.Op == llm.Chat // other operations have no output that is counted, and some no input
	rule := end.rule()
	tokens, estimated := rule.tokens(result.Usage, chat && (t.meter.output.Load() > 0 || result.Text != ""), func() (int64, int64) { return t.count(result) })
	r := credit.Receipt{ID: t.call.ID, RequestID: t.call.RequestID, User: t.call.User, Run: t.call.Run,
		Model: route.Model.ID, ServedBy: route.Model.ID, Provider: route.Provider.ID, Key: t.call.Key, Cached: t.cached,
		Outcome: outcome, FinishReason: result.Finish, Tokens: tokens, CountedBy: "provider", Estimated: estimated,
		PriceVersion: route.Version, Rates: route.Rates, Markup: route.Markup, Hold: t.hold, Revision: t.revision,
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
	if op := t.call.Request.Op; op != llm.Chat {
		r.Operation = op.String()
	}
	if t.asked != nil {
		r.Model = t.asked.Model.ID
	} else if t.call.Model != "" {
		r.Model = t.call.Model
	}
	if !t.cached && (rule.input || rule.output) {
		r.Tokens.Images = result.Images
		r.Charge = t.price(&r)
	}
	r.Released = r.Hold - r.Charge
	return r
}

// witness writes down how the answer came about.
func (t *Ticket) witness(r *credit.Receipt, out upstream.Outcome) {
	r.QueueMS = out.Queued.Milliseconds()
	r.BillsOn = r.Outcome == credit.Stopped && len(out.Attempts) > 0 && t.served.Model.Rules.CancelBills
	for _, a := range out.Attempts {
		route := t.routes[a.Route]
		told := credit.Attempt{Model: route.Model.ID, Provider: route.Provider.ID, Key: a.Key, Outcome: "ok",
			StartMS: a.Start.Milliseconds(), TookMS: a.Took.Milliseconds()}
		var failure *llm.Failure
		switch {
		case errors.As(a.Err, &failure):
			told.Outcome, told.Status, told.Detail = failure.Class.String(), failure.Status, failure.Text
		case errors.Is(a.Err, errCapped), a.Err == nil:
		case r.Outcome == credit.Stopped:
			told.Outcome = "stopped"
		default:
			told.Outcome = codeOf(a.Err)
		}
		r.Attempts = append(r.Attempts, told)
	}
	req := t.call.Request
	if sent := min(t.cap, t.served.Model.MaxOutput); req.Op == llm.Chat && req.Cap > sent && len(out.Attempts) > 0 {
		rule := "hold"
		if sent == t.served.Model.MaxOutput {
			rule = "model_limit"
		}
		r.Parameters = append(r.Parameters, credit.Parameter{Name: "max_tokens", Asked: strconv.FormatInt(req.Cap, 10), Sent: strconv.FormatInt(sent, 10), Rule: rule})
	}
	for _, c := range out.Result.Changes {
		r.Parameters = append(r.Parameters, credit.Parameter(c))
	}
}

// price charges the tokens at the cheaper of the served model's and the asked
// one's price, and never more than the hold: a provider that reports more than
// the worst case is our loss, an overdrawn balance would be the user's.
func (t *Ticket) price(r *credit.Receipt) money.Amount {
	best := t.hold
	for _, route := range [...]*catalog.Route{t.served, t.asked} {
		if route == nil {
			continue
		}
		cost, err := money.Charge(route.Rates, r.Tokens, route.Markup)
		if err == nil && cost < best {
			best, r.PriceVersion, r.Rates, r.Markup = cost, route.Version, route.Rates, route.Markup
		}
	}
	return best
}

// count is our own count of input and delivered output.
func (t *Ticket) count(result llm.Result) (input, output int64) {
	counter, req := t.engine.options.Counter, t.call.Request
	switch req.Op {
	case llm.Chat:
		input = counter.Input(req.Body)
	case llm.Transcripts: // its body is sound
		input = req.InputTokens
	default:
		input = counter.Text(string(req.Body))
	}
	input = max(1, input)
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
