package memory

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"onemind/internal/replay"
)

// Replay keeps the events of runs in this process. They end with it.
type Replay struct {
	mu   sync.Mutex
	logs map[string]*eventLog
}

// eventLog is one run's; its first event has number 1.
type eventLog struct {
	events []replay.Event
	last   time.Time // when it grew
}

var _ replay.Store = (*Replay)(nil)

// NewReplay builds an empty Replay.
func NewReplay() *Replay { return &Replay{logs: map[string]*eventLog{}} }

// AppendEvents adds to a log; see replay.Store. The same events a second time
// change nothing.
func (r *Replay) AppendEvents(_ context.Context, run string, events []replay.Event) error {
	if len(events) == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var have []replay.Event
	if l := r.logs[run]; l != nil {
		have = l.events
	}
	for i, e := range events {
		known := e.Seq <= int64(len(have))
		if e.Seq < 1 || e.Seq != events[0].Seq+int64(i) || e.Seq > int64(len(have)+i+1) || known && !bytes.Equal(have[e.Seq-1].Data, e.Data) {
			return replay.ErrGap(run, e.Seq)
		}
	}
	if fresh := int64(len(have)) - events[0].Seq + 1; fresh < int64(len(events)) {
		r.logs[run] = &eventLog{append(have, events[fresh:]...), time.Now()}
	}
	return nil
}

// EventsAfter reads a log; see replay.Store.
func (r *Replay) EventsAfter(_ context.Context, run string, after int64, limit int) ([]replay.Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.logs[run]
	if l == nil || after >= int64(len(l.events)) {
		return nil, nil
	}
	rest := l.events[max(after, 0):]
	return slices.Clone(rest[:min(len(rest), max(limit, 0))]), nil
}

// TrimEvents forgets old logs; see replay.Store.
func (r *Replay) TrimEvents(_ context.Context, before time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for run, l := range r.logs {
		ended := l.events[len(l.events)-1].Last
		if ended && l.last.Before(before) || l.last.Before(before.Add(-replay.Silence)) {
			delete(r.logs, run)
		}
	}
	return nil
}
