package openai_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/llm"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/sim"
	"onemind/internal/llm/wire"
)

// server starts a scripted upstream on a real socket; the model "m" follows the script.
func server(t testing.TB, script sim.Script) (*sim.Server, llm.Target) {
	s := sim.New(sim.Options{Choose: func(*sim.Request) sim.Script { return script }})
	return s, serve(t, s)
}

// serve starts a handler on a real socket.
func serve(t testing.TB, h http.Handler) llm.Target {
	up := httptest.NewServer(h)
	t.Cleanup(up.Close)
	return llm.Target{Provider: "p", BaseURL: up.URL + "/v1", Key: llm.NewKey("sk-secret"), Upstream: "m", Cap: 1000, AllowPrivate: true,
		Timeouts: llm.Timeouts{Connect: 5 * time.Second, FirstToken: 10 * time.Second, Idle: 10 * time.Second}}
}

func request(stream bool, more string) *llm.Request {
	return &llm.Request{Body: []byte(`{"model":"asked","messages":[{"role":"user","content":"Hello there"}]` + more + `}`), Model: "asked", Stream: stream, N: 1}
}

// heard is what a caller of Stream got.
type heard struct {
	text, thought string
	output        int
	events        int
	usages        int
	mores         int
	finish        string
}

func (h *heard) emit(e *llm.Event) error {
	h.text += e.Text()
	h.thought += e.Thought()
	h.output += e.Output
	h.events++
	if e.Usage {
		h.usages++
	}
	if e.More {
		h.mores++
	}
	if e.Finish != "" {
		h.finish = e.Finish
	}
	return nil
}

func class(t *testing.T, err error) llm.Class {
	t.Helper()
	var f *llm.Failure
	if !errors.As(err, &f) {
		t.Fatalf("%v is no failure", err)
	}
	if strings.Contains(f.Error(), "sk-secret") {
		t.Errorf("the key is in %q", f.Error())
	}
	return f.Class
}

const sixteen = "word0 word1 word2 word3 word4 word5 word6 word7 word8 word9 word10 word11 word12 word13 word14 word15"

func TestStream(t *testing.T) {
	for name, script := range map[string]sim.Script{
		"plain":             {},
		"CRLF":              {CRLF: true},
		"comments":          {Comments: true},
		"no [DONE]":         {NoDone: true},
		"in small writes":   {WriteSize: 7},
		"byte by byte":      {WriteSize: 1, Pieces: 16},
		"usage in all":      {Usage: sim.EveryChunk},
		"zeros at first":    {Usage: sim.ZeroFirst},
		"cut after the end": {Break: sim.Cut, After: 18, Usage: sim.EveryChunk},
		"some per event":    {PerEvent: 5},
		"no event-stream":   {Type: "text/plain; charset=utf-8"},
		"one body":          {Plain: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, to := server(t, script)
			w := wire.New(wire.Options{UserAgent: "test"})
			c := openai.New(w)
			defer w.Close()
			var h heard
			result, err := c.Stream(t.Context(), to, request(true, ""), h.emit)
			if err != nil {
				t.Fatal(err)
			}
			if h.text != sixteen || result.Finish != "stop" || h.finish != "stop" {
				t.Errorf("%+v %+v", h, result)
			}
			if result.Usage == nil || *result.Usage != (llm.Usage{Input: 2, Output: 16}) {
				t.Errorf("usage %+v", result.Usage)
			}
			last := s.Last()
			if last.Header.Get("Authorization") != "Bearer sk-secret" || last.Header.Get("User-Agent") != "test" || last.MaxTokens != 1000 || last.Model != "m" || last.Header.Values("X-Idempotency-Key") != nil {
				t.Errorf("%v %s", last.Header, last.Body)
			}
		})
	}
}

func TestWhole(t *testing.T) {
	w := wire.New(wire.Options{})
	c := openai.New(w)
	defer w.Close()
	_, to := server(t, sim.Script{Reasoning: "Let me see.", Cached: 1})
	result, err := c.Stream(t.Context(), to, request(false, ""), nil)
	if err != nil || !strings.Contains(string(result.Body), sixteen) || result.Finish != "stop" || result.Usage == nil || result.Text != "" {
		t.Fatalf("%+v, %v", result, err)
	}
	if u := *result.Usage; u.Input != 1 || u.CachedInput != 1 || u.Reasoning != int64(len(sim.Pieces("Let me see."))) || u.Output != int64(len(sim.Pieces(sixteen))) {
		t.Errorf("%+v", u)
	}
	_, to = server(t, sim.Script{Text: "A \"quoted\" é😀 answer", Usage: sim.Never, Calls: []sim.Call{{Name: "f", Arguments: `{"a":1}`}}})
	result, err = c.Stream(t.Context(), to, request(false, ""), nil)
	if err != nil || result.Usage != nil || !strings.Contains(result.Text, "A \"quoted\" é😀 answer") || !strings.Contains(result.Text, `{"a":1}`) || result.Finish != "tool_calls" {
		t.Errorf("%q, %v", result.Text, err)
	}
}

func TestToolCallsInFragments(t *testing.T) {
	_, to := server(t, sim.Script{Calls: []sim.Call{{Name: "weather", Arguments: `{"city":"Zürich"}`}, {Name: "time", Arguments: `{}`}}})
	w := wire.New(wire.Options{})
	c := openai.New(w)
	defer w.Close()
	var h heard
	result, err := c.Stream(t.Context(), to, request(true, ""), h.emit)
	if err != nil || h.text != "" || h.output < len(`weather{"city":"Zürich"}time{}`) || result.Finish != "tool_calls" {
		t.Errorf("%+v %+v %v", h, result, err)
	}
}

// What was said before a stream broke is kept: it is what will be charged.
func TestBrokenStreams(t *testing.T) {
	long := "data: " + strings.Repeat("x", 17<<20) + "\n\n"
	for _, tt := range []struct {
		name   string
		script sim.Script
		want   llm.Class
		events int
	}{
		{"cut", sim.Script{Break: sim.Cut, After: 5}, llm.Broken, 5},
		{"reset", sim.Script{Break: sim.Reset, After: 5}, llm.Broken, -1}, // a reset may overtake what was sent
		{"garbage", sim.Script{Break: sim.Garbage, After: 5}, llm.Broken, 5},
		{"no finish and no [DONE]", sim.Script{NoFinish: true, NoDone: true}, llm.Broken, 17},
		{"error object", sim.Script{Break: sim.Fails, After: 5}, llm.Broken, 5},
		{"rate limit within", sim.Script{Break: sim.Fails, After: 5, Error: `{"message":"slow down","code":429}`}, llm.RateLimited, 5},
		{"overloaded within", sim.Script{Break: sim.Fails, After: 5, Error: `{"message":"x","type":"overloaded_error"}`}, llm.Overloaded, 5},
		{"error in a whole body", sim.Script{Status: 200, Body: `{"error":{"message":"no","code":"insufficient_quota"}}`}, llm.NoQuota, 0},
		{"an empty body", sim.Script{Status: 200, Body: ` `}, llm.Broken, 0},
		{"no choices", sim.Script{Status: 200, Body: `{"id":"x"}`}, llm.Broken, 0},
		{"HTML with 200", sim.Script{Status: 200, Body: `<html>Sign in</html>`, Type: "text/html"}, llm.Broken, 0},
		{"an endless event", sim.Script{Status: 200, Body: long, Type: "text/event-stream"}, llm.Broken, 0},
		{"deferred", sim.Script{Status: 202, Body: `{}`}, llm.Broken, 0},
		{"redirect", sim.Script{Status: 307, Body: `{}`}, llm.Broken, 0},
		{"overloaded", sim.Script{Status: 503}, llm.Overloaded, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.script.Usage = sim.EveryChunk
			_, to := server(t, tt.script)
			w := wire.New(wire.Options{})
			c := openai.New(w)
			defer w.Close()
			var h heard
			result, err := c.Stream(t.Context(), to, request(true, ""), h.emit)
			if got := class(t, err); got != tt.want || tt.events >= 0 && h.events != tt.events {
				t.Errorf("%v after %d events: %v", got, h.events, err)
			}
			if tt.events > 0 && result.Usage == nil {
				t.Error("the usage so far is lost")
			}
		})
	}
}

func TestBrokenBodies(t *testing.T) {
	for _, script := range []sim.Script{{Break: sim.Cut, After: 50}, {Status: 200, Body: `[]`}, {Status: 200, Body: `{"choices":[]}`}, {Status: 200, Body: "data: x\n\n", Type: "text/event-stream"}} {
		_, to := server(t, script)
		w := wire.New(wire.Options{})
		c := openai.New(w)
		if _, err := c.Stream(t.Context(), to, request(false, ""), nil); class(t, err) != llm.Broken {
			t.Errorf("%+v: %v", script, err)
		}
		w.Close()
	}
}

func TestRateLimited(t *testing.T) {
	_, to := server(t, sim.Script{Status: 429, RetryAfter: "17", Body: `{"error":{"message":"key sk-secret is limited","code":"rate_limit_exceeded"}}`})
	w := wire.New(wire.Options{})
	c := openai.New(w)
	defer w.Close()
	_, err := c.Stream(t.Context(), to, request(true, ""), nil)
	var f *llm.Failure
	if !errors.As(err, &f) || f.Class != llm.RateLimited || f.Status != 429 || f.Retry != 17*time.Second || f.Text != "key [secret] is limited" {
		t.Errorf("%+v", f)
	}
}

// Keep-alive bytes before the answer, and bytes that are no UTF-8 within it.
func TestOddBytes(t *testing.T) {
	w := wire.New(wire.Options{})
	c := openai.New(w)
	defer w.Close()
	to := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "\n\n  \n{\"choices\":[{\"message\":{\"content\":\"a\xffb\"},\"finish_reason\":\"stop\"}]}\n")
	}))
	result, err := c.Stream(t.Context(), to, request(false, ""), nil)
	if err != nil || result.Text != "a\uFFFDb" {
		t.Errorf("%+v, %v", result, err)
	}
	to = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"choices\":[{\"delta\":{\"content\":\"a\xe6\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}))
	var h heard
	if _, err := c.Stream(t.Context(), to, request(true, ""), h.emit); err != nil || h.text != "a\uFFFD" {
		t.Errorf("%+v, %v", h, err)
	}
}

// Waits are bounded, each by its own time. The time is the bubble's.
func TestTimeouts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script sim.Script
		stream bool
		want   time.Duration
		events int
	}{
		{"first byte", sim.Script{FirstDelay: time.Hour}, true, 30 * time.Second, 0},
		{"first event", sim.Script{Break: sim.Stall}, true, 30 * time.Second, 0},
		{"between events", sim.Script{Break: sim.Stall, After: 3}, true, 60 * time.Second, 3},
		{"slow but alive", sim.Script{FirstDelay: 29 * time.Second, PieceDelay: 59 * time.Second, Pieces: 3}, true, 0, 6},
		{"one body for a stream", sim.Script{FirstDelay: 31 * time.Second, Plain: true}, true, 30 * time.Second, 0},
		{"whole", sim.Script{FirstDelay: time.Hour}, false, 5 * time.Minute, 0},
		{"half a body", sim.Script{Break: sim.Stall}, false, 5 * time.Minute, 0},
		{"whole and slow", sim.Script{FirstDelay: 299 * time.Second}, false, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sim.New(sim.Options{Choose: func(*sim.Request) sim.Script { return tt.script }})
				c := openai.New(wire.New(wire.Options{Transport: sim.Transport(s)}))
				to := llm.Target{BaseURL: "http://sim/v1", Cap: 9, Timeouts: llm.Timeouts{FirstToken: 30 * time.Second, Idle: time.Minute, Whole: 5 * time.Minute}}
				var h heard
				began := time.Now()
				result, err := c.Stream(t.Context(), to, request(tt.stream, ""), h.emit)
				if tt.want == 0 {
					if err != nil || h.events != tt.events || tt.stream == (result.Body != nil) {
						t.Errorf("%d events, %s, %v", h.events, result.Body, err)
					}
					return
				}
				if got := time.Since(began); class(t, err) != llm.TimedOut || got != tt.want || h.events != tt.events {
					t.Errorf("after %v and %d events: %v", got, h.events, err)
				}
				if err := s.Wait(t.Context(), func(c sim.Counts) bool { return c.Open == 0 && c.Cancelled == 1 }); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A reader that takes its time is not the provider's fault.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sim.New(sim.Options{})
		c := openai.New(wire.New(wire.Options{Transport: sim.Transport(s)}))
		to := llm.Target{BaseURL: "http://sim/v1", Timeouts: llm.Timeouts{FirstToken: time.Second, Idle: time.Second}}
		var h heard
		_, err := c.Stream(t.Context(), to, request(true, ""), func(e *llm.Event) error {
			time.Sleep(time.Minute)
			return h.emit(e)
		})
		if err != nil || h.text != sixteen {
			t.Errorf("%+v, %v", h, err)
		}
	})
}

// The provider's connection is closed as soon as nobody wants the answer.
func TestCancelled(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script sim.Script
		stream bool
	}{
		{"before the first byte", sim.Script{FirstDelay: time.Hour}, true},
		{"in the stream", sim.Script{Break: sim.Stall, After: 3}, true},
		{"whole", sim.Script{FirstDelay: time.Hour}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, to := server(t, tt.script)
			w := wire.New(wire.Options{})
			c := openai.New(w)
			defer w.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				_ = s.Wait(ctx, func(c sim.Counts) bool { return c.Events == tt.script.After && c.Open == 1 })
				cancel()
			}()
			if _, err := c.Stream(ctx, to, request(tt.stream, ""), func(*llm.Event) error { return nil }); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			gone(t, s)
		})
	}
	t.Run("by the reader", func(t *testing.T) {
		s, to := server(t, sim.Script{Break: sim.Stall, After: 3})
		w := wire.New(wire.Options{})
		c := openai.New(w)
		defer w.Close()
		stop := errors.New("enough")
		if _, err := c.Stream(t.Context(), to, request(true, ""), func(*llm.Event) error { return stop }); err != stop {
			t.Error(err)
		}
		gone(t, s)
	})
}

func gone(t *testing.T, s *sim.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Wait(ctx, func(c sim.Counts) bool { return c.Open == 0 && c.Cancelled == 1 }); err != nil {
		t.Errorf("the upstream call goes on: %+v", s.Counts())
	}
}

func TestUnreachable(t *testing.T) {
	w := wire.New(wire.Options{})
	c := openai.New(w)
	defer w.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	_, plain := server(t, sim.Script{})
	for _, tt := range []struct {
		name, base string
		private    bool
	}{
		{"nobody listens", closed, true}, {"no TLS there", strings.Replace(plain.BaseURL, "http:", "https:", 1), true}, {"not public", plain.BaseURL, false},
		{"no URL", "::", true}, {"no scheme", "localhost", true}, {"another scheme", "file:///etc", true},
	} {
		to := llm.Target{BaseURL: tt.base, AllowPrivate: tt.private, Timeouts: llm.Timeouts{Connect: 5 * time.Second, FirstToken: 10 * time.Second}}
		if _, err := c.Stream(t.Context(), to, request(true, ""), nil); class(t, err) != llm.Unreachable {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	to := plain
	to.Key = llm.NewKey("sk-secret\n")
	if _, err := c.Stream(t.Context(), to, request(true, ""), nil); class(t, err) != llm.BadKey {
		t.Error(err)
	}
}

// A kept connection that the provider closed in the meantime costs nobody an
// answer, and connections are kept after streams too.
func TestConnectionsAreKept(t *testing.T) {
	var mu sync.Mutex
	opened := map[net.Conn]bool{}
	s := sim.New(sim.Options{})
	up := httptest.NewUnstartedServer(s)
	up.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if state == http.StateNew {
			opened[conn] = true
		}
	}
	up.Start()
	defer up.Close()
	w := wire.New(wire.Options{})
	c := openai.New(w)
	defer w.Close()
	to := llm.Target{BaseURL: up.URL, Cap: 5, AllowPrivate: true}
	for i := range 20 {
		if _, err := c.Stream(t.Context(), to, request(i%2 == 0, ""), func(*llm.Event) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	if len(opened) != 1 {
		t.Errorf("%d connections for 20 calls in a row", len(opened))
	}
	mu.Unlock()
	for range 20 {
		up.CloseClientConnections()
		if _, err := c.Stream(t.Context(), to, request(true, ""), func(*llm.Event) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

// Many calls at once do not mix: no buffer has two owners.
func TestConcurrent(t *testing.T) {
	s := sim.New(sim.Options{Choose: func(r *sim.Request) sim.Script { return sim.Script{Text: strings.Repeat(r.Model+" ", 50)} }})
	to := serve(t, s)
	w := wire.New(wire.Options{})
	c := openai.New(w)
	defer w.Close()
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			to := to
			to.Upstream = fmt.Sprintf("model%d", i)
			for n := range 5 {
				var h heard
				result, err := c.Stream(t.Context(), to, request(n%2 == 0, ""), h.emit)
				want := strings.Repeat(to.Upstream+" ", 50)
				if err != nil || n%2 == 0 && h.text != want || n%2 == 1 && !strings.Contains(string(result.Body), want) {
					t.Errorf("%s: %v", to.Upstream, err)
				}
			}
		})
	}
	callers.Wait()
}

// A long answer is never kept: 600,000 events pass through one small buffer.
func TestLongStream(t *testing.T) {
	if testing.Short() {
		t.Skip("600,000 events")
	}
	event := `data: {"choices":[{"delta":{"content":"word "}}]}` + "\n\n"
	to := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 600 {
			if _, err := io.WriteString(w, strings.Repeat(event, 1000)); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	}))
	w := wire.New(wire.Options{})
	c := openai.New(w)
	defer w.Close()
	events := 0
	allocs := testing.AllocsPerRun(1, func() {
		if _, err := c.Stream(t.Context(), to, request(true, ""), func(e *llm.Event) error { events++; return nil }); err != nil {
			t.Error(err)
		}
	})
	if events != 1_200_000 || allocs > 60_000 {
		t.Errorf("%d events, %.0f allocations", events, allocs)
	}
}
