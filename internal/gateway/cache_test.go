package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/credit"
	"onemind/internal/llm"
)

// shelf keeps values in a map.
type shelf struct {
	mu     sync.Mutex
	values map[string][]byte
	ttl    time.Duration
	err    error
}

func newShelf() *shelf { return &shelf{values: map[string][]byte{}} }

func (s *shelf) Get(_ context.Context, key string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.values[key]
	return value, ok && s.err == nil, s.err
}

func (s *shelf) Put(_ context.Context, key string, value []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.values[key], s.ttl = value, ttl
	}
	return s.err
}

func (s *shelf) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values)
}

const cacheHead = `"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-2024-08-06",`

// chunkOf is an event as the OpenAI dialect emits it.
func chunkOf(text string) *llm.Event {
	raw := llm.AppendQuoted(nil, text)
	data := fmt.Appendf(nil, `{%s"choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}],"usage":null}`, cacheHead, raw)
	at := bytes.Index(data, raw)
	return &llm.Event{Data: data, Content: data[at+1 : at+len(raw)-1], Output: len(raw) - 2, Choices: 1}
}

func closing() []*llm.Event {
	return []*llm.Event{
		{Data: []byte(`{` + cacheHead + `"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`), Finish: "stop", Choices: 1},
		{Data: []byte(`{` + cacheHead + `"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}`), Usage: true},
	}
}

func answerEvents(texts ...string) (events []*llm.Event) {
	for _, text := range texts {
		events = append(events, chunkOf(text))
	}
	return append(events, closing()...)
}

// caller is one request with a provider that answers it.
type caller struct {
	cache   *cache
	key     string
	req     *llm.Request
	answer  func(emit func(*llm.Event) error) (llm.Result, error)
	outcome credit.Outcome // what the settlement calls it
	calls   *atomic.Int64
}

// got is what one request got.
type got struct {
	events []llm.Event
	result llm.Result
	cached bool
	waited bool
}

// ask does what Ticket.Stream does with the cache.
func (c caller) ask(ctx context.Context) (g got, err error) {
	emit := func(ev *llm.Event) error {
		kept := *ev
		kept.Data, kept.Content, kept.Reasoning = bytes.Clone(ev.Data), bytes.Clone(ev.Content), bytes.Clone(ev.Reasoning)
		g.events = append(g.events, kept)
		return nil
	}
	look, err := c.cache.begin(ctx, c.key, c.req)
	if err != nil {
		return g, err
	}
	defer look.drop()
	if hit := look.hit(); hit != nil {
		g.cached, g.waited = true, look.waited
		g.result, err = hit.play(ctx, emit)
		return g, err
	}
	c.calls.Add(1)
	g.result, err = c.answer(func(ev *llm.Event) error {
		if err := emit(ev); err != nil {
			return err
		}
		look.add(ev)
		clear(ev.Data) // its bytes are valid until emit returns
		return nil
	})
	outcome := c.outcome
	if outcome == "" {
		outcome = credit.Finished
	}
	if err != nil {
		outcome = credit.Midway
	}
	look.keep(ctx, &credit.Receipt{Outcome: outcome, ServedBy: "gpt-4o"}, &g.result, "gpt-4o")
	return g, err
}

// streams answers with events.
func streams(texts ...string) func(func(*llm.Event) error) (llm.Result, error) {
	return func(emit func(*llm.Event) error) (llm.Result, error) {
		for _, ev := range answerEvents(texts...) {
			if err := emit(ev); err != nil {
				return llm.Result{}, err
			}
		}
		return llm.Result{Finish: "stop", Usage: &llm.Usage{Input: 5, Output: 2}, Changes: []llm.Change{{Name: "temperature", Rule: "clamp"}}}, nil
	}
}

func newCaller(s Replies) caller {
	return caller{cache: newCache(s), key: strings.Repeat("a", 64), req: &llm.Request{Stream: true}, answer: streams("Hel", "lo é\n", "\"you\""), calls: new(atomic.Int64)}
}

func mustAsk(t testing.TB, c caller) got {
	t.Helper()
	g, err := c.ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// same compares what two readers got, but not how it was put into packets.
func same(t *testing.T, a, b got) {
	t.Helper()
	if !reflect.DeepEqual(a.result, b.result) {
		t.Errorf("results differ: %+v and %+v", a.result, b.result)
	}
	if len(a.events) != len(b.events) {
		t.Fatalf("%d and %d events", len(a.events), len(b.events))
	}
	for i := range a.events {
		x, y := a.events[i], b.events[i]
		x.More, y.More = false, false
		if len(x.Reasoning) == 0 && len(y.Reasoning) == 0 {
			x.Reasoning, y.Reasoning = nil, nil
		}
		if !reflect.DeepEqual(x, y) {
			t.Errorf("event %d: %+v and %+v", i, x, y)
		}
	}
}

// The second time an answer comes from the cache, event by event as the first time,
// for one hour.
func TestCacheReplaysAStream(t *testing.T) {
	s := newShelf()
	c := newCaller(s)
	first := mustAsk(t, c)
	second := mustAsk(t, c)
	if first.cached || !second.cached || second.waited || c.calls.Load() != 1 {
		t.Fatalf("cached: %v, %v; calls: %d", first.cached, second.cached, c.calls.Load())
	}
	same(t, first, second)
	if s.ttl != time.Hour {
		t.Errorf("it is kept for %s", s.ttl)
	}
	if !second.events[0].More || second.events[len(second.events)-1].More {
		t.Error("events that are there are not told to follow")
	}
	// Another process finds it too.
	other := c
	other.cache = newCache(s)
	same(t, first, mustAsk(t, other))
	if c.calls.Load() != 1 {
		t.Errorf("%d calls", c.calls.Load())
	}
}

// A gateway without a cache and a request without a key ask the provider each time.
func TestCacheOff(t *testing.T) {
	c := newCaller(nil)
	mustAsk(t, c)
	mustAsk(t, c)
	if c.calls.Load() != 2 {
		t.Errorf("%d calls without a cache", c.calls.Load())
	}
	c = newCaller(newShelf())
	c.key = ""
	mustAsk(t, c)
	mustAsk(t, c)
	if c.calls.Load() != 2 {
		t.Errorf("%d calls without a key", c.calls.Load())
	}
}

// A store that fails is as good as none.
func TestCacheStoreFails(t *testing.T) {
	s := newShelf()
	s.err = errors.New("no answer")
	c := newCaller(s)
	mustAsk(t, c)
	if g := mustAsk(t, c); g.cached || c.calls.Load() != 2 {
		t.Errorf("%d calls", c.calls.Load())
	}
	s.err = nil
	mustAsk(t, c)
	for key, value := range s.values {
		s.values[key] = value[:len(value)/2]
	}
	if g := mustAsk(t, c); g.cached {
		t.Error("half a value is played")
	}
	if g := mustAsk(t, c); !g.cached {
		t.Error("the damaged value is not replaced")
	}
}

// Only a whole good answer is kept.
func TestCacheKeepsOnlyGoodAnswers(t *testing.T) {
	usage := &llm.Usage{Input: 1, Output: 1}
	for what, tt := range map[string]struct {
		result  llm.Result
		err     error
		outcome credit.Outcome
		events  []*llm.Event
		served  string
	}{
		"length":          {result: llm.Result{Finish: "length", Usage: usage}, outcome: credit.Length},
		"length finished": {result: llm.Result{Finish: "length", Usage: usage}},
		"filtered":        {result: llm.Result{Finish: "content_filter", Usage: usage}},
		"no finish":       {result: llm.Result{Usage: usage}},
		"no usage":        {result: llm.Result{Finish: "stop"}},
		"stopped":         {result: llm.Result{Finish: "stop", Usage: usage}, outcome: credit.Stopped},
		"midway":          {result: llm.Result{Usage: usage}, err: &llm.Failure{}},
		"nothing said":    {result: llm.Result{Finish: "stop", Usage: usage}, events: closing()},
	} {
		s := newShelf()
		c := newCaller(s)
		c.outcome = tt.outcome
		c.answer = func(emit func(*llm.Event) error) (llm.Result, error) {
			events := tt.events
			if events == nil {
				events = answerEvents("hello")
			}
			for _, ev := range events {
				_ = emit(ev)
			}
			return tt.result, tt.err
		}
		_, _ = c.ask(t.Context())
		if s.len() != 0 {
			t.Errorf("%s: it is kept", what)
		}
		if len(c.cache.flights) != 0 {
			t.Errorf("%s: its flight is not over", what)
		}
	}
	// What a substitute said is not what was asked for.
	s := newShelf()
	c := newCache(s)
	l, err := c.begin(t.Context(), "k", &llm.Request{})
	if err != nil {
		t.Fatal(err)
	}
	l.keep(t.Context(), &credit.Receipt{Outcome: credit.Finished, ServedBy: "other"}, &llm.Result{Finish: "stop", Usage: usage, Body: []byte("{}")}, "gpt-4o")
	if s.len() != 0 || len(c.flights) != 0 {
		t.Error("the answer of a substitute is kept")
	}
}

// An answer that is too large passes through and is not kept; memory stays bounded.
func TestCacheLargeAnswers(t *testing.T) {
	s := newShelf()
	c := newCaller(s)
	long := strings.Repeat("x", 1<<20)
	c.answer = func(emit func(*llm.Event) error) (llm.Result, error) {
		for range 20 {
			if err := emit(chunkOf(long)); err != nil {
				return llm.Result{}, err
			}
		}
		return llm.Result{Finish: "stop", Usage: &llm.Usage{}}, nil
	}
	if g := mustAsk(t, c); len(g.events) != 20 || s.len() != 0 {
		t.Errorf("%d events, %d kept", len(g.events), s.len())
	}
	// Four thousand short chunks are far below the bound: they say the same around each word.
	words := make([]string, 4000)
	for i := range words {
		words[i] = fmt.Sprint("word", i*7919%4001, " ")
	}
	c = newCaller(s)
	c.answer = streams(words...)
	mustAsk(t, c)
	if n := len(s.values[c.key]); n == 0 || n > 256<<10 {
		t.Errorf("4,000 chunks take %d bytes", n)
	}
}

// A hundred requests that are the same and come together are one call.
func TestCacheSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(newShelf())
		answer := c.answer
		c.answer = func(emit func(*llm.Event) error) (llm.Result, error) {
			time.Sleep(time.Second)
			return answer(emit)
		}
		var work sync.WaitGroup
		results := make([]got, 100)
		for i := range results {
			work.Go(func() {
				g, err := c.ask(context.Background())
				if err != nil {
					t.Error(err)
				}
				results[i] = g
			})
		}
		work.Wait()
		waited := 0
		for _, g := range results {
			same(t, results[0], g)
			if g.waited {
				waited++
			}
		}
		if n := c.calls.Load(); n != 1 || waited != 99 {
			t.Errorf("%d calls, %d waited", n, waited)
		}
	})
}

// Those that wait go on by themselves when the first one fails, all at once, and
// what one of them gets is kept.
func TestCacheFirstFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		c := newCaller(s)
		answer, turn := c.answer, new(atomic.Int64)
		c.answer = func(emit func(*llm.Event) error) (llm.Result, error) {
			first := turn.Add(1) == 1
			time.Sleep(time.Second)
			if first {
				return llm.Result{}, &llm.Failure{Class: llm.Overloaded}
			}
			return answer(emit)
		}
		started := time.Now()
		var work sync.WaitGroup
		var failed atomic.Int64
		for range 10 {
			work.Go(func() {
				if g, err := c.ask(context.Background()); err != nil {
					failed.Add(1)
				} else if len(g.events) == 0 {
					t.Error("nothing came")
				}
			})
		}
		work.Wait()
		if took := time.Since(started); took > 2500*time.Millisecond {
			t.Errorf("they waited for each other: %s", took)
		}
		if failed.Load() != 1 || s.len() != 1 || len(c.cache.flights) != 0 {
			t.Errorf("%d failed, %d kept, %d flights", failed.Load(), s.len(), len(c.cache.flights))
		}
	})
}

// Who waits can leave at any time; the others do not notice.
func TestCacheWaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(newShelf())
		answer := c.answer
		c.answer = func(emit func(*llm.Event) error) (llm.Result, error) {
			time.Sleep(time.Minute)
			return answer(emit)
		}
		var work sync.WaitGroup
		work.Go(func() { mustAsk(t, c) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		started := time.Now()
		if _, err := c.ask(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(started) != time.Second {
			t.Errorf("%v after %s", err, time.Since(started))
		}
		work.Go(func() {
			if g := mustAsk(t, c); !g.waited {
				t.Error("the other one did not wait")
			}
		})
		work.Wait()
	})
}

// A call that is given up before it is made frees those that wait.
func TestCacheDropped(t *testing.T) {
	c := newCaller(newShelf())
	look, err := c.cache.begin(t.Context(), c.key, c.req)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan got)
	go func() {
		g, _ := c.ask(context.Background())
		done <- g
	}()
	look.drop()
	look.drop()
	if g := <-done; g.cached || len(g.events) == 0 {
		t.Errorf("%+v", g)
	}
}

// A reader that breaks a replay off ends it.
func TestCacheReaderLeaves(t *testing.T) {
	c := newCaller(newShelf())
	mustAsk(t, c)
	look, err := c.cache.begin(t.Context(), c.key, c.req)
	if err != nil {
		t.Fatal(err)
	}
	gone, n := errors.New("gone"), 0
	if _, err := look.hit().play(t.Context(), func(*llm.Event) error { n++; return gone }); !errors.Is(err, gone) || n != 1 {
		t.Errorf("%v after %d events", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := look.hit().play(ctx, func(*llm.Event) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// Vectors are kept too: whole, and without a finish reason.
func TestCacheEmbeddings(t *testing.T) {
	c := newCaller(newShelf())
	c.req = &llm.Request{Op: llm.Embeddings}
	c.answer = func(func(*llm.Event) error) (llm.Result, error) {
		return llm.Result{Body: []byte(`{"object":"list","data":[]}`), Usage: &llm.Usage{Input: 4}}, nil
	}
	first, second := mustAsk(t, c), mustAsk(t, c)
	if !second.cached {
		t.Fatal("it is asked for twice")
	}
	same(t, first, second)
}

func FuzzCacheUnpack(f *testing.F) {
	whole := recording{head: recordHead{Key: "k", Finish: "stop"}, body: []byte(`{"choices":[]}`)}
	f.Add(whole.pack())
	tape := tape{stream: true}
	for _, ev := range answerEvents("a", "é", "\"") {
		tape.add(ev)
	}
	f.Add(tape.end(recordHead{Key: "k", Finish: "stop"}, nil).pack())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := unpack(value)
		if err != nil {
			return
		}
		if _, err := r.play(t.Context(), func(*llm.Event) error { return nil }); err != nil {
			t.Fatal(err)
		}
		r.as(&llm.Request{Stream: !r.head.Stream})
		again, err := unpack(r.pack())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.events, r.events) || !bytes.Equal(again.body, r.body) {
			t.Fatal("it is not the same after packing")
		}
		if _, err := json.Marshal(again.head); err != nil {
			t.Fatal(err)
		}
	})
}
