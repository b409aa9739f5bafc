package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/limit"
	"onemind/internal/redis"
	"onemind/internal/storetest"
)

func TestLimiter(t *testing.T) {
	storetest.Limiter(t, func(t *testing.T) limit.Limiter {
		return redis.NewLimiter(empty(t), redis.LimiterOptions{CallerTime: true})
	})
}

func TestLimiterInACluster(t *testing.T) {
	storetest.Limiter(t, func(t *testing.T) limit.Limiter {
		return redis.NewLimiter(emptyCluster(t), redis.LimiterOptions{CallerTime: true})
	})
}

// Instances whose clocks are seconds and hours apart share one window, by
// Redis's clock, however many ask at once.
func TestLimiterGoesByRedisTime(t *testing.T) {
	flush(t)
	skews := []time.Duration{-2 * time.Hour, -5 * time.Second, 5 * time.Second, 2 * time.Hour}
	var instances []*redis.Limiter
	for range skews {
		instances = append(instances, redis.NewLimiter(dial(t, single.URL()), redis.LimiterOptions{}))
	}
	bucket := []limit.Bucket{{Key: "ratelimit:{u}", Scope: "user", Max: 30, Take: 1}}
	var granted, unknown atomic.Int64
	var work sync.WaitGroup
	start := time.Now()
	for i := range 1000 {
		l, skew := instances[i%len(instances)], skews[i%len(skews)]
		work.Go(func() {
			v, err := l.Take(t.Context(), time.Now().Add(skew), bucket, limit.Lease{})
			switch {
			case errors.Is(err, redis.ErrDown): // more at once than a small machine serves in time: it may have taken one
				unknown.Add(1)
			case err != nil:
				t.Error(err)
			case v.OK:
				granted.Add(1)
			}
		})
	}
	work.Wait()
	slid := int64(30*time.Since(start)/time.Minute) + 1
	if g := granted.Load(); g > 30+slid || g+unknown.Load() < 30 {
		t.Errorf("%d were granted and %d are unknown, want 30", g, unknown.Load())
	}
}

// A clock that is set right or wrong while the limiter runs changes nothing.
func TestLimiterClockJumps(t *testing.T) {
	l := redis.NewLimiter(empty(t), redis.LimiterOptions{})
	bucket := []limit.Bucket{{Key: "ratelimit:{u}", Scope: "user", Max: 100, Take: 1}}
	for i, jump := range []time.Duration{0, 2 * time.Hour, -2 * time.Hour, 5 * time.Second, -24 * time.Hour, 0} {
		v, err := l.Take(t.Context(), time.Now().Add(jump), bucket, limit.Lease{})
		if err != nil || !v.OK || v.States[0].Remaining < int64(99-i) || v.States[0].Remaining > int64(100-i) {
			t.Errorf("%s away: %+v, %v", jump, v, err)
		}
	}
}

// A decision over three buckets and a lease is one command.
func TestLimiterIsOneCommand(t *testing.T) {
	l := redis.NewLimiter(empty(t), redis.LimiterOptions{})
	ask := func() {
		t.Helper()
		if _, err := l.Take(t.Context(), time.Now(), []limit.Bucket{{Key: "ratelimit:{u}", Scope: "user", Max: 30, Take: 1},
			{Key: "ratelimit:{u}:p", Scope: "user_provider", Max: 1000, Take: 1}, {Key: "ratelimit:global", Scope: "global", Max: 100000, Take: 1}},
			limit.Lease{Key: "answers:{u}", N: 1, Max: 100}); err != nil {
			t.Fatal(err)
		}
	}
	ask() // loads the script
	if err := command(t, single.Addr(), "CONFIG", "RESETSTAT").Error(); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		ask()
	}
	if n := evaluations(t); n != 50 {
		t.Errorf("50 decisions were %d commands", n)
	}
}

// evaluations is how many scripts ran since the last reset, none of them sent anew.
func evaluations(t *testing.T) (n int) {
	t.Helper()
	stats, err := command(t, single.Addr(), "INFO", "commandstats").ToString()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(stats) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_evalsha:calls="); ok {
			if _, err := fmt.Sscanf(rest, "%d", &n); err != nil {
				t.Fatal(err)
			}
		}
		if strings.HasPrefix(line, "cmdstat_eval:") {
			t.Error("the script is sent again")
		}
	}
	return n
}

// What a limiter leaves in Redis ends by itself.
func TestLimiterKeysExpire(t *testing.T) {
	l := redis.NewLimiter(empty(t), redis.LimiterOptions{})
	v, err := l.Take(t.Context(), time.Now(), []limit.Bucket{{Key: "ratelimit:{u}", Scope: "user", Max: 3, Take: 1}, {Key: "ratelimit:global", Scope: "global", Max: 3, Take: 1}},
		limit.Lease{Key: "answers:{u}", N: 1, Max: 1})
	if err != nil || !v.OK {
		t.Fatalf("%+v, %v", v, err)
	}
	keys, err := command(t, single.Addr(), "KEYS", "*").AsStrSlice()
	if err != nil || len(keys) != 3 {
		t.Fatalf("keys %v, %v", keys, err)
	}
	for _, key := range keys {
		if ms, err := command(t, single.Addr(), "PTTL", key).AsInt64(); err != nil || ms <= 0 || ms > 120_000 {
			t.Errorf("%s lives for %d ms, %v", key, ms, err)
		}
	}
}

func place(t *testing.T, l *redis.Limiter, key string) limit.Verdict {
	t.Helper()
	v, err := l.Take(t.Context(), time.Now(), nil, limit.Lease{Key: key, N: 1, Max: 1})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A lease of an instance that died is over by itself; one that is renewed is not.
func TestLeasesExpire(t *testing.T) {
	c := empty(t)
	dead, alive := redis.NewLimiter(c, redis.LimiterOptions{Lease: time.Second}), redis.NewLimiter(c, redis.LimiterOptions{Lease: time.Second})
	runs(t, alive.Run)
	kept := place(t, alive, "answers:{kept}")
	if !kept.OK || !place(t, dead, "answers:{lost}").OK {
		t.Fatal("the first of each is refused")
	}
	until(t, "the lost lease is over", func() bool { return place(t, alive, "answers:{lost}").OK })
	if v := place(t, dead, "answers:{kept}"); v.OK || !v.Crowded {
		t.Errorf("a lease that is renewed was given away: %+v", v)
	}
	kept.Release()
	until(t, "the released lease is free", func() bool { return place(t, dead, "answers:{kept}").OK })
}

// A thousand leases are renewed and given back in a handful of calls.
func TestLeasesGoTogether(t *testing.T) {
	c := empty(t)
	l := redis.NewLimiter(c, redis.LimiterOptions{Lease: 3 * time.Second})
	verdicts := make([]limit.Verdict, 1000)
	for i := range verdicts {
		verdicts[i] = place(t, l, fmt.Sprintf("answers:{u%d}", i))
	}
	for _, v := range verdicts {
		v.Release()
	}
	before := c.Stats().Calls
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if n := c.Stats().Calls - before; n > 10 {
		t.Errorf("1000 leases were given back in %d calls", n)
	}
	if n, err := command(t, single.Addr(), "DBSIZE").AsInt64(); err != nil || n != 0 {
		t.Errorf("%d leases are left, %v", n, err)
	}
}

// A call that Redis took and whose answer got lost does not keep its place.
func TestLeaseOfALostAnswer(t *testing.T) {
	r := own(t)
	l := redis.NewLimiter(open(t, r.URL(), redis.Options{Call: 500 * time.Millisecond}), redis.LimiterOptions{})
	place(t, l, "answers:{other}") // the connection stands, the script is loaded
	r.Pause()
	if v, err := l.Take(t.Context(), time.Now(), nil, limit.Lease{Key: "answers:{u}", N: 1, Max: 1}); !errors.Is(err, redis.ErrDown) {
		t.Fatalf("a paused Redis answers %+v, %v", v, err)
	}
	r.Resume()
	runs(t, l.Run)
	until(t, "the place is free", func() bool {
		n, err := command(t, r.Addr(), "ZCARD", "answers:{u}").AsInt64()
		return err == nil && n == 0
	})
	if v := place(t, l, "answers:{u}"); !v.OK {
		t.Errorf("the only place: %+v", v)
	}
}
