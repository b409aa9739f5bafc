package anthropic

import (
	"bytes"
	"strconv"
	"strings"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// readMessages reads the conversation.
func (p *parser) readMessages(value []byte) bool {
	p.messages = make([]byte, 0, len(value)+256)
	s := scan.New(value, scan.ClientDepth)
	if s.Peek() != '[' {
		return p.refuse("messages", "invalid_type", "has the wrong type: expected an array.")
	}
	path := ""
	for ok, n := s.Enter(), 0; ok; n++ {
		if ok = s.Element(); ok {
			path = "messages[" + strconv.Itoa(n) + "]"
			ok = p.message(path, &s)
		}
	}
	switch {
	case p.err != nil:
		return false
	case path == "":
		return p.refuse("messages", "invalid_value", "is empty: give at least one message.")
	case p.begun: // others answer anew instead of going on
		return p.native(path + ".role")
	}
	return true
}

func (p *parser) message(path string, s *scan.Scanner) bool {
	var role, content []byte
	ok := p.members(path, s, func(name string, v []byte) bool {
		switch name {
		case "role":
			role = v
		case "content":
			content = v
		default:
			return p.unknown(path + "." + clip(name))
		}
		return true
	})
	if !ok {
		return false
	}
	if r := string(role); r != `"user"` && r != `"assistant"` && r != `"system"` {
		return p.refuse(path+".role", "invalid_value", "has to be one of 'user', 'assistant', 'system'.")
	}
	if content == nil {
		return p.refuse(path+".content", "missing_required_parameter", "is missing.")
	}
	if string(role) == `"system"` { // said in the middle of a conversation
		p.begun = false
		told, ok := p.instructions(path+".content", content)
		p.messages = append(comma(p.messages), told...)
		return ok
	}
	t := turn{parser: p, user: string(role) == `"user"`}
	p.begun = !t.user
	if content[0] == '"' {
		t.parts.alone, t.parts.n = content, 1 // without a copy between
	} else if !p.array(path+".content", content, t.block) {
		return false
	}
	t.write()
	return true
}

// turn is one message of the caller, which can become several neutral ones.
type turn struct {
	*parser
	user    bool
	parts   parts
	results []byte // tool messages
	shown   parts  // what tools showed besides text, for engines whose tools only tell

	thought []byte // thinking that nobody signed, escaped
	blocks  []byte // elements of thinking_blocks
	calls   []byte // elements of tool_calls
}

// write writes the neutral messages. Results come first, as they do in every
// dialect.
func (t *turn) write() {
	if len(t.results) > 0 {
		t.messages = append(comma(t.messages), t.results...)
	}
	if t.shown.n > 0 {
		if t.parts.n > 0 {
			t.shown.list = append(comma(t.shown.list), t.parts.list...)
			t.shown.n += t.parts.n
		}
		t.parts, t.parts.alone = t.shown, nil
	}
	if t.user {
		if t.parts.n > 0 || len(t.results) == 0 {
			t.messages = append(comma(t.messages), `{"role":"user","content":`...)
			t.messages = append(append(t.messages, t.said(`""`)...), '}')
		}
		return
	}
	empty := `""`
	if len(t.calls) > 0 {
		empty = "null"
	}
	m := append(comma(t.messages), `{"role":"assistant","content":`...)
	m = append(m, t.said(empty)...)
	if len(t.thought) > 0 {
		m = append(append(append(m, `,"reasoning_content":"`...), t.thought...), '"')
	}
	if t.hints && len(t.blocks) > 0 {
		m = append(append(append(m, `,"thinking_blocks":[`...), t.blocks...), ']')
	}
	if len(t.calls) > 0 {
		m = append(append(append(m, `,"tool_calls":[`...), t.calls...), ']')
	}
	t.messages = append(m, '}')
}

// said gives the content, or what stands for none.
func (t *turn) said(none string) []byte {
	if t.parts.n == 0 {
		return []byte(none)
	}
	return t.parts.content()
}

// block reads one block of a message's content.
func (t *turn) block(path string, v []byte) bool {
	kind := decoded(scan.Find(v, "type"))
	if v[0] != '{' {
		return t.refuse(path, "invalid_type", "has the wrong type: expected an object.")
	}
	users, known := side(kind)
	switch {
	case kind == "":
		return t.refuse(path+".type", "missing_required_parameter", "is missing.")
	case !known:
		return t.refuse(path+".type", "unsupported_parameter", "'%s' is not supported here.", clip(kind))
	case kind != "text" && users != t.user:
		return t.refuse(path+".type", "invalid_value", "'%s' does not belong in a message of this role.", kind)
	}
	switch kind {
	case "text":
		return t.textBlock(&t.parts, path, v)
	case "tool_result":
		return t.result(path, v)
	case "tool_use":
		return t.use(path, v)
	case "thinking", "redacted_thinking":
		return t.thinkingBlock(path, v, kind)
	}
	return t.show(&t.parts, path, v, kind)
}

// side says whose messages have a kind of block; text is everybody's. The kinds
// that are missing belong to tools that run at the provider.
func side(kind string) (users, known bool) {
	switch kind {
	case "text", "image", "document", "search_result", "tool_result":
		return true, true
	case "tool_use", "thinking", "redacted_thinking":
		return false, true
	}
	return false, false
}

// show reads an image, a document or a search result.
func (t *turn) show(to *parts, path string, v []byte, kind string) bool {
	switch kind {
	case "image":
		return t.image(to, path, v)
	case "document":
		return t.document(to, path, v)
	}
	return t.opaque(to, path, v)
}

func (t *turn) thinkingBlock(path string, v []byte, kind string) bool {
	var signature, said []byte
	ok := t.object(path, v, func(name string, v []byte) bool {
		switch name {
		case "type":
		case "thinking":
			said = v
			return t.text(path+".thinking", v)
		case "signature":
			signature = v
			return t.text(path+".signature", v)
		case "data":
			return t.text(path+".data", v)
		default:
			return t.unknown(path + "." + clip(name))
		}
		return true
	})
	switch {
	case !ok:
		return false
	case kind == "redacted_thinking" || len(signature) > 2:
		t.blocks = append(comma(t.blocks), v...)
	case said != nil: // another engine's, by way of our Encoder
		t.thought = append(t.thought, said[1:len(said)-1]...)
	}
	return true
}

func (t *turn) use(path string, v []byte) bool {
	var id, name, input, cache []byte
	ok := t.object(path, v, func(member string, v []byte) bool {
		switch member {
		case "type", "caller": // who called it, as the answer said
		case "id":
			id = v
			return t.text(path+".id", v)
		case "name":
			name = v
			return t.text(path+".name", v)
		case "input":
			input = v
		case "cache_control":
			cache = v
			return t.cache(path, v)
		default:
			return t.unknown(path + "." + clip(member))
		}
		return true
	})
	if !ok {
		return false
	}
	for _, m := range [...]struct {
		name  string
		value []byte
	}{{"id", id}, {"name", name}, {"input", input}} {
		if m.value == nil {
			return t.refuse(path+"."+m.name, "missing_required_parameter", "is missing.")
		}
	}
	if input[0] != '{' {
		return t.refuse(path+".input", "invalid_type", "has the wrong type: expected an object.")
	}
	c := append(append(comma(t.calls), `{"id":`...), id...)
	c = append(append(append(c, `,"type":"function","function":{"name":`...), name...), `,"arguments":`...)
	c = append(llm.AppendQuoted(c, string(input)), '}')
	t.calls = append(t.hint(c, cache), '}')
	return true
}

// result reads the result of a tool.
func (t *turn) result(path string, v []byte) bool {
	var id, content, failed, cache []byte
	ok := t.object(path, v, func(member string, v []byte) bool {
		switch member {
		case "type":
		case "tool_use_id":
			id = v
			return t.text(path+".tool_use_id", v)
		case "content":
			content = v
		case "is_error":
			failed = v
			return t.boolean(path+".is_error", v)
		case "cache_control":
			cache = v
			return t.cache(path, v)
		default:
			return t.unknown(path + "." + clip(member))
		}
		return true
	})
	if !ok {
		return false
	}
	if id == nil {
		return t.refuse(path+".tool_use_id", "missing_required_parameter", "is missing.")
	}
	var told parts
	if len(content) > 0 && content[0] == '"' {
		told.say(content)
	} else if content != nil && !t.array(path+".content", content, func(path string, v []byte) bool { return t.told(&told, id, path, v) }) {
		return false
	}
	wrong := string(failed) == "true"
	if wrong && !t.hints {
		told.warn()
	}
	said := []byte(`""`)
	if told.n > 0 {
		said = told.content()
	}
	r := append(append(comma(t.results), `{"role":"tool","tool_call_id":`...), id...)
	r = append(append(r, `,"content":`...), said...)
	if wrong && t.hints {
		r = append(r, `,"is_error":true`...)
	}
	t.results = append(t.hint(r, cache), '}')
	return true
}

// told reads one block of a tool's result. In the neutral form tools tell text
// only: what they show follows in a message of the user.
func (t *turn) told(to *parts, id []byte, path string, v []byte) bool {
	kind := decoded(scan.Find(v, "type"))
	switch kind {
	case "text":
		return t.textBlock(to, path, v)
	case "image", "document", "search_result":
		if t.hints {
			return t.show(to, path, v, kind)
		}
		t.shown.say(llm.AppendQuoted(nil, "Shown by the tool call "+decoded(id)+":"))
		return t.show(&t.shown, path, v, kind)
	}
	return t.refuse(path+".type", "unsupported_parameter", "'%s' is not supported here.", clip(kind))
}

// warn says that a result is an error, where its text does not: other dialects
// have no member for it.
func (c *parts) warn() {
	if bytes.Contains(bytes.ToLower(c.list), []byte("error")) {
		return
	}
	if c.n <= 1 && (c.n == 0 || c.alone != nil) {
		said := append([]byte(`"Error: `), strings.TrimPrefix(string(c.alone), `"`)...)
		if c.n == 0 {
			said = []byte(`"Error"`)
		}
		*c = parts{}
		c.say(said)
		return
	}
	rest, n := c.list, c.n
	*c = parts{}
	c.say([]byte(`"Error:"`))
	c.list, c.n, c.alone = append(comma(c.list), rest...), n+1, nil
}
