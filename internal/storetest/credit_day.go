package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/money"
)

// creditDays is what a store promises of daily caps.
func creditDays(t *testing.T, open func(*testing.T) credit.Store) {
	for name, run := range map[string]func(*testing.T, credit.Store){
		"a thousand racing holds":          dayCrowd,
		"a thousand racing holds of a key": keyCrowd,
		"what is left":                     dayLeft,
		"set at noon":                      dayNoon,
		"of a key":                         dayKey,
		"midnight":                         dayMidnight,
		"asked twice":                      dayTwice,
		"settled while others hold":        dayChurn,
	} {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			run(t, store)
			cleanBooks(t, store)
		})
	}
}

// capped is a hold of one amount under a cap of the user's day.
func capped(ref string, amount, dayCap money.Amount) credit.Hold {
	h := holdOf("u", ref, amount, amount)
	h.DayCap = dayCap
	return h
}

func takes(t *testing.T, s credit.Store, h credit.Hold, want money.Amount) {
	t.Helper()
	if got, err := s.Hold(context.Background(), h); err != nil || got != want {
		t.Errorf("%s: %d, %v, want %d", h.Ref, got, err, want)
	}
}

func refused(t *testing.T, s credit.Store, h credit.Hold) {
	t.Helper()
	got, err := s.Hold(context.Background(), h)
	if !errors.Is(err, credit.ErrDayCap) {
		t.Errorf("%s: %d, %v, want %v", h.Ref, got, err, credit.ErrDayCap)
	}
}

func settles(t *testing.T, s credit.Store, ref string, charge money.Amount) {
	t.Helper()
	if _, closed, err := s.Settle(context.Background(), receiptOf("u", ref, charge)); err != nil || !closed {
		t.Errorf("settle %s: closed %v, %v", ref, closed, err)
	}
}

// crowd lets a thousand callers hold one credit each and counts who got one.
func crowd(t *testing.T, s credit.Store, of func(int) credit.Hold) int64 {
	t.Helper()
	var won atomic.Int64
	var racers sync.WaitGroup
	for i := range 1000 {
		racers.Go(func() {
			got, err := s.Hold(context.Background(), of(i))
			switch {
			case err == nil && got == money.Credit:
				won.Add(1)
			case !errors.Is(err, credit.ErrDayCap):
				t.Errorf("%d: %d, %v", i, got, err)
			}
		})
	}
	racers.Wait()
	return won.Load()
}

// However many race, no more is held than the cap of the day.
func dayCrowd(t *testing.T, s credit.Store) {
	grant(t, s, "u", money.Dollar*1000)
	if won := crowd(t, s, func(i int) credit.Hold { return capped(fmt.Sprint("r", i), money.Credit, 11*money.Credit-1) }); won != 10 {
		t.Errorf("%d holds won, want 10", won)
	}
	balance(t, s, "u", money.Dollar*1000, 10*money.Credit)
}

// The same with a key's cap, beside calls without a key and by another one.
func keyCrowd(t *testing.T, s credit.Store) {
	grant(t, s, "u", money.Dollar*1000)
	if won := crowd(t, s, func(i int) credit.Hold {
		h := holdOf("u", fmt.Sprint("r", i), money.Credit, money.Credit)
		if i%10 < 8 {
			h.Key, h.KeyCap = "key1", 10*money.Credit
		} else if i%10 == 8 {
			h.Key = "key2"
		}
		return h
	}); won != 10+200 {
		t.Errorf("%d holds won, want 10 by the capped key and 200 others", won)
	}
}

func dayLeft(t *testing.T, s credit.Store) {
	grant(t, s, "u", 1000)
	refused(t, s, capped("never", 101, 100))
	takes(t, s, capped("a", 60, 100), 60)
	part := capped("b", 90, 100)
	part.AtLeast = 40
	takes(t, s, part, 40)
	_, err := s.Hold(context.Background(), capped("c", 1, 100))
	f := fault.From(err)
	if !errors.Is(err, credit.ErrDayCap) || f.Kind != fault.Limited || f.Retry <= 0 || f.Retry > 24*time.Hour || !epoch().Add(f.Retry).Equal(epoch().Truncate(24*time.Hour).Add(24*time.Hour)) {
		t.Errorf("%v, again after %s, want it until midnight", err, f.Retry)
	}
	settles(t, s, "a", 25) // 35 come back
	refused(t, s, capped("d", 36, 100))
	takes(t, s, capped("e", 35, 100), 35)
	settles(t, s, "b", 40)
	refused(t, s, capped("f", 1, 100))
	takes(t, s, capped("g", 50, 150), 50) // raised
	refused(t, s, capped("h", 1, 20))     // lowered under what is spent
	nothing := capped("i", 0, 20)
	nothing.AtMost = 5
	takes(t, s, nothing, 0)
	takes(t, s, capped("j", 10, 0), 10) // lifted
	settles(t, s, "e", 0)
	settles(t, s, "j", 5)
	refused(t, s, capped("k", 6, 125)) // 25 + 40 + 50 + 5
	takes(t, s, capped("l", 5, 125), 5)
	poor := capped("m", 900, 0)
	poor.DayCap = 10_000
	_, err = s.Hold(context.Background(), poor)
	fails(t, "more than there is, under the cap", err, credit.ErrShort)
	balance(t, s, "u", 930, 55)
}

// A cap set at noon counts the morning: what is charged and what is held.
func dayNoon(t *testing.T, s credit.Store) {
	grant(t, s, "u", 1000)
	for i, key := range []string{"", "key1", "key2", "key1"} {
		h := capped(fmt.Sprint("morning", i), 50, 0)
		h.Key = key
		takes(t, s, h, 50)
	}
	yesterday := capped("yesterday", 300, 0)
	yesterday.At = epoch().Add(-24 * time.Hour)
	takes(t, s, yesterday, 300)
	settles(t, s, "yesterday", 300) // today, but it was held for yesterday
	settles(t, s, "morning0", 20)
	settles(t, s, "morning1", 30)
	// 20 + 30 + 50 + 50 by the user, 30 + 50 by the first key
	refused(t, s, capped("noon", 11, 160))
	takes(t, s, capped("noon", 10, 160), 10)
	byKey := capped("key", 21, 0)
	byKey.Key, byKey.KeyCap = "key1", 100
	refused(t, s, byKey)
	byKey.AtLeast, byKey.AtMost = 20, 20
	takes(t, s, byKey, 20)
	settles(t, s, "morning3", 10) // a hold from before the row: 40 come back to both
	byKey.Ref, byKey.AtLeast, byKey.AtMost = "more", 40, 41
	takes(t, s, byKey, 40)
	refused(t, s, capped("evening", 1, 180))
}

func dayKey(t *testing.T, s credit.Store) {
	grant(t, s, "u", 1000)
	of := func(ref, key string, amount, keyCap, dayCap money.Amount) credit.Hold {
		h := capped(ref, amount, dayCap)
		h.Key, h.KeyCap = key, keyCap
		return h
	}
	takes(t, s, of("a", "key1", 30, 50, 0), 30)
	refused(t, s, of("b", "key1", 21, 50, 0))
	takes(t, s, of("c", "key2", 40, 50, 100), 40)
	takes(t, s, of("d", "", 20, 50, 100), 20) // a cap of no key
	refused(t, s, of("e", "key2", 11, 60, 100))
	takes(t, s, of("f", "key2", 10, 60, 100), 10)
	refused(t, s, of("g", "key1", 20, 50, 100)) // the key has 20 left, the user nothing
	settles(t, s, "c", 5)
	takes(t, s, of("h", "key1", 20, 50, 100), 20)
	refused(t, s, of("i", "key1", 1, 50, 100)) // the user has 15 left, the key nothing
	takes(t, s, of("j", "key2", 15, 60, 100), 15)
	holds, err := s.Open(context.Background(), epoch().Add(time.Hour))
	check(t, err)
	for _, h := range holds {
		if h.Ref == "h" && h.Key != "key1" {
			t.Errorf("the open hold does not name its key: %+v", h)
		}
	}
}

// A hold counts for the day it began on, wherever it ends.
func dayMidnight(t *testing.T, s credit.Store) {
	grant(t, s, "u", 1000)
	at := func(ref string, amount money.Amount, day int) credit.Hold {
		h := capped(ref, amount, 100)
		h.At = epoch().Truncate(24*time.Hour).AddDate(0, 0, day).Add(-time.Millisecond)
		return h
	}
	takes(t, s, at("a", 100, 1), 100)
	takes(t, s, at("b", 90, 2), 90)
	settles(t, s, "a", 30)
	refused(t, s, at("c", 11, 2))
	takes(t, s, at("d", 10, 2), 10)
	refused(t, s, at("e", 71, 1)) // a late one of the day before
	takes(t, s, at("f", 70, 1), 70)
	takes(t, s, at("g", 100, 9), 100)
	settles(t, s, "b", 0)
	settles(t, s, "d", 0)
	takes(t, s, at("h", 100, 10), 100)
	after := capped("i", 100, 100)
	after.At = epoch().Truncate(24*time.Hour).AddDate(0, 0, 10)
	takes(t, s, after, 100) // a millisecond later it is another day
}

// A retry gets the first answer, whatever the cap leaves by then.
func dayTwice(t *testing.T, s credit.Store) {
	grant(t, s, "u", 1000)
	for range 3 {
		takes(t, s, capped("a", 60, 100), 60)
	}
	takes(t, s, capped("b", 30, 100), 30)
	takes(t, s, capped("b", 30, 100), 30)
	settles(t, s, "b", 10)
	takes(t, s, capped("b", 30, 100), 30)
	takes(t, s, capped("c", 30, 100), 30)
	refused(t, s, capped("d", 1, 100))
	takes(t, s, capped("a", 60, 100), 60)
	grant(t, s, "v", 1000)
	theirs := holdOf("v", "a", 60, 60)
	theirs.DayCap = 10
	_, err := s.Hold(context.Background(), theirs)
	fails(t, "another user's reference, over the cap", err, credit.ErrReused)
}

// Holds come and go at once, with and without caps, by several keys; at no moment
// more is spent and held than the cap, and in the end it is known to the last unit.
func dayChurn(t *testing.T, s credit.Store) {
	const dayCap = 20_000
	grant(t, s, "u", money.Dollar)
	var spent, held atomic.Int64
	var work sync.WaitGroup
	for w := range 40 {
		work.Go(func() {
			for i := range 20 {
				h := capped(fmt.Sprint("c", w, ".", i), 500, dayCap)
				h.Key = fmt.Sprint("key", w%3)
				if w%3 == 0 {
					h.KeyCap = 9000
				}
				if _, err := s.Hold(context.Background(), h); errors.Is(err, credit.ErrDayCap) {
					continue
				} else if err != nil {
					t.Error(err)
					return
				}
				if now := held.Add(500) + spent.Load(); now > dayCap {
					t.Errorf("%d are spent and held under a cap of %d", now, dayCap)
				}
				charge := money.Amount(w + i)
				held.Add(-500) // before it is so: what another then takes is counted
				if _, _, err := s.Settle(context.Background(), receiptOf("u", h.Ref, charge)); err != nil {
					t.Error(err)
				}
				spent.Add(int64(charge))
			}
		})
	}
	work.Wait()
	left := money.Amount(dayCap - spent.Load())
	refused(t, s, capped("over", left+1, dayCap))
	takes(t, s, capped("rest", left, dayCap), left)
}
