package replay_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/replay"
	"onemind/internal/sqlite"
)

func newHub(t *testing.T) *replay.Hub {
	t.Helper()
	return replay.NewHub(replay.Config{Store: openDB(t)})
}

func numbered(last bool) func(int64) replay.Event {
	return func(seq int64) replay.Event {
		return replay.Event{Seq: seq, Data: fmt.Appendf(nil, `{"seq":%d}`, seq), Last: last}
	}
}

var errEnough = errors.New("enough")

// follow collects the numbers a reader sees from after on, until the log ends or
// until a number, which is 0 for none.
func follow(ctx context.Context, h *replay.Hub, after, until int64) ([]int64, error) {
	var seen []int64
	err := h.Follow(ctx, "run", replay.Reader{After: after, Every: time.Minute, Idle: func() error { return nil },
		Running: func(context.Context) (bool, error) { return false, nil },
		Emit: func(events []replay.Event) error {
			for _, e := range events {
				seen = append(seen, e.Seq)
				if e.Seq == until {
					return errEnough
				}
			}
			return nil
		}})
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
			seen, err := follow(t.Context(), h, after*3, 0)
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
	if seen, err := follow(t.Context(), h, 10, 0); err != nil || len(seen) != events-10 {
		t.Errorf("from the store: %d events, %v", len(seen), err)
	}
	if seen, err := follow(t.Context(), h, events, 0); err != nil || len(seen) != 0 {
		t.Errorf("a reader that saw everything: %v, %v", seen, err)
	}
}

func TestGone(t *testing.T) {
	h := newHub(t)
	if _, err := follow(t.Context(), h, 0, 0); !errors.Is(err, replay.ErrGone) {
		t.Errorf("a log that never was: %v", err)
	}
	if _, err := follow(t.Context(), h, 7, 0); !errors.Is(err, replay.ErrGone) {
		t.Errorf("a number that never was: %v", err)
	}
}

// reader collects numbers until the log ends.
func reader(seen *[]int64, running func() bool) replay.Reader {
	return replay.Reader{Every: 20 * time.Millisecond, Idle: func() error { return nil },
		Running: func(context.Context) (bool, error) { return running(), nil },
		Emit: func(events []replay.Event) error {
			for _, e := range events {
				*seen = append(*seen, e.Seq)
			}
			return nil
		}}
}

func whole(t *testing.T, what string, seen []int64, want int) {
	t.Helper()
	if len(seen) != want {
		t.Fatalf("%s: %d events, want %d", what, len(seen), want)
	}
	for i, seq := range seen {
		if seq != int64(i)+1 {
			t.Fatalf("%s: event %d came as number %d", what, seq, i)
		}
	}
}

func openDB(t *testing.T) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "onemind.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // some are closed before
	return db
}

// A log whose store goes away in the middle moves to the spare whole, and every
// reader, of this instance and of another one, sees all of it once.
func TestLogMovesWhole(t *testing.T) {
	store, spare := openDB(t), openDB(t)
	h := replay.NewHub(replay.Config{Store: store, Spare: spare})
	other := replay.NewHub(replay.Config{Store: store, Spare: spare}) // another instance: it has no live log
	log := h.Open("run", 0)
	add := func(last bool) {
		t.Helper()
		if err := log.Append(t.Context(), []func(int64) replay.Event{numbered(last)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		add(false)
	}
	var here, elsewhere []int64
	ended := make(chan error, 2)
	var over atomic.Bool
	go func() { ended <- h.Follow(t.Context(), "run", reader(&here, func() bool { return true })) }()
	go func() {
		ended <- other.Follow(t.Context(), "run", reader(&elsewhere, func() bool { return !over.Load() }))
	}()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		add(i == 4)
	}
	over.Store(true)
	log.Close()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	whole(t, "a reader here", here, 10)
	whole(t, "a reader elsewhere", elsewhere, 10)
	var late []int64
	if err := other.Follow(t.Context(), "run", reader(&late, func() bool { return false })); err != nil {
		t.Error(err)
	}
	whole(t, "a late reader", late, 10)
}

// A reader of a run that another instance writes stays until it ends, and is
// woken by that instance's message.
func TestFollowElsewhere(t *testing.T) {
	store := openDB(t)
	writer := replay.NewHub(replay.Config{Store: store})
	log := writer.Open("run", 0)
	wake := make(chan struct{}, 1)
	watched, stopped := make(chan string, 1), make(chan struct{})
	h := replay.NewHub(replay.Config{Store: store, Watch: func(run string) (<-chan struct{}, func()) {
		watched <- run
		return wake, func() { close(stopped) }
	}})
	var seen []int64
	ended := make(chan error, 1)
	r := reader(&seen, func() bool { return true })
	r.Every = time.Minute // only the wake-up can be in time
	go func() { ended <- h.Follow(t.Context(), "run", r) }()
	if run := <-watched; run != "run" {
		t.Errorf("watched %s", run)
	}
	for i := range 3 {
		if err := log.Append(t.Context(), []func(int64) replay.Event{numbered(i == 2)}); err != nil {
			t.Fatal(err)
		}
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	<-stopped
	whole(t, "the reader", seen, 3)
}

// A run that ends between a reader's look at its log and the question whether it
// goes on is read to its end.
func TestEndsBetweenLooks(t *testing.T) {
	store := openDB(t)
	writer, h := replay.NewHub(replay.Config{Store: store}), replay.NewHub(replay.Config{Store: store})
	log := writer.Open("run", 0)
	add := func(last bool) {
		t.Helper()
		if err := log.Append(t.Context(), []func(int64) replay.Event{numbered(last)}); err != nil {
			t.Error(err)
		}
	}
	add(false)
	var seen []int64
	r := reader(&seen, func() bool { // asked when there is nothing more to read
		if len(seen) == 1 {
			add(false)
			add(true)
		}
		return false
	})
	if err := h.Follow(t.Context(), "run", r); err != nil {
		t.Error(err)
	}
	whole(t, "the reader", seen, 3)
}

// A long log takes a bounded part of the memory, and its readers miss nothing.
func TestLongLogInBoundedMemory(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	h := newHub(t)
	log := h.Open("run", 0)
	const events, atOnce = 4000, 50
	said := strings.Repeat("x", 16<<10)
	before := heap()
	for i := range events / atOnce {
		number := make([]func(int64) replay.Event, atOnce)
		for j := range number {
			number[j] = func(seq int64) replay.Event {
				return replay.Event{Seq: seq, Data: fmt.Append(nil, seq, said), Last: seq == events}
			}
		}
		if err := log.Append(t.Context(), number); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			if seen, err := follow(t.Context(), h, 100, 150); len(seen) != 50 || !errors.Is(err, errEnough) {
				t.Fatalf("while it is short: %d events, %v", len(seen), err)
			}
		}
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("%d MB of %d stay in memory", grown>>20, events*len(said)>>20)
	}
	for _, after := range []int64{0, 1, 2000, events - 1} {
		if seen, err := follow(t.Context(), h, after, 0); int64(len(seen)) != events-after || err != nil {
			t.Errorf("after %d: %d events, %v", after, len(seen), err)
		}
	}
}
