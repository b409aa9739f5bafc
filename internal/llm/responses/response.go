package responses

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// echoes are the request's members that a response says back, with what holds
// when they were not given: those before its output and those behind it.
func echoes(request []byte) (before, behind []byte) {
	given := map[string][]byte{}
	if scan.Valid(request, scan.ClientDepth) && scanFirst(request) == '{' {
		for s, ok := enter(request); ok && s.Member(); {
			name := string(s.Name)
			value := s.Value()
			if ok = value != nil; ok && string(value) != "null" {
				given[name] = oneLine(value)
			}
		}
	}
	write := func(dst []byte, name, otherwise string) []byte {
		value := given[name]
		if value == nil {
			if otherwise == "" {
				return dst
			}
			value = []byte(otherwise)
		}
		dst = append(llm.AppendQuoted(append(dst, ','), name), ':')
		return append(dst, value...)
	}
	for _, m := range [][2]string{{"instructions", "null"}, {"max_output_tokens", "null"}} {
		before = write(before, m[0], m[1])
	}
	if given["tools"] != nil {
		given["tools"] = echoTools(given["tools"])
	}
	given["reasoning"] = filled(given["reasoning"], "effort", "null", "summary", "null")
	given["text"] = filled(given["text"], "format", `{"type":"text"}`)
	for _, m := range [][2]string{{"parallel_tool_calls", "true"}, {"reasoning", ""}, {"temperature", "null"}, {"text", ""},
		{"tool_choice", `"auto"`}, {"tools", "[]"}, {"top_p", "null"}, {"user", "null"}, {"metadata", "{}"},
		{"safety_identifier", ""}, {"prompt_cache_key", ""}, {"prompt_cache_retention", ""}} {
		behind = write(behind, m[0], m[1])
	}
	return before, append(behind, `,"previous_response_id":null,"service_tier":"default","store":false,"top_logprobs":0,"truncation":"disabled"`...)
}

// filled gives an object with members added that it does not have, as pairs of
// name and value.
func filled(raw []byte, pairs ...string) []byte {
	if len(raw) == 0 || raw[0] != '{' {
		raw = []byte("{}")
	}
	dst := bytes.TrimRight(raw[:len(raw)-1], " \t")
	for i := 0; i+1 < len(pairs); i += 2 {
		if scan.Find(raw, pairs[i]) != nil {
			continue
		}
		dst = bytes.Clone(dst)
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(append(llm.AppendQuoted(dst, pairs[i]), ':'), pairs[i+1]...)
	}
	return append(bytes.Clone(dst), '}')
}

// echoTools gives the tools as they were used.
func echoTools(raw []byte) []byte {
	if raw[0] != '[' {
		return raw
	}
	dst := []byte{'['}
	for i, tool := range elements(raw) {
		if i > 0 {
			dst = append(dst, ',')
		}
		if string(scan.Find(tool, "type")) == `"function"` {
			tool = filled(tool, "parameters", "null", "strict", "false")
		}
		dst = append(dst, tool...)
	}
	return append(dst, ']')
}

// appendResponse writes the response as it stands. The ending is nil while it
// goes on; f is why it failed.
func (e *Encoder) appendResponse(dst []byte, status string, end *llm.Ending, f *fault.Error) []byte {
	dst = append(append(dst, `{"id":"resp_`...), e.id...)
	dst = strconv.AppendInt(append(dst, `","object":"response","created_at":`...), e.created, 10)
	dst = append(append(append(dst, `,"status":"`...), status...), `","background":false,"error":`...)
	dst = appendFailure(dst, f)
	dst = append(dst, `,"incomplete_details":`...)
	switch {
	case status != incomplete:
		dst = append(dst, "null"...)
	case end.Finish == "content_filter" && !end.Capped:
		dst = append(dst, `{"reason":"content_filter"}`...)
	default:
		dst = append(dst, `{"reason":"max_output_tokens"}`...)
	}
	dst = append(append(dst, e.echo...), `,"model":`...)
	dst = append(llm.AppendQuoted(dst, e.model), `,"output":[`...)
	for i, it := range e.items {
		if i > 0 {
			dst = append(dst, ',')
		}
		state := it.done
		if state == "" {
			state = incomplete
		}
		dst = e.appendItem(dst, it, state)
	}
	dst = append(append(dst, ']'), e.tail...)
	if end == nil {
		return append(dst, `,"usage":null}`...)
	}
	if status == completed {
		dst = strconv.AppendInt(append(dst, `,"completed_at":`...), time.Now().Unix(), 10)
	}
	dst = appendUsage(append(dst, `,"usage":`...), end.Usage)
	if len(end.Receipt) > 0 {
		dst = append(append(dst, `,"onemind":`...), oneLine(end.Receipt)...)
	}
	return append(dst, '}')
}

// appendUsage writes a usage, in which the cache is a part of the input and
// reasoning of the output.
func appendUsage(dst []byte, u llm.Usage) []byte {
	in, out := u.Input+u.CachedInput+u.CacheWrite, u.Output+u.Reasoning
	dst = strconv.AppendInt(append(dst, `{"input_tokens":`...), in, 10)
	dst = strconv.AppendInt(append(dst, `,"input_tokens_details":{"cached_tokens":`...), u.CachedInput, 10)
	dst = strconv.AppendInt(append(dst, `,"cache_write_tokens":`...), u.CacheWrite, 10)
	dst = strconv.AppendInt(append(dst, `},"output_tokens":`...), out, 10)
	dst = strconv.AppendInt(append(dst, `,"output_tokens_details":{"reasoning_tokens":`...), u.Reasoning, 10)
	dst = strconv.AppendInt(append(dst, `},"total_tokens":`...), in+out, 10)
	return append(dst, '}')
}

// appendFailure writes why a response failed: in the dialect's words, which
// clients know, and with our own code.
func appendFailure(dst []byte, f *fault.Error) []byte {
	if f == nil {
		return append(dst, "null"...)
	}
	code := "server_error"
	switch f.Kind {
	case fault.Limited:
		code = "rate_limit_exceeded"
	case fault.Invalid, fault.Unprocessable, fault.TooLarge:
		code = "invalid_prompt"
	}
	dst = append(append(append(dst, `{"code":"`...), code...), `","message":`...)
	dst = llm.AppendQuoted(dst, f.Text)
	dst = llm.AppendQuoted(append(dst, `,"onemind_code":`...), f.Code)
	return append(dst, '}')
}

// Error gives the body of an error, in the shape that all of OpenAI's endpoints
// share. A parameter that a later stage named in chat's words is named in the
// caller's.
func (e *Encoder) Error(f *fault.Error, _ int) []byte {
	return append(appendError([]byte(`{"error":`), f), '}')
}

// Trouble appends the events of a stream that broke: an error, and the response
// that failed with what it has.
func (e *Encoder) Trouble(dst []byte, f *fault.Error) []byte {
	if e.over {
		return dst
	}
	e.dst = dst
	e.begin()
	e.over = true
	// The reference has the members at the top, the service and its SDKs within error.
	field, text := renamed(f)
	e.open("error")
	e.dst = llm.AppendQuoted(append(e.dst, `,"code":`...), f.Code)
	e.dst = llm.AppendQuoted(append(e.dst, `,"message":`...), text)
	e.dst = appendParam(append(e.dst, `,"param":`...), field)
	e.dst = appendError(append(e.dst, `,"error":`...), f)
	e.close()
	e.open("response.failed")
	e.dst = e.appendResponse(append(e.dst, `,"response":`...), failed, nil, f)
	e.close()
	return e.take()
}

func appendError(dst []byte, f *fault.Error) []byte {
	field, text := renamed(f)
	dst = llm.AppendQuoted(append(dst, `{"message":`...), text)
	dst = llm.AppendQuoted(append(dst, `,"type":`...), family(f.Kind))
	dst = appendParam(append(dst, `,"param":`...), field)
	dst = llm.AppendQuoted(append(dst, `,"code":`...), f.Code)
	return append(dst, '}')
}

func appendParam(dst []byte, field string) []byte {
	if field == "" {
		return append(dst, "null"...)
	}
	return llm.AppendQuoted(dst, field)
}

// family is OpenAI's type of an error.
func family(k fault.Kind) string {
	switch k {
	case fault.Unauthenticated:
		return "authentication_error"
	case fault.Forbidden:
		return "permission_error"
	case fault.Short:
		return "insufficient_quota"
	case fault.Limited:
		return "rate_limit_error"
	case fault.Internal, fault.Upstream, fault.Unavailable, fault.Timeout:
		return "server_error"
	}
	return "invalid_request_error"
}

// renamed gives an error's parameter and sentence in the caller's words: what
// engines and their rules name is the chat request made of its own.
func renamed(f *fault.Error) (field, text string) {
	param := f.Parameter()
	own, _, nested := strings.Cut(param, ".")
	own, index, listed := strings.Cut(own, "[")
	if nested || listed {
		own, index = param[:len(own)], param[len(own):]
	}
	name := map[string]string{
		"messages": "input", "max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens",
		"reasoning_effort": "reasoning.effort", "verbosity": "text.verbosity", "response_format": "text.format",
	}[own]
	if name == "" {
		return param, f.Text
	}
	if name == "input" || name == "text.format" { // what lies within is counted otherwise
		index = ""
	}
	return name + index, strings.ReplaceAll(f.Text, "'"+param+"'", "'"+name+index+"'")
}
