package gemini

import (
	"io"
	"strconv"

	"onemind/internal/llm"
)

// nativeType is the type of native events: Google names none, and an event
// without a name is a "message".
const nativeType = "message"

// stream passes the events of a streamed answer on.
func (k *call) stream() (llm.Result, error) {
	err := k.events()
	if err == nil {
		err = k.finish()
	}
	if err == nil {
		k.Drain()
	}
	return k.answer.result(), err
}

// events reads events until the stream ends. It gives nil for an answer that is
// complete, whatever became of the connection afterwards.
func (k *call) events() error {
	for {
		came, err := k.Next()
		if err != nil {
			return k.over(err)
		}
		if string(came.Data) == "[DONE]" { // compatible servers say so
			return k.over(io.ErrUnexpectedEOF)
		}
		if came.Trouble {
			return k.Complaint(came.Data)
		}
		if came.Data[0] == '[' { // Google's errors may come in a list of one
			return k.Complaint(came.Data)
		}
		if wrong := k.chunk.read(came.Data); wrong != "" {
			if came.Last { // what came last came in part
				return k.over(io.ErrUnexpectedEOF)
			}
			return k.Broken("The provider's stream cannot be read: %s", wrong)
		}
		if k.chunk.trouble != nil {
			return k.Complaint(k.chunk.data)
		}
		_, ahead := k.Ahead()
		if err := k.pass(&k.chunk, ahead); err != nil {
			return err
		}
	}
}

// over judges a stream that ended, for which the dialect has no mark of its own.
func (k *call) over(err error) error {
	if k.ctx.Err() != nil {
		return k.Ended()
	}
	if k.answer.complete() {
		return nil // whatever else was to come
	}
	return k.Cut(err)
}

// pass emits what a chunk says.
func (k *call) pass(c *chunk, ahead bool) error {
	k.answer.take(c)
	if k.native {
		return k.passNative(c, ahead)
	}
	if what := unsayable(c.parts); what != nil {
		return k.Broken("The provider's answer has a part that chat completions cannot carry: %s", what)
	}
	for i := range c.endings {
		if err := k.ending(c, &c.endings[i], ahead); err != nil {
			return err
		}
	}
	if k.answer.blocked && !k.answer.done() {
		return k.refused(ahead)
	}
	return nil
}

// done reports whether the first candidate has an end.
func (a *answer) done() bool { return len(a.seen) > 0 && a.seen[0].finish != "" }

// unsayable names what chat completions have no place for.
func unsayable(parts []part) []byte {
	for i := range parts {
		if parts[i].kind == foreign {
			return parts[i].text
		}
	}
	return nil
}

// passNative emits a chunk as it stands.
func (k *call) passNative(c *chunk, ahead bool) error {
	ev := &k.event
	*ev = llm.Event{Data: c.data, Native: nativeType, Usage: c.hasUsage, More: ahead}
	k.text = k.text[:0]
	var content, reasoning span
	for i := range c.parts {
		p := &c.parts[i]
		ev.Output += p.size
		if p.candidate != c.parts[0].candidate {
			continue
		}
		switch { // one part is the rule, and needs no copy
		case p.kind == text && ev.Content == nil && content.to == 0:
			ev.Content = p.text
		case p.kind == text:
			k.text, content = join(k.text, c.parts, text)
		case p.kind == thought && ev.Reasoning == nil && reasoning.to == 0:
			ev.Reasoning = p.text
		case p.kind == thought:
			k.text, reasoning = join(k.text, c.parts, thought)
		}
	}
	if content.to > 0 {
		ev.Content = content.of(k.text)
	}
	if reasoning.to > 0 {
		ev.Reasoning = reasoning.of(k.text)
	}
	for _, e := range c.endings {
		at := k.answer.at(e.candidate)
		for _, p := range c.parts[e.first:e.after] {
			if p.kind == called {
				at.calls++
			}
		}
		if len(e.reason) > 0 && at.finish == "" {
			at.finish, _ = finishOf(e.reason, at.calls > 0)
		}
	}
	ev.Finish = k.answer.finish()
	return k.emit(ev)
}

// join puts the first candidate's texts of one kind together.
func join(dst []byte, parts []part, of kind) ([]byte, span) {
	from := len(dst)
	for i := range parts {
		if parts[i].kind == of && parts[i].candidate == parts[0].candidate {
			dst = append(dst, parts[i].text...)
		}
	}
	return dst, span{from, len(dst)}
}

// ending emits what one candidate of a chunk says, and how it ends.
func (k *call) ending(c *chunk, e *ending, ahead bool) error {
	at := k.answer.at(e.candidate)
	if at.finish != "" {
		return nil // it has ended before
	}
	if parts := c.parts[e.first:e.after]; len(parts) > 0 || e.logprobs != nil {
		if err := k.delta(parts, e, at, ahead || len(e.reason) > 0); err != nil {
			return err
		}
	}
	if len(e.reason) == 0 {
		return nil
	}
	finish, odd := finishOf(e.reason, at.calls > 0)
	if odd && !at.said {
		return k.Broken("The provider's model went wrong: %s", e.reason)
	}
	at.finish = finish
	return k.closing(e.candidate, at, ahead)
}

// delta emits the parts of one candidate.
func (k *call) delta(parts []part, e *ending, at *candidate, more bool) error {
	out := k.open(e.candidate, at)
	out, where := at.say(out, parts, false)
	ev := &k.event
	*ev = llm.Event{Choices: 1, More: more}
	for i := range parts {
		ev.Output += parts[i].size
	}
	out = append(out, `},"logprobs":`...)
	if e.logprobs != nil {
		out = appendLogprobs(out, e.logprobs)
	} else {
		out = append(out, "null"...)
	}
	out = append(out, `,"finish_reason":null}]}`...)
	if k.out = out; cap(out) > maxReuse { // an image
		k.out = nil
	}
	ev.Data, ev.Content, ev.Reasoning = out, where.content.of(out), where.reasoning.of(out)
	return k.emit(ev)
}

// maxReuse is how large a chunk's buffer may be, in bytes, that serves for the next.
const maxReuse = 64 << 10

// open begins a chunk of one choice, up to the members of its delta.
func (k *call) open(index int, at *candidate) []byte {
	out := k.answer.begin(k.out[:0])
	out = strconv.AppendInt(append(out, `{"index":`...), int64(index), 10)
	out = append(out, `,"delta":{`...)
	if !at.begun {
		at.begun = true
		out = append(out, `"role":"assistant"`...)
	}
	return out
}

// closing emits the chunk with a candidate's finish reason.
func (k *call) closing(index int, at *candidate, ahead bool) error {
	out := append(k.open(index, at), `},"logprobs":null,"finish_reason":"`...)
	k.out = append(append(out, at.finish...), `"}]}`...)
	return k.emit(&llm.Event{Data: k.out, Finish: at.finish, Choices: 1, More: ahead})
}

// refused emits the answer to a prompt that the provider's filter blocked: it is
// an answer, though an empty one, and nobody's failure.
func (k *call) refused(ahead bool) error {
	at := k.answer.at(0)
	if !at.said {
		out := k.open(0, at)
		if out[len(out)-1] != '{' {
			out = append(out, ',')
		}
		out = append(out, `"content":null,"refusal":"`+refusal+`"},"logprobs":null,"finish_reason":null}]}`...)
		k.out = out
		if err := k.emit(&llm.Event{Data: out, Choices: 1, More: true}); err != nil {
			return err
		}
	}
	at.finish = "content_filter"
	return k.closing(0, at, ahead)
}

// finish emits the chunk with the usage, which is complete only now.
func (k *call) finish() error {
	if k.native || !k.answer.hasUsage {
		return nil
	}
	out := append(k.answer.begin(k.out[:0]), `],"usage":`...)
	k.out = append(appendUsage(out, k.answer.usage), '}')
	return k.emit(&llm.Event{Data: k.out, Usage: true})
}
