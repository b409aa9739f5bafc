package openai

import (
	"bytes"
	"strconv"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// whole reads an answer that came as one body. When the caller asked for a
// stream it is turned into one.
func (k *call) whole() (llm.Result, error) {
	body, err := k.Body()
	if err != nil {
		return llm.Result{}, err
	}
	var ev llm.Event
	a := answer{whole: true, keep: true}
	if wrong := a.read(body, &ev); wrong != "" {
		return llm.Result{}, k.Broken("The provider's answer cannot be read: %s", wrong)
	}
	if a.trouble != nil {
		return llm.Result{}, k.Complaint(a.trouble)
	}
	if ev.Choices == 0 {
		return llm.Result{}, k.Broken("The provider's answer cannot be read: no choices in it")
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
	if !result.Usage.Answered() {
		result.Text = llm.Unescape(a.text)
	}
	return result, nil
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
			return k.Broken("The provider's answer cannot be read: %s", wrong)
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
	s := scan.New(body, scan.UpstreamDepth)
	s.Peek()
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		start, name := s.At, string(s.Name)
		value := s.Value()
		switch name {
		case "object":
		case "choices":
			choices = value
		case "usage":
			usage = value
		default:
			head = append(append(head, ','), oneLine(body[start:s.Pos])...)
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
	s := scan.New(choices, scan.UpstreamDepth)
	s.Peek()
	for ok := s.Enter(); ok; {
		if ok = s.Element(); !ok {
			break
		}
		if len(dst) > 0 {
			dst = append(dst, ',')
		}
		dst = appendRenamed(dst, s.Value(), "message", "delta", indexed)
	}
	return dst
}

// indexed gives a message's tool calls the index that calls in a delta have.
func indexed(message []byte) []byte {
	return appendRenamed(nil, message, "tool_calls", "tool_calls", func(calls []byte) []byte {
		dst := []byte{'['}
		s := scan.New(calls, scan.UpstreamDepth)
		if s.Peek() != '[' {
			return calls
		}
		for ok, n := s.Enter(), 0; ok; n++ {
			if ok = s.Element(); !ok {
				break
			}
			call := s.Value()
			if n > 0 {
				dst = append(dst, ',')
			}
			if scan.Find(call, "index") == nil && len(call) > 2 && call[0] == '{' {
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
	s := scan.New(object, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return append(dst, oneLine(object)...)
	}
	dst = append(dst, '{')
	comma := false
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		start, hit := s.At, string(s.Name) == from
		value := s.Value()
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		if hit {
			dst = append(append(append(dst, '"'), to...), '"', ':')
			dst = append(dst, change(value)...)
		} else {
			dst = append(dst, oneLine(object[start:s.Pos])...)
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
