package responses

import (
	"strconv"
	"strings"
)

// turn is what the assistant did without being interrupted: one message of a chat.
type turn struct {
	parts    []part
	thoughts [][]byte          // texts of reasoning, still escaped
	blocks   [][]byte          // thinking blocks
	seals    map[string][]byte // signatures as JSON strings, by the id of the call they belong to
	calls    []call
	images   [][]byte // data URLs, JSON strings
	last     string   // kind of the last item: "message", "reasoning" or "call"
	why      string   // path of the first item of reasoning
}

// call is a call of a tool; the values are JSON strings.
type call struct {
	custom         bool
	id, name, text []byte
}

// reasoned reads an item of reasoning.
func (c *conversation) reasoned(item object) error {
	if err := item.known("type", "id", "summary", "content", "encrypted_content", "status"); err != nil {
		return err
	}
	summary, err := thoughts(item, "summary", "summary_text")
	if err != nil {
		return err
	}
	whole, err := thoughts(item, "content", "reasoning_text")
	if err != nil {
		return err
	}
	if len(whole) > 0 { // what the summary is of
		summary = whole
	}
	sealed, err := item.string("encrypted_content")
	if err != nil {
		return err
	}
	var s seal
	if len(sealed) > 2 {
		var ok bool
		if s, ok = unseal(textOf(sealed)); !ok {
			return refuse(item.at("encrypted_content"), unsupported, "was not made here and cannot be read; leave it out.")
		}
	}
	if len(summary) == 0 && len(s.blocks) == 0 && len(s.signatures) == 0 {
		return nil // an engine that shows no reasoning: there is nothing to carry
	}
	t := &c.turn
	if t.why == "" {
		t.why = item.path
	}
	t.last = "reasoning"
	t.thoughts = append(t.thoughts, summary...)
	t.blocks = append(t.blocks, s.blocks...)
	for _, one := range s.signatures {
		if t.seals == nil {
			t.seals = map[string][]byte{}
		}
		t.seals[textOf(one.call)] = one.value
	}
	return nil
}

// thoughts reads a list of texts of one type.
func thoughts(item object, name, kind string) ([][]byte, error) {
	list, err := item.array(name)
	if err != nil {
		return nil, err
	}
	var texts [][]byte
	for i, raw := range list {
		o, err := readObject(item.at(name+"["+strconv.Itoa(i)+"]"), raw, "type", "text")
		if err != nil {
			return nil, err
		}
		if _, err := o.needWord("type", kind); err != nil {
			return nil, err
		}
		text, err := o.need("text")
		if err != nil {
			return nil, err
		}
		if len(text) > 2 {
			texts = append(texts, unquoted(text))
		}
	}
	return texts, nil
}

// called reads a call of a tool.
func (c *conversation) called(item object, custom bool) error {
	text := "arguments"
	if custom {
		text = "input"
	}
	if err := item.known("type", "id", "call_id", "name", text, "status", "namespace", "caller"); err != nil {
		return err
	}
	if err := item.plain("namespace"); err != nil {
		return err
	}
	if caller, err := item.sub("caller", "type"); err != nil {
		return err
	} else if _, err := caller.word("type", "direct"); err != nil {
		return err
	}
	k := call{custom: custom}
	var err error
	if k.id, err = item.needText("call_id"); err != nil {
		return err
	}
	if k.name, err = item.needText("name"); err != nil {
		return err
	}
	if k.text, err = item.need(text); err != nil {
		return err
	}
	a := &asked{path: item.path, custom: custom}
	c.calls[textOf(k.id)] = a
	c.order = append(c.order, a)
	c.turn.calls = append(c.turn.calls, k)
	c.turn.last = "call"
	return nil
}

// answered reads the output of a tool.
func (c *conversation) answered(item object, custom bool) error {
	if err := item.known("type", "id", "call_id", "output", "status", "caller", "name"); err != nil {
		return err
	}
	if caller, err := item.sub("caller", "type"); err != nil {
		return err
	} else if _, err := caller.word("type", "direct"); err != nil {
		return err
	}
	id, err := item.needText("call_id")
	if err != nil {
		return err
	}
	call := c.calls[textOf(id)]
	switch {
	case call == nil || call.custom != custom:
		return refuse(item.at("call_id"), invalidValue, "is of no call before it. Responses are not stored: send the items of the response that made the call, too.")
	case call.answered:
		return refuse(item.at("call_id"), invalidValue, "is of a call that has an output already.")
	}
	call.answered = true
	raw := item.get("output")
	if raw == nil {
		return refuse(item.at("output"), missing, "is missing.")
	}
	if err := c.flush(); err != nil {
		return err
	}
	content := []byte(`""`) // a tool that has nothing to say
	if string(raw) != "[]" {
		if content, err = readContent(item.at("output"), raw, "tool"); err != nil {
			return err
		}
	}
	c.message("tool", content, `,"tool_call_id":`, string(id))
	return nil
}

// flush ends the assistant's turn and writes its message.
func (c *conversation) flush() error {
	t := &c.turn
	if t.last == "" {
		return nil
	}
	defer func() { c.turn = turn{} }()
	if len(t.parts) == 0 && len(t.calls) == 0 && len(t.images) == 0 {
		return refuse(t.why, invalidValue, "is followed by no message or call of the assistant, of which it is the reasoning.")
	}
	content := []byte("null")
	if len(t.parts) > 0 {
		content = joined(t.parts)
	} else if len(t.calls) == 0 {
		content = []byte(`""`)
	}
	var more []byte
	if len(t.thoughts) > 0 {
		more = append(more, `,"reasoning_content":"`...)
		for i, text := range t.thoughts {
			if i > 0 {
				more = append(more, `\n\n`...)
			}
			more = append(more, text...)
		}
		more = append(more, '"')
	}
	if len(t.blocks) > 0 {
		more = append(appendList(append(more, `,"thinking_blocks":[`...), t.blocks), ']')
	}
	if len(t.calls) > 0 {
		more = append(more, `,"tool_calls":[`...)
		for i, k := range t.calls {
			if i > 0 {
				more = append(more, ',')
			}
			more = t.appendCall(more, k)
		}
		more = append(more, ']')
	}
	if len(t.images) > 0 {
		more = append(more, `,"images":[`...)
		for i, url := range t.images {
			if i > 0 {
				more = append(more, ',')
			}
			more = append(append(append(more, `{"type":"image_url","image_url":{"url":`...), url...), "}}"...)
		}
		more = append(more, ']')
	}
	c.message("assistant", content, string(t.appendSignature(more, "")))
	return nil
}

// drawn reads an image that the assistant drew.
func (c *conversation) drawn(item object) error {
	if err := item.known("type", "id", "status", "result"); err != nil {
		return err
	}
	data, err := item.needText("result")
	if err != nil {
		return err
	}
	kind := ""
	for start, k := range map[string]string{"iVBOR": "png", "/9j/": "jpeg", "UklGR": "webp", "R0lGO": "gif"} {
		if strings.HasPrefix(textOf(data[:min(len(data), 16)]), start) {
			kind = k
		}
	}
	if kind == "" {
		return refuse(item.at("result"), invalidValue, "has to be the base64 of a PNG, JPEG, WebP or GIF image.")
	}
	url := append([]byte(`"data:image/`+kind+`;base64,`), data[1:]...)
	c.turn.images = append(c.turn.images, url)
	c.turn.last = "image"
	return nil
}

// appendCall writes a call with the signature that came with it.
func (t *turn) appendCall(dst []byte, k call) []byte {
	kind, text := "function", "arguments"
	if k.custom {
		kind, text = "custom", "input"
	}
	dst = append(append(dst, `{"id":`...), k.id...)
	dst = append(append(append(append(dst, `,"type":"`...), kind...), `","`...), kind...)
	dst = append(append(dst, `":{"name":`...), k.name...)
	dst = append(append(append(append(dst, `,"`...), text...), `":`...), k.text...)
	dst = append(dst, '}')
	return append(t.appendSignature(dst, textOf(k.id)), '}')
}

// appendSignature writes the signature of a call or, with an empty id, of what was said.
func (t *turn) appendSignature(dst []byte, id string) []byte {
	if value := t.seals[id]; value != nil {
		dst = append(append(dst, `,"extra_content":{"google":{"thought_signature":`...), value...)
		dst = append(dst, "}}"...)
	}
	return dst
}

func appendList(dst []byte, list [][]byte) []byte {
	for i, raw := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, raw...)
	}
	return dst
}
