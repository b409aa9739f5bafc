package gemini

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// Bounds of a request. What is counted is bounded as chat completions are.
const (
	maxContents = 10_000
	maxTools    = 128
	maxStops    = 5 // ai.google.dev/api/generate-content#GenerationConfig
	chatStops   = 4 // of chat completions
	maxChoices  = 8
	maxCap      = 10_000_000 // output tokens; ten times what any model can do today
)

// Parse validates the body of a call of models/{model}:generateContent or
// :streamGenerateContent, and gives the chat completions request that it stands
// for. Names may be spelt in camelCase or in snake_case, as Google takes both.
// Every member is understood or refused by name; errors are *fault.Error of kind
// Invalid, their fields spelt as the caller did. only lists what no other dialect
// can carry: for a provider of another one it has to be refused.
func Parse(model string, stream bool, body []byte) (chat []byte, only []string, err error) {
	if !utf8.Valid(body) {
		return nil, nil, fault.New(fault.Invalid, "invalid_json", "The body is not valid UTF-8.")
	}
	s := scan.New(body, scan.ClientDepth)
	if !s.Skip() || !s.End() {
		return nil, nil, fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON: %s (byte %d).", s.Bad, s.Pos)
	}
	if s.Nul {
		return nil, nil, fault.New(fault.Invalid, "invalid_value", `The body holds a null character (\u0000).`)
	}
	in := inward{model: strings.TrimPrefix(model, "models/")}
	if err := in.object("", body, in.top); err != nil {
		return nil, nil, err
	}
	if err := in.across(); err != nil {
		return nil, nil, err
	}
	return in.chat(stream), in.only, nil
}

// inward is a request on its way in.
type inward struct {
	model    string
	system   []byte // the content of the system's message
	messages []byte // behind one another, each behind a comma
	params   []byte // further members, each behind a comma
	tools    []byte
	choice   []byte // tool_choice
	choosing string // the path of what asks for tools
	only     []string

	mime, schema []byte // of the answer
	mimePath     string
	said         bool // there are contents

	ids     map[string]*callMade   // the function calls so far
	waiting map[string][]*callMade // the same by name, in order
}

// callMade is a function call in the conversation. Its id is made up if it has none.
type callMade struct {
	id       []byte
	answered bool
}

// object gives each member of an object that is not null to each: the name in
// camelCase, the path as the caller spells it. A member that is there twice is
// refused: readers differ in which they believe.
func (in *inward) object(path string, raw []byte, each func(name, path string, value []byte) error) error {
	s := scan.New(raw, scan.ClientDepth)
	if s.Peek() != '{' {
		if path == "" {
			return fault.New(fault.Invalid, "invalid_type", "The body has to be a JSON object.")
		}
		return wrongType(path, "an object", raw)
	}
	if path != "" {
		path += "."
	}
	var seen []string
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		name, full := camel(string(s.Name)), path+clip(string(s.Name))
		value := s.Value()
		if ok = value != nil; !ok || string(value) == "null" {
			continue
		}
		if slices.Contains(seen, name) {
			return refuse(full, "invalid_value", "is given twice.")
		}
		seen = append(seen, name)
		if err := each(name, full, value); err != nil {
			return err
		}
	}
	return nil // the whole body is valid JSON
}

// list gives each element of an array to each.
func (in *inward) list(path string, raw []byte, most int, each func(path string, value []byte) error) error {
	s := scan.New(raw, scan.ClientDepth)
	if s.Peek() != '[' {
		return wrongType(path, "an array", raw)
	}
	n := 0
	for ok := s.Enter(); ok; n++ {
		if ok = s.Element(); !ok {
			break
		}
		if n == most {
			return refuse(path, "invalid_value", "can hold %d at most.", most)
		}
		if err := each(path+"["+strconv.Itoa(n)+"]", s.Value()); err != nil {
			return err
		}
	}
	return nil
}

// camel spells a name in camelCase.
func camel(name string) string {
	if strings.IndexByte(name, '_') < 0 {
		return name
	}
	b := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] == '_' && i > 0 && i+1 < len(name) && 'a' <= name[i+1] && name[i+1] <= 'z' {
			i++
			b = append(b, name[i]-'a'+'A')
			continue
		}
		b = append(b, name[i])
	}
	return string(b)
}

// top reads one member of the request.
func (in *inward) top(name, path string, value []byte) error {
	switch name {
	case "contents":
		return in.list(path, value, maxContents, in.content)
	case "systemInstruction":
		return in.instruction(path, value)
	case "generationConfig":
		return in.object(path, value, in.config)
	case "tools":
		return in.list(path, value, maxTools, in.tool)
	case "toolConfig":
		return in.object(path, value, in.choosingTools)
	case "safetySettings":
		in.native(path)
		return in.list(path, value, 64, func(path string, value []byte) error {
			return anyObject(path, value)
		})
	case "labels": // they change nothing about the answer
		in.native(path)
		return nil
	case "model":
		if got := llm.Unescape(str(value)); strings.TrimPrefix(got, "models/") != in.model {
			return refuse(path, "invalid_value", "names another model than the address.")
		}
		return nil
	case "store":
		if string(value) == "true" {
			return refuse(path, "unsupported_parameter", "cannot be true: answers are not stored.")
		}
		return boolean(path, value)
	case "serviceTier":
		if word := strings.ToLower(string(str(value))); word != "standard" && word != "unspecified" && word != "service_tier_unspecified" {
			return refuse(path, "unsupported_parameter", "can be 'standard' only.")
		}
		return nil
	case "cachedContent": // it would be of our own account, whoever put it there
		return refuse(path, "unsupported_parameter", "is not supported here; send the content itself.")
	}
	return in.extension(name, path, value)
}

// extension passes OneMind's own members on, which chat completions validate.
func (in *inward) extension(name, path string, value []byte) error {
	switch name {
	case "maxCost", "maxCostNanoUsd", "models", "resumable":
		if path == "max_cost" || path == "max_cost_nano_usd" || path == "models" || path == "resumable" {
			in.param(path, value)
			return nil
		}
	}
	return refuse(path, "unknown_parameter", "is not a parameter of generateContent.")
}

// param adds a member to the chat request.
func (in *inward) param(name string, value []byte) {
	in.params = append(append(append(append(in.params, `,"`...), name...), `":`...), value...)
}

// native notes what only this dialect can carry.
func (in *inward) native(path string) { in.only = append(in.only, path) }

// across checks what members say about each other.
func (in *inward) across() error {
	switch {
	case !in.said:
		return refuse("contents", "missing_required_parameter", "is missing: give at least one content of the user or the model.")
	case in.choosing != "" && len(in.tools) == 0:
		return refuse(in.choosing, "invalid_value", "is only allowed when 'tools' have functionDeclarations.")
	case in.schema != nil && string(in.mime) != "application/json":
		return refuse(in.mimePath, "invalid_value", "needs responseMimeType to be 'application/json'.")
	case in.schema != nil:
		in.param("response_format", append(append([]byte(`{"type":"json_schema","json_schema":{"name":"response","schema":`), in.schema...), "}}"...))
	case string(in.mime) == "application/json":
		in.param("response_format", []byte(`{"type":"json_object"}`))
	}
	return nil
}

// chat writes the chat request.
func (in *inward) chat(stream bool) []byte {
	dst := make([]byte, 0, len(in.system)+len(in.messages)+len(in.params)+len(in.tools)+256)
	dst = llm.AppendQuoted(append(dst, `{"model":`...), in.model)
	if stream {
		dst = append(dst, `,"stream":true`...)
	}
	dst = append(dst, `,"messages":[`...)
	messages := in.messages
	if len(in.system) > 0 {
		dst = append(append(append(dst, `{"role":"system","content":`...), in.system...), '}')
	} else {
		messages = bytes.TrimPrefix(messages, []byte{','})
	}
	dst = append(append(dst, messages...), ']')
	dst = append(dst, in.params...)
	if len(in.tools) > 0 {
		dst = append(append(append(dst, `,"tools":[`...), in.tools...), ']')
		if len(in.choice) > 0 {
			dst = append(append(dst, `,"tool_choice":`...), in.choice...)
		}
	}
	return append(dst, '}')
}

// instruction reads systemInstruction: a content of texts.
func (in *inward) instruction(path string, value []byte) error {
	var texts [][]byte
	err := in.object(path, value, func(name, path string, value []byte) error {
		switch name {
		case "role": // whatever it says, it is the system's
			return isText(path, value)
		case "parts":
			return in.list(path, value, maxContents, func(path string, value []byte) error {
				return in.object(path, value, func(name, path string, value []byte) error {
					if name != "text" {
						return refuse(path, "unsupported_parameter", "is not supported here: an instruction is text.")
					}
					texts = append(texts, str(value))
					return isText(path, value)
				})
			})
		}
		return refuse(path, "unknown_parameter", "is not a member of a content.")
	})
	if err != nil || len(texts) == 0 {
		return err
	}
	if len(texts) == 1 {
		in.system = append(append(append(in.system, '"'), texts[0]...), '"')
		return nil
	}
	in.system = append(in.system, '[')
	for i, raw := range texts {
		if i > 0 {
			in.system = append(in.system, ',')
		}
		in.system = append(append(append(in.system, `{"type":"text","text":"`...), raw...), `"}`...)
	}
	in.system = append(in.system, ']')
	return nil
}
