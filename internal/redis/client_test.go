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

	"onemind/internal/credit"
	"onemind/internal/money"
	"onemind/internal/redis"
)

func TestRefusals(t *testing.T) {
	guarded := own(t)
	if err := command(t, guarded.Addr(), "CONFIG", "SET", "requirepass", "open-sesame").Error(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ url, want string }{
		"nobody there":   {"redis://user:sesame@127.0.0.1:1", "REDIS_URL: no Redis answers at 127.0.0.1:1"},
		"no address":     {"redis://[", "REDIS_URL"},
		"wrong password": {"redis://:sesame@" + guarded.Addr(), "REDIS_URL: WRONGPASS"},
		"no password":    {guarded.URL(), "REDIS_URL: NOAUTH"},
		"TLS to none":    {"rediss://:sesame@" + guarded.Addr(), "REDIS_URL: no Redis answers at"},
		"no such number": {"redis://:open-sesame@" + guarded.Addr() + "/4711", "REDIS_URL: "},
	} {
		_, err := redis.Open(t.Context(), tt.url, redis.Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := redis.Open(t.Context(), "redis://:open-sesame@"+guarded.Addr()+"/3", redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	evicting := own(t, "--maxmemory", "20mb", "--maxmemory-policy", "volatile-lru")
	if _, err := redis.Open(t.Context(), evicting.URL(), redis.Options{}); !errors.Is(err, redis.ErrEvicts) || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("one that evicts: %v", err)
	}
	silent := own(t)
	for _, words := range [][]string{{"ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-info", "-config"}} {
		if err := command(t, silent.Addr(), words...).Error(); err != nil {
			t.Fatal(err)
		}
	}
	managed, err := redis.Open(t.Context(), "redis://app:secret@"+silent.Addr(), redis.Options{})
	if err != nil {
		t.Fatalf("one that does not tell its policy: %v", err)
	}
	defer managed.Close()
}

func TestCheck(t *testing.T) {
	list, err := empty(t).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(list, "\n")
	for _, want := range []string{"version ", "maxmemory-policy noeviction", "memory used", "appendonly is off"} {
		if !strings.Contains(all, want) {
			t.Errorf("it does not say %q:\n%s", want, all)
		}
	}
	if list, err = emptyCluster(t).Check(t.Context()); err != nil || !strings.Contains(strings.Join(list, "\n"), "a cluster of 3 nodes") {
		t.Errorf("the cluster: %v, %v", list, err)
	}
}

// A Redis that hangs costs each caller 50 ms, and soon nobody anything.
func TestBreaker(t *testing.T) {
	r := own(t)
	var ups atomic.Int64
	c, err := redis.Open(t.Context(), r.URL(), redis.Options{OnUp: func() { ups.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	balances := redis.NewBalances(c)
	ctx := t.Context()
	kept := func(want money.Amount) bool {
		balances.Keep(ctx, "u", credit.Balance{Total: want}, time.Now())
		b, ok := balances.Shown(ctx, "u")
		return ok && b.Total == want
	}
	until(t, "it keeps things", func() bool { return kept(5) }) // not before both connections stand
	for i, outage := range []struct {
		name         string
		strike, mend func()
	}{
		{"paused", r.Pause, r.Resume},
		{"killed", r.Kill, func() {
			if err := r.Start(ctx); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(outage.name, func(t *testing.T) {
			outage.strike()
			slow, longest := 0, time.Duration(0)
			for range 200 {
				start := time.Now()
				balances.Shown(ctx, "u")
				took := time.Since(start)
				longest = max(longest, took)
				if took > 20*time.Millisecond {
					slow++
				}
			}
			if slow > 12 {
				t.Errorf("%d of 200 calls waited", slow)
			}
			if longest > 500*time.Millisecond { // 50 ms, and what a busy machine adds
				t.Errorf("a call took %s", longest)
			}
			if c.Up() || c.Stats().Up || c.Stats().Opens != int64(i+1) {
				t.Errorf("the breaker is closed: %+v", c.Stats())
			}
			outage.mend()
			until(t, "it is up again", func() bool { balances.Shown(ctx, "u"); return c.Up() })
			until(t, "it keeps things again", func() bool { return kept(6) })
			if ups.Load() != int64(i+1) {
				t.Errorf("told %d times that it is up", ups.Load())
			}
		})
	}
}

// A crowd that meets a hanging Redis does not queue up behind it.
func TestCrowdAtAHangingRedis(t *testing.T) {
	r := own(t)
	balances := redis.NewBalances(dial(t, r.URL()))
	balances.Shown(t.Context(), "u")
	r.Pause()
	defer r.Resume()
	start := time.Now()
	var crowd sync.WaitGroup
	for range 2000 {
		crowd.Go(func() { balances.Shown(t.Context(), "u") })
	}
	crowd.Wait()
	if took := time.Since(start); took > time.Second {
		t.Errorf("2000 calls at once took %s", took)
	}
}

// Callers who leave say nothing about Redis.
func TestCallersWhoLeave(t *testing.T) {
	r := own(t)
	c := dial(t, r.URL())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		redis.NewBalances(c).Shown(ctx, "u")
		if err := redis.NewPresence(c).Leave(ctx, "b"); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if s := c.Stats(); !s.Up || s.Failures != 0 {
		t.Errorf("%+v", s)
	}
}

func TestLock(t *testing.T) {
	for name, c := range map[string]*redis.Client{"single": empty(t), "cluster": emptyCluster(t)} {
		t.Run(name, func(t *testing.T) {
			release, ok, err := c.Lock(t.Context(), "x", time.Minute)
			if err != nil || !ok {
				t.Fatalf("%v, %v", ok, err)
			}
			if _, again, err := c.Lock(t.Context(), "x", time.Minute); again || err != nil {
				t.Errorf("a second time: %v, %v", again, err)
			}
			release()
			late, ok, err := c.Lock(t.Context(), "x", time.Millisecond)
			if err != nil || !ok {
				t.Errorf("after its release: %v, %v", ok, err)
			}
			until(t, "it is over by itself", func() bool { _, ok, _ = c.Lock(t.Context(), "x", time.Minute); return ok })
			late()
			if _, again, err := c.Lock(t.Context(), "x", time.Minute); again || err != nil {
				t.Errorf("a late release took somebody else's lock away: %v, %v", again, err)
			}
		})
	}
}

// Many drops are a few round trips.
func TestDropsGoTogether(t *testing.T) {
	c := empty(t)
	balances := redis.NewBalances(c)
	users := make([]string, 1000)
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	balances.Keep(t.Context(), "u999", credit.Balance{Total: 5}, time.Now())
	before := c.Stats().Calls
	balances.Changed(t.Context(), users)
	if n := c.Stats().Calls - before; n > 10 {
		t.Errorf("1000 balances were dropped in %d calls", n)
	}
	if b, ok := balances.Shown(t.Context(), "u999"); ok {
		t.Errorf("a changed balance is shown: %+v", b)
	}
	balances.Keep(t.Context(), "u1000", credit.Balance{Total: 5}, time.Now().Add(-10*time.Second))
	if b, ok := balances.Shown(t.Context(), "u1000"); ok {
		t.Errorf("a balance that was read long ago is kept: %+v", b)
	}
}
