package gateway

import (
	"bytes"
	"fmt"
	"strconv"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// whole puts the chunks of a streamed answer together as the one body it could have
// come in. It gives false for an answer that has something in it of which nobody
// knows how its pieces belong together.
func (r *recording) whole() (*recording, bool) {
	var j joiner
	for rest := r.events; len(rest) > 0; {
		var ev llm.Event
		var err error
		if rest, err = unpackEvent(rest, &ev); err != nil || !j.chunk(ev.Data) {
			return nil, false
		}
	}
	body, ok := j.body(r.head.Usage)
	if !ok {
		return nil, false
	}
	head := r.head
	head.Stream = false
	return &recording{head: head, body: body}, true
}

// fields are the members of an object in the order in which they first came.
type fields struct {
	names  []string
	values [][]byte
}

// set gives a member its newest value; null is none if there was one.
func (f *fields) set(name string, value []byte) {
	at := f.at(name)
	if string(value) != "null" || f.values[at] == nil {
		f.values[at] = value
	}
}

func (f *fields) at(name string) int {
	for i, n := range f.names {
		if n == name {
			return i
		}
	}
	f.names, f.values = append(f.names, name), append(f.values, nil)
	return len(f.names) - 1
}

// add puts the text of a string behind what a member has; false when it is none.
func (f *fields) add(name string, value []byte) bool {
	at := f.at(name)
	old := f.values[at]
	switch {
	case string(value) == "null":
		if old == nil {
			f.values[at] = value
		}
		return true
	case len(value) < 2 || value[0] != '"':
		return false
	case old == nil || string(old) == "null":
		f.values[at] = bytes.Clone(value)
		return true
	}
	f.values[at] = append(append(old[:len(old)-1], value[1:len(value)-1]...), '"')
	return true
}

// more puts the elements of an array behind those a member has.
func (f *fields) more(name string, value []byte) {
	at := f.at(name)
	old := f.values[at]
	inner := bytes.TrimSpace(value[1 : len(value)-1])
	if len(old) == 0 || old[0] != '[' {
		f.values[at] = append(append([]byte{'['}, inner...), ']')
		return
	}
	if len(inner) == 0 {
		return
	}
	old = old[:len(old)-1]
	if len(old) > 1 {
		old = append(old, ',')
	}
	f.values[at] = append(append(old, inner...), ']')
}

func (f *fields) append(dst []byte) []byte {
	dst = append(dst, '{')
	for i, name := range f.names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(llm.AppendQuoted(dst, name), ':')
		dst = append(dst, f.values[i]...)
	}
	return append(dst, '}')
}

// joiner turns chat.completion.chunks of one choice into a chat.completion.
type joiner struct {
	top, choice, message fields
	calls                []*toolCall
	function             toolCall // of a function_call
	ended                bool
}

// toolCall is one tool call with what is inside "function" or "custom".
type toolCall struct {
	outer, inner fields
	kind         string // name of the inner object
}

// each reads an object's members; visit says whether a member is understood.
func each(object []byte, visit func(name string, value []byte) bool) bool {
	s := scan.New(object, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return false
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		name := string(s.Name)
		value := s.Value()
		if value == nil || !visit(name, value) {
			return false
		}
	}
	return s.End()
}

// elements reads an array's values.
func elements(array []byte, visit func(value []byte) bool) bool {
	s := scan.New(array, scan.UpstreamDepth)
	if s.Peek() != '[' {
		return false
	}
	for ok := s.Enter(); ok && s.Element(); {
		value := s.Value()
		if value == nil || !visit(value) {
			return false
		}
	}
	return s.End()
}

func (j *joiner) chunk(data []byte) bool {
	return each(data, func(name string, value []byte) bool {
		switch name {
		case "choices":
			n := 0
			return string(value) == "null" || elements(value, func(choice []byte) bool {
				n++
				return n == 1 && each(choice, j.inChoice)
			})
		case "object", "obfuscation": // padding of one chunk
		default:
			j.top.set(name, value)
		}
		return true
	})
}

func (j *joiner) inChoice(name string, value []byte) bool {
	switch name {
	case "index":
		return string(value) == "0"
	case "logprobs":
		return string(value) == "null"
	case "delta":
		return string(value) == "null" || each(value, j.inDelta)
	case "finish_reason":
		j.ended = j.ended || string(value) != "null" && string(value) != `""`
	}
	j.choice.set(name, value)
	return true
}

func (j *joiner) inDelta(name string, value []byte) bool {
	switch name {
	case "content", "reasoning_content", "reasoning", "refusal":
		return j.message.add(name, value)
	case "tool_calls":
		n := 0
		return string(value) == "null" || elements(value, func(call []byte) bool {
			n++
			return j.inCalls(n-1, call)
		})
	case "function_call":
		return string(value) == "null" || j.function.add(value)
	}
	if value[0] == '[' {
		j.message.more(name, value)
	} else {
		j.message.set(name, value)
	}
	return true
}

// inCalls finds the call that a piece belongs to: by its index, else by its place.
func (j *joiner) inCalls(place int, call []byte) bool {
	if index := scan.Find(call, "index"); index != nil && string(index) != "null" {
		n, err := strconv.Atoi(string(index))
		if err != nil {
			return false
		}
		place = n
	}
	if place < 0 || place > len(j.calls) { // the next one at most
		return false
	}
	if place == len(j.calls) {
		j.calls = append(j.calls, &toolCall{})
	}
	c := j.calls[place]
	return each(call, func(name string, value []byte) bool {
		switch name {
		case "index":
		case "function", "custom":
			if c.kind == "" {
				c.kind = name
				c.outer.at(name)
			}
			return string(value) == "null" || c.kind == name && c.add(value)
		default:
			if string(value) != `""` || c.outer.values[c.outer.at(name)] == nil {
				c.outer.set(name, value)
			}
		}
		return true
	})
}

// add adds to a call's name and arguments. A name comes whole; some providers send
// an empty one with every piece.
func (c *toolCall) add(function []byte) bool {
	return each(function, func(name string, value []byte) bool {
		switch name {
		case "arguments", "input":
			return c.inner.add(name, value)
		}
		if string(value) != `""` || c.inner.values[c.inner.at(name)] == nil {
			c.inner.set(name, value)
		}
		return true
	})
}

// body writes the whole answer, if it came to its end. usage is what is said of it
// when no chunk does.
func (j *joiner) body(usage llm.Usage) ([]byte, bool) {
	if !j.ended {
		return nil, false
	}
	if j.message.values[j.message.at("role")] == nil {
		j.message.set("role", []byte(`"assistant"`))
	}
	if j.message.values[j.message.at("content")] == nil {
		j.message.set("content", []byte("null"))
	}
	if len(j.calls) > 0 {
		list := []byte{'['}
		for i, c := range j.calls {
			if i > 0 {
				list = append(list, ',')
			}
			if c.kind != "" {
				c.outer.set(c.kind, c.inner.append(nil))
			}
			list = c.outer.append(list)
		}
		j.message.set("tool_calls", append(list, ']'))
	}
	if len(j.function.inner.names) > 0 {
		j.message.set("function_call", j.function.inner.append(nil))
	}
	if u := j.top.values[j.top.at("usage")]; len(u) == 0 || u[0] != '{' {
		input, output := usage.Input+usage.CachedInput+usage.CacheWrite, usage.Output+usage.Reasoning
		j.top.set("usage", fmt.Appendf(nil, `{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, input, output, input+output))
	}
	dst := append([]byte(`{"object":"chat.completion","choices":[{"index":0,"message":`), j.message.append(nil)...)
	for i, name := range j.choice.names {
		dst = append(llm.AppendQuoted(append(dst, ','), name), ':')
		dst = append(dst, j.choice.values[i]...)
	}
	dst = append(dst, "}]"...)
	for i, name := range j.top.names {
		dst = append(llm.AppendQuoted(append(dst, ','), name), ':')
		dst = append(dst, j.top.values[i]...)
	}
	return append(dst, '}'), true
}
