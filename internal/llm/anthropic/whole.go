package anthropic

import (
	"strconv"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// message is an answer that came as one body. Its slices are pieces of it.
type message struct {
	id, model []byte
	content   []byte // the array of blocks
	finish    string
	tally     tally
	trouble   bool
}

// readMessage scans a whole answer. It says what is wrong with a body that is none.
func readMessage(body []byte) (m message, wrong string) {
	s := scan.New(body, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return m, "not a JSON object"
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "id":
			ok = text(&s, &m.id)
		case "model":
			ok = text(&s, &m.model)
		case "content":
			m.content = s.Value()
			ok = s.Bad == ""
		case "stop_reason":
			var raw []byte
			ok = text(&s, &raw)
			m.finish = finish(raw)
		case "usage":
			ok = readTally(&s, &m.tally)
		case "error":
			m.trouble = s.Peek() != 'n'
			ok = s.Skip()
		default:
			ok = s.Skip()
		}
	}
	switch {
	case !s.End():
		return m, "not valid JSON, " + s.Bad
	case !m.trouble && (len(m.content) == 0 || m.content[0] != '['):
		return m, "no content in it"
	}
	return m, ""
}

// whole reads an answer that came as one body. When the caller asked for a
// stream it is turned into one, in the neutral form.
func (k *call) whole() (llm.Result, error) {
	result := llm.Result{Changes: k.changes}
	body, err := k.Body()
	if err != nil {
		return result, err
	}
	m, wrong := readMessage(body)
	if wrong != "" {
		return result, k.Broken("The provider's answer cannot be read: %s", wrong)
	}
	if m.trouble {
		return result, k.Complaint(body)
	}
	result.Finish = m.finish
	if m.tally.some {
		u := m.tally.usage()
		result.Usage = &u
	}
	said := m.neutral(k.req.Stream)
	if k.req.Stream {
		return result, k.replay(&m, &said, result.Usage)
	}
	if !result.Usage.Answered() {
		result.Text = llm.Unescape(said.reasoning) + llm.Unescape(said.text) + string(said.called)
	}
	if result.Native = k.native; k.native {
		result.Body = body
	} else {
		result.Body = said.body(&m, result.Usage)
	}
	return result, nil
}

// neutral is what a message says, in pieces of the neutral form. The texts are
// escaped.
type neutral struct {
	text, reasoning []byte
	hasText         bool
	thinking        []byte // elements of thinking_blocks
	calls           []byte // elements of tool_calls
	called          []byte // their names and inputs, as the model wrote them
	output          int    // bytes of output
}

// neutral takes a message apart. Tool calls have an index in a stream only.
func (m *message) neutral(indexed bool) neutral {
	var n neutral
	calls := 0
	s := scan.New(m.content, scan.UpstreamDepth)
	s.Peek()
	for ok := s.Enter(); ok; {
		if ok = s.Element(); !ok {
			break
		}
		var b block
		ok = b.read(&s)
		n.output += len(b.text) + len(b.thinking) + len(b.data)
		switch b.kind {
		case "text":
			n.text, n.hasText = append(n.text, b.text...), true
		case "thinking":
			n.reasoning = append(n.reasoning, b.thinking...)
			if len(b.signature) > 0 {
				n.thinking = appendThinking(comma(n.thinking), b.thinking, b.signature)
			}
		case "redacted_thinking":
			n.thinking = append(comma(n.thinking), `{"type":"redacted_thinking","data":"`...)
			n.thinking = append(append(n.thinking, b.data...), `"}`...)
		case "tool_use":
			n.calls = appendCall(comma(n.calls), calls, indexed, &b)
			n.called = append(append(n.called, b.name...), b.input...)
			n.output += len(b.name) + len(b.input)
			calls++
		}
	}
	return n
}

// comma separates a further element from those before it.
func comma(list []byte) []byte {
	if len(list) > 0 {
		list = append(list, ',')
	}
	return list
}

// appendCall writes a tool call of the neutral form.
func appendCall(dst []byte, index int, indexed bool, b *block) []byte {
	dst = append(dst, '{')
	if indexed {
		dst = append(appendInt(dst, `"index":`, int64(index)), ',')
	}
	dst = append(append(append(dst, `"id":"`...), b.id...), `","type":"function","function":{"name":"`...)
	dst = append(append(dst, b.name...), `","arguments":`...)
	input := b.input
	if len(input) == 0 || input[0] != '{' {
		input = []byte("{}")
	}
	return append(llm.AppendQuoted(dst, string(input)), "}}"...)
}

// members writes what a message and a delta have in common: the members behind role.
func (n *neutral) members(dst []byte) []byte {
	if len(n.reasoning) > 0 {
		dst = append(append(append(dst, `,"reasoning_content":"`...), n.reasoning...), '"')
	}
	if len(n.thinking) > 0 {
		dst = append(append(append(dst, `,"thinking_blocks":[`...), n.thinking...), ']')
	}
	if len(n.calls) > 0 {
		dst = append(append(append(dst, `,"tool_calls":[`...), n.calls...), ']')
	}
	return dst
}

// body writes the whole answer in the neutral form.
func (n *neutral) body(m *message, used *llm.Usage) []byte {
	dst := append(append([]byte(`{"id":"`), m.id...), `","object":"chat.completion","created":`...)
	dst = strconv.AppendInt(dst, now(), 10)
	dst = append(append(append(dst, `,"model":"`...), m.model...), `","choices":[{"index":0,"message":{"role":"assistant","content":`...)
	if n.hasText || len(n.calls) == 0 {
		dst = append(append(append(dst, '"'), n.text...), '"')
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(n.members(append(dst, `,"refusal":null`...)), `},"logprobs":null,"finish_reason":`...)
	finish := m.finish
	if finish == "" {
		finish = "stop"
	}
	dst = append(llm.AppendQuoted(dst, finish), "}]"...)
	if used != nil {
		dst = appendUsage(append(dst, `,"usage":`...), *used)
	}
	return append(dst, '}')
}

// replay emits a whole answer as the chunks it could have come in: one with
// everything that was said, and one with the usage.
func (k *call) replay(m *message, n *neutral, used *llm.Usage) error {
	var a answer
	a.start(m.id, m.model)
	finish := m.finish
	if finish == "" {
		finish = "stop"
	}
	b := append(append(append(a.open(), `{"role":"assistant","content":"`...), n.text...), '"')
	b = append(n.members(b), `},"logprobs":null,"finish_reason":`...)
	b = append(llm.AppendQuoted(b, finish), "}]}"...)
	ev := llm.Event{Data: b, Content: filled(n.text), Reasoning: filled(n.reasoning), Output: n.output, Finish: finish, Choices: 1, More: used != nil}
	if err := k.emit(&ev); err != nil || used == nil {
		return err
	}
	a.tally, a.final = m.tally, true
	return k.last(&a)
}
