package gateway

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// streamed cuts a whole answer into the chunks it could have come in: words. It
// gives false for an answer that has something in it that cannot be cut.
func (r *recording) streamed() (*recording, bool) {
	c := cutter{body: oneLine(r.body), ending: r.head.Finish}
	if !c.read() {
		return nil, false
	}
	c.chunks()
	head := r.head
	head.Stream = true
	return &recording{head: head, events: c.events}, true
}

// oneLine gives JSON without line breaks, which would end a line of the stream.
// Inside strings there are none.
func oneLine(raw []byte) []byte {
	out := bytes.Clone(raw)
	for i, c := range out {
		if c == '\n' || c == '\r' {
			out[i] = ' '
		}
	}
	return out
}

// cutter turns a chat.completion of one choice into chat.completion.chunks.
type cutter struct {
	body               []byte
	head               []byte // members around the choices: ,"id":…,"model":…
	choice             []byte // what the choice has beside its message: ,"index":0
	rest               []byte // what the message has beside the texts: ,"role":"assistant"
	content, reasoning []byte // texts, escaped
	thought            string // the name under which reasoning came
	usage              []byte
	events             []byte
	finish             []byte // finish_reason, JSON
	ending             string // the same in the neutral word
}

// read takes the body apart.
func (c *cutter) read() bool {
	s := scan.New(c.body, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return false
	}
	choices := 0
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		start := s.At
		switch string(s.Name) {
		case "object":
			ok = s.Skip()
		case "usage":
			c.usage = s.Value()
			ok = c.usage != nil
		case "choices":
			if s.Peek() != '[' {
				return false
			}
			for ok = s.Enter(); ok; {
				if ok = s.Element(); !ok {
					break
				}
				choices++
				if ok = c.readChoice(s.Value()); !ok {
					return false
				}
			}
			ok = s.Bad == ""
		default:
			if ok = s.Skip(); ok {
				c.head = append(append(c.head, ','), c.body[start:s.Pos]...)
			}
		}
	}
	return s.End() && choices == 1 && c.finish != nil
}

func (c *cutter) readChoice(choice []byte) bool {
	s := scan.New(choice, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return false
	}
	message, index := false, false
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		start, name := s.At, string(s.Name)
		value := s.Value()
		switch ok = value != nil; name {
		case "message":
			message = ok && c.readMessage(value)
		case "finish_reason":
			c.finish = value
		case "logprobs": // they belong to tokens, which words are not
			if string(value) != "null" {
				return false
			}
			fallthrough
		default:
			index = index || name == "index"
			c.choice = append(append(c.choice, ','), choice[start:s.Pos]...)
		}
	}
	if !index { // clients look for it in a stream
		c.choice = append(c.choice, `,"index":0`...)
	}
	return s.End() && message
}

func (c *cutter) readMessage(message []byte) bool {
	s := scan.New(message, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return false
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		start, name := s.At, string(s.Name)
		value := s.Value()
		if ok = value != nil; !ok || string(value) == "null" {
			continue
		}
		switch name {
		case "content":
			if value[0] != '"' {
				return false
			}
			c.content = value[1 : len(value)-1]
		case "reasoning_content", "reasoning":
			if value[0] != '"' {
				return false
			}
			c.reasoning, c.thought = value[1:len(value)-1], name
		case "tool_calls":
			c.rest = append(append(c.rest, `,"tool_calls":`...), indexed(value)...)
		default:
			c.rest = append(append(c.rest, ','), message[start:s.Pos]...)
		}
	}
	return s.End()
}

// indexed gives tool calls the index that they have in a delta.
func indexed(calls []byte) []byte {
	s := scan.New(calls, scan.UpstreamDepth)
	if s.Peek() != '[' {
		return calls
	}
	dst := []byte{'['}
	n := 0
	for ok := s.Enter(); ok && s.Element(); n++ {
		call := s.Value()
		if ok = call != nil; !ok {
			break
		}
		if n > 0 {
			dst = append(dst, ',')
		}
		if call[0] == '{' && scan.Find(call, "index") == nil {
			dst = strconv.AppendInt(append(dst, `{"index":`...), int64(n), 10)
			if call = bytes.TrimLeft(call[1:], " \t"); call[0] != '}' {
				dst = append(dst, ',')
			}
		}
		dst = append(dst, call...)
	}
	return append(dst, ']')
}

// chunks writes the events: what is no text, the words of the reasoning and of the
// answer, the finish reason, the usage.
func (c *cutter) chunks() {
	delta := append([]byte{'{'}, bytes.TrimPrefix(c.rest, []byte{','})...)
	c.chunk(llm.Event{Output: len(c.rest)}, append(delta, '}'), []byte("null"))
	for rest := c.reasoning; len(rest) > 0; {
		word := rest[:wordEnd(rest)]
		rest = rest[len(word):]
		c.chunk(llm.Event{Reasoning: word, Output: len(word)}, textDelta(c.thought, word), []byte("null"))
	}
	for rest := c.content; len(rest) > 0; {
		word := rest[:wordEnd(rest)]
		rest = rest[len(word):]
		c.chunk(llm.Event{Content: word, Output: len(word)}, textDelta("content", word), []byte("null"))
	}
	c.chunk(llm.Event{Finish: c.ending}, []byte("{}"), c.finish)
	if len(c.usage) > 0 && c.usage[0] == '{' {
		data := append(append([]byte(`{"object":"chat.completion.chunk"`), c.head...), `,"choices":[],"usage":`...)
		c.events = packEvent(c.events, &llm.Event{Data: append(append(data, c.usage...), '}'), Usage: true})
	}
}

func textDelta(name string, word []byte) []byte {
	return append(append(append(append([]byte(`{"`), name...), `":"`...), word...), `"}`...)
}

func (c *cutter) chunk(ev llm.Event, delta, finish []byte) {
	data := append(append([]byte(`{"object":"chat.completion.chunk"`), c.head...), `,"choices":[{"delta":`...)
	data = append(append(append(data, delta...), `,"finish_reason":`...), finish...)
	ev.Data = append(append(data, c.choice...), "}]}"...)
	ev.Choices = 1
	c.events = packEvent(c.events, &ev)
}

// wordMost is where a word is cut that does not end: languages without spaces, in bytes.
const wordMost = 24

// wordEnd gives the length of the first word of an escaped text with the space
// behind it. No character, escape or pair of surrogate escapes is cut.
func wordEnd(raw []byte) int {
	space := false
	for i := 0; i < len(raw); {
		n := 1
		blank := raw[i] == ' '
		switch {
		case raw[i] == '\\':
			n = escapeEnd(raw[i:])
			blank = n == 2 && (raw[i+1] == 'n' || raw[i+1] == 't' || raw[i+1] == 'r')
		case raw[i] >= utf8.RuneSelf:
			_, n = utf8.DecodeRune(raw[i:])
		}
		if i > 0 && (space && !blank || i+n > wordMost) {
			return i
		}
		space = blank
		i += n
	}
	return len(raw)
}

// escapeEnd gives the length of the escape at the start of raw, which is a valid one.
func escapeEnd(raw []byte) int {
	switch {
	case len(raw) < 6 || raw[1] != 'u':
		return min(2, len(raw))
	case (raw[2] == 'd' || raw[2] == 'D') && len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u':
		return 12
	}
	return 6
}
