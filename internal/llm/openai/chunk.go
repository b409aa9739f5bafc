package openai

import (
	"bytes"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// answer is what the chunks of one answer add up to, or its one whole body.
type answer struct {
	finish   string
	usage    llm.Usage
	hasUsage bool
	trouble  []byte // the error object that came instead of a chunk
	whole    bool   // it is one body: messages stand where chunks have deltas

	text []byte // what was said, still escaped, if it is wanted
	keep bool
	ev   *llm.Event // the one being read
}

// read scans one chunk without decoding it and fills ev. It says what is wrong
// with a chunk that is none.
func (a *answer) read(data []byte, ev *llm.Event) (wrong string) {
	*ev = llm.Event{Data: data}
	a.ev = ev
	finish, usage, hasUsage := a.finish, a.usage, a.hasUsage
	s := scan.New(data, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return "not a JSON object"
	}
	choices := false
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "choices":
			choices = true
			ok = a.choices(&s)
		case "usage":
			ok = a.readUsage(&s)
		case "x_groq": // Groq's way before stream_options
			ok = a.groq(&s)
		case "error":
			if value := s.Value(); string(value) != "null" {
				a.trouble = value
			}
			ok = s.Bad == ""
		default:
			ok = s.Skip()
		}
	}
	if !s.End() {
		a.finish, a.usage, a.hasUsage = finish, usage, hasUsage // half a chunk says nothing
		return "not valid JSON, " + s.Bad
	}
	if !choices && a.whole && a.trouble == nil {
		return "no choices in it"
	}
	return ""
}

func (a *answer) readUsage(s *scan.Scanner) bool {
	if u, ok := readUsage(s); ok {
		a.usage, a.hasUsage, a.ev.Usage = u, true, true
	}
	return s.Bad == ""
}

func (a *answer) groq(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		if string(s.Name) != "usage" {
			ok = s.Skip()
		} else if u, has := readUsage(s); has {
			a.usage, a.hasUsage = u, true
		}
	}
	return s.Bad == ""
}

func (a *answer) choices(s *scan.Scanner) bool {
	if s.Peek() != '[' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Element(); ok {
			a.ev.Choices++
			ok = a.choice(s)
		}
	}
	return s.Bad == ""
}

func (a *answer) choice(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "delta", "message":
			ok = a.delta(s)
		case "finish_reason":
			ok = a.finished(s)
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

// finished reads a finish reason. Providers that send "" or null mean none yet.
func (a *answer) finished(s *scan.Scanner) bool {
	if s.Peek() != '"' {
		return s.Skip()
	}
	raw, ok := s.Text()
	if ok && len(raw) > 0 && (a.ev.Finish == "" || a.ev.Choices == 1) {
		a.ev.Finish = finish(raw)
		if a.finish == "" {
			a.finish = a.ev.Finish
		}
	}
	return ok
}

// finish gives OpenAI's word for a finish reason; without allocating for its own.
func finish(raw []byte) string {
	switch string(raw) {
	case "stop", "end_turn", "eos", "STOP", "COMPLETE", "stop_sequence":
		return "stop"
	case "length", "max_tokens", "MAX_TOKENS", "model_length":
		return "length"
	case "tool_calls", "tool_use":
		return "tool_calls"
	case "content_filter", "SAFETY", "RECITATION", "refusal":
		return "content_filter"
	case "function_call":
		return "function_call"
	}
	return llm.Unescape(raw)
}

// delta reads what one choice adds.
func (a *answer) delta(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	var content, reasoning []byte
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "content":
			if s.Peek() == '[' {
				ok = parts(s, &content, &reasoning)
			} else {
				ok = text(s, &content)
			}
		case "reasoning_content", "reasoning": // some send both, saying the same
			ok = text(s, &reasoning)
		case "refusal":
			ok = a.count(s)
		case "tool_calls":
			ok = a.calls(s)
		case "function_call":
			ok = a.call(s)
		default:
			ok = s.Skip()
		}
	}
	a.ev.Output += len(content) + len(reasoning)
	if a.ev.Choices == 1 {
		a.ev.Content, a.ev.Reasoning = content, reasoning
	}
	if a.keep {
		a.text = append(append(a.text, reasoning...), content...)
	}
	return s.Bad == ""
}

// text reads a string that is not empty into to; anything else is passed.
func text(s *scan.Scanner, to *[]byte) bool {
	if s.Peek() != '"' {
		return s.Skip()
	}
	raw, ok := s.Text()
	if len(raw) > 0 {
		*to = raw
	}
	return ok
}

// another reads a further piece of a text. One piece is the rule, and needs no copy.
func another(s *scan.Scanner, to *[]byte) bool {
	var piece []byte
	ok := text(s, &piece)
	if len(*to) == 0 {
		*to = piece
	} else if len(piece) > 0 {
		*to = append(bytes.Clone(*to), piece...)
	}
	return ok
}

// parts reads a content that is a list, as Mistral's reasoning models send it:
// [{"type":"thinking","thinking":[{"type":"text","text":"..."}]},{"type":"text","text":"..."}].
func parts(s *scan.Scanner, content, reasoning *[]byte) bool {
	for ok := s.Enter(); ok; {
		if ok = s.Element(); !ok {
			break
		}
		if s.Peek() != '{' {
			ok = s.Skip()
			continue
		}
		for ok = s.Enter(); ok; {
			if ok = s.Member(); !ok {
				break
			}
			switch {
			case string(s.Name) == "text":
				ok = another(s, content)
			case string(s.Name) == "thinking" && s.Peek() == '[':
				ok = parts(s, reasoning, reasoning)
			case string(s.Name) == "thinking":
				ok = another(s, reasoning)
			default:
				ok = s.Skip()
			}
		}
		ok = s.Bad == ""
	}
	return s.Bad == ""
}

// count adds a string's length to the output.
func (a *answer) count(s *scan.Scanner) bool {
	var raw []byte
	ok := text(s, &raw)
	a.ev.Output += len(raw)
	if a.keep {
		a.text = append(a.text, raw...)
	}
	return ok
}

func (a *answer) calls(s *scan.Scanner) bool {
	if s.Peek() != '[' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Element(); !ok {
			break
		}
		if s.Peek() != '{' {
			ok = s.Skip()
			continue
		}
		for ok = s.Enter(); ok; {
			if ok = s.Member(); !ok {
				break
			}
			switch string(s.Name) {
			case "function", "custom":
				ok = a.call(s)
			default:
				ok = s.Skip()
			}
		}
		ok = s.Bad == ""
	}
	return s.Bad == ""
}

// call counts a function's name and arguments.
func (a *answer) call(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "name", "arguments", "input":
			ok = a.count(s)
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}
