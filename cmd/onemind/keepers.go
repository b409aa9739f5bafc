package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"onemind/internal/fleet"
	"onemind/internal/redis"
)

// How often and how early what somebody left open is looked for.
const (
	sweepEvery = 10 * time.Second
	sweepAfter = 30 * time.Second // a hold this young belongs to somebody who is at work
)

// sweep settles holds and ends runs that nobody serves any more: a settlement
// of this process that got lost, and everything of an instance that died.
func (a *app) sweep(ctx context.Context) error {
	ttl := a.config.duration("ONEMIND_HOLD_TTL")
	ticker := time.NewTicker(min(ttl, sweepEvery))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if err := a.sweepOnce(ctx, now, ttl); err != nil && ctx.Err() == nil {
				a.log.Error("sweeping up after lost instances failed", "err", err)
			}
		}
	}
}

func (a *app) sweepOnce(ctx context.Context, now time.Time, ttl time.Duration) error {
	alive := a.together.crew.Alive
	if a.config.alone() {
		alive = gone
	}
	n, err := a.engine.Abandoned(ctx, now.Add(-min(ttl, sweepAfter)), alive, a.chats.Delivered)
	if n > 0 {
		a.log.Warn("settled abandoned holds", "holds", n)
	}
	if err != nil || a.config.alone() {
		return err
	}
	release, ok, err := a.stores.shared.client.Lock(ctx, "recover", time.Minute)
	if errors.Is(err, redis.ErrDown) || err == nil && !ok {
		return nil // another instance is at it, or the logs are away anyway
	}
	if err != nil {
		return fmt.Errorf("lock the recovery: %w", err)
	}
	defer release()
	ended, err := a.chats.Recover(ctx, alive)
	if ended > 0 {
		a.log.Warn("ended runs of a lost instance", "runs", ended)
	}
	return err
}

// fewestMonths is how many months ahead there must be partitions for. Below it
// somebody has to look: the job makes three.
const fewestMonths = 2

// partitions keeps months of the ledger ready ahead of time, with Postgres.
func (a *app) partitions(ctx context.Context) error {
	if a.stores.pg == nil {
		return nil
	}
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	for {
		months, err := a.stores.pg.Partitions(ctx, time.Now())
		a.monthsAhead.Store(int64(months))
		if err != nil && ctx.Err() == nil {
			a.log.Error("making the ledger's partitions failed", "months_ahead", months, "err", err)
		} else if months < fewestMonths {
			a.log.Error("the ledger has too few partitions ahead", "months_ahead", months)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// How long a start waits for another instance to leave, where there may be one only.
const (
	leaveWithin = 15 * time.Second
	leaveLook   = 500 * time.Millisecond
)

// onlyOne refuses to start beside another instance without anything to share.
func (t *together) onlyOne(ctx context.Context) error {
	for end := time.Now().Add(leaveWithin); ; {
		other := ""
		for _, i := range t.crew.Instances(ctx) {
			if i.Boot != t.boot && i.Age < fleet.CountAfter {
				other = i.Name
			}
		}
		if other == "" {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("REDIS_URL: the instance %s runs on this database already; set REDIS_URL on both, or stop it", other)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leaveLook):
		}
	}
}
