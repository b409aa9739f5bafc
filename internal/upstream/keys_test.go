package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/llm"
	"onemind/internal/upstream"
)

// keys an engine was called with, since call n.
func (e *engine) keys(n int) string {
	s := ""
	for _, c := range e.calls[n:] {
		s += c.key
	}
	return s
}

// byKey plays by the key that is used.
func byKey(plays map[string]play) play {
	return func(ctx context.Context, n int, to llm.Target, emit func(*llm.Event) error) (llm.Result, error) {
		if p := plays[to.Key.Reveal()]; p != nil {
			return p(ctx, n, to, emit)
		}
		return says("x")(ctx, n, to, emit)
	}
}

func TestKeysTakeTurns(t *testing.T) {
	p, e := pool(), &engine{play: says("x")}
	for range 6 {
		stream(t, p, route("m", "p", e, "a", "b", "c"))
	}
	if got := e.keys(0); got != "abcabc" {
		t.Error(got)
	}
}

// A refused key is left alone until an operator acted, or for ten minutes; then
// one call tries it.
func TestRefusedKey(t *testing.T) {
	for _, c := range []llm.Class{llm.BadKey, llm.NoQuota} {
		synctest.Test(t, func(t *testing.T) {
			p, e := pool(), &engine{play: byKey(map[string]play{"a": class(c)})}
			ask := func(model string) string {
				n := e.count()
				out, _ := stream(t, p, route(model, "p", e, "a", "b"))
				if out.Err != nil {
					t.Error(out.Err)
				}
				return e.keys(n)
			}
			began := time.Now()
			if got := ask("m") + ask("m") + ask("n") + ask("n"); got != "abbbb" {
				t.Errorf("keys %s", got)
			}
			lane := health(t, p, "p").Lanes[0]
			if f := lane.Fault; f == nil || f.Class != c || !f.Since.Equal(began) || f.Count != 1 || f.Words != "words" || lane.Key != 1 {
				t.Errorf("%+v", lane)
			}
			time.Sleep(10*time.Minute + time.Second)
			if got := ask("m") + ask("m"); got != "abb" {
				t.Errorf("keys after ten minutes %s", got)
			}
			time.Sleep(10*time.Minute + time.Second)
			if got := together(t, p, e, 10); strings.Count(got, "a") != 1 || len(got) != 11 {
				t.Errorf("keys of ten calls at once after ten minutes %s", got)
			}
			if f := health(t, p, "p").Lanes[0].Fault; f.Count != 3 || !f.Since.Equal(began) {
				t.Errorf("%+v", f)
			}
			e.play = says("x")
			p.Forget("p")
			if got := ask("m") + ask("m"); got != "ab" && got != "ba" {
				t.Errorf("keys after they were edited %s", got)
			}
			if f := health(t, p, "p").Lanes[0].Fault; f != nil {
				t.Errorf("%+v", f)
			}
		})
	}
}

// together makes n calls at once, each of which takes a while, and gives the keys used.
func together(t *testing.T, p *upstream.Pool, e *engine, n int) string {
	was, from := e.play, e.count()
	e.play = takes(time.Second, was)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { stream(t, p, route("m", "p", e, "a", "b")) })
	}
	wg.Wait()
	e.play = was
	return e.keys(from)
}

// A 403 is often about one model: the key is good for others.
func TestForbiddenModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{play: turns(fails(llm.Failure{Class: llm.BadKey, Status: http.StatusForbidden}), says("x"))}
		if out, _ := stream(t, p, route("m", "p", e, "a")); classOf(out.Err) != "provider_key_refused" {
			t.Error(out.Err)
		}
		if out, _ := stream(t, p, route("n", "p", e, "a")); out.Err != nil {
			t.Error(out.Err)
		}
	})
}

// Only one call a second tries a provider all of whose keys are refused: it works
// again soon after the bill is paid, and is not hammered until then.
func TestAllKeysRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{play: fails(llm.Failure{Class: llm.NoQuota, Status: 402, Text: "pay"})}
		for range 10 {
			out, _ := stream(t, p, route("m", "p", e, "a"))
			var f *llm.Failure
			if !errors.As(out.Err, &f) || f.Class != llm.NoQuota || f.Text != "pay" || f.Status != 402 {
				t.Fatal(out.Err)
			}
		}
		if e.count() != 1 {
			t.Errorf("%d calls in no time", e.count())
		}
		time.Sleep(time.Second)
		e.play = says("x")
		if out, _ := stream(t, p, route("m", "p", e, "a")); out.Err != nil {
			t.Error(out.Err)
		}
		for range 3 {
			if out, _ := stream(t, p, route("m", "p", e, "a")); out.Err != nil {
				t.Error(out.Err)
			}
		}
	})
}

func limited(d time.Duration) play { return fails(llm.Failure{Class: llm.RateLimited, Retry: d}) }

func TestRateLimits(t *testing.T) {
	for _, tt := range []struct {
		name string
		rest time.Duration // said by the provider
		want time.Duration // how long the key is skipped
	}{{"nothing said", 0, time.Minute}, {"a time", 17 * time.Second, 17 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, e := pool(), &engine{play: byKey(map[string]play{"a": limited(tt.rest)})}
				out, _ := stream(t, p, route("m", "p", e, "a", "b"))
				if out.Err != nil || len(out.Attempts) != 2 || out.Attempts[1].Key != 2 {
					t.Fatalf("%+v", out)
				}
				if l := health(t, p, "p").Lanes[0]; l.Key != 1 || !l.Cooling.Equal(time.Now().Add(tt.want)) || l.Asked != (tt.rest > 0) {
					t.Errorf("%+v", l)
				}
				n := e.count()
				stream(t, p, route("m", "p", e, "a", "b"))
				time.Sleep(tt.want - time.Millisecond)
				stream(t, p, route("m", "p", e, "a", "b"))
				if got := e.keys(n); got != "bb" {
					t.Errorf("keys while it cools %s", got)
				}
				time.Sleep(time.Millisecond)
				n = e.count()
				stream(t, p, route("m", "p", e, "a", "b"))
				if got := e.keys(n); got != "ab" {
					t.Errorf("keys after that %s", got)
				}
			})
		})
	}
}

// A provider with one key does not go dark for a minute after one 429 that says
// nothing; with several, the one that rests longest comes first.
func TestAllKeysCool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{play: turns(limited(0), says("x"))}
		out, _ := stream(t, p, route("m", "p", e, "a"))
		if out.Err != nil || len(out.Attempts) != 2 {
			t.Errorf("%+v", out)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p, e, other := pool(), &engine{}, &engine{play: says("other")}
		e.play = byKey(map[string]play{"a": limited(0), "b": takes(time.Second, limited(0)), "c": takes(2*time.Second, limited(0))})
		ask := func() upstream.Outcome {
			out, _ := stream(t, p, route("m", "p", e, "a", "b", "c"), route("n", "q", other))
			return out
		}
		if out := ask(); out.Served != 1 || e.keys(0) != "abc" {
			t.Errorf("%+v, keys %s", out, e.keys(0))
		}
		e.play = says("x")
		n := e.count()
		if out := ask(); out.Served != 0 || e.keys(n) != "a" {
			t.Errorf("served %d, keys %s: a rests longest", out.Served, e.keys(n))
		}
	})
}

// A time that the provider asked for is kept to: by another route, by a short
// wait, or by an answer that names the true rest.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, other := pool(), &engine{play: limited(20 * time.Second)}, &engine{play: says("other")}
		stream(t, p, route("m", "p", e, "a"))
		time.Sleep(8 * time.Second)
		if out, _ := stream(t, p, route("m", "p", e, "a"), route("n", "q", other)); out.Served != 1 || out.Err != nil {
			t.Errorf("%+v", out)
		}
		out, _ := stream(t, p, route("m", "p", e, "a"))
		var f *llm.Failure
		if !errors.As(out.Err, &f) || f.Class != llm.RateLimited || f.Retry != 12*time.Second || len(out.Attempts) != 0 {
			t.Errorf("%+v", out)
		}
		if e.count() != 1 {
			t.Errorf("%d calls", e.count())
		}
		time.Sleep(8 * time.Second) // four left: that is waited
		e.play = says("x")
		start := time.Now()
		if out, _ := stream(t, p, route("m", "p", e, "a")); out.Err != nil || time.Since(start) != 4*time.Second {
			t.Errorf("%+v after %v", out, time.Since(start))
		}
	})
	synctest.Test(t, func(t *testing.T) { // within the call
		p, e := pool(), &engine{play: turns(limited(3*time.Second), says("x"))}
		start := time.Now()
		if out, _ := stream(t, p, route("m", "p", e, "a")); out.Err != nil || time.Since(start) != 3*time.Second || len(out.Attempts) != 2 {
			t.Errorf("%+v after %v", out, time.Since(start))
		}
	})
	synctest.Test(t, func(t *testing.T) { // not longer than a call may wait
		p, r := pool(), route("m", "p", &engine{play: turns(limited(3*time.Second), says("x"))}, "a")
		r.Wait = 2 * time.Second
		start := time.Now()
		if out, _ := stream(t, p, r); classOf(out.Err) != "provider_rate_limited" || time.Since(start) != 0 {
			t.Errorf("%+v after %v", out, time.Since(start))
		}
	})
	synctest.Test(t, func(t *testing.T) { // not when the caller would be gone
		p, e := pool(), &engine{play: turns(limited(3*time.Second), says("x"))}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		out := p.Stream(ctx, call("u", &heard{}, route("m", "p", e, "a")))
		if classOf(out.Err) != "provider_rate_limited" || time.Since(start) != 0 {
			t.Errorf("%+v after %v", out, time.Since(start))
		}
	})
}

// Of keys that all cool the one that rests longest is used, whosever turn it is.
func TestLongestRest(t *testing.T) {
	for _, keys := range [][]string{{"a", "b"}, {"b", "a"}} {
		synctest.Test(t, func(t *testing.T) {
			p, e := pool(), &engine{play: limited(0)}
			for _, k := range []string{"b", "a"} {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				p.Stream(ctx, call("u", &heard{}, route("m", "p", e, k)))
				cancel()
				time.Sleep(time.Second)
			}
			e.play = says("x")
			if stream(t, p, route("m", "p", e, keys...)); e.keys(2) != "b" {
				t.Errorf("used %s of %v", e.keys(2), keys)
			}
		})
	}
}

// The end of an answer that began before a refusal does not lift it.
func TestOldAnswerDoesNotLiftRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{play: turns(takes(10*time.Second, says("long")), class(llm.NoQuota), says("x"))}
		done := make(chan struct{})
		go func() {
			defer close(done)
			stream(t, p, route("m", "p", e, "a"))
		}()
		synctest.Wait()
		time.Sleep(time.Second)
		stream(t, p, route("m", "p", e, "a"))
		was := lanes(p, "p")[0].Fault
		<-done
		if is := lanes(p, "p")[0].Fault; is == nil || was == nil || is.Count != was.Count {
			t.Errorf("%+v, before %+v", is, was)
		}
	})
}

// The end of an answer that began before a 429 does not lift it.
func TestOldAnswerDoesNotLiftLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{play: turns(takes(10*time.Second, says("long")), limited(time.Minute))}
		done := make(chan struct{})
		go func() {
			defer close(done)
			stream(t, p, route("m", "p", e, "a"))
		}()
		synctest.Wait()
		stream(t, p, route("m", "p", e, "a"))
		<-done
		out, _ := stream(t, p, route("m", "p", e, "a"))
		if f := out.Err.(*llm.Failure); f.Retry != 50*time.Second || e.count() != 2 {
			t.Errorf("%+v", out)
		}
	})
}

// Keys are known by what they are: another one at the same number is a new one,
// and none of them is seen outside.
func TestKeysStaySecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, h := pool(), &engine{play: class(llm.BadKey)}, &heard{}
		out := p.Stream(t.Context(), call("u", h, route("m", "p", e, "sk-secret-one")))
		e.play = says("x")
		edited, _ := stream(t, p, route("m", "p", e, "sk-secret-two"))
		if edited.Err != nil || len(edited.Attempts) != 1 {
			t.Errorf("%+v", edited)
		}
		for _, s := range []string{fmt.Sprintf("%+v %#v", out, out), fmt.Sprintf("%+v", p.Health()), fmt.Sprintf("%+v", h.notices)} {
			if strings.Contains(s, "sk-secret") {
				t.Errorf("a key shows in %s", s)
			}
		}
	})
}

// Many keys under one limit: a call meets it a few times only, and a substitute
// keeps its attempt.
func TestManyKeysLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, other := pool(), &engine{play: limited(0)}, &engine{play: says("other")}
		keys := strings.Split("abcdefghijklmnopqrst", "")
		for range 5 {
			if out, _ := stream(t, p, route("m", "p", e, keys...), route("n", "q", other)); out.Served != 1 || out.Err != nil {
				t.Errorf("%+v", out)
			}
		}
		n := e.count() // all cool now: each call tries the one that rests longest
		if n > 25 {
			t.Errorf("%d calls", n)
		}
		for range 5 {
			stream(t, p, route("m", "p", e, keys...), route("n", "q", other))
		}
		if got := e.count() - n; got != 5 {
			t.Errorf("%d calls of 5 answers while all keys cool", got)
		}
	})
}
