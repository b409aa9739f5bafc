// Package replay is the one ordered event log of a run: numbered from 1, written
// by the instance that serves the run, read by its owner from anywhere, as
// often as needed. It does not know what the events mean, apart from the type of the
// last one.
package replay

import (
	"context"
	"fmt"
	"time"

	"onemind/internal/fault"
)

// ErrGone reports a log that is not kept any more (or never was): read the run itself.
var ErrGone = fault.New(fault.NotFound, "stream_gone", "These events are not kept any more.")

// ErrInterrupted reports an answer whose instance died while it wrote.
var ErrInterrupted = fault.New(fault.Unavailable, "interrupted", "The server was interrupted while this answer was being written. What arrived is kept; try again for a whole answer.").After(time.Second)

// ErrDraining refuses what would begin a log on an instance that is about to go.
var ErrDraining = fault.New(fault.Unavailable, "draining", "This server is going down for an update. Try again.").After(2 * time.Second)

// ErrGap refuses events whose numbers do not go on where the log ends: two
// writers of one run, or one that lost count. It is a fault, so that the writer
// knows nothing was changed.
func ErrGap(run string, seq int64) error {
	return fault.New(fault.Internal, "event_gap", "Something went wrong on our side.").
		Because(fmt.Errorf("event %d does not continue the log of run %s", seq, run))
}

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
