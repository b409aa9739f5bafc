package redis

import (
	"sync"
	"time"
)

// When the breaker opens: after failuresMax failures in a row, or when within
// window at least as many fail and they are more than a tenth of all calls (a
// single pause of this process fails a few of very many, and means nothing).
const (
	failuresMax = 5
	window      = 10 * time.Second
	failedPart  = 10
	restFor     = time.Second // until one probe decides
)

// breaker stops asking somebody who does not answer. Closed it lets everybody
// through; open nobody, until it has rested; then one probe at a time decides.
type breaker struct {
	mu      sync.Mutex
	inRow   int
	open    bool
	probing bool
	until   time.Time // while open

	since         time.Time // beginning of the window
	calls, failed int64     // within it

	failures, opens int64 // since the start
}

func (b *breaker) up() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.open
}

func (b *breaker) counts() (failures, opens int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures, b.opens
}

// enter tells whether a call may go out, and whether it is the one that decides.
func (b *breaker) enter(now time.Time) (probe, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return false, true
	}
	if b.probing || now.Before(b.until) {
		return false, false
	}
	b.probing = true
	return true, true
}

// leave ends a call that nothing is known of.
func (b *breaker) leave(probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	}
}

// success tells whether it ended an outage. Of the calls that began before an
// outage none does: only the probe.
func (b *breaker) success(probe bool, now time.Time) (back bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open && !probe {
		return false
	}
	back, b.inRow = b.open, 0
	if back {
		b.open, b.probing = false, false
		b.since, b.calls, b.failed = now, 0, 0
	}
	b.count(now)
	return back
}

// failure tells whether it began an outage.
func (b *breaker) failure(probe bool, now time.Time) (began bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	if b.open {
		if probe {
			b.probing, b.until = false, now.Add(restFor)
		}
		return false
	}
	b.inRow++
	b.count(now)
	b.failed++
	began = b.inRow >= failuresMax || b.failed >= failuresMax && b.failed*failedPart > b.calls
	if began {
		b.open, b.probing, b.until = true, false, now.Add(restFor)
		b.opens++
	}
	return began
}

// count counts a call in the window, or begins the next one with it.
func (b *breaker) count(now time.Time) {
	if now.Sub(b.since) > window {
		b.since, b.calls, b.failed = now, 0, 0
	}
	b.calls++
}
