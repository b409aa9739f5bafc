package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/credit"
	"onemind/internal/money"
)

// Credits holds a credit.Store to its words. open gives one without any entries.
func Credits(t *testing.T, open func(*testing.T) credit.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, credit.Store)
	}{
		{"eight racing holds", creditRace},
		{"a thousand racing holds", creditCrowd},
		{"hold", creditHold},
		{"hold twice", creditHoldTwice},
		{"settle", creditSettle},
		{"settle twice at once", creditSettleRace},
		{"post", creditPost},
		{"post twice at once", creditPostRace},
		{"references", creditReferences},
		{"progress", creditProgress},
		{"open holds", creditOpen},
		{"lists", creditLists},
		{"usage", creditUsage},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := open(t)
			test.run(t, store)
			cleanBooks(t, store)
		})
	}
	t.Run("daily caps", func(t *testing.T) { creditDays(t, open) })
	t.Run("state machine", func(t *testing.T) { creditMachine(t, open) })
}

func fails(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func grant(t testing.TB, s credit.Store, user string, amount money.Amount) {
	t.Helper()
	_, err := s.Post(context.Background(), credit.Entry{User: user, Kind: credit.Grant, Amount: amount, Ref: "grant", Reason: "test", At: epoch()})
	check(t, err)
}

func holdOf(user, ref string, least, most money.Amount) credit.Hold {
	return credit.Hold{Ref: ref, User: user, Owner: "boot1", AtLeast: least, AtMost: most, Terms: []byte(`{"model":"m"}`), At: epoch()}
}

func receiptOf(user, ref string, charge money.Amount) credit.Receipt {
	return credit.Receipt{ID: ref, RequestID: "req_" + ref, User: user, Run: "run_1", Model: "gpt-4o", ServedBy: "gpt-4o", Provider: "openai",
		Outcome: credit.Finished, FinishReason: "stop", Tokens: money.Tokens{Input: 10, CachedInput: 2, Output: 5, Reasoning: 1}, CountedBy: "provider",
		PriceVersion: "gpt-4o@1", Rates: money.Rates{Input: 7, Output: 9}, Markup: 3000, Charge: charge, Revision: 4,
		StartedAt: epoch(), FinishedAt: epoch().Add(1234 * time.Millisecond), FirstTokenMS: 40, TotalMS: 1234}
}

func balance(t testing.TB, s credit.Store, user string, total, held money.Amount) {
	t.Helper()
	b, err := s.Balance(context.Background(), user)
	check(t, err)
	if b.Total != total || b.Held != held {
		t.Errorf("%s has %d with %d held, want %d with %d", user, b.Total, b.Held, total, held)
	}
}

// cleanBooks proves the books by the store's own figures.
func cleanBooks(t testing.TB, s credit.Store) credit.Sums {
	t.Helper()
	report, err := credit.NewLedger(s, nil, func(string) {}).Check(context.Background())
	check(t, err)
	if !report.OK {
		t.Errorf("the books are wrong: %q", report.Problems)
	}
	return report.Sums
}

// However many callers race, the free balance never goes below zero.
func creditRace(t *testing.T, s credit.Store) {
	for _, tt := range []struct {
		name  string
		funds money.Amount
		want  int64 // of eight racing holds of one cent, how many may win
	}{
		{"a hair short of four", 4*money.Credit - 1, 3},
		{"enough for all", 8 * money.Credit, 8},
	} {
		grant(t, s, tt.name, tt.funds)
		if won := race(t, s, tt.name, 8); won != tt.want {
			t.Errorf("%s: %d holds won, want %d", tt.name, won, tt.want)
		}
		balance(t, s, tt.name, tt.funds, money.Amount(tt.want)*money.Credit)
	}
}

func creditCrowd(t *testing.T, s credit.Store) {
	grant(t, s, "crowd", 10*money.Credit)
	if won := race(t, s, "crowd", 1000); won != 10 {
		t.Errorf("%d holds won, want 10", won)
	}
}

// race lets n callers hold one credit each and counts who got one.
func race(t *testing.T, s credit.Store, user string, n int) int64 {
	t.Helper()
	var won atomic.Int64
	var racers sync.WaitGroup
	for i := range n {
		racers.Go(func() {
			_, err := s.Hold(context.Background(), holdOf(user, fmt.Sprint(user, i), money.Credit, money.Credit))
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, credit.ErrShort) {
				t.Error(err)
			}
		})
	}
	racers.Wait()
	return won.Load()
}

func creditHold(t *testing.T, s credit.Store) {
	ctx := context.Background()
	_, err := s.Hold(ctx, holdOf("u", "early", 1, 10))
	fails(t, "a hold of a user without a balance", err, credit.ErrShort)
	if got, err := s.Hold(ctx, holdOf("u", "free", 0, 10)); err != nil || got != 0 {
		t.Errorf("a hold of at least nothing: %d, %v", got, err)
	}
	grant(t, s, "u", 100)
	if got, err := s.Hold(ctx, holdOf("u", "a", 10, 70)); err != nil || got != 70 {
		t.Errorf("%d, %v, want 70", got, err)
	}
	_, err = s.Hold(ctx, holdOf("u", "b", 31, 70))
	fails(t, "31 of 30", err, credit.ErrShort)
	if got, err := s.Hold(ctx, holdOf("u", "c", 30, 70)); err != nil || got != 30 {
		t.Errorf("%d, %v, want what is left: 30", got, err)
	}
	balance(t, s, "u", 100, 100)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Hold(ended, holdOf("u", "late", 0, 0)); err == nil {
		t.Error("a hold for a caller that has gone")
	}
}

func creditHoldTwice(t *testing.T, s credit.Store) {
	ctx := context.Background()
	grant(t, s, "u", 100)
	grant(t, s, "v", 100)
	for range 3 {
		if got, err := s.Hold(ctx, holdOf("u", "a", 10, 60)); err != nil || got != 60 {
			t.Fatalf("%d, %v, want the first answer: 60", got, err)
		}
	}
	balance(t, s, "u", 100, 60)
	_, err := s.Hold(ctx, holdOf("v", "a", 10, 60))
	fails(t, "another user's reference", err, credit.ErrReused)
	_, _, err = s.Settle(ctx, receiptOf("u", "a", 25))
	check(t, err)
	if got, err := s.Hold(ctx, holdOf("u", "a", 10, 60)); err != nil || got != 60 {
		t.Errorf("%d, %v after it was settled, want the first answer: 60", got, err)
	}
	_, err = s.Hold(ctx, holdOf("v", "a", 10, 60))
	fails(t, "another user's settled reference", err, credit.ErrReused)
	balance(t, s, "u", 75, 0)
	balance(t, s, "v", 100, 0)
}

func creditSettle(t *testing.T, s credit.Store) {
	ctx := context.Background()
	grant(t, s, "u", 100)
	_, _, err := s.Settle(ctx, receiptOf("u", "none", 1))
	fails(t, "settling what was never held", err, credit.ErrNoHold)
	for _, ref := range []string{"paid", "free"} {
		_, err := s.Hold(ctx, holdOf("u", ref, 40, 40))
		check(t, err)
	}
	want := receiptOf("u", "paid", 33)
	got, closed, err := s.Settle(ctx, want)
	if err != nil || !closed || !reflect.DeepEqual(got, want) {
		t.Errorf("closed %v, %v:\n%+v, want\n%+v", closed, err, got, want)
	}
	if _, closed, err := s.Settle(ctx, receiptOf("u", "free", 0)); err != nil || !closed {
		t.Errorf("for nothing: closed %v, %v", closed, err)
	}
	balance(t, s, "u", 67, 0)
	got, closed, err = s.Settle(ctx, receiptOf("u", "paid", 40))
	if err != nil || closed || !reflect.DeepEqual(got, want) {
		t.Errorf("again: closed %v, %v:\n%+v, want the first\n%+v", closed, err, got, want)
	}
	entries, err := s.Entries(ctx, "u", credit.Page{Limit: 10})
	check(t, err)
	if len(entries) != 2 || entries[0].Amount != -33 || entries[0].Kind != credit.Charged || entries[0].Ref != "paid" ||
		entries[0].Model != "gpt-4o" || !entries[0].At.Equal(want.FinishedAt) {
		t.Errorf("entries %+v, want the charge and the grant; nothing costs no entry", entries)
	}
	if _, err := s.Hold(ctx, holdOf("u", "over", 5, 5)); err != nil {
		t.Fatal(err)
	}
	if _, closed, err := s.Settle(ctx, receiptOf("u", "over", 6)); err == nil || closed {
		t.Error("a charge above its hold is taken")
	}
	balance(t, s, "u", 67, 5)
}

func creditSettleRace(t *testing.T, s credit.Store) {
	ctx := context.Background()
	grant(t, s, "u", 100)
	_, err := s.Hold(ctx, holdOf("u", "a", 50, 50))
	check(t, err)
	var closed atomic.Int64
	var racers sync.WaitGroup
	charges := make([]money.Amount, 20)
	for i := range charges {
		racers.Go(func() {
			r, won, err := s.Settle(ctx, receiptOf("u", "a", money.Amount(i+1)))
			if err != nil {
				t.Error(err)
			}
			if won {
				closed.Add(1)
			}
			charges[i] = r.Charge
		})
	}
	racers.Wait()
	if closed.Load() != 1 {
		t.Errorf("%d settlements closed the hold, want 1", closed.Load())
	}
	for _, c := range charges {
		if c != charges[0] {
			t.Fatalf("the settlements do not agree on the receipt: %v", charges)
		}
	}
	balance(t, s, "u", 100-charges[0], 0)
}

func creditPost(t *testing.T, s credit.Store) {
	ctx := context.Background()
	e := credit.Entry{User: "u", Kind: credit.Grant, Amount: 100, Ref: "k1", Reason: "welcome", Actor: "admin", At: epoch()}
	first, err := s.Post(ctx, e)
	check(t, err)
	want := e
	want.ID = first.ID
	if first != want || first.ID == 0 {
		t.Errorf("posted %+v, want %+v", first, want)
	}
	e.At = e.At.Add(time.Hour)
	if again, err := s.Post(ctx, e); err != nil || again != first {
		t.Errorf("an equal entry: %+v, %v, want the first", again, err)
	}
	for name, change := range map[string]func(*credit.Entry){
		"amount": func(e *credit.Entry) { e.Amount = 101 },
		"kind":   func(e *credit.Entry) { e.Kind = credit.Refund },
		"reason": func(e *credit.Entry) { e.Reason = "again" },
	} {
		other := e
		change(&other)
		_, err := s.Post(ctx, other)
		fails(t, "the same reference with another "+name, err, credit.ErrReused)
	}
	if _, err := s.Post(ctx, credit.Entry{User: "v", Kind: credit.Grant, Amount: 7, Ref: "k1", Reason: "theirs", At: epoch()}); err != nil {
		t.Errorf("another user's entry under the same reference: %v", err)
	}
	_, err = s.Hold(ctx, holdOf("u", "a", 40, 40))
	check(t, err)
	_, err = s.Post(ctx, credit.Entry{User: "u", Kind: credit.Adjustment, Amount: -61, Ref: "k2", At: epoch()})
	fails(t, "taking 61 of 60 available", err, credit.ErrShort)
	_, err = s.Post(ctx, credit.Entry{User: "nobody", Kind: credit.Adjustment, Amount: -1, Ref: "k2", At: epoch()})
	fails(t, "taking from nobody", err, credit.ErrShort)
	if _, err := s.Post(ctx, credit.Entry{User: "u", Kind: credit.Adjustment, Amount: -60, Ref: "k2", At: epoch()}); err != nil {
		t.Errorf("taking 60 of 60, after a refusal under the same reference: %v", err)
	}
	balance(t, s, "u", 40, 40)
}

func creditPostRace(t *testing.T, s credit.Store) {
	var racers sync.WaitGroup
	ids := make([]int64, 20)
	for i := range ids {
		racers.Go(func() {
			e, err := s.Post(context.Background(), credit.Entry{User: "u", Kind: credit.Grant, Amount: 5, Ref: "k", At: epoch()})
			if err != nil {
				t.Error(err)
			}
			ids[i] = e.ID
		})
	}
	racers.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("posted more than once: %v", ids)
		}
	}
	balance(t, s, "u", 5, 0)
}

// An answer's id and an idempotency key never stand for two things, so that no
// grant can keep an answer from being settled.
func creditReferences(t *testing.T, s credit.Store) {
	ctx := context.Background()
	grant(t, s, "u", 100)
	_, err := s.Hold(ctx, holdOf("u", "ans", 10, 10))
	check(t, err)
	refund := credit.Entry{User: "u", Kind: credit.Refund, Amount: 1, Ref: "ans", At: epoch()}
	_, err = s.Post(ctx, refund)
	fails(t, "an entry under an open hold's reference", err, credit.ErrReused)
	_, _, err = s.Settle(ctx, receiptOf("u", "ans", 0))
	check(t, err)
	_, err = s.Post(ctx, refund)
	fails(t, "an entry under a settled hold's reference", err, credit.ErrReused)
	_, err = s.Hold(ctx, holdOf("u", "grant", 1, 1))
	fails(t, "a hold under an entry's reference", err, credit.ErrReused)
	balance(t, s, "u", 100, 0)
}
