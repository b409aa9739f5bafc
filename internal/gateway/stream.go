package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/llm"
)

// errCapped ends a provider's stream at the hold; it never leaves this package.
var errCapped = errors.New("the answer reached its hold")

// Answer is how a call ended.
type Answer struct {
	Receipt credit.Receipt
	Body    []byte // whole JSON of an answer that was not streamed
	Capped  bool   // we ended the stream at its hold: the finish reason is "length"
}

// Stream calls the provider, passes every event to emit and settles. It reads
// in the order things happen. An error of emit means that the reader is gone.
// The Answer is valid beside an error: its receipt says what was charged.
func (t *Ticket) Stream(ctx context.Context, emit func(*llm.Event) error) (Answer, error) {
	defer t.release()
	call, cancel := context.WithCancel(ctx)
	defer cancel()
	var gone error
	result, err := t.provider().Stream(call, t.target(), t.call.Request, func(ev *llm.Event) error {
		if t.meter.add(ev, t.engine.options.Now().Sub(t.started)); t.meter.over(t.most()) && t.confirmed() {
			return errCapped
		}
		if err := emit(ev); err != nil {
			gone = err
			return err
		}
		return nil
	})
	end := ending{capped: errors.Is(err, errCapped), stopped: gone != nil || ctx.Err() != nil && err != nil,
		failed: err != nil, delivered: t.meter.output.Load() > 0 || len(result.Body) > 0, finish: result.Finish}
	if end.capped {
		err, result.Finish = nil, "length"
	}
	receipt := t.settle(ctx, end, result, err)
	return Answer{Receipt: receipt, Body: result.Body, Capped: end.capped}, t.fault(end, err)
}

// Cancel gives an admitted call up before the provider is asked: free.
func (t *Ticket) Cancel(ctx context.Context) {
	defer t.release()
	t.settle(ctx, ending{failed: true}, llm.Result{}, nil)
}

func (t *Ticket) provider() llm.Provider {
	if p, ok := t.engine.models[t.route.Provider.Protocol]; ok {
		return p
	}
	return missing{t.route.Provider.Protocol}
}

// missing stands for a protocol this build does not speak.
type missing struct{ protocol string }

func (m missing) Stream(context.Context, llm.Target, *llm.Request, func(*llm.Event) error) (llm.Result, error) {
	return llm.Result{}, fault.New(fault.Unavailable, "protocol_unsupported", "This server does not speak the protocol %q yet.", m.protocol)
}

func (t *Ticket) target() llm.Target {
	to := t.route.Target()
	to.Cap = t.cap
	return to
}

// confirmed asks the tokenizer whether the cap is really reached. Chunks are the
// cheap measure, and a provider may cut its tokens into smaller ones; half of the cap by
// the tokenizer's count is enough to believe it.
func (t *Ticket) confirmed() bool {
	counted := t.engine.options.Counter.Text(t.meter.text()) + t.meter.other()/4
	if 2*counted >= t.most() {
		return true
	}
	t.meter.doubt()
	return false
}

// fault turns how a call ended into the error its reader gets; nil when it
// ended well or was stopped by the reader.
func (t *Ticket) fault(end ending, err error) error {
	if err == nil {
		if end.outcome() == credit.Empty {
			return fault.New(fault.Upstream, "provider_empty_answer", "%s ended without an answer. Nothing was charged.", t.route.Model.Name)
		}
		return nil
	}
	if end.stopped {
		return context.Canceled
	}
	var failure *llm.Failure
	if !errors.As(err, &failure) {
		return err
	}
	return explain(t.route.Model.Name, failure)
}

// explain says a provider's failure in a sentence for people. A failure of our
// key, quota or set-up is the operator's and never blames the user.
func explain(model string, f *llm.Failure) error {
	var e *fault.Error
	switch f.Class {
	case llm.BadRequest:
		e = fault.New(fault.Invalid, f.Class.String(), "%s refused the request: %s", model, f.Text)
		switch f.Status {
		case http.StatusRequestEntityTooLarge:
			e.Kind = fault.TooLarge
		case http.StatusUnprocessableEntity:
			e.Kind = fault.Unprocessable
		}
		e.Field = f.Param
	case llm.BadKey, llm.NoQuota, llm.NoModel:
		e = fault.New(fault.Unavailable, f.Class.String(), "%s is not available right now because of a set-up problem on our side. Try another model.", model)
	case llm.RateLimited:
		e = fault.New(fault.Unavailable, f.Class.String(), "%s is receiving too many requests right now. Try again shortly or use another model.", model)
		e.Retry = max(f.Retry, 5*time.Second)
	case llm.Overloaded:
		e = fault.New(fault.Unavailable, f.Class.String(), "%s is overloaded right now. Try again shortly or use another model.", model)
		e.Retry = max(f.Retry, 5*time.Second)
	case llm.TimedOut:
		e = fault.New(fault.Timeout, f.Class.String(), "%s did not answer in time. Try again or use another model.", model)
		e.Retry = time.Second
	case llm.Unreachable:
		e = fault.New(fault.Upstream, f.Class.String(), "%s cannot be reached right now. Try again or use another model.", model)
		e.Retry = 5 * time.Second
	default:
		e = fault.New(fault.Upstream, f.Class.String(), "%s failed while answering. Try again or use another model.", model)
		e.Retry = time.Second
	}
	e.Err = f
	return e
}
