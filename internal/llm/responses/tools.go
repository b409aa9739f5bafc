package responses

import (
	"strconv"

	"onemind/internal/llm"
)

// tools reads tools, tool_choice and parallel_tool_calls.
func (r *request) tools() error {
	list, err := r.array("tools")
	if err != nil {
		return err
	}
	if len(list) > maxTools {
		return refuse("tools", invalidValue, "can hold %d tools at most.", maxTools)
	}
	out := []byte{'['}
	for i, raw := range list {
		tool, err := readObject("tools["+strconv.Itoa(i)+"]", raw, allToolMembers()...)
		if err != nil {
			return err
		}
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = appendTool(out, tool); err != nil {
			return err
		}
	}
	if len(list) > 0 {
		r.member("tools", out, []byte("]"))
	}
	return r.choice(len(list) > 0)
}

// allToolMembers lists the members of functions and custom tools, and of the
// tools that run at OpenAI, so that those are refused by their type and not by
// a member.
func allToolMembers() []string {
	return []string{"type", "name", "description", "parameters", "strict", "format", "defer_loading", "allowed_callers", "output_schema",
		"vector_store_ids", "filters", "max_num_results", "ranking_options", "search_context_size", "user_location", "external_web_access",
		"display_width", "display_height", "environment", "container", "server_label", "server_url", "server_description", "connector_id",
		"authorization", "headers", "require_approval", "allowed_tools", "background", "input_fidelity", "input_image_mask", "model",
		"moderation", "output_compression", "output_format", "partial_images", "quality", "size", "action", "tools", "execution", "search_content_types"}
}

// appendTool writes a function or a custom tool. A function is strict when it
// says so: OpenAI's own endpoint makes schemas strict unasked where it can, which
// no other engine does, and which the response says with strict: false.
func appendTool(dst []byte, tool object) ([]byte, error) {
	if _, err := tool.need("type"); err != nil {
		return nil, err
	}
	kind, _ := readText("", tool.get("type"))
	if kind != "function" && kind != "custom" {
		return nil, refuse(tool.at("type"), unsupported, "can be 'function' or 'custom' only: '%s' is a tool that runs at its provider, which is not supported here.", clip(kind))
	}
	own := map[string]string{"name": "", "description": "", "parameters": "function", "strict": "function", "format": "custom"}
	for _, m := range tool.members {
		switch of, ok := own[m.name]; {
		case m.name == "type", ok && (of == "" || of == kind):
		case m.name == "defer_loading":
			if err := tool.plain(m.name, "false"); err != nil {
				return nil, err
			}
		case m.name == "allowed_callers":
			callers, err := tool.array(m.name)
			if err != nil {
				return nil, err
			}
			for _, c := range callers {
				if textOf(c) != "direct" {
					return nil, refuse(tool.at(m.name), unsupported, "can be 'direct' only.")
				}
			}
		case m.name == "output_schema":
			return nil, refuse(tool.at(m.name), unsupported, "is not supported here.")
		default:
			return nil, refuse(tool.at(m.name), unknown, "is not a parameter of a %s tool.", kind)
		}
	}
	if _, err := tool.needText("name"); err != nil {
		return nil, err
	}
	if _, err := tool.string("description"); err != nil {
		return nil, err
	}
	if kind == "custom" {
		return appendCustom(dst, tool)
	}
	if schema := tool.get("parameters"); schema != nil && schema[0] != '{' {
		return nil, wrongType(tool.at("parameters"), "an object", schema)
	}
	if _, err := tool.boolean("strict"); err != nil {
		return nil, err
	}
	dst = append(append(dst, `{"type":"function","function":`...), tool.only("name", "description", "parameters", "strict")...)
	return append(dst, '}'), nil
}

// appendCustom writes a custom tool, whose input is free text or keeps a grammar.
func appendCustom(dst []byte, tool object) ([]byte, error) {
	dst = append(dst, `{"type":"custom","custom":`...)
	inner := tool.only("name", "description")
	format, err := tool.sub("format", "type", "definition", "syntax")
	if err != nil {
		return nil, err
	}
	if format.members != nil {
		kind, err := format.needWord("type", "text", "grammar")
		if err != nil {
			return nil, err
		}
		inner = append(append(inner[:len(inner)-1], `,"format":{"type":`...), kind...)
		if string(kind) == `"grammar"` {
			if _, err := format.need("definition"); err != nil {
				return nil, err
			}
			if _, err := format.needWord("syntax", "lark", "regex"); err != nil {
				return nil, err
			}
			inner = append(append(inner, `,"grammar":`...), format.only("definition", "syntax")...)
		}
		inner = append(inner, "}}"...)
	}
	return append(append(dst, inner...), '}'), nil
}

// choice reads tool_choice and parallel_tool_calls. Without tools neither means
// anything, and chat completions takes neither: agents send both all the time.
func (r *request) choice(tools bool) error {
	parallel := r.get("parallel_tool_calls")
	if _, err := r.boolean("parallel_tool_calls"); err != nil {
		return err
	}
	if tools && parallel != nil {
		r.member("parallel_tool_calls", parallel)
	}
	raw := r.get("tool_choice")
	if raw == nil {
		return nil
	}
	if raw[0] == '"' {
		word, err := r.word("tool_choice", "none", "auto", "required")
		switch {
		case err != nil:
			return err
		case tools:
			r.member("tool_choice", word)
		case string(word) == `"required"`:
			return refuse("tool_choice", invalidValue, "is only allowed when 'tools' are given.")
		}
		return nil
	}
	choice, err := readObject("tool_choice", raw)
	if err != nil {
		if raw[0] != '{' {
			return wrongType("tool_choice", "a string or an object", raw)
		}
		return err
	}
	if !tools {
		return refuse("tool_choice", invalidValue, "is only allowed when 'tools' are given.")
	}
	out, err := appendChoice(nil, choice, true)
	if err != nil {
		return err
	}
	r.member("tool_choice", out)
	return nil
}

// appendChoice writes the choice of one tool or, at the top, of some.
func appendChoice(dst []byte, choice object, top bool) ([]byte, error) {
	if _, err := choice.need("type"); err != nil {
		return nil, err
	}
	switch kind, _ := readText("", choice.get("type")); {
	case kind == "function" || kind == "custom":
		if _, err := choice.needText("name"); err != nil {
			return nil, err
		}
		if err := choice.known("type", "name"); err != nil {
			return nil, err
		}
		dst = append(append(append(append(dst, `{"type":"`...), kind...), `","`...), kind...)
		dst = append(append(dst, `":`...), choice.only("name")...)
		return append(dst, '}'), nil
	case kind == "allowed_tools" && top:
		return appendAllowed(dst, choice)
	default:
		return nil, refuse(choice.at("type"), unsupported, "is not supported here with the value '%s'.", clip(kind))
	}
}

// appendAllowed writes a choice among some of the tools.
func appendAllowed(dst []byte, choice object) ([]byte, error) {
	if err := choice.known("type", "mode", "tools"); err != nil {
		return nil, err
	}
	mode, err := choice.needWord("mode", "auto", "required")
	if err != nil {
		return nil, err
	}
	list, err := choice.array("tools")
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, refuse(choice.at("tools"), missing, "is missing.")
	}
	dst = append(append(append(dst, `{"type":"allowed_tools","allowed_tools":{"mode":`...), mode...), `,"tools":[`...)
	for i, raw := range list {
		one, err := readObject(choice.at("tools["+strconv.Itoa(i)+"]"), raw)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendChoice(dst, one, false); err != nil {
			return nil, err
		}
	}
	return append(dst, "]}}"...), nil
}

// known refuses any other members.
func (o *object) known(names ...string) error {
	for _, m := range o.members {
		found := false
		for _, name := range names {
			found = found || m.name == name
		}
		if !found {
			return refuse(o.at(clip(m.name)), unknown, "is not a parameter of responses.")
		}
	}
	return nil
}

// unquoted gives what stands between the quotes of a JSON string, still escaped.
func unquoted(raw []byte) []byte {
	if len(raw) < 2 {
		return nil
	}
	return raw[1 : len(raw)-1]
}

// textOf gives the text of a JSON string.
func textOf(raw []byte) string { return llm.Unescape(unquoted(raw)) }
