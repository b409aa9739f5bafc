// Package limit answers one question: may this call go ahead now? A limiter
// takes from all of a call's buckets or from none. What the limits are is the
// catalog's business.
package limit

import (
	"context"
	"time"

	"onemind/internal/fault"
)

// Bucket is one limit that a call counts against. A minute slides: the last
// fixed minute counts with the share of it that is still inside the window.
type Bucket struct {
	Key   string // such as "ratelimit:{42}" or "ratelimit:{42}:openai"; the minute is added by the limiter
	Scope string // "user", "user_provider", "global", "tokens" or "address": named in headers and refusals
	Max   int64  // per minute; 0 means no limit
	Take  int64  // units this call takes; 1 for a model call
}

// State is what is left of one bucket after a decision.
type State struct {
	Scope     string
	Max       int64
	Remaining int64
	Reset     time.Duration // until the window has slid far enough for the bucket to be full again, at most two minutes
}

// Lease is a number of places under one key that a call keeps while it runs.
// The zero Lease asks for none.
type Lease struct {
	Key string // such as "answers:{42}"
	N   int64  // places this call needs
	Max int64  // places there are; 0 means no bound, but they are counted
}

// Verdict is the answer for all of a call's buckets and its lease.
type Verdict struct {
	OK     bool
	States []State // one per limited bucket, in the order asked
	Denied int     // index into States of the first bucket that refused, -1 if none
	Retry  time.Duration
	// Crowded says that the lease refused, and Places how many there are.
	Crowded bool
	Places  int64
	// Degraded says that this instance decided alone, with its share of each limit.
	Degraded bool
	// Release gives the lease back. It is never nil and may be called more than once.
	Release func()
}

// Limiter decides. Take is all or nothing and atomic over every bucket and the
// lease. Time is the limiter's own where instances share one: now is what a
// limiter that stands alone goes by.
type Limiter interface {
	Take(ctx context.Context, now time.Time, buckets []Bucket, lease Lease) (Verdict, error)
}

// Err builds the refusal of a verdict: 429 with the scope, the limit and when
// to try again; nil when the call may go ahead.
func (v Verdict) Err() error {
	if v.OK {
		return nil
	}
	if v.Crowded {
		e := fault.New(fault.Limited, "too_many_answers", "You already have %d answers under way, the most your plan allows at once.", v.Places)
		e.Field = "concurrent_answers"
		return e.After(2 * time.Second)
	}
	s := v.States[v.Denied]
	e := fault.New(fault.Limited, "rate_limited", "The limit of %d per minute for scope %s is reached.", s.Max, s.Scope)
	e.Field = s.Scope
	return e.After(max(v.Retry, time.Second))
}
