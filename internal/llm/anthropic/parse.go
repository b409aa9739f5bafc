package anthropic

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

// Parse validates the body of a call of /v1/messages and gives the neutral chat
// body made of it: every member is either understood or refused by name. Errors
// are *fault.Error of kind Invalid, with the field's path as the caller wrote it.
//
// only lists what no other dialect can carry, such as "top_k": the call has to
// be refused by that name when its engine does not speak this one. Hints stay
// out of chat, because others refuse members they do not know: cache_control,
// and thinking that an engine of this dialect signed.
func Parse(body []byte) (chat []byte, only []string, err error) {
	return parse(body, parser{})
}

// ParseCount is Parse for the body of /v1/messages/count_tokens, which names no
// max_tokens.
func ParseCount(body []byte) (chat []byte, only []string, err error) {
	return parse(body, parser{uncapped: true})
}

func parse(body []byte, p parser) ([]byte, []string, error) {
	if !utf8.Valid(body) {
		return nil, nil, fault.New(fault.Invalid, "invalid_json", "The body is not valid UTF-8.")
	}
	s := scan.New(body, scan.ClientDepth)
	if s.Peek() != '{' {
		if s.Skip() && s.End() {
			return nil, nil, fault.New(fault.Invalid, "invalid_type", "The body has to be a JSON object.")
		}
		return nil, nil, broken(&s)
	}
	p.rest = make([]byte, 0, 256)
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		name := string(s.Name)
		value := s.Value()
		if ok = value != nil; ok {
			ok = p.top(name, value, s.Nul)
		}
	}
	if p.err == nil && !s.End() {
		return nil, nil, broken(&s)
	}
	if p.err == nil {
		p.across()
	}
	if p.err != nil {
		return nil, nil, p.err
	}
	return p.chat(len(body)), p.only, nil
}

// broken is the error of a body that is no JSON.
func broken(s *scan.Scanner) error {
	what := s.Bad
	if s.Pos >= len(s.Data) && !strings.HasPrefix(what, "more") {
		what = "it ends too early"
	}
	return fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON: %s (byte %d).", what, s.Pos)
}

// parser holds what the members of one request add up to.
type parser struct {
	hints    bool // keep what only an engine of this dialect understands
	uncapped bool // max_tokens may be missing
	err      *fault.Error
	only     []string
	seen     []string

	rest     []byte // members of the neutral body, each behind a comma
	system   []byte // the system's message
	messages []byte // neutral messages
	tools    int    // how many
	choosing bool   // tool_choice is there
	begun    bool   // the last message begins the answer

	effort, word string // output_config.effort; what thinking amounts to
}

// refuse notes that a member breaks a rule, unless something did before.
func (p *parser) refuse(path, code, format string, args ...any) bool {
	if p.err == nil {
		p.err = invalid(path, code, format, args...)
	}
	return false
}

// unknown refuses a member that is none of the API.
func (p *parser) unknown(path string) bool {
	return p.refuse(path, "unknown_parameter", "is not a parameter of the Messages API, or not one that is known here.")
}

// unavailable refuses what the API has and OneMind has not.
func (p *parser) unavailable(path string) bool {
	return p.refuse(path, "unsupported_parameter", "is not supported here.")
}

// native notes a member that only an engine of this dialect can carry.
func (p *parser) native(path string) bool {
	p.only = append(p.only, path)
	return true
}

func (p *parser) top(name string, value []byte, nul bool) bool {
	if slices.Contains(p.seen, name) {
		return p.refuse(clip(name), "invalid_value", "is given twice.")
	}
	p.seen = append(p.seen, name)
	if nul {
		return p.refuse(clip(name), "invalid_value", `holds a null character (\u0000).`)
	}
	if string(value) == "null" && name != "model" && name != "messages" && name != "max_tokens" { // SDKs send null for what was not set
		return true
	}
	switch name {
	case "model":
		return p.text(name, value) && p.put(name, value)
	case "max_tokens":
		return p.integer(name, value, 1, 10_000_000) && p.put(name, value)
	case "stream":
		return p.boolean(name, value) && p.put(name, value)
	case "temperature", "top_p":
		return p.fraction(name, value) && p.put(name, value)
	case "top_k":
		return p.integer(name, value, 0, 1<<31) && p.native(name)
	case "messages":
		return p.readMessages(value)
	case "system":
		return p.readSystem(value)
	case "tools":
		return p.readTools(value)
	case "tool_choice":
		return p.readChoice(value)
	case "max_cost", "max_cost_nano_usd", "models", "resumable": // ours; openai.Parse checks them
		return p.put(name, value)
	}
	return p.rare(name, value)
}

// rare reads the members that few requests have.
func (p *parser) rare(name string, value []byte) bool {
	switch name {
	case "stop_sequences":
		return p.stops(value)
	case "thinking":
		return p.thinking(value)
	case "output_config":
		return p.output(value)
	case "metadata":
		return p.object(name, value, func(member string, v []byte) bool {
			if member != "user_id" {
				return p.unknown("metadata." + clip(member))
			}
			return p.text("metadata.user_id", v) && p.put("user", v)
		})
	case "service_tier":
		switch string(value) {
		case `"auto"`:
			return true
		case `"standard_only"`:
			return p.put(name, []byte(`"default"`))
		}
		return p.refuse(name, "invalid_value", "has to be 'auto' or 'standard_only'.")
	case "cache_control":
		return p.cache("", value)
	case "container", "mcp_servers", "inference_geo", "context_management", "speed", "user_profile_id":
		return p.unavailable(name)
	}
	return p.unknown(clip(name))
}

// across checks what members say about each other.
func (p *parser) across() {
	for _, name := range [...]string{"model", "messages", "max_tokens"} {
		if !slices.Contains(p.seen, name) && !(name == "max_tokens" && p.uncapped) {
			p.refuse(name, "missing_required_parameter", "is missing.")
		}
	}
	if p.choosing && p.tools == 0 {
		p.refuse("tool_choice", "invalid_value", "is only allowed when 'tools' are given.")
	}
}

// put writes a member of the neutral body.
func (p *parser) put(name string, value []byte) bool {
	p.rest = append(append(append(p.rest, `,"`...), name...), `":`...)
	p.rest = append(p.rest, value...)
	return true
}

// chat writes the neutral body.
func (p *parser) chat(size int) []byte {
	dst := append(make([]byte, 0, size+size/8+256), `{"messages":[`...)
	dst = append(dst, p.system...)
	if len(p.system) > 0 && len(p.messages) > 0 {
		dst = append(dst, ',')
	}
	dst = append(append(dst, p.messages...), ']')
	dst = append(dst, p.rest...)
	word := p.word
	if word == "" {
		word = p.effort
	}
	if word != "" {
		dst = append(append(append(dst, `,"reasoning_effort":"`...), word...), '"')
	}
	return append(dst, '}')
}

// maxStops is how many stop sequences the neutral form has room for.
const maxStops = 4

func (p *parser) stops(value []byte) bool {
	n := 0
	ok := p.array("stop_sequences", value, func(path string, v []byte) bool {
		n++
		return p.text(path, v)
	})
	if !ok || n == 0 {
		return ok
	}
	if n > maxStops {
		return p.native("stop_sequences")
	}
	return p.put("stop", value)
}

// thinking reads how the model shall think. A budget becomes the nearest word.
func (p *parser) thinking(value []byte) bool {
	var kind, budget []byte
	ok := p.object("thinking", value, func(name string, v []byte) bool {
		switch name {
		case "type":
			kind = v
		case "budget_tokens":
			budget = v
			return p.integer("thinking.budget_tokens", v, budgetLow, 10_000_000)
		case "display": // how thinking is shown; what it says of others' answers is up to them
			return p.text("thinking.display", v)
		default:
			return p.unknown("thinking." + clip(name))
		}
		return true
	})
	if !ok {
		return false
	}
	switch string(kind) {
	case `"disabled"`:
		p.word = "none"
	case `"adaptive"`: // the model decides, as it does when nothing is said
	case `"enabled"`:
		if budget == nil {
			return p.refuse("thinking.budget_tokens", "missing_required_parameter", "is missing.")
		}
		n, _ := strconv.ParseInt(string(budget), 10, 64)
		switch {
		case n <= 2*budgetLow:
			p.word = "low"
		case n <= 2*budgetMedium:
			p.word = "medium"
		default: // most engines have no word beyond
			p.word = "high"
		}
	default:
		return p.refuse("thinking.type", "invalid_value", "has to be one of 'enabled', 'disabled', 'adaptive'.")
	}
	return true
}

func (p *parser) output(value []byte) bool {
	return p.object("output_config", value, func(name string, v []byte) bool {
		switch name {
		case "effort":
			switch string(v) {
			case `"low"`, `"medium"`, `"high"`, `"xhigh"`, `"max"`:
				p.effort = string(v[1 : len(v)-1])
				return true
			}
			return p.refuse("output_config.effort", "invalid_value", "has to be one of 'low', 'medium', 'high', 'xhigh', 'max'.")
		case "format":
			return p.format(v)
		case "task_budget":
			return p.unavailable("output_config.task_budget")
		}
		return p.unknown("output_config." + clip(name))
	})
}

func (p *parser) format(value []byte) bool {
	var kind, schema []byte
	ok := p.object("output_config.format", value, func(name string, v []byte) bool {
		switch name {
		case "type":
			kind = v
		case "schema":
			schema = v
		default:
			return p.unknown("output_config.format." + clip(name))
		}
		return true
	})
	switch {
	case !ok:
		return false
	case string(kind) != `"json_schema"`:
		return p.refuse("output_config.format.type", "invalid_value", "has to be 'json_schema'.")
	case len(schema) == 0 || schema[0] != '{':
		return p.refuse("output_config.format.schema", "invalid_type", "has to be an object.")
	}
	format := append([]byte(`{"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":`), schema...)
	return p.put("response_format", append(format, "}}"...))
}

// The readers of single values. Each refuses what is not of its type or range
// and says which member that was.

// object gives each member of an object that is not null to take.
func (p *parser) object(path string, value []byte, take func(name string, v []byte) bool) bool {
	s := scan.New(value, scan.ClientDepth)
	return p.members(path, &s, take)
}

// members does that for the object that s stands at.
func (p *parser) members(path string, s *scan.Scanner, take func(name string, v []byte) bool) bool {
	if s.Peek() != '{' {
		return p.refuse(path, "invalid_type", "has the wrong type: expected an object.")
	}
	for ok := s.Enter(); ok && s.Member(); {
		name := string(s.Name)
		v := s.Value()
		ok = string(v) == "null" || take(name, v)
	}
	return p.err == nil
}

// array gives each element of an array to take, with its path.
func (p *parser) array(path string, value []byte, take func(path string, v []byte) bool) bool {
	s := scan.New(value, scan.ClientDepth)
	if s.Peek() != '[' {
		return p.refuse(path, "invalid_type", "has the wrong type: expected an array.")
	}
	for ok, n := s.Enter(), 0; ok; n++ {
		if ok = s.Element(); ok {
			ok = take(path+"["+strconv.Itoa(n)+"]", s.Value())
		}
	}
	return p.err == nil
}

func (p *parser) text(path string, v []byte) bool {
	if len(v) == 0 || v[0] != '"' {
		return p.refuse(path, "invalid_type", "has the wrong type: expected a string.")
	}
	return true
}

func (p *parser) boolean(path string, v []byte) bool {
	if string(v) != "true" && string(v) != "false" {
		return p.refuse(path, "invalid_type", "has the wrong type: expected a boolean.")
	}
	return true
}

func (p *parser) integer(path string, v []byte, low, high int64) bool {
	if len(v) == 0 || !numeric(v) || bytes.ContainsAny(v, ".eE") {
		return p.refuse(path, "invalid_type", "has the wrong type: expected an integer.")
	}
	if n, err := strconv.ParseInt(string(v), 10, 64); err != nil || n < low || n > high {
		return p.refuse(path, "invalid_value", "has to be from %d to %d, but is %s.", low, high, clip(string(v)))
	}
	return true
}

// fraction reads a number from 0 to 1.
func (p *parser) fraction(path string, v []byte) bool {
	if len(v) == 0 || !numeric(v) {
		return p.refuse(path, "invalid_type", "has the wrong type: expected a number.")
	}
	if f, err := strconv.ParseFloat(string(v), 64); err != nil || f < 0 || f > 1 {
		return p.refuse(path, "invalid_value", "has to be from 0 to 1, but is %s.", clip(string(v)))
	}
	return true
}

// cache checks a cache_control, a hint that costs: an entry that lives an hour
// is written at another price, which no catalog has.
func (p *parser) cache(path string, v []byte) bool {
	if path != "" {
		path += "."
	}
	path += "cache_control"
	if len(v) == 0 || v[0] != '{' {
		return p.refuse(path, "invalid_type", "has the wrong type: expected an object.")
	}
	if string(scan.Find(v, "type")) != `"ephemeral"` {
		return p.refuse(path+".type", "invalid_value", "has to be 'ephemeral'.")
	}
	if long(v) {
		return p.refuse(path+".ttl", "unsupported_parameter", "can be '5m' only.")
	}
	return true
}

// clip bounds a caller's text that is said back to it.
func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "..."
	}
	return s
}

// decoded gives the text of a JSON string.
func decoded(quoted []byte) string {
	if len(quoted) < 2 || quoted[0] != '"' {
		return ""
	}
	return llm.Unescape(quoted[1 : len(quoted)-1])
}
