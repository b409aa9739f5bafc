package api

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// heartbeat is how often a silent stream says that it is alive: below the 100
// seconds after which proxies in front of us give up.
const heartbeat = 15 * time.Second

// writeWithin is how long a reader may take to accept one write. A slower one
// is dropped; it can come back where it was.
const writeWithin = 20 * time.Second

// eventWriter writes server-sent events. Events that come together leave in one write.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	mu      sync.Mutex
	buf     []byte
	started bool
	quiet   time.Time // when something was last sent
	bounded time.Time // when the writes to come were last bounded
	kind    string    // Content-Type when the stream is no event stream: it has no comments then
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	return &eventWriter{w: w, control: http.NewResponseController(w), quiet: time.Now()}
}

// start sends the headers.
func (e *eventWriter) start() {
	if e.started {
		return
	}
	e.started = true
	h := e.w.Header()
	kind := e.kind
	if kind == "" {
		kind = "text/event-stream; charset=utf-8"
	}
	h["Content-Type"] = []string{kind}
	h["Cache-Control"] = []string{"no-store, no-transform"}
	h["X-Accel-Buffering"] = []string{"no"}
	e.w.WriteHeader(http.StatusOK)
}

// begun tells whether something was sent, or waits to be sent with what comes.
func (e *eventWriter) begun() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.started || len(e.buf) > 0
}

// header sets a header, if they are not sent yet.
func (e *eventWriter) header(name, value string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.started {
		e.w.Header()[name] = []string{value}
	}
}

// data sends one data-only event; more says that another is right behind it.
func (e *eventWriter) data(payload []byte, more bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.buf = append(append(append(e.buf, "data: "...), payload...), "\n\n"...)
	if more && len(e.buf) < 32<<10 {
		return nil
	}
	return e.flush()
}

// raw sends frames that are whole; more says that others are right behind them.
func (e *eventWriter) raw(frames []byte, more bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.buf = append(e.buf, frames...)
	if more && len(e.buf) < 32<<10 {
		return nil
	}
	return e.flush()
}

// event sends one event with an id.
func (e *eventWriter) event(id []byte, payload []byte, more bool) error {
	e.id(id)
	return e.data(payload, more)
}

// numbered sends one frame that is whole, with an id.
func (e *eventWriter) numbered(id []byte, frame []byte, more bool) error {
	e.id(id)
	return e.raw(frame, more)
}

// id begins an event that has one.
func (e *eventWriter) id(id []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.buf = append(append(append(e.buf, "id: "...), id...), '\n')
}

// comment sends a line that readers ignore.
func (e *eventWriter) comment(text string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.kind != "" {
		e.buf = append(e.buf, '\n') // white space is all that JSON can be kept alive with
		return e.flush()
	}
	e.buf = append(append(e.buf, ": "...), text...)
	e.buf = append(e.buf, "\n\n"...)
	return e.flush()
}

// flush sends what is buffered; mu is held.
func (e *eventWriter) flush() error {
	e.start()
	now := time.Now()
	if now.Sub(e.bounded) > time.Second { // a second less patience is cheaper than a timer for each event
		_ = e.control.SetWriteDeadline(now.Add(writeWithin)) // not every writer has deadlines; those that lack them have no slow readers
		e.bounded = now
	}
	e.quiet = now
	_, err := e.w.Write(e.buf)
	e.buf = e.buf[:0]
	if err != nil {
		return err
	}
	return e.control.Flush()
}

// keepAlive sends a comment whenever nothing was sent for a heartbeat, until stop is called.
func (e *eventWriter) keepAlive(ctx context.Context) (stop func()) {
	timer := time.NewTimer(heartbeat)
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		defer timer.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case now := <-timer.C:
				e.mu.Lock()
				silent := now.Sub(e.quiet)
				e.mu.Unlock()
				if silent >= heartbeat {
					if e.comment("keep-alive") != nil {
						return
					}
					silent = 0
				}
				timer.Reset(heartbeat - silent)
			}
		}
	}()
	return func() { close(done); <-over }
}
