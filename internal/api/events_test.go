package api

import (
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slowLine is a connection whose writes are bounded in time, and what it found.
type slowLine struct {
	header   http.Header
	deadline time.Time
	takes    time.Duration // that a write takes
	written  int
}

func (l *slowLine) Header() http.Header { return l.header }
func (l *slowLine) WriteHeader(int)     {}
func (l *slowLine) Flush()              {}

func (l *slowLine) SetWriteDeadline(t time.Time) error {
	l.deadline = t
	return nil
}

func (l *slowLine) Write(b []byte) (int, error) {
	if l.deadline.IsZero() {
		time.Sleep(l.takes)
	} else if time.Sleep(min(l.takes, time.Until(l.deadline))); !time.Now().Before(l.deadline) {
		return 0, os.ErrDeadlineExceeded
	}
	l.written += len(b)
	return len(b), nil
}

// TestTrap23SteadyStreamOutlivesItsDeadline: a stream whose events come without a
// pause is not cut when its first write's time is over; a reader that takes nothing
// any more is dropped, also one that stops at once.
func TestTrap23SteadyStreamOutlivesItsDeadline(t *testing.T) {
	for _, first := range []time.Duration{2 * time.Second, 0} {
		synctest.Test(t, func(t *testing.T) {
			line := &slowLine{header: http.Header{}}
			e := newEventWriter(line)
			time.Sleep(first)
			for range 600 {
				time.Sleep(200 * time.Millisecond)
				if err := e.data([]byte(`{}`), false); err != nil {
					t.Fatalf("the reader of a stream that began after %v was dropped after %d bytes: %v", first, line.written, err)
				}
			}
			line.takes = time.Hour
			start := time.Now()
			if err := e.data([]byte(`{}`), false); err == nil {
				t.Errorf("a reader that takes nothing was waited for: %v", time.Since(start))
			} else if took := time.Since(start); took > writeWithin {
				t.Errorf("a reader that takes nothing was dropped after %v", took)
			}
		})
	}
}

// TestTrap24BrokenBeforeItWasFlushed: what waits to be sent was delivered and is
// charged: an error that comes right behind it is told behind it, not in its place.
func TestTrap24BrokenBeforeItWasFlushed(t *testing.T) {
	line := &slowLine{header: http.Header{}}
	e := newEventWriter(line)
	if e.begun() {
		t.Error("it has begun with nothing")
	}
	if err := e.raw([]byte("data: {}\n\n"), true); err != nil || line.written != 0 {
		t.Fatalf("%d bytes sent, %v", line.written, err)
	}
	if !e.begun() {
		t.Error("what waits to be sent would be dropped")
	}
}

// TestTrap45LengthIsAPromise: a body that is announced and does not come costs no
// memory; one that comes is read whole.
func TestTrap45LengthIsAPromise(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x"))
	r.ContentLength = maxChatBody
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = readBody(httptest.NewRecorder(), r, maxChatBody)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 2*bodyAtOnce {
		t.Errorf("%d KB for a body of one byte", took>>10)
	}
	r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", maxChatBody)))
	if body, err := readBody(httptest.NewRecorder(), r, maxChatBody); err != nil || len(body) != maxChatBody {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}
