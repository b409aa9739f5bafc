package openai

import (
	"onemind/internal/llm"
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
	s := scan(data, upstreamDepth)
	if s.peek() != '{' {
		return "not a JSON object"
	}
	choices := false
	for ok := s.enter(); ok; {
		if ok = s.member(); !ok {
			break
		}
		switch string(s.name) {
		case "choices":
			choices = true
			ok = a.choices(&s)
		case "usage":
			ok = a.readUsage(&s)
		case "x_groq": // Groq's way before stream_options
			ok = a.groq(&s)
		case "error":
			if value := s.value(); string(value) != "null" {
				a.trouble = value
			}
			ok = s.bad == ""
		default:
			ok = s.skip()
		}
	}
	if !s.end() {
		a.finish, a.usage, a.hasUsage = finish, usage, hasUsage // half a chunk says nothing
		return "not valid JSON, " + s.bad
	}
	if !choices && a.whole && a.trouble == nil {
		return "no choices in it"
	}
	return ""
}

func (a *answer) readUsage(s *scanner) bool {
	if u, ok := readUsage(s); ok {
		a.usage, a.hasUsage, a.ev.Usage = u, true, true
	}
	return s.bad == ""
}

func (a *answer) groq(s *scanner) bool {
	if s.peek() != '{' {
		return s.skip()
	}
	for ok := s.enter(); ok; {
		if ok = s.member(); !ok {
			break
		}
		if string(s.name) != "usage" {
			ok = s.skip()
		} else if u, has := readUsage(s); has {
			a.usage, a.hasUsage = u, true
		}
	}
	return s.bad == ""
}

func (a *answer) choices(s *scanner) bool {
	if s.peek() != '[' {
		return s.skip()
	}
	for ok := s.enter(); ok; {
		if ok = s.element(); ok {
			a.ev.Choices++
			ok = a.choice(s)
		}
	}
	return s.bad == ""
}

func (a *answer) choice(s *scanner) bool {
	if s.peek() != '{' {
		return s.skip()
	}
	for ok := s.enter(); ok; {
		if ok = s.member(); !ok {
			break
		}
		switch string(s.name) {
		case "delta", "message":
			ok = a.delta(s)
		case "finish_reason":
			ok = a.finished(s)
		default:
			ok = s.skip()
		}
	}
	return s.bad == ""
}

// finished reads a finish reason. Providers that send "" or null mean none yet.
func (a *answer) finished(s *scanner) bool {
	if s.peek() != '"' {
		return s.skip()
	}
	raw, ok := s.text()
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
func (a *answer) delta(s *scanner) bool {
	if s.peek() != '{' {
		return s.skip()
	}
	var content, reasoning []byte
	for ok := s.enter(); ok; {
		if ok = s.member(); !ok {
			break
		}
		switch string(s.name) {
		case "content":
			if s.peek() == '[' {
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
			ok = s.skip()
		}
	}
	a.ev.Output += len(content) + len(reasoning)
	if a.ev.Choices == 1 {
		a.ev.Content, a.ev.Reasoning = content, reasoning
	}
	if a.keep {
		a.text = append(append(a.text, reasoning...), content...)
	}
	return s.bad == ""
}

// text reads a string that is not empty into to; anything else is passed.
func text(s *scanner, to *[]byte) bool {
	if s.peek() != '"' {
		return s.skip()
	}
	raw, ok := s.text()
	if len(raw) > 0 {
		*to = raw
	}
	return ok
}

// parts reads a content that is a list, as Mistral's reasoning models send it:
// [{"type":"thinking","thinking":[{"type":"text","text":"..."}]},{"type":"text","text":"..."}].
func parts(s *scanner, content, reasoning *[]byte) bool {
	for ok := s.enter(); ok; {
		if ok = s.element(); !ok {
			break
		}
		if s.peek() != '{' {
			ok = s.skip()
			continue
		}
		for ok = s.enter(); ok; {
			if ok = s.member(); !ok {
				break
			}
			switch {
			case string(s.name) == "text":
				ok = text(s, content)
			case string(s.name) == "thinking" && s.peek() == '[':
				ok = parts(s, reasoning, reasoning)
			case string(s.name) == "thinking":
				ok = text(s, reasoning)
			default:
				ok = s.skip()
			}
		}
		ok = s.bad == ""
	}
	return s.bad == ""
}

// count adds a string's length to the output.
func (a *answer) count(s *scanner) bool {
	var raw []byte
	ok := text(s, &raw)
	a.ev.Output += len(raw)
	if a.keep {
		a.text = append(a.text, raw...)
	}
	return ok
}

func (a *answer) calls(s *scanner) bool {
	if s.peek() != '[' {
		return s.skip()
	}
	for ok := s.enter(); ok; {
		if ok = s.element(); !ok {
			break
		}
		if s.peek() != '{' {
			ok = s.skip()
			continue
		}
		for ok = s.enter(); ok; {
			if ok = s.member(); !ok {
				break
			}
			switch string(s.name) {
			case "function", "custom":
				ok = a.call(s)
			default:
				ok = s.skip()
			}
		}
		ok = s.bad == ""
	}
	return s.bad == ""
}

// call counts a function's name and arguments.
func (a *answer) call(s *scanner) bool {
	if s.peek() != '{' {
		return s.skip()
	}
	for ok := s.enter(); ok; {
		if ok = s.member(); !ok {
			break
		}
		switch string(s.name) {
		case "name", "arguments", "input":
			ok = a.count(s)
		default:
			ok = s.skip()
		}
	}
	return s.bad == ""
}
