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

	"onemind/internal/llm"
	"onemind/internal/upstream"
)

// spend uses up the three retries that an idle provider may have.
func spend(t *testing.T, p *upstream.Pool) {
	t.Helper()
	for range 3 {
		if out, _ := stream(t, p, route("m", "p", &engine{play: turns(class(llm.Broken), says("x"))})); out.Err != nil || len(out.Attempts) != 2 {
			t.Fatalf("%+v", out)
		}
	}
}

// load makes n calls that are answered.
func load(t *testing.T, p *upstream.Pool, n int) {
	t.Helper()
	for range n {
		stream(t, p, route("m", "p", &engine{play: says("x")}))
	}
}

// Answers that have nowhere else to go wait for a retry, the one that waits longest
// first. Who could go elsewhere does.
func TestRetriesAreGivenInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		spend(t, p)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var order []string
		flawed := func(name string, ctx context.Context, others ...upstream.Route) {
			routes := append([]upstream.Route{route("m", "p", &engine{play: turns(class(llm.Broken), says("well"))})}, others...)
			wg.Go(func() {
				out := p.Stream(ctx, call(name, &heard{}, routes...))
				mu.Lock()
				defer mu.Unlock()
				if out.Err == nil {
					name += fmt.Sprint(" by ", out.Served)
				}
				order = append(order, name)
			})
			time.Sleep(50 * time.Millisecond)
		}
		leaver, leave := context.WithCancel(t.Context())
		flawed("leaver", leaver)
		flawed("old", t.Context())
		flawed("new", t.Context())
		flawed("free", t.Context(), route("n", "q", &engine{play: says("other")}))
		settled := func() string {
			time.Sleep(200 * time.Millisecond) // the pause before a retry
			mu.Lock()
			defer mu.Unlock()
			return strings.Join(order, ", ")
		}
		if got := settled(); got != "free by 1" {
			t.Errorf("answered: %s", got)
		}
		leave()
		load(t, p, 20-7) // seven calls came before
		if got := settled(); got != "free by 1, leaver, old by 0" {
			t.Errorf("answered: %s", got)
		}
		load(t, p, 5)
		wg.Wait()
		if got := settled(); got != "free by 1, leaver, old by 0, new by 0" {
			t.Errorf("answered: %s", got)
		}
		idle(t, p)
	})
	synctest.Test(t, func(t *testing.T) { // without other calls, until old retries are forgotten
		p := pool()
		spend(t, p)
		start := time.Now()
		out, _ := stream(t, p, route("m", "p", &engine{play: turns(class(llm.Broken), says("well"))}))
		if took := time.Since(start); out.Err != nil || took < 8*time.Second || took > 10*time.Second {
			t.Errorf("%+v after %v", out, took)
		}
	})
	synctest.Test(t, func(t *testing.T) { // at whichever provider has one first
		p := pool()
		spend(t, p)
		out, _ := stream(t, p, route("m", "p", &engine{play: class(llm.Broken)}), route("n", "q", &engine{play: turns(class(llm.Broken), says("well"))}))
		if out.Err != nil || out.Served != 1 || len(out.Attempts) != 3 {
			t.Errorf("%+v", out)
		}
	})
	synctest.Test(t, func(t *testing.T) { // as long as a call may wait
		p := pool()
		spend(t, p)
		r := route("m", "p", &engine{play: turns(class(llm.Broken), says("well"))})
		r.Wait = 5 * time.Second
		start := time.Now()
		if out, _ := stream(t, p, r); classOf(out.Err) != "provider_error" || time.Since(start) > 6*time.Second {
			t.Errorf("%+v after %v", out, time.Since(start))
		}
	})
}

// A provider that is down fails its callers at once: nobody waits for a retry there,
// however well it was a moment ago.
func TestDownFailsFast(t *testing.T) {
	for _, tt := range []struct {
		name string
		good int
		play play
		most time.Duration // for each of five calls, its own time not counted
	}{
		{"never answered", 0, class(llm.Broken), time.Second},
		{"answered just now", 50, class(llm.Unreachable), 3500 * time.Millisecond}, // two seconds, and the longest pause
		{"limits only", 0, limited(time.Second), 3 * time.Second},                  // three retries, each after a second
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pool()
				load(t, p, tt.good)
				for range 5 {
					start := time.Now()
					out, _ := stream(t, p, route("m", "p", &engine{play: tt.play}))
					if took := time.Since(start); out.Err == nil || took > tt.most {
						t.Errorf("%v after %v and %d attempts", out.Err, took, len(out.Attempts))
					}
				}
			})
		})
	}
}

// A retry that was not made, because somebody else met a limit in the meantime, is
// there for others.
func TestUnspentRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		var wg sync.WaitGroup
		wg.Go(func() { // takes a retry for in three seconds, and makes it two seconds later
			e := &engine{play: turns(fails(llm.Failure{Class: llm.Overloaded, Retry: 3 * time.Second}), says("well"))}
			if out, _ := stream(t, p, route("m", "p", e, "a")); out.Err != nil || len(out.Attempts) != 2 || out.Attempts[1].Start != 5*time.Second {
				t.Errorf("%+v", out)
			}
		})
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p.Stream(ctx, call("u", &heard{}, route("m", "p", &engine{play: limited(3 * time.Second)}, "a")))
		wg.Wait()
		load(t, p, 1)
		e := &engine{play: turns(class(llm.Broken), class(llm.Broken), says("well"))}
		start := time.Now()
		if out, _ := stream(t, p, route("m", "p", e)); out.Err != nil || time.Since(start) > time.Second {
			t.Errorf("%+v after %v", out, time.Since(start)) // two of three were left
		}
	})
}

// A call waits for one limit after the other as long as it may wait, and uses up no
// attempt when another call meets the limit first.
func TestLimitsAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		e := &engine{play: turns(limited(3*time.Second), limited(2*time.Second), says("well"))}
		start := time.Now()
		if out, _ := stream(t, p, route("m", "p", e, "a")); out.Err != nil || len(out.Attempts) != 3 || time.Since(start) != 5*time.Second {
			t.Errorf("%+v after %v", out, time.Since(start))
		}
		r := route("m", "q", &engine{play: limited(3 * time.Second)}, "a")
		r.Wait = 5 * time.Second
		start = time.Now()
		if out, _ := stream(t, p, r); classOf(out.Err) != "provider_rate_limited" || len(out.Attempts) != 2 || time.Since(start) != 3*time.Second {
			t.Errorf("%+v after %v", out, time.Since(start))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		var wg sync.WaitGroup
		for i := range 10 { // one after the other meets the limit; the others wait meanwhile
			time.Sleep(time.Millisecond)
			wg.Go(func() {
				e := &engine{play: turns(limited(time.Duration(1+i%2)*time.Second), says("well"))}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				out := p.Stream(ctx, call("u", &heard{}, route("m", "p", e, "a")))
				var f *llm.Failure
				if out.Err != nil && (!errors.As(out.Err, &f) || f.Class != llm.RateLimited) || len(out.Attempts) > 2 {
					t.Errorf("%+v", out)
				}
			})
		}
		wg.Wait()
		idle(t, p)
	})
}
