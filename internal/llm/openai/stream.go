package openai

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"onemind/internal/llm"
)

// drainFor bounds the wait for a connection's last bytes after the answer is
// complete. They are nearly always here already, and make the connection usable
// for the next call.
const drainFor = 50 * time.Millisecond

// stream passes the events of a streamed answer on.
func (k *call) stream(body io.Reader) (llm.Result, error) {
	r, _ := k.client.readers.Get().(*sse)
	if r == nil {
		r = &sse{}
	}
	r.reset(patient{k, body})
	defer func() {
		r.from = nil
		k.client.readers.Put(r)
	}()
	var a answer
	err := k.events(r, &a)
	result := llm.Result{Finish: a.finish}
	if a.hasUsage {
		usage := a.usage
		result.Usage = &usage
	}
	if err == nil {
		k.watch.arm(drainFor, errIdle)
		_, _ = io.CopyN(io.Discard, body, 4<<10)
	}
	return result, err
}

// events reads events until the stream ends. It gives nil for an answer that is
// complete, whatever became of the connection afterwards.
func (k *call) events(r *sse, a *answer) error {
	var ev llm.Event
	for {
		data, err := r.next()
		if err != nil {
			return k.over(err, a)
		}
		if isDone(data) {
			return nil
		}
		if len(bytes.TrimSpace(data)) == 0 {
			continue
		}
		k.watch.rest()
		k.begun = true
		if !utf8.Valid(data) {
			data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
		}
		if r.failure {
			return complaintOf(data).failure(0, k.to)
		}
		if wrong := a.read(data, &ev); wrong != "" {
			if r.closed { // what came last came in part
				return k.over(io.ErrUnexpectedEOF, a)
			}
			return k.broken("The provider's stream cannot be read: %s", wrong)
		}
		if a.trouble != nil {
			return complaintOf(a.trouble).failure(0, k.to)
		}
		after, more := r.peek()
		ev.More = more && !isDone(after)
		if err := k.emit(&ev); err != nil {
			return err
		}
	}
}

func isDone(data []byte) bool { return string(data) == "[DONE]" }

// over judges a stream that ended without saying so.
func (k *call) over(err error, a *answer) error {
	if k.ctx.Err() != nil {
		return k.ended()
	}
	if a.finish != "" {
		return nil // only the usage or the closing line is missing
	}
	if ended := k.ended(); ended != nil {
		return ended
	}
	if errors.Is(err, errLongEvent) {
		return k.broken("The provider's stream cannot be read: %s", err)
	}
	return &llm.Failure{Class: llm.Broken, Text: "The provider's stream was cut before its end.", Err: fmt.Errorf("read the stream: %w", err)}
}
