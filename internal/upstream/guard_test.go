package upstream_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/llm"
	"onemind/internal/upstream"
)

// emits streams the events as they are and ends with err.
func emits(err error, events ...llm.Event) play {
	return func(_ context.Context, _ int, _ llm.Target, emit func(*llm.Event) error) (llm.Result, error) {
		for i := range events {
			e := events[i]
			e.Data, e.Content = slices.Clone(e.Data), slices.Clone(e.Content)
			if err := emit(&e); err != nil {
				return llm.Result{}, err
			}
			for j := range e.Data {
				e.Data[j] = '!' // it was valid only during emit
			}
		}
		return llm.Result{}, err
	}
}

func role() llm.Event { return llm.Event{Data: []byte("role"), Choices: 1} }
func text(s string) llm.Event {
	return llm.Event{Data: []byte(s), Content: []byte(s), Output: len(s), Choices: 1}
}
func last() llm.Event { return llm.Event{Data: []byte("last"), Finish: "stop", Choices: 1} }

// delivered is what a caller gets, event by event: its data, and "+" when more is said to come.
func delivered(c *upstream.Call) *[]string {
	var got []string
	c.Emit = func(e *llm.Event) error {
		s := string(e.Data)
		if e.More {
			s += "+"
		}
		got = append(got, s)
		return nil
	}
	return &got
}

// What commits an answer: the first output, and not what comes before it.
func TestGuard(t *testing.T) {
	broken := &llm.Failure{Class: llm.Broken}
	many := slices.Repeat([]llm.Event{role()}, 65)
	big := llm.Event{Data: []byte(strings.Repeat("x", 200<<10))}
	for _, tt := range []struct {
		name     string
		first    play
		attempts int
		want     string
	}{
		{"an error after the role", emits(broken, role(), role()), 2, "role+ well last"},
		{"an end after the role", emits(nil, role(), llm.Event{Data: []byte("usage"), Usage: true}), 2, "role+ well last"},
		{"an error after output", emits(broken, role(), text("half")), 1, "role+ half"},
		{"a refusal without text", emits(nil, role(), last()), 1, "role+ last"},
		{"too many events without output", emits(broken, many...), 1, strings.Repeat("role+ ", 64) + "role"},
		{"too many bytes without output", emits(broken, big, big), 1, string(big.Data) + "+ " + string(big.Data)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pool()
				e := &engine{play: turns(tt.first, emits(nil, role(), text("well"), last()))}
				c := call("u", &heard{}, route("m", "p", e))
				got := delivered(&c)
				out := p.Stream(t.Context(), c)
				if len(out.Attempts) != tt.attempts || !out.Committed {
					t.Errorf("%+v", out)
				}
				// The second attempt is at a suspect: all of it is held until its end.
				want := strings.Replace(tt.want, "well last", "well+ last", 1)
				if s := strings.Join(*got, " "); s != want {
					t.Errorf("delivered %.200q, want %.200q", s, want)
				}
			})
		})
	}
}

// suspect makes m of p one that failed lately.
func suspect(t *testing.T, p *upstream.Pool, model string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond) // no retries
	defer cancel()
	p.Stream(ctx, call("u", &heard{}, route(model, "p", &engine{play: class(llm.Broken)})))
}

// The content of a model that failed lately is held back too, so that an error
// within an answer that began well is still mended, and nothing comes twice.
func TestSuspect(t *testing.T) {
	broken := &llm.Failure{Class: llm.Broken}
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		suspect(t, p, "m")
		e := &engine{play: turns(emits(broken, role(), text("half")), emits(nil, role(), text("all"), last()))}
		c := call("u", &heard{}, route("m", "p", e))
		got := delivered(&c)
		out := p.Stream(t.Context(), c)
		if s := strings.Join(*got, " "); out.Err != nil || s != "role+ all+ last" || len(out.Attempts) != 2 {
			t.Errorf("%+v, delivered %q", out, s)
		}
		// A model that did not fail is none.
		c = call("u", &heard{}, route("other", "p", &engine{play: emits(broken, role(), text("half"))}))
		if out := p.Stream(t.Context(), c); len(out.Attempts) != 1 {
			t.Errorf("%+v", out)
		}
		// Nor is one whose failure is long past.
		time.Sleep(time.Minute + 6*time.Second)
		c = call("u", &heard{}, route("m", "p", &engine{play: emits(broken, role(), text("half"))}))
		if out := p.Stream(t.Context(), c); len(out.Attempts) != 1 {
			t.Errorf("%+v", out)
		}
	})
	synctest.Test(t, func(t *testing.T) { // or that fails once in two hundred times
		p := pool()
		suspect(t, p, "m")
		for range 199 {
			stream(t, p, route("m", "p", &engine{play: says("x")}))
		}
		if l := lanes(p, "p")[0]; l.Suspect {
			t.Errorf("%+v", l)
		}
	})
}

// Answers that begin together learn from each other: the first failure makes a
// suspect of the model for all those that have not begun to be delivered.
func TestSuspectMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		e := &engine{play: turns(takes(time.Second, emits(&llm.Failure{Class: llm.Broken}, role(), text("half"))), says("all"))}
		c := call("u", &heard{}, route("m", "p", e))
		got := delivered(&c)
		time.AfterFunc(500*time.Millisecond, func() { suspect(t, p, "m") })
		if out := p.Stream(t.Context(), c); out.Err != nil || len(out.Attempts) != 2 || strings.Join(*got, " ") != "all" {
			t.Errorf("%+v, delivered %q", out, *got)
		}
	})
}

// So do those of a model of which nothing is known yet: the first words wait a moment
// while others have not shown what they are.
func TestCrowdAtUnknownModel(t *testing.T) {
	breaks := emitsAfter(text("half"), 100*time.Millisecond, class(llm.Broken))
	run := func(p *upstream.Pool, others play) (upstream.Outcome, string, time.Duration) {
		var wg sync.WaitGroup
		defer wg.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if others != nil {
			wg.Go(func() { p.Stream(ctx, call("u", &heard{}, route("m", "p", &engine{play: others}))) })
			time.Sleep(time.Millisecond)
		}
		c := call("u", &heard{}, route("m", "p", &engine{play: turns(breaks, says("well"))}))
		got, start, first := "", time.Now(), time.Duration(0)
		c.Emit = func(e *llm.Event) error {
			if got == "" {
				first = time.Since(start)
			}
			got += string(e.Content)
			return nil
		}
		return p.Stream(ctx, c), got, first
	}
	for _, tt := range []struct {
		name   string
		known  int
		others play
		want   string
		first  time.Duration
	}{
		{"another one fails meanwhile", 0, takes(50*time.Millisecond, class(llm.Broken)), "well", 200 * time.Millisecond},
		{"another one says nothing", 0, takes(time.Hour, says("late")), "well", 200 * time.Millisecond},
		{"another one answers", 0, takes(0, after(takes(time.Hour, says("end")), "beginning")), "half", 0},
		{"alone", 0, nil, "half", 0},
		{"known to answer", 20, takes(time.Hour, says("late")), "half", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pool()
				load(t, p, tt.known)
				if out, got, first := run(p, tt.others); got != tt.want || first.Round(time.Millisecond) != tt.first {
					t.Errorf("%+v, delivered %q after %v", out, got, first)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // a quarter of a second at most
		breaks = emitsAfter(text("half"), 250*time.Millisecond, emits(nil, text("more"), last()))
		if out, got, first := run(pool(), takes(time.Hour, says("late"))); out.Err != nil || got != "halfmore" || first != 250*time.Millisecond {
			t.Errorf("%+v, delivered %q after %v", out, got, first)
		}
	})
}

// emitsAfter emits e, and after a while goes on with p.
func emitsAfter(e llm.Event, d time.Duration, p play) play {
	return func(ctx context.Context, n int, to llm.Target, emit func(*llm.Event) error) (llm.Result, error) {
		if err := emit(&e); err != nil {
			return llm.Result{}, err
		}
		return takes(d, p)(ctx, n, to, emit)
	}
}

// Holding back ends after three seconds, 64 events or 256 KiB, whichever comes
// first; then everything passes at once.
func TestSuspectBounds(t *testing.T) {
	paced := func(n int, size int, pause time.Duration) play {
		return func(_ context.Context, _ int, _ llm.Target, emit func(*llm.Event) error) (llm.Result, error) {
			for i := range n {
				e := text(fmt.Sprint(i, strings.Repeat("x", size)))
				if err := emit(&e); err != nil {
					return llm.Result{}, err
				}
				time.Sleep(pause)
			}
			return llm.Result{Finish: "stop"}, nil
		}
	}
	for _, tt := range []struct {
		name  string
		play  play
		first time.Duration // when the first event is delivered
	}{
		{"by the clock", paced(60, 0, 100*time.Millisecond), 3 * time.Second},
		{"by number", paced(200, 0, time.Millisecond), 64 * time.Millisecond},
		{"by size", paced(20, 100<<10, time.Millisecond), time.Millisecond}, // content counts as well as data
		{"at the end", paced(10, 0, time.Millisecond), 10 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pool()
				suspect(t, p, "m")
				var order []string
				var at []time.Duration
				c := call("u", &heard{}, route("m", "p", &engine{play: tt.play}))
				start := time.Now()
				c.Emit = func(e *llm.Event) error {
					order, at = append(order, strings.TrimRight(string(e.Content), "x")), append(at, time.Since(start))
					return nil
				}
				if out := p.Stream(t.Context(), c); out.Err != nil {
					t.Fatal(out.Err)
				}
				if at[0] != tt.first {
					t.Errorf("the first event came after %v, want %v", at[0], tt.first)
				}
				for i, s := range order {
					if s != fmt.Sprint(i) {
						t.Fatalf("event %d is %q", i, s)
					}
				}
			})
		})
	}
}

// A suspect that stalls after its beginning is tried again when its idle time is over.
func TestSuspectStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool()
		suspect(t, p, "m")
		stalls := after(takes(20*time.Second, class(llm.TimedOut)), "Hel")
		out, h := stream(t, p, route("m", "p", &engine{play: turns(stalls, says("Hello"))}))
		if out.Err != nil || h.text != "Hello" || len(out.Attempts) != 2 {
			t.Errorf("%+v, %q", out, h.text)
		}
	})
}
