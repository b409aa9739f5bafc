// Package limit answers one question: may this call go ahead now? A limiter
// takes from all of a call's buckets or from none. What the limits are is the
// catalog's business.
package limit

import (
	"context"
	"fmt"
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

// Verdict is the answer for all of a call's buckets.
type Verdict struct {
	OK     bool
	States []State // one per limited bucket, in the order asked
	Denied int     // index into States of the first bucket that refused, -1 if none
	Retry  time.Duration
}

// Limiter decides. Take is all or nothing and atomic over every bucket.
type Limiter interface {
	Take(ctx context.Context, now time.Time, buckets []Bucket) (Verdict, error)
	// Acquire takes n of max leases under key until release is called, or
	// reports ok=false with nothing taken. Release may be called more than once.
	Acquire(ctx context.Context, key string, n, max int64) (release func(), ok bool, err error)
}

// Err builds the refusal of a verdict: 429 with the scope, the limit and when
// to try again.
func (v Verdict) Err() error {
	if v.OK {
		return nil
	}
	s := v.States[v.Denied]
	e := fault.New(fault.Limited, "rate_limited", "The limit of %d per minute for scope %s is reached.", s.Max, s.Scope)
	e.Field = s.Scope
	return e.After(max(v.Retry, time.Second))
}

// ErrConcurrent builds the refusal of a lease.
func ErrConcurrent(max int64) error {
	e := fault.New(fault.Limited, "too_many_answers", "%s", fmt.Sprintf("You already have %d answers under way, the most your plan allows at once.", max))
	e.Field = "concurrent_answers"
	return e.After(2 * time.Second)
}
