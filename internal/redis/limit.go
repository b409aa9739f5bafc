package redis

import (
	"context"
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

// minutes is how many keys stand for one bucket: the minute of Redis's clock is
// among the estimate's neighbours, and the one before it is needed too.
const minutes = 4

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
	offset  atomic.Int64 // Redis's clock less the callers', in milliseconds

	mu   sync.Mutex
	held map[string]held // leases that are under way here, by name
	over []held          // to be given back
}

var _ limit.Limiter = (*Limiter)(nil)

// NewLimiter builds a Limiter. Run it, so that its leases last and end.
func NewLimiter(c *Client, o LimiterOptions) *Limiter {
	if o.Lease <= 0 {
		o.Lease = leaseFor
	}
	return &Limiter{c: c, options: o, held: map[string]held{}}
}

// call is what is asked for.
type call struct {
	now     time.Time
	buckets []limit.Bucket
	lease   limit.Lease
	name    string // of the lease
}

// ask is the part of a call whose keys are in one slot, and its answer.
type ask struct {
	buckets []int // indices into those of the call
	lease   bool
	result  int64   // of takeScript
	now     int64   // in milliseconds
	counts  []int64 // two for each bucket
}

// Take decides; see limit.Limiter. In one server it is one command.
func (l *Limiter) Take(ctx context.Context, now time.Time, buckets []limit.Bucket, lease limit.Lease) (limit.Verdict, error) {
	v := limit.Verdict{OK: true, Denied: -1, Release: func() {}}
	c := call{now, buckets, lease, random()}
	asks := l.split(c)
	if len(asks) == 0 {
		return v, nil
	}
	err := l.decide(ctx, c, asks)
	if err == nil && crowded(asks) && l.giveBackOf(ctx, lease.Key) {
		err = l.decide(ctx, c, asks)
	}
	if err != nil {
		l.unsure(c)
		return limit.Verdict{}, fmt.Errorf("take limits: %w", err)
	}
	for _, a := range asks {
		v.OK = v.OK && a.result == granted
	}
	if crowded(asks) {
		v.Crowded, v.Places = true, lease.Max
	}
	report(&v, asks, buckets)
	if v.OK && lease.N > 0 {
		v.Release = l.keep(held{lease.Key, c.name, lease.N})
	}
	return v, nil
}

// split sorts what is asked by the slot of its keys. One server has one.
func (l *Limiter) split(c call) []*ask {
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
	for i, b := range c.buckets {
		if b.Max > 0 {
			a := of(b.Key)
			a.buckets = append(a.buckets, i)
		}
	}
	if c.lease.N != 0 {
		of(c.lease.Key).lease = true
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
func (l *Limiter) tagged(key string) string {
	if l.c.cluster && tagOf(key) == key {
		return "{" + key + "}"
	}
	return key
}

// decide asks every slot. In a cluster there are several: one after the other, and
// what was granted before one refuses is given back. Asked at the same time,
// calls that will be refused anyway would for a moment take from those that
// would not.
func (l *Limiter) decide(ctx context.Context, c call, asks []*ask) error {
	for _, a := range asks {
		a.result = refused
	}
	for i, a := range asks {
		err := l.run(ctx, c, a)
		if err == nil && a.result == granted {
			continue
		}
		l.undo(context.WithoutCancel(ctx), c, asks[:i])
		if err != nil {
			return err
		}
		return l.look(ctx, c, asks[i+1:])
	}
	return nil
}

// look finds out how full the buckets are that were not asked.
func (l *Limiter) look(ctx context.Context, c call, asks []*ask) error {
	only := call{now: c.now, buckets: slices.Clone(c.buckets)}
	for i := range only.buckets {
		only.buckets[i].Take = 0
	}
	for _, a := range asks {
		bare := &ask{buckets: a.buckets}
		if err := l.run(ctx, only, bare); err != nil {
			return err
		}
		a.now, a.counts = bare.now, bare.counts
	}
	return nil
}

func crowded(asks []*ask) bool {
	return slices.ContainsFunc(asks, func(a *ask) bool { return a.result == full })
}

// errClock reports two clocks that do not come together.
var errClock = errors.New("redis and this instance disagree about the minute")

// run asks one slot, a second time when the estimate of Redis's clock was wrong.
func (l *Limiter) run(ctx context.Context, c call, a *ask) error {
	estimate := c.now.UnixMilli()
	if !l.options.CallerTime {
		estimate += l.offset.Load()
	}
	for range 2 {
		keys, args := l.words(c, a, estimate)
		var values []int64
		err := l.c.do(ctx, func(ctx context.Context) (err error) {
			values, err = l.c.scripts.take.Exec(ctx, l.c.rc, keys, args).AsIntSlice()
			return err
		})
		if err != nil {
			return err
		}
		if len(values) < 2 || values[0] != elsewhen && len(values) != 2+2*len(a.buckets) {
			return fmt.Errorf("an answer of %d numbers", len(values))
		}
		l.offset.Store(values[1] - c.now.UnixMilli())
		if values[0] != elsewhen {
			a.result, a.now, a.counts = values[0], values[1], values[2:]
			return nil
		}
		estimate = values[1]
	}
	return errClock
}

// words writes a call of the script.
func (l *Limiter) words(c call, a *ask, estimate int64) (keys, args []string) {
	keys = make([]string, 0, minutes*len(a.buckets)+1)
	args = make([]string, 0, 3+2*len(a.buckets)+4)
	first, clock := estimate/limit.Minute-2, ""
	if l.options.CallerTime {
		clock = itoa(estimate)
	}
	args = append(args, itoa(first), clock, itoa(int64(len(a.buckets))))
	for _, i := range a.buckets {
		b := c.buckets[i]
		key := l.tagged(b.Key)
		for m := range int64(minutes) {
			keys = append(keys, key+":"+itoa(first+m))
		}
		args = append(args, itoa(bound(b.Max)), itoa(units(b.Take)))
	}
	if a.lease {
		keys = append(keys, l.tagged(c.lease.Key))
		args = append(args, itoa(c.lease.N), itoa(max(0, c.lease.Max)), milliseconds(l.options.Lease), c.name)
	}
	return keys, args
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func units(take int64) int64 { return min(max(take, 0), most) }

func bound(limit int64) int64 { return min(limit, most) }

// undo gives back what some slots granted when another one refused.
func (l *Limiter) undo(ctx context.Context, c call, asks []*ask) {
	for _, a := range asks {
		var keys []string
		args := []string{itoa(int64(len(a.buckets)))}
		for at, i := range a.buckets {
			b := c.buckets[i]
			keys = append(keys, l.tagged(b.Key)+":"+itoa(a.now/limit.Minute))
			args = append(args, itoa(units(b.Take)))
			a.counts[2*at+1] -= units(b.Take)
		}
		if a.lease {
			keys = append(keys, l.tagged(c.lease.Key))
			args = append(args, c.name, itoa(c.lease.N))
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
