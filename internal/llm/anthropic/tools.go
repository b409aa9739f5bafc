package anthropic

import (
	"strconv"

	"onemind/internal/llm/scan"
)

// tools writes the tools and reports whether there are some.
func (t *translation) tools() bool {
	if t.given.tools == nil || empty(t.given.tools) {
		return false
	}
	var list []byte
	s := scan.New(t.given.tools, scan.ClientDepth)
	if s.Peek() != '[' {
		return t.wrong("tools", "has to be an array.")
	}
	n := 0
	for ok := s.Enter(); ok; n++ {
		if ok = s.Element(); !ok {
			break
		}
		path := "tools[" + strconv.Itoa(n) + "]"
		var function, cache []byte
		ok = t.object(&s, path, func(name string, value []byte) bool {
			switch name {
			case "type":
				return string(value) == `"function"` || t.refuse(path+".type")
			case "function":
				function = value
			case "cache_control":
				cache = value
			default:
				return t.refuse(path + "." + name)
			}
			return true
		})
		if ok {
			list, ok = t.tool(comma(list), path, function, cache)
		}
	}
	t.put("tools", '[', list, "]")
	return n > 0
}

// tool writes one tool.
func (t *translation) tool(dst []byte, path string, function, cache []byte) ([]byte, bool) {
	var name, about, schema, strict []byte
	s := scan.New(function, scan.ClientDepth)
	ok := t.object(&s, path+".function", func(member string, value []byte) bool {
		switch member {
		case "name":
			name = value
		case "description":
			about = value
		case "parameters":
			schema = value
		case "strict":
			strict = value
		case "cache_control":
			cache = value
		default:
			return t.refuse(path + ".function." + member)
		}
		return true
	})
	if !ok {
		return dst, false
	}
	if name == nil {
		return dst, t.wrong(path+".function.name", "is missing.")
	}
	dst = append(append(dst, `{"name":`...), name...)
	if about != nil {
		dst = append(append(dst, `,"description":`...), about...)
	}
	if schema == nil || empty(schema) { // a function without parameters
		schema = []byte(`{"type":"object","properties":{}}`)
	}
	dst = append(append(dst, `,"input_schema":`...), schema...)
	if string(strict) == "true" { // false is the default
		dst = append(dst, `,"strict":true`...)
	}
	dst, ok = t.cached(dst, path, cache)
	return append(dst, '}'), ok
}

// object gives each member of an object that is not null to take.
func (t *translation) object(s *scan.Scanner, path string, take func(name string, value []byte) bool) bool {
	if s.Peek() != '{' {
		return t.wrong(path, "has to be an object.")
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		name := string(s.Name)
		value := s.Value()
		ok = s.Bad == "" && (string(value) == "null" || take(name, value))
	}
	return t.err == nil && s.Bad == ""
}

// cached writes a block's cache_control. A lifetime of an hour is refused: its
// price is another one, and no catalog has it.
func (t *translation) cached(dst []byte, path string, control []byte) ([]byte, bool) {
	if control == nil {
		return dst, true
	}
	if long(control) {
		return dst, t.refuse(path + ".cache_control.ttl")
	}
	return append(append(dst, `,"cache_control":`...), control...), true
}

// long reports whether a cache_control asks for more than the usual 5 minutes.
func long(control []byte) bool {
	ttl := scan.Find(control, "ttl")
	return ttl != nil && string(ttl) != `"5m"` && string(ttl) != "null"
}

// toolChoice writes tool_choice and reports whether it forces a tool.
func (t *translation) toolChoice(hasTools bool) (forced bool) {
	choice, single := t.given.toolChoice, string(t.given.parallel) == "false"
	if !hasTools {
		if t.given.parallel != nil {
			t.change("parallel_tool_calls", t.given.parallel, nil, "dialect")
		}
		return false
	}
	var kind []byte
	switch string(choice) {
	case "":
		if !single { // both as it is anyway
			return false
		}
		kind = []byte(`{"type":"auto"`)
	case `"auto"`:
		kind = []byte(`{"type":"auto"`)
	case `"none"`:
		t.put("tool_choice", 0, []byte(`{"type":"none"}`), "")
		return false
	case `"required"`:
		kind, forced = []byte(`{"type":"any"`), true
	default:
		name := scan.Find(scan.Find(choice, "function"), "name")
		if string(scan.Find(choice, "type")) != `"function"` || name == nil {
			t.refuse("tool_choice")
			return false
		}
		kind, forced = append([]byte(`{"type":"tool","name":`), name...), true
	}
	if single {
		kind = append(kind, `,"disable_parallel_tool_use":true`...)
	}
	t.put("tool_choice", 0, kind, "}")
	return forced
}
