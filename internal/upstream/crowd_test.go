package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/llm"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/sim"
	"onemind/internal/llm/wire"
	"onemind/internal/upstream"
)

// random plays whatever a provider can do.
func random(r *rand.Rand) play {
	wait := time.Duration(r.IntN(2000)) * time.Millisecond
	f := llm.Failure{Class: llm.Class(r.IntN(9)), Text: "words", Retry: time.Duration(r.IntN(3)*r.IntN(8)) * time.Second}
	switch r.IntN(6) {
	case 0:
		return takes(wait, fails(f))
	case 1:
		return after(takes(wait, fails(f)), "half")
	case 2:
		return takes(wait, emits(nil, role()))
	case 3:
		return func(context.Context, int, llm.Target, func(*llm.Event) error) (llm.Result, error) { panic("dialect") }
	}
	return after(takes(wait, says("!")), "well")
}

// Whatever happens, every place is given back and nobody is left waiting.
func TestNothingIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		p := upstream.New(upstream.Options{Rand: func() float64 { return 0.5 }})
		var wg sync.WaitGroup
		var panics atomic.Int32
		for i := range 1000 {
			var routes []upstream.Route
			for j := range 1 + r.IntN(4) {
				way := route(fmt.Sprint("m", r.IntN(3)), fmt.Sprint("p", j), &engine{play: random(r)}, "a", "b")
				way.Places, way.Waiting, way.Wait = 3+r.IntN(3), 30, time.Duration(r.IntN(20))*time.Second
				routes = append(routes, way)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+r.IntN(20000))*time.Millisecond)
			c := call(fmt.Sprint("user", r.IntN(20)), &heard{}, routes...)
			if r.IntN(10) == 0 {
				c.Emit = func(*llm.Event) error { return errors.New("gone") }
			}
			if r.IntN(10) == 0 {
				c.Enter = func(int) error { return errors.New("no") }
			}
			if r.IntN(20) == 0 {
				c.Notice = func(upstream.Notice) { panic("notice") }
			}
			start := time.Duration(i*r.IntN(20)) * time.Millisecond
			wg.Go(func() {
				defer cancel()
				defer func() {
					if recover() != nil {
						panics.Add(1)
					}
				}()
				time.Sleep(start)
				if out := p.Stream(ctx, c); len(out.Attempts) > 8 {
					t.Errorf("%d attempts", len(out.Attempts))
				}
			})
		}
		wg.Wait()
		idle(t, p)
		if panics.Load() == 0 {
			t.Error("no dialect panicked")
		}
	})
}

// Five hundred callers at once, places for fifty: never more than that at the
// provider, and everyone is served.
func TestCrowd(t *testing.T) {
	p, e := pool(), &engine{play: says("a", "b", "c")}
	r := route("m", "p", e, "a", "b", "c")
	r.Places, r.Waiting = 50, 10000
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			for range 10 {
				h := &heard{}
				if out := p.Stream(t.Context(), call(fmt.Sprint("user", i%40), h, r)); out.Err != nil || h.text != "abc" {
					t.Errorf("%+v %q", out, h.text)
				}
			}
		})
	}
	for range 20 {
		p.Health()
		p.Forget("p")
	}
	wg.Wait()
	if e.most > 50 || e.count() != 5000 {
		t.Errorf("%d at once, %d calls", e.most, e.count())
	}
	idle(t, p)
}

// With the real dialect and a real server: a 503, a 429 of one key and a stream
// that breaks before its first word are all mended, unseen by the caller.
func TestOverHTTP(t *testing.T) {
	var mu sync.Mutex
	scripts := []sim.Script{
		{Status: 503, Body: `{"error":{"message":"busy"}}`},
		{Status: 429, RetryAfter: "7", Body: `{"error":{"message":"slow down","code":"rate_limit_exceeded"}}`},
		{Break: sim.Cut, After: 1},
		{Text: "Hello from afar"},
	}
	server := sim.New(sim.Options{Choose: func(*sim.Request) sim.Script {
		mu.Lock()
		defer mu.Unlock()
		s := scripts[0]
		scripts = scripts[1:]
		return s
	}})
	up := httptest.NewServer(server)
	t.Cleanup(up.Close)
	client := openai.New(wire.New(wire.Options{}))
	way := func(model, provider string) upstream.Route {
		return upstream.Route{Model: model, Provider: provider, Speak: client, Places: 2, Keys: []llm.Key{llm.NewKey("sk-one"), llm.NewKey("sk-two")},
			To: llm.Target{Provider: provider, BaseURL: up.URL + "/v1", Upstream: model, Cap: 100, AllowPrivate: true,
				Timeouts: llm.Timeouts{Connect: 5 * time.Second, FirstToken: 5 * time.Second, Idle: 5 * time.Second}}}
	}
	p, h := upstream.New(upstream.Options{}), &heard{}
	c := call("u", h, way("m", "p"), way("n", "q"))
	c.Request = &llm.Request{Body: []byte(`{"model":"m","messages":[{"role":"user","content":"Hi"}]}`), Model: "m", Stream: true, N: 1}
	out := p.Stream(t.Context(), c)
	if out.Err != nil || h.text != "Hello from afar" || out.Served != 1 || out.Result.Finish != "stop" {
		t.Fatalf("%+v, %q", out, h.text)
	}
	var story []string
	for _, a := range out.Attempts {
		story = append(story, fmt.Sprint(a.Route, a.Key, " ", classOf(a.Err)))
	}
	if got, want := strings.Join(story, ", "), "0 1 provider_overloaded, 0 2 provider_rate_limited, 1 1 provider_error, 1 2 <nil>"; got != want {
		t.Errorf("attempts %s, want %s", got, want)
	}
	for _, l := range health(t, p, "p").Lanes {
		if l.Key == 2 && (!l.Asked || time.Until(l.Cooling) > 7*time.Second) {
			t.Errorf("%+v", l)
		}
	}
	idle(t, p)
}

// silent is a dialect that costs nothing.
type silent struct{ events []llm.Event }

func (s *silent) Stream(_ context.Context, _ llm.Target, _ *llm.Request, emit func(*llm.Event) error) (llm.Result, error) {
	for i := range s.events {
		if err := emit(&s.events[i]); err != nil {
			return llm.Result{}, err
		}
	}
	return llm.Result{Finish: "stop"}, nil
}

// What a call pays when nothing happens: places, four keys, breaker, guard and
// a substitute in readiness.
func BenchmarkIdle(b *testing.B) {
	s := &silent{events: []llm.Event{{Data: []byte(`{"choices":[{"delta":{"role":"assistant"}}]}`), Choices: 1}, text("Hello"), text(" there"), last()}}
	for _, places := range []int{0, 100} {
		b.Run(fmt.Sprint("places=", places), func(b *testing.B) {
			p := upstream.New(upstream.Options{})
			r := route("m", "p", nil, "a", "b", "c", "d")
			r.Speak, r.Places = s, places
			c := upstream.Call{User: "u", Routes: []upstream.Route{r, r}, Request: &llm.Request{Stream: true},
				Emit: func(*llm.Event) error { return nil }, Notice: func(upstream.Notice) {}}
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if out := p.Stream(ctx, c); out.Err != nil {
					b.Fatal(out.Err)
				}
			}
		})
	}
}

// The same from all processors at once, at one provider.
func BenchmarkIdleParallel(b *testing.B) {
	s := &silent{events: []llm.Event{{Data: []byte(`{"choices":[{"delta":{"role":"assistant"}}]}`), Choices: 1}, text("Hello"), text(" there"), last()}}
	p := upstream.New(upstream.Options{})
	r := route("m", "p", nil, "a", "b", "c", "d")
	r.Speak, r.Places = s, 100
	c := upstream.Call{User: "u", Routes: []upstream.Route{r, r}, Request: &llm.Request{Stream: true}, Emit: func(*llm.Event) error { return nil }}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if out := p.Stream(b.Context(), c); out.Err != nil {
				b.Error(out.Err)
			}
		}
	})
}
