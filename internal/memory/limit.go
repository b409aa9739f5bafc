// Package memory keeps in this process what several instances would share: how
// often everyone called in the last minute, and how many answers are under way.
// A restart forgets it. What the limits are is not known here.
package memory

import (
	"context"
	"sync"
	"time"

	"onemind/internal/limit"
)

// minute is the fixed window in milliseconds.
const minute = limit.Minute

// most bounds limits and counts, so that a count times a minute in milliseconds
// stays inside an int64. Above it a limit would not limit anything.
const most = 1 << 46

// Limiter counts units per key in fixed minutes. The window slides: the last
// minute counts with the share of it that is still inside. There is nothing to
// sweep: when a minute begins its map becomes the last one's, and the map
// before that goes with all its keys.
type Limiter struct {
	mu        sync.Mutex
	minute    int64            // number of the minute that now counts
	now, last map[string]int64 // units taken in it and in the one before
	leases    map[string]int64
}

var _ limit.Limiter = (*Limiter)(nil)

// NewLimiter builds a limiter that has seen nobody yet.
func NewLimiter() *Limiter {
	return &Limiter{now: map[string]int64{}, last: map[string]int64{}, leases: map[string]int64{}}
}

// Take takes from all buckets and the lease or from none; see limit.Limiter.
func (l *Limiter) Take(_ context.Context, now time.Time, buckets []limit.Bucket, lease limit.Lease) (limit.Verdict, error) {
	v := limit.Verdict{OK: true, Denied: -1, Release: func() {}}
	limited := 0
	for i := range buckets {
		if buckets[i].Max > 0 {
			limited++
		}
	}
	if limited == 0 && lease.N == 0 {
		return v, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if limited > 0 {
		v.States = make([]limit.State, limited)
		gone := l.turn(now.UnixMilli())
		l.takeAll(&v, buckets, lease, gone)
		l.report(&v, buckets, gone)
	} else {
		l.crowd(&v, lease)
	}
	if v.OK && lease.N > 0 {
		v.Release = l.keep(lease)
	}
	return v, nil
}

// takeAll takes from one bucket after the other, so that a key that is named
// twice counts twice, and gives back when one of them or the lease refuses.
func (l *Limiter) takeAll(v *limit.Verdict, buckets []limit.Bucket, lease limit.Lease, gone int64) {
	taken := len(buckets)
	for i := range buckets {
		b := &buckets[i]
		if b.Max <= 0 {
			continue
		}
		w := limit.Window{Last: l.last[b.Key], Now: l.now[b.Key], Gone: gone}
		if !w.Fits(units(b.Take), bound(b.Max)) {
			v.OK, taken = false, i
			break
		}
		if b.Take > 0 {
			l.now[b.Key] = w.Now + units(b.Take)
		}
	}
	if v.OK {
		l.crowd(v, lease)
	}
	if !v.OK {
		l.giveBack(buckets[:taken])
	}
}

// crowd refuses a lease for which there are too few places.
func (l *Limiter) crowd(v *limit.Verdict, lease limit.Lease) {
	if lease.N < 0 || lease.Max > 0 && l.leases[lease.Key]+lease.N > lease.Max {
		v.OK, v.Crowded, v.Places = false, true, lease.Max
	}
}

// Count counts what another limiter has granted, so that this one, should it
// have to decide alone, goes on from there. It refuses nothing.
func (l *Limiter) Count(now time.Time, buckets []limit.Bucket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now.UnixMilli())
	for i := range buckets {
		if b := &buckets[i]; b.Max > 0 && b.Take > 0 {
			l.now[b.Key] = min(l.now[b.Key]+units(b.Take), most)
		}
	}
}

// turn moves on to the minute of now and gives the milliseconds of it that are
// gone. A caller whose clock was read before another's turned the minute counts
// at its beginning.
func (l *Limiter) turn(now int64) (gone int64) {
	switch number := now / minute; {
	case number < l.minute:
		return 0
	case number == l.minute:
	case number == l.minute+1:
		l.last, l.now = l.now, make(map[string]int64, len(l.now))
		l.minute = number
	default:
		l.last, l.now = map[string]int64{}, map[string]int64{}
		l.minute = number
	}
	return now % minute
}

func (l *Limiter) giveBack(buckets []limit.Bucket) {
	for i := range buckets {
		b := &buckets[i]
		if b.Max <= 0 || b.Take <= 0 {
			continue
		}
		if l.now[b.Key] -= units(b.Take); l.now[b.Key] == 0 {
			delete(l.now, b.Key)
		}
	}
}

// report fills in what is left of every bucket and, after a refusal, who
// refused first and when all would let the call go.
func (l *Limiter) report(v *limit.Verdict, buckets []limit.Bucket, gone int64) {
	at := 0
	for i := range buckets {
		b := &buckets[i]
		if b.Max <= 0 {
			continue
		}
		w := limit.Window{Last: l.last[b.Key], Now: l.now[b.Key], Gone: gone}
		v.States[at] = limit.State{Scope: b.Scope, Max: b.Max, Remaining: w.Free(bound(b.Max)), Reset: w.Reset()}
		if !v.OK && !v.Crowded && !w.Fits(units(b.Take), bound(b.Max)) {
			if v.Denied < 0 {
				v.Denied = at
			}
			v.Retry = max(v.Retry, w.Retry(units(b.Take), bound(b.Max)))
		}
		at++
	}
}

func units(take int64) int64 { return min(max(take, 0), most) }

func bound(limit int64) int64 { return min(limit, most) }

// keep takes a lease and gives what returns it.
func (l *Limiter) keep(lease limit.Lease) (release func()) {
	l.leases[lease.Key] += lease.N
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.leases[lease.Key] -= lease.N; l.leases[lease.Key] <= 0 {
			delete(l.leases, lease.Key)
		}
	})
}
