package sim

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Transport carries requests to a handler in this process, without a socket: a
// stream arrives as it is written, and the handler's context ends when the
// caller goes away.
func Transport(h http.Handler) http.RoundTripper { return transport{h} }

type transport struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper. The handler's goroutine ends with the
// body that is returned, which the caller has to close as ever.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	in := r.Clone(ctx)
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "in-process"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	pr, pw := io.Pipe()
	w := &writer{header: http.Header{}, pipe: pw, started: make(chan struct{})}
	// A reader that waits when the caller goes must not wait for the handler.
	stop := context.AfterFunc(r.Context(), func() { pw.CloseWithError(context.Cause(r.Context())) })
	go func() {
		defer cancel()
		defer stop()
		defer in.Body.Close()
		err := w.serve(t.handler, in)
		if gone := context.Cause(r.Context()); gone != nil {
			err = gone // a handler that stopped because the caller left did not finish
		}
		pw.CloseWithError(err)
	}()
	select {
	case <-w.started:
	case <-ctx.Done():
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		<-w.started // the handler is through
	}
	if w.status == 0 {
		return nil, fmt.Errorf("call the engine in this process: %w", w.failed)
	}
	return &http.Response{Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.sent, ContentLength: -1, Body: body{pr, cancel}, Request: r}, nil
}

// body ends the handler's context when it is closed.
type body struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b body) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// writer is the handler's side.
type writer struct {
	header  http.Header
	pipe    *io.PipeWriter
	once    sync.Once
	started chan struct{} // closed when the fields below are set
	sent    http.Header
	status  int   // 0: the handler failed before it answered
	failed  error // why
}

// serve runs the handler and gives how its body ends.
func (w *writer) serve(h http.Handler, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil { // as net/http does: a handler's panic is its own call's end
			err = io.ErrUnexpectedEOF
			if p != http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
				err = fmt.Errorf("the engine panicked: %v", p)
			}
			w.start(0, err)
		}
		w.start(http.StatusOK, nil)
	}()
	h.ServeHTTP(w, r)
	return nil
}

func (w *writer) start(status int, err error) {
	w.once.Do(func() {
		w.sent, w.status, w.failed = w.header.Clone(), status, err
		close(w.started)
	})
}

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) { w.start(status, nil) }

// Write implements http.ResponseWriter: it returns when the caller has read b.
func (w *writer) Write(b []byte) (int, error) {
	w.start(http.StatusOK, nil)
	return w.pipe.Write(b)
}

// Flush implements http.Flusher. Nothing is held back here.
func (w *writer) Flush() { w.start(http.StatusOK, nil) }
