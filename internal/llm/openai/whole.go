package openai

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"unicode/utf8"

	"onemind/internal/llm"
)

const (
	maxBody  = 64 << 20 // bytes of a whole answer
	readWhen = 1 << 20  // a length that is believed before the bytes are here
)

var errLongBody = errors.New("the answer is larger than 64 MiB")

// whole reads an answer that came as one body. When the caller asked for a
// stream it is turned into one.
func (k *call) whole(resp *http.Response) (llm.Result, error) {
	body, err := readBody(resp)
	if err != nil {
		if ended := k.ended(); ended != nil {
			return llm.Result{}, ended
		}
		return llm.Result{}, &llm.Failure{Class: llm.Broken, Text: "The provider's answer was cut.", Err: fmt.Errorf("read the answer: %w", err)}
	}
	k.watch.rest()
	if body = bytes.TrimSpace(body); !utf8.Valid(body) { // some send blank lines to keep the connection
		body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	}
	var ev llm.Event
	a := answer{whole: true, keep: true}
	if wrong := a.read(body, &ev); wrong != "" {
		return llm.Result{}, k.broken("The provider's answer cannot be read: %s", wrong)
	}
	if a.trouble != nil {
		return llm.Result{}, complaintOf(a.trouble).failure(0, k.to)
	}
	if ev.Choices == 0 {
		return llm.Result{}, k.broken("The provider's answer cannot be read: no choices in it")
	}
	result := llm.Result{Finish: a.finish}
	if a.hasUsage {
		usage := a.usage
		result.Usage = &usage
	}
	if k.req.Stream {
		return result, k.replay(body)
	}
	result.Body = body
	if !a.hasUsage {
		result.Text = llm.Unescape(a.text)
	}
	return result, nil
}

// readBody reads all of a bounded body, in one piece where its length is known.
func readBody(resp *http.Response) ([]byte, error) {
	if resp.ContentLength > maxBody {
		return nil, errLongBody
	}
	size := min(max(resp.ContentLength, 2<<10), readWhen)
	body := make([]byte, 0, size+1)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := resp.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if len(body) > maxBody {
			return nil, errLongBody
		}
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// replay emits a whole answer as the chunks it could have come in: one with
// everything that was said, and one with the usage.
func (k *call) replay(body []byte) error {
	said, used := chunks(body)
	for _, data := range [][]byte{said, used} {
		if data == nil {
			continue
		}
		var ev llm.Event
		var a answer
		if wrong := a.read(data, &ev); wrong != "" {
			return k.broken("The provider's answer cannot be read: %s", wrong)
		}
		ev.More = used != nil && &data[0] == &said[0]
		if err := k.emit(&ev); err != nil {
			return err
		}
	}
	return nil
}

// chunks rewrites a chat.completion as a chunk of all choices and, if it has a
// usage, a chunk of that. The body was scanned before: it is valid.
func chunks(body []byte) (said, used []byte) {
	head := []byte(`{"object":"chat.completion.chunk"`)
	var choices, usage []byte
	s := scan(body, upstreamDepth)
	s.peek()
	for ok := s.enter(); ok; {
		if ok = s.member(); !ok {
			break
		}
		start, name := s.at, string(s.name)
		value := s.value()
		switch name {
		case "object":
		case "choices":
			choices = value
		case "usage":
			usage = value
		default:
			head = append(append(head, ','), oneLine(body[start:s.pos])...)
		}
	}
	said = append(append(bytes.Clone(head), `,"choices":[`...), deltas(choices)...)
	said = append(said, "]}"...)
	if len(usage) > 0 && usage[0] == '{' {
		used = append(append(head, `,"choices":[],"usage":`...), oneLine(usage)...)
		used = append(used, '}')
	}
	return said, used
}

// deltas rewrites choices: a message becomes a delta.
func deltas(choices []byte) []byte {
	var dst []byte
	s := scan(choices, upstreamDepth)
	s.peek()
	for ok := s.enter(); ok; {
		if ok = s.element(); !ok {
			break
		}
		if len(dst) > 0 {
			dst = append(dst, ',')
		}
		dst = appendRenamed(dst, s.value(), "message", "delta", indexed)
	}
	return dst
}

// indexed gives a message's tool calls the index that calls in a delta have.
func indexed(message []byte) []byte {
	return appendRenamed(nil, message, "tool_calls", "tool_calls", func(calls []byte) []byte {
		dst := []byte{'['}
		s := scan(calls, upstreamDepth)
		if s.peek() != '[' {
			return calls
		}
		for ok, n := s.enter(), 0; ok; n++ {
			if ok = s.element(); !ok {
				break
			}
			call := s.value()
			if n > 0 {
				dst = append(dst, ',')
			}
			if memberOf(call, "index") == nil && len(call) > 2 && call[0] == '{' {
				dst = append(strconv.AppendInt(append(dst, `{"index":`...), int64(n), 10), ',')
				call = call[1:]
			}
			dst = append(dst, oneLine(call)...)
		}
		return append(dst, ']')
	})
}

// appendRenamed copies an object with one member under another name and with
// another value.
func appendRenamed(dst, object []byte, from, to string, change func([]byte) []byte) []byte {
	s := scan(object, upstreamDepth)
	if s.peek() != '{' {
		return append(dst, oneLine(object)...)
	}
	dst = append(dst, '{')
	comma := false
	for ok := s.enter(); ok; {
		if ok = s.member(); !ok {
			break
		}
		start, hit := s.at, string(s.name) == from
		value := s.value()
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		if hit {
			dst = append(append(append(dst, '"'), to...), '"', ':')
			dst = append(dst, change(value)...)
		} else {
			dst = append(dst, oneLine(object[start:s.pos])...)
		}
	}
	return append(dst, '}')
}

// oneLine gives JSON without line breaks, which would end a line of the stream.
// Inside strings there are none, so every one is space.
func oneLine(raw []byte) []byte {
	if !bytes.ContainsAny(raw, "\r\n") {
		return raw
	}
	out := bytes.Clone(raw)
	for i, c := range out {
		if c == '\n' || c == '\r' {
			out[i] = ' '
		}
	}
	return out
}
