package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/gateway"
	"onemind/internal/llm"
	"onemind/internal/llm/openai"
	"onemind/internal/money"
)

// maxChatBody bounds a chat request: images ride in it.
const maxChatBody = 25 << 20

// failOpenAI answers in the shape of OpenAI's errors.
func (s *Server) failOpenAI(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	status := s.report(w, r, f)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(openAIError(f)) // the reader may be gone
}

// openAIError writes {"error": {message, type, param, code}}.
func openAIError(f *fault.Error) []byte {
	kind := "invalid_request_error"
	switch f.Kind {
	case fault.Unauthenticated:
		kind = "authentication_error"
	case fault.Forbidden:
		kind = "permission_error"
	case fault.Short:
		kind = "insufficient_quota"
	case fault.Limited:
		kind = "rate_limit_error"
	case fault.Internal, fault.Upstream, fault.Unavailable, fault.Timeout:
		kind = "server_error"
	}
	var param *string
	if f.Field != "" {
		param = &f.Field
	}
	b, _ := json.Marshal(map[string]any{"error": map[string]any{"message": f.Text, "type": kind, "param": param, "code": f.Code}}) //nolint:errchkjson // strings only
	return b
}

// completion is one POST /v1/chat/completions.
type completion struct {
	server *Server
	w      http.ResponseWriter
	id     string
	in     openai.Request
	calls  []gateway.Call // the asked model, then the fallbacks
	sse    *eventWriter   // of a streamed answer
}

// chatCompletions makes one model call with an API key. A disconnect cancels it.
func (s *Server) chatCompletions(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, maxChatBody)
	if err != nil {
		return err
	}
	in, err := openai.Parse(body)
	if err != nil {
		return err
	}
	if in.Resumable {
		f := fault.New(fault.Invalid, "unsupported_parameter", "resumable is not available on this server yet.")
		f.Field = "resumable"
		return f
	}
	bound, err := maxCost(in)
	if err != nil {
		return err
	}
	id := identityOf(r)
	plan := s.planOf(id.User)
	c := &completion{server: s, w: w, id: requestID(r), in: in}
	for _, model := range append([]string{in.Model}, in.Fallbacks...) {
		call := gateway.Call{ID: NewID("ans"), RequestID: c.id, User: id.User.ID, Plan: plan, Model: model, Asked: in.Model,
			Request: &c.in.Request, MaxCost: bound}
		if id.Key != nil {
			call.Key = id.Key.ID
		}
		c.calls = append(c.calls, call)
	}
	if in.Stream {
		c.sse = newEventWriter(w)
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

// try makes the calls in turn until one answers. A fallback is tried only when
// the failure is the provider's and nothing was delivered.
func (c *completion) try(ctx context.Context, emit func(*llm.Event) error) (gateway.Answer, error) {
	var first error
	for i, call := range c.calls {
		answer, err := c.call(ctx, call, emit)
		if err == nil || ctx.Err() != nil || i == 0 && !providers(err) || i > 0 && first == nil {
			return answer, err
		}
		if c.sse != nil && c.sse.started {
			return answer, err
		}
		if first == nil {
			first = err
		}
		if !providers(err) && i > 0 {
			continue // this fallback cannot be called at all: the next may
		}
	}
	return gateway.Answer{}, first
}

// providers tells whether a failure is the provider's, so that another may do better.
func providers(err error) bool {
	return fault.Is(err, fault.Upstream) || fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Timeout)
}

func (c *completion) call(ctx context.Context, call gateway.Call, emit func(*llm.Event) error) (gateway.Answer, error) {
	adm, err := c.server.Engine.Admit(ctx, call)
	h := c.w.Header()
	if c.sse == nil || !c.sse.started {
		h["X-Onemind-Revision"] = []string{strconv.FormatInt(adm.Revision, 10)}
		rateHeaders(h, adm.Verdict)
	}
	if err != nil {
		return gateway.Answer{}, err
	}
	if len(adm.Refused) > 0 {
		return gateway.Answer{}, adm.Refused[0].Err
	}
	return adm.Tickets[0].Stream(ctx, emit)
}

// whole answers without streaming.
func (c *completion) whole(ctx context.Context) error {
	answer, err := c.try(ctx, func(*llm.Event) error { return nil })
	if err != nil {
		return err
	}
	h := c.w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Onemind-Charge"] = []string{strconv.FormatInt(int64(answer.Receipt.Charge), 10)}
	h["Content-Length"] = []string{strconv.Itoa(len(answer.Body))}
	_, _ = c.w.Write(answer.Body) // the reader may be gone; it is settled
	return nil
}

// stream answers with server-sent events. The chunk that ends the answer waits
// until it is settled, because it carries the receipt: the usage chunk when the
// caller asked for one, else the chunk with the finish reason.
func (c *completion) stream(ctx context.Context) error {
	var finish, usage []byte
	stop := c.sse.keepAlive(ctx)
	answer, err := c.try(ctx, func(ev *llm.Event) error {
		switch {
		case ev.Usage && ev.Choices == 0:
			usage = append(usage[:0], ev.Data...)
			return nil
		case ev.Finish != "" && c.in.N <= 1:
			finish = append(finish[:0], ev.Data...)
			return nil
		}
		return c.sse.data(ev.Data, ev.More)
	})
	stop()
	if err != nil {
		return c.broke(err)
	}
	if answer.Capped || finish == nil && c.in.N <= 1 {
		finish = lengthChunk(c.id, c.in.Model, answer.Receipt.FinishReason)
	}
	receipt := publicReceipt(answer.Receipt)
	if c.in.Usage {
		if usage == nil {
			usage = usageChunk(c.id, c.in.Model, answer.Receipt)
		}
		usage = splice(usage, receipt)
	} else if finish != nil {
		finish, usage = splice(finish, receipt), nil
	}
	if finish != nil {
		_ = c.sse.data(finish, true) // settled: nothing is left to undo
	}
	if c.in.Usage {
		_ = c.sse.data(usage, true)
	}
	_ = c.sse.data([]byte("[DONE]"), false)
	return nil
}

// broke ends a stream that failed: as a plain error while nothing was sent, as
// an error event after.
func (c *completion) broke(err error) error {
	if !c.sse.started || errors.Is(err, context.Canceled) {
		if errors.Is(err, context.Canceled) {
			return nil // the reader is gone
		}
		return err
	}
	_ = c.sse.data(openAIError(fault.From(err)), true)
	_ = c.sse.data([]byte("[DONE]"), false)
	return nil
}

// splice puts a receipt into a chunk as its last member, "onemind".
func splice(chunk, receipt []byte) []byte {
	end := bytes.LastIndexByte(chunk, '}')
	if end < 0 {
		return chunk
	}
	out := make([]byte, 0, len(chunk)+len(receipt)+12)
	out = append(out, chunk[:end]...)
	out = append(out, `,"onemind":`...)
	out = append(out, receipt...)
	return append(out, '}')
}

// lengthChunk ends an answer whose provider did not say how it ended, or that
// we ended at its hold.
func lengthChunk(id, model, reason string) []byte {
	if reason == "" {
		reason = "stop"
	}
	b, _ := json.Marshal(map[string]any{"id": id, "object": "chat.completion.chunk", "created": time.Now().Unix(), "model": model, //nolint:errchkjson // plain values
		"choices": []any{map[string]any{"index": 0, "delta": map[string]any{}, "finish_reason": reason}}})
	return b
}

// usageChunk tells our own count to a caller who asked for usage when the
// provider reported none.
func usageChunk(id, model string, r credit.Receipt) []byte {
	t := r.Tokens
	in, out := t.Input+t.CachedInput+t.CacheWrite, t.Output+t.Reasoning
	b, _ := json.Marshal(map[string]any{"id": id, "object": "chat.completion.chunk", "created": time.Now().Unix(), "model": model, "choices": []any{}, //nolint:errchkjson // plain values
		"usage": map[string]any{"prompt_tokens": in, "completion_tokens": out, "total_tokens": in + out}})
	return b
}

func publicReceipt(r credit.Receipt) []byte {
	b, _ := json.Marshal(r) //nolint:errchkjson // plain values
	return b
}

// model is an entry of GET /v1/models.
type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func modelOf(m catalog.Listed) model {
	return model{ID: m.ID, Object: "model", Created: m.Since.Unix(), OwnedBy: m.Provider}
}

// listModels lists the models this user may call now.
func (s *Server) listModels(w http.ResponseWriter, r *http.Request) error {
	snap, plan := s.Catalog.Snapshot(), s.planOf(identityOf(r).User)
	list := []model{}
	for _, m := range snap.Models() {
		if m.Available && snap.PlanAllows(plan, m.ID) {
			list = append(list, modelOf(m))
		}
	}
	return send(w, http.StatusOK, map[string]any{"object": "list", "data": list})
}

func (s *Server) getModel(w http.ResponseWriter, r *http.Request) error {
	snap := s.Catalog.Snapshot()
	route, err := snap.Route(r.PathValue("id"))
	if err != nil {
		return err
	}
	for _, m := range snap.Models() {
		if m.ID == route.Model.ID {
			return send(w, http.StatusOK, modelOf(m))
		}
	}
	return send(w, http.StatusOK, model{ID: route.Model.ID, Object: "model", OwnedBy: route.Provider.ID})
}

// receipt shows what one answer cost and why, by its id or its request's.
func (s *Server) receipt(w http.ResponseWriter, r *http.Request) error {
	rec, err := s.Ledger.Receipt(r.Context(), userOf(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, rec)
}
