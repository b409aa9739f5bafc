package limit

import (
	"context"
	"sync/atomic"
	"time"
)

// A Local decides alone and can be told what others decided.
type Local interface {
	Limiter
	// Count counts what the shared limiter granted.
	Count(now time.Time, buckets []Bucket)
}

// Shared decides with all instances, and alone while they share nothing: then
// every limit is divided by the number of live instances, so that all of them
// together grant no more than before. It is never open.
type Shared struct {
	together Limiter
	alone    Local
	live     func() int // instances that share the limits, at least 1
	degraded atomic.Bool
	lone     atomic.Int64
}

// NewShared builds a limiter over one that instances share and one of this
// instance's own.
func NewShared(together Limiter, alone Local, live func() int) *Shared {
	return &Shared{together: together, alone: alone, live: live}
}

var _ Limiter = (*Shared)(nil)

// Take decides; see Limiter. What the shared limiter grants is counted here too,
// so that a failure in the middle of a minute gives nobody a second helping.
func (s *Shared) Take(ctx context.Context, now time.Time, buckets []Bucket, lease Lease) (Verdict, error) {
	v, err := s.together.Take(ctx, now, buckets, lease)
	if err == nil {
		s.degraded.Store(false)
		if v.OK {
			s.alone.Count(now, buckets)
		}
		return v, nil
	}
	if ctx.Err() != nil {
		return Verdict{}, ctx.Err()
	}
	s.degraded.Store(true)
	s.lone.Add(1)
	n := int64(max(1, s.live()))
	own := make([]Bucket, len(buckets))
	for i, b := range buckets {
		own[i] = b
		own[i].Max = part(b.Max, n)
	}
	lease.Max = part(lease.Max, n)
	v, err = s.alone.Take(ctx, now, own, lease)
	v.Degraded = true
	return v, err
}

// part is one instance's share of a limit, at least one; 0 stays "no limit".
func part(most, n int64) int64 {
	if most <= 0 {
		return most
	}
	return max(1, most/n)
}

// Degraded tells whether the last decision was taken alone, and how many were
// since the start.
func (s *Shared) Degraded() (now bool, decisions int64) { return s.degraded.Load(), s.lone.Load() }
