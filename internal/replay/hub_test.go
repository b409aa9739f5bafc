package replay_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"onemind/internal/replay"
	"onemind/internal/sqlite"
)

func newHub(t *testing.T) *replay.Hub {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "onemind.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return replay.NewHub(db)
}

func numbered(last bool) func(int64) replay.Event {
	return func(seq int64) replay.Event {
		return replay.Event{Seq: seq, Data: fmt.Appendf(nil, `{"seq":%d}`, seq), Last: last}
	}
}

// follow collects the numbers a reader sees from after on, until the log ends.
func follow(ctx context.Context, h *replay.Hub, after int64) ([]int64, error) {
	var seen []int64
	err := h.Follow(ctx, "run", after, time.Minute, func(events []replay.Event) error {
		for _, e := range events {
			seen = append(seen, e.Seq)
		}
		return nil
	}, func() error { return nil })
	return seen, err
}

func TestEveryReaderSeesEveryEventOnce(t *testing.T) {
	h := newHub(t)
	log := h.Open("run", 0)
	type result struct {
		after int64
		seen  []int64
		err   error
	}
	const events = 60
	results := make(chan result)
	for after := range int64(20) {
		go func() {
			seen, err := follow(t.Context(), h, after*3)
			results <- result{after * 3, seen, err}
		}()
	}
	for i := range events {
		if err := log.Append(t.Context(), []func(int64) replay.Event{numbered(i == events-1)}); err != nil {
			t.Fatal(err)
		}
	}
	log.Close()
	for range 20 {
		r := <-results
		if r.err != nil || int64(len(r.seen)) != events-r.after {
			t.Errorf("from %d: %d events, %v", r.after, len(r.seen), r.err)
		}
		for i, seq := range r.seen {
			if seq != r.after+int64(i)+1 {
				t.Fatalf("from %d: event %d came as number %d", r.after, seq, i)
			}
		}
	}
	if seen, err := follow(t.Context(), h, 10); err != nil || len(seen) != events-10 {
		t.Errorf("from the store: %d events, %v", len(seen), err)
	}
	if seen, err := follow(t.Context(), h, events); err != nil || len(seen) != 0 {
		t.Errorf("a reader that saw everything: %v, %v", seen, err)
	}
}

func TestGone(t *testing.T) {
	h := newHub(t)
	if _, err := follow(t.Context(), h, 0); !errors.Is(err, replay.ErrGone) {
		t.Errorf("a log that never was: %v", err)
	}
	if _, err := follow(t.Context(), h, 7); !errors.Is(err, replay.ErrGone) {
		t.Errorf("a number that never was: %v", err)
	}
}
