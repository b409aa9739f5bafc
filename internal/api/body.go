package api

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// How long a request's body may take: without a bound a client that sends a byte
// now and then holds a connection and memory for as long as it likes. The largest
// body fits over a line of 0.7 Mbit/s.
const (
	bodyWait   = 30 * time.Second // for more of it
	bodyWithin = 5 * time.Minute  // for all of it
)

// timely is a request's body that fails with os.ErrDeadlineExceeded when it comes
// too slowly.
type timely struct {
	io.ReadCloser
	control *http.ResponseController
	until   time.Time // when all of it has to be there
}

// inTime bounds the time of a request's body, whoever reads it: what a handler
// leaves net/http reads itself, before it sends the answer.
func inTime(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 { // there is none: a deadline would be one of the connection
		return
	}
	b := &timely{ReadCloser: r.Body, control: http.NewResponseController(w), until: time.Now().Add(bodyWithin)}
	b.wait()
	r.Body = b
}

func (b *timely) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
		b.wait()
	case errors.Is(err, io.EOF):
		b.bound(time.Time{}) // from here on the connection waits for other things, such as its client leaving
	}
	return n, err
}

// wait gives the next bytes their time.
func (b *timely) wait() {
	next := time.Now().Add(bodyWait)
	if next.After(b.until) {
		next = b.until
	}
	b.bound(next)
}

func (b *timely) bound(t time.Time) {
	_ = b.control.SetReadDeadline(t) // a writer without deadlines has none to miss
}
