package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/money"
)

// leastOutput is the shortest answer worth starting when a request names no cap
// and the balance decides how long it may be, in tokens.
const leastOutput = 256

// longest is the output cap before the balance has its say: what the request asks,
// bounded by the model's; when it names none, by the room its context window
// has left too. Operations without a cap of their own have the model's.
func (t *Ticket) longest() int64 {
	req, model := t.call.Request, t.routes[0].Model
	if req.Op == llm.Embeddings {
		return 0
	}
	if req.Cap > 0 {
		return min(model.MaxOutput, req.Cap)
	}
	room := model.ContextWindow - t.engine.input(req, model.ContextWindow-model.MaxOutput)
	return min(model.MaxOutput, max(room, leastOutput))
}

// take holds the call's worst case: the high estimate of its input plus its
// output cap. When the request names no cap, what the balance affords decides.
func (t *Ticket) take(ctx context.Context) error {
	req, most := t.call.Request, t.longest()
	least := most
	if req.Cap == 0 {
		least = min(most, leastOutput)
	}
	atMost, err := t.worst(most)
	if err != nil {
		return fault.Field("max_tokens", "makes this request too dear to count")
	}
	atLeast, err := t.worst(least)
	if err != nil {
		return fmt.Errorf("price the least answer: %w", err)
	}
	if share := t.call.Share; share > 0 && req.Cap == 0 {
		atMost = min(atMost, max(share, atLeast))
	}
	if bound := t.call.MaxCost; bound > 0 && bound < atMost {
		shortest := most // nothing but a chat stops where it is told
		if req.Op == llm.Chat {
			shortest = 1
		}
		floor, err := t.worst(shortest)
		if err != nil {
			return fmt.Errorf("price the shortest answer: %w", err)
		}
		if bound < floor {
			return fault.New(fault.Unprocessable, "max_cost_too_low", "max_cost does not cover even the question: it needs at least %s dollars.", floor.Dollars())
		}
		atMost, atLeast = bound, min(atLeast, bound)
	}
	terms, err := json.Marshal(t.terms(most))
	if err != nil {
		return fmt.Errorf("write the hold's terms: %w", err)
	}
	t.hold, err = t.engine.credit.Hold(ctx, credit.Hold{Ref: t.call.ID, User: t.call.User, Owner: t.engine.options.Owner,
		AtLeast: atLeast, AtMost: atMost, Terms: terms, At: t.started,
		Key: t.call.Key, DayCap: t.call.Plan.CreditsPerDay, KeyCap: t.call.KeyCap})
	if err != nil {
		if !errors.Is(err, credit.ErrShort) && !errors.Is(err, credit.ErrDayCap) && !errors.Is(err, credit.ErrReused) {
			t.doubt()
		}
		return err
	}
	t.cap = t.affordable(most)
	return nil
}

// doubt gives back, as soon as the store answers again, a hold whose reply was
// lost: it may stand, and nobody will use it.
func (t *Ticket) doubt() {
	r := t.receipt(ending{failed: true}, llm.Result{}, nil)
	t.engine.mu.Lock()
	defer t.engine.mu.Unlock()
	t.engine.unpaid[r.ID] = r
}

// worst is the price of the call if it uses all of cap. What stands in for the
// asked model is charged at the cheaper price, so that the asked one's is enough.
func (t *Ticket) worst(output int64) (money.Amount, error) {
	req, images := t.call.Request, int64(0)
	output *= max(req.N, 1)
	if req.Op == llm.Images {
		images = max(req.N, 1)
	}
	if t.asked != nil {
		return t.asked.Worst(req.InputTokens, output, images)
	}
	dearest := money.Amount(0)
	for _, route := range t.routes {
		cost, err := route.Worst(req.InputTokens, output, images)
		if err != nil {
			return 0, err
		}
		dearest = max(dearest, cost)
	}
	return dearest, nil
}

// affordable is the largest cap, at most most, whose worst case the hold covers.
func (t *Ticket) affordable(most int64) int64 {
	low, high := min(1, most), most
	for low < high {
		mid := low + (high-low+1)/2
		if cost, err := t.worst(mid); err == nil && cost <= t.hold {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

func (t *Ticket) terms(most int64) credit.Terms {
	r := t.served
	return credit.Terms{RequestID: t.call.RequestID, Run: t.call.Run, Model: r.Model.ID, Provider: r.Provider.ID,
		Version: r.Version, Rates: r.Rates, Markup: r.Markup, Revision: t.revision,
		InputTokens: likely(t.call.Request.InputTokens), Key: t.call.Key, Cap: most}
}

// likely turns the high estimate of an input into a likely one, for a
// settlement that has nothing better: the high one counts half a token per
// letter, English text has about a quarter.
func likely(high int64) int64 { return max(1, high*2/5) }
