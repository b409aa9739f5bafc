package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"onemind/internal/fault"
	"onemind/internal/limit"
)

// epoch is the start of a minute long ago; tests that have a clock start there.
func epoch() time.Time { return time.UnixMilli(1_790_000_040_000).Truncate(time.Minute).UTC() }

// Limiter holds a limit.Limiter to its words. open gives one that has seen nobody,
// or whose keys no other test uses.
func Limiter(t *testing.T, open func(*testing.T) limit.Limiter) {
	t.Run("all or nothing", func(t *testing.T) { limiterAllOrNothing(t, open(t)) })
	t.Run("window edge", func(t *testing.T) { limiterEdge(t, open(t)) })
	t.Run("retry is truthful", func(t *testing.T) { limiterRetry(t, open(t)) })
	t.Run("one heavy user", func(t *testing.T) { limiterHeavy(t, open(t)) })
	t.Run("unlimited and one key twice", func(t *testing.T) { limiterOddBuckets(t, open(t)) })
	t.Run("race", func(t *testing.T) { limiterRace(t, open(t)) })
	t.Run("leases", func(t *testing.T) { limiterLeases(t, open(t)) })
	t.Run("together", func(t *testing.T) { limiterTogether(t, open(t)) })
	t.Run("model", func(t *testing.T) { limiterModel(t, open) })
}

func take(t testing.TB, l limit.Limiter, at time.Time, buckets ...limit.Bucket) limit.Verdict {
	t.Helper()
	v, err := l.Take(context.Background(), at, buckets, limit.Lease{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func limiterAllOrNothing(t *testing.T, l limit.Limiter) {
	wide := limit.Bucket{Key: "ratelimit:{aon}", Scope: "user", Max: 5, Take: 1}
	narrow := limit.Bucket{Key: "ratelimit:{aon}:p", Scope: "user_provider", Max: 1, Take: 1}
	v := take(t, l, epoch(), wide, narrow)
	if !v.OK || v.Denied != -1 || len(v.States) != 2 || v.Retry != 0 {
		t.Fatalf("first: %+v", v)
	}
	if s := v.States[0]; s.Scope != "user" || s.Max != 5 || s.Remaining != 4 || s.Reset != 2*time.Minute {
		t.Errorf("state after the first: %+v", s)
	}
	v = take(t, l, epoch(), wide, narrow)
	if v.OK || v.Denied != 1 || v.Retry <= 0 || v.States[0].Remaining != 4 || v.States[1].Remaining != 0 {
		t.Errorf("the narrow bucket is empty, so nothing is taken from the wide one: %+v", v)
	}
	for range 4 {
		if v = take(t, l, epoch(), wide); !v.OK {
			t.Fatalf("the wide bucket lost a unit to a refused call: %+v", v)
		}
	}
	if v = take(t, l, epoch(), wide); v.OK || v.Denied != 0 {
		t.Errorf("a sixth: %+v", v)
	}
}

// A burst at the end of a minute leaves no second burst at the start of the next.
func limiterEdge(t *testing.T, l limit.Limiter) {
	b := limit.Bucket{Key: "ratelimit:{edge}", Scope: "user", Max: 30, Take: 1}
	count := func(at time.Time) (n int64) {
		for take(t, l, at, b).OK {
			n++
		}
		return n
	}
	if n := count(epoch().Add(59 * time.Second)); n != 30 {
		t.Errorf("%d in the first minute, want 30", n)
	}
	if n := count(epoch().Add(60 * time.Second)); n != 0 {
		t.Errorf("%d right after the edge, want 0", n)
	}
	if n := count(epoch().Add(90 * time.Second)); n != 15 {
		t.Errorf("%d half a minute later, want 15", n)
	}
	if n := count(epoch().Add(4 * time.Minute)); n != 30 {
		t.Errorf("%d after two quiet minutes, want 30", n)
	}
}

// A call that waits as long as it was told goes ahead; one that comes a
// millisecond early does not.
func limiterRetry(t *testing.T, l limit.Limiter) {
	for i, units := range []int64{1, 3, 7} {
		at := epoch().Add(time.Duration(i)*time.Hour + 12_345*time.Millisecond)
		b := limit.Bucket{Key: fmt.Sprintf("ratelimit:{retry%d}", i), Scope: "user", Max: 7, Take: 1}
		for range 7 {
			if v := take(t, l, at, b); !v.OK {
				t.Fatalf("filling up: %+v", v)
			}
		}
		b.Take = units
		v := take(t, l, at, b)
		if v.OK || v.Retry <= 0 || v.Retry > 2*time.Minute {
			t.Fatalf("full: %+v", v)
		}
		if early := take(t, l, at.Add(v.Retry-time.Millisecond), b); early.OK {
			t.Errorf("%d units went ahead a millisecond before the %s they were told", units, v.Retry)
		}
		if on := take(t, l, at.Add(v.Retry), b); !on.OK {
			t.Errorf("%d units are refused after the %s they were told: %+v", units, v.Retry, on)
		}
	}
}

func limiterHeavy(t *testing.T, l limit.Limiter) {
	bucket := func(user string) limit.Bucket {
		return limit.Bucket{Key: "ratelimit:{" + user + "}", Scope: "user", Max: 3, Take: 1}
	}
	for range 1000 {
		take(t, l, epoch(), bucket("heavy"))
	}
	for range 3 {
		if v := take(t, l, epoch(), bucket("light")); !v.OK {
			t.Fatalf("another user's calls count: %+v", v)
		}
	}
}

func limiterOddBuckets(t *testing.T, l limit.Limiter) {
	none := limit.Bucket{Key: "ratelimit:{odd}", Scope: "user", Take: 1}
	if v := take(t, l, epoch(), none); !v.OK || len(v.States) != 0 || v.Denied != -1 {
		t.Errorf("a bucket without a limit: %+v", v)
	}
	twice := limit.Bucket{Key: "ratelimit:{odd}:p", Scope: "user_provider", Max: 3, Take: 2}
	if v := take(t, l, epoch(), twice, twice); v.OK {
		t.Errorf("one key twice takes four of three: %+v", v)
	}
	if v := take(t, l, epoch(), twice); !v.OK || v.States[0].Remaining != 1 {
		t.Errorf("the refused call took something: %+v", v)
	}
	look := limit.Bucket{Key: "ratelimit:{odd}:p", Scope: "user_provider", Max: 3}
	if v := take(t, l, epoch(), look); !v.OK || v.States[0].Remaining != 1 {
		t.Errorf("taking nothing: %+v", v)
	}
}

func limiterRace(t *testing.T, l limit.Limiter) {
	user := limit.Bucket{Key: "ratelimit:{race}", Scope: "user", Max: 30, Take: 1}
	everyone := limit.Bucket{Key: "ratelimit:race", Scope: "global", Max: 20, Take: 1}
	var won atomic.Int64
	var racers sync.WaitGroup
	for range 200 {
		racers.Go(func() {
			v, err := l.Take(context.Background(), epoch(), []limit.Bucket{user, everyone}, limit.Lease{})
			if err != nil {
				t.Error(err)
			} else if v.OK {
				won.Add(1)
			}
		})
	}
	racers.Wait()
	if won.Load() != 20 {
		t.Errorf("%d calls went ahead, want 20", won.Load())
	}
	if v := take(t, l, epoch(), limit.Bucket{Key: user.Key, Scope: "user", Max: 30}); v.States[0].Remaining != 10 {
		t.Errorf("the user has %d left, want 10: refused calls took something", v.States[0].Remaining)
	}
}

func limiterLeases(t *testing.T, l limit.Limiter) {
	ctx := context.Background()
	acquire := func(n, most int64) (func(), bool) {
		t.Helper()
		v, err := l.Take(ctx, epoch(), nil, limit.Lease{Key: "answers:{lease}", N: n, Max: most})
		if err != nil || v.Release == nil || v.OK == v.Crowded {
			t.Fatalf("lease: %+v, %v", v, err)
		}
		return v.Release, v.OK
	}
	three, ok := acquire(3, 5)
	if !ok {
		t.Fatal("three of five are refused")
	}
	if refused, ok := acquire(3, 5); ok {
		t.Error("six of five are granted")
	} else {
		refused() // takes nothing back
	}
	two, ok := acquire(2, 5)
	if !ok {
		t.Error("five of five are refused: a refused call took some")
	}
	three()
	three()
	if _, ok := acquire(4, 5); ok {
		t.Error("releasing twice gave back twice")
	}
	two()
	var won atomic.Int64
	var racers sync.WaitGroup
	for range 100 {
		racers.Go(func() {
			if v, err := l.Take(ctx, epoch(), nil, limit.Lease{Key: "answers:{racers}", N: 1, Max: 15}); err != nil {
				t.Error(err)
			} else if v.OK {
				won.Add(1)
			}
		})
	}
	racers.Wait()
	if won.Load() != 15 {
		t.Errorf("%d leases of 15", won.Load())
	}
}

// Buckets and lease are one decision: when either refuses, neither is taken.
func limiterTogether(t *testing.T, l limit.Limiter) {
	ctx := context.Background()
	b := []limit.Bucket{{Key: "ratelimit:{together}", Scope: "user", Max: 3, Take: 1}}
	lease := limit.Lease{Key: "answers:{together}", N: 1, Max: 1}
	ask := func(what string) limit.Verdict {
		t.Helper()
		v, err := l.Take(ctx, epoch(), b, lease)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return v
	}
	first := ask("first")
	if !first.OK || first.States[0].Remaining != 2 {
		t.Fatalf("first: %+v", first)
	}
	if v := ask("crowded"); v.OK || !v.Crowded || v.Places != 1 || v.Denied != -1 || v.States[0].Remaining != 2 || !errors.Is(v.Err(), errAnswers) {
		t.Errorf("the only place is taken: %+v, %v", v, v.Err())
	}
	first.Release()
	b[0].Take = 3
	if v := ask("over the limit"); v.OK || v.Crowded || v.Denied != 0 {
		t.Errorf("three of two left: %+v", v)
	}
	b[0].Take = 2
	if v := ask("what is left"); !v.OK || v.States[0].Remaining != 0 {
		t.Errorf("a refused call took the place or a unit: %+v", v)
	}
}

// errAnswers is the refusal of a lease.
var errAnswers = &fault.Error{Code: "too_many_answers"}

// limiterModel compares every decision with the definition, in exact fractions.
func limiterModel(t *testing.T, open func(*testing.T) limit.Limiter) {
	l, round := open(t), 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		now := epoch().Add(time.Duration(round) * time.Hour)
		type count map[int64]int64 // units by number of minute
		model := map[string]count{}
		keys := []string{"a", "b", "c"}
		maxima := map[string]int64{"a": rapid.Int64Range(1, 20).Draw(t, "max a"), "b": rapid.Int64Range(1, 5).Draw(t, "max b"), "c": 0}
		used := func(key string) *big.Rat {
			minute, gone := now.UnixMilli()/60_000, now.UnixMilli()%60_000
			share := new(big.Rat).SetFrac64((60_000-gone)*model[key][minute-1], 60_000)
			return share.Add(share, new(big.Rat).SetInt64(model[key][minute]))
		}
		for range rapid.IntRange(1, 60).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.OneOf(rapid.Int64Range(0, 5_000), rapid.Int64Range(0, 130_000)).Draw(t, "ms later")) * time.Millisecond)
			var buckets []limit.Bucket
			want := true
			for _, key := range keys {
				if !rapid.Bool().Draw(t, key) {
					continue
				}
				b := limit.Bucket{Key: fmt.Sprintf("ratelimit:model:%d:%s", round, key), Scope: key, Max: maxima[key], Take: rapid.Int64Range(0, 4).Draw(t, "take")}
				buckets = append(buckets, b)
				after := used(key)
				after.Add(after, new(big.Rat).SetInt64(b.Take))
				want = want && (b.Max == 0 || after.Cmp(new(big.Rat).SetInt64(b.Max)) <= 0)
			}
			v, err := l.Take(context.Background(), now, buckets, limit.Lease{})
			if err != nil {
				t.Fatal(err)
			}
			if v.OK != want {
				t.Fatalf("took %v, the definition says %v: %+v", v.OK, want, v)
			}
			minute := now.UnixMilli() / 60_000
			at := 0
			for _, b := range buckets {
				if v.OK {
					if model[b.Scope] == nil {
						model[b.Scope] = count{}
					}
					model[b.Scope][minute] += b.Take
				}
				if b.Max == 0 {
					continue
				}
				u := used(b.Scope)
				if u.Cmp(new(big.Rat).SetInt64(b.Max)) > 0 {
					t.Fatalf("%s of %d are used", u, b.Max)
				}
				left := new(big.Rat).Sub(new(big.Rat).SetInt64(b.Max), u)
				if whole := new(big.Int).Quo(left.Num(), left.Denom()).Int64(); v.States[at].Remaining != whole || v.States[at].Scope != b.Scope {
					t.Fatalf("%+v, want %d left", v.States[at], whole)
				}
				at++
			}
		}
	})
}
