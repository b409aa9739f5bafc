package gemini

import (
	"strconv"

	"onemind/internal/llm/scan"
)

// declare sends tools. Those of other types than functions have no counterpart.
func (o *outward) declare(value []byte) error {
	for i, tool := range elements(value) {
		path := "tools[" + strconv.Itoa(i) + "]"
		function := scan.Find(tool, "function")
		if kind := str(scan.Find(tool, "type")); string(kind) != "function" || function == nil {
			return unsupported(path + ".type")
		}
		if len(o.tools) > 0 {
			o.tools = append(o.tools, ',')
		}
		o.tools = append(o.tools, '{')
		err := members(function, func(name, value []byte) error {
			as := ""
			switch string(name) {
			case "name", "description":
				as = string(name)
			case "parameters":
				as = "parametersJsonSchema"
			case "strict":
				if string(value) == "true" {
					o.change("tools[].function.strict", value, nil, "dialect")
				}
				return nil
			default:
				return unsupported(path + ".function." + clip(string(name)))
			}
			if o.tools[len(o.tools)-1] != '{' {
				o.tools = append(o.tools, ',')
			}
			o.tools = append(append(append(append(o.tools, '"'), as...), `":`...), value...)
			return nil
		})
		if err != nil {
			return err
		}
		o.tools = append(o.tools, '}')
	}
	return nil
}

// choose sends tool_choice.
func (o *outward) choose(value []byte) error {
	switch string(value) {
	case `"none"`:
		o.toolConfig = []byte(`{"mode":"NONE"}`)
		return nil
	case `"auto"`:
		o.toolConfig = []byte(`{"mode":"AUTO"}`)
		return nil
	case `"required"`:
		o.toolConfig = []byte(`{"mode":"ANY"}`)
		return nil
	}
	list := [][]byte{value}
	switch string(str(scan.Find(value, "type"))) {
	case "function":
	case "allowed_tools":
		allowed := scan.Find(value, "allowed_tools")
		if mode := str(scan.Find(allowed, "mode")); string(mode) != "required" {
			return unsupported("tool_choice.allowed_tools.mode") // names are for the mode ANY only
		}
		list = elements(scan.Find(allowed, "tools"))
	default:
		return unsupported("tool_choice.type")
	}
	config := []byte(`{"mode":"ANY","allowedFunctionNames":[`)
	for i, one := range list {
		name := scan.Find(scan.Find(one, "function"), "name")
		if str(name) == nil {
			return invalid("tool_choice", "has to name a function.")
		}
		if i > 0 {
			config = append(config, ',')
		}
		config = append(config, name...)
	}
	o.toolConfig = append(config, "]}"...)
	return nil
}

// clip bounds a caller's text that is said back to it.
func clip(s string) string {
	if len(s) > 64 {
		return string([]rune(s[:64])) + "..."
	}
	return s
}
