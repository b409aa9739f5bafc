package limit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"onemind/internal/limit"
	"onemind/internal/memory"
	"onemind/internal/storetest"
)

// switched is a limiter that can be cut off.
type switched struct {
	limit.Limiter
	away bool
}

func (s *switched) Take(ctx context.Context, now time.Time, b []limit.Bucket, l limit.Lease) (limit.Verdict, error) {
	if s.away {
		return limit.Verdict{}, errors.New("nobody answers")
	}
	return s.Limiter.Take(ctx, now, b, l)
}

func TestSharedKeepsTheContract(t *testing.T) {
	storetest.Limiter(t, func(*testing.T) limit.Limiter {
		return limit.NewShared(memory.NewLimiter(), memory.NewLimiter(), func() int { return 1 })
	})
	t.Run("alone", func(t *testing.T) {
		storetest.Limiter(t, func(*testing.T) limit.Limiter {
			return limit.NewShared(&switched{memory.NewLimiter(), true}, memory.NewLimiter(), func() int { return 1 })
		})
	})
}

// Cut off, three instances grant a third of the limit each, what each granted
// before counts, and all is as before when the line is back.
func TestDegraded(t *testing.T) {
	now := time.UnixMilli(1_790_000_040_000)
	together := &switched{Limiter: memory.NewLimiter()}
	var instances []*limit.Shared
	for range 3 {
		instances = append(instances, limit.NewShared(together, memory.NewLimiter(), func() int { return 3 }))
	}
	bucket := []limit.Bucket{{Key: "ratelimit:{ann}", Scope: "user", Max: 30, Take: 1}}
	take := func(i int) limit.Verdict {
		t.Helper()
		v, err := instances[i].Take(t.Context(), now, bucket, limit.Lease{Key: "answers:{ann}", N: 1, Max: 15})
		if err != nil {
			t.Fatal(err)
		}
		v.Release()
		return v
	}
	for range 6 {
		if v := take(0); !v.OK || v.Degraded {
			t.Fatalf("together: %+v", v)
		}
	}
	together.away = true
	granted := []int{}
	for i := range instances {
		n := 0
		for take(i).OK {
			n++
		}
		granted = append(granted, n)
	}
	if granted[0] != 4 || granted[1] != 10 || granted[2] != 10 {
		t.Errorf("granted alone %v, want 4, 10 and 10", granted)
	}
	if v := take(1); v.OK || !v.Degraded || v.States[0].Max != 10 {
		t.Errorf("an eleventh: %+v", v)
	}
	if on, n := instances[1].Degraded(); !on || n != 12 {
		t.Errorf("degraded %v after %d decisions", on, n)
	}
	together.away = false
	if v := take(1); !v.OK || v.Degraded || v.States[0].Max != 30 {
		t.Errorf("together again: %+v", v)
	}
	if on, _ := instances[1].Degraded(); on {
		t.Error("still degraded")
	}
}
