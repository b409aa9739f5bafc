package gateway

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"onemind/internal/llm"
)

// How large a recording may be: in memory, and as a value that is kept. A chunk
// says the same forty words around each token, so that values are about a tenth.
const (
	mostTaped = 8 << 20
	mostKept  = 1 << 20
)

// recording is a whole answer as it was delivered, to be delivered again.
type recording struct {
	head   recordHead
	events []byte // of a streamed one: packed events, see tape.add
	body   []byte // of one that came whole
}

// recordHead is what is known of the answer beside its bytes.
type recordHead struct {
	Key     string       `json:"key"` // under which it is kept
	Stream  bool         `json:"stream,omitempty"`
	Native  bool         `json:"native,omitempty"` // in the dialect its caller spoke
	Finish  string       `json:"finish,omitempty"`
	Usage   llm.Usage    `json:"usage"`
	Changes []llm.Change `json:"changes,omitempty"`
}

// play delivers the recording as a provider does. It costs no time: the pieces are
// those of the first delivery, or words when that came whole. The result is that of
// the recording beside an error too, which is ctx's or emit's.
func (r *recording) play(ctx context.Context, emit func(*llm.Event) error) (llm.Result, error) {
	usage := r.head.Usage
	result := llm.Result{Finish: r.head.Finish, Usage: &usage, Changes: r.head.Changes, Native: r.head.Native && !r.head.Stream}
	if !r.head.Stream {
		result.Body = r.body
		return result, ctx.Err()
	}
	for rest := r.events; len(rest) > 0; {
		var ev llm.Event
		var err error
		if rest, err = unpackEvent(rest, &ev); err != nil {
			return llm.Result{}, err
		}
		if ctx.Err() != nil {
			return result, ctx.Err()
		}
		ev.More = len(rest) > 0
		if err := emit(&ev); err != nil {
			return result, err
		}
	}
	return result, nil
}

// as gives the recording in the shape a request wants, false when there is none: a
// stream as a whole or the other way round. What is in a dialect of its own, and
// what is no chat, is given as it was only.
func (r *recording) as(req *llm.Request) (*recording, bool) {
	switch {
	case r == nil:
		return nil, false
	case r.head.Stream == req.Stream:
		return r, true
	case r.head.Native || req.Op != llm.Chat:
		return nil, false
	case req.Stream:
		return r.streamed()
	}
	return r.whole()
}

// tape records the events of one answer.
type tape struct {
	stream bool
	native bool
	full   bool
	output int
	events []byte
}

// add packs an event behind the others: its data, then content and reasoning as
// places in it where they are, then the rest.
func (t *tape) add(ev *llm.Event) {
	if t.full || len(t.events)+len(ev.Data) > mostTaped {
		t.full, t.events = true, nil
		return
	}
	t.native = t.native || ev.Native != ""
	t.output += ev.Output
	t.events = packEvent(t.events, ev)
}

// end makes the recording of an answer that is over; nil when there is none.
func (t *tape) end(head recordHead, body []byte) *recording {
	head.Stream = t.stream
	if !t.stream {
		if len(body) == 0 || len(body) > mostTaped {
			return nil
		}
		return &recording{head: head, body: body}
	}
	if t.full || t.output == 0 {
		return nil
	}
	head.Native = t.native
	return &recording{head: head, events: t.events}
}

func packEvent(dst []byte, ev *llm.Event) []byte {
	dst = appendBytes(dst, ev.Data)
	dst = appendPart(dst, ev.Data, ev.Content)
	dst = appendPart(dst, ev.Data, ev.Reasoning)
	dst = appendBytes(dst, []byte(ev.Finish))
	dst = appendBytes(dst, []byte(ev.Native))
	dst = binary.AppendUvarint(dst, uint64(max(ev.Output, 0)))
	usage := uint64(0)
	if ev.Usage {
		usage = 1
	}
	return binary.AppendUvarint(dst, uint64(max(ev.Choices, 0))<<1|usage)
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// appendPart appends a part of data as where it is: its length, and its place plus
// one, or 0 and the bytes of what is somewhere else.
func appendPart(dst, data, part []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(part)))
	if len(part) == 0 {
		return dst
	}
	at := bytes.Index(data, part)
	dst = binary.AppendUvarint(dst, uint64(at+1))
	if at < 0 {
		dst = append(dst, part...)
	}
	return dst
}

var errRecording = errors.New("the recording of an answer is damaged")

// unpackEvent reads the first event of packed into ev and gives what follows. The
// event's bytes are those of packed.
func unpackEvent(packed []byte, ev *llm.Event) (rest []byte, err error) {
	u := unpacker{rest: packed}
	*ev = llm.Event{Data: u.bytes()}
	ev.Content = u.part(ev.Data)
	ev.Reasoning = u.part(ev.Data)
	ev.Finish = string(u.bytes())
	ev.Native = string(u.bytes())
	ev.Output = u.number(1 << 30)
	flags := u.number(1 << 30)
	ev.Choices, ev.Usage = flags>>1, flags&1 == 1
	if u.bad {
		return nil, errRecording
	}
	return u.rest, nil
}

// unpacker reads what was packed; once something is wrong it gives nothing any more.
type unpacker struct {
	rest []byte
	bad  bool
}

func (u *unpacker) number(most uint64) int {
	n, size := binary.Uvarint(u.rest)
	if u.bad || size <= 0 || n > most {
		u.bad = true
		return 0
	}
	u.rest = u.rest[size:]
	return int(n)
}

func (u *unpacker) take(n int) []byte {
	if u.bad || n > len(u.rest) {
		u.bad = true
		return nil
	}
	taken := u.rest[:n:n]
	u.rest = u.rest[n:]
	return taken
}

func (u *unpacker) bytes() []byte { return u.take(u.number(mostTaped)) }

func (u *unpacker) part(data []byte) []byte {
	n := u.number(mostTaped)
	if n == 0 {
		return nil
	}
	at := u.number(mostTaped)
	if at == 0 {
		return u.take(n)
	}
	if at-1+n > len(data) {
		u.bad = true
		return nil
	}
	return data[at-1 : at-1+n]
}

// pack writes the recording as a value: a head in JSON and the bytes, compressed.
func (r *recording) pack() []byte {
	head, err := json.Marshal(r.head)
	if err != nil { // strings and numbers always can be written
		return nil
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		return nil
	}
	_, err = w.Write(appendBytes(nil, head))
	for _, part := range [][]byte{r.events, r.body} {
		if err == nil {
			_, err = w.Write(part)
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil { // memory always can be written to
		return nil
	}
	return out.Bytes()
}

// unpack reads a value. A recording it gives can be played to its end.
func unpack(value []byte) (*recording, error) {
	const most = mostTaped + mostTaped/4 // what is around each event counts too
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(value)), most+1))
	if err != nil {
		return nil, fmt.Errorf("unpack a recording: %w", err)
	}
	u := unpacker{rest: raw}
	head := u.bytes()
	if u.bad || len(raw) > most {
		return nil, errRecording
	}
	var r recording
	if err := json.Unmarshal(head, &r.head); err != nil {
		return nil, fmt.Errorf("unpack a recording: %w", err)
	}
	if !r.head.Stream {
		r.body = u.rest
		return &r, nil
	}
	r.events = u.rest
	var ev llm.Event
	for rest := r.events; len(rest) > 0; {
		if rest, err = unpackEvent(rest, &ev); err != nil {
			return nil, err
		}
	}
	return &r, nil
}
