// Package replay is the one ordered event log of a run: numbered from 1, written
// by the instance that serves the run, read by its owner from anywhere, as
// often as needed. It does not know what the events mean, apart from the type of the
// last one.
package replay

import (
	"context"
	"time"

	"onemind/internal/fault"
)

// ErrGone reports a log that is not kept any more (or never was): read the run itself.
var ErrGone = fault.New(fault.NotFound, "stream_gone", "These events are not kept any more.")

// Event is one numbered event. Data is its whole JSON, with seq, type and run in it.
type Event struct {
	Seq  int64
	Data []byte
	Last bool // run.finished: nothing follows
}

// Silence is how long a log that has no end may be silent; no answer takes as long.
const Silence = 24 * time.Hour

// A Store keeps logs durably; an appended event survives a crash.
type Store interface {
	// AppendEvents adds events to a run's log; their numbers continue without a gap.
	AppendEvents(ctx context.Context, run string, events []Event) error
	// EventsAfter gives the events with a number above after, in order, at most limit.
	EventsAfter(ctx context.Context, run string, after int64, limit int) ([]Event, error)
	// TrimEvents forgets logs that ended before a time, and those of no run that had
	// been silent for Silence before it: whoever wrote them is gone.
	TrimEvents(ctx context.Context, before time.Time) error
}
