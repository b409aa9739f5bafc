package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"onemind/internal/limit"
)

// most bounds limits and counts: a count times a minute in milliseconds has to be
// exact in the numbers of Lua, which have 53 bits.
const most = 1 << 36

// Leases. A crashed instance's are over when nobody renews them.
const (
	leaseFor   = time.Minute
	renewEvery = 20 * time.Second
	tellEvery  = 50 * time.Millisecond // released leases are given back together
)

// minutes is how many keys stand for one bucket: the minute of Redis's clock is
// among the estimate's neighbours, and the one before it is needed too.
const minutes = 4

// takeScript decides over buckets and a lease, all or nothing, by Redis's clock.
//
// KEYS: for each bucket its keys of four minutes, the first of them number
// ARGV[1]; then the lease's, if there is one.
// ARGV: 1 first minute; 2 now in milliseconds, or empty for the server's; 3 number
// of buckets; then for each its limit and what it takes; then for the lease how
// many, how many there are, milliseconds to live, and its name.
// Answer: 1 granted, 0 refused, 2 crowded, 3 another minute; now; then for each
// bucket the units of the last minute and of this one.
const takeScript = `
local first, now, n = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then
	local t = redis.call('TIME')
	now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local minute, gone = math.floor(now / 60000), now % 60000
local at = minute - first
if at < 1 or at > 3 then return {3, now} end
local granted, crowded, taken = true, false, 0
local function key(i, back) return KEYS[4 * (i - 1) + at + 1 - back] end
local function units(i, back) return tonumber(redis.call('GET', key(i, back)) or '0') end
for i = 1, n do
	local max, take = tonumber(ARGV[2 + 2 * i]), tonumber(ARGV[3 + 2 * i])
	if units(i, 1) * (60000 - gone) + units(i, 0) * 60000 > (max - take) * 60000 then
		granted = false
		break
	end
	if take > 0 then
		redis.call('INCRBY', key(i, 0), take)
		redis.call('PEXPIRE', key(i, 0), 120000)
	end
	taken = i
end
local lease = KEYS[4 * n + 1]
if granted and lease then
	local need, places = tonumber(ARGV[4 + 2 * n]), tonumber(ARGV[5 + 2 * n])
	redis.call('ZREMRANGEBYSCORE', lease, '-inf', now)
	if places > 0 and redis.call('ZCARD', lease) + need > places then
		granted, crowded = false, true
	else
		for p = 1, need do redis.call('ZADD', lease, now + ARGV[6 + 2 * n], ARGV[7 + 2 * n] .. ':' .. p) end
		redis.call('PEXPIRE', lease, 2 * ARGV[6 + 2 * n])
	end
end
if not granted then
	for i = 1, taken do
		local take = tonumber(ARGV[3 + 2 * i])
		if take > 0 then redis.call('DECRBY', key(i, 0), take) end
	end
end
local answer = {granted and 1 or crowded and 2 or 0, now}
for i = 1, n do
	answer[#answer + 1] = units(i, 1)
	answer[#answer + 1] = units(i, 0)
end
return answer`

// giveBackScript undoes a grant: in a cluster the keys of a call are in several
// places, and one of them may refuse what another granted.
// KEYS: buckets of the minute, then the lease's. ARGV: number of buckets, units
// of each, name and number of the lease.
const giveBackScript = `
local n = tonumber(ARGV[1])
for i = 1, n do
	if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('DECRBY', KEYS[i], ARGV[1 + i]) end
end
if KEYS[n + 1] then
	for p = 1, tonumber(ARGV[n + 3]) do redis.call('ZREM', KEYS[n + 1], ARGV[n + 2] .. ':' .. p) end
end
return 1`

// renewScript makes a lease last longer, if it is not over.
// KEYS: lease. ARGV: milliseconds to live, name, number.
const renewScript = `
local t = redis.call('TIME')
local till = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[1]
for p = 1, tonumber(ARGV[3]) do redis.call('ZADD', KEYS[1], 'XX', till, ARGV[2] .. ':' .. p) end
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[1])
return 1`

// LimiterOptions are the rest of what a Limiter needs.
type LimiterOptions struct {
	// CallerTime goes by the caller's clock instead of Redis's: for contract tests,
	// which make up their times.
	CallerTime bool
	// Lease is how long a lease lives without being renewed; 0: a minute.
	Lease time.Duration
}

// Limiter decides with every instance that shares the Redis.
type Limiter struct {
	c       *Client
	options LimiterOptions
	offset  atomic.Int64 // Redis's clock less this one's, in milliseconds

	mu   sync.Mutex
	held map[string]held // leases that are under way here, by name
	over []held          // to be given back
}

// held is a lease as Redis knows it.
type held struct {
	key, name string
	n         int64
}

var _ limit.Limiter = (*Limiter)(nil)

// NewLimiter builds a Limiter.
func NewLimiter(c *Client, o LimiterOptions) *Limiter {
	if o.Lease <= 0 {
		o.Lease = leaseFor
	}
	return &Limiter{c: c, options: o, held: map[string]held{}}
}

// ask is the part of a call whose keys are in one slot.
type ask struct {
	buckets []int // indices into those of the call
	lease   bool
	result  int64
	now     int64
	counts  []int64 // two for each bucket
}

// Take decides; see limit.Limiter. In one server it is one command.
func (l *Limiter) Take(ctx context.Context, now time.Time, buckets []limit.Bucket, lease limit.Lease) (limit.Verdict, error) {
	v := limit.Verdict{OK: true, Denied: -1, Release: func() {}}
	asks := l.split(buckets, lease)
	if len(asks) == 0 {
		return v, nil
	}
	name := leaseName()
	if err := l.decide(ctx, now, asks, buckets, lease, name); err != nil {
		return limit.Verdict{}, err
	}
	if crowded(asks) && l.giveBackOf(ctx, lease.Key) {
		if err := l.decide(ctx, now, asks, buckets, lease, name); err != nil {
			return limit.Verdict{}, err
		}
	}
	for _, a := range asks {
		v.OK = v.OK && a.result == 1
	}
	if crowded(asks) {
		v.Crowded, v.Places = true, lease.Max
	}
	report(&v, asks, buckets)
	if v.OK && lease.N > 0 {
		v.Release = l.keep(held{lease.Key, name, lease.N})
	}
	return v, nil
}

func leaseName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// split sorts what is asked by the slot of its keys. One server has one.
func (l *Limiter) split(buckets []limit.Bucket, lease limit.Lease) []*ask {
	var asks []*ask
	bySlot := map[string]*ask{}
	of := func(key string) *ask {
		tag := ""
		if l.c.cluster {
			tag = tagOf(key)
		}
		a := bySlot[tag]
		if a == nil {
			a = &ask{}
			bySlot[tag] = a
			asks = append(asks, a)
		}
		return a
	}
	for i, b := range buckets {
		if b.Max > 0 {
			a := of(b.Key)
			a.buckets = append(a.buckets, i)
		}
	}
	if lease.N > 0 {
		of(lease.Key).lease = true
	}
	return asks
}

// tagOf is the part of a key that decides its slot.
func tagOf(key string) string {
	if from := strings.IndexByte(key, '{'); from >= 0 {
		if to := strings.IndexByte(key[from:], '}'); to > 1 {
			return key[from+1 : from+to]
		}
	}
	return key
}

// tagged gives a key without braces some, so that its minutes share a slot.
func tagged(key string, cluster bool) string {
	if cluster && tagOf(key) == key {
		return "{" + key + "}"
	}
	return key
}

// decide asks every slot. In a cluster there are several: one after the other, and
// what was granted before one refuses is given back. Asked at the same time,
// calls that will be refused anyway would for a moment take from those that
// would not.
func (l *Limiter) decide(ctx context.Context, now time.Time, asks []*ask, buckets []limit.Bucket, lease limit.Lease, name string) error {
	for _, a := range asks {
		a.result = 0
	}
	for i, a := range asks {
		err := l.run(ctx, now, a, buckets, lease, name)
		if err == nil && a.result == 1 {
			continue
		}
		l.undo(context.WithoutCancel(ctx), asks[:i], buckets, lease, name)
		if err != nil {
			return err
		}
		return l.look(ctx, now, asks[i+1:], buckets)
	}
	return nil
}

// look finds out how full the buckets are that were not asked.
func (l *Limiter) look(ctx context.Context, now time.Time, asks []*ask, buckets []limit.Bucket) error {
	only := make([]limit.Bucket, len(buckets))
	for i, b := range buckets {
		only[i] = b
		only[i].Take = 0
	}
	for _, a := range asks {
		bare := &ask{buckets: a.buckets}
		if err := l.run(ctx, now, bare, only, limit.Lease{}, ""); err != nil {
			return err
		}
		a.now, a.counts = bare.now, bare.counts
	}
	return nil
}

func crowded(asks []*ask) bool {
	return slices.ContainsFunc(asks, func(a *ask) bool { return a.result == 2 })
}

// errClock reports two clocks that do not come together.
var errClock = errors.New("redis and this instance disagree about the minute")

// run asks one slot, a second time when the estimate of Redis's clock was wrong.
func (l *Limiter) run(ctx context.Context, now time.Time, a *ask, buckets []limit.Bucket, lease limit.Lease, name string) error {
	for range 2 {
		estimate := now.UnixMilli()
		if !l.options.CallerTime {
			estimate = time.Now().UnixMilli() + l.offset.Load()
		}
		first := estimate/limit.Minute - 2
		keys, args := l.words(a, buckets, lease, first, estimate, name)
		var values []int64
		err := l.c.do(ctx, func(ctx context.Context) (err error) {
			values, err = l.c.scripts.take.Exec(ctx, l.c.rc, keys, args).AsIntSlice()
			return err
		})
		if err != nil {
			return fmt.Errorf("take limits: %w", err)
		}
		if len(values) < 2 || values[0] != 3 && len(values) != 2+2*len(a.buckets) {
			return fmt.Errorf("take limits: an answer of %d numbers", len(values))
		}
		if !l.options.CallerTime {
			l.offset.Store(values[1] - time.Now().UnixMilli())
		}
		if values[0] != 3 {
			a.result, a.now, a.counts = values[0], values[1], values[2:]
			return nil
		}
	}
	return errClock
}

// words writes a call of the script.
func (l *Limiter) words(a *ask, buckets []limit.Bucket, lease limit.Lease, first, now int64, name string) (keys, args []string) {
	keys = make([]string, 0, minutes*len(a.buckets)+1)
	args = make([]string, 0, 3+2*len(a.buckets)+4)
	clock := ""
	if l.options.CallerTime {
		clock = itoa(now)
	}
	args = append(args, itoa(first), clock, itoa(int64(len(a.buckets))))
	for _, i := range a.buckets {
		b := buckets[i]
		key := tagged(b.Key, l.c.cluster)
		for m := range int64(minutes) {
			keys = append(keys, key+":"+itoa(first+m))
		}
		args = append(args, itoa(bound(b.Max)), itoa(units(b.Take)))
	}
	if a.lease {
		keys = append(keys, tagged(lease.Key, l.c.cluster))
		args = append(args, itoa(lease.N), itoa(max(0, lease.Max)), milliseconds(l.options.Lease), name)
	}
	return keys, args
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func units(take int64) int64 { return min(max(take, 0), most) }

func bound(limit int64) int64 { return min(limit, most) }

// undo gives back what some slots granted when another one refused.
func (l *Limiter) undo(ctx context.Context, asks []*ask, buckets []limit.Bucket, lease limit.Lease, name string) {
	for _, a := range asks {
		if a.result != 1 {
			continue
		}
		var keys, args []string
		args = append(args, itoa(int64(len(a.buckets))))
		for at, i := range a.buckets {
			b := buckets[i]
			keys = append(keys, tagged(b.Key, l.c.cluster)+":"+itoa(a.now/limit.Minute))
			args = append(args, itoa(units(b.Take)))
			a.counts[2*at+1] -= units(b.Take)
		}
		if a.lease {
			keys = append(keys, tagged(lease.Key, l.c.cluster))
			args = append(args, name, itoa(lease.N))
		}
		_ = l.c.do(ctx, func(ctx context.Context) error { // what is not given back is gone with its minute
			return l.c.scripts.giveBack.Exec(ctx, l.c.rc, keys, args).Error()
		})
	}
}

// report fills in what is left of every bucket and, after a refusal, who refused
// first and when all would let the call go.
func report(v *limit.Verdict, asks []*ask, buckets []limit.Bucket) {
	windows := make(map[int]limit.Window, len(buckets))
	for _, a := range asks {
		for at, i := range a.buckets {
			windows[i] = limit.Window{Last: a.counts[2*at], Now: a.counts[2*at+1], Gone: a.now % limit.Minute}
		}
	}
	for i, b := range buckets {
		w, limited := windows[i]
		if !limited {
			continue
		}
		if !v.OK && !v.Crowded && !w.Fits(units(b.Take), bound(b.Max)) {
			if v.Denied < 0 {
				v.Denied = len(v.States)
			}
			v.Retry = max(v.Retry, w.Retry(units(b.Take), bound(b.Max)))
		}
		v.States = append(v.States, limit.State{Scope: b.Scope, Max: b.Max, Remaining: w.Free(bound(b.Max)), Reset: w.Reset()})
	}
	if !v.OK && !v.Crowded && v.Denied < 0 {
		v.Denied = 0 // one key named twice: each alone would fit
	}
}

// keep notes a lease that has to be renewed, and gives what returns it.
func (l *Limiter) keep(h held) (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[h.name] = h
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, h.name)
		l.over = append(l.over, h)
	})
}

// Run renews leases and gives them back, until ctx ends.
func (l *Limiter) Run(ctx context.Context) error {
	renew, tell := time.NewTicker(min(renewEvery, l.options.Lease/3)), time.NewTicker(tellEvery)
	defer renew.Stop()
	defer tell.Stop()
	for {
		select {
		case <-ctx.Done():
			l.giveBack(context.WithoutCancel(ctx))
			return nil
		case <-renew.C:
			l.renewAll(ctx)
		case <-tell.C:
			l.giveBack(ctx)
		}
	}
}

func (l *Limiter) renewAll(ctx context.Context) {
	l.mu.Lock()
	all := make([]held, 0, len(l.held))
	for _, h := range l.held {
		all = append(all, h)
	}
	l.mu.Unlock()
	for _, h := range all {
		if l.c.do(ctx, func(ctx context.Context) error {
			return l.c.scripts.renew.Exec(ctx, l.c.rc, []string{tagged(h.key, l.c.cluster)}, []string{milliseconds(l.options.Lease), h.name, itoa(h.n)}).Error()
		}) != nil {
			return // the next round does; a lease lives for three
		}
	}
}

// giveBackOf returns at once what was released of a key that is crowded, and
// tells whether there was anything.
func (l *Limiter) giveBackOf(ctx context.Context, key string) bool {
	l.mu.Lock()
	some := slices.ContainsFunc(l.over, func(h held) bool { return h.key == key })
	l.mu.Unlock()
	if some {
		l.giveBack(ctx)
	}
	return some
}

// giveBack returns what was released. What Redis does not hear is over by itself
// in a minute.
func (l *Limiter) giveBack(ctx context.Context) {
	l.mu.Lock()
	over := l.over
	l.over = nil
	l.mu.Unlock()
	for i, h := range over {
		if l.c.do(ctx, func(ctx context.Context) error {
			return l.c.scripts.giveBack.Exec(ctx, l.c.rc, []string{tagged(h.key, l.c.cluster)}, []string{"0", h.name, itoa(h.n)}).Error()
		}) != nil {
			l.mu.Lock()
			l.over = append(l.over, over[i:min(len(over), i+maxDrops)]...)
			l.mu.Unlock()
			return
		}
	}
}
