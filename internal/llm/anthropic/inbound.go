package anthropic

import (
	"strings"

	"onemind/internal/llm/scan"
)

// readTools reads the tools the caller runs. Those that run at the provider are
// refused: they cost what we cannot see.
func (p *parser) readTools(value []byte) bool {
	var list []byte
	ok := p.array("tools", value, func(path string, v []byte) bool {
		p.tools++
		list = comma(list)
		var ok bool
		list, ok = p.tool(list, path, v)
		return ok
	})
	if ok && p.tools > 0 {
		p.put("tools", append(append([]byte{'['}, list...), ']'))
	}
	return ok
}

// offered is one tool, its values as JSON.
type offered struct {
	name, about, schema, cache []byte
	strict                     bool
}

func (p *parser) tool(dst []byte, path string, value []byte) ([]byte, bool) {
	own, ok := p.toolKind(path, decoded(scan.Find(value, "type")))
	if !ok {
		return dst, false
	}
	var t offered
	ok = p.object(path, value, func(member string, v []byte) bool {
		switch member {
		case "type":
		case "name":
			t.name = v
			return p.text(path+".name", v)
		case "description":
			t.about = v
			return p.text(path+".description", v)
		case "input_schema":
			t.schema = v
		case "strict":
			t.strict = string(v) == "true"
			return p.boolean(path+".strict", v)
		case "cache_control":
			t.cache = v
			return p.cache(path, v)
		case "eager_input_streaming": // how soon fragments come, and nothing else; Vercel's SDK always asks for it
			return p.boolean(path+".eager_input_streaming", v)
		case "input_examples", "max_characters":
			return p.native(path + "." + member)
		case "defer_loading", "allowed_callers":
			return p.unavailable(path + "." + member)
		default:
			return own || p.unknown(path+"."+clip(member))
		}
		return true
	})
	if own {
		t.schema = []byte("{}")
	}
	switch {
	case !ok:
		return dst, false
	case t.name == nil:
		return dst, p.refuse(path+".name", "missing_required_parameter", "is missing.")
	case len(t.schema) == 0:
		return dst, p.refuse(path+".input_schema", "missing_required_parameter", "is missing.")
	case t.schema[0] != '{':
		return dst, p.refuse(path+".input_schema", "invalid_type", "has the wrong type: expected an object.")
	}
	return p.offer(dst, &t), true
}

// offer writes a tool in the neutral form.
func (p *parser) offer(dst []byte, t *offered) []byte {
	dst = append(append(dst, `{"type":"function","function":{"name":`...), t.name...)
	if t.about != nil {
		dst = append(append(dst, `,"description":`...), t.about...)
	}
	dst = append(append(dst, `,"parameters":`...), t.schema...)
	if t.strict {
		dst = append(dst, `,"strict":true`...)
	}
	return append(p.hint(append(dst, '}'), t.cache), '}')
}

// toolKind checks a tool's type, and says whether it is one of Anthropic's own
// that the caller runs: those have no schema to show, only its engines know them.
func (p *parser) toolKind(path, kind string) (own, ok bool) {
	if kind == "" || kind == "custom" {
		return false, true
	}
	for _, known := range [...]string{"bash_", "text_editor_", "memory_"} {
		if strings.HasPrefix(kind, known) {
			return true, p.native(path + ".type")
		}
	}
	return false, p.refuse(path+".type", "unsupported_parameter", "'%s' is not supported here: tools that run at the provider cost what cannot be held.", clip(kind))
}

// hint writes a cache_control where hints are kept.
func (p *parser) hint(dst, cache []byte) []byte {
	if p.hints && cache != nil {
		dst = append(append(dst, `,"cache_control":`...), cache...)
	}
	return dst
}

func (p *parser) readChoice(value []byte) bool {
	var kind, name []byte
	single := false
	ok := p.object("tool_choice", value, func(member string, v []byte) bool {
		switch member {
		case "type":
			kind = v
		case "name":
			name = v
			return p.text("tool_choice.name", v)
		case "disable_parallel_tool_use":
			single = string(v) == "true"
			return p.boolean("tool_choice.disable_parallel_tool_use", v)
		default:
			return p.unknown("tool_choice." + clip(member))
		}
		return true
	})
	if !ok {
		return false
	}
	p.choosing = true
	if single {
		p.put("parallel_tool_calls", []byte("false"))
	}
	switch string(kind) {
	case `"auto"`, `"none"`:
		return p.put("tool_choice", kind)
	case `"any"`:
		return p.put("tool_choice", []byte(`"required"`))
	case `"tool"`:
		if name == nil {
			return p.refuse("tool_choice.name", "missing_required_parameter", "is missing.")
		}
		choice := append([]byte(`{"type":"function","function":{"name":`), name...)
		return p.put("tool_choice", append(choice, "}}"...))
	}
	return p.refuse("tool_choice.type", "invalid_value", "has to be one of 'auto', 'any', 'tool', 'none'.")
}

func (p *parser) readSystem(value []byte) (ok bool) {
	p.system, ok = p.instructions("system", value)
	return ok
}

// instructions reads a text or blocks of text and gives the system's message of
// them; nil for no blocks.
func (p *parser) instructions(path string, value []byte) ([]byte, bool) {
	const head = `{"role":"system","content":`
	if len(value) > 0 && value[0] == '"' {
		return append(append([]byte(head), value...), '}'), true
	}
	var parts parts
	ok := p.array(path, value, func(path string, v []byte) bool {
		if string(scan.Find(v, "type")) != `"text"` {
			return p.refuse(path+".type", "invalid_value", "has to be 'text'.")
		}
		return p.textBlock(&parts, path, v)
	})
	if !ok || parts.n == 0 {
		return nil, ok
	}
	return append(append([]byte(head), parts.content()...), '}'), true
}

// parts are the parts of a neutral message's content.
type parts struct {
	list  []byte
	alone []byte // the text of the only part, quoted, if it is nothing but text
	n     int
}

// content gives the content: a string where that says it all, because more
// engines know it.
func (c *parts) content() []byte {
	if c.n == 1 && c.alone != nil {
		return c.alone
	}
	return append(append([]byte{'['}, c.list...), ']')
}

// add begins a part.
func (c *parts) add(part ...[]byte) {
	c.list = comma(c.list)
	for _, piece := range part {
		c.list = append(c.list, piece...)
	}
	c.alone = nil
	c.n++
}

// say adds a part of quoted text.
func (c *parts) say(quoted []byte) {
	c.add([]byte(`{"type":"text","text":`), quoted, []byte{'}'})
	if c.n == 1 {
		c.alone = quoted
	}
}

// textBlock reads a text block.
func (p *parser) textBlock(to *parts, path string, value []byte) bool {
	var said, cache []byte
	ok := p.object(path, value, func(name string, v []byte) bool {
		switch name {
		case "type", "citations": // what an answer cited; it comes back with the turn
		case "text":
			said = v
			return p.text(path+".text", v)
		case "cache_control":
			cache = v
			return p.cache(path, v)
		default:
			return p.unknown(path + "." + clip(name))
		}
		return true
	})
	if !ok {
		return false
	}
	if said == nil {
		return p.refuse(path+".text", "missing_required_parameter", "is missing.")
	}
	if p.hints && cache != nil {
		to.add([]byte(`{"type":"text","text":`), said, p.hint(nil, cache), []byte{'}'})
	} else {
		to.say(said)
	}
	return true
}
