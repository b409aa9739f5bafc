package gemini

import (
	"strconv"

	"onemind/internal/llm"
)

// whole reads an answer that came as one body: a response or, of a server that
// streams without events, a list of them.
func (k *call) whole() (llm.Result, error) {
	body, err := k.Body()
	if err != nil {
		return llm.Result{}, err
	}
	list := [][]byte{body}
	if len(body) > 0 && body[0] == '[' {
		list = elements(body)
	}
	if k.req.Stream {
		return k.replay(list)
	}
	var all chunk
	for _, one := range list {
		if err := k.gather(&all, one); err != nil {
			return k.answer.result(), err
		}
	}
	k.answer.take(&all)
	if len(all.endings) == 0 && !all.blocked {
		return k.answer.result(), k.Broken("The provider's answer cannot be read: no candidates in it")
	}
	if k.native && len(list) == 1 {
		return k.wholeNative(body, &all), nil
	}
	if what := unsayable(all.parts); what != nil {
		return k.answer.result(), k.Broken("The provider's answer has a part that chat completions cannot carry: %s", what)
	}
	return k.completion(&all)
}

// gather adds one response to what others said. Its slices stand in the body,
// which stays.
func (k *call) gather(all *chunk, one []byte) error {
	var c chunk
	if wrong := c.read(one); wrong != "" {
		return k.Broken("The provider's answer cannot be read: %s", wrong)
	}
	if c.trouble != nil {
		return k.Complaint(one)
	}
	for _, e := range c.endings {
		e.first += len(all.parts)
		e.after += len(all.parts)
		all.endings = append(all.endings, e)
	}
	all.parts = append(all.parts, c.parts...)
	if c.hasUsage {
		all.usage, all.hasUsage = c.usage, true
	}
	all.blocked = all.blocked || c.blocked
	if len(c.id) > 0 {
		all.id = c.id
	}
	if len(c.model) > 0 {
		all.model = c.model
	}
	return nil
}

// replay emits responses that came in one body as the events they stand for.
func (k *call) replay(list [][]byte) (llm.Result, error) {
	for i, one := range list {
		if wrong := k.chunk.read(one); wrong != "" {
			return k.answer.result(), k.Broken("The provider's answer cannot be read: %s", wrong)
		}
		if k.chunk.trouble != nil {
			return k.answer.result(), k.Complaint(one)
		}
		k.chunk.data = oneLine(one)
		if err := k.pass(&k.chunk, i+1 < len(list)); err != nil {
			return k.answer.result(), err
		}
	}
	if !k.answer.complete() {
		return k.answer.result(), k.Broken("The provider's answer cannot be read: it does not say that it is over")
	}
	return k.answer.result(), k.finish()
}

// wholeNative leaves the answer as it stands.
func (k *call) wholeNative(body []byte, all *chunk) llm.Result {
	for i := range all.endings {
		e := &all.endings[i]
		at := k.answer.at(e.candidate)
		for _, p := range all.parts[e.first:e.after] {
			if p.kind == called {
				at.calls++
			}
		}
		if len(e.reason) > 0 {
			at.finish, _ = finishOf(e.reason, at.calls > 0)
		}
	}
	r := k.answer.result()
	r.Body, r.Native = body, true
	k.tell(&r, all)
	return r
}

// tell gives the text of an answer of which the provider does not say how long it is.
func (k *call) tell(r *llm.Result, all *chunk) {
	if r.Usage.Answered() {
		return
	}
	var raw []byte
	for i := range all.parts {
		switch p := &all.parts[i]; p.kind {
		case called:
			raw = append(append(raw, p.text...), p.data...)
		case text, thought:
			raw = append(raw, p.text...)
		}
	}
	r.Text = llm.Unescape(raw)
}

// completion writes the answer as a chat.completion.
func (k *call) completion(all *chunk) (llm.Result, error) {
	a := &k.answer
	if all.blocked {
		a.at(0)
	}
	out := make([]byte, 0, 1024)
	out = append(a.appendHead(append(out, '{'), "chat.completion"), `,"choices":[`...)
	for i := range a.seen {
		if i > 0 {
			out = append(out, ',')
		}
		var err error
		if out, err = k.choice(out, all, i); err != nil {
			return a.result(), err
		}
	}
	out = append(out, ']')
	if a.hasUsage {
		out = appendUsage(append(out, `,"usage":`...), a.usage)
	}
	r := a.result()
	r.Body = append(out, '}')
	k.tell(&r, all)
	return r, nil
}

// choice appends one choice.
func (k *call) choice(out []byte, all *chunk, index int) ([]byte, error) {
	at := k.answer.at(index)
	var parts []part
	for i := range all.parts {
		if all.parts[i].candidate == index {
			parts = append(parts, all.parts[i])
		}
	}
	var reason, logprobs []byte
	for i := range all.endings {
		if e := &all.endings[i]; e.candidate == index {
			if len(e.reason) > 0 {
				reason = e.reason
			}
			if e.logprobs != nil {
				logprobs = e.logprobs
			}
		}
	}
	out = strconv.AppendInt(append(out, `{"index":`...), int64(index), 10)
	out, _ = at.say(append(out, `,"message":{"role":"assistant"`...), parts, true)
	if all.blocked && !at.said {
		out = append(out, `,"refusal":"`+refusal+`"`...)
	} else {
		out = append(out, `,"refusal":null`...)
	}
	out = append(out, `},"logprobs":`...)
	if logprobs != nil {
		out = appendLogprobs(out, logprobs)
	} else {
		out = append(out, "null"...)
	}
	finish, odd := finishOf(reason, at.calls > 0)
	switch {
	case len(reason) == 0 && all.blocked:
		finish = "content_filter"
	case len(reason) == 0 && !at.said:
		return out, k.Broken("The provider's answer cannot be read: it has no content and no finish reason")
	case odd && !at.said && len(reason) > 0:
		return out, k.Broken("The provider's model went wrong: %s", reason)
	}
	at.finish = finish
	return append(append(append(out, `,"finish_reason":"`...), finish...), `"}`...), nil
}
