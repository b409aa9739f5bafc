package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"onemind/internal/credit"
	"onemind/internal/money"
)

// progressEvery is how often the delivered tokens of open answers are noted, so
// that a crash can be settled: at most this much of a stream is given away.
const progressEvery = 500 * time.Millisecond

// Run keeps the books of open answers until ctx ends: it notes their progress
// and repeats settlements that the store refused.
func (e *Engine) Run(ctx context.Context) error {
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	noted := map[string]int64{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			e.noteProgress(ctx, noted)
			e.repeatUnpaid(ctx)
		}
	}
}

// noteProgress writes down what answers delivered since the last time.
func (e *Engine) noteProgress(ctx context.Context, noted map[string]int64) {
	e.mu.Lock()
	changed := map[string]int64{}
	for id, t := range e.active {
		if n := t.meter.sofar(); n > noted[id] {
			changed[id] = n
		}
	}
	maps.DeleteFunc(noted, func(id string, _ int64) bool { return e.active[id] == nil })
	e.mu.Unlock()
	if len(changed) > 0 && e.credit.Progress(ctx, changed) == nil {
		maps.Copy(noted, changed)
	}
}

// repeatTogether is how many settlements are repeated at once: they share commits.
const repeatTogether = 64

// repeatUnpaid repeats settlements until the store refuses one.
func (e *Engine) repeatUnpaid(ctx context.Context) {
	e.mu.Lock()
	unpaid := maps.Clone(e.unpaid)
	e.mu.Unlock()
	var work errgroup.Group
	work.SetLimit(repeatTogether)
	var refused atomic.Bool
	for id, r := range unpaid {
		if refused.Load() {
			break
		}
		work.Go(func() error {
			if !e.pay(ctx, r) {
				refused.Store(true)
				return nil
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			delete(e.unpaid, id)
			return nil
		})
	}
	_ = work.Wait() // nothing in it fails
}

// interrupted builds the receipt of an answer whose instance died.
func interrupted(h credit.Hold, output int64, now time.Time) (credit.Receipt, error) {
	var terms credit.Terms
	if err := json.Unmarshal(h.Terms, &terms); err != nil {
		return credit.Receipt{}, fmt.Errorf("read the terms of hold %s: %w", h.Ref, err)
	}
	end := ending{failed: true, delivered: output > 0}
	r := credit.Receipt{ID: h.Ref, RequestID: terms.RequestID, User: h.User, Run: terms.Run, Model: terms.Model, ServedBy: terms.Model,
		Provider: terms.Provider, Outcome: credit.Interrupted, CountedBy: "onemind", PriceVersion: terms.Version, Rates: terms.Rates,
		Markup: terms.Markup, Hold: h.Amount, Revision: terms.Revision, StartedAt: h.At, FinishedAt: now,
		TotalMS: now.Sub(h.At).Milliseconds(), Error: "instance_lost"}
	if end.delivered {
		r.Estimated = true
		r.Tokens = money.Tokens{Input: terms.InputTokens, Output: min(output, max(terms.Cap, 1))}
		cost, err := money.Charge(terms.Rates, r.Tokens, terms.Markup)
		if err != nil {
			cost = h.Amount
		}
		r.Charge = min(cost, h.Amount)
	}
	r.Released = r.Hold - r.Charge
	return r, nil
}
