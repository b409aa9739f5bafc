// Package wire is the HTTP side of a call to a provider, the same for every
// dialect: kept connections that refuse addresses inside our network, a bound on
// every wait, server-sent events, and the many shapes in which providers say what
// went wrong. What the bytes mean is the dialects' business.
package wire

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
	"unicode/utf8"

	"onemind/internal/llm"
)

// Options is what a Client can be given; the zero value is useful.
type Options struct {
	Transport http.RoundTripper // in place of connections of its own; for engines within the process
	UserAgent string            // "OneMind" if empty
}

// Client makes calls and keeps its connections. All dialects may share one.
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

// Post is a request to a provider.
type Post struct {
	Path   string // behind the target's base URL, such as "/chat/completions"; may end in a query
	Type   string // Content-Type; empty is application/json
	Body   []byte
	Stream bool        // server-sent events are wanted
	Auth   string      // header that carries the key, such as "X-Api-Key"; empty: a bearer token
	Header http.Header // further headers, in their canonical spelling; not changed
}

// Call is one call to a provider, from the request to the last byte of its answer.
type Call struct {
	client *Client
	ctx    context.Context // the caller's
	inner  context.Context // ends with it, or when the watch says so
	cancel context.CancelCauseFunc
	to     *llm.Target
	watch  *watch
	begun  bool // an event came: waits are bounded by the idle time from here on
	resp   *http.Response
	events *sse
}

// Start sends a request and waits for the head of its answer. A status that is
// no 200 is a failure. The Call has to be closed.
func (c *Client) Start(ctx context.Context, to *llm.Target, post Post) (*Call, error) {
	inner, cancel := context.WithCancelCause(ctx)
	k := &Call{client: c, ctx: ctx, inner: inner, cancel: cancel, to: to}
	first, cause := firstWait(to.Timeouts, post.Stream)
	k.watch = c.watches.start(cancel, first, cause)
	err := k.send(post)
	if err == nil && k.resp.StatusCode != http.StatusOK {
		err = k.refused()
	}
	if err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

// firstWait is how long the first wait of a call may take, and why it ends then.
// An answer that is not streamed has no other: all of it has to come within.
func firstWait(t llm.Timeouts, stream bool) (time.Duration, error) {
	if stream || t.Whole <= 0 {
		return t.FirstToken, errFirstToken
	}
	return t.Whole, errWhole
}

// Close lets go of the connection, which ends an answer that is still coming.
func (k *Call) Close() {
	if k.events != nil {
		k.events.from = nil
		if len(k.events.buf) <= maxReuse {
			k.client.readers.Put(k.events)
		}
		k.events = nil
	}
	if k.resp != nil {
		k.resp.Body.Close()
	}
	k.client.watches.end(k.watch)
	k.cancel(nil)
}

// send makes the request. It is a round trip and no http.Client: redirects are
// not followed, which would carry the key to wherever they point.
func (k *Call) send(post Post) error {
	e, err := k.client.endpoint(k.to, post.Path)
	if err != nil {
		return err
	}
	accept, kind := "application/json", post.Type
	if post.Stream {
		accept = "text/event-stream"
	}
	if kind == "" {
		kind = "application/json"
	}
	header := http.Header{
		"Content-Type": {kind},
		"Accept":       {accept},
		"User-Agent":   k.client.agent,
		// Empty, it is not sent. It tells the transport that the request may be
		// sent again when a kept connection turns out to be closed already.
		"X-Idempotency-Key": {},
	}
	for name, values := range post.Header {
		header[name] = values
	}
	if key := k.to.Key.Reveal(); key != "" {
		if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return &llm.Failure{Class: llm.BadKey, Text: "The key holds a control character, such as a line break."}
		}
		if post.Auth == "" {
			header["Authorization"] = []string{"Bearer " + key}
		} else {
			header[post.Auth] = []string{key}
		}
	}
	body := post.Body
	req := (&http.Request{Method: http.MethodPost, URL: e.url, Host: e.url.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}).WithContext(k.inner)
	k.resp, err = e.trips.RoundTrip(req) //nolint:bodyclose // Close does
	if err != nil {
		return k.unsent(err)
	}
	return nil
}

// unsent says why there is no response.
func (k *Call) unsent(err error) error {
	if ended := k.Ended(); ended != nil {
		return ended
	}
	f := &llm.Failure{Class: llm.Broken, Err: hide(err, k.to.Key)}
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

// Ended says whether, and why, the call ended from our side: the caller's
// context, or a wait that took too long. It is nil while it goes on.
func (k *Call) Ended() error {
	if err := k.ctx.Err(); err != nil {
		return fmt.Errorf("call %s: %w", k.to.Provider, err)
	}
	if k.inner.Err() != nil {
		return &llm.Failure{Class: llm.TimedOut, Err: context.Cause(k.inner)}
	}
	return nil
}

// Broken is the failure of a provider whose answer is none.
func (k *Call) Broken(format string, args ...any) *llm.Failure {
	return &llm.Failure{Class: llm.Broken, Text: clean(fmt.Sprintf(format, args...), k.to.Key)}
}

// Complaint is the failure that an error object within a 200 stands for.
func (k *Call) Complaint(object []byte) *llm.Failure {
	return complaintOf(object).failure(0, k.to)
}

// refused makes a Failure of a response that is no answer.
func (k *Call) refused() error {
	resp := k.resp
	if resp.StatusCode < 400 {
		return &llm.Failure{Class: llm.Broken, Status: resp.StatusCode, Text: "The provider answered with a status that is no answer; redirects are not followed."}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if ended := k.Ended(); err != nil && ended != nil {
		return ended
	}
	f := complaintOf(body).failure(resp.StatusCode, k.to)
	if after := retryAfter(resp.Header, time.Now()); after > 0 { // the header is the more precise: it knows this server
		f.Retry = after
	}
	return f
}

// isTLS reports whether a connection failed before it could carry anything.
func isTLS(err error) bool {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &certificate) || errors.As(err, &record) || errors.As(err, &alert)
}

// Type is the answer's Content-Type, without parameters and in small letters.
func (k *Call) Type() string {
	kind, _, _ := strings.Cut(k.resp.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// Event is one server-sent event. Its slices are valid until Next is called again.
type Event struct {
	Type    string // its event field; empty if it has none
	Data    []byte // valid UTF-8
	Trouble bool   // the type is "error": Data says what went wrong
	Last    bool   // the stream is at its end: a Data that cannot be read came in part
}

// Next waits for the next event that has data. The error is io.EOF at the end
// of the stream; Cut tells what an end means.
func (k *Call) Next() (Event, error) {
	if k.events == nil {
		k.events, _ = k.client.readers.Get().(*sse)
		if k.events == nil {
			k.events = &sse{}
		}
		k.events.reset(patient{k})
	}
	for {
		data, err := k.events.next()
		if err != nil {
			return Event{}, err
		}
		if len(bytes.TrimSpace(data)) == 0 {
			continue
		}
		k.watch.rest()
		k.begun = true
		if !utf8.Valid(data) {
			data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
		}
		return Event{Type: k.events.name, Data: data, Trouble: k.events.name == "error", Last: k.events.closed}, nil
	}
}

// Ahead gives the data of the event after this one, if all of it is here
// already: whoever passes events on can wait with sending.
func (k *Call) Ahead() ([]byte, bool) { return k.events.peek() }

// Cut judges the error of Next where the answer is not complete.
func (k *Call) Cut(err error) error {
	if ended := k.Ended(); ended != nil {
		return ended
	}
	if errors.Is(err, errLongEvent) {
		return k.Broken("The provider's stream cannot be read: %s", err)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &llm.Failure{Class: llm.Broken, Text: "The provider's stream was cut before its end.", Err: hide(fmt.Errorf("read the stream: %w", err), k.to.Key)}
}

// drainFor bounds the wait for a connection's last bytes after the answer is
// complete. They are nearly always here already, and make the connection usable
// for the next call.
const drainFor = 50 * time.Millisecond

// Drain reads what may follow a complete answer.
func (k *Call) Drain() {
	k.watch.arm(drainFor, errIdle)
	_, _ = io.CopyN(io.Discard, k.resp.Body, 4<<10)
}

// patient reads a streamed body. Each wait for it is bounded; what its reader
// does in between takes its own time.
type patient struct{ *Call }

func (p patient) Read(b []byte) (int, error) {
	if p.begun && !p.watch.armed {
		p.watch.arm(p.to.Timeouts.Idle, errIdle)
	}
	return p.resp.Body.Read(b)
}
