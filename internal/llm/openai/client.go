// Package openai is the chat-completions dialect, in both directions: it
// validates what callers of /v1 send, and it speaks to every provider that
// offers OpenAI's API. Bodies and events pass through as bytes; what has to be
// known of them is read in one scan.
package openai

import (
	"context"

	"onemind/internal/llm"
	"onemind/internal/llm/wire"
)

// Client speaks to every provider of this dialect.
type Client struct{ wire *wire.Client }

// New returns a Client that calls by w.
func New(w *wire.Client) *Client { return &Client{w} }

// Stream implements llm.Provider.
func (c *Client) Stream(ctx context.Context, to llm.Target, req *llm.Request, emit func(*llm.Event) error) (llm.Result, error) {
	if req.Op != llm.Chat {
		return c.operate(ctx, &to, req)
	}
	body, changes, err := outbound(&to, req)
	if err != nil {
		return llm.Result{}, err
	}
	started, err := c.wire.Start(ctx, &to, wire.Post{Path: "/chat/completions", Body: body, Stream: req.Stream})
	if err != nil {
		return llm.Result{}, err
	}
	defer started.Close()
	k := call{Call: started, ctx: ctx, req: req, emit: emit}
	result, err := k.run()
	result.Changes = changes
	return result, err
}

// run reads the answer, in whichever form it comes.
func (k *call) run() (llm.Result, error) {
	kind := k.Type()
	switch events := kind == "text/event-stream"; {
	case k.req.Stream && (events || kind != "application/json"):
		return k.stream()
	case events:
		return llm.Result{}, k.Broken("The provider streams an answer that was to come whole.")
	}
	return k.whole()
}

// call is one call to a provider.
type call struct {
	*wire.Call
	ctx  context.Context
	req  *llm.Request
	emit func(*llm.Event) error
}
