package responses

import (
	"bytes"
	"strconv"
)

// item is one item of the output.
type item struct {
	kind  kind
	index int    // in the output; -1 for a call whose name has not come yet
	done  string // its status, once it is over
	text  []byte // summary, arguments, input or base64, still escaped
	parts []said // of a message

	name, call []byte // of a call, still escaped
	number     []byte // of a call: the engine's index; nil if it gave none
	sealed     []byte // of reasoning
	summed     bool   // of reasoning: it has a summary
}

// said is one part of a message.
type said struct {
	refusal bool
	text    []byte // still escaped
}

type kind int

const (
	reasoning kind = iota
	message
	function
	custom
	picture
)

// prefix opens the ids of items.
func (k kind) prefix() string { return [...]string{"rs_", "msg_", "fc_", "ctc_", "ig_"}[k] }

func (e *Encoder) appendID(dst []byte, it *item) []byte {
	dst = append(append(append(dst, it.kind.prefix()...), e.id...), '_')
	return strconv.AppendInt(dst, int64(it.index), 10)
}

// start makes an item a part of the output.
func (e *Encoder) start(it *item) {
	it.index = len(e.items)
	e.items = append(e.items, it)
	if e.quiet {
		return
	}
	e.open("response.output_item.added")
	e.number("output_index", it.index)
	e.dst = append(e.dst, `,"item":`...)
	text, parts := it.text, it.parts
	it.text, it.parts = nil, nil // what is there already comes as a delta
	e.dst = e.appendItem(e.dst, it, inProgress)
	it.text, it.parts = text, parts
	e.close()
}

// think adds to the reasoning.
func (e *Encoder) think(raw []byte) {
	if len(raw) == 0 {
		return
	}
	if e.current == nil || e.current.kind != reasoning {
		e.rest()
		e.current = &item{kind: reasoning}
		e.start(e.current)
	}
	it := e.current
	if !it.summed {
		it.summed = true
		if !e.quiet {
			e.about("response.reasoning_summary_part.added", it)
			e.dst = append(e.dst, `,"summary_index":0,"part":{"type":"summary_text","text":""}`...)
			e.close()
		}
	}
	it.text = append(it.text, raw...)
	if e.quiet {
		return
	}
	e.about("response.reasoning_summary_text.delta", it)
	e.number("summary_index", 0)
	e.text("delta", raw)
	e.close()
}

// say adds to the message: to its text, or to why the engine refuses.
func (e *Encoder) say(raw []byte, refusal bool) {
	if len(raw) == 0 {
		return
	}
	if e.current == nil || e.current.kind != message {
		e.rest()
		e.current = &item{kind: message}
		e.start(e.current)
	}
	it := e.current
	if n := len(it.parts); n == 0 || it.parts[n-1].refusal != refusal {
		e.partDone(it)
		it.parts = append(it.parts, said{refusal: refusal})
		if !e.quiet {
			e.about("response.content_part.added", it)
			e.number("content_index", n)
			e.dst = append(e.dst, `,"part":`...)
			e.dst = appendPart(e.dst, it.parts[n])
			e.close()
		}
	}
	at := len(it.parts) - 1
	it.parts[at].text = append(it.parts[at].text, raw...)
	if e.quiet {
		return
	}
	if refusal {
		e.about("response.refusal.delta", it)
	} else {
		e.about("response.output_text.delta", it)
	}
	e.number("content_index", at)
	e.text("delta", raw)
	if !refusal {
		e.dst = append(e.dst, `,"logprobs":[]`...)
	}
	e.close()
}

// partDone ends the last part of a message.
func (e *Encoder) partDone(it *item) {
	at := len(it.parts) - 1
	if at < 0 || e.quiet {
		return
	}
	if p := it.parts[at]; p.refusal {
		e.about("response.refusal.done", it)
		e.number("content_index", at)
		e.text("refusal", p.text)
	} else {
		e.about("response.output_text.done", it)
		e.number("content_index", at)
		e.text("text", p.text)
		e.dst = append(e.dst, `,"logprobs":[]`...)
	}
	e.close()
	e.about("response.content_part.done", it)
	e.number("content_index", at)
	e.dst = appendPart(append(e.dst, `,"part":`...), it.parts[at])
	e.close()
}

// rest ends the reasoning or the message that is being written, because
// something else comes.
func (e *Encoder) rest() {
	if it := e.current; it != nil {
		e.finish(it, completed)
	}
	e.settle()
}

// settle gives what has to come back in the next turn to an item of reasoning.
func (e *Encoder) settle() {
	e.whole()
	if len(e.pending.blocks) == 0 && len(e.pending.signatures) == 0 {
		return
	}
	it := &item{kind: reasoning}
	e.start(it)
	e.finish(it, completed)
}

// closeAll ends all items that are open: what was being written when the
// response ended is as complete as the response.
func (e *Encoder) closeAll(status string) {
	if e.current != nil {
		e.finish(e.current, status)
	}
	if e.last != nil && e.last.index < 0 { // a call without a name: let it be seen
		e.announce(e.last)
	}
	e.settle()
	for _, it := range e.items {
		if it.done == "" {
			e.finish(it, status)
		}
	}
}

// finish ends one item.
func (e *Encoder) finish(it *item, status string) {
	it.done = status
	if it == e.current {
		e.current = nil
	}
	if it.kind == reasoning {
		e.whole()
		it.sealed = e.pending.sealed()
		e.pending = seal{}
	}
	if e.quiet {
		return
	}
	switch it.kind {
	case message:
		e.partDone(it)
	case reasoning:
		if it.summed {
			e.about("response.reasoning_summary_text.done", it)
			e.number("summary_index", 0)
			e.text("text", it.text)
			e.close()
			e.about("response.reasoning_summary_part.done", it)
			e.dst = append(e.dst, `,"summary_index":0,"part":{"type":"summary_text"`...)
			e.text("text", it.text)
			e.dst = append(e.dst, '}')
			e.close()
		}
	case function:
		e.about("response.function_call_arguments.done", it)
		e.text("name", it.name)
		e.text("arguments", it.text)
		e.close()
	case custom:
		e.about("response.custom_tool_call_input.done", it)
		e.text("input", it.text)
		e.close()
	}
	e.open("response.output_item.done")
	e.number("output_index", it.index)
	e.dst = e.appendItem(append(e.dst, `,"item":`...), it, status)
	e.close()
}

// show gives an image that a model drew beside its text: a data URL, still escaped.
func (e *Encoder) show(url []byte) {
	_, data, ok := bytes.Cut(url, []byte(";base64,"))
	if !ok {
		return // an address: the dialect has no place for it
	}
	e.rest()
	it := &item{kind: picture, text: bytes.Clone(data)}
	e.start(it)
	e.finish(it, completed)
}

// fragment is what one delta says of a call; strings are still escaped.
type fragment struct {
	number, id, name, text, signature []byte
	custom                            bool
}

// ask adds to a call of a tool. Calls stay open until the end: engines may
// write several at once.
func (e *Encoder) ask(f fragment) {
	it := e.callOf(&f)
	if it == nil {
		if e.last != nil && e.last.index < 0 {
			e.announce(e.last)
		}
		it = &item{kind: function, index: -1, number: bytes.Clone(f.number)}
		if f.custom {
			it.kind = custom
		}
		e.last = it
	}
	if len(it.call) == 0 {
		it.call = bytes.Clone(f.id)
	}
	if len(it.name) == 0 {
		it.name = bytes.Clone(f.name)
	}
	if len(f.signature) > 0 {
		if len(it.call) == 0 {
			it.call = e.callID()
		}
		e.pending.signatures = append(e.pending.signatures, signature{quoted(it.call), quoted(f.signature)})
	}
	it.text = append(it.text, f.text...)
	switch {
	case it.index < 0 && len(it.name) > 0:
		e.announce(it)
	case it.index >= 0:
		e.argue(it, f.text)
	}
}

// callOf finds the call that a fragment goes on with; nil if it begins one.
// OpenAI numbers calls. Gemini's compatible API gives whole calls that are all
// number 0, and some engines give neither numbers nor ids.
func (e *Encoder) callOf(f *fragment) *item {
	other := func(it *item) bool { return len(f.id) > 0 && len(it.call) > 0 && !bytes.Equal(f.id, it.call) }
	if e.last != nil && e.last.index < 0 && !other(e.last) && bytes.Equal(f.number, e.last.number) {
		return e.last
	}
	for i := len(e.items) - 1; i >= 0; i-- {
		it := e.items[i]
		if it.kind != function && it.kind != custom || other(it) || !bytes.Equal(f.number, it.number) {
			continue
		}
		whole := len(f.id) == 0 && len(f.name) > 0 && f.number == nil
		if f.number == nil && (whole || it != e.last) {
			continue
		}
		return it
	}
	return nil
}

// announce makes a call a part of the output, once its name is known.
func (e *Encoder) announce(it *item) {
	if len(it.call) == 0 {
		it.call = e.callID()
	}
	e.rest() // signatures come before their call
	e.start(it)
	e.argue(it, it.text)
}

// callID makes an id for a call that its engine gave none.
func (e *Encoder) callID() []byte {
	return strconv.AppendInt(append(append([]byte("call_"), e.id...), '_'), int64(len(e.items)), 10)
}

// argue passes a piece of a call's arguments on.
func (e *Encoder) argue(it *item, raw []byte) {
	if len(raw) == 0 || e.quiet {
		return
	}
	if it.kind == custom {
		e.about("response.custom_tool_call_input.delta", it)
	} else {
		e.about("response.function_call_arguments.delta", it)
	}
	e.text("delta", raw)
	e.close()
}

// appendItem writes an item as it stands.
func (e *Encoder) appendItem(dst []byte, it *item, status string) []byte {
	text := func(name string, raw []byte) {
		dst = append(append(append(dst, `,"`...), name...), `":"`...)
		dst = append(append(dst, raw...), '"')
	}
	dst = append(e.appendID(append(dst, `{"id":"`...), it), `","type":"`...)
	dst = append(dst, [...]string{`reasoning"`, `message"`, `function_call"`, `custom_tool_call"`, `image_generation_call"`}[it.kind]...)
	text("status", []byte(status))
	switch it.kind {
	case reasoning:
		dst = append(dst, `,"summary":[`...)
		if len(it.text) > 0 {
			dst = append(append(append(dst, `{"type":"summary_text","text":"`...), it.text...), `"}`...)
		}
		dst = append(dst, ']')
		if it.sealed != nil {
			text("encrypted_content", it.sealed)
		}
	case message:
		dst = append(dst, `,"role":"assistant","content":[`...)
		for i, p := range it.parts {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendPart(dst, p)
		}
		dst = append(dst, ']')
	case function:
		text("arguments", it.text)
		text("call_id", it.call)
		text("name", it.name)
	case custom:
		text("input", it.text)
		text("call_id", it.call)
		text("name", it.name)
	case picture:
		if len(it.text) > 0 {
			text("result", it.text)
		} else {
			dst = append(dst, `,"result":null`...)
		}
	}
	return append(dst, '}')
}

// appendPart writes a part of a message.
func appendPart(dst []byte, p said) []byte {
	if p.refusal {
		return append(append(append(dst, `{"type":"refusal","refusal":"`...), p.text...), `"}`...)
	}
	dst = append(append(dst, `{"type":"output_text","annotations":[],"logprobs":[],"text":"`...), p.text...)
	return append(dst, `"}`...)
}

func quoted(raw []byte) []byte { return append(append([]byte{'"'}, raw...), '"') }
