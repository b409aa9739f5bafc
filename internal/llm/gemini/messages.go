package gemini

import (
	"bytes"
	"strconv"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// message is one message of the conversation, its members as they stand.
type message struct {
	number  int
	role    string
	content []byte
	calls   []byte
	answers []byte // tool_call_id
	refusal []byte
	images  []byte
	extra   []byte // extra_content
}

func (m *message) path(member string) string {
	return "messages[" + strconv.Itoa(m.number) + "]." + member
}

// messages sends the conversation: what the system says apart, and everything else
// in turns of the user and the model.
func (o *outward) messages(value []byte) error {
	s := scan.New(value, scan.ClientDepth)
	if s.Peek() != '[' {
		return invalid("messages", "has to be an array.")
	}
	n := 0
	for ok := s.Enter(); ok; n++ {
		if ok = s.Element(); !ok {
			break
		}
		m := message{number: n}
		if err := members(s.Value(), func(name, value []byte) error { return o.field(&m, name, value) }); err != nil {
			return err
		}
		if err := o.message(&m); err != nil {
			return err
		}
	}
	if o.turns == 0 {
		return invalid("messages", "has to hold a message that is not the system's for this model.")
	}
	return nil
}

func (o *outward) field(m *message, name, value []byte) error {
	switch string(name) {
	case "role":
		m.role = string(str(value))
	case "content":
		m.content = value
	case "tool_calls":
		m.calls = value
	case "tool_call_id":
		m.answers = str(value)
	case "refusal":
		m.refusal = str(value)
	case "images":
		m.images = value
	case "extra_content":
		m.extra = value
	case "function_call":
		return unsupported(m.path("function_call"))
	case "audio":
		return unsupported(m.path("audio"))
	default: // name, reasoning_content, thinking_blocks of another model, annotations
		if string(value) != "[]" && string(value) != `""` {
			o.change("messages[]."+clip(string(name)), value, nil, "dialect")
		}
	}
	return nil
}

func (o *outward) message(m *message) error {
	switch m.role {
	case "system", "developer":
		return o.instruct(m)
	case "user":
		o.turn("user")
		return o.parts(m)
	case "assistant":
		o.turn("model")
		return o.spoken(m)
	case "tool":
		o.turn("user")
		return o.respond(m)
	}
	return unsupported(m.path("role"))
}

// turn opens a turn of a role; what the same role says next belongs to it.
func (o *outward) turn(role string) {
	if o.role == role {
		return
	}
	if o.role != "" {
		o.dst = append(o.dst, "]},"...)
	}
	o.role = role
	o.turns++
	o.dst = append(append(append(o.dst, `{"role":"`...), role...), `","parts":[`...)
}

// part begins a part of the turn.
func (o *outward) part() {
	if o.dst[len(o.dst)-1] != '[' {
		o.dst = append(o.dst, ',')
	}
}

// instruct adds to the system's instruction, which has one place only.
func (o *outward) instruct(m *message) error {
	if o.turns > 0 {
		o.change("messages[].role", []byte(`"`+m.role+`"`), []byte(`"systemInstruction"`), "dialect")
	}
	say := func(raw []byte) {
		if len(raw) == 0 {
			return
		}
		if len(o.system) > 0 {
			o.system = append(o.system, ',')
		}
		o.system = append(append(append(o.system, `{"text":"`...), raw...), `"}`...)
	}
	if m.content[0] == '"' {
		say(str(m.content))
		return nil
	}
	for i, part := range elements(m.content) {
		if string(str(scan.Find(part, "type"))) != "text" {
			return unsupported(m.path("content[" + strconv.Itoa(i) + "].type"))
		}
		say(str(scan.Find(part, "text")))
	}
	return nil
}

// parts sends a content: a string or a list of parts.
func (o *outward) parts(m *message) error {
	if len(m.content) > 0 && m.content[0] == '"' {
		o.say(str(m.content), nil)
		return nil
	}
	for i, raw := range elements(m.content) {
		p := contentPart{outward: o, message: m, number: i}
		if err := p.send(raw); err != nil {
			return err
		}
	}
	return nil
}

// say sends a text.
func (o *outward) say(raw, signature []byte) {
	o.part()
	o.dst = append(append(append(o.dst, `{"text":"`...), raw...), '"')
	o.sign(signature)
	o.dst = append(o.dst, '}')
}

// sign adds what the model has to see again of its thoughts.
func (o *outward) sign(signature []byte) {
	if len(signature) > 0 {
		o.dst = append(append(append(o.dst, `,"thoughtSignature":"`...), signature...), '"')
	}
}

// signature finds extra_content.google.thought_signature.
func signature(extra []byte) []byte {
	return str(scan.Find(scan.Find(extra, "google"), "thought_signature"))
}

// spoken sends what the assistant said before.
func (o *outward) spoken(m *message) error {
	signed := signature(m.extra)
	switch {
	case len(m.content) == 0 && len(m.refusal) > 0:
		o.say(m.refusal, nil)
	case len(m.content) > 0 && m.content[0] == '"':
		if raw := str(m.content); len(raw) > 0 || len(signed) > 0 || len(m.calls) == 0 && len(m.images) == 0 {
			o.say(raw, signed)
		}
	default:
		if err := o.parts(m); err != nil {
			return err
		}
		if len(signed) > 0 {
			o.say(nil, signed)
		}
	}
	for i, image := range elements(m.images) {
		path := m.path("images[" + strconv.Itoa(i) + "]")
		if err := o.media(scan.Find(scan.Find(image, "image_url"), "url"), path+".image_url.url"); err != nil {
			return err
		}
	}
	for i, call := range elements(m.calls) {
		if err := o.call(m, i, call); err != nil {
			return err
		}
	}
	return nil
}

// unsigned stands in place of the signature of a call that another model made.
// Gemini 3 rejects a turn whose first call has none; this value is documented for
// histories that come from elsewhere (ai.google.dev/gemini-api/docs/thought-signatures).
const unsigned = "skip_thought_signature_validator"

// call sends a call that the assistant made.
func (o *outward) call(m *message, i int, call []byte) error {
	path := func(member string) string { return m.path("tool_calls[" + strconv.Itoa(i) + "]." + member) }
	function := scan.Find(call, "function")
	if kind := scan.Find(call, "type"); function == nil || kind != nil && string(kind) != `"function"` {
		return unsupported(path("type"))
	}
	name := str(scan.Find(function, "name"))
	if len(name) == 0 {
		return invalid(path("function.name"), "is missing.")
	}
	args := scan.Find(function, "arguments")
	if len(args) > 0 && args[0] == '"' {
		args = bytes.TrimSpace(plain(str(args)))
	}
	if len(args) == 0 {
		args = []byte("{}")
	}
	if args[0] != '{' || !scan.Valid(args, scan.ClientDepth) {
		return invalid(path("function.arguments"), "has to be a JSON object for this model.")
	}
	o.part()
	o.dst = append(append(o.dst, `{"functionCall":{"name":"`...), name...)
	o.dst = append(append(o.dst, `","args":`...), args...)
	if id := str(scan.Find(call, "id")); len(id) > 0 {
		o.dst = append(append(append(o.dst, `,"id":"`...), id...), '"')
		if o.names == nil {
			o.names = map[string][]byte{}
		}
		o.names[llm.Unescape(id)] = name
	}
	o.dst = append(o.dst, '}')
	signed := signature(scan.Find(call, "extra_content"))
	if len(signed) == 0 && i == 0 && o.to.Rules.Reasoning == "level" {
		signed = []byte(unsigned)
	}
	o.sign(signed)
	o.dst = append(o.dst, '}')
	return nil
}

// respond sends a tool's result. The dialect names the function it came from, and
// takes an object only.
func (o *outward) respond(m *message) error {
	name, known := o.names[llm.Unescape(m.answers)]
	if !known {
		return invalid(m.path("tool_call_id"), "answers no call of the assistant before it.")
	}
	raw := str(m.content)
	if len(m.content) > 0 && m.content[0] == '[' {
		raw = nil
		for i, part := range elements(m.content) {
			if string(str(scan.Find(part, "type"))) != "text" {
				return unsupported(m.path("content[" + strconv.Itoa(i) + "].type"))
			}
			raw = append(raw, str(scan.Find(part, "text"))...)
		}
	}
	o.part()
	o.dst = append(append(o.dst, `{"functionResponse":{"name":"`...), name...)
	o.dst = append(append(append(o.dst, `","id":"`...), m.answers...), `","response":`...)
	if object := bytes.TrimSpace(plain(raw)); len(object) > 0 && object[0] == '{' && scan.Valid(object, scan.ClientDepth) {
		o.dst = append(o.dst, object...)
	} else {
		o.dst = append(append(append(o.dst, `{"result":"`...), raw...), `"}`...)
	}
	o.dst = append(o.dst, "}}"...)
	return nil
}
