package anthropic

import (
	"bytes"
	"slices"
	"strconv"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// translation makes a Messages body of a neutral one, whose grammar was checked
// before. What cannot be said in this dialect is refused by name.
type translation struct {
	to      *llm.Target
	given   given
	changes []llm.Change
	dst     []byte   // the body
	set     []string // its top-level members
	err     *fault.Error

	turns conversation
	think thinking
}

// given holds the caller's members that are written together with others, as JSON.
type given struct {
	messages, tools, toolChoice, parallel []byte
	temperature, topP, topK, stop         []byte
	effort, format                        []byte
	user, safety, metadata, tier          []byte
}

// outbound writes the body a provider gets for a neutral request.
func outbound(to *llm.Target, req *llm.Request) ([]byte, []llm.Change, error) {
	t := translation{to: to, dst: make([]byte, 0, len(req.Body)+512)}
	t.read(req.Body)
	t.turns.translation = &t
	if t.err == nil {
		t.write(req)
	}
	if t.err != nil {
		return nil, nil, t.err
	}
	return t.dst, t.changes, nil
}

// refuse notes the first thing that cannot be carried.
func (t *translation) refuse(path string) bool {
	if t.err == nil {
		t.err = unsupported(path)
	}
	return false
}

// wrong notes a value that no provider of this dialect can read.
func (t *translation) wrong(path, format string, args ...any) bool {
	if t.err == nil {
		t.err = invalid(path, "invalid_value", format, args...)
	}
	return false
}

func unsupported(path string) *fault.Error {
	err := fault.New(fault.Invalid, "unsupported_parameter", "'%s' is not supported by this model.", path)
	err.Field = path
	return err
}

// change notes what is not sent as it was asked.
func (t *translation) change(name string, asked, sent []byte, rule string) {
	t.changes = append(t.changes, llm.Change{Name: name, Asked: bounded(asked), Sent: bounded(sent), Rule: rule})
}

// bounded gives a value as a receipt has it: short ones are said in full.
func bounded(value []byte) string {
	if len(value) > 256 {
		return `"..."`
	}
	return string(value)
}

// read collects the members of the request.
func (t *translation) read(body []byte) {
	s := scan.New(body, scan.ClientDepth)
	if s.Peek() != '{' {
		t.err = fault.New(fault.Invalid, "invalid_json", "The body has to be a JSON object.")
		return
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		name := s.Name
		value := s.Value()
		if ok = s.Bad == ""; ok && string(value) != "null" && !ours(name) {
			ok = t.member(string(name), value)
		}
	}
	if t.err == nil && !s.End() {
		t.err = fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON: %s (byte %d).", s.Bad, s.Pos)
	}
}

// ours reports whether a member is never passed on: it is written anew, or
// between the caller and us.
func ours(name []byte) bool {
	switch string(name) {
	case "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_cost", "max_cost_nano_usd", "models", "resumable":
		return true
	}
	return false
}

func (t *translation) member(name string, value []byte) bool {
	if slices.Contains(t.to.Rules.Refuse, name) {
		if usual(name, value) {
			return true
		}
		return t.refuse(name)
	}
	if slices.Contains(t.to.Rules.Drop, name) {
		t.change(name, value, nil, "drop")
		return true
	}
	if to := t.given.member(name); to != nil {
		*to = value
		return true
	}
	switch {
	case usual(name, value):
		t.change(name, value, nil, "dialect")
		return true
	case name == "prompt_cache_key" || name == "prompt_cache_retention": // hints; this dialect caches by cache_control
		t.change(name, value, nil, "dialect")
		return true
	}
	return t.refuse(name)
}

// member gives where a member is kept, nil for one this dialect has no word for.
func (g *given) member(name string) *[]byte {
	switch name {
	case "messages":
		return &g.messages
	case "tools":
		return &g.tools
	case "tool_choice":
		return &g.toolChoice
	case "parallel_tool_calls":
		return &g.parallel
	case "temperature":
		return &g.temperature
	case "top_p":
		return &g.topP
	case "top_k":
		return &g.topK
	case "stop":
		return &g.stop
	case "reasoning_effort":
		return &g.effort
	case "response_format":
		return &g.format
	case "user":
		return &g.user
	case "safety_identifier":
		return &g.safety
	case "metadata":
		return &g.metadata
	case "service_tier":
		return &g.tier
	}
	return nil
}

// usual reports whether a value asks for what happens anyway.
func usual(name string, value []byte) bool {
	switch name {
	case "n":
		return string(value) == "1"
	case "presence_penalty", "frequency_penalty", "top_logprobs":
		f, err := strconv.ParseFloat(string(value), 64)
		return err == nil && f == 0
	case "logprobs", "store":
		return string(value) == "false"
	case "logit_bias", "functions":
		return empty(value)
	case "verbosity":
		return string(value) == `"medium"`
	case "modalities":
		return string(bytes.Join(bytes.Fields(value), nil)) == `["text"]`
	}
	return false
}

// empty reports whether an object or an array holds nothing.
func empty(value []byte) bool {
	inner := bytes.TrimSpace(value)
	return len(inner) >= 2 && len(bytes.TrimSpace(inner[1:len(inner)-1])) == 0
}

// write writes the body.
func (t *translation) write(req *llm.Request) {
	t.dst = llm.AppendQuoted(append(t.dst, `{"model":`...), t.to.Upstream)
	t.dst = appendInt(t.dst, `,"max_tokens":`, t.to.Cap)
	if req.Stream {
		t.dst = append(t.dst, `,"stream":true`...)
	}
	t.set = append(t.set, "messages")
	t.dst = append(t.dst, `,"messages":[`...) // straight into the body: they are nearly all of it
	if t.turns.read(t.given.messages); t.err == nil {
		t.turns.end()
	}
	if t.err != nil {
		return
	}
	t.dst = append(t.dst, ']')
	if len(t.turns.system) > 0 {
		t.put("system", '[', t.turns.system, "]")
	}
	hasTools := t.tools()
	forced := t.toolChoice(hasTools)
	t.output()
	if t.thinks(forced) {
		t.thinkingSamples()
	}
	t.samples()
	t.stops()
	t.about()
	t.dst = append(appendSet(t.dst, t.to, t.set), '}')
}

// put writes a member of the body: an opening byte if there is one, a value, and
// what closes it.
func (t *translation) put(name string, opening byte, value []byte, closing string) {
	t.set = append(t.set, name)
	t.dst = append(append(append(t.dst, `,"`...), name...), `":`...)
	if opening != 0 {
		t.dst = append(t.dst, opening)
	}
	t.dst = append(append(t.dst, value...), closing...)
}

// samples writes how the next token is drawn.
func (t *translation) samples() {
	for _, p := range [...]struct {
		name  string
		value []byte
	}{{"temperature", t.given.temperature}, {"top_p", t.given.topP}, {"top_k", t.given.topK}} {
		if p.value != nil {
			sent := clamped(t.to, p.name, p.value)
			if string(sent) != string(p.value) {
				t.change(p.name, p.value, sent, "clamp")
			}
			t.put(p.name, 0, sent, "")
		}
	}
}

// clamped brings a number into its bounds: the rules' own, or the dialect's.
func clamped(to *llm.Target, name string, value []byte) []byte {
	bounds, ok := to.Rules.Clamp[name]
	if !ok {
		if name != "temperature" {
			return value
		}
		bounds = llm.Range{Min: 0, Max: 1} // the API's reference; OpenAI's goes to 2
	}
	f, err := strconv.ParseFloat(string(value), 64)
	switch {
	case err != nil:
		return value
	case f < bounds.Min:
		return strconv.AppendFloat(nil, bounds.Min, 'g', -1, 64)
	case f > bounds.Max:
		return strconv.AppendFloat(nil, bounds.Max, 'g', -1, 64)
	}
	return value
}

// stops writes the stop sequences. Those without a visible character are an
// error at Anthropic, which is its to tell.
func (t *translation) stops() {
	switch v := t.given.stop; {
	case v == nil, v[0] == '[' && empty(v):
	case v[0] == '[':
		t.put("stop_sequences", 0, v, "")
	default:
		t.put("stop_sequences", '[', v, "]")
	}
}

// about writes what the request says about itself: whose it is, and its tier.
func (t *translation) about() {
	user := t.given.user
	if user == nil {
		user = t.given.safety // the same under its newer name
	} else if t.given.safety != nil && string(t.given.safety) != string(user) {
		t.change("safety_identifier", t.given.safety, nil, "dialect")
	}
	if m := t.given.metadata; m != nil && !empty(m) {
		if id := scan.Find(m, "user_id"); id == nil || user != nil || members(m) > 1 {
			t.refuse("metadata")
		} else {
			user = id
		}
	}
	if user != nil {
		t.put("metadata", 0, append([]byte(`{"user_id":`), user...), "}")
	}
	switch string(t.given.tier) {
	case "", `"auto"`: // auto is what happens anyway
	case `"default"`:
		t.put("service_tier", 0, []byte(`"standard_only"`), "")
	default:
		t.refuse("service_tier")
	}
}

// members counts an object's members.
func members(object []byte) (n int) {
	s := scan.New(object, scan.ClientDepth)
	if s.Peek() != '{' {
		return 0
	}
	for ok := s.Enter(); ok && s.Member(); n++ {
		ok = s.Skip()
	}
	return n
}

// output writes output_config: the form of the answer and the effort.
func (t *translation) output() {
	var config []byte
	if f := t.given.format; f != nil {
		switch string(scan.Find(f, "type")) {
		case `"text"`:
		case `"json_schema"`:
			schema := scan.Find(scan.Find(f, "json_schema"), "schema")
			if len(schema) == 0 || schema[0] != '{' {
				t.wrong("response_format.json_schema.schema", "is missing.")
			}
			config = append(append(append(config, `"format":{"type":"json_schema","schema":`...), schema...), '}')
		default:
			t.refuse("response_format")
		}
	}
	if word := t.effort(); word != "" {
		config = llm.AppendQuoted(append(comma(config), `"effort":`...), word)
	}
	if config != nil {
		t.put("output_config", '{', config, "}")
	}
}

// appendSet adds the members that the rules set and the body does not have.
func appendSet(dst []byte, to *llm.Target, given []string) []byte {
	names := make([]string, 0, 8)
	for name, value := range to.Rules.Set {
		if !ours([]byte(name)) && !slices.Contains(given, name) && scan.Valid([]byte(value), scan.ClientDepth) {
			names = append(names, name)
		}
	}
	slices.Sort(names) // the same request is the same bytes: providers cache by prefix
	for _, name := range names {
		dst = append(llm.AppendQuoted(append(dst, ','), name), ':')
		dst = append(dst, to.Rules.Set[name]...)
	}
	return dst
}
