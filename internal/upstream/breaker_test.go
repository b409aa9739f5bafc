package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/llm"
	"onemind/internal/upstream"
)

// broke makes calls until the breaker of the model m opened.
func broke(t *testing.T, p *upstream.Pool, r upstream.Route) {
	t.Helper()
	e := r.Speak.(*engine)
	was := e.play
	e.play = class(llm.TimedOut)
	for range 40 {
		if health := lanes(p, "p"); len(health) > 0 && health[0].Breaker == upstream.Open {
			e.play = was
			return
		}
		stream(t, p, r)
		if n := e.count(); n > 40 {
			break
		}
	}
	t.Fatal("the breaker did not open")
}

func lanes(p *upstream.Pool, provider string) []upstream.Lane {
	for _, h := range p.Health() {
		if h.Provider == provider {
			return h.Lanes
		}
	}
	return nil
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, other := pool(), &engine{play: says("well")}, &engine{play: says("other")}
		r := route("m", "p", e)
		ask := func() int {
			out, _ := stream(t, p, r, route("n", "q", other))
			if out.Err != nil {
				t.Fatal(out.Err)
			}
			return out.Served
		}
		broke(t, p, r)
		n := e.count()
		if n < 20 || n > 22 {
			t.Errorf("it took %d calls, want 20", n)
		}
		for range 10 {
			if ask() != 1 {
				t.Error("asked in spite of the open breaker")
			}
		}
		if e.count() != n {
			t.Error("called in spite of the open breaker")
		}
		if l := lanes(p, "p")[0]; l.Breaker != upstream.Open || !l.Probe.After(time.Now()) || l.Failed != n || l.LastFailure != "words" {
			t.Errorf("%+v", l)
		}
		time.Sleep(5 * time.Second)
		for range 3 {
			if ask() != 0 {
				t.Error("the probe went well and it is not closed")
			}
		}
	})
}

// One probe at a time, and longer pauses as long as it fails.
func TestBreakerProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, other := pool(), &engine{}, &engine{play: says("other")}
		r := route("m", "p", e)
		broke(t, p, r)
		e.play = takes(100*time.Millisecond, class(llm.Broken))
		pause := 5 * time.Second
		for range 6 {
			time.Sleep(pause - 100*time.Millisecond)
			n := e.count()
			stream(t, p, r, route("n", "q", other))
			if e.count() != n {
				t.Errorf("called before %v passed", pause)
			}
			time.Sleep(100 * time.Millisecond)
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() { stream(t, p, r, route("n", "q", other)) })
			}
			wg.Wait()
			if got := e.count() - n; got != 1 {
				t.Errorf("%d probes after %v", got, pause)
			}
			pause = min(2*pause, time.Minute)
		}
	})
}

// A probe whose caller leaves, or that meets a limit, says nothing: the next
// call is the probe.
func TestBreakerProbeSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, other := pool(), &engine{}, &engine{play: says("other")}
		r := route("m", "p", e)
		broke(t, p, r)
		time.Sleep(5 * time.Second)
		e.play = class(llm.BadRequest)
		stream(t, p, r)
		if s := lanes(p, "p")[0].Breaker; s != upstream.HalfOpen {
			t.Errorf("%v", s)
		}
		e.play = says("well")
		out, _ := stream(t, p, r, route("n", "q", other))
		if out.Served != 0 || lanes(p, "p")[0].Breaker != upstream.Closed {
			t.Errorf("%+v", out)
		}
	})
}

// A probe has shown what it has to at its first output, not when a long answer ends.
func TestBreakerProbeIsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{}
		r := route("m", "p", e)
		broke(t, p, r)
		time.Sleep(5 * time.Second)
		e.play = after(takes(time.Hour, says("end")), "beginning")
		done := make(chan struct{})
		go func() {
			defer close(done)
			stream(t, p, r)
		}()
		synctest.Wait()
		if s := lanes(p, "p")[0].Breaker; s != upstream.Closed {
			t.Errorf("%v", s)
		}
		<-done
	})
}

// A probe that shows nothing for a minute, such as one that is not streamed, does not
// keep others from a provider that is well again.
func TestBreakerProbeIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, other := pool(), &engine{}, &engine{play: says("other")}
		r := route("m", "p", e)
		broke(t, p, r)
		time.Sleep(5 * time.Second)
		e.play = takes(10*time.Minute, class(llm.TimedOut))
		done := make(chan struct{})
		go func() {
			defer close(done)
			stream(t, p, r)
		}()
		synctest.Wait()
		e.play = says("well")
		time.Sleep(59 * time.Second)
		if out, _ := stream(t, p, r, route("n", "q", other)); out.Served != 1 {
			t.Errorf("within a minute: %+v", out)
		}
		time.Sleep(time.Second)
		if out, _ := stream(t, p, r, route("n", "q", other)); out.Served != 0 || lanes(p, "p")[0].Breaker != upstream.Closed {
			t.Errorf("after a minute: %+v", out)
		}
		<-done
		if s := lanes(p, "p")[0].Breaker; s != upstream.Closed {
			t.Errorf("the old probe's end made it %v", s)
		}
	})
}

// Many calls begin together. Those that fail do so at once, the answers come later:
// it is not opened before they are heard of.
func TestBreakerBurst(t *testing.T) {
	for _, tt := range []struct {
		fail int // of a hundred
		want upstream.State
	}{{59, upstream.Closed}, {60, upstream.Open}} {
		synctest.Test(t, func(t *testing.T) {
			p := pool()
			var wg sync.WaitGroup
			for i := range 100 {
				e, most := &engine{play: takes(time.Second, says("well"))}, time.Minute
				if i < tt.fail {
					e.play, most = takes(10*time.Millisecond, class(llm.Broken)), 11*time.Millisecond // no time for retries
				}
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), most)
					defer cancel()
					p.Stream(ctx, call("u", &heard{}, route("m", "p", e)))
				})
			}
			wg.Wait()
			if l := lanes(p, "p")[0]; l.Breaker != tt.want {
				t.Errorf("%d of 100 failed: %+v", tt.fail, l)
			}
		})
	}
}

// An answer counts as one from its first output: those that take an hour weigh
// against failures that take no time.
func TestAnswersCountFromTheirBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				p.Stream(ctx, call("u", &heard{}, route("m", "p", &engine{play: after(takes(time.Hour, says("end")), "beginning")})))
			})
		}
		synctest.Wait()
		for range 20 {
			suspect(t, p, "m")
		}
		if l := lanes(p, "p")[0]; l.Breaker != upstream.Closed || l.Calls != 40 || l.Failed != 20 {
			t.Errorf("%+v", l)
		}
		cancel()
		wg.Wait()
		if l := lanes(p, "p")[0]; l.Calls != 40 { // and not once more at its end
			t.Errorf("%+v", l)
		}
		idle(t, p)
	})
}

// Limits and callers' errors do not open it, nor do failures below the share.
func TestBreakerStaysClosed(t *testing.T) {
	for _, tt := range []struct {
		name string
		play play
	}{{"limits", class(llm.RateLimited)}, {"callers", class(llm.BadRequest)}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, e := pool(), &engine{play: tt.play}
				for range 50 {
					stream(t, p, route("m", "p", e))
				}
				if l := lanes(p, "p")[0]; l.Breaker != upstream.Closed || l.Calls != 0 {
					t.Errorf("%+v", l)
				}
			})
		})
	}
	for _, tt := range []struct {
		well, failed int
		pause        time.Duration // before the last one
		want         upstream.State
	}{{9, 11, 0, upstream.Closed}, {8, 12, 0, upstream.Open}, {0, 19, 0, upstream.Closed}, {0, 20, 0, upstream.Open}, {8, 12, 31 * time.Second, upstream.Closed}} {
		synctest.Test(t, func(t *testing.T) {
			p := pool()
			for range tt.well {
				stream(t, p, route("m", "p", &engine{play: says("well")}))
			}
			for range tt.failed - 1 {
				suspect(t, p, "m")
			}
			time.Sleep(tt.pause)
			suspect(t, p, "m")
			if l := lanes(p, "p")[0]; l.Breaker != tt.want {
				t.Errorf("%d well, %d failed: %v", tt.well, tt.failed, l.Breaker)
			}
		})
	}
}

// A caller who leaves says nothing of the provider, whatever the dialect makes of it.
func TestLeavingIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		cut := func(ctx context.Context, _ int, _ llm.Target, _ func(*llm.Event) error) (llm.Result, error) {
			<-ctx.Done()
			return llm.Result{}, &llm.Failure{Class: llm.Broken}
		}
		for range 30 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if out := p.Stream(ctx, call("u", &heard{}, route("m", "p", &engine{play: cut}))); !errors.Is(out.Err, context.DeadlineExceeded) {
				t.Errorf("%+v", out)
			}
			cancel()
		}
		if l := lanes(p, "p")[0]; l.Breaker != upstream.Closed || l.Failed != 0 || l.Suspect {
			t.Errorf("%+v", l)
		}
	})
}

// What no call names any more is forgotten after an hour, and there is a bound.
func TestLanesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &silent{events: []llm.Event{text("x")}}
		r := route("m", "p", nil, "old")
		r.Speak = e
		stream(t, p, r)
		time.Sleep(time.Hour)
		r.Keys = []llm.Key{llm.NewKey("new")}
		stream(t, p, r)
		if n := len(lanes(p, "p")); n != 2 {
			t.Errorf("%d lanes within the hour", n)
		}
		time.Sleep(time.Second)
		if n := len(lanes(p, "p")); n != 1 {
			t.Errorf("%d lanes after the hour", n)
		}
		time.Sleep(time.Hour)
		if h := p.Health(); len(h) != 0 {
			t.Errorf("%+v", h)
		}
		for i := range 25_000 {
			r.Keys[0] = llm.NewKey(fmt.Sprint(i))
			p.Stream(t.Context(), call("u", &heard{}, r))
			if i%1000 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		if n := len(lanes(p, "p")); n > 20_000 {
			t.Errorf("%d lanes", n)
		}
	})
}

// With no other way the provider is tried all the same, but for the first second.
func TestBreakerLastResort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{play: says("well")}
		r := route("m", "p", e)
		broke(t, p, r)
		n := e.count()
		out, _ := stream(t, p, r)
		if f, ok := out.Err.(*llm.Failure); !ok || f.Class != llm.TimedOut || f.Retry != 5*time.Second || len(out.Attempts) != 0 {
			t.Errorf("%+v", out)
		}
		if e.count() != n {
			t.Error("called in the first second")
		}
		time.Sleep(time.Second)
		if out, _ := stream(t, p, r); out.Err != nil {
			t.Errorf("%+v", out)
		}
		if s := lanes(p, "p")[0].Breaker; s != upstream.Closed {
			t.Errorf("it answered and is %v", s)
		}
	})
}

// The late end of an answer that began before the breaker opened is no probe.
func TestBreakerLateResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{play: takes(3*time.Second, says("old"))}
		r := route("m", "p", e)
		done := make(chan struct{})
		go func() {
			defer close(done)
			stream(t, p, r)
		}()
		synctest.Wait()
		broke(t, p, r)
		<-done
		if s := lanes(p, "p")[0].Breaker; s != upstream.Open {
			t.Errorf("%v", s)
		}
	})
}

// Models and keys fail on their own.
func TestBreakerPerModelAndKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{}
		broke(t, p, route("m", "p", e, "a"))
		e.play = says("well")
		for _, r := range []upstream.Route{route("n", "p", e, "a"), route("m", "p", e, "b"), route("m", "p", e, "a", "b")} {
			if out, _ := stream(t, p, r); out.Err != nil || len(out.Attempts) != 1 {
				t.Errorf("%+v", out)
			}
		}
		if got := fmt.Sprint(lanes(p, "p")[0].Breaker); got != "open" {
			t.Error(got)
		}
		p.Forget("p")
		if out, _ := stream(t, p, route("m", "p", e, "a")); out.Err != nil || len(out.Attempts) != 1 {
			t.Errorf("%+v", out)
		}
	})
}
