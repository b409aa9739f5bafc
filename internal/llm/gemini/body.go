package gemini

import (
	"bytes"
	"strconv"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// nativeBody writes a native request as the provider gets it: the caller's members
// as they stand, without ours and without nulls, and with the output cap as the
// target wants it. Model and streaming are in the address.
func nativeBody(to *llm.Target, body []byte) ([]byte, error) {
	dst := append(make([]byte, 0, len(body)+64), '{')
	var config []byte
	s := scan.New(body, scan.ClientDepth)
	if s.Peek() != '{' {
		return nil, fault.New(fault.Invalid, "invalid_json", "The body has to be a JSON object.")
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		name, start := s.Name, s.At
		ours := own(name)
		configured := string(name) == "generationConfig" || string(name) == "generation_config"
		value := s.Value()
		switch {
		case value == nil:
			ok = false
		case ours || string(value) == "null":
		case configured:
			config = value
		default:
			dst = append(append(dst, body[start:s.Pos]...), ',')
		}
	}
	if !s.End() {
		return nil, fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON: %s (byte %d).", s.Bad, s.Pos)
	}
	dst = append(dst, `"generationConfig":{`...)
	dst = strconv.AppendInt(append(dst, `"maxOutputTokens":`...), to.Cap, 10)
	dst = appendConfig(dst, config)
	return append(dst, "}}"...), nil
}

// own reports whether a member is never passed on: it is OneMind's, or in the address.
func own(name []byte) bool {
	switch string(name) {
	case "model", "stream", "max_cost", "max_cost_nano_usd", "models", "resumable":
		return true
	}
	return false
}

// appendConfig appends the members of a generationConfig but the cap.
func appendConfig(dst, config []byte) []byte {
	s := scan.New(config, scan.ClientDepth)
	if s.Peek() != '{' {
		return dst
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		start, capped := s.At, string(s.Name) == "maxOutputTokens" || string(s.Name) == "max_output_tokens"
		value := s.Value()
		if !capped && value != nil && string(value) != "null" {
			dst = append(append(dst, ','), config[start:s.Pos]...)
		}
	}
	return dst
}

// oneLine gives JSON without line breaks, which would end a line of the stream.
// Inside strings there are none, so every one is space.
func oneLine(raw []byte) []byte {
	if !bytes.ContainsAny(raw, "\r\n") {
		return raw
	}
	out := bytes.Clone(raw)
	for i, c := range out {
		if c == '\n' || c == '\r' {
			out[i] = ' '
		}
	}
	return out
}
