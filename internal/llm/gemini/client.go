// Package gemini is Google's generateContent dialect, in both directions: it
// validates what callers of /v1beta/models send, and it speaks to the Gemini API
// and to every server that offers it. A request in the dialect of its provider
// passes through as bytes; any other is translated from and to chat completions
// without decoding an event.
package gemini

import (
	"context"
	"net/url"
	"strings"
	"time"

	"onemind/internal/llm"
	"onemind/internal/llm/wire"
)

// Protocol is the dialect's name in catalogs and in llm.Native.
const Protocol = "gemini"

// Client speaks to every provider of this dialect.
type Client struct{ wire *wire.Client }

// New returns a Client that calls by w.
func New(w *wire.Client) *Client { return &Client{w} }

// Stream implements llm.Provider.
func (c *Client) Stream(ctx context.Context, to llm.Target, req *llm.Request, emit func(*llm.Event) error) (llm.Result, error) {
	k := call{ctx: ctx, to: &to, req: req, emit: emit, native: req.Native != nil && req.Native.Protocol == Protocol}
	var body []byte
	var err error
	if k.native {
		body, err = nativeBody(&to, req.Native.Body)
	} else {
		body, k.changes, err = outbound(&to, req)
	}
	if err != nil {
		return llm.Result{}, err
	}
	k.Call, err = c.wire.Start(ctx, &to, wire.Post{Path: address(to.Upstream, req.Stream), Body: body, Stream: req.Stream, Auth: "X-Goog-Api-Key"})
	if err != nil {
		return llm.Result{Changes: k.changes}, err
	}
	defer k.Close()
	name := llm.AppendQuoted(nil, strings.TrimPrefix(to.Upstream, "models/"))
	k.answer.model = name[1 : len(name)-1]
	k.answer.created = time.Now().Unix()
	result, err := k.read()
	result.Changes = k.changes
	return result, err
}

// address is where a model is asked, below the base URL. Upstream names may begin
// with "models/", as the API itself lists them, or "tunedModels/".
func address(upstream string, stream bool) string {
	collection := "models"
	if first, rest, found := strings.Cut(upstream, "/"); found && (first == "models" || first == "tunedModels") {
		collection, upstream = first, rest
	}
	p := "/" + collection + "/" + url.PathEscape(upstream)
	if stream {
		return p + ":streamGenerateContent?alt=sse"
	}
	return p + ":generateContent"
}

// call is one call to a provider.
type call struct {
	*wire.Call
	ctx     context.Context
	to      *llm.Target
	req     *llm.Request
	emit    func(*llm.Event) error
	native  bool // the caller speaks this dialect too
	changes []llm.Change

	answer answer
	chunk  chunk     // the one being read
	event  llm.Event // the one being emitted
	out    []byte
	text   []byte // of a native chunk with several parts
}

// read reads the answer in whichever form it came.
func (k *call) read() (llm.Result, error) {
	kind := k.Type()
	switch events := kind == "text/event-stream"; {
	case k.req.Stream && (events || kind != "application/json"):
		return k.stream()
	case events:
		return llm.Result{}, k.Broken("The provider streams an answer that was to come whole.")
	}
	return k.whole()
}
