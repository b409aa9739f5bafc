package anthropic

import (
	"bytes"
	"io"
	"strconv"

	"onemind/internal/llm"
)

// answer is what the events of one answer add up to.
type answer struct {
	finish  string
	stopped bool // message_stop came
	final   bool // a usage came with or after the stop reason: it is the whole one
	tally   tally

	// Of the neutral form. Blocks come one after the other, so that one is open
	// at a time.
	head      []byte // of every chunk, up to its choices
	buf       []byte // the chunk being written
	told      bool   // the finish reason was passed on
	kind      string // of the open block
	calls     int    // tool calls begun
	input     bool   // the open call has some input
	thinking  []byte // of the open block, still escaped
	signature []byte
}

// reported gives the usage, nil where the provider did not say all of it: what
// message_start counts of the output is a beginning.
func (a *answer) reported() *llm.Usage {
	if !a.tally.some || !a.final && a.finish == "" {
		return nil
	}
	u := a.tally.usage()
	return &u
}

// stream passes the events of a streamed answer on.
func (k *call) stream() (llm.Result, error) {
	var a answer
	err := k.events(&a)
	if err == nil && !k.native {
		err = k.last(&a)
	}
	if err == nil {
		k.Drain()
	}
	return llm.Result{Finish: a.finish, Usage: a.reported(), Changes: k.changes}, err
}

// events reads events until the stream ends. It gives nil for an answer that is
// complete, whatever became of the connection afterwards.
func (k *call) events(a *answer) error {
	var e event
	var ev llm.Event
	for !a.stopped {
		came, err := k.Next()
		if err != nil {
			return k.over(err, a)
		}
		if string(came.Data) == "[DONE]" { // of servers that speak OpenAI's dialect beside this one
			return k.over(io.EOF, a)
		}
		if came.Trouble {
			return k.Complaint(came.Data)
		}
		if wrong := e.read(came.Data); wrong != "" {
			if came.Last { // what came last came in part
				return k.over(io.ErrUnexpectedEOF, a)
			}
			return k.Broken("The provider's stream cannot be read: %s", wrong)
		}
		if e.trouble {
			return k.Complaint(came.Data)
		}
		a.take(&e)
		ev = llm.Event{}
		fill(&ev, &e)
		if k.native {
			ev.Data, ev.Native = came.Data, e.native
		} else if ev.Data = a.chunk(&e, &ev); ev.Data == nil {
			continue
		}
		after, more := k.Ahead()
		ev.More = more && tells(after)
		if err := k.emit(&ev); err != nil {
			return err
		}
	}
	return nil
}

// tells reports whether an event that is here already will be passed on for
// sure: only then may sending wait for it.
func tells(data []byte) bool {
	return bytes.HasPrefix(data, []byte(`{"type":"content_block_delta"`)) && bytes.Contains(data[:min(len(data), 100)], []byte(`"text_delta"`))
}

// over judges a stream that ended without saying so.
func (k *call) over(err error, a *answer) error {
	if k.ctx.Err() != nil {
		return k.Ended()
	}
	if a.finish != "" {
		return nil // only message_stop is missing
	}
	return k.Cut(err)
}

// take notes what an event says about the whole answer.
func (a *answer) take(e *event) {
	a.tally.add(e.usage)
	switch e.kind {
	case "message_delta":
		if e.delta.stop != "" {
			a.finish = e.delta.stop
		}
		a.final = a.final || e.usage.some
	case "message_stop":
		a.stopped = true
		if a.finish == "" {
			a.finish = "stop" // it says the answer is complete, but not why
		}
	}
}

// fill gives an event what metering needs.
func fill(ev *llm.Event, e *event) {
	ev.Usage = e.usage.some
	switch e.kind {
	case "content_block_start":
		ev.Content, ev.Reasoning = filled(e.block.text), filled(e.block.thinking)
		ev.Output = len(e.block.text) + len(e.block.thinking) + len(e.block.data)
		if e.block.kind == "tool_use" {
			ev.Output += len(e.block.name)
			if len(e.block.input) > len("{}") {
				ev.Output += len(e.block.input)
			}
		}
	case "content_block_delta":
		ev.Content, ev.Reasoning = filled(e.delta.text), filled(e.delta.thinking)
		ev.Output = len(e.delta.text) + len(e.delta.thinking) + len(e.delta.partial)
	case "message_delta":
		ev.Finish = e.delta.stop
	}
}

func filled(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// chunk writes an event in the neutral form, nil if it has none. ev says what
// the event holds; only its choices are set here.
func (a *answer) chunk(e *event, ev *llm.Event) []byte {
	ev.Usage = false
	ev.Choices = 1
	switch e.kind {
	case "message_start":
		a.start(e.id, e.model)
		return a.said(append(a.open(), `{"role":"assistant","content":""}`...))
	case "content_block_start":
		return a.begin(&e.block)
	case "content_block_delta":
		return a.add(&e.delta)
	case "content_block_stop":
		return a.close()
	case "message_delta", "message_stop":
		if a.finish == "" || a.told {
			return nil
		}
		a.told, ev.Finish = true, a.finish
		b := append(a.open(), `{},"logprobs":null,"finish_reason":`...)
		b = append(llm.AppendQuoted(b, a.finish), "}]}"...)
		a.buf = b
		return b
	}
	return nil
}

// start writes the head of the chunks.
func (a *answer) start(id, model []byte) {
	if len(id) == 0 {
		id = []byte("msg_unnamed")
	}
	b := append(append([]byte(`{"id":"`), id...), `","object":"chat.completion.chunk","created":`...)
	b = strconv.AppendInt(b, now(), 10)
	a.head = append(append(append(b, `,"model":"`...), model...), `","choices":[`...)
}

// open begins a chunk of one choice, up to its delta.
func (a *answer) open() []byte {
	if a.head == nil {
		a.start(nil, nil) // a provider that forgot message_start
	}
	return append(append(a.buf[:0], a.head...), `{"index":0,"delta":`...)
}

// said ends a chunk behind its delta.
func (a *answer) said(b []byte) []byte {
	a.buf = append(b, `,"logprobs":null,"finish_reason":null}]}`...)
	return a.buf
}

// begin writes what the start of a block says.
func (a *answer) begin(b *block) []byte {
	a.kind, a.input = b.kind, false
	switch b.kind {
	case "text":
		return a.string("content", b.text)
	case "thinking":
		a.thinking = append(a.thinking[:0], b.thinking...)
		a.signature = append(a.signature[:0], b.signature...)
		return a.string("reasoning_content", b.thinking)
	case "redacted_thinking":
		c := append(a.open(), `{"thinking_blocks":[{"type":"redacted_thinking","data":"`...)
		return a.said(append(append(c, b.data...), `"}]}`...))
	case "tool_use":
		c := appendInt(a.open(), `{"tool_calls":[{"index":`, int64(a.calls))
		a.calls++
		c = append(append(append(c, `,"id":"`...), b.id...), `","type":"function","function":{"name":"`...)
		c = append(append(c, b.name...), `","arguments":`...)
		if a.input = len(b.input) > len("{}") && b.input[0] == '{'; a.input { // some servers give all of it at once
			c = llm.AppendQuoted(c, string(b.input))
		} else {
			c = append(c, `""`...)
		}
		return a.said(append(c, "}}]}"...))
	}
	return nil
}

// add writes what a block's delta says.
func (a *answer) add(d *delta) []byte {
	switch {
	case len(d.text) > 0:
		return a.string("content", d.text)
	case len(d.thinking) > 0:
		a.thinking = append(a.thinking, d.thinking...)
		return a.string("reasoning_content", d.thinking)
	case len(d.signature) > 0:
		a.signature = append(a.signature, d.signature...)
	case len(d.partial) > 0 && a.kind == "tool_use":
		a.input = true
		return a.arguments(d.partial)
	}
	return nil
}

// string writes a delta of one text, which is escaped already.
func (a *answer) string(member string, raw []byte) []byte {
	if len(raw) == 0 {
		return nil
	}
	b := append(append(append(a.open(), `{"`...), member...), `":"`...)
	return a.said(append(append(b, raw...), `"}`...))
}

// arguments writes a piece of the open call's arguments.
func (a *answer) arguments(raw []byte) []byte {
	b := appendInt(a.open(), `{"tool_calls":[{"index":`, int64(a.calls-1))
	b = append(append(b, `,"function":{"arguments":"`...), raw...)
	return a.said(append(b, `"}}]}`...))
}

// close writes what is known at the end of a block only: a call without
// arguments has none to send, but {} is what callers parse; and thinking that
// can be given back is whole only now.
func (a *answer) close() []byte {
	kind := a.kind
	a.kind = ""
	switch {
	case kind == "tool_use" && !a.input:
		return a.arguments([]byte("{}"))
	case kind == "thinking" && len(a.signature) > 0:
		b := append(append(a.open(), `{"thinking_blocks":[`...), appendThinking(nil, a.thinking, a.signature)...)
		return a.said(append(b, "]}"...))
	}
	return nil
}

// appendThinking writes a thinking block of two escaped texts.
func appendThinking(dst, thinking, signature []byte) []byte {
	dst = append(append(dst, `{"type":"thinking","thinking":"`...), thinking...)
	dst = append(append(dst, `","signature":"`...), signature...)
	return append(dst, `"}`...)
}

// last emits the chunk of the usage, which the neutral form sends behind the
// finish reason.
func (k *call) last(a *answer) error {
	used := a.reported()
	if used == nil {
		return nil
	}
	if a.head == nil {
		a.start(nil, nil)
	}
	b := append(append(a.buf[:0], a.head...), `],"usage":`...)
	b = append(appendUsage(b, *used), '}')
	return k.emit(&llm.Event{Data: b, Usage: true})
}
