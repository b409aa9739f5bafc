// Package openai is the chat-completions dialect, in both directions: it
// validates what callers of /v1 send, and it speaks to every provider that
// offers OpenAI's API. Bodies and events pass through as bytes; what has to be
// known of them is read in one scan, because decoding and encoding each event
// costs more than everything else a gateway does.
package openai

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"onemind/internal/llm"
)

// Options is what a Client can be given; the zero value is useful.
type Options struct {
	Transport http.RoundTripper // in place of connections of its own; for engines within the process
	UserAgent string            // "OneMind" if empty
}

// Client speaks to every provider of this dialect and keeps its connections.
type Client struct {
	transport http.RoundTripper
	agent     []string
	watches   watches
	readers   sync.Pool // of *sse

	mu         sync.Mutex
	endpoints  map[route]endpoint
	transports map[dialing]*http.Transport
}

// New returns a Client.
func New(o Options) *Client {
	if o.UserAgent == "" {
		o.UserAgent = "OneMind"
	}
	return &Client{transport: o.Transport, agent: []string{o.UserAgent},
		endpoints: map[route]endpoint{}, transports: map[dialing]*http.Transport{}}
}

// Stream implements llm.Provider.
func (c *Client) Stream(ctx context.Context, to llm.Target, req *llm.Request, emit func(*llm.Event) error) (llm.Result, error) {
	body, err := outbound(&to, req)
	if err != nil {
		return llm.Result{}, err
	}
	inner, cancel := context.WithCancelCause(ctx)
	k := call{client: c, ctx: ctx, inner: inner, to: &to, req: req, emit: emit}
	k.watch = c.watches.start(cancel, to.Timeouts.FirstToken)
	defer func() {
		c.watches.end(k.watch)
		cancel(nil)
	}()
	return k.run(body)
}

// call is one call to a provider.
type call struct {
	client *Client
	ctx    context.Context // the caller's
	inner  context.Context // ends with it, or when the watch says so
	to     *llm.Target
	req    *llm.Request
	emit   func(*llm.Event) error
	watch  *watch
	begun  bool // an event came: waits are bounded by the idle time from here on
}

func (k *call) run(body []byte) (llm.Result, error) {
	resp, err := k.send(body)
	if err != nil {
		return llm.Result{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return llm.Result{}, k.refused(resp)
	}
	kind := resp.Header.Get("Content-Type")
	events := strings.HasPrefix(kind, "text/event-stream")
	switch {
	case k.req.Stream && (events || !strings.HasPrefix(kind, "application/json")):
		return k.stream(resp.Body)
	case events:
		return llm.Result{}, k.broken("The provider streams an answer that was to come whole.")
	}
	return k.whole(resp)
}

// send makes the request. It is a round trip and no http.Client: redirects are
// not followed, which would carry the key to wherever they point.
func (k *call) send(body []byte) (*http.Response, error) {
	e, err := k.client.endpoint(k.to)
	if err != nil {
		return nil, err
	}
	accept := "application/json"
	if k.req.Stream {
		accept = "text/event-stream"
	}
	header := http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {accept},
		"User-Agent":   k.client.agent,
		// Empty, it is not sent. It tells the transport that the request may be
		// sent again when a kept connection turns out to be closed already.
		"X-Idempotency-Key": {},
	}
	if key := k.to.Key.Reveal(); key != "" {
		if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, &llm.Failure{Class: llm.BadKey, Text: "The key holds a control character, such as a line break."}
		}
		header["Authorization"] = []string{"Bearer " + key}
	}
	req := (&http.Request{Method: http.MethodPost, URL: e.url, Host: e.url.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}).WithContext(k.inner)
	resp, err := e.trips.RoundTrip(req)
	if err != nil {
		return nil, k.unsent(err)
	}
	return resp, nil
}

// unsent says why there is no response.
func (k *call) unsent(err error) error {
	if ended := k.ended(); ended != nil {
		return ended
	}
	f := &llm.Failure{Class: llm.Broken, Err: err}
	var dial *net.OpError
	var slow net.Error
	switch {
	case errors.Is(err, errPrivate):
		f.Class = llm.Unreachable
	case errors.As(err, &slow) && slow.Timeout():
		f.Class = llm.TimedOut
	case errors.As(err, &dial) && dial.Op == "dial", isTLS(err):
		f.Class = llm.Unreachable
	}
	return f
}

// ended says whether, and why, the call ended from our side.
func (k *call) ended() error {
	if err := k.ctx.Err(); err != nil {
		return fmt.Errorf("call %s: %w", k.to.Provider, err)
	}
	if k.inner.Err() != nil {
		return &llm.Failure{Class: llm.TimedOut, Err: context.Cause(k.inner)}
	}
	return nil
}

func (k *call) broken(format string, args ...any) *llm.Failure {
	return &llm.Failure{Class: llm.Broken, Text: clean(fmt.Sprintf(format, args...), k.to.Key)}
}

// refused makes a Failure of a response that is no answer.
func (k *call) refused(resp *http.Response) error {
	if resp.StatusCode < 400 {
		return &llm.Failure{Class: llm.Broken, Status: resp.StatusCode, Text: "The provider answered with a status that is no answer; redirects are not followed."}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if ended := k.ended(); err != nil && ended != nil {
		return ended
	}
	f := complaintOf(body).failure(resp.StatusCode, k.to)
	f.Retry = retryAfter(resp.Header, time.Now())
	return f
}

// isTLS reports whether a connection failed before it could carry anything.
func isTLS(err error) bool {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &certificate) || errors.As(err, &record) || errors.As(err, &alert)
}

// patient reads a streamed body. Each wait for it is bounded; what its reader
// does in between takes its own time.
type patient struct {
	*call
	body io.Reader
}

func (p patient) Read(b []byte) (int, error) {
	if p.begun && !p.watch.armed {
		p.watch.arm(p.to.Timeouts.Idle, errIdle)
	}
	return p.body.Read(b)
}
