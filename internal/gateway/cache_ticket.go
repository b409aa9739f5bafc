package gateway

import (
	"context"

	"onemind/internal/llm"
	"onemind/internal/upstream"
)

// look begins what the ticket has to do with the cache: nil when it has nothing to
// do with it. The error is that of ctx, which ended while another request's answer
// was waited for.
func (t *Ticket) look(ctx context.Context) (*lookup, error) {
	if !t.call.Cache || t.engine.cache == nil || t.asked == nil {
		return nil, nil
	}
	return t.engine.cache.begin(ctx, replyKey(t.call.User, t.asked, t.call.Request), t.call.Request)
}

// replay gives the reader an answer that is there already, and settles: free, also
// when the reader leaves in the middle. Nothing of it counts as delivered against the
// hold, so that it is free as well if this process dies meanwhile.
func (t *Ticket) replay(ctx context.Context, hit *recording, reader Reader) (Answer, error) {
	if t.cached = true; reader.Hit != nil {
		reader.Hit()
	}
	result, err := hit.play(ctx, func(ev *llm.Event) error {
		if t.meter.first == 0 && ev.Output > 0 {
			t.meter.first = max(t.engine.options.Now().Sub(t.started), 1)
		}
		return reader.Event(ev)
	})
	end := ending{stopped: err != nil, failed: err != nil, delivered: err == nil, finish: result.Finish}
	receipt := t.settle(ctx, end, upstream.Outcome{Result: result}, result, err)
	return Answer{Receipt: receipt, Body: result.Body, Native: result.Native}, t.fault(end, err)
}

// left settles a call whose reader left before a provider was asked: free.
func (t *Ticket) left(ctx context.Context) (Answer, error) {
	end := ending{stopped: true, waiting: true}
	receipt := t.settle(ctx, end, upstream.Outcome{}, llm.Result{}, nil)
	return Answer{Receipt: receipt}, context.Canceled
}
