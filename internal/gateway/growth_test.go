package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"onemind/internal/fault"
	"onemind/internal/gateway"
	"onemind/internal/llm"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/gemini"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/responses"
	"onemind/internal/llm/sim"
)

// heap is what is alive.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools held is freed by the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// 44: after two thousand answers of all kinds nothing is left of them: no goroutine,
// no memory, no place, no hold.
func TestTrap44NothingGrows(t *testing.T) {
	if testing.Short() {
		t.Skip("makes some thousand calls")
	}
	kinds := []struct {
		script sim.Script
		leave  int
		cache  bool
	}{
		{sim.Script{Pieces: 20}, 0, false},
		{sim.Script{Pieces: 20}, 0, true},
		{sim.Script{Pieces: 500, PieceDelay: 100 * time.Microsecond}, 5, false},
		{sim.Script{Pieces: 400, IgnoreCap: true}, 0, false},
		{sim.Script{Pieces: 20, Usage: sim.Never}, 0, false},
		{sim.Script{Status: 400}, 0, false},
		{sim.Script{Calls: []sim.Call{{Name: "f", Arguments: `{"a":1}`}}}, 0, false},
		{sim.Script{Pieces: 20, Reasoning: "Let me think."}, 3, false},
		{sim.Script{Pieces: 50, Break: sim.Cut, After: 10}, 0, false},
		{sim.Script{Pieces: 50, Break: sim.Fails, After: 10}, 0, false},
	}
	const most = 100 // and the number of the kind, which the upstream knows it by
	b := newEngines(t, func(r *sim.Request) sim.Script { return kinds[r.MaxTokens-most].script })
	var failed atomic.Int64
	round := func(name string, times int) {
		var work errgroup.Group
		work.SetLimit(50)
		for i := range times {
			k := i % 8
			if i%40 == 0 { // rarely: of a provider that fails often nothing is asked any more
				k = 8 + i/40%2
			}
			c := call(t, fmt.Sprint(name, i), "ann", protocols[i/8%len(protocols)], i%2 == 0, most+k)
			c.Cache = kinds[k].cache
			work.Go(func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // nobody waits here for a provider to recover
				defer cancel()
				_, _, err := b.streamIn(ctx, t, c, kinds[k].leave)
				if err != nil {
					failed.Add(1)
				}
				if err != nil && fault.From(err).Kind == fault.Internal && !errors.Is(err, context.Canceled) {
					return err
				}
				return nil
			})
		}
		if err := work.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	routines := runtime.NumGoroutine()
	// calm closes the connections kept for later, of which there are as many as calls
	// were under way at once, and waits until what they ran has ended.
	calm := func() {
		for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > routines+5 && time.Now().Before(end); {
			b.calls.Close()
			time.Sleep(20 * time.Millisecond)
		}
	}
	round("warm", 240)
	calm()
	before := heap()
	round("grow", 2000)
	calm()
	if n := runtime.NumGoroutine(); n > routines+5 {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, and %d before: %s", n, routines, buf[:runtime.Stack(buf, true)])
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("the heap has grown by %d KB", grown>>10)
	}
	if n := failed.Load(); n == 0 || n > 1200 {
		t.Errorf("%d of all answers failed", n)
	}
	b.check(t)
}

// inbound is how a caller's dialect reads a request and writes an answer.
type inbound struct {
	name   string
	call   func(t *testing.T, id, model string, most int) gateway.Call
	writer func(c *gateway.Call) writer
}

type writer interface {
	Event(dst []byte, ev *llm.Event) []byte
	End(dst []byte, end llm.Ending) []byte
}

func inbounds() []inbound {
	asked := func(of string) func(*testing.T, string, string, int) gateway.Call {
		return func(t *testing.T, id, model string, most int) gateway.Call {
			c := native(t, id, of, true, most)
			c.Model = model
			return c
		}
	}
	return []inbound{
		{"chat", asked("openai"), func(c *gateway.Call) writer { return openai.NewEncoder("x", c.Request) }},
		{"responses", asked("openai"), func(c *gateway.Call) writer { return responses.NewEncoder("x", c.Model, []byte("{}")) }},
		{"messages", asked("anthropic"), func(c *gateway.Call) writer { return anthropic.NewEncoder("x", c.Model) }},
		{"gemini", asked("gemini"), func(c *gateway.Call) writer { return gemini.NewEncoder("x", c.Model, false) }},
	}
}

// 43: an answer of 600,000 tokens goes through every pair of dialects in bounded
// memory, though it is counted, metered, held to its cap and recorded for the cache.
func TestTrap43LongAnswersInBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("streams some million tokens")
	}
	const tokens = 600_000
	b := newEngines(t, func(*sim.Request) sim.Script {
		return sim.Script{Text: strings.Repeat("apple ", tokens), PerEvent: 10, Usage: sim.Never}
	})
	for _, in := range inbounds() {
		for _, model := range protocols {
			t.Run(in.name+" to "+model, func(t *testing.T) {
				c := in.call(t, in.name+model, model, tokens+1000)
				c.Cache = true // what is too long for it has to be let go
				ticket, err := b.admit(t, c)
				if err != nil {
					t.Fatal(err)
				}
				write := in.writer(&c)
				var frames []byte
				var first, most int64
				events, written := 0, 0
				answer, err := ticket.Stream(t.Context(), gateway.Reader{Event: func(ev *llm.Event) error {
					frames = write.Event(frames[:0], ev)
					written += len(frames)
					if events++; events == 10 {
						first = heap() // what the upstream is about to say is in it
					} else if events%12_000 == 0 {
						most = max(most, heap())
					}
					return nil
				}})
				if err != nil {
					t.Fatal(err)
				}
				most = max(most, heap())
				written += len(write.End(nil, llm.Ending{Finish: "stop"}))
				if r := answer.Receipt; r.Tokens.Output < tokens*9/10 || r.Tokens.Output > tokens+1000 || !r.Estimated || written < tokens*len("apple ") {
					t.Errorf("%+v, %d bytes written", r.Tokens, written)
				}
				if grown := most - first; grown > 16<<20 {
					t.Errorf("the heap grew by %d KB", grown>>10)
				} else {
					t.Logf("the heap grew by %d KB", grown>>10)
				}
			})
		}
	}
	b.check(t)
}
