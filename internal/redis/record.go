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
// that somebody read before the change is not taken while the mark is there, nor
// once the mark may be gone. A drop that Redis could not be told is repeated
// until it can, and until then this process does not look at the copy. After an
// outage no copy is believed that was written before its end: other instances'
// drops may not have come through yet.

// markFor is how long a mark stays, by Redis's clock, and fillWithin how old a
// read of the database may be when its copy arrives there. A mark outlives every
// read that began before it, whatever waited in between and wherever.
const (
	markFor    = 15 * time.Second
	fillWithin = 5 * time.Second
)

// mark is the key of a record's mark. It shares the record's slot: the braces of
// the record's key are in it.
func mark(key string) string { return key + ":gone" }

// scripts are the programs that run inside of Redis.
type scripts struct {
	fill, drop, touch, take, giveBack, renew, append, beat, unlock *rueidis.Lua
}

func newScripts() scripts {
	return scripts{
		// KEYS: record, mark. ARGV: value, milliseconds to live, last seen,
		// milliseconds to live at most, Redis's time after which it is too late.
		fill: rueidis.NewLuaScript(`
			local t = redis.call('TIME')
			local now = t[1] * 1000 + math.floor(t[2] / 1000)
			if now > tonumber(ARGV[5]) or redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
			redis.call('HSET', KEYS[1], 'v', ARGV[1], 'at', t[1] * 1000000 + t[2], 'seen', ARGV[3], 'end', now + ARGV[4])
			redis.call('PEXPIRE', KEYS[1], ARGV[2])
			return 1`),
		// KEYS: record, mark. ARGV: milliseconds of the mark.
		drop: rueidis.NewLuaScript(`
			redis.call('DEL', KEYS[1])
			redis.call('SET', KEYS[2], '', 'PX', ARGV[1])
			return 1`),
		// KEYS: record. ARGV: last seen, milliseconds to live.
		touch: rueidis.NewLuaScript(`
			local was = redis.call('HMGET', KEYS[1], 'seen', 'end')
			if not was[1] then return 0 end
			if tonumber(was[1]) < tonumber(ARGV[1]) then
				local t = redis.call('TIME')
				local now = t[1] * 1000 + math.floor(t[2] / 1000)
				redis.call('HSET', KEYS[1], 'seen', ARGV[1])
				redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[2]), was[2] - now))
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

// trust knows since when, by Redis's clock in microseconds, no copy can have
// missed a drop that another instance could not tell. It begins without knowing.
type trust struct {
	mu    sync.Mutex
	since int64 // 0: not known
	ahead int64 // Redis's clock less this one's, in milliseconds
	lost  int64 // how often it was lost
}

// lose stops believing what was written so far.
func (t *trust) lose() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since = 0
	t.lost++
}

func (t *trust) known() (since, ahead, lost int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.since, t.ahead, t.lost
}

// begin trusts again from a time on, unless something was lost since the time was asked for.
func (t *trust) begin(now int64, lost int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost == lost {
		t.since, t.ahead = now, now/1000-time.Now().UnixMilli()
	}
}

// trusted gives the time of Redis from which on copies are believed, and how far
// its clock is ahead. The first look after an outage sets it.
func (c *Client) trusted(ctx context.Context) (since, ahead int64, ok bool) {
	since, ahead, lost := c.trust.known()
	if since > 0 {
		return since, ahead, true
	}
	now, err := c.now(ctx)
	if err != nil {
		return 0, 0, false
	}
	c.trust.begin(now, lost)
	since, ahead, _ = c.trust.known()
	return since, ahead, since > 0
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
	var at int64 // in microseconds
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
	if err != nil || !ok {
		return record{}, false
	}
	since, _, ok := c.trusted(ctx) // after the answer: an outage before it counts
	if !ok || at <= since || c.drops.has(key) {
		return record{}, false
	}
	return r, true
}

// lives is how long a copy lives: now, and at most however often it is touched.
type lives struct{ now, most time.Duration }

// put keeps a copy of what was read from the database at read, unless it was
// changed meanwhile.
func (c *Client) put(ctx context.Context, key string, r record, l lives, read time.Time) {
	if l.now <= 0 || time.Since(read) > fillWithin || c.drops.has(key) {
		return
	}
	_, ahead, ok := c.trusted(ctx)
	if !ok {
		return
	}
	late := read.UnixMilli() + ahead + fillWithin.Milliseconds()
	_ = c.do(ctx, func(ctx context.Context) error { // a copy that is missing costs a read
		return c.scripts.fill.Exec(ctx, c.rc, []string{key, mark(key)},
			[]string{r.value, milliseconds(l.now), itoa(r.seen), milliseconds(l.most), itoa(late)}).Error()
	})
}

// maxDrops bounds what is remembered of an outage; beyond it the rule about
// copies from before the outage's end alone protects.
const maxDrops = 100_000

// drops are the records that Redis still has to be told to drop, and how often.
// The count keeps a drop that came through from hiding a later one that did not.
type drops struct {
	mu   sync.Mutex
	keys map[string]int
}

func newDrops() drops { return drops{keys: map[string]int{}} }

func (d *drops) add(keys []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range keys {
		if d.keys[key] > 0 || len(d.keys) < maxDrops {
			d.keys[key]++
		}
	}
}

func (d *drops) has(key string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.keys[key] > 0
}

// remove takes n drops of a key off.
func (d *drops) remove(key string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys[key] -= n; d.keys[key] <= 0 {
		delete(d.keys, key)
	}
}

// some gives a few keys and how many drops of each there are.
func (d *drops) some(n int) (keys []string, counts []int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, count := range d.keys {
		if len(keys) == n {
			break
		}
		keys, counts = append(keys, key), append(counts, count)
	}
	return keys, counts
}

// drop ends copies. It cannot fail: what Redis does not hear now it hears later.
func (c *Client) drop(ctx context.Context, keys ...string) {
	c.drops.add(keys) // before: nobody here may believe them from now on
	done, _ := c.dropNow(context.WithoutCancel(ctx), keys)
	for _, key := range keys[:done] {
		c.drops.remove(key, 1)
	}
}

func (c *Client) dropNow(ctx context.Context, keys []string) (done int, err error) {
	calls := make([]rueidis.LuaExec, len(keys))
	for i, key := range keys {
		calls[i] = rueidis.LuaExec{Keys: []string{key, mark(key)}, Args: []string{milliseconds(markFor)}}
	}
	return c.each(ctx, c.scripts.drop, calls)
}

// How drops are repeated.
const (
	repeatEvery = 200 * time.Millisecond
	repeatMost  = 2000
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
		keys, counts := c.drops.some(repeatMost)
		done, _ := c.dropNow(ctx, keys) // the next round goes on
		for i, key := range keys[:done] {
			c.drops.remove(key, counts[i])
		}
	}
}

func milliseconds(d time.Duration) string { return fmt.Sprint(max(1, d.Milliseconds())) }
