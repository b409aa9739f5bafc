package gemini

import (
	"bytes"
	"strconv"
	"strings"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// Encoder writes one answer as generateContent does, from neutral or from native
// events. The finish reason of neutral events waits for the end, which carries the
// usage and the receipt. It is used from one goroutine.
type Encoder struct {
	id, model string // as JSON strings
	array     bool   // a JSON array is streamed, and no events
	open      bool   // the array's bracket is written
	native    bool   // events came in this dialect
	ended     bool   // with a finish reason
	choices   []choice
}

// choice is what one of the answers waits with.
type choice struct {
	begun  bool
	finish string
	calls  []callPieces
}

// callPieces is a tool call whose arguments come in fragments: here they go out whole.
type callPieces struct {
	index     int64
	id        []byte // as it stands in the JSON
	name      []byte
	arguments []byte // still escaped
	signature []byte
}

// NewEncoder returns an Encoder for the answer with an id, of a model as the
// caller named it. array is for a stream without alt=sse, which is a JSON array.
func NewEncoder(id, model string, array bool) *Encoder {
	return &Encoder{id: string(llm.AppendQuoted(nil, id)), model: string(llm.AppendQuoted(nil, model)), array: array}
}

// Type is the Content-Type of the stream.
func (e *Encoder) Type() string {
	if e.array {
		return "application/json"
	}
	return "text/event-stream"
}

// begin opens a frame, and close ends it.
func (e *Encoder) begin(dst []byte) []byte {
	switch {
	case !e.array:
		return append(dst, "data: "...)
	case e.open:
		return append(dst, ",\r\n"...)
	}
	e.open = true
	return append(dst, '[')
}

func (e *Encoder) close(dst []byte) []byte {
	if e.array {
		return dst
	}
	return append(dst, "\r\n\r\n"...)
}

// Event appends the frames that an event becomes.
func (e *Encoder) Event(dst []byte, ev *llm.Event) []byte {
	if ev.Native != "" {
		e.native = true
		e.ended = e.ended || ev.Finish != ""
		return e.close(append(e.begin(dst), ev.Data...))
	}
	s := scan.New(ev.Data, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return dst
	}
	for ok := s.Enter(); ok && s.Member(); {
		if string(s.Name) != "choices" || s.Peek() != '[' {
			ok = s.Skip()
			continue
		}
		for ok = s.Enter(); ok && s.Element(); {
			dst = e.delta(dst, &s)
			ok = s.Bad == ""
		}
		ok = s.Bad == ""
	}
	return dst
}

// delta appends the frame of one choice, if it says something.
func (e *Encoder) delta(dst []byte, s *scan.Scanner) []byte {
	if s.Peek() != '{' {
		s.Skip()
		return dst
	}
	var r reading
	r.choice(s)
	if s.Bad != "" || r.index < 0 || r.index >= maxCandidates {
		return dst
	}
	for int64(len(e.choices)) <= r.index {
		e.choices = append(e.choices, choice{})
	}
	c := &e.choices[r.index]
	c.begun = true
	whole := c.add(&r)
	if len(r.finish) > 0 {
		c.finish = llm.Unescape(r.finish)
		whole = append(whole, c.take()...)
	}
	if len(r.reasoning) == 0 && len(r.content) == 0 && len(r.refusal) == 0 && len(r.images) == 0 && len(r.signature) == 0 && len(whole) == 0 {
		return dst
	}
	dst = append(e.begin(dst), `{"candidates":[{"content":{"parts":`...)
	dst = r.appendParts(dst, whole)
	dst = strconv.AppendInt(append(dst, `,"role":"model"},"index":`...), r.index, 10)
	return e.close(e.tail(append(dst, "}]"...)))
}

// tail appends what every response has, and its end.
func (e *Encoder) tail(dst []byte) []byte {
	dst = append(append(dst, `,"modelVersion":`...), e.model...)
	return append(append(append(dst, `,"responseId":`...), e.id...), '}')
}

// add keeps fragments of calls and gives the calls before them, which are whole now.
func (c *choice) add(r *reading) []callPieces {
	var whole []callPieces
	for _, f := range r.calls {
		if n := len(c.calls); n > 0 && c.calls[n-1].index != f.index {
			whole = append(whole, c.take()...)
		}
		if len(c.calls) == 0 {
			c.calls = append(c.calls, callPieces{index: f.index})
		}
		last := &c.calls[len(c.calls)-1]
		if len(f.id) > 0 {
			last.id = bytes.Clone(f.id)
		}
		if len(f.signature) > 0 {
			last.signature = bytes.Clone(f.signature)
		}
		last.name = append(last.name, f.name...)
		last.arguments = append(last.arguments, f.arguments...)
	}
	return whole
}

// take gives the calls that are complete, and forgets all. One whose arguments are
// no JSON object was broken off: in this dialect it cannot be said at all.
func (c *choice) take() []callPieces {
	var whole []callPieces
	for _, call := range c.calls {
		if call.arguments = bytes.TrimSpace(plain(call.arguments)); len(call.arguments) == 0 {
			call.arguments = []byte("{}")
		}
		if call.arguments[0] == '{' && scan.Valid(call.arguments, scan.UpstreamDepth) && len(call.name) > 0 {
			whole = append(whole, call)
		} else {
			c.finish = malformed
		}
	}
	c.calls = nil
	return whole
}

// malformed is a finish of ours: a call could not be read to its end.
const malformed = "malformed_function_call"

// End appends the frames that end an answer.
func (e *Encoder) End(dst []byte, end llm.Ending) []byte {
	dst = e.rest(dst)
	if e.native && e.ended && !end.Capped {
		if end.Receipt != nil {
			dst = appendMetadata(append(e.begin(dst), `{"candidates":[],"usageMetadata":`...), end.Usage)
			dst = e.close(e.tail(e.receipt(dst, end.Receipt)))
		}
		return e.shut(dst)
	}
	choices := e.choices
	if len(choices) == 0 {
		choices = []choice{{}}
	}
	dst = append(e.begin(dst), `{"candidates":[`...)
	for i, c := range choices {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"`...)
		dst = append(dst, reasonOf(c.finish, end)...)
		dst = append(strconv.AppendInt(append(dst, `","index":`...), int64(i), 10), '}')
	}
	dst = appendMetadata(append(dst, `],"usageMetadata":`...), end.Usage)
	return e.shut(e.close(e.tail(e.receipt(dst, end.Receipt))))
}

// rest appends calls that no finish reason followed, if they are whole.
func (e *Encoder) rest(dst []byte) []byte {
	for i := range e.choices {
		c := &e.choices[i]
		finish := c.finish
		whole := c.take()
		c.finish = finish // it was broken off with the answer
		if len(whole) == 0 {
			continue
		}
		var r reading
		dst = append(e.begin(dst), `{"candidates":[{"content":{"parts":`...)
		dst = r.appendParts(dst, whole)
		dst = strconv.AppendInt(append(dst, `,"role":"model"},"index":`...), int64(i), 10)
		dst = e.close(e.tail(append(dst, "}]"...)))
	}
	return dst
}

// receipt appends the receipt as a further member, if there is one.
func (e *Encoder) receipt(dst, receipt []byte) []byte {
	if receipt == nil {
		return dst
	}
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(append(dst, `"onemind":`...), receipt...)
}

// shut closes the array.
func (e *Encoder) shut(dst []byte) []byte {
	if !e.array {
		return dst
	}
	if !e.open {
		dst = append(dst, '[')
		e.open = true
	}
	return append(dst, ']')
}

// reasonOf gives Google's word for a finish reason.
func reasonOf(finish string, end llm.Ending) string {
	if finish == "" || end.Capped {
		finish = end.Finish
	}
	if end.Capped && finish == "" {
		finish = "length"
	}
	switch finish {
	case "", "stop", "tool_calls", "function_call":
		return "STOP"
	case "length":
		return "MAX_TOKENS"
	case "content_filter":
		return "SAFETY"
	case malformed:
		return "MALFORMED_FUNCTION_CALL"
	}
	return "OTHER"
}

// Trouble appends the frames that end an answer which broke after it had begun.
func (e *Encoder) Trouble(dst []byte, f *fault.Error) []byte {
	return e.shut(e.close(append(e.begin(dst), e.Error(f, statusOf(f.Kind))...)))
}

// Whole gives an answer that was not streamed, with its receipt. A native one stands
// as the provider wrote it.
func (e *Encoder) Whole(body []byte, native bool, end llm.Ending) ([]byte, error) {
	if native {
		last := bytes.LastIndexByte(body, '}')
		if last < 0 || end.Receipt == nil {
			return body, nil
		}
		dst := append(make([]byte, 0, len(body)+len(end.Receipt)+16), bytes.TrimRight(body[:last], " \t\r\n")...)
		return append(e.receipt(dst, end.Receipt), '}'), nil
	}
	dst := append(make([]byte, 0, len(body)+len(end.Receipt)+256), `{"candidates":[`...)
	for i, raw := range elements(scan.Find(body, "choices")) {
		if i > 0 {
			dst = append(dst, ',')
		}
		s := scan.New(raw, scan.UpstreamDepth)
		if s.Peek() != '{' {
			return nil, unreadable("a choice is no object")
		}
		r := reading{index: int64(i)}
		if r.choice(&s); s.Bad != "" {
			return nil, unreadable(s.Bad)
		}
		var c choice
		for n := range r.calls {
			r.calls[n].index = int64(n) // a message's calls have none
		}
		whole := append(c.add(&r), c.take()...)
		finish := c.finish
		if finish == "" {
			finish = llm.Unescape(r.finish)
		}
		dst = r.appendParts(append(dst, `{"content":{"parts":`...), whole)
		dst = append(append(dst, `,"role":"model"},"finishReason":"`...), reasonOf(finish, llm.Ending{Finish: end.Finish})...)
		dst = append(strconv.AppendInt(append(dst, `","index":`...), r.index, 10), '}')
	}
	dst = appendMetadata(append(dst, `],"usageMetadata":`...), end.Usage)
	return e.tail(e.receipt(dst, end.Receipt)), nil
}

func unreadable(why string) error {
	return fault.New(fault.Upstream, "provider_error", "The provider's answer cannot be read.").Because(errorText(strings.TrimSpace(why)))
}

// errorText is a cause that is a text.
type errorText string

func (e errorText) Error() string { return string(e) }
