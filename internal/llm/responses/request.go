// Package responses is the inbound half of OpenAI's Responses API: it makes a
// chat request of what callers of /v1/responses send, and the events and bodies
// of that dialect of the answer, whatever engine gave it. Nothing is stored:
// what needs a stored response is refused by name. Speaking to providers is
// none of its business.
package responses

import (
	"strconv"
	"unicode/utf8"

	"onemind/internal/fault"
	"onemind/internal/llm/scan"
)

// Bounds of a request. The chat request made of one is never larger.
const (
	depth      = scan.ClientDepth - 4 // a tool's schema lies deeper in a chat request
	maxItems   = 9_999                // and one message for the instructions
	maxTools   = 128
	maxCap     = 10_000_000 // output tokens
	maxPairs   = 16         // of metadata; OpenAI's reference
	maxMembers = 64         // of any object that is read; the largest known has half of it
)

// Parse makes a chat-completions body of a Responses body. Every member is
// carried, is without effect on the answer (metadata is said back, annotations of
// earlier answers are output), or is refused by name: *fault.Error of kind
// Invalid with the path as the caller wrote it. What chat completions has under
// the same name and with the same meaning (model, temperature, top_p, user,
// max_cost, models and their like) is copied and left to the chat dialect's check.
func Parse(body []byte) ([]byte, error) {
	if err := readable(body); err != nil {
		return nil, err
	}
	top, err := readObject("", body, parameters()...)
	if err != nil {
		return nil, err
	}
	r := request{object: top, dst: append(make([]byte, 0, len(body)+512), '{')}
	for _, step := range []func() error{r.stored, r.conversation, r.tools, r.text, r.reasoning, r.stream, r.limits, r.same} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return append(r.dst, '}'), nil
}

// readable checks that body is one JSON object of text.
func readable(body []byte) error {
	if !utf8.Valid(body) {
		return fault.New(fault.Invalid, "invalid_json", "The body is not valid UTF-8.")
	}
	s := scan.New(body, depth)
	isObject := s.Peek() == '{'
	if !s.Skip() || !s.End() {
		what := s.Bad
		if s.Pos >= len(body) {
			what = "it ends too early"
		}
		return fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON: %s (byte %d).", what, s.Pos)
	}
	if !isObject {
		return fault.New(fault.Invalid, "invalid_type", "The body has to be a JSON object.")
	}
	if !s.Nul {
		return nil
	}
	s = scan.New(body, depth) // again, to say where
	for ok := s.Enter(); ok && s.Member(); {
		name := string(s.Name)
		if ok = s.Skip(); s.Nul {
			return refuse(clip(name), invalidValue, `holds a null character (\u0000).`)
		}
	}
	return nil
}

// parameters lists the members a request can have.
func parameters() []string {
	return []string{
		"model", "input", "instructions", "max_output_tokens", "temperature", "top_p", "tools", "tool_choice",
		"parallel_tool_calls", "text", "reasoning", "stream", "stream_options", "store", "previous_response_id",
		"conversation", "background", "prompt", "include", "metadata", "user", "safety_identifier", "prompt_cache_key",
		"prompt_cache_retention", "prompt_cache_options", "service_tier", "truncation", "top_logprobs", "max_tool_calls",
		"context_management", "moderation", "max_cost", "max_cost_nano_usd", "models", "resumable",
	}
}

// request is one request on its way to becoming a chat request.
type request struct {
	object
	dst []byte
}

// member appends one member with a JSON value.
func (r *request) member(name string, value ...[]byte) {
	if len(r.dst) > 1 {
		r.dst = append(r.dst, ',')
	}
	r.dst = append(append(append(r.dst, '"'), name...), '"', ':')
	for _, v := range value {
		r.dst = append(r.dst, v...)
	}
}

// stored refuses what needs a response that was kept, and what would change
// the answer in ways that are not to be had here.
func (r *request) stored() error {
	for _, m := range r.members {
		yes := string(m.value) == "true"
		why := ""
		switch m.name {
		case "store":
			if yes {
				why = "cannot be true: responses are not stored."
			}
		case "background":
			if yes {
				why = "cannot be true: responses are not stored, so there is nothing to fetch later; ask for a stream."
			}
		case "previous_response_id", "conversation":
			why = "is not supported here: responses are not stored. Send the whole conversation as 'input'."
		case "prompt":
			why = "is not supported here: prompts are not stored. Send their text as 'instructions' and 'input'."
		case "max_tool_calls", "prompt_cache_options", "context_management", "moderation":
			why = "is not supported here."
		case "top_logprobs":
			if string(m.value) != "0" {
				why = "is not supported here."
			}
		case "truncation":
			if string(m.value) == `"auto"` {
				why = "cannot be 'auto': a conversation is never cut silently. Leave out old items yourself."
			}
		}
		if why != "" {
			return refuse(m.name, unsupported, "%s", why)
		}
	}
	if _, err := r.word("truncation", "disabled"); err != nil {
		return err
	}
	for _, name := range []string{"store", "background"} {
		if _, err := r.boolean(name); err != nil {
			return err
		}
	}
	return r.include()
}

// include allows what is given anyway.
func (r *request) include() error {
	list, err := r.array("include")
	for i, raw := range list {
		path := "include[" + strconv.Itoa(i) + "]"
		word, err := readText(path, raw)
		if err != nil {
			return err
		}
		if word != "reasoning.encrypted_content" {
			return refuse(path, unsupported, "can be 'reasoning.encrypted_content' only, but is '%s'.", clip(word))
		}
	}
	return err
}

// text reads text: the format of the answer and its verbosity.
func (r *request) text() error {
	text, err := r.sub("text", "format", "verbosity")
	if err != nil {
		return err
	}
	verbosity, err := text.word("verbosity", "low", "medium", "high")
	if err != nil {
		return err
	}
	if verbosity != nil {
		r.member("verbosity", verbosity)
	}
	format, err := text.sub("format", "type", "name", "schema", "description", "strict")
	if err != nil || format.members == nil {
		return err
	}
	kind, err := format.needWord("type", "text", "json_object", "json_schema")
	if err != nil {
		return err
	}
	if string(kind) != `"json_schema"` {
		for _, m := range format.members {
			if m.name != "type" {
				return refuse(format.at(m.name), invalidValue, "is for the type 'json_schema' only.")
			}
		}
		r.member("response_format", []byte(`{"type":`), kind, []byte("}"))
		return nil
	}
	if _, err := format.needText("name"); err != nil {
		return err
	}
	if schema := format.get("schema"); schema == nil {
		return refuse(format.at("schema"), missing, "is missing.")
	} else if schema[0] != '{' {
		return wrongType(format.at("schema"), "an object", schema)
	}
	if _, err := format.string("description"); err != nil {
		return err
	}
	if _, err := format.boolean("strict"); err != nil {
		return err
	}
	r.member("response_format", []byte(`{"type":"json_schema","json_schema":`), format.only("name", "description", "schema", "strict"), []byte("}"))
	return nil
}

// reasoning reads reasoning. Reasoning text is given as the summary whenever the
// engine gives any: all of it, so that "concise" cannot be had.
func (r *request) reasoning() error {
	o, err := r.sub("reasoning", "effort", "summary", "generate_summary", "context", "mode")
	if err != nil {
		return err
	}
	effort, err := o.word("effort", "none", "minimal", "low", "medium", "high", "xhigh", "max")
	if err != nil {
		return err
	}
	if effort != nil {
		r.member("reasoning_effort", effort)
	}
	for _, m := range []struct {
		name  string
		words []string
	}{{"summary", []string{"auto", "detailed"}}, {"generate_summary", []string{"auto", "detailed"}}, {"context", []string{"auto"}}, {"mode", []string{"standard"}}} {
		if _, err := o.string(m.name); err != nil {
			return err
		}
		if _, err := o.word(m.name, m.words...); err != nil {
			f := fault.From(err)
			f.Code = unsupported
			return f
		}
	}
	return nil
}

// stream reads stream and stream_options.
func (r *request) stream() error {
	stream, err := r.boolean("stream")
	if err != nil {
		return err
	}
	options, err := r.sub("stream_options", "include_obfuscation")
	if err != nil {
		return err
	}
	padded, err := options.boolean("include_obfuscation")
	switch {
	case err != nil:
		return err
	case padded:
		return refuse("stream_options.include_obfuscation", unsupported, "cannot be true: events are not padded.")
	case r.get("stream_options") != nil && !stream:
		return refuse("stream_options", invalidValue, "is only allowed when 'stream' is true.")
	case stream:
		r.member("stream", []byte("true"))
	}
	return nil
}

// limits reads the cap of the answer and metadata.
func (r *request) limits() error {
	if raw := r.get("max_output_tokens"); raw != nil {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if c := raw[0]; c != '-' && (c < '0' || c > '9') {
			return wrongType("max_output_tokens", "an integer", raw)
		} else if err != nil || n < 1 || n > maxCap {
			return refuse("max_output_tokens", invalidValue, "has to be a whole number from 1 to %d, but is %s.", maxCap, clip(string(raw)))
		}
		r.member("max_completion_tokens", raw)
	}
	// Providers keep metadata with stored answers only, and refuse it with others:
	// that the response says it back is all it does.
	raw := r.get("metadata")
	if raw == nil {
		return nil
	}
	pairs, err := readObject("metadata", raw)
	if err != nil {
		return err
	}
	if len(pairs.members) > maxPairs {
		return refuse("metadata", invalidValue, "can hold %d pairs at most.", maxPairs)
	}
	for _, m := range pairs.members {
		if _, err := readText(pairs.at(clip(m.name)), m.value); err != nil {
			return err
		}
	}
	return nil
}

// same copies what chat completions has under the same name.
func (r *request) same() error {
	for _, name := range []string{"model", "temperature", "top_p", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier", "max_cost", "max_cost_nano_usd", "models", "resumable"} {
		if value := r.get(name); value != nil {
			r.member(name, value)
		}
	}
	if r.get("model") == nil {
		return refuse("model", missing, "is missing.")
	}
	return nil
}

// clip bounds a caller's text that is said back to it.
func clip(s string) string {
	if len(s) > 64 {
		return validPrefix(s, 64) + "..."
	}
	return s
}

// validPrefix gives at most n bytes of s, whole characters.
func validPrefix(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
