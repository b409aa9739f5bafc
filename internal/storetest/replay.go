package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"onemind/internal/replay"
)

// Replay holds a replay.Store to its words. open gives one without logs.
func Replay(t *testing.T, open func(*testing.T) replay.Store) {
	t.Run("order", func(t *testing.T) { replayOrder(t, open(t)) })
	t.Run("gaps", func(t *testing.T) { replayGaps(t, open(t)) })
	t.Run("many runs", func(t *testing.T) { replayMany(t, open(t)) })
	t.Run("trim", func(t *testing.T) { replayTrim(t, open(t)) })
}

// events makes the events from one number to another.
func events(run string, from, to int64) (list []replay.Event) {
	for seq := from; seq <= to; seq++ {
		list = append(list, replay.Event{Seq: seq, Data: fmt.Appendf(nil, `{"seq":%d,"run":%q}`, seq, run)})
	}
	return list
}

// logged reads a log from after a number on and checks that nothing is missing.
func logged(t testing.TB, s replay.Store, run string, after, want int64) {
	t.Helper()
	got, err := s.EventsAfter(context.Background(), run, after, 10_000)
	check(t, err)
	if int64(len(got)) != want {
		t.Fatalf("%d events after %d of %s, want %d", len(got), after, run, want)
	}
	for i, e := range got {
		seq := after + int64(i) + 1
		if e.Seq != seq || string(e.Data) != fmt.Sprintf(`{"seq":%d,"run":%q}`, seq, run) {
			t.Fatalf("event %d of %s: %d %s", seq, run, e.Seq, e.Data)
		}
	}
}

func replayOrder(t *testing.T, s replay.Store) {
	ctx := context.Background()
	check(t, s.AppendEvents(ctx, "r", events("r", 1, 3)))
	check(t, s.AppendEvents(ctx, "r", events("r", 4, 12)))
	last := events("r", 13, 13)
	last[0].Last = true
	check(t, s.AppendEvents(ctx, "r", last))
	check(t, s.AppendEvents(ctx, "r", nil))
	logged(t, s, "r", 0, 13)
	logged(t, s, "r", 12, 1)
	logged(t, s, "r", 13, 0)
	logged(t, s, "none", 0, 0)
	got, err := s.EventsAfter(ctx, "r", 9, 3)
	check(t, err)
	if len(got) != 3 || got[0].Seq != 10 || got[2].Seq != 12 || got[2].Last {
		t.Errorf("three after nine: %+v", got)
	}
	if got, err = s.EventsAfter(ctx, "r", 12, 3); err != nil || len(got) != 1 || !got[0].Last {
		t.Errorf("the end: %+v, %v", got, err)
	}
}

// Numbers continue without a gap, and what is written is never written over; a
// retry of the very same events is not an error.
func replayGaps(t *testing.T, s replay.Store) {
	ctx := context.Background()
	check(t, s.AppendEvents(ctx, "r", events("r", 1, 3)))
	for name, bad := range map[string][]replay.Event{
		"a gap":           events("r", 5, 5),
		"a gap inside":    append(events("r", 4, 4), events("r", 6, 6)...),
		"another event 3": events("other", 3, 3),
		"overlapping":     events("other", 3, 5),
	} {
		if err := s.AppendEvents(ctx, "r", bad); err == nil {
			t.Errorf("%s is accepted", name)
		}
		logged(t, s, "r", 0, 3)
	}
	check(t, s.AppendEvents(ctx, "r", events("r", 2, 3)))
	logged(t, s, "r", 0, 3)
	check(t, s.AppendEvents(ctx, "r", events("r", 4, 5)))
	logged(t, s, "r", 0, 5)
}

func replayMany(t *testing.T, s replay.Store) {
	var writers sync.WaitGroup
	for i := range 20 {
		writers.Go(func() {
			run := fmt.Sprint("r", i)
			for seq := int64(1); seq <= 30; seq += 3 {
				if err := s.AppendEvents(context.Background(), run, events(run, seq, seq+2)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	for i := range 20 {
		logged(t, s, fmt.Sprint("r", i), 0, 30)
	}
}

func replayTrim(t *testing.T, s replay.Store) {
	ctx := context.Background()
	end := events("ended", 1, 2)
	end[1].Last = true
	check(t, s.AppendEvents(ctx, "ended", end))
	check(t, s.AppendEvents(ctx, "open", events("open", 1, 2)))
	check(t, s.TrimEvents(ctx, time.Now().Add(-time.Hour)))
	logged(t, s, "ended", 0, 2)
	check(t, s.TrimEvents(ctx, time.Now().Add(time.Hour)))
	// A store that lets keys expire by itself may say that a log is gone.
	if got, err := s.EventsAfter(ctx, "ended", 0, 10); len(got) != 0 || err != nil && !errors.Is(err, replay.ErrGone) {
		t.Errorf("an ended log after it was trimmed: %+v, %v", got, err)
	}
	logged(t, s, "open", 0, 2)
	check(t, s.AppendEvents(ctx, "open", events("open", 3, 3)))
	logged(t, s, "open", 0, 3)
}

// ReplaySilence holds a store that forgets nothing by itself to forgetting the logs
// that nobody writes any more.
func ReplaySilence(t *testing.T, s replay.Store) {
	ctx := context.Background()
	check(t, s.AppendEvents(ctx, "lost", events("lost", 1, 2)))
	check(t, s.TrimEvents(ctx, time.Now().Add(replay.Silence-time.Minute)))
	logged(t, s, "lost", 0, 2)
	check(t, s.TrimEvents(ctx, time.Now().Add(replay.Silence+time.Minute)))
	logged(t, s, "lost", 0, 0)
}
