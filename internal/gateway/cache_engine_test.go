package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"onemind/internal/credit"
	"onemind/internal/gateway"
	"onemind/internal/llm"
	"onemind/internal/llm/sim"
	"onemind/internal/money"
)

// cachedCall is a call that allows the cache.
func cachedCall(t *testing.T, id, user string, stream bool) gateway.Call {
	t.Helper()
	c := call(t, id, user, "plain", stream, 100)
	c.Cache = true
	return c
}

// ask makes a call and gives the text that its reader got.
func (b *bench) ask(t *testing.T, c gateway.Call) (answer gateway.Answer, text string) {
	t.Helper()
	ticket, err := b.admit(t, c)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	answer, err = ticket.Stream(t.Context(), gateway.Reader{Event: func(ev *llm.Event) error {
		got.WriteString(ev.Text())
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return answer, got.String()
}

// A cached answer is the same, free and marked, and only for who asked before and
// allows it.
func TestCachedAnswerIsFree(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{Pieces: 20} })
	b.grant(t, "ann", money.Dollar)
	b.grant(t, "bob", money.Dollar)
	first, text := b.ask(t, cachedCall(t, "a1", "ann", true))
	if first.Receipt.Cached || first.Receipt.Charge == 0 || text == "" {
		t.Fatalf("first: %+v", first.Receipt)
	}
	again, other := b.ask(t, cachedCall(t, "a2", "ann", true))
	r := again.Receipt
	if other != text || !r.Cached || r.Charge != 0 || r.Released != r.Hold || r.Outcome != credit.Finished || r.FinishReason != "stop" || len(r.Attempts) != 0 || r.Tokens != first.Receipt.Tokens {
		t.Errorf("again: %q, %+v", other, r)
	}
	whole, _ := b.ask(t, cachedCall(t, "a3", "ann", false))
	if !whole.Receipt.Cached || !bytes.Contains(whole.Body, []byte(`"finish_reason":"stop"`)) {
		t.Errorf("as a whole: %+v, %s", whole.Receipt, whole.Body)
	}
	if r, _ := b.ask(t, call(t, "a4", "ann", "plain", true, 100)); r.Receipt.Cached {
		t.Error("a call that does not allow it is answered from the cache")
	}
	if r, _ := b.ask(t, cachedCall(t, "b1", "bob", true)); r.Receipt.Cached {
		t.Error("bob gets what was said to ann")
	}
	kept, err := b.ledger.Receipt(t.Context(), "ann", "a2")
	if err != nil || !kept.Cached || kept.Charge != 0 {
		t.Errorf("the receipt that is kept: %+v, %v", kept, err)
	}
	b.check(t)
}

// Requests that come together are one call and one charge.
func TestCachedTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{Pieces: 50, PieceDelay: time.Millisecond} })
	b.grant(t, "ann", money.Dollar)
	var work sync.WaitGroup
	var mu sync.Mutex
	paid, texts := 0, map[string]int{}
	for i := range 20 {
		c := cachedCall(t, fmt.Sprint("a", i), "ann", true)
		work.Go(func() {
			answer, text := b.ask(t, c)
			mu.Lock()
			defer mu.Unlock()
			texts[text]++
			if answer.Receipt.Charge > 0 {
				paid++
			}
		})
	}
	work.Wait()
	if paid != 1 || len(texts) != 1 {
		t.Errorf("%d of 20 are paid, %d texts", paid, len(texts))
	}
	b.check(t)
}

// Who stops a cached answer, or waiting for one, pays nothing.
func TestCachedStopped(t *testing.T) {
	t.Parallel()
	began, gate := make(chan struct{}), make(chan struct{})
	b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{Pieces: 20} })
	b.grant(t, "ann", money.Dollar)
	var work sync.WaitGroup
	work.Go(func() {
		ticket, err := b.admit(t, cachedCall(t, "a1", "ann", true))
		if err != nil {
			t.Error(err)
			return
		}
		once := sync.OnceFunc(func() { close(began); <-gate })
		if _, err := ticket.Stream(context.Background(), gateway.Reader{Event: func(*llm.Event) error { once(); return nil }}); err != nil {
			t.Error(err)
		}
	})
	<-began
	ticket, err := b.admit(t, cachedCall(t, "a2", "ann", true))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if answer, err := ticket.Stream(ctx, deaf()); !errors.Is(err, context.Canceled) || answer.Receipt.Charge != 0 {
		t.Errorf("who waited: %v, %+v", err, answer.Receipt)
	}
	close(gate)
	work.Wait()
	if ticket, err = b.admit(t, cachedCall(t, "a3", "ann", true)); err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	answer, err := ticket.Stream(t.Context(), gateway.Reader{Event: func(*llm.Event) error { return gone }})
	if r := answer.Receipt; !errors.Is(err, context.Canceled) || r.Charge != 0 || r.Outcome != credit.Stopped || !r.Cached {
		t.Errorf("who stopped: %v, %+v", err, r)
	}
	b.check(t)
}
