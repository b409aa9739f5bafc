package redis_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"onemind/internal/account"
	"onemind/internal/credit"
	"onemind/internal/fleet"
	"onemind/internal/limit"
	"onemind/internal/redis"
)

// Whoever empties Redis in the middle of everything, its scripts included, makes
// nobody fail; nothing that ended comes back.
func TestEverythingIsLost(t *testing.T) {
	c, db, ctx := empty(t), database(t), t.Context()
	limits, sessions, catalog := redis.NewLimiter(c, redis.LimiterOptions{}), redis.NewSessions(c, db), redis.NewCatalog(c, db.Catalog())
	balances, presence := redis.NewBalances(c), redis.NewPresence(c)
	saved(t, catalog, 1)
	for n := range 2 {
		if err := sessions.CreateSession(ctx, session(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sessions.DeleteSession(ctx, "u", "ses0"); err != nil {
		t.Fatal(err)
	}
	for what, act := range map[string]func() error{
		"take": func() error {
			v, err := limits.Take(ctx, time.Now(), []limit.Bucket{{Key: "ratelimit:{u}", Scope: "user", Max: 30, Take: 1}}, limit.Lease{Key: "answers:{u}", N: 1, Max: 5})
			v.Release()
			return err
		},
		"session": func() error { _, err := sessions.SessionByHash(ctx, "hash1"); return err },
		"ended":   func() error { ended(t, "when all is lost", "hash0", sessions); return nil },
		"catalog": func() error { _, err := catalog.Load(ctx); return err },
		"balance": func() error {
			balances.Keep(ctx, "u", credit.Balance{Total: 1}, time.Now())
			balances.Shown(ctx, "u")
			balances.Changed(ctx, []string{"u", "v"})
			return nil
		},
		"beat": func() error { return presence.Beat(ctx, fleet.Instance{Boot: "b", Name: "b"}) },
		"look": func() error { _, err := presence.Instances(ctx); return err },
		"lock": func() error {
			release, _, err := c.Lock(ctx, "x", time.Second)
			release()
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			for range 10 {
				flush(t)
				if err := command(t, single.Addr(), "SCRIPT", "FLUSH").Error(); err != nil {
					t.Fatal(err)
				}
				var work sync.WaitGroup
				for range 3 {
					work.Go(func() {
						if err := act(); err != nil {
							t.Error(err)
						}
					})
				}
				work.Wait()
			}
		})
	}
}

// BenchmarkTake is a decision over three buckets and a lease, and its release.
func BenchmarkTake(b *testing.B) {
	c := empty(b)
	l := redis.NewLimiter(c, redis.LimiterOptions{})
	runs(b, l.Run)
	ask := []limit.Bucket{{Key: "ratelimit:{u}", Scope: "user", Max: 1 << 30, Take: 1}, {Key: "ratelimit:{u}:p", Scope: "user_provider", Max: 1 << 30, Take: 1},
		{Key: "ratelimit:global", Scope: "global", Max: 1 << 30, Take: 1}}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			v, err := l.Take(context.Background(), time.Now(), ask, limit.Lease{Key: "answers:{u}", N: 1})
			if err != nil {
				b.Error(err)
				return
			}
			v.Release()
		}
	})
}

// BenchmarkSession is a look-up of a session that has a copy.
func BenchmarkSession(b *testing.B) {
	s := redis.NewSessions(empty(b), database(b))
	now := time.Now().UTC()
	if err := s.CreateSession(b.Context(), account.Session{Hash: "h", ID: "s", User: "u", CreatedAt: now, SeenAt: now}); err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.SessionByHash(context.Background(), "h"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
