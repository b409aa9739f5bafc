package anthropic

import (
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// event is one event of a provider's stream. Its slices are pieces of the data:
// text stands as it does there, still escaped.
type event struct {
	kind    string // the type, for those that mean something here; else empty
	native  string // the type, whatever it is
	block   block  // of content_block_start
	delta   delta
	id      []byte // of message_start
	model   []byte
	usage   tally
	trouble bool // the data says what went wrong
}

// block is one content block.
type block struct {
	kind      string
	id, name  []byte
	input     []byte // JSON
	text      []byte
	thinking  []byte
	signature []byte
	data      []byte // of redacted_thinking
}

// delta is what a content_block_delta or a message_delta adds.
type delta struct {
	kind      string
	text      []byte
	partial   []byte // of a tool's input, a piece of JSON in a JSON string
	thinking  []byte
	signature []byte
	stop      string // the stop_reason
}

// read scans one event without decoding it. It says what is wrong with data
// that is none.
func (e *event) read(data []byte) (wrong string) {
	*e = event{}
	s := scan.New(data, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return "not a JSON object"
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "type":
			var raw []byte
			ok = text(&s, &raw)
			e.named(raw)
		case "delta":
			ok = e.delta.read(&s)
		case "content_block":
			ok = e.block.read(&s)
		case "message":
			ok = e.message(&s)
		case "usage":
			ok = readTally(&s, &e.usage)
		case "error":
			e.trouble = s.Peek() != 'n'
			ok = s.Skip()
		default:
			ok = s.Skip()
		}
	}
	if !s.End() {
		return "not valid JSON, " + s.Bad
	}
	return ""
}

// named notes the event's type; the usual ones cost no allocation.
func (e *event) named(raw []byte) {
	switch string(raw) {
	case "content_block_delta":
		e.kind = "content_block_delta"
	case "content_block_start":
		e.kind = "content_block_start"
	case "content_block_stop":
		e.kind = "content_block_stop"
	case "message_start":
		e.kind = "message_start"
	case "message_delta":
		e.kind = "message_delta"
	case "message_stop":
		e.kind = "message_stop"
	case "error":
		e.kind, e.trouble = "error", true
	default:
		e.native = llm.Unescape(raw)
		return
	}
	e.native = e.kind
}

func (d *delta) read(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "type":
			var raw []byte
			ok = text(s, &raw)
			d.kind = deltaKind(raw)
		case "text":
			ok = text(s, &d.text)
		case "partial_json":
			ok = text(s, &d.partial)
		case "thinking":
			ok = text(s, &d.thinking)
		case "signature":
			ok = text(s, &d.signature)
		case "stop_reason":
			var raw []byte
			ok = text(s, &raw)
			d.stop = finish(raw)
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

func deltaKind(raw []byte) string {
	switch string(raw) {
	case "text_delta":
		return "text_delta"
	case "input_json_delta":
		return "input_json_delta"
	case "thinking_delta":
		return "thinking_delta"
	case "signature_delta":
		return "signature_delta"
	}
	return "" // such as citations_delta
}

func (b *block) read(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "type":
			var raw []byte
			ok = text(s, &raw)
			b.kind = blockKind(raw)
		case "id":
			ok = text(s, &b.id)
		case "name":
			ok = text(s, &b.name)
		case "input":
			b.input = s.Value()
			ok = s.Bad == ""
		case "text":
			ok = text(s, &b.text)
		case "thinking":
			ok = text(s, &b.thinking)
		case "signature":
			ok = text(s, &b.signature)
		case "data":
			ok = text(s, &b.data)
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

func blockKind(raw []byte) string {
	switch string(raw) {
	case "text":
		return "text"
	case "tool_use":
		return "tool_use"
	case "thinking":
		return "thinking"
	case "redacted_thinking":
		return "redacted_thinking"
	}
	return "" // such as server_tool_use and its results
}

// message reads what message_start says of the message to come.
func (e *event) message(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "id":
			ok = text(s, &e.id)
		case "model":
			ok = text(s, &e.model)
		case "usage":
			ok = readTally(s, &e.usage)
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

// text reads a string into to; anything else is passed.
func text(s *scan.Scanner, to *[]byte) bool {
	if s.Peek() != '"' {
		return s.Skip()
	}
	raw, ok := s.Text()
	*to = raw
	return ok
}

// finish gives OpenAI's word for a stop reason; empty for none.
func finish(raw []byte) string {
	switch string(raw) {
	case "":
		return ""
	case "max_tokens", "model_context_window_exceeded":
		return "length"
	case "tool_use":
		return "tool_calls"
	case "refusal":
		return "content_filter"
	}
	return "stop" // end_turn, stop_sequence, pause_turn, and what is not known yet
}

// stopReason gives Anthropic's word for one of OpenAI's.
func stopReason(finish string) string {
	switch finish {
	case "length":
		return "max_tokens"
	case "tool_calls", "function_call":
		return "tool_use"
	case "content_filter":
		return "refusal"
	}
	return "end_turn"
}
