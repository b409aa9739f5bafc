package gemini

import (
	"math"
	"strconv"
	"strings"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// config reads one member of generationConfig.
func (in *inward) config(name, path string, value []byte) error {
	switch name {
	case "maxOutputTokens":
		_, err := integer(path, value, 1, maxCap)
		in.param("max_tokens", value)
		return err
	case "temperature":
		in.param("temperature", value)
		return number(path, value, 0, 2)
	case "topP":
		in.param("top_p", value)
		return number(path, value, 0, 1)
	case "presencePenalty":
		in.param("presence_penalty", value)
		return number(path, value, -2, 2)
	case "frequencyPenalty":
		in.param("frequency_penalty", value)
		return number(path, value, -2, 2)
	case "seed":
		in.param("seed", value)
		_, err := integer(path, value, math.MinInt32, math.MaxInt32)
		return err
	case "candidateCount":
		in.param("n", value)
		_, err := integer(path, value, 1, maxChoices)
		return err
	case "stopSequences":
		return in.stops(path, value)
	case "responseMimeType":
		return in.answerType(path, value)
	case "responseSchema":
		return in.answerSchema(path, appendSchema(nil, value), value)
	case "responseJsonSchema", "_responseJsonSchema":
		return in.answerSchema(path, value, value)
	case "thinkingConfig":
		return in.thinking(path, value)
	}
	return in.nativeConfig(name, path, value)
}

// nativeConfig reads what only this dialect has.
func (in *inward) nativeConfig(name, path string, value []byte) error {
	switch name {
	case "responseModalities":
		text := true
		err := in.list(path, value, 8, func(path string, value []byte) error {
			word, err := oneOf(path, value, "TEXT", "IMAGE", "MODALITY_UNSPECIFIED")
			text = text && word != "IMAGE"
			return err
		})
		if !text {
			in.native(path)
		}
		return err
	case "topK":
		in.native(path)
		return number(path, value, 0, 1e6)
	case "responseLogprobs":
		if string(value) == "true" {
			in.native(path)
		}
		return boolean(path, value)
	case "logprobs":
		in.native(path)
		_, err := integer(path, value, 0, 20)
		return err
	case "mediaResolution":
		in.native(path)
		return isText(path, value)
	case "enableEnhancedCivicAnswers":
		in.native(path)
		return boolean(path, value)
	case "imageConfig":
		in.native(path)
		return anyObject(path, value)
	case "speechConfig", "audioTimestamp", "audioTranscriptionConfig":
		return refuse(path, "unsupported_parameter", "is not supported here.")
	}
	return refuse(path, "unknown_parameter", "is not a parameter of generateContent.")
}

// stops reads the stop sequences. Chat completions have place for four.
func (in *inward) stops(path string, value []byte) error {
	n := 0
	err := in.list(path, value, maxStops, func(path string, value []byte) error {
		n++
		return isText(path, value)
	})
	switch {
	case n > chatStops:
		in.native(path)
	case n > 0:
		in.param("stop", value)
	}
	return err
}

func (in *inward) answerType(path string, value []byte) error {
	word, err := oneOf(path, value, "text/plain", "application/json", "text/x.enum")
	if word == "text/x.enum" {
		in.native(path)
	}
	in.mime = []byte(word)
	return err
}

// answerSchema keeps the schema that answers have to be of.
func (in *inward) answerSchema(path string, schema, value []byte) error {
	if len(value) == 0 || value[0] != '{' {
		return wrongType(path, "an object", value)
	}
	if in.schema != nil {
		return refuse(path, "invalid_value", "is given beside another schema.")
	}
	in.schema, in.mimePath = schema, path
	return nil
}

// thinking reads thinkingConfig. An effort in words is carried across dialects, a
// budget as the word that stands for as much.
func (in *inward) thinking(path string, value []byte) error {
	effort := ""
	err := in.object(path, value, func(name, path string, value []byte) error {
		switch name {
		case "includeThoughts":
			return boolean(path, value)
		case "thinkingBudget":
			n, err := integer(path, value, -1, maxCap)
			switch {
			case err != nil || n < 0: // as much as it takes
			case n == 0:
				effort = "none"
			case n <= lowBudget:
				effort = "low"
			case n <= mediumBudget:
				effort = "medium"
			default:
				effort = "high"
			}
			return err
		case "thinkingLevel":
			word, err := oneOf(path, value, "minimal", "low", "medium", "high", "thinking_level_unspecified")
			if word != "thinking_level_unspecified" {
				effort = word
			}
			return err
		}
		return refuse(path, "unknown_parameter", "is not a parameter of generateContent.")
	})
	if effort != "" {
		in.param("reasoning_effort", llm.AppendQuoted(nil, effort))
	}
	return err
}

// tool reads one entry of tools. What runs at Google is refused: it costs what
// cannot be seen from here.
func (in *inward) tool(path string, value []byte) error {
	return in.object(path, value, func(name, path string, value []byte) error {
		switch name {
		case "functionDeclarations":
			return in.list(path, value, maxTools, in.declaration)
		case "googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "googleMaps", "computerUse",
			"fileSearch", "retrieval", "enterpriseWebSearch", "parallelAiSearch", "mcpServers":
			return refuse(path, "unsupported_parameter", "is not supported here: tools are functions of the caller's.")
		}
		return refuse(path, "unknown_parameter", "is not a tool.")
	})
}

// declaration reads one function.
func (in *inward) declaration(path string, value []byte) error {
	var name, description, parameters []byte
	err := in.object(path, value, func(member, path string, value []byte) error {
		switch member {
		case "name":
			name = value
			return isText(path, value)
		case "description":
			description = value
			return isText(path, value)
		case "parameters", "parametersJsonSchema":
			if value[0] != '{' {
				return wrongType(path, "an object", value)
			}
			if parameters != nil {
				return refuse(path, "invalid_value", "is given beside another schema.")
			}
			if parameters = value; member == "parameters" {
				parameters = appendSchema(nil, value)
			}
			return nil
		case "response", "responseJsonSchema", "behavior":
			in.native(path)
			return nil
		}
		return refuse(path, "unknown_parameter", "is not a member of a function.")
	})
	switch {
	case err != nil:
		return err
	case len(str(name)) == 0:
		return refuse(path+".name", "missing_required_parameter", "is missing.")
	}
	if len(in.tools) > 0 {
		in.tools = append(in.tools, ',')
	}
	in.tools = append(append(in.tools, `{"type":"function","function":{"name":`...), name...)
	if description != nil {
		in.tools = append(append(in.tools, `,"description":`...), description...)
	}
	if parameters != nil {
		in.tools = append(append(in.tools, `,"parameters":`...), parameters...)
	}
	in.tools = append(in.tools, "}}"...)
	return nil
}

// choosingTools reads one member of toolConfig.
func (in *inward) choosingTools(name, path string, value []byte) error {
	if name != "functionCallingConfig" {
		return refuse(path, "unsupported_parameter", "is not supported here.")
	}
	mode, modePath, namesPath := "AUTO", path+".mode", path
	var names [][]byte
	err := in.object(path, value, func(name, path string, value []byte) (err error) {
		switch name {
		case "mode":
			modePath = path
			mode, err = oneOf(path, value, "AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED")
			return err
		case "allowedFunctionNames":
			namesPath = path
			return in.list(path, value, maxTools, func(path string, value []byte) error {
				names = append(names, value)
				return isText(path, value)
			})
		case "streamFunctionCallArguments":
			if string(value) == "true" {
				return refuse(path, "unsupported_parameter", "is not supported here.")
			}
			return boolean(path, value)
		}
		return refuse(path, "unknown_parameter", "is not a parameter of generateContent.")
	})
	if err != nil {
		return err
	}
	switch mode {
	case "NONE":
		in.choice = []byte(`"none"`)
	case "ANY":
		in.choosing = modePath
		in.choice = chosen(names)
	case "VALIDATED":
		in.native(modePath)
		return nil
	}
	if len(names) > 0 && mode != "ANY" {
		return refuse(namesPath, "invalid_value", "is only allowed with the mode 'ANY' or 'VALIDATED'.")
	}
	return nil
}

// chosen writes a tool_choice that wants a call of one of names, of any if there
// are none.
func chosen(names [][]byte) []byte {
	switch len(names) {
	case 0:
		return []byte(`"required"`)
	case 1:
		return append(append([]byte(`{"type":"function","function":{"name":`), names[0]...), "}}"...)
	}
	dst := []byte(`{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[`)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `{"type":"function","function":{"name":`...), name...), "}}"...)
	}
	return append(dst, "]}}"...)
}

// appendSchema appends a schema in Google's subset of OpenAPI as JSON Schema: types
// are in capitals there, null is a flag, and 64-bit numbers may be strings.
func appendSchema(dst, raw []byte) []byte {
	s := scan.New(raw, scan.ClientDepth)
	if s.Peek() != '{' {
		return append(dst, raw...)
	}
	nullable := string(scan.Find(raw, "nullable")) == "true"
	dst = append(dst, '{')
	for ok := s.Enter(); ok && s.Member(); {
		written, name := string(s.Name), camel(string(s.Name))
		value := s.Value()
		if ok = value != nil; !ok || string(value) == "null" || name == "nullable" || name == "propertyOrdering" || name == "example" {
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		switch name {
		case "anyOf", "items", "properties", "additionalProperties", "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
			written = name
		}
		dst = append(llm.AppendQuoted(dst, written), ':')
		dst = appendSchemaMember(dst, name, value, nullable)
	}
	return append(dst, '}')
}

func appendSchemaMember(dst []byte, name string, value []byte, nullable bool) []byte {
	switch name {
	case "type":
		word := strings.ToLower(llm.Unescape(str(value)))
		if !nullable || str(value) == nil {
			return llm.AppendQuoted(dst, word)
		}
		return append(llm.AppendQuoted(append(dst, '['), word), `,"null"]`...)
	case "items", "additionalProperties":
		return appendSchema(dst, value)
	case "anyOf":
		dst = append(dst, '[')
		for i, one := range elements(value) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendSchema(dst, one)
		}
		return append(dst, ']')
	case "properties":
		s := scan.New(value, scan.ClientDepth)
		if s.Peek() != '{' {
			return append(dst, value...)
		}
		dst = append(dst, '{')
		for ok := s.Enter(); ok && s.Member(); {
			name := string(s.Name)
			property := s.Value()
			if ok = property != nil; !ok {
				break
			}
			if dst[len(dst)-1] != '{' {
				dst = append(dst, ',')
			}
			dst = appendSchema(append(llm.AppendQuoted(dst, name), ':'), property)
		}
		return append(dst, '}')
	case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
		if _, err := strconv.ParseInt(string(str(value)), 10, 64); err == nil {
			return append(dst, str(value)...)
		}
	}
	return append(dst, value...)
}
