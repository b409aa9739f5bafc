package replay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/fault"
	"onemind/internal/memory"
	"onemind/internal/replay"
)

// streamsOn builds the streams of one instance over a store; the others are as alive
// as alive says.
func streamsOn(store replay.Store, owner string, alive bool) *replay.Streams {
	return replay.NewStreams(replay.StreamsConfig{Hub: replay.NewHub(replay.Config{Store: store}), Owner: owner,
		Alive: func(string) bool { return alive }, Log: slog.New(slog.DiscardHandler)})
}

// readStream follows a stream and gives what it read as "number:frame" lines.
func readStream(ctx context.Context, s *replay.Streams, name string, after int64) (string, error) {
	var read strings.Builder
	err := s.Follow(ctx, name, replay.Reader{After: after, Every: 15 * time.Second, Idle: func() error { return nil },
		Emit: func(events []replay.Event) error {
			for _, e := range events {
				fmt.Fprintf(&read, "%d:%s", e.Seq, e.Data)
			}
			return nil
		}})
	return read.String(), err
}

// ticks writes one event a second until its context ends or there were n.
func ticks(n int, ended chan<- error) func(context.Context, *replay.Stream) {
	return func(ctx context.Context, w *replay.Stream) {
		for i := range n {
			select {
			case <-ctx.Done():
				ended <- ctx.Err()
				return
			case <-time.After(time.Second):
				w.Write(fmt.Appendf(nil, "data: %d\n\n", i))
			}
		}
		ended <- nil
	}
}

func start(t *testing.T, s *replay.Streams, name string, serve func(context.Context, *replay.Stream)) {
	t.Helper()
	if err := s.Start(t.Context(), name, "/v1/x", serve); err != nil {
		t.Fatal(err)
	}
}

// Every reader gets every frame once, in order, wherever it begins.
func TestStreamIsReadFromAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := streamsOn(memory.NewReplay(), "a", false)
		ended := make(chan error, 1)
		start(t, s, "u/r", ticks(3, ended))
		const whole = "2:data: 0\n\n3:data: 1\n\n4:data: 2\n\n"
		for range 2 { // while it is written, and after
			for after, want := range map[int64]string{0: whole, 1: whole, 3: "4:data: 2\n\n", 4: "", 5: ""} {
				if got, err := readStream(t.Context(), s, "u/r", after); got != want || err != nil {
					t.Errorf("after %d: %q, %v", after, got, err)
				}
			}
		}
		if _, err := readStream(t.Context(), s, "u/r", 99); !errors.Is(err, replay.ErrGone) {
			t.Errorf("after what never was: %v", err)
		}
		if _, err := readStream(t.Context(), s, "other/r", 0); !errors.Is(err, replay.ErrGone) {
			t.Errorf("a name nobody used: %v", err)
		}
		if about, err := s.About(t.Context(), "u/r"); about != "/v1/x" || err != nil {
			t.Errorf("about %q, %v", about, err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Several frames written at once have a number each.
func TestFramesAreNumberedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := streamsOn(memory.NewReplay(), "a", false)
		start(t, s, "n", func(_ context.Context, w *replay.Stream) {
			w.Write([]byte("event: x\ndata: 1\n\nevent: y\ndata: 2\n\n: comment\n\n"))
		})
		if got, err := readStream(t.Context(), s, "n", 0); got != "2:event: x\ndata: 1\n\n3:event: y\ndata: 2\n\n4:: comment\n\n" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// A stream nobody reads runs on for a minute; a reader here or elsewhere keeps it going.
func TestUnwatchedStreamEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := streamsOn(memory.NewReplay(), "a", false)
		ended := make(chan error, 1)
		started := time.Now()
		start(t, s, "n", ticks(3600, ended))
		here, leave := context.WithTimeout(t.Context(), 5*time.Minute)
		defer leave()
		if _, err := readStream(here, s, "n", 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a reader who leaves: %v", err)
		}
		for range 10 {
			time.Sleep(45 * time.Second)
			s.ReadElsewhere("n")
		}
		s.ReadElsewhere("unknown")
		if err := <-ended; err == nil {
			t.Error("it ran to its end")
		}
		if took := time.Since(started).Round(time.Second); took != 5*time.Minute+450*time.Second+time.Minute {
			t.Errorf("it ran for %v", took)
		}
	})
}

// A reader on another instance says so often enough to keep the stream going.
func TestReaderElsewhereIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewReplay()
		a := streamsOn(store, "a", true)
		b := replay.NewStreams(replay.StreamsConfig{Hub: replay.NewHub(replay.Config{Store: store}), Owner: "b",
			Alive: func(string) bool { return true }, Watched: a.ReadElsewhere, Log: slog.New(slog.DiscardHandler)})
		ended := make(chan error, 2)
		start(t, a, "talks", ticks(600, ended))
		start(t, a, "is silent", func(ctx context.Context, w *replay.Stream) {
			select {
			case <-time.After(10 * time.Minute):
				w.Write([]byte("data: late\n\n"))
			case <-ctx.Done():
			}
			ended <- ctx.Err()
		})
		read := make(chan string, 2)
		for _, name := range []string{"talks", "is silent"} {
			go func() {
				got, err := readStream(t.Context(), b, name, 0)
				if err != nil {
					t.Error(err)
				}
				read <- got
			}()
		}
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("it was given up: %v", err)
			}
			if got := <-read; !strings.HasSuffix(got, "601:data: 599\n\n") && got != "2:data: late\n\n" {
				t.Errorf("%d bytes read elsewhere", len(got))
			}
		}
	})
}

// Whoever reads what a dead instance wrote gets all of it and hears why it ends.
func TestInterruptedStream(t *testing.T) {
	store := memory.NewReplay()
	dead := []replay.Event{{Seq: 1, Data: []byte(`{"owner":"dead","about":"/v1/x"}`)}, {Seq: 2, Data: []byte("data: 0\n\n")}}
	if err := store.AppendEvents(t.Context(), "n", dead); err != nil {
		t.Fatal(err)
	}
	if err := store.AppendEvents(t.Context(), "empty", dead[:1]); err != nil {
		t.Fatal(err)
	}
	s := streamsOn(store, "a", false)
	for _, tt := range []struct {
		name  string
		after int64
		want  string
		err   error
	}{{"n", 0, "2:data: 0\n\n", replay.ErrInterrupted}, {"n", 2, "", replay.ErrInterrupted}, {"empty", 0, "", replay.ErrInterrupted}, {"n", 7, "", replay.ErrGone}} {
		if got, err := readStream(t.Context(), s, tt.name, tt.after); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s after %d: %q, %v", tt.name, tt.after, got, err)
		}
	}
}

// An instance that goes lets streams end, for as long as it can wait.
func TestStreamsShutDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := streamsOn(memory.NewReplay(), "a", false)
		ended := make(chan error, 2)
		start(t, s, "short", ticks(5, ended))
		start(t, s, "long", func(ctx context.Context, w *replay.Stream) {
			<-ctx.Done()
			w.Write([]byte("data: cut\n\n"))
			ended <- ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s.Shutdown(ctx)
		if short, long := <-ended, <-ended; short != nil || long == nil {
			t.Errorf("the short one: %v; the long one: %v", short, long)
		}
		if got, err := readStream(t.Context(), s, "long", 0); got != "2:data: cut\n\n" || err != nil {
			t.Errorf("the long one says %q, %v", got, err)
		}
		if err := s.Start(t.Context(), "late", "", nil); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a new one: %v", err)
		}
	})
}

// failing is a store that is away for a while.
type failing struct {
	replay.Store
	until atomic.Pointer[time.Time]
}

func (f *failing) away(d time.Duration) {
	until := time.Now().Add(d)
	f.until.Store(&until)
}

func (f *failing) AppendEvents(ctx context.Context, run string, events []replay.Event) error {
	if until := f.until.Load(); until != nil && time.Now().Before(*until) {
		return errors.New("away")
	}
	return f.Store.AppendEvents(ctx, run, events)
}

// A store that comes back has everything; one that stays away ends the answer.
func TestStreamOutlivesItsStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &failing{Store: memory.NewReplay()}
		s := streamsOn(store, "a", false)
		ended := make(chan error, 2)
		start(t, s, "n", ticks(10, ended))
		time.Sleep(2500 * time.Millisecond)
		store.away(5 * time.Second)
		if got, err := readStream(t.Context(), s, "n", 0); strings.Count(got, "data:") != 10 || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		start(t, s, "m", ticks(3600, ended))
		time.Sleep(2500 * time.Millisecond)
		store.away(time.Minute)
		if err := <-ended; err == nil {
			t.Error("an answer that nobody can see goes on")
		}
		if got, err := readStream(t.Context(), s, "m", 0); strings.Count(got, "data:") < 2 || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}
