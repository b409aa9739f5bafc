package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/upstream"
)

// sent is one call that a scripted engine got.
type sent struct {
	model, key string
	at         time.Time
}

// engine is a provider of the tests' own: play says what happens at the n-th
// call (from 1). It remembers what it was asked.
type engine struct {
	play func(ctx context.Context, n int, to llm.Target, emit func(*llm.Event) error) (llm.Result, error)

	mu      sync.Mutex
	calls   []sent
	running int
	most    int
}

func (e *engine) Stream(ctx context.Context, to llm.Target, _ *llm.Request, emit func(*llm.Event) error) (llm.Result, error) {
	e.mu.Lock()
	e.calls = append(e.calls, sent{to.Upstream, to.Key.Reveal(), time.Now()})
	n := len(e.calls)
	e.running++
	e.most = max(e.most, e.running)
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.running--
		e.mu.Unlock()
	}()
	return e.play(ctx, n, to, emit)
}

func (e *engine) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.calls)
}

// play of an engine.
type play = func(context.Context, int, llm.Target, func(*llm.Event) error) (llm.Result, error)

// says streams pieces and ends well. The buffer is used again for each event, as
// dialects do.
func says(pieces ...string) play {
	return func(_ context.Context, _ int, _ llm.Target, emit func(*llm.Event) error) (llm.Result, error) {
		var buffer []byte
		for _, p := range pieces {
			buffer = append(buffer[:0], p...)
			if err := emit(&llm.Event{Data: buffer, Content: buffer, Output: len(p)}); err != nil {
				return llm.Result{}, err
			}
		}
		return llm.Result{Finish: "stop", Usage: &llm.Usage{Output: int64(len(pieces))}}, nil
	}
}

// fails fails with f.
func fails(f llm.Failure) play {
	return func(context.Context, int, llm.Target, func(*llm.Event) error) (llm.Result, error) {
		return llm.Result{}, &f
	}
}

func class(c llm.Class) play { return fails(llm.Failure{Class: c, Text: "words"}) }

// turns plays one after the other; the last one stays.
func turns(plays ...play) play {
	return func(ctx context.Context, n int, to llm.Target, emit func(*llm.Event) error) (llm.Result, error) {
		return plays[min(n, len(plays))-1](ctx, n, to, emit)
	}
}

// takes lets time pass before p.
func takes(d time.Duration, p play) play {
	return func(ctx context.Context, n int, to llm.Target, emit func(*llm.Event) error) (llm.Result, error) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return llm.Result{}, ctx.Err()
		case <-t.C:
			return p(ctx, n, to, emit)
		}
	}
}

// after emits pieces and then goes on with p.
func after(p play, pieces ...string) play {
	return func(ctx context.Context, n int, to llm.Target, emit func(*llm.Event) error) (llm.Result, error) {
		if res, err := says(pieces...)(ctx, n, to, emit); err != nil {
			return res, err
		}
		return p(ctx, n, to, emit)
	}
}

// route is a way to e by keys.
func route(model, provider string, e *engine, keys ...string) upstream.Route {
	r := upstream.Route{Model: model, Provider: provider, Speak: e, To: llm.Target{Provider: provider, Upstream: model, Cap: 100}}
	for _, k := range keys {
		r.Keys = append(r.Keys, llm.NewKey(k))
	}
	return r
}

// heard is what a caller got.
type heard struct {
	mu      sync.Mutex
	text    string
	events  int
	mores   []bool
	notices []upstream.Notice
	when    []time.Time
}

func (h *heard) emit(e *llm.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text += string(e.Content)
	h.events++
	h.mores = append(h.mores, e.More)
	return nil
}

func (h *heard) notice(n upstream.Notice) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notices = append(h.notices, n)
	h.when = append(h.when, time.Now())
}

func (h *heard) kinds() string {
	s := ""
	for _, n := range h.notices {
		s += n.Kind.String() + " "
	}
	return s
}

// call is a streamed call of a user.
func call(user string, h *heard, routes ...upstream.Route) upstream.Call {
	return upstream.Call{User: user, Routes: routes, Request: &llm.Request{Stream: true}, Emit: h.emit, Notice: h.notice}
}

// stream makes a call as user "u".
func stream(t testing.TB, p *upstream.Pool, routes ...upstream.Route) (upstream.Outcome, *heard) {
	t.Helper()
	h := &heard{}
	return p.Stream(t.Context(), call("u", h, routes...)), h
}

// pool is one whose jitter is always the longest.
func pool() *upstream.Pool {
	return upstream.New(upstream.Options{Rand: func() float64 { return 0.999999 }})
}

func classOf(err error) string {
	var f *llm.Failure
	if errors.As(err, &f) {
		return f.Class.String()
	}
	var e *fault.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

func health(t *testing.T, p *upstream.Pool, provider string) upstream.Health {
	t.Helper()
	for _, h := range p.Health() {
		if h.Provider == provider {
			return h
		}
	}
	t.Fatalf("nothing is known of %s", provider)
	return upstream.Health{}
}

// idle fails when a place or a waiting call was left behind.
func idle(t *testing.T, p *upstream.Pool) {
	t.Helper()
	for _, h := range p.Health() {
		if h.Running != 0 || h.Waiting != 0 {
			t.Errorf("%s: %d running, %d waiting", h.Provider, h.Running, h.Waiting)
		}
	}
}

func TestAnswer(t *testing.T) {
	p, e := pool(), &engine{play: says("Hello", " there")}
	out, h := stream(t, p, route("m", "p", e, "k1"))
	if out.Err != nil || h.text != "Hello there" || !out.Committed || len(out.Attempts) != 1 || out.Attempts[0].Key != 1 || out.Result.Finish != "stop" {
		t.Errorf("%+v, %q", out, h.text)
	}
	if len(h.notices) != 0 {
		t.Errorf("notices %v", h.notices)
	}
	idle(t, p)
}

// What each failure leads to, with a second key and a substitute at hand.
func TestClasses(t *testing.T) {
	caller := func(context.Context, int, llm.Target, func(*llm.Event) error) (llm.Result, error) {
		return llm.Result{}, &fault.Error{Kind: fault.Invalid, Code: "unsupported_parameter", Field: "top_k"}
	}
	for _, tt := range []struct {
		name   string
		first  play
		keys   string // tried, of the first route
		served int
		err    string
		notice string
	}{
		{"the caller's request", class(llm.BadRequest), "a", 0, "provider_refused_request", ""},
		{"a field the dialect cannot carry", caller, "a", 0, "unsupported_parameter", ""},
		{"refused keys", class(llm.BadKey), "ab", 1, "<nil>", "retrying substituted "},
		{"no quota", class(llm.NoQuota), "ab", 1, "<nil>", "retrying substituted "},
		{"unknown model", class(llm.NoModel), "a", 1, "<nil>", "substituted "},
		{"wrong address", class(llm.WrongAddress), "a", 1, "<nil>", "substituted "},
		{"limits", class(llm.RateLimited), "ab", 1, "<nil>", "retrying substituted "},
		{"overload", class(llm.Overloaded), "ab", 1, "<nil>", "retrying substituted "},
		{"broken", class(llm.Broken), "ab", 1, "<nil>", "retrying substituted "},
		{"timeout", class(llm.TimedOut), "ab", 1, "<nil>", "retrying substituted "},
		{"no connection", class(llm.Unreachable), "ab", 1, "<nil>", "retrying substituted "},
		{"empty", says(), "a", 0, "<nil>", ""}, // it has a finish
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, e, other := pool(), &engine{play: tt.first}, &engine{play: says("other")}
				out, h := stream(t, p, route("m", "p", e, "a", "b"), route("n", "q", other, "z"))
				keys := ""
				for _, c := range e.calls {
					keys += c.key
				}
				if keys != tt.keys || out.Served != tt.served || classOf(out.Err) != tt.err || h.kinds() != tt.notice {
					t.Errorf("keys %q, served %d, %v, notices %q", keys, out.Served, out.Err, h.kinds())
				}
				idle(t, p)
			})
		})
	}
}

// A route that cannot carry a field, or refuses the request, is no substitute:
// the caller hears of the model that was asked for.
func TestUnfitSubstitutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		cannot := func(context.Context, int, llm.Target, func(*llm.Event) error) (llm.Result, error) {
			return llm.Result{}, &fault.Error{Kind: fault.Invalid, Code: "unsupported_parameter", Field: "top_k"}
		}
		out, _ := stream(t, p, route("m", "p", &engine{play: class(llm.NoModel)}), route("n", "q", &engine{play: cannot}), route("o", "r", &engine{play: class(llm.BadRequest)}))
		if classOf(out.Err) != "provider_unknown_model" || len(out.Attempts) != 3 {
			t.Errorf("%v after %d attempts", out.Err, len(out.Attempts))
		}
		out, h := stream(t, p, route("m", "p", &engine{play: class(llm.NoModel)}), route("n", "q", &engine{play: cannot}), route("o", "r", &engine{play: says("yes")}))
		if out.Err != nil || out.Served != 2 || h.text != "yes" {
			t.Errorf("%+v", out)
		}
	})
}

func TestEnter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := pool(), &heard{}
		down, never := &engine{play: class(llm.Broken)}, &engine{play: says("never")}
		c := call("u", h, route("m", "p", down), route("n", "q", never), route("o", "r", &engine{play: says("yes")}))
		var asked []int
		c.Enter = func(i int) error {
			asked = append(asked, i)
			if i == 1 {
				return errors.New("not for this user")
			}
			return nil
		}
		out := p.Stream(t.Context(), c)
		if out.Err != nil || out.Served != 2 || fmt.Sprint(asked) != "[1 2]" || never.count() != 0 {
			t.Errorf("%+v, asked %v", out, asked)
		}
		last := h.notices[len(h.notices)-1]
		if last.Kind != upstream.Substituted || last.Model != "o" || last.Cause != llm.Broken || last.Attempt != 3 {
			t.Errorf("%+v", last)
		}
		idle(t, p)
	})
}

// A substitute is entered and announced once, also when it is tried again.
func TestEnterOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := pool(), &heard{}
		c := call("u", h, route("m", "p", &engine{play: class(llm.NoModel)}), route("n", "q", &engine{play: class(llm.Broken)}))
		entered := 0
		c.Enter = func(int) error { entered++; return nil }
		out := p.Stream(t.Context(), c)
		if tries := len(out.Attempts); tries != 5 || entered != 1 || strings.Count(h.kinds(), "substituted") != 1 {
			t.Errorf("%d attempts, entered %d times, %s", tries, entered, h.kinds())
		}
	})
}

// The caller's own error ends the call and comes back as it is.
func TestEmitError(t *testing.T) {
	p, e := pool(), &engine{play: says("a", "b", "c")}
	mine := errors.New("mine")
	c := call("u", &heard{}, route("m", "p", e), route("n", "q", e))
	n := 0
	c.Emit = func(*llm.Event) error {
		if n++; n == 2 {
			return mine
		}
		return nil
	}
	out := p.Stream(t.Context(), c)
	if out.Err != mine || e.count() != 1 || n != 2 || !out.Committed {
		t.Errorf("%+v", out)
	}
	idle(t, p)
}

func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{play: takes(time.Hour, says("late"))}
		r := route("m", "p", e)
		r.Places = 1
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		out := p.Stream(ctx, call("u", &heard{}, r, route("n", "q", e)))
		if !errors.Is(out.Err, context.DeadlineExceeded) || e.count() != 1 {
			t.Errorf("%+v", out)
		}
		idle(t, p)
		// A caller who leaves during a pause.
		e.play = class(llm.Broken)
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		out = p.Stream(ctx, call("u", &heard{}, r))
		if !errors.Is(out.Err, context.Canceled) || len(out.Attempts) != 1 {
			t.Errorf("%+v", out)
		}
		idle(t, p)
	})
}

// A call for an answer that is not streamed goes the same way.
func TestWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := func(res llm.Result) play {
			return func(context.Context, int, llm.Target, func(*llm.Event) error) (llm.Result, error) { return res, nil }
		}
		good := llm.Result{Body: []byte(`{}`), Finish: "stop", Usage: &llm.Usage{Output: 1}}
		p, e := pool(), &engine{play: turns(whole(llm.Result{}), whole(llm.Result{Body: []byte(`{}`), Usage: &llm.Usage{Input: 3}}), whole(good))}
		c := upstream.Call{User: "u", Routes: []upstream.Route{route("m", "p", e)}, Request: &llm.Request{}}
		out := p.Stream(t.Context(), c)
		if out.Err != nil || !out.Committed || len(out.Attempts) != 3 || string(out.Result.Body) != `{}` || classOf(out.Attempts[0].Err) != "provider_error" {
			t.Errorf("%+v", out)
		}
		if u := out.Attempts[1].Usage; u == nil || u.Input != 3 {
			t.Errorf("usage of a failed attempt: %v", u)
		}
		vectors := &engine{play: whole(llm.Result{Body: []byte(`{"data":[]}`)})}
		c.Routes, c.Request = []upstream.Route{route("v", "p", vectors)}, &llm.Request{Op: llm.Embeddings, Stream: true}
		c.Request.Stream = false
		if out := p.Stream(t.Context(), c); out.Err != nil || !out.Committed {
			t.Errorf("%+v", out)
		}
	})
}
