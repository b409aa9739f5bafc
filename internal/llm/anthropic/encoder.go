package anthropic

import (
	"bytes"
	"strings"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// Encoder writes one answer as a caller of /v1/messages reads it. It serves one
// answer, from one goroutine.
type Encoder struct {
	id, model string
	started   bool   // message_start was written
	told      bool   // a message_delta with the stop reason was written
	kind      string // of the open block; empty for none
	index     int64  // of the open block, or of the next one
	called    bool   // the answer calls tools

	// Tool calls. Engines send them one after the other; where one begins before
	// the last one is whole, it waits until the end, because blocks do not nest.
	call    int64  // the open block's number among the calls
	input   []byte // what the open call's input is so far, still escaped
	waiting []waiting
}

// waiting is a tool call whose block cannot be written yet.
type waiting struct {
	call     int64
	id, name []byte
	input    []byte
}

// NewEncoder returns an Encoder for an answer with an id, which becomes
// "msg_..." unless it is one already, by the model the caller asked for.
func NewEncoder(id, model string) *Encoder {
	if !strings.HasPrefix(id, "msg_") {
		id = "msg_" + id
	}
	return &Encoder{id: id, model: model}
}

// Event appends the whole frames that an event becomes, which can be none.
func (e *Encoder) Event(dst []byte, ev *llm.Event) []byte {
	if ev.Native != "" {
		return e.own(dst, ev)
	}
	var d said
	if !d.read(ev.Data) {
		return dst
	}
	if d.content == nil {
		d.content = ev.Content // of a content in parts
	}
	dst = e.start(dst)
	if len(d.blocks) > 0 {
		dst = e.blocks(dst, &d)
	} else if len(d.reasoning) > 0 {
		dst = e.delta(e.open(dst, "thinking"), "thinking_delta", "thinking", d.reasoning)
	}
	for _, text := range [...][]byte{d.content, d.refusal} {
		if len(text) > 0 {
			dst = e.delta(e.open(dst, "text"), "text_delta", "text", text)
		}
	}
	if len(d.calls) > 0 {
		dst = e.calls(dst, d.calls)
	}
	return dst
}

// own passes on an event of a provider that speaks this dialect too. The last
// one waits for End, which has more to say in it.
func (e *Encoder) own(dst []byte, ev *llm.Event) []byte {
	switch ev.Native {
	case "message_stop":
		return dst
	case "message_start":
		e.started = true
	case "content_block_start", "content_block_stop":
		e.kind = ""
		n := count64(scan.Find(ev.Data, "index"))
		if e.index = n + 1; ev.Native == "content_block_start" {
			e.kind, e.index = "native", n
		}
	case "message_delta":
		e.told = e.told || ev.Finish != ""
	}
	if strings.IndexFunc(ev.Native, func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }) < 0 {
		dst = append(append(append(dst, "event: "...), ev.Native...), '\n')
	}
	return append(append(append(dst, "data: "...), ev.Data...), "\n\n"...)
}

func count64(raw []byte) (n int64) {
	s := scan.New(raw, 1)
	count(&s, &n)
	return n
}

// start writes message_start, once. The prompt is counted when the answer is
// over: the last usage has it.
func (e *Encoder) start(dst []byte) []byte {
	if e.started {
		return dst
	}
	e.started = true
	dst = append(dst, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"...)
	dst = append(e.head(dst), `,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}`...)
	return append(dst, "\n\n"...)
}

// head writes what every message begins with.
func (e *Encoder) head(dst []byte) []byte {
	dst = llm.AppendQuoted(append(dst, `{"id":`...), e.id)
	dst = llm.AppendQuoted(append(dst, `,"type":"message","role":"assistant","model":`...), e.model)
	return dst
}

// open makes a block of a kind the open one.
func (e *Encoder) open(dst []byte, kind string) []byte {
	if e.kind == kind {
		return dst
	}
	dst = e.begin(e.close(dst), kind)
	if kind == "text" {
		return append(dst, "\"text\",\"text\":\"\"}}\n\n"...)
	}
	return append(dst, "\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n"...)
}

// begin writes the start of a block up to its type.
func (e *Encoder) begin(dst []byte, kind string) []byte {
	e.kind = kind
	dst = appendInt(dst, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":", e.index)
	return append(dst, `,"content_block":{"type":`...)
}

// close ends the open block.
func (e *Encoder) close(dst []byte) []byte {
	if e.kind == "" {
		return dst
	}
	e.kind = ""
	dst = appendInt(dst, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":", e.index)
	e.index++
	return append(dst, "}\n\n"...)
}

// delta writes what the open block gets: a text that is escaped already.
func (e *Encoder) delta(dst []byte, kind, member string, text []byte) []byte {
	dst = appendInt(dst, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":", e.index)
	dst = append(append(dst, `,"delta":{"type":"`...), kind...)
	dst = append(append(append(dst, `","`...), member...), `":"`...)
	return append(append(dst, text...), "\"}}\n\n"...)
}

// blocks writes thinking that can be given back. Mostly its text came before,
// piece by piece, and what is new is the signature.
func (e *Encoder) blocks(dst []byte, d *said) []byte {
	s := scan.New(d.blocks, scan.UpstreamDepth)
	if s.Peek() != '[' {
		return dst
	}
	for ok := s.Enter(); ok; {
		if ok = s.Element(); !ok {
			break
		}
		var b block
		if ok = b.read(&s); !ok {
			break
		}
		switch b.kind {
		case "redacted_thinking":
			dst = append(e.begin(e.close(dst), b.kind), `"redacted_thinking","data":"`...)
			dst = e.close(append(append(dst, b.data...), "\"}}\n\n"...))
		case "thinking":
			if e.kind != "thinking" {
				dst = e.open(dst, "thinking")
				if len(b.thinking) > 0 {
					dst = e.delta(dst, "thinking_delta", "thinking", b.thinking)
				}
			}
			dst = e.close(e.delta(dst, "signature_delta", "signature", b.signature))
		}
	}
	return dst
}

// calls writes pieces of tool calls.
func (e *Encoder) calls(dst, calls []byte) []byte {
	s := scan.New(calls, scan.UpstreamDepth)
	if s.Peek() != '[' {
		return dst
	}
	for ok, n := s.Enter(), int64(0); ok; n++ {
		if ok = s.Element(); !ok {
			break
		}
		p := piece{index: n}
		if ok = p.read(&s); ok {
			dst = e.piece(dst, &p)
		}
	}
	return dst
}

// piece writes one piece, or keeps it.
func (e *Encoder) piece(dst []byte, p *piece) []byte {
	if e.kind == "tool_use" && e.call == p.index {
		if len(p.arguments) > 0 {
			e.input = append(e.input, p.arguments...)
			dst = e.delta(dst, "input_json_delta", "partial_json", p.arguments)
		}
		return dst
	}
	for i := range e.waiting {
		if w := &e.waiting[i]; w.call == p.index {
			w.input = append(w.input, p.arguments...)
			return dst
		}
	}
	w := waiting{p.index, bytes.Clone(p.id), bytes.Clone(p.name), bytes.Clone(p.arguments)}
	if e.kind == "tool_use" && (len(e.waiting) > 0 || !scan.Valid([]byte(llm.Unescape(e.input)), scan.UpstreamDepth)) {
		e.waiting = append(e.waiting, w)
		return dst
	}
	return e.use(dst, &w)
}

// use begins the block of a tool call.
func (e *Encoder) use(dst []byte, w *waiting) []byte {
	dst = append(e.begin(e.close(dst), "tool_use"), `"tool_use","id":"`...)
	if len(w.id) == 0 {
		w.id = appendInt(nil, "toolu_"+strings.TrimPrefix(e.id, "msg_")+"_", w.call)
	}
	dst = append(append(append(dst, w.id...), `","name":"`...), w.name...)
	dst = append(dst, "\",\"input\":{}}}\n\n"...)
	e.call, e.called = w.call, true
	if e.input = append(e.input[:0], w.input...); len(w.input) > 0 {
		dst = e.delta(dst, "input_json_delta", "partial_json", w.input)
	}
	return dst
}

// End appends what ends a stream: what is still open, the stop reason with the
// usage, and the receipt as a member of message_stop.
func (e *Encoder) End(dst []byte, end llm.Ending) []byte {
	dst = e.start(dst)
	for i := range e.waiting {
		dst = e.use(dst, &e.waiting[i])
	}
	e.waiting = nil
	dst = e.close(dst)
	if !e.told {
		e.told = true
		dst = append(dst, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\""...)
		dst = append(append(dst, e.reason(end)...), `","stop_sequence":null},"usage":`...)
		dst = append(appendTally(dst, end.Usage), "}\n\n"...)
	}
	dst = append(dst, "event: message_stop\ndata: {\"type\":\"message_stop\""...)
	return append(appendReceipt(dst, end.Receipt), "}\n\n"...)
}

// reason gives the stop reason. Some engines say "stop" when they call a tool,
// and callers of this dialect look there for whether one is to be run.
func (e *Encoder) reason(end llm.Ending) string {
	switch reason := stopReason(end.Finish); {
	case end.Capped:
		return "max_tokens"
	case reason == "end_turn" && e.called:
		return "tool_use"
	default:
		return reason
	}
}

func appendReceipt(dst, receipt []byte) []byte {
	if len(receipt) > 0 {
		dst = append(append(dst, `,"onemind":`...), receipt...)
	}
	return dst
}
