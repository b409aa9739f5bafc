package gemini

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// outbound writes the request a provider gets from the neutral one, and lists what
// is sent otherwise than asked. What the dialect has no place for is refused by
// name.
func outbound(to *llm.Target, req *llm.Request) ([]byte, []llm.Change, error) {
	o := outward{to: to, req: req}
	o.dst = append(make([]byte, 0, len(req.Body)+512), `{"contents":[`...)
	if to.Cap > 0 {
		o.config = strconv.AppendInt(append(o.config, `"maxOutputTokens":`...), to.Cap, 10)
	}
	var given []string
	err := members(req.Body, func(name, value []byte) error {
		if len(to.Rules.Set) > 0 {
			given = append(given, string(name))
		}
		return o.ruled(name, value)
	})
	if err == nil {
		err = o.set(given)
	}
	if err != nil {
		return nil, nil, err
	}
	return o.end(), o.changes, nil
}

// outward is a request on its way to a provider.
type outward struct {
	to  *llm.Target
	req *llm.Request

	dst        []byte // the body, with the turns of the conversation
	role       string // of the turn that is open; empty: none yet
	system     []byte // the parts of systemInstruction
	config     []byte // the members of generationConfig
	tools      []byte // the declarations
	toolConfig []byte
	extra      []byte // further members, each behind a comma
	names      map[string][]byte
	turns      int
	changes    []llm.Change
}

// members gives each member of an object that is not null to each.
func members(object []byte, each func(name, value []byte) error) error {
	s := scan.New(object, scan.ClientDepth)
	if s.Peek() != '{' {
		return fault.New(fault.Invalid, "invalid_json", "The body has to be a JSON object.")
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		name := s.Name
		value := s.Value()
		if ok = value != nil; !ok || string(value) == "null" {
			continue
		}
		if err := each(name, value); err != nil {
			return err
		}
	}
	if !s.End() {
		return fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON: %s (byte %d).", s.Bad, s.Pos)
	}
	return nil
}

// ruled applies the model's rules to one member and passes on what they leave.
func (o *outward) ruled(name, value []byte) error {
	for _, refused := range o.to.Rules.Refuse {
		if string(name) == refused && !(refused == "n" && string(value) == "1") { // one answer is what it gives anyway
			return unsupported(refused)
		}
	}
	for _, dropped := range o.to.Rules.Drop {
		if string(name) == dropped && dropped != "messages" {
			o.change(dropped, value, nil, "drop")
			return nil
		}
	}
	return o.member(name, value)
}

// member translates one member of the request.
func (o *outward) member(name, value []byte) error {
	switch string(name) {
	case "messages":
		return o.messages(value)
	case "tools":
		return o.declare(value)
	case "tool_choice":
		return o.choose(value)
	case "temperature":
		o.number("temperature", "temperature", value)
	case "top_p":
		o.number("top_p", "topP", value)
	case "presence_penalty":
		o.number("presence_penalty", "presencePenalty", value)
	case "frequency_penalty":
		o.number("frequency_penalty", "frequencyPenalty", value)
	case "seed":
		if _, err := strconv.ParseInt(string(value), 10, 32); err != nil {
			return invalid("seed", "has to be from -2147483648 to 2147483647 for this model.")
		}
		o.number("seed", "seed", value)
	case "stop":
		if value[0] == '"' {
			value = append(append([]byte{'['}, value...), ']')
		}
		o.configure("stopSequences", value)
	case "n":
		return o.several(value)
	case "logprobs":
		if string(value) == "true" {
			o.configure("responseLogprobs", value)
		}
	case "top_logprobs":
		if string(value) != "0" {
			o.configure("logprobs", value)
		}
	case "response_format":
		return o.format(value)
	case "reasoning_effort":
		return o.effort(value)
	case "parallel_tool_calls":
		if string(value) == "false" {
			return unsupported("parallel_tool_calls")
		}
	default:
		return o.rare(name, value)
	}
	return nil
}

// rare translates what the dialect has no word for: what changes nothing about
// the answer is left out, and said so.
func (o *outward) rare(name, value []byte) error {
	switch string(name) {
	case "model", "stream", "stream_options", "max_tokens", "max_completion_tokens",
		"max_cost", "max_cost_nano_usd", "models", "resumable",
		"modalities": // text only, as validated
		return nil
	case "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "metadata":
		o.change(string(name), value, nil, "dialect")
		return nil
	case "store":
		if string(value) == "false" {
			return nil
		}
	case "service_tier":
		if string(value) == `"auto"` || string(value) == `"default"` {
			return nil
		}
	case "verbosity":
		if string(value) == `"medium"` {
			return nil
		}
	}
	return unsupported(string(name))
}

// several asks for more than one answer, which the API gives whole only.
func (o *outward) several(value []byte) error {
	if string(value) == "1" {
		return nil
	}
	if o.req.Stream {
		return invalid("n", "above 1 is not supported by this model in a stream.")
	}
	o.number("n", "candidateCount", value)
	return nil
}

// number sends a number, within the bounds that the model's rules have.
func (o *outward) number(name, as string, value []byte) {
	sent := value
	if r, bounded := o.to.Rules.Clamp[name]; bounded {
		if f, err := strconv.ParseFloat(string(value), 64); err == nil && (f < r.Min || f > r.Max) {
			sent = strconv.AppendFloat(nil, min(max(f, r.Min), r.Max), 'f', -1, 64)
			o.change(name, value, sent, "clamp")
		}
	}
	o.configure(as, sent)
}

// configure adds a member to generationConfig.
func (o *outward) configure(name string, value []byte) {
	if len(o.config) > 0 {
		o.config = append(o.config, ',')
	}
	o.config = append(append(append(append(o.config, '"'), name...), '"', ':'), value...)
}

// set adds what the rules set and the caller did not name: parameters of chat
// completions as if the caller had, "generationConfig.x" into that object, and
// anything else as a member of the body.
func (o *outward) set(given []string) error {
	names := make([]string, 0, len(o.to.Rules.Set))
	for name, value := range o.to.Rules.Set {
		if !slices.Contains(given, name) && scan.Valid([]byte(value), scan.ClientDepth) && value != "null" {
			names = append(names, name)
		}
	}
	slices.Sort(names) // the same request is the same bytes
	for _, name := range names {
		value := []byte(o.to.Rules.Set[name])
		inner, config := strings.CutPrefix(name, "generationConfig.")
		switch {
		case config && inner != "maxOutputTokens":
			o.configure(inner, value)
		case config, own([]byte(name)), name == "messages", name == "contents", name == "generationConfig",
			name == "max_tokens", name == "max_completion_tokens", name == "stream_options":
			continue
		case neutral(name):
			if err := o.member([]byte(name), value); err != nil {
				return err
			}
		default:
			o.extra = llm.AppendQuoted(append(o.extra, ','), name)
			o.extra = append(append(o.extra, ':'), value...)
		}
		o.change(name, nil, value, "set")
	}
	return nil
}

// neutral reports whether a parameter is one of chat completions that is translated.
func neutral(name string) bool {
	switch name {
	case "temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "n", "logprobs", "top_logprobs",
		"response_format", "reasoning_effort", "tools", "tool_choice":
		return true
	}
	return false
}

// end closes the body.
func (o *outward) end() []byte {
	dst := o.dst
	if o.role != "" {
		dst = append(dst, "]}"...)
	}
	dst = append(dst, ']')
	if len(o.system) > 0 {
		dst = append(append(append(dst, `,"systemInstruction":{"parts":[`...), o.system...), "]}"...)
	}
	if len(o.tools) > 0 {
		dst = append(append(append(dst, `,"tools":[{"functionDeclarations":[`...), o.tools...), "]}]"...)
	}
	if len(o.toolConfig) > 0 {
		dst = append(append(append(dst, `,"toolConfig":{"functionCallingConfig":`...), o.toolConfig...), '}')
	}
	if len(o.config) > 0 {
		dst = append(append(append(dst, `,"generationConfig":{`...), o.config...), '}')
	}
	return append(append(dst, o.extra...), '}')
}

// Bounds of what is kept for the receipt: a value in bytes, and how many.
const (
	longestAsked = 256
	maxChanges   = 64
)

// change notes, once for each name, that something was not sent as asked.
func (o *outward) change(name string, asked, sent []byte, rule string) {
	for i := range o.changes {
		if o.changes[i].Name == name && o.changes[i].Rule == rule {
			return
		}
	}
	if len(o.changes) >= maxChanges {
		return
	}
	if len(asked) > longestAsked {
		asked = []byte(`"(` + strconv.Itoa(len(asked)) + ` bytes)"`)
	}
	o.changes = append(o.changes, llm.Change{Name: name, Asked: string(asked), Sent: string(sent), Rule: rule})
}

func unsupported(name string) error {
	err := fault.New(fault.Invalid, "unsupported_parameter", "'%s' is not supported by this model.", name)
	err.Field = name
	return err
}

func invalid(field, format string, args ...any) *fault.Error {
	err := fault.New(fault.Invalid, "invalid_value", "'"+strings.ReplaceAll(field, "%", "%%")+"' "+format, args...)
	err.Field = field
	return err
}

// str gives what stands between a string's quotes, still escaped; nil for
// anything else.
func str(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return nil
	}
	return value[1 : len(value)-1]
}

// plain gives a string's text in bytes, copied only when something is escaped.
func plain(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	return llm.AppendUnescaped(make([]byte, 0, len(raw)), raw)
}
