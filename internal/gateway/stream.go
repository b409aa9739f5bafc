package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/limit"
	"onemind/internal/llm"
	"onemind/internal/upstream"
)

// errCapped ends a provider's stream at the hold; it never leaves this package.
var errCapped = errors.New("the answer reached its hold")

// Answer is how a call ended.
type Answer struct {
	Receipt credit.Receipt
	Body    []byte // whole answer of a call that was not streamed
	Native  bool   // Body is in the caller's own dialect
	Type    string // Content-Type of Body when it is no JSON
	Capped  bool   // we ended the stream at its hold: the finish reason is "length"
}

// Reader is who gets an answer while it is made. Its functions are called from one
// goroutine, in order.
type Reader struct {
	// Event gets every event; an error means that the reader is gone.
	Event func(*llm.Event) error
	// Notice hears what goes on while nothing comes; may be nil.
	Notice func(Notice)
	// Hit is told before the first event that the answer is one that was given
	// before; may be nil.
	Hit func()
}

// Notice is news of an answer that waits.
type Notice struct {
	Kind     upstream.NoticeKind
	Place    int           // in the queue; 0 when the waiting is over
	Estimate time.Duration // until its turn
	Attempt  int           // the number of the attempt that begins
	Code     string        // why the attempt before it failed
	Model    string        // that answers instead, its id and its name
	Name     string
}

// Stream calls the provider, passes what comes to the reader and settles. It
// reads in the order things happen. The Answer is valid beside an error: its
// receipt says what was charged.
func (t *Ticket) Stream(ctx context.Context, reader Reader) (Answer, error) {
	defer t.release()
	look, err := t.look(ctx)
	if err != nil {
		return t.left(ctx)
	}
	defer look.drop()
	if hit := look.hit(); hit != nil {
		return t.replay(ctx, hit, reader)
	}
	out, gone := t.ask(ctx, reader, look)
	err = out.Err
	result := out.Result
	t.served = t.routes[out.Served]
	end := ending{capped: errors.Is(err, errCapped), stopped: gone || ctx.Err() != nil && err != nil, waiting: idle(out.Attempts),
		failed: err != nil, delivered: t.meter.output.Load() > 0 || len(result.Body) > 0, finish: result.Finish}
	if end.capped {
		err, result.Finish = nil, "length"
	}
	receipt := t.settle(ctx, end, out, result, err)
	look.keep(ctx, &receipt, &result, t.routes[0].Model.ID)
	return Answer{Receipt: receipt, Body: result.Body, Native: result.Native, Type: result.Type, Capped: end.capped}, t.fault(end, err)
}

// ask goes to the providers; gone tells that the reader left. A bug in a dialect fails
// this one answer: its hold is settled as ever, and the process goes on.
func (t *Ticket) ask(ctx context.Context, reader Reader, look *lookup) (out upstream.Outcome, gone bool) {
	defer func() {
		if v := recover(); v != nil {
			out = upstream.Outcome{Err: fmt.Errorf("panic: %v\n%s", v, debug.Stack())}
		}
	}()
	out = t.engine.ways.Stream(ctx, upstream.Call{User: t.call.User, Routes: t.ways(), Request: t.call.Request,
		Enter: func(i int) error { return t.enter(ctx, i) }, Notice: t.notices(reader.Notice),
		Emit: func(ev *llm.Event) error {
			if t.meter.add(ev, t.engine.options.Now().Sub(t.started)); t.meter.over(t.most()) && t.confirmed() {
				return errCapped
			}
			if err := reader.Event(ev); err != nil {
				gone = true
				return err
			}
			look.add(ev)
			return nil
		}})
	return out, gone
}

// idle tells whether no provider is left with the question: none was asked, or the
// last one had failed before the call was over.
func idle(attempts []upstream.Attempt) bool {
	var failure *llm.Failure
	return len(attempts) == 0 || errors.As(attempts[len(attempts)-1].Err, &failure)
}

// Cancel gives an admitted call up before the provider is asked: free.
func (t *Ticket) Cancel(ctx context.Context) {
	defer t.release()
	t.settle(ctx, ending{failed: true}, upstream.Outcome{}, llm.Result{}, nil)
}

// ways are the routes as upstream takes them.
func (t *Ticket) ways() []upstream.Route {
	list := make([]upstream.Route, len(t.routes))
	instances := max(t.engine.options.Instances(), 1)
	for i, r := range t.routes {
		to, p := r.Target(), r.Provider
		to.Cap = min(to.Cap, t.cap)
		list[i] = upstream.Route{Model: r.Model.ID, Provider: p.ID, Speak: t.engine.speaker(p.Protocol), To: to, Keys: r.Keys(),
			Places: (p.MaxConcurrency + instances - 1) / instances, Waiting: p.MaxWaiting, Wait: time.Duration(p.MaxWaitMS) * time.Millisecond}
	}
	return list
}

// speaker finds who speaks a protocol.
func (e *Engine) speaker(protocol string) llm.Provider {
	if p, ok := e.models[protocol]; ok {
		return p
	}
	return missing{protocol}
}

// missing stands for a protocol this build does not speak.
type missing struct{ protocol string }

func (m missing) Stream(context.Context, llm.Target, *llm.Request, func(*llm.Event) error) (llm.Result, error) {
	return llm.Result{}, fault.New(fault.Unavailable, "protocol_unsupported", "This server does not speak the protocol %q.", m.protocol)
}

// enter asks whether the user may go to a substitute's provider now: the limit
// per provider counts there too.
func (t *Ticket) enter(ctx context.Context, i int) error {
	plan := &t.call.Plan
	if plan.RequestsPerMinuteProvider == 0 || t.routes[i].Provider.ID == t.routes[0].Provider.ID {
		return nil
	}
	bucket := providerBucket(t.call.User, t.routes[i].Provider.ID, plan, 1)
	verdict, err := t.engine.limits.Take(ctx, t.engine.options.Now(), []limit.Bucket{bucket}, limit.Lease{})
	if err != nil {
		return fmt.Errorf("take the limit of a substitute's provider: %w", err)
	}
	return verdict.Err()
}

// notices tells the reader what goes on, in the words of the catalog.
func (t *Ticket) notices(hear func(Notice)) func(upstream.Notice) {
	if hear == nil {
		return nil
	}
	return func(n upstream.Notice) {
		told := Notice{Kind: n.Kind, Place: n.Place, Estimate: n.Estimate, Attempt: n.Attempt, Model: n.Model}
		if n.Kind != upstream.Queued {
			told.Code = n.Cause.String()
		}
		for _, r := range t.routes {
			if r.Model.ID == n.Model {
				told.Name = r.Model.Name
			}
		}
		hear(told)
	}
}

// confirmed asks the tokenizer whether the cap is really reached. Chunks are the
// cheap measure, and a provider may cut its tokens into smaller ones; half of the cap by
// the tokenizer's count is enough to believe it.
func (t *Ticket) confirmed() bool {
	if 2*t.meter.tokens(t.engine.options.Counter) >= t.most() {
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
			return fault.New(fault.Upstream, "provider_empty_answer", "%s ended without an answer. Nothing was charged.", t.served.Model.Name)
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
	return explain(t.served.Model.Name, failure)
}

// explain says a provider's failure in a sentence for people, and what to do. The
// provider's own words are for the operator. A failure of our key, quota or set-up is the
// operator's and never blames the user.
func explain(model string, f *llm.Failure) error {
	var e *fault.Error
	switch f.Class {
	case llm.BadRequest:
		e = refusal(model, f)
	case llm.BadKey, llm.NoQuota, llm.NoModel, llm.WrongAddress:
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

// refusal explains why a provider refused a request.
func refusal(model string, f *llm.Failure) *fault.Error {
	kind := fault.Invalid
	switch f.Status {
	case http.StatusRequestEntityTooLarge:
		kind = fault.TooLarge
	case http.StatusUnprocessableEntity:
		kind = fault.Unprocessable
	}
	switch {
	case f.Reason == llm.TooLong:
		return fault.New(fault.TooLarge, f.Reason, "The request is longer than %s can read. Shorten it or use a model with a larger context window.", model)
	case f.Reason == llm.Unwanted:
		return fault.New(kind, f.Reason, "The provider of %s refused the content of this request. Say it differently or use another model.", model)
	case f.Param != "":
		e := fault.New(kind, f.Class.String(), "The provider of %s refused the parameter '%s'. Leave it out or change its value.", model, f.Param)
		e.Field = f.Param
		return e
	}
	return fault.New(kind, f.Class.String(), "The provider of %s refused the request as invalid. Check its parameters; an administrator can see the provider's own words.", model)
}
