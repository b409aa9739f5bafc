package upstream_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/llm"
	"onemind/internal/upstream"
)

// A pause that the caller's deadline cuts short is not begun, and who waited for two
// timeouts is not made to wait for a third one when they took long, or when the
// model answers nobody.
func TestNoVainWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{play: class(llm.Broken)}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		if out := p.Stream(ctx, call("u", &heard{}, route("m", "p", e))); classOf(out.Err) != "provider_error" || time.Since(start) != 0 {
			t.Errorf("%+v after %v", out, time.Since(start))
		}
		for took, want := range map[time.Duration]int{20 * time.Second: 2, 4 * time.Second: 3} {
			p, e := pool(), &engine{play: takes(took, class(llm.TimedOut))}
			if out, _ := stream(t, p, route("m", "q", e)); len(out.Attempts) != want || classOf(out.Err) != "provider_timeout" {
				t.Errorf("%d attempts of %v each, want %d", len(out.Attempts), took, want)
			}
			e.play = turns(e.play, e.play, e.play, takes(took, class(llm.TimedOut)), says("late"))
			if out, _ := stream(t, p, route("m", "q", e)); took < 10*time.Second && out.Err != nil {
				t.Errorf("%+v", out)
			}
		}
	})
}

// Eight attempts are the most, whatever the number of routes and keys.
func TestMostAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		var routes []upstream.Route
		engines := make([]*engine, 5)
		for i := range engines {
			engines[i] = &engine{play: class(llm.Overloaded)}
			routes = append(routes, route(fmt.Sprint("m", i), fmt.Sprint("p", i), engines[i], "a", "b", "c"))
		}
		out, h := stream(t, p, routes...)
		if len(out.Attempts) != 8 || classOf(out.Err) != "provider_overloaded" || h.events != 0 || out.Committed {
			t.Errorf("%d attempts, %v", len(out.Attempts), out.Err)
		}
		refusing := &engine{play: class(llm.BadKey)}
		out, _ = stream(t, p, route("m", "x", refusing, "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"))
		if len(out.Attempts) != 8 || classOf(out.Err) != "provider_key_refused" {
			t.Errorf("%d attempts, %v", len(out.Attempts), out.Err)
		}
		idle(t, p)
	})
}

// A call with one route comes back to it after growing pauses.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{play: turns(class(llm.Broken), class(llm.Broken), class(llm.Broken), says("at last"))}
		out, h := stream(t, p, route("m", "p", e))
		if out.Err != nil || h.text != "at last" || len(e.calls) != 4 {
			t.Fatalf("%+v after %d calls", out.Err, len(e.calls))
		}
		for i, want := range []time.Duration{100, 200, 400} {
			if got := e.calls[i+1].at.Sub(e.calls[i].at).Round(time.Millisecond); got != want*time.Millisecond {
				t.Errorf("pause %d is %v", i+1, got)
			}
		}
		if h.kinds() != "retrying retrying retrying " || h.notices[2].Attempt != 4 {
			t.Errorf("%+v", h.notices)
		}
	})
	synctest.Test(t, func(t *testing.T) { // never less than the provider asks for
		p := upstream.New(upstream.Options{Rand: func() float64 { return 0 }})
		e := &engine{play: turns(fails(llm.Failure{Class: llm.Overloaded, Retry: 3 * time.Second}), says("yes"))}
		out, _ := stream(t, p, route("m", "p", e))
		if out.Err != nil || e.calls[1].at.Sub(e.calls[0].at) != 3*time.Second {
			t.Errorf("%+v", out)
		}
	})
	synctest.Test(t, func(t *testing.T) { // and not at all when it asks for too much
		p, e := pool(), &engine{play: fails(llm.Failure{Class: llm.Overloaded, Retry: 6 * time.Second})}
		out, _ := stream(t, p, route("m", "p", e))
		if len(out.Attempts) != 1 || out.Err.(*llm.Failure).Retry != 6*time.Second {
			t.Errorf("%+v", out)
		}
	})
}

// Retries stay within a fifth of the calls, and half of that is for answers that
// have nowhere else to go.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, other := pool(), &engine{play: says("well")}, &engine{play: says("other")}
		for range 100 {
			stream(t, p, route("m", "p", e))
		}
		e.play = class(llm.Broken)
		before := e.count()
		for range 30 { // fewer than the breaker minds
			if out, _ := stream(t, p, route("m", "p", e), route("n", "q", other)); out.Err != nil {
				t.Fatal(out.Err)
			}
		}
		if got := e.count() - before - 30; got < 10 || got > 13 {
			t.Errorf("%d retries with a substitute at hand, want half of a fifth of the calls", got)
		}
	})
	synctest.Test(t, func(t *testing.T) { // an idle provider has a floor of three
		p, e := pool(), &engine{play: class(llm.Broken)}
		for range 8 {
			stream(t, p, route("m", "p", e))
		}
		if got := e.count() - 8; got != 3 {
			t.Errorf("%d retries, want 3", got)
		}
		time.Sleep(11 * time.Second)
		stream(t, p, route("m", "p", e))
		if got := e.count() - 9; got != 6 {
			t.Errorf("%d retries after ten seconds, want 3 more", got)
		}
	})
}

// Nothing is tried again once something was delivered.
func TestNothingAfterTheFirstEvent(t *testing.T) {
	p, e, other := pool(), &engine{play: after(class(llm.Broken), "half")}, &engine{play: says("other")}
	out, h := stream(t, p, route("m", "p", e, "a", "b"), route("n", "q", other))
	if classOf(out.Err) != "provider_error" || !out.Committed || h.text != "half" || e.count() != 1 || other.count() != 0 {
		t.Errorf("%+v, %q", out, h.text)
	}
}

// A provider that is down meets a fifth more calls than are made, not a multiple.
func TestOutageIsNotMultiplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{play: class(llm.Overloaded)}
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { stream(t, p, route("m", "p", e, "a", "b", "c")) })
			time.Sleep(20 * time.Millisecond)
		}
		wg.Wait()
		if got := e.count(); got > 1210 {
			t.Errorf("%d attempts of 1000 calls", got)
		}
	})
}

// In the last round a call waits for what only needed a moment.
func TestLastRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, other := pool(), &engine{play: turns(limited(4*time.Second), says("yes"))}, &engine{play: fails(llm.Failure{Class: llm.Overloaded, Retry: time.Minute})}
		stream(t, p, route("m", "p", e, "a"), route("n", "q", &engine{play: says("other")}))
		start := time.Now()
		out, h := stream(t, p, route("m", "p", e, "a"), route("n", "q", other))
		if out.Err != nil || out.Served != 0 || h.text != "yes" || time.Since(start) != 4*time.Second || other.count() != 1 {
			t.Errorf("%+v after %v", out, time.Since(start))
		}
	})
}
