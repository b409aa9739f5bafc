// Package anthropic is the Messages dialect, in both directions: it speaks to
// Anthropic and to whoever offers its API, and it lets callers of /v1/messages
// reach every engine. A caller and a provider of this dialect get each other's
// bytes; everybody else meets in the neutral form. Prices are none of its
// business, but its two hard rules are about them: the output cap is always the
// target's, and tools that run at the provider are refused, because they cost
// what nobody here can see.
//
// The shapes follow Anthropic's public API reference and the types of its SDKs
// as of autumn 2026. What is sent says version 2023-06-01 of the API; of callers any
// version is taken, as the members and events that are read here are the same in
// the SDKs of 2023-06-01 and of 2026-10-21.
package anthropic

import (
	"context"
	"net/http"
	"time"

	"onemind/internal/llm"
	"onemind/internal/llm/wire"
)

// Protocol is the name of this dialect in catalogs and in llm.Native.
const Protocol = "anthropic"

// version is what providers are asked for. There is a later one, 2026-10-21, which
// Anthropic's own SDKs send since then. Their types differ in what may be asked:
// temperature, top_p and top_k are gone. This one has them, for the models that take
// them, and is what other servers of this dialect know.
const version = "2023-06-01"

// Client speaks to every provider of this dialect.
type Client struct {
	wire   *wire.Client
	header http.Header
}

// New returns a Client that calls by w.
func New(w *wire.Client) *Client {
	return &Client{w, http.Header{"Anthropic-Version": {version}}}
}

// Stream implements llm.Provider.
func (c *Client) Stream(ctx context.Context, to llm.Target, req *llm.Request, emit func(*llm.Event) error) (llm.Result, error) {
	k := call{ctx: ctx, req: req, emit: emit, native: req.Native != nil && req.Native.Protocol == Protocol}
	var body []byte
	var err error
	if k.native {
		body, k.changes, err = passed(&to, req)
	} else {
		body, k.changes, err = outbound(&to, req)
	}
	if err != nil {
		return llm.Result{}, err
	}
	k.Call, err = c.wire.Start(ctx, &to, wire.Post{Path: "/messages", Body: body, Stream: req.Stream, Auth: "X-Api-Key", Header: c.header})
	if err != nil {
		return llm.Result{Changes: k.changes}, err
	}
	defer k.Close()
	kind := k.Type()
	switch events := kind == "text/event-stream"; {
	case req.Stream && (events || kind != "application/json"):
		return k.stream()
	case events:
		return llm.Result{Changes: k.changes}, k.Broken("The provider streams an answer that was to come whole.")
	}
	return k.whole()
}

// call is one call to a provider.
type call struct {
	*wire.Call
	ctx     context.Context
	req     *llm.Request
	emit    func(*llm.Event) error
	native  bool // the caller speaks this dialect too: its events are the provider's
	changes []llm.Change
}

// now is when an answer was made, for the neutral form; Anthropic does not say.
func now() int64 { return time.Now().Unix() }
