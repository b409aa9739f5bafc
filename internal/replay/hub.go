package replay

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Hub is this instance's live logs: writers append, followers are woken. What
// it wakes them for is read from the log in memory while the run is live, and
// from the Store before and after.
type Hub struct {
	store Store
	mu    sync.Mutex
	live  map[string]*Log
}

// NewHub builds a Hub over a store.
func NewHub(store Store) *Hub { return &Hub{store: store, live: map[string]*Log{}} }

// Log is the live log of one run. One goroutine appends; any number follow.
type Log struct {
	hub    *Hub
	run    string
	mu     sync.Mutex
	events []Event       // all of them, from number first+1 on
	first  int64         // number before events[0]
	more   chan struct{} // closed and replaced when events grow
	done   bool
}

// Open starts the live log of a run, after the events the store has already.
func (h *Hub) Open(run string, after int64) *Log {
	l := &Log{hub: h, run: run, first: after, more: make(chan struct{})}
	h.mu.Lock()
	h.live[run] = l
	h.mu.Unlock()
	return l
}

// Seq is the number of the last event.
func (l *Log) Seq() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first + int64(len(l.events))
}

// Append makes events durable, numbers them and wakes the followers. number
// writes an event's JSON for the number it gets. Nothing is shown to a reader
// before it is stored: what a reader saw, every later reader sees.
func (l *Log) Append(ctx context.Context, number []func(seq int64) Event) error {
	next := l.Seq() + 1
	events := make([]Event, len(number))
	for i, make := range number {
		events[i] = make(next + int64(i))
	}
	if err := l.hub.store.AppendEvents(ctx, l.run, events); err != nil {
		return fmt.Errorf("append to the log of run %s: %w", l.run, err)
	}
	l.mu.Lock()
	l.events = append(l.events, events...)
	l.done = events[len(events)-1].Last
	close(l.more)
	l.more = make(chan struct{})
	l.mu.Unlock()
	return nil
}

// Close ends the live log; the stored one stays readable.
func (l *Log) Close() {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	if l.hub.live[l.run] == l {
		delete(l.hub.live, l.run)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.done {
		l.done = true
		close(l.more)
		l.more = make(chan struct{})
	}
}

// after gives the live events above a number, whether more can come, and a
// channel that closes when they do. ok is false when the number is before what the
// live log holds.
func (l *Log) after(seq int64) (events []Event, done bool, more <-chan struct{}, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq < l.first {
		return nil, false, nil, false
	}
	if from := seq - l.first; from < int64(len(l.events)) {
		events = l.events[from:len(l.events):len(l.events)]
	}
	return events, l.done, l.more, true
}

// batch is how many stored events are read at once.
const batch = 500

// Follow gives every event above after to emit, in order, first what is stored,
// then what comes, until the last event, until ctx ends or until emit fails. idle is
// called when nothing came for every: heartbeats. The caller has checked that
// the reader owns the run. It reports ErrGone when the log is not kept any more and the
// run is not live.
func (h *Hub) Follow(ctx context.Context, run string, after int64, every time.Duration, emit func([]Event) error, idle func() error) error {
	seen := after
	pass := func(events []Event) (last bool, err error) {
		if len(events) == 0 {
			return false, nil
		}
		seen = events[len(events)-1].Seq
		return events[len(events)-1].Last, emit(events)
	}
	for {
		h.mu.Lock()
		l := h.live[run]
		h.mu.Unlock()
		if l != nil {
			events, done, more, ok := l.after(seen)
			if ok {
				if last, err := pass(events); err != nil || last {
					return err
				}
				if len(events) > 0 {
					continue
				}
				if done {
					return nil
				}
				if err := wait(ctx, more, every, idle); err != nil {
					return err
				}
				continue
			}
		}
		events, err := h.store.EventsAfter(ctx, run, seen, batch)
		if err != nil {
			return fmt.Errorf("read the log of run %s: %w", run, err)
		}
		if last, err := pass(events); err != nil || last {
			return err
		}
		if len(events) == 0 && l == nil {
			return h.ended(ctx, run, seen)
		}
		if len(events) == 0 {
			if err := wait(ctx, nil, every, idle); err != nil {
				return err
			}
		}
	}
}

// ended tells a reader that has seen everything from one whose log is not kept
// any more.
func (h *Hub) ended(ctx context.Context, run string, seen int64) error {
	if seen == 0 {
		return ErrGone
	}
	last, err := h.store.EventsAfter(ctx, run, seen-1, 1)
	if err != nil {
		return fmt.Errorf("read the log of run %s: %w", run, err)
	}
	if len(last) == 1 && last[0].Seq == seen && last[0].Last {
		return nil
	}
	return ErrGone
}

// wait blocks until more closes, ctx ends, or one heartbeat interval passed.
func wait(ctx context.Context, more <-chan struct{}, every time.Duration, idle func() error) error {
	timer := time.NewTimer(every)
	defer timer.Stop()
	select {
	case <-more:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return idle()
	}
}

// Keep is how long the events of an ended run are kept.
const Keep = 10 * time.Minute

// Run trims old logs until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if err := h.store.TrimEvents(ctx, now.Add(-Keep)); err != nil && ctx.Err() == nil {
				return fmt.Errorf("trim event logs: %w", err)
			}
		}
	}
}
