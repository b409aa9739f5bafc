package openai

import (
	"strconv"

	"onemind/internal/llm"
)

// tools reads the tool list: functions, and OpenAI's free-form custom tools.
// Tools that run at the provider are refused: they cost what we cannot see.
func (p *parser) tools(name string) bool {
	n := 0
	for ok := p.into(name, '['); ok; n++ {
		if ok = p.s.Element(); !ok {
			break
		}
		if n == maxTools {
			return p.refuse(name, "invalid_value", "can hold %d tools at most.", maxTools)
		}
		ok = p.tool(name + "[" + strconv.Itoa(n) + "]")
	}
	p.needTools(n)
	return p.done()
}

func (p *parser) needTools(n int) {
	if n > 0 {
		p.hasChoice = true
		p.req.Needs |= llm.Tools
	}
}

func (p *parser) tool(path string) bool {
	var kind, name string
	function := false
	for ok := p.into(path, '{'); ok; {
		if ok = p.s.Member(); !ok {
			break
		}
		switch member := string(p.s.Name); member {
		case "type":
			ok = p.text(path+".type", &kind)
		case "function", "custom":
			function = true
			ok = p.named(path+"."+member, &name)
		default:
			p.weight.text(p.s.Value())
			ok = p.s.Bad == ""
		}
	}
	switch {
	case !p.done():
		return false
	case kind == "":
		return p.refuse(path+".type", "missing_required_parameter", "is missing.")
	case kind != "function" && kind != "custom":
		return p.refuse(path+".type", "invalid_value", "has to be 'function' or 'custom', but is '%s'.", clip(kind))
	case !function:
		return p.refuse(path+"."+kind, "missing_required_parameter", "is missing.")
	}
	return true
}

// named reads an object that needs a name, and weighs all of it.
func (p *parser) named(path string, name *string) bool {
	start := p.s.Pos
	for ok := p.into(path, '{'); ok; {
		if ok = p.s.Member(); !ok {
			break
		}
		if string(p.s.Name) == "name" {
			ok = p.text(path+".name", name)
		} else {
			ok = p.s.Skip()
		}
	}
	if !p.done() {
		return false
	}
	p.weight.text(p.s.Data[start:p.s.Pos])
	p.weight.whole += perTool
	if *name == "" {
		return p.refuse(path+".name", "missing_required_parameter", "is missing.")
	}
	return true
}

// functions reads the form of tools that came before tools.
func (p *parser) functions() bool {
	n := 0
	for ok := p.into("functions", '['); ok; n++ {
		if ok = p.s.Element(); !ok {
			break
		}
		if n == maxTools {
			return p.refuse("functions", "invalid_value", "can hold %d functions at most.", maxTools)
		}
		var name string
		ok = p.named("functions["+strconv.Itoa(n)+"]", &name)
	}
	p.needTools(n)
	return p.done()
}

// choice reads tool_choice and function_call: a word or an object.
func (p *parser) choice(path string) bool {
	if p.s.Peek() == '{' {
		p.choosing = true
		p.weight.text(p.s.Value())
		return p.s.Bad == ""
	}
	if p.s.Peek() != '"' {
		return p.wrongType(path, "a string or an object")
	}
	p.choosing = true
	return p.oneOf(path, "none", "auto", "required")
}

func (p *parser) responseFormat() bool {
	var kind, name string
	schema := false
	for ok := p.into("response_format", '{'); ok; {
		if ok = p.s.Member(); !ok {
			break
		}
		switch string(p.s.Name) {
		case "type":
			ok = p.text("response_format.type", &kind)
		case "json_schema":
			schema = true
			ok = p.named("response_format.json_schema", &name)
		default:
			p.weight.text(p.s.Value())
			ok = p.s.Bad == ""
		}
	}
	if !p.done() {
		return false
	}
	switch kind {
	case "text":
		return true
	case "json_object":
	case "json_schema":
		if !schema {
			return p.refuse("response_format.json_schema", "missing_required_parameter", "is missing.")
		}
	case "":
		return p.refuse("response_format.type", "missing_required_parameter", "is missing.")
	default:
		return p.refuse("response_format.type", "invalid_value", "has to be one of 'text', 'json_object', 'json_schema', but is '%s'.", clip(kind))
	}
	p.req.Needs |= llm.JSON
	return true
}
