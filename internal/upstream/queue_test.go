package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/upstream"

	"pgregory.net/rapid"
)

// order remembers in which order calls were served.
type order struct {
	mu     sync.Mutex
	served []string
}

// as makes a call in the background and remembers when its turn came.
func (o *order) as(t *testing.T, wg *sync.WaitGroup, p *upstream.Pool, name, user string, r upstream.Route) {
	e := r.Speak.(*engine)
	inner := e.play
	r.Speak = &engine{play: func(ctx context.Context, n int, to llm.Target, emit func(*llm.Event) error) (llm.Result, error) {
		o.mu.Lock()
		o.served = append(o.served, name)
		o.mu.Unlock()
		return inner(ctx, n, to, emit)
	}}
	wg.Go(func() { p.Stream(t.Context(), call(user, &heard{}, r)) })
	synctest.Wait()
}

// One user's 500 waiting calls delay another's by one turn.
func TestFairTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		p, o := pool(), &order{}
		r := route("m", "p", &engine{play: takes(time.Second, says("x"))})
		r.Places, r.Waiting, r.Wait = 1, 1000, time.Hour
		for i := range 501 {
			o.as(t, &wg, p, fmt.Sprint("greedy", i), "greedy", r)
		}
		start := time.Now()
		o.as(t, &wg, p, "other", "other", r)
		wg.Wait()
		if at := slices.Index(o.served, "other"); at > 2 {
			t.Errorf("the other user was served after %d calls", at)
		}
		if took := time.Since(start); took != 502*time.Second {
			t.Errorf("all took %v", took)
		}
		for i, name := range slices.DeleteFunc(o.served, func(n string) bool { return n == "other" }) {
			if name != fmt.Sprint("greedy", i) {
				t.Fatalf("%s at %d: one user's calls are first come, first served", name, i)
			}
		}
		idle(t, p)
	})
}

// The queue against a plain model of it: the turns of the users, place by place.
func TestFairness(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		places := rapid.IntRange(1, 4).Draw(rt, "places")
		users := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 60).Draw(rt, "users")
		synctest.Test(t, func(t *testing.T) {
			var wg sync.WaitGroup
			p, o := pool(), &order{}
			r := route("m", "p", &engine{play: takes(time.Second, says("x"))})
			r.Places, r.Waiting, r.Wait = places, 1000, time.Hour
			var want []string
			lines, turns := map[int][]string{}, []int{}
			for i, u := range users {
				name := fmt.Sprint("call", i)
				o.as(t, &wg, p, name, fmt.Sprint("user", u), r)
				if i < places {
					want = append(want, name)
					continue
				}
				if len(lines[u]) == 0 {
					turns = append(turns, u)
				}
				lines[u] = append(lines[u], name)
			}
			for len(turns) > 0 {
				u := turns[0]
				turns = turns[1:]
				want = append(want, lines[u][0])
				if lines[u] = lines[u][1:]; len(lines[u]) > 0 {
					turns = append(turns, u)
				}
			}
			wg.Wait()
			// Those whose turn comes at the same moment may begin in any order.
			sorted := func(s []string) []string {
				s = slices.Clone(s)
				for c := range slices.Chunk(s, places) {
					slices.Sort(c)
				}
				return s
			}
			if got := sorted(o.served); !slices.Equal(got, sorted(want)) {
				t.Errorf("%d places, users %v: served %v, want %v", places, users, got, want)
			}
			idle(t, p)
		})
	})
}

// Place and estimate are the truth: with answers of two seconds the n-th in line
// waits n times as long, and is told so.
func TestPlaceAndEstimate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		e := &engine{play: takes(2*time.Second, says("x"))}
		r := route("m", "p", e)
		r.Places, r.Wait = 1, time.Hour
		stream(t, p, r) // now it is known how long an answer takes
		var wg sync.WaitGroup
		ask := func(user string) *heard {
			h := &heard{}
			wg.Go(func() { p.Stream(t.Context(), call(user, h, r)) })
			synctest.Wait()
			return h
		}
		start := time.Now()
		ask("a")
		a1, a2, b1 := ask("a"), ask("a"), ask("b")
		wg.Wait()
		first := func(h *heard) string {
			return fmt.Sprint(h.notices[0].Place, " ", h.notices[0].Estimate)
		}
		if first(a1) != "1 2s" || first(a2) != "2 4s" || first(b1) != "2 4s" {
			t.Errorf("told %s, %s and %s", first(a1), first(a2), first(b1))
		}
		// b came last and goes before a's second, who is told that it is third now.
		if n := a2.notices[1]; n.Place != 3 || n.Estimate != 6*time.Second || a2.when[1].Sub(start) != time.Second {
			t.Errorf("%+v after %v", n, a2.when[1].Sub(start))
		}
		for i := 1; i < len(a2.when); i++ {
			if a2.notices[i] == a2.notices[i-1] {
				t.Errorf("told the same again: %+v", a2.notices[i])
			}
			if d := a2.when[i].Sub(a2.when[i-1]); d < time.Second {
				t.Errorf("told again after %v", d)
			}
		}
		if b1.notices[len(b1.notices)-1].Place != 1 {
			t.Errorf("%+v", b1.notices)
		}
		idle(t, p)
	})
}

func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		r := route("m", "p", &engine{play: takes(10*time.Second, says("x"))})
		r.Places, r.Waiting, r.Wait = 1, 2, time.Hour
		stream(t, p, r)
		var wg sync.WaitGroup
		outs := make([]upstream.Outcome, 4)
		for i := range 3 {
			wg.Go(func() { outs[i] = p.Stream(t.Context(), call("greedy", &heard{}, r)) })
			synctest.Wait()
		}
		full := p.Stream(t.Context(), call("greedy", &heard{}, r))
		var f *fault.Error
		if !errors.As(full.Err, &f) || f.Code != "queue_full" || f.Kind != fault.Unavailable || f.Retry < 10*time.Second {
			t.Errorf("%v", full.Err)
		}
		wg.Wait()
		idle(t, p)
	})
}

// One user alone cannot fill the queue for the others: who comes with a shorter
// line takes the room of the last one of the longest.
func TestQueueFullOfOneUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		r := route("m", "p", &engine{play: takes(time.Second, says("x"))})
		r.Places, r.Waiting, r.Wait = 1, 3, time.Hour
		var wg sync.WaitGroup
		outs := make([]upstream.Outcome, 4)
		for i := range outs {
			wg.Go(func() { outs[i] = p.Stream(t.Context(), call("greedy", &heard{}, r)) })
			synctest.Wait()
		}
		other, _ := stream(t, p, r)
		wg.Wait()
		if other.Err != nil || other.Queued != 2*time.Second {
			t.Errorf("the other: %v after %v", other.Err, other.Queued)
		}
		for i, o := range outs {
			if want := map[bool]string{true: "queue_full", false: "<nil>"}[i == 3]; classOf(o.Err) != want {
				t.Errorf("call %d: %v", i, o.Err)
			}
		}
		idle(t, p)
	})
}

func TestQueueTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		e := &engine{play: takes(time.Minute, says("x"))}
		r := route("m", "p", e)
		r.Places = 1
		var wg sync.WaitGroup
		wg.Go(func() { p.Stream(t.Context(), call("a", &heard{}, r)) })
		synctest.Wait()
		out, _ := stream(t, p, r)
		var f *fault.Error
		if !errors.As(out.Err, &f) || f.Code != "queue_timeout" || f.Retry < 30*time.Second || out.Queued != 30*time.Second || len(out.Attempts) != 0 {
			t.Errorf("%+v", out)
		}
		// The caller who leaves is out at once.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if out := p.Stream(ctx, call("b", &heard{}, r)); !errors.Is(out.Err, context.DeadlineExceeded) || out.Queued != time.Second {
			t.Errorf("%+v", out)
		}
		if h := health(t, p, "p"); h.Waiting != 0 || h.Running != 1 {
			t.Errorf("%+v", h)
		}
		wg.Wait()
		if e.count() != 1 {
			t.Errorf("%d calls", e.count())
		}
		idle(t, p)
	})
}

// The time a call waits is bounded over all its routes.
func TestWaitOfAllRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := pool(), &engine{play: takes(time.Hour, says("x"))}
		r, s := route("m", "p", e), route("n", "q", e)
		r.Places, s.Places = 1, 1
		var wg sync.WaitGroup
		for _, way := range []upstream.Route{r, s} {
			wg.Go(func() { p.Stream(t.Context(), call("a", &heard{}, way)) })
		}
		synctest.Wait()
		if out, _ := stream(t, p, r, s); classOf(out.Err) != "queue_timeout" || out.Queued != 30*time.Second {
			t.Errorf("%+v", out)
		}
		wg.Wait()
	})
}

// A substitute with a free place is used when the queue is full, when the wait
// passed, or when it will be longer than the call may wait; else the call waits.
func TestQueueOrSubstitute(t *testing.T) {
	for _, tt := range []struct {
		name    string
		holds   time.Duration
		waiting int
		served  int
		queued  time.Duration
	}{
		{"a short wait", 2 * time.Second, 5, 0, 2 * time.Second},
		{"a full queue", 2 * time.Second, -1, 1, 0},
		{"a long wait, known before", time.Minute, 5, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pool()
				e, other := &engine{play: takes(tt.holds, says("x"))}, &engine{play: says("other")}
				r := route("m", "p", e)
				r.Places, r.Waiting = 1, max(tt.waiting, 1)
				stream(t, p, r)
				var wg sync.WaitGroup
				background := 1
				if tt.waiting < 0 {
					background = 2
				}
				for range background {
					wg.Go(func() { p.Stream(t.Context(), call("u", &heard{}, r)) })
					synctest.Wait()
				}
				out, _ := stream(t, p, r, route("n", "q", other))
				if out.Err != nil || out.Served != tt.served || out.Queued != tt.queued {
					t.Errorf("%+v", out)
				}
				wg.Wait()
				idle(t, p)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // the wait passed: nobody knew that it would
		p := pool()
		e, other := &engine{play: takes(time.Minute, says("x"))}, &engine{play: says("other")}
		r := route("m", "p", e)
		r.Places = 1
		var wg sync.WaitGroup
		wg.Go(func() { p.Stream(t.Context(), call("a", &heard{}, r)) })
		synctest.Wait()
		out, h := stream(t, p, r, route("n", "q", other))
		if out.Err != nil || out.Served != 1 || out.Queued != 30*time.Second || h.notices[len(h.notices)-1].Kind != upstream.Substituted {
			t.Errorf("%+v %s", out, h.kinds())
		}
		wg.Wait()
	})
}

// The newest number of places holds: more are given out at once, fewer as they
// come back.
func TestPlacesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		e := &engine{play: takes(time.Second, says("x"))}
		r := route("m", "p", e)
		var wg sync.WaitGroup
		ask := func(places int) {
			r.Places = places
			c := call("u", &heard{}, r)
			wg.Go(func() { p.Stream(t.Context(), c) })
			synctest.Wait()
		}
		check := func(running, waiting int) {
			t.Helper()
			if h := health(t, p, "p"); h.Running != running || h.Waiting != waiting {
				t.Errorf("%d running, %d waiting, want %d and %d", h.Running, h.Waiting, running, waiting)
			}
		}
		for range 5 {
			ask(1)
		}
		check(1, 4)
		ask(3)
		check(3, 3)
		ask(2)
		check(3, 4)
		time.Sleep(time.Second)
		synctest.Wait()
		check(2, 2)
		ask(0)
		check(5, 0)
		wg.Wait()
		check(0, 0)
	})
}

// Users who waited once are forgotten.
func TestNoMemoryOfUsers(t *testing.T) {
	p := pool()
	r := route("m", "p", &engine{})
	r.Speak = &silent{events: []llm.Event{text("x")}}
	r.Places, r.Waiting = 1, 100
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	crowd := func(n int) {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				for j := range n {
					p.Stream(t.Context(), upstream.Call{User: fmt.Sprint(n, i, j, strings.Repeat("u", 200)), Routes: []upstream.Route{r},
						Request: &llm.Request{Stream: true}, Emit: func(*llm.Event) error { runtime.Gosched(); return nil }})
				}
			})
		}
		wg.Wait()
	}
	crowd(100)
	before, routines := heap(), runtime.NumGoroutine()
	crowd(1000)
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d bytes more after 20000 users", grown)
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > routines && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // the crowd's own are on their way out
	}
	if n := runtime.NumGoroutine(); n > routines {
		t.Errorf("%d goroutines, %d before", n, routines)
	}
	idle(t, p)
}

// Whoever leaves from the middle of a line lets the others move up.
func TestLeavingTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		r := route("m", "p", &engine{play: takes(10*time.Second, says("x"))})
		r.Places, r.Wait = 1, time.Hour
		var wg sync.WaitGroup
		var all []*heard
		for i := range 6 {
			h := &heard{}
			all = append(all, h)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i == 2 || i == 3 {
				time.AfterFunc(time.Duration(i)*time.Second+time.Second/2, cancel)
			}
			wg.Go(func() { p.Stream(ctx, call("u", h, r)) })
			synctest.Wait()
		}
		wg.Wait()
		for i, want := range map[int]string{1: "[1]", 4: "[4 3 2 1]", 5: "[5 4 3 2 1]"} {
			var places []int
			for _, n := range all[i].notices {
				if len(places) == 0 || places[len(places)-1] != n.Place {
					places = append(places, n.Place)
				}
			}
			if got := fmt.Sprint(places); got != want {
				t.Errorf("call %d was at %s, want %s", i, got, want)
			}
		}
	})
}
