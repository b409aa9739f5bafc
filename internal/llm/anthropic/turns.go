package anthropic

import (
	"bytes"
	"strconv"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// conversation makes turns of messages: the user's and the assistant's by turns,
// tool results among the user's, and what the system says beside them.
type conversation struct {
	*translation        // its dst gets the turns
	system       []byte // its blocks, without the brackets
	role         string // whose turn is open; empty for none
	bare         bool   // the last turn calls tools without the thinking that led there, and waits for their results
}

// spoken is one message of the neutral form, its values as JSON.
type spoken struct {
	path                               string
	role                               []byte // escaped
	content, calls, id, refusal, cache []byte
	name                               []byte
	beside                             []string // members that nobody can read
	blocks, failed                     []byte   // thinking_blocks, is_error
}

func (c *conversation) read(messages []byte) {
	s := scan.New(messages, scan.ClientDepth)
	if s.Peek() != '[' {
		c.wrong("messages", "has to be an array.")
		return
	}
	for ok, n := s.Enter(), 0; ok; n++ {
		if ok = s.Element(); ok {
			m := spoken{path: "messages[" + strconv.Itoa(n) + "]"}
			ok = c.members(&s, &m) && c.message(&m)
		}
	}
}

// members reads a message's members, which may come in any order.
func (c *conversation) members(s *scan.Scanner, m *spoken) bool {
	return c.object(s, m.path, func(name string, value []byte) bool {
		switch name {
		case "role":
			m.role = value
		case "content":
			m.content = value
		case "tool_calls":
			m.calls = value
		case "tool_call_id":
			m.id = value
		case "refusal":
			m.refusal = value
		case "thinking_blocks":
			m.blocks = value
		case "is_error":
			m.failed = value
		case "cache_control":
			m.cache = value
		case "name":
			m.name = value
		case "reasoning_content", "reasoning", "reasoning_details", "annotations", "extra_content":
			// What an engine said beside its answer. Without a signature none of it
			// can be given to another.
			if !empty(value) {
				m.beside = append(m.beside, name)
			}
		default:
			return c.refuse(m.path + "." + name)
		}
		return true
	})
}

func (c *conversation) message(m *spoken) bool {
	if m.name != nil && string(m.role) != `"tool"` && string(m.role) != `"function"` { // a tool's call says its name already
		return c.refuse(m.path + ".name")
	}
	for _, name := range m.beside {
		if m.blocks == nil { // else they say the same again
			c.change(m.path+"."+name, []byte(`"..."`), nil, "dialect")
		}
	}
	switch string(m.role) {
	case `"system"`, `"developer"`:
		var ok bool
		c.system, ok = c.parts(c.system, m, "system")
		return ok
	case `"user"`:
		c.bare = false
		return c.say("user", m)
	case `"assistant"`:
		return c.assistant(m)
	case `"tool"`:
		return c.result(m)
	}
	return c.refuse(m.path + ".role") // function: what came before tools
}

// turn opens the turn of a role, or goes on with it, for one further block.
func (c *conversation) turn(role string) {
	if c.role == role {
		c.dst = append(c.dst, ',')
		return
	}
	if c.role != "" {
		c.dst = append(c.dst, "]},"...)
	}
	c.role = role
	c.dst = append(append(append(c.dst, `{"role":"`...), role...), `","content":[`...)
}

// end closes the last turn.
func (c *conversation) end() {
	if c.role == "" {
		c.wrong("messages", "has to hold a message of the user.")
		return
	}
	c.dst = append(c.dst, "]}"...)
}

// say writes what a message says into a turn. Nothing said is no block:
// Anthropic refuses empty ones.
func (c *conversation) say(role string, m *spoken) (ok bool) {
	if m.content != nil && m.content[0] == '"' { // most are: without a copy between
		if blank(m.content) {
			return true
		}
		c.turn(role)
		c.dst, ok = c.text(c.dst, m.content, m.path, m.cache)
		return ok
	}
	blocks, ok := c.parts(nil, m, role)
	if ok && len(blocks) > 0 {
		c.turn(role)
		c.dst = append(c.dst, blocks...)
	}
	return ok
}

func (c *conversation) assistant(m *spoken) bool {
	thought := m.blocks != nil && !empty(m.blocks)
	if thought && !c.thoughts(m) {
		return false
	}
	if m.content != nil && !c.say("assistant", m) {
		return false
	}
	if m.refusal != nil && m.refusal[0] == '"' && !blank(m.refusal) {
		c.turn("assistant")
		c.dst = append(append(append(c.dst, `{"type":"text","text":`...), m.refusal...), '}')
	}
	if m.calls == nil || empty(m.calls) {
		return true
	}
	c.bare = !thought
	return c.calls(m)
}

// thoughts writes the thinking an engine of this dialect gave the caller to
// keep, unchanged: a signature is over every byte.
func (c *conversation) thoughts(m *spoken) bool {
	path := m.path + ".thinking_blocks"
	s := scan.New(m.blocks, scan.ClientDepth)
	if s.Peek() != '[' {
		return c.wrong(path, "has to be an array.")
	}
	for ok := s.Enter(); ok; {
		if ok = s.Element(); !ok {
			break
		}
		block := s.Value()
		switch string(scan.Find(block, "type")) {
		case `"thinking"`, `"redacted_thinking"`:
			c.turn("assistant")
			c.dst = append(c.dst, block...)
		default:
			return c.wrong(path, "can hold 'thinking' and 'redacted_thinking' only.")
		}
	}
	return true
}

func (c *conversation) calls(m *spoken) bool {
	s := scan.New(m.calls, scan.ClientDepth)
	if s.Peek() != '[' {
		return c.wrong(m.path+".tool_calls", "has to be an array.")
	}
	for ok, n := s.Enter(), 0; ok; n++ {
		if ok = s.Element(); !ok {
			break
		}
		path := m.path + ".tool_calls[" + strconv.Itoa(n) + "]"
		var id, function, cache []byte
		ok = c.object(&s, path, func(name string, value []byte) bool {
			switch name {
			case "id":
				id = value
			case "function":
				function = value
			case "cache_control":
				cache = value
			case "type":
				return string(value) == `"function"` || c.refuse(path+".type")
			case "index", "extra_content": // a stream's number; what Gemini signed
			default:
				return c.refuse(path + "." + name)
			}
			return true
		}) && c.call(path, id, function, cache)
	}
	return c.err == nil
}

// call writes one tool call.
func (c *conversation) call(path string, id, function, cache []byte) bool {
	name := scan.Find(function, "name")
	if id == nil || name == nil || name[0] != '"' || id[0] != '"' {
		return c.wrong(path, "needs an 'id' and a 'function' with a 'name'.")
	}
	input := []byte("{}")
	if raw := scan.Find(function, "arguments"); raw != nil && raw[0] == '"' {
		if text := bytes.TrimSpace([]byte(llm.Unescape(raw[1 : len(raw)-1]))); len(text) > 0 {
			input = text
		}
	}
	if input[0] != '{' || !scan.Valid(input, scan.ClientDepth) {
		return c.wrong(path+".function.arguments", "has to be a JSON object in a string: this model takes no other input of a tool.")
	}
	c.turn("assistant")
	c.dst = append(appendID(append(c.dst, `{"type":"tool_use","id":`...), id), `,"name":`...)
	c.dst = append(append(append(c.dst, name...), `,"input":`...), input...)
	var ok bool
	c.dst, ok = c.cached(c.dst, path, cache)
	c.dst = append(c.dst, '}')
	return ok
}

// appendID writes a call's id. Anthropic takes letters, digits, _ and - only,
// and other engines' ids have dots and colons ("functions.get_weather:0").
func appendID(dst, quoted []byte) []byte {
	dst = append(dst, '"')
	for _, b := range quoted[1 : len(quoted)-1] {
		if c := b | 0x20; 'a' <= c && c <= 'z' || '0' <= b && b <= '9' || b == '-' {
			dst = append(dst, b)
		} else {
			dst = append(dst, '_')
		}
	}
	return append(dst, '"')
}

// result writes a tool's result, which is the user's to say.
func (c *conversation) result(m *spoken) bool {
	if m.id == nil || m.id[0] != '"' {
		return c.wrong(m.path+".tool_call_id", "is missing.")
	}
	cache := m.cache
	m.cache = nil
	blocks, ok := c.parts(nil, m, "tool")
	if !ok {
		return false
	}
	c.turn("user")
	c.dst = appendID(append(c.dst, `{"type":"tool_result","tool_use_id":`...), m.id)
	if len(blocks) > 0 {
		c.dst = append(append(append(c.dst, `,"content":[`...), blocks...), ']')
	}
	if string(m.failed) == "true" {
		c.dst = append(c.dst, `,"is_error":true`...)
	}
	c.dst, ok = c.cached(c.dst, m.path, cache)
	c.dst = append(c.dst, '}')
	return ok
}

// blank reports whether a JSON string has nothing to see in it.
func blank(quoted []byte) bool {
	inner := quoted[1 : len(quoted)-1]
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case ' ':
		case '\\':
			if i++; i == len(inner) || bytes.IndexByte([]byte("ntr"), inner[i]) < 0 {
				return false
			}
		default:
			return false
		}
	}
	return true
}
