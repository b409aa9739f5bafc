package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/llm"
	"onemind/internal/money"
)

// Estimate is what a call will cost at least and at most.
type Estimate struct {
	Model  string
	Name   string
	Min    money.Amount // the likely input and a short answer
	Max    money.Amount // the worst case: what a hold would take
	Input  int64        // likely input tokens
	Output int64        // output cap in tokens
}

// shortAnswer is the length of the cheapest answer an estimate shows, in tokens.
const shortAnswer = 50

// Estimate prices a call without making it.
func (e *Engine) Estimate(call Call) (Estimate, error) {
	t, err := e.route(e.catalog.Snapshot(), &call)
	if err != nil {
		return Estimate{}, err
	}
	output, route := t.longest(), t.served
	out := Estimate{Model: route.Model.ID, Name: route.Model.Name, Input: likely(call.Request.InputTokens), Output: output}
	if out.Max, err = t.worst(output); err != nil {
		return out, fmt.Errorf("price the worst case: %w", err)
	}
	if call.MaxCost > 0 {
		out.Max = min(out.Max, call.MaxCost)
	}
	out.Min, err = money.Charge(route.Rates, money.Tokens{Input: out.Input, Output: min(shortAnswer, output)}, route.Markup)
	out.Min = min(out.Min, out.Max)
	return out, err
}

// Count counts a request's input tokens.
func (e *Engine) Count(req *llm.Request) int64 { return max(1, e.options.Counter.Input(req.Body)) }

// Probe is what a test of a provider found.
type Probe struct {
	Model   string
	Latency time.Duration
	Err     error // in the operator's words: a *llm.Failure holds the provider's own
}

// probeCap is the output cap of a probe: the least that all known models take.
const probeCap = 16

// Test makes one real, tiny call to a provider, at the operator's cost. Without
// a model it takes the provider's first that chats.
func (e *Engine) Test(ctx context.Context, provider, model string) (Probe, error) {
	snap := e.catalog.Snapshot()
	if model == "" {
		for _, m := range snap.Document().Models {
			if m.Provider == provider && chats(&m) && (model == "" || m.State == catalog.Active) {
				model = m.ID
				if m.State == catalog.Active {
					break
				}
			}
		}
	}
	if model == "" {
		return Probe{}, catalog.ErrNotFound
	}
	route, err := snap.Route(model)
	if err != nil {
		return Probe{Model: model, Err: err}, nil //nolint:nilerr // the finding is the answer
	}
	if route.Provider.ID != provider {
		return Probe{}, catalog.ErrNotFound
	}
	to := route.Target()
	to.Cap = probeCap
	if keys := route.Keys(); len(keys) > 0 {
		to.Key = keys[0]
	}
	req := &llm.Request{Model: model, N: 1, Cap: probeCap, InputTokens: 8,
		Body: []byte(`{"model":"probe","messages":[{"role":"user","content":"Say OK."}],"max_tokens":16}`)}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	start := time.Now()
	_, err = e.speaker(route.Provider.Protocol).Stream(ctx, to, req, func(*llm.Event) error { return nil })
	return Probe{Model: route.Model.ID, Latency: time.Since(start), Err: err}, nil
}

// chats tells a model that can be asked in words from those that do one other thing.
func chats(m *catalog.Model) bool {
	return !slices.ContainsFunc(m.Capabilities, func(name string) bool {
		c, _ := llm.ParseCapability(name)
		return c&llm.Special != 0
	})
}

// Words gives a failure's code and text for an operator.
func Words(err error) (code, text string) {
	var f *llm.Failure
	if errors.As(err, &f) {
		return f.Class.String(), f.Error()
	}
	return codeOf(err), err.Error()
}
