package gemini_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"onemind/internal/llm"
	"onemind/internal/llm/gemini"
	"onemind/internal/llm/sim"
	"onemind/internal/llm/wire"
)

// serve starts a handler on a real socket.
func serve(t testing.TB, h http.Handler) llm.Target {
	up := httptest.NewServer(h)
	t.Cleanup(up.Close)
	to := target()
	to.BaseURL, to.Upstream, to.AllowPrivate = up.URL+"/v1beta", "m", true
	return to
}

// What providers do wrong, over a real socket: in this dialect as in the other.
func TestUpstreams(t *testing.T) {
	for name, tt := range map[string]struct {
		script sim.Script
		class  llm.Class
		ok     bool
		text   string
	}{
		"plain":             {ok: true},
		"in small writes":   {script: sim.Script{WriteSize: 7}, ok: true},
		"byte by byte":      {script: sim.Script{WriteSize: 1}, ok: true},
		"comments":          {script: sim.Script{Comments: true}, ok: true},
		"no usage":          {script: sim.Script{Usage: sim.Never}, ok: true},
		"zeros at first":    {script: sim.Script{Usage: sim.ZeroFirst}, ok: true},
		"no event-stream":   {script: sim.Script{Type: "text/plain"}, ok: true},
		"one body":          {script: sim.Script{Plain: true}, ok: true},
		"cut after the end": {script: sim.Script{Break: sim.Cut, After: 17}, ok: true},
		"cut":               {script: sim.Script{Break: sim.Cut, After: 5}, class: llm.Broken},
		"reset":             {script: sim.Script{Break: sim.Reset, After: 5}, class: llm.Broken},
		"reset at once":     {script: sim.Script{Break: sim.Reset}, class: llm.Broken},
		"garbage":           {script: sim.Script{Break: sim.Garbage, After: 5}, class: llm.Broken},
		"error in a 200":    {script: sim.Script{Break: sim.Fails, After: 5}, class: llm.Overloaded},
		"no finish":         {script: sim.Script{NoFinish: true}, class: llm.Broken},
		"stall":             {script: sim.Script{Break: sim.Stall, After: 5}, class: llm.TimedOut},
		"429":               {script: sim.Script{Status: 429, RetryAfter: "7"}, class: llm.RateLimited},
		"500":               {script: sim.Script{Status: 500}, class: llm.Broken},
		"404":               {script: sim.Script{Status: 404, Body: `{"error":{"code":404,"message":"models/m is not found","status":"NOT_FOUND"}}`}, class: llm.NoModel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sim.New(sim.Options{Choose: func(*sim.Request) sim.Script { return tt.script }})
			to := serve(t, s)
			to.Timeouts.Idle = 200 * time.Millisecond
			if tt.ok {
				to.Timeouts.Idle = 10 * time.Second
			}
			w := wire.New(wire.Options{})
			defer w.Close()
			var text strings.Builder
			r, err := gemini.New(w).Stream(t.Context(), to, ask(true), func(ev *llm.Event) error { text.WriteString(ev.Text()); return nil })
			if tt.ok {
				if err != nil || !strings.HasSuffix(text.String(), "word14 word15") || strings.Count(text.String(), "word0") != 1 || r.Finish != "stop" {
					t.Errorf("%q, %+v, %v", text.String(), r, err)
				}
				if tt.script.Usage != sim.Never && (r.Usage == nil || *r.Usage != llm.Usage{Input: 2, Output: 16}) {
					t.Errorf("usage %+v", r.Usage)
				}
				last := s.Last()
				if last.Header.Get("X-Goog-Api-Key") != "secret-key" || last.Header.Get("Authorization") != "" || last.MaxTokens != 1000 || last.Model != "m" {
					t.Errorf("%v %s", last.Header, last.Body)
				}
				return
			}
			var f *llm.Failure
			if !errors.As(err, &f) || f.Class != tt.class {
				t.Fatalf("%v", err)
			}
			if name == "429" && f.Retry != 7*time.Second {
				t.Errorf("retry after %v", f.Retry)
			}
			if tt.script.After > 0 && (r.Usage == nil || r.Usage.Output != int64(tt.script.After)) {
				t.Errorf("beside the error: %+v", r.Usage)
			}
		})
	}
}

// A caller that leaves closes the provider's connection; one whose emit fails gets
// that error.
func TestLeaving(t *testing.T) {
	s := sim.New(sim.Options{Choose: func(*sim.Request) sim.Script { return sim.Script{Break: sim.Stall, After: 2} }})
	to := serve(t, s)
	w := wire.New(wire.Options{})
	defer w.Close()
	c := gemini.New(w)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := c.Stream(ctx, to, ask(true), func(*llm.Event) error {
		if n++; n == 2 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	errFull := errors.New("full")
	if _, err = c.Stream(t.Context(), to, ask(true), func(*llm.Event) error { return errFull }); !errors.Is(err, errFull) {
		t.Error(err)
	}
	gone, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if err := s.Wait(gone, func(c sim.Counts) bool { return c.Open == 0 }); err != nil {
		t.Errorf("%+v", s.Counts())
	}
}

// An answer of 600,000 tokens costs no more memory than a short one: nothing of it
// is kept.
func TestLongStreamKeepsNothing(t *testing.T) {
	to := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 20_000 {
			_, _ = fmt.Fprint(w, benchGemini)
		}
		_, _ = fmt.Fprint(w, benchEnd)
	}))
	w := wire.New(wire.Options{})
	defer w.Close()
	c := gemini.New(w)
	allocs := testing.AllocsPerRun(1, func() {
		if _, err := c.Stream(t.Context(), to, ask(true), func(*llm.Event) error { return nil }); err != nil {
			t.Error(err)
		}
	})
	if allocs > 40_000 { // the server's writes are among them
		t.Errorf("%.0f allocations", allocs)
	}
}
