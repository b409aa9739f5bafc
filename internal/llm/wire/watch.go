package wire

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Why a watch ended a call.
var (
	errFirstToken = errors.New("no answer within the time for the first token")
	errWhole      = errors.New("no whole answer within the time for one")
	errIdle       = errors.New("the answer stopped and nothing came within the idle time")
)

// watch ends a call that waits too long for its provider. It runs only while
// the call waits: the time a slow reader takes is not the provider's. Its timer
// is used again for later calls.
type watch struct {
	timer *time.Timer
	armed bool
	fired bool // once, perhaps: it is not used again

	mu     sync.Mutex
	cancel context.CancelCauseFunc
	cause  error
}

// watches keeps timers that were stopped before they fired.
type watches struct{ pool sync.Pool }

// start ends the call by cancel, for the cause, when its first wait takes longer than d.
func (w *watches) start(cancel context.CancelCauseFunc, d time.Duration, cause error) *watch {
	t, _ := w.pool.Get().(*watch)
	if t == nil {
		t = &watch{}
		t.timer = time.AfterFunc(time.Hour, t.fire)
		t.timer.Stop()
	}
	t.mu.Lock()
	t.cancel = cancel
	t.mu.Unlock()
	t.arm(d, cause)
	return t
}

// end stops the watch. One that may just be firing is not used again: it would
// end somebody else's call.
func (w *watches) end(t *watch) {
	t.rest()
	t.mu.Lock()
	t.cancel = nil
	t.mu.Unlock()
	if !t.fired {
		w.pool.Put(t)
	}
}

// arm starts a wait of d; no d is no bound.
func (t *watch) arm(d time.Duration, cause error) {
	t.rest()
	if d <= 0 {
		return
	}
	t.mu.Lock()
	t.cause = cause
	t.mu.Unlock()
	t.armed = true
	t.timer.Reset(d)
}

// rest ends the wait.
func (t *watch) rest() {
	if t.armed {
		t.armed = false
		t.fired = !t.timer.Stop() || t.fired
	}
}

func (t *watch) fire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel != nil {
		t.cancel(t.cause)
	}
}
