package wire

import (
	"bytes"
	"errors"
	"io"

	"onemind/internal/llm/scan"
)

const (
	firstRead = 8 << 10
	maxEvent  = 16 << 20 // bytes of one event; a chunk has some hundred, an image some million
	maxReuse  = 64 << 10 // of a buffer that is kept when a large event is over
	maxWhole  = 64 << 10 // of JSON that stands in no field: an error
)

var errLongEvent = errors.New("an event is larger than 16 MiB")

// sse reads server-sent events as the WHATWG describes them, split anywhere. Of
// an event it keeps the data and the type. Lines of data are
// put together with a space instead of a line break: between the tokens of JSON
// both are the same, and what goes out stays on one line.
type sse struct {
	from   io.Reader
	err    error // what from reported beside its last bytes
	buf    []byte
	pos    int  // where the current line begins
	seek   int  // up to here the current line has no end
	end    int  // where bytes end
	lf     bool // a CR ended the last line: an LF that follows belongs to it
	begun  bool // the first line was read
	closed bool // from is at its end

	raw    bool      // the current event stands in no field
	first  span      // the current event's first line of data
	lines  int       // how many it has
	joined [2][]byte // several of them, by turns: an event's data stays while the next is read
	turn   int
	kind   string // its type

	data  []byte // of the event read last
	name  string // that one's type
	ready bool   // it was read ahead
}

// span is a stretch of sse.buf; slices would not survive the buffer's growth.
type span struct{ from, to int }

func (r *sse) reset(from io.Reader) {
	buf, joined := r.buf, r.joined
	if len(buf) == 0 || len(buf) > maxReuse {
		buf = make([]byte, firstRead)
	}
	for i := range joined {
		if cap(joined[i]) > maxReuse {
			joined[i] = nil
		}
	}
	*r = sse{from: from, buf: buf, joined: joined}
}

// next gives the data of the next event, valid until next is called again. At
// the end of the stream it says io.EOF; an event that lacks its empty line
// there counts, as servers forget it.
func (r *sse) next() ([]byte, error) {
	for !r.ready && !r.parse() {
		if !r.closed {
			if err := r.fill(); err != nil {
				return nil, err
			}
			continue
		}
		if r.pos < r.end {
			last := span{r.pos, r.end}
			if r.pos = r.end; r.field(last) {
				break
			}
		}
		if !r.dispatch() {
			return nil, io.EOF
		}
		break
	}
	r.ready = false
	return r.data, nil
}

// peek gives the data of the event after that, if all of it is here already.
func (r *sse) peek() ([]byte, bool) {
	data, name := r.data, r.name
	r.ready = r.ready || r.parse()
	if !r.ready {
		r.data, r.name = data, name
	}
	return r.data, r.ready
}

// parse reads lines until an event is complete.
func (r *sse) parse() bool {
	for {
		line, ok := r.line()
		if !ok {
			return false
		}
		if line.from == line.to {
			if r.dispatch() {
				return true
			}
		} else if r.field(line) {
			return true
		}
	}
}

// line finds the next line: one that ends with CR, LF or both.
func (r *sse) line() (span, bool) {
	if r.lf && r.pos < r.end {
		r.lf = false
		if r.buf[r.pos] == '\n' {
			r.pos++
			r.seek = max(r.seek, r.pos)
		}
	}
	rest := r.buf[r.seek:r.end]
	n := bytes.IndexByte(rest, '\n')
	if n >= 0 {
		rest = rest[:n]
	}
	if cr := bytes.IndexByte(rest, '\r'); cr >= 0 {
		n, r.lf = cr, true
	}
	if n < 0 {
		r.seek = r.end
		return span{}, false
	}
	line := span{r.pos, r.seek + n}
	r.pos = line.to + 1
	r.seek = r.pos
	return line, true
}

// field reads one line. It reports whether an event is complete: strictly only
// an empty line ends one, but some servers send each event as a bare line.
func (r *sse) field(line span) bool {
	text := r.buf[line.from:line.to]
	if !r.begun {
		r.begun = true
		if bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) {
			line.from += 3
			text = text[3:]
		}
	}
	switch {
	case bytes.HasPrefix(text, []byte("data:")):
		line.from += len("data:")
		if line.from < line.to && r.buf[line.from] == ' ' {
			line.from++
		}
		return r.add(line)
	case len(text) > 0 && text[0] == '{', bytes.HasPrefix(text, []byte("[{")), r.raw && goesOn(text):
		return r.bare(line)
	case string(text) == "data":
		return r.add(span{line.to, line.to})
	case bytes.HasPrefix(text, []byte("event:")):
		r.kind = eventType(bytes.TrimSpace(text[len("event:"):]))
	}
	return false
}

// bare takes a line of JSON that stands in no field, as no field has such a
// name: an error that was written into the stream, perhaps over several lines. It
// is an event as soon as it is whole.
func (r *sse) bare(line span) bool {
	if r.add(line) {
		r.raw = true
		return true
	}
	r.raw = r.raw || r.lines == 1
	if !r.raw {
		return false
	}
	said := r.buf[line.from:line.to]
	if r.lines > 1 {
		said = r.joined[r.turn]
	}
	last := r.buf[line.to-1]
	return (last == '}' || last == ']') && len(said) <= maxWhole && scan.Valid(said, scan.UpstreamDepth) && r.dispatch()
}

// goesOn tells whether a line may be a further one of JSON.
func goesOn(text []byte) bool {
	text = bytes.TrimLeft(text, " \t")
	return len(text) > 0 && bytes.IndexByte([]byte(`"{}[],`), text[0]) >= 0
}

// add takes a line of data into the current event.
func (r *sse) add(line span) bool {
	text := r.buf[line.from:line.to]
	if r.lines == 0 {
		r.first, r.lines = line, 1
		return false
	}
	if r.lines == 1 {
		first := r.buf[r.first.from:r.first.to]
		if len(text) > 0 && (text[0] == '{' || text[0] == '[') && len(first) > 0 && first[0] == '{' && scan.Valid(first, scan.UpstreamDepth) {
			r.dispatch()
			r.first, r.lines = line, 1
			return true
		}
		r.turn = 1 - r.turn
		if cap(r.joined[r.turn]) > maxReuse {
			r.joined[r.turn] = nil
		}
		r.joined[r.turn] = append(r.joined[r.turn][:0], first...)
	}
	r.lines++
	r.joined[r.turn] = append(append(r.joined[r.turn], ' '), text...)
	return false
}

// dispatch ends the current event; one without data is none.
func (r *sse) dispatch() bool {
	some := r.lines > 0
	if r.lines == 1 {
		r.data = r.buf[r.first.from:r.first.to]
	} else if some {
		r.data = r.joined[r.turn]
	}
	if some {
		r.name = r.kind
	}
	r.lines, r.kind, r.raw = 0, "", false
	return some
}

// fill reads once, after making room.
func (r *sse) fill() error {
	if r.err != nil {
		if errors.Is(r.err, io.EOF) {
			r.closed = true
			return nil
		}
		return r.err
	}
	keep := r.pos
	if r.lines == 1 {
		keep = r.first.from
	}
	if r.end-keep >= maxEvent || r.lines > 1 && len(r.joined[r.turn]) >= maxEvent {
		return errLongEvent
	}
	if keep == r.end || r.end == len(r.buf) {
		r.move(keep)
	}
	for range 100 {
		n, err := r.from.Read(r.buf[r.end:])
		r.end += n
		if r.err = err; n > 0 || err != nil {
			return nil
		}
	}
	return io.ErrNoProgress
}

// move brings the bytes from keep on to the front, in a larger buffer if they fill
// it, and in a small one when a large event is over.
func (r *sse) move(keep int) {
	to := r.buf
	switch rest := r.end - keep; {
	case rest > len(r.buf)/2:
		to = make([]byte, 2*len(r.buf))
	case len(r.buf) > maxReuse && rest <= firstRead:
		to = make([]byte, 2*firstRead)
	}
	copy(to, r.buf[keep:r.end])
	r.buf = to
	r.first.from -= keep
	r.first.to -= keep
	r.pos -= keep
	r.seek -= keep
	r.end -= keep
}

// eventType names an event's type. The usual ones cost no allocation.
func eventType(name []byte) string {
	switch string(name) {
	case "error":
		return "error"
	case "content_block_delta":
		return "content_block_delta"
	case "message":
		return "message"
	}
	return string(name)
}
