package openai

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// readMessages reads the conversation.
func (p *parser) readMessages() bool {
	n := 0
	var m message // one for all: it is on the heap
	for ok := p.into("messages", '['); ok; n++ {
		if ok = p.s.Element(); !ok {
			break
		}
		if n == maxMessages {
			return p.refuse("messages", "invalid_value", "can hold %d messages at most.", maxMessages)
		}
		p.weight.whole += perMessage
		m = message{parser: p, number: n}
		ok = m.read()
	}
	if p.done() && n == 0 {
		return p.refuse("messages", "invalid_value", "is empty: give at least one message.")
	}
	return p.done()
}

// message reads one message.
type message struct {
	*parser
	number           int
	role             string
	hasRole          bool
	content, calls   bool // there is a content that is not null; there are tool calls
	nothing, answers bool // the content is null; there is a tool_call_id
	refusal          bool // there is a refusal that is not null
}

// path names a member of the message. It is built for errors only.
func (m *message) path(member string) string {
	p := "messages[" + strconv.Itoa(m.number) + "]"
	if member != "" {
		p += "." + member
	}
	return p
}

func (m *message) read() bool {
	if m.s.Peek() != '{' {
		return m.wrongType(m.path(""), "an object")
	}
	for ok := m.s.Enter(); ok; {
		if ok = m.s.Member(); ok {
			ok = m.member()
		}
	}
	return m.done() && m.complete()
}

func (m *message) member() bool {
	name := m.s.Name
	switch string(name) {
	case "role":
		if m.hasRole {
			return m.refuse(m.path("role"), "invalid_value", "is given twice.")
		}
		m.hasRole = true
		return m.readRole()
	case "content":
		if m.content || m.nothing {
			return m.refuse(m.path("content"), "invalid_value", "is given twice.")
		}
		return m.readContent()
	case "tool_calls":
		return m.readCalls()
	case "tool_call_id":
		m.answers = true
		return m.s.Null() || m.weighed("tool_call_id")
	case "name":
		return m.s.Null() || m.weighed("name")
	case "refusal":
		if m.s.Null() {
			return true
		}
		m.refusal = true
		return m.weighed("refusal")
	case "images": // what an engine drew in an earlier turn
		return m.readImages()
	case "audio":
		if m.s.Null() { // SDKs send an assistant's message back as they got it
			return true
		}
		return m.refuse(m.path("audio"), "unsupported_parameter", "is not supported here.")
	case "function_call":
		m.calls = m.s.Peek() != 'n'
	}
	return m.passed(string(name))
}

// weighed reads a string of the message.
func (m *message) weighed(member string) bool {
	if m.s.Peek() != '"' {
		return m.wrongType(m.path(member), "a string")
	}
	raw, ok := m.s.Text()
	m.weight.text(raw)
	if ok && m.s.Nul {
		return m.refuse(m.path(member), "invalid_value", `holds a null character (\u0000).`)
	}
	return ok
}

// passed weighs a member that only the provider understands, such as
// reasoning_content or cache_control.
func (m *message) passed(member string) bool {
	m.weight.text(m.s.Value())
	if m.s.Nul {
		return m.refuse(m.path(clip(member)), "invalid_value", `holds a null character (\u0000).`)
	}
	return m.s.Bad == ""
}

func (m *message) readRole() bool {
	if m.s.Peek() != '"' {
		return m.wrongType(m.path("role"), "a string")
	}
	raw, ok := m.s.Text()
	if !ok {
		return false
	}
	for _, role := range [...]string{"user", "assistant", "system", "developer", "tool", "function"} {
		if string(raw) == role {
			m.role = role
			return true
		}
	}
	return m.refuse(m.path("role"), "invalid_value", "has to be one of 'developer', 'system', 'user', 'assistant', 'tool', 'function', but is '%s'.", clip(string(raw)))
}

// complete checks what the members of the message say about each other.
func (m *message) complete() bool {
	switch {
	case m.role == "":
		return m.refuse(m.path("role"), "missing_required_parameter", "is missing.")
	case m.calls && m.role != "assistant":
		return m.refuse(m.path("tool_calls"), "invalid_value", "is for messages of the assistant only.")
	case m.nothing && !(m.role == "assistant" && (m.calls || m.refusal)) && m.role != "function":
		return m.refuse(m.path("content"), "invalid_type", "can be null only in a message of the assistant that has tool calls or a refusal.")
	case !m.content && !m.nothing && !m.calls:
		return m.refuse(m.path("content"), "missing_required_parameter", "is missing.")
	case m.role == "tool" && !m.answers:
		return m.refuse(m.path("tool_call_id"), "missing_required_parameter", "is missing.")
	}
	return true
}

func (m *message) readContent() bool {
	switch m.s.Peek() {
	case 'n':
		m.nothing = true
		return m.s.Null()
	case '"':
		m.content = true
		return m.weighed("content")
	case '[':
		m.content = true
		n := 0
		for ok := m.s.Enter(); ok; n++ {
			if ok = m.s.Element(); !ok {
				break
			}
			part := part{message: m, number: n}
			ok = part.read()
		}
		if m.done() && n == 0 {
			return m.refuse(m.path("content"), "invalid_value", "is an empty array.")
		}
		return m.done()
	}
	return m.wrongType(m.path("content"), "a string or an array of parts")
}

func (m *message) readCalls() bool {
	if m.s.Null() {
		return true
	}
	if m.s.Peek() != '[' {
		return m.wrongType(m.path("tool_calls"), "an array")
	}
	for ok := m.s.Enter(); ok; {
		if ok = m.s.Element(); !ok {
			break
		}
		m.calls = true
		if m.s.Peek() != '{' {
			return m.wrongType(m.path("tool_calls"), "an array of objects")
		}
		m.weight.whole += perMessage
		ok = m.passed("tool_calls")
	}
	return m.done()
}

// readImages weighs images by the piece: their base64 is no text to a model.
func (m *message) readImages() bool {
	if m.s.Peek() != '[' {
		return m.passed("images")
	}
	for ok := m.s.Enter(); ok; {
		if ok = m.s.Element(); ok {
			m.weight.whole += perImage
			ok = m.s.Skip()
		}
	}
	if m.s.Nul {
		return m.refuse(m.path("images"), "invalid_value", `holds a null character (\u0000).`)
	}
	return m.done()
}

// part reads one part of a message's content. Its members may come in any
// order, so the payload is read after the object was passed once.
type part struct {
	*message
	number int
	kind   string
}

func (p *part) path(member string) string {
	path := p.message.path("content") + "[" + strconv.Itoa(p.number) + "]"
	if member != "" {
		path += "." + member
	}
	return path
}

func (p *part) read() bool {
	if p.s.Peek() != '{' {
		return p.wrongType(p.path(""), "an object")
	}
	var payload scan.Scanner // stands at the value of the member named as the type
	var named string
	for ok := p.s.Enter(); ok; {
		if ok = p.s.Member(); !ok {
			break
		}
		switch name := string(p.s.Name); name {
		case "type":
			ok = p.text(p.path("type"), &p.kind)
		case "text", "image_url", "input_audio", "file", "refusal":
			if named != "" {
				return p.refuse(p.path(name), "invalid_value", "does not belong here: a part has one content.")
			}
			named, payload = name, p.s
			ok = p.s.Skip()
		default: // such as cache_control
			p.weight.text(p.s.Value())
			ok = p.s.Bad == ""
		}
	}
	if p.s.Nul {
		return p.refuse(p.path(named), "invalid_value", `holds a null character (\u0000).`)
	}
	if !p.done() {
		return false
	}
	after := p.s
	if !p.known(named) {
		return false
	}
	p.s = payload
	if !p.payload() {
		return false
	}
	p.s = after
	return true
}

// known checks the part's type against what it holds.
func (p *part) known(named string) bool {
	switch p.kind {
	case "":
		return p.refuse(p.path("type"), "missing_required_parameter", "is missing.")
	case "text", "image_url", "input_audio", "file", "refusal":
		if named != p.kind {
			return p.refuse(p.path(p.kind), "missing_required_parameter", "is missing.")
		}
		return true
	}
	return p.refuse(p.path("type"), "invalid_value", "has to be one of 'text', 'image_url', 'input_audio', 'file', 'refusal', but is '%s'.", clip(p.kind))
}

func (p *part) payload() bool {
	switch p.kind {
	case "image_url":
		p.req.Needs |= llm.Vision
		return p.image()
	case "input_audio":
		p.req.Needs |= llm.Audio
		return p.fields("input_audio", func(name string, raw []byte) bool {
			if name == "data" {
				p.weight.whole += int64(len(raw))/bytesOfAudio + 1
			}
			return true
		}, "data", "format")
	case "file":
		p.req.Needs |= llm.Documents
		return p.file()
	}
	raw, ok := p.raw(p.path(p.kind))
	p.weight.text(raw)
	return ok
}

func (p *part) image() bool {
	tokens := int64(perImage)
	ok := p.fields("image_url", func(name string, raw []byte) bool {
		switch name {
		case "url":
			url := raw
			if bytes.IndexByte(url, '\\') >= 0 { // "https:\/\/" is a way to write it
				url = llm.AppendUnescaped(nil, raw)
			}
			if !hasPrefixFold(url, "https://") && !hasPrefixFold(url, "data:") {
				return p.refuse(p.path("image_url.url"), "invalid_value", "has to be an https: or a data: URL.")
			}
		case "detail":
			if string(raw) == "low" {
				tokens = perImageLow
			}
		}
		return true
	}, "url")
	p.weight.whole += tokens
	return ok
}

func (p *part) file() bool {
	data := false
	ok := p.fields("file", func(name string, raw []byte) bool {
		switch name {
		case "file_id": // it would be a file of our own account, whoever put it there
			return p.refuse(p.path("file.file_id"), "unsupported_parameter", "is not supported here; give 'file_data'.")
		case "file_data":
			data = true
			p.weight.whole += perFile
			if bytes.HasPrefix(raw, []byte("data:text/")) {
				p.weight.whole += int64(len(raw)) / 2
			} else {
				p.weight.whole += int64(len(raw)) / bytesPerFile
			}
		default:
			p.weight.text(raw)
		}
		return true
	})
	if ok && !data {
		return p.refuse(p.path("file.file_data"), "missing_required_parameter", "is missing.")
	}
	return ok
}

// fields gives each string of the part's object to check; required ones have to be there.
func (p *part) fields(object string, check func(name string, raw []byte) bool, required ...string) bool {
	if p.s.Peek() != '{' {
		return p.wrongType(p.path(object), "an object")
	}
	var found []string
	for ok := p.s.Enter(); ok; {
		if ok = p.s.Member(); !ok {
			break
		}
		name := string(p.s.Name)
		if p.s.Peek() != '"' {
			if p.s.Null() {
				continue
			}
			return p.wrongType(p.path(object+"."+clip(name)), "a string")
		}
		raw, good := p.s.Text()
		ok = good && check(name, raw)
		found = append(found, name)
	}
	if !p.done() {
		return false
	}
	for _, want := range required {
		if !slices.Contains(found, want) {
			return p.refuse(p.path(object+"."+want), "missing_required_parameter", "is missing.")
		}
	}
	return true
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && strings.EqualFold(string(b[:len(prefix)]), prefix)
}
