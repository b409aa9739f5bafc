package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"onemind/internal/fault"
	"onemind/internal/gateway"
	"onemind/internal/llm"
	"onemind/internal/llm/openai"
	"onemind/internal/money"
	"onemind/internal/upstream"
)

// maxChatBody bounds a request of an SDK: images and sound ride in it.
const maxChatBody = 25 << 20

// encoder writes one answer in the dialect its caller speaks.
type encoder interface {
	// Event appends the frames an event becomes: none, while it waits for others.
	Event(dst []byte, ev *llm.Event) []byte
	// End appends the frames that end a streamed answer.
	End(dst []byte, end llm.Ending) []byte
	// Whole gives an answer that was not streamed; native tells that body is in
	// the caller's dialect already.
	Whole(body []byte, native bool, end llm.Ending) ([]byte, error)
	// Error gives the body of an error's response.
	Error(f *fault.Error, status int) []byte
	// Trouble appends the frames of an error after the answer began.
	Trouble(dst []byte, f *fault.Error) []byte
}

// completion is one call of an SDK.
type completion struct {
	server  *Server
	w       http.ResponseWriter
	in      openai.Request
	call    gateway.Call
	encoder encoder
	sse     *eventWriter // of a streamed answer
	frames  []byte
}

// complete makes one model call with an API key and answers in the caller's
// dialect. A disconnect cancels it, unless it is resumable.
func (s *Server) complete(w http.ResponseWriter, r *http.Request, in openai.Request, e encoder) error {
	bound, err := maxCost(in)
	if err != nil {
		return err
	}
	id := identityOf(r)
	c := &completion{server: s, w: w, in: in, encoder: e}
	c.call = gateway.Call{ID: NewID("ans"), RequestID: requestID(r), User: id.User.ID, Plan: s.planOf(id.User), Model: in.Model,
		Substitutes: in.Fallbacks, Request: &c.in.Request, MaxCost: bound}
	c.call.Cache = c.call.Plan.ResponseCache || s.Catalog.Snapshot().Settings.ResponseCache
	if key := id.Key; key != nil {
		c.call.Key, c.call.KeyCap = key.ID, money.Amount(key.CreditsPerDay)
		c.call.Cache = c.call.Cache || key.ResponseCache
	}
	if wish := r.Header.Get("X-Onemind-Cache"); wish != "" {
		if c.call.Cache, err = strconv.ParseBool(wish); err != nil {
			return fault.Field("X-Onemind-Cache", "must be true or false")
		}
	}
	if in.Stream {
		c.sse = newEventWriter(w)
		if t, ok := e.(interface{ Type() string }); ok && t.Type() != "text/event-stream" {
			c.sse.kind = t.Type()
		}
	}
	switch {
	case in.Resumable:
		return c.resume(r)
	case in.Stream:
		return c.stream(r.Context())
	}
	return c.whole(r.Context())
}

// maxCost reads the caller's bound: max_cost in dollars or max_cost_nano_usd.
func maxCost(in openai.Request) (money.Amount, error) {
	bound := money.Amount(in.MaxCostNanoUSD)
	if in.MaxCost != "" {
		var err error
		if bound, err = money.ParseDollars(in.MaxCost); err != nil {
			return 0, fault.Field("max_cost", "must be a decimal number of dollars with at most nine digits after the point")
		}
	}
	if bound < 0 || bound == 0 && in.MaxCost != "" {
		return 0, fault.Field("max_cost", "must be above zero")
	}
	return bound, nil
}

// admit admits the call. It writes headers: nothing else may write meanwhile.
func (c *completion) admit(ctx context.Context) (*gateway.Ticket, error) {
	adm, err := c.server.Engine.Admit(ctx, c.call)
	h := c.w.Header()
	h["X-Onemind-Revision"] = []string{strconv.FormatInt(adm.Revision, 10)}
	rateHeaders(h, adm.Verdict)
	if err != nil {
		return nil, err
	}
	if len(adm.Refused) > 0 {
		return nil, adm.Refused[0].Err
	}
	return adm.Tickets[0], nil
}

// ending is what the encoder has to know of a settled answer.
func ending(a gateway.Answer) llm.Ending {
	r := a.Receipt
	t := r.Tokens
	return llm.Ending{Finish: r.FinishReason, Receipt: publicReceipt(r), Capped: a.Capped,
		Usage: llm.Usage{Input: t.Input, CachedInput: t.CachedInput, CacheWrite: t.CacheWrite, Output: t.Output, Reasoning: t.Reasoning}}
}

// whole answers without streaming.
func (c *completion) whole(ctx context.Context) error {
	ticket, err := c.admit(ctx)
	if err != nil {
		return err
	}
	answer, err := ticket.Stream(ctx, gateway.Reader{Event: func(*llm.Event) error { return nil }, Hit: c.hit})
	if err != nil {
		return err
	}
	body, kind := answer.Body, answer.Type
	if kind == "" {
		kind = "application/json"
		if body, err = c.encoder.Whole(body, answer.Native, ending(answer)); err != nil {
			return err
		}
	}
	h := c.w.Header()
	h["Content-Type"] = []string{kind}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Onemind-Charge"] = []string{strconv.FormatInt(int64(answer.Receipt.Charge), 10)}
	if answer.Receipt.ServedBy != answer.Receipt.Model {
		h["X-Onemind-Served-By"] = []string{answer.Receipt.ServedBy}
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	_, _ = c.w.Write(body) // the reader may be gone; it is settled
	return nil
}

// stream answers with server-sent events.
func (c *completion) stream(ctx context.Context) error {
	ticket, err := c.admit(ctx)
	if err != nil {
		return c.broke(err)
	}
	stop := c.sse.keepAlive(ctx)
	answer, err := ticket.Stream(ctx, gateway.Reader{Event: c.event, Notice: c.notice, Hit: c.hit})
	stop()
	if err != nil {
		return c.broke(err)
	}
	c.frames = c.encoder.End(c.frames[:0], ending(answer))
	_ = c.sse.raw(c.frames, false) // settled: nothing is left to undo
	return nil
}

func (c *completion) event(ev *llm.Event) error {
	c.frames = c.encoder.Event(c.frames[:0], ev)
	if len(c.frames) == 0 {
		return nil
	}
	return c.sse.raw(c.frames, ev.More)
}

// hit marks an answer that comes from the response cache.
func (c *completion) hit() {
	if c.sse != nil {
		c.sse.header("X-Onemind-Cache", "hit")
		return
	}
	c.w.Header()["X-Onemind-Cache"] = []string{"hit"}
}

// notice tells a caller who waits what for, in a comment that clients pass over.
func (c *completion) notice(n gateway.Notice) {
	if text := noticeOf(n); text != "" && (c.sse.begun() || waits(n)) {
		_ = c.sse.comment(text) // a reader that is gone is noticed at the next event
	}
}

// waits tells whether a notice is worth the beginning of a stream. What else goes
// on before it a status can still say better.
func waits(n gateway.Notice) bool { return n.Kind == upstream.Queued }

// noticeOf is a notice in a few words; empty when there is nothing to say.
func noticeOf(n gateway.Notice) string {
	switch n.Kind {
	case upstream.Queued:
		if n.Place > 0 {
			return "queued place=" + strconv.Itoa(n.Place) + " estimate=" + strconv.FormatInt(int64(n.Estimate.Round(time.Second)/time.Second), 10) + "s"
		}
	case upstream.Retrying:
		return "retrying attempt=" + strconv.Itoa(n.Attempt) + " after=" + n.Code
	case upstream.Substituted:
		return "substituted model=" + n.Model + " after=" + n.Code
	}
	return ""
}

// broke ends a stream that failed: as a plain error while nothing was sent, as
// an error event after.
func (c *completion) broke(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil // the reader is gone
	}
	if !c.sse.begun() {
		return err
	}
	c.frames = c.encoder.Trouble(c.frames[:0], fault.From(err))
	_ = c.sse.raw(c.frames, false) // the reader may be gone
	return nil
}
