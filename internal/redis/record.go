package redis

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// Records are copies of rows that a database keeps. They must never show a row as
// it was before a change: a change drops the copy and leaves a mark, and a copy
// that somebody read before the change is not taken while the mark is there. A
// drop that Redis could not be told is repeated until it can, and until then
// this process does not look at the copy. After an outage no copy is believed that
// was written before its end: other instances' drops may not have come through yet.

// markFor is how long a mark stays: longer than any read of the database takes.
const markFor = 15 * time.Second

// mark is the key of a record's mark. It shares the record's slot: the braces of
// the record's key are in it.
func mark(key string) string { return key + ":gone" }

// scripts are the programs that run inside of Redis.
type scripts struct {
	fill, drop, touch, take, giveBack, renew, append, beat, unlock *rueidis.Lua
}

func newScripts() scripts {
	return scripts{
		// KEYS: record, mark. ARGV: value, milliseconds to live, last seen.
		fill: rueidis.NewLuaScript(`
			if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
			local t = redis.call('TIME')
			redis.call('HSET', KEYS[1], 'v', ARGV[1], 'at', t[1] * 1000 + math.floor(t[2] / 1000), 'seen', ARGV[3])
			redis.call('PEXPIRE', KEYS[1], ARGV[2])
			return 1`),
		// KEYS: record, mark. ARGV: milliseconds of the mark.
		drop: rueidis.NewLuaScript(`
			redis.call('DEL', KEYS[1])
			redis.call('SET', KEYS[2], '', 'PX', ARGV[1])
			return 1`),
		// KEYS: record. ARGV: last seen, milliseconds to live.
		touch: rueidis.NewLuaScript(`
			local seen = redis.call('HGET', KEYS[1], 'seen')
			if not seen then return 0 end
			if tonumber(seen) < tonumber(ARGV[1]) then
				redis.call('HSET', KEYS[1], 'seen', ARGV[1])
				redis.call('PEXPIRE', KEYS[1], ARGV[2])
			end
			return 1`),
		take:     rueidis.NewLuaScript(takeScript),
		giveBack: rueidis.NewLuaScript(giveBackScript),
		renew:    rueidis.NewLuaScript(renewScript),
		append:   rueidis.NewLuaScript(appendScript),
		beat:     rueidis.NewLuaScript(beatScript),
		unlock: rueidis.NewLuaScript(`
			if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
			return 0`),
	}
}

// maxDrops bounds what is remembered of an outage; beyond it the rule about
// copies from before the outage's end alone protects.
const maxDrops = 100_000

// drops are the records that Redis still has to be told to drop.
type drops struct {
	mu   sync.Mutex
	keys map[string]struct{}
}

func (d *drops) add(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.keys) < maxDrops {
		d.keys[key] = struct{}{}
	}
}

func (d *drops) has(key string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.keys[key]
	return ok
}

func (d *drops) remove(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.keys, key)
}

func (d *drops) some(n int) (keys []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.keys {
		if len(keys) == n {
			break
		}
		keys = append(keys, key)
	}
	return keys
}

// record is a copy as it was read.
type record struct {
	value string
	seen  int64 // milliseconds since 1970
}

// get reads a copy. ok is false when there is none to believe, for whatever reason.
func (c *Client) get(ctx context.Context, key string) (r record, ok bool) {
	if c.drops.has(key) {
		return record{}, false
	}
	var at int64
	err := c.do(ctx, func(ctx context.Context) error {
		values, err := c.rc.Do(ctx, c.rc.B().Hmget().Key(key).Field("v", "at", "seen").Build()).ToArray()
		if err != nil {
			return err
		}
		if len(values) != 3 || values[0].IsNil() {
			return nil
		}
		if r.value, err = values[0].ToString(); err != nil {
			return err
		}
		if at, err = values[1].AsInt64(); err != nil {
			return err
		}
		r.seen, err = values[2].AsInt64()
		ok = err == nil
		return err
	})
	if err != nil || !ok || at <= c.trustedSince(ctx) || c.drops.has(key) {
		return record{}, false
	}
	return r, true
}

// trustedSince is the time of Redis from which on copies are believed. The first
// look after an outage sets it.
func (c *Client) trustedSince(ctx context.Context) int64 {
	if since := c.trusted.Load(); since > 0 {
		return since
	}
	now, err := c.now(ctx)
	if err != nil {
		return 1<<63 - 1
	}
	c.trusted.CompareAndSwap(0, now)
	return c.trusted.Load()
}

// put keeps a copy for a while, unless its row was changed meanwhile.
func (c *Client) put(ctx context.Context, key, value string, seen int64, ttl time.Duration) {
	if ttl <= 0 || c.drops.has(key) {
		return
	}
	_ = c.do(ctx, func(ctx context.Context) error { // a copy that is missing costs a read
		return c.scripts.fill.Exec(ctx, c.rc, []string{key, mark(key)}, []string{value, milliseconds(ttl), fmt.Sprint(seen)}).Error()
	})
}

// drop ends copies. It cannot fail: what Redis does not hear now it hears later.
func (c *Client) drop(ctx context.Context, keys ...string) {
	ctx = context.WithoutCancel(ctx)
	for _, key := range keys {
		c.drops.add(key) // before: nobody here may believe it from now on
	}
	for _, key := range keys {
		if c.dropNow(ctx, key) == nil {
			c.drops.remove(key)
		}
	}
}

func (c *Client) dropNow(ctx context.Context, key string) error {
	return c.do(ctx, func(ctx context.Context) error {
		return c.scripts.drop.Exec(ctx, c.rc, []string{key, mark(key)}, []string{milliseconds(markFor)}).Error()
	})
}

// How drops are repeated.
const (
	repeatEvery = 200 * time.Millisecond
	repeatMost  = 500
)

// Run repeats what Redis could not be told, until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	ticker := time.NewTicker(repeatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for _, key := range c.drops.some(repeatMost) {
			if c.dropNow(ctx, key) != nil {
				break
			}
			c.drops.remove(key)
		}
	}
}

func milliseconds(d time.Duration) string { return fmt.Sprint(max(1, d.Milliseconds())) }
