package anthropic

import (
	"fmt"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// said is what the first choice of a neutral chunk or answer says. Texts are
// escaped, the rest is JSON.
type said struct {
	content, reasoning, refusal []byte
	blocks, calls               []byte // thinking_blocks, tool_calls
	finish                      []byte
	choices                     int
}

// read scans a chunk, or a whole answer. It reports false for one without choices.
func (d *said) read(data []byte) bool {
	s := scan.New(data, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return false
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		if string(s.Name) != "choices" || s.Peek() != '[' {
			ok = s.Skip()
			continue
		}
		for ok = s.Enter(); ok; {
			if ok = s.Element(); ok {
				if d.choices++; d.choices == 1 {
					ok = d.choice(&s)
				} else {
					ok = s.Skip()
				}
			}
		}
		ok = s.Bad == ""
	}
	return s.Bad == "" && d.choices > 0
}

func (d *said) choice(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "delta", "message":
			ok = d.delta(s)
		case "finish_reason":
			ok = text(s, &d.finish)
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

func (d *said) delta(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "content":
			ok = text(s, &d.content)
		case "reasoning_content", "reasoning": // some send both, saying the same
			ok = text(s, &d.reasoning)
		case "refusal":
			ok = text(s, &d.refusal)
		case "thinking_blocks":
			d.blocks = s.Value()
			ok = s.Bad == ""
		case "tool_calls":
			d.calls = s.Value()
			ok = s.Bad == ""
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

// piece is what a chunk says of one tool call, or all of it. Texts are escaped.
type piece struct {
	index               int64
	id, name, arguments []byte
}

func (p *piece) read(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "index":
			ok = count(s, &p.index)
		case "id":
			ok = text(s, &p.id)
		case "function":
			if s.Peek() != '{' {
				ok = s.Skip()
				continue
			}
			for ok = s.Enter(); ok; {
				if ok = s.Member(); !ok {
					break
				}
				switch string(s.Name) {
				case "name":
					ok = text(s, &p.name)
				case "arguments":
					ok = text(s, &p.arguments)
				default:
					ok = s.Skip()
				}
			}
			ok = s.Bad == ""
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

// Whole gives a whole answer with its receipt. native says that body is in this
// dialect already.
func (e *Encoder) Whole(body []byte, native bool, end llm.Ending) ([]byte, error) {
	if native {
		last := len(body) - 1
		for last >= 0 && body[last] != '}' {
			last--
		}
		if last < 1 || body[0] != '{' {
			return nil, fmt.Errorf("encode the answer: the provider's is no JSON object")
		}
		dst := append(make([]byte, 0, len(body)+len(end.Receipt)+16), body[:last]...)
		return append(appendReceipt(dst, end.Receipt), '}'), nil
	}
	var d said
	if !d.read(body) {
		return nil, fmt.Errorf("encode the answer: no choices in it")
	}
	content := e.content(&d)
	dst := append(e.head(make([]byte, 0, len(body)+512)), `,"content":[`...)
	dst = append(append(dst, content...), `],"stop_reason":"`...)
	dst = append(append(dst, e.reason(end)...), `","stop_sequence":null,"usage":`...)
	dst = appendReceipt(appendTally(dst, end.Usage), end.Receipt)
	return append(dst, '}'), nil
}

// content gives the blocks of a whole answer.
func (e *Encoder) content(d *said) []byte {
	var dst []byte
	switch {
	case len(d.blocks) > 1 && d.blocks[0] == '[' && !empty(d.blocks):
		dst = append(dst, d.blocks[1:len(d.blocks)-1]...)
	case len(d.reasoning) > 0:
		dst = appendThinking(dst, d.reasoning, nil)
	}
	for _, text := range [...][]byte{d.content, d.refusal} {
		if len(text) > 0 {
			dst = append(append(append(comma(dst), `{"type":"text","text":"`...), text...), `"}`...)
		}
	}
	if len(d.calls) == 0 || d.calls[0] != '[' {
		return dst
	}
	s := scan.New(d.calls, scan.UpstreamDepth)
	s.Peek()
	for ok, n := s.Enter(), int64(0); ok; n++ {
		if ok = s.Element(); !ok {
			break
		}
		p := piece{index: n}
		if ok = p.read(&s); ok {
			e.called = true
			dst = append(append(comma(dst), `{"type":"tool_use","id":"`...), p.id...)
			dst = append(append(append(dst, `","name":"`...), p.name...), `","input":`...)
			dst = append(appendInput(dst, p.arguments), '}')
		}
	}
	return dst
}

// appendInput writes a call's arguments as an object. A model can write some
// that are none, and a cap can cut them: then they stand under the name that
// Anthropic's guide to broken input suggests.
func appendInput(dst, escaped []byte) []byte {
	input := llm.Unescape(escaped)
	s := scan.New([]byte(input), scan.UpstreamDepth)
	switch {
	case s.Peek() == 0:
		return append(dst, "{}"...)
	case s.Peek() == '{' && s.Skip() && s.End():
		return append(dst, input...)
	}
	return append(llm.AppendQuoted(append(dst, `{"INVALID_JSON":`...), input), '}')
}
