package anthropic

import (
	"bytes"
	"slices"
	"strconv"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// passed writes the body a provider gets for a request that its caller wrote in
// this dialect: its bytes, but for the model, the cap, the stream flag, our own
// members, nulls, and what the rules say. Two things would be refused for
// reasons the caller cannot know, and are put right: a thinking budget above a
// cap that is ours, and thinking of other engines, which nobody signed.
func passed(to *llm.Target, req *llm.Request) ([]byte, []llm.Change, error) {
	p := pass{to: to, dst: make([]byte, 0, len(req.Native.Body)+128)}
	p.dst = llm.AppendQuoted(append(p.dst, `{"model":`...), to.Upstream)
	p.dst = appendInt(p.dst, `,"max_tokens":`, to.Cap)
	if req.Stream {
		p.dst = append(p.dst, `,"stream":true`...)
	}
	s := scan.New(req.Native.Body, scan.ClientDepth)
	if s.Peek() != '{' {
		return nil, nil, fault.New(fault.Invalid, "invalid_json", "The body has to be a JSON object.")
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		name := s.Name
		value := s.Value()
		if ok = value != nil; !ok || string(value) == "null" || ours(name) {
			continue
		}
		if err := p.member(string(name), value); err != nil {
			return nil, nil, err
		}
	}
	if !s.End() {
		return nil, nil, fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON: %s (byte %d).", s.Bad, s.Pos)
	}
	p.think()
	return append(appendSet(p.dst, to, p.set), '}'), p.changes, nil
}

// pass is a native request on its way.
type pass struct {
	to      *llm.Target
	dst     []byte
	set     []string
	changes []llm.Change
	thought []byte // the value of thinking
	strange bool   // thinking of another engine was left out
}

func (p *pass) member(name string, value []byte) error {
	if slices.Contains(p.to.Rules.Refuse, name) {
		return unsupported(name)
	}
	sent, rule := value, ""
	switch {
	case slices.Contains(p.to.Rules.Drop, name):
		sent, rule = nil, "drop"
	case name == "thinking":
		p.thought = value
		return nil
	case name == "messages":
		p.set = append(p.set, name)
		p.dst = append(p.dst, `,"messages":`...)
		p.dst = p.messages(value)
		return nil
	case numeric(value):
		sent, rule = clamped(p.to, name, value), "clamp"
	}
	p.put(name, value, sent, rule)
	return nil
}

// put writes a member, and notes how it differs from what was asked.
func (p *pass) put(name string, asked, sent []byte, rule string) {
	if !bytes.Equal(sent, asked) {
		p.changes = append(p.changes, llm.Change{Name: name, Asked: bounded(asked), Sent: bounded(sent), Rule: rule})
	}
	if sent != nil {
		p.set = append(p.set, name)
		p.dst = append(llm.AppendQuoted(append(p.dst, ','), name), ':')
		p.dst = append(p.dst, sent...)
	}
}

// think writes thinking. With a fixed budget Anthropic wants the thinking of
// the turn that goes on, which there is none of after another engine's.
func (p *pass) think() {
	switch {
	case p.thought == nil:
	case p.strange && scan.Find(p.thought, "budget_tokens") != nil:
		p.put("thinking", p.thought, nil, "dialect")
	default:
		p.put("thinking", p.thought, budgeted(p.thought, p.to.Cap), "hold")
	}
}

func numeric(value []byte) bool { return value[0] == '-' || '0' <= value[0] && value[0] <= '9' }

// budgeted bounds a thinking budget, which has to be below the cap and to leave
// room for the answer: nil where the cap leaves no room to think.
func budgeted(value []byte, limit int64) []byte {
	raw := scan.Find(value, "budget_tokens")
	budget, err := strconv.ParseInt(string(raw), 10, 64)
	switch {
	case err != nil || budget < limit:
		return value
	case limit <= budgetLow:
		return nil
	}
	s := scan.New(value, scan.ClientDepth)
	s.Peek()
	for ok := s.Enter(); ok && s.Member(); {
		name := string(s.Name)
		v := s.Value()
		if name == "budget_tokens" {
			start := s.Pos - len(v)
			out := strconv.AppendInt(bytes.Clone(value[:start]), roomy(limit), 10)
			return append(out, value[s.Pos:]...)
		}
	}
	return value
}

// roomy is the largest thinking budget under a cap above budgetLow: four fifths.
func roomy(limit int64) int64 { return max(limit/5*4, budgetLow) }

// messages copies the messages without thinking that has no signature. It is
// what our own Encoder gave the caller for the reasoning of another engine.
func (p *pass) messages(value []byte) []byte {
	if !bytes.Contains(value, []byte(`"thinking"`)) || !scanUnsigned(value) {
		return append(p.dst, value...)
	}
	return editElements(p.dst, value, func(dst, message []byte, n int) []byte {
		return editMember(dst, message, "content", func(dst, content []byte) []byte {
			if content[0] != '[' {
				return append(dst, content...)
			}
			return editElements(dst, content, func(dst, block []byte, i int) []byte {
				if !unsigned(block) {
					return append(dst, block...)
				}
				name := "messages[" + strconv.Itoa(n) + "].content[" + strconv.Itoa(i) + "]"
				p.strange = true
				p.changes = append(p.changes, llm.Change{Name: name, Asked: `"thinking"`, Rule: "dialect"})
				return nil
			})
		})
	})
}

// scanUnsigned reports whether some block of some message is unsigned thinking.
func scanUnsigned(messages []byte) (found bool) {
	editElements(nil, messages, func(_, message []byte, _ int) []byte {
		if content := scan.Find(message, "content"); len(content) > 0 && content[0] == '[' {
			editElements(nil, content, func(_, block []byte, _ int) []byte {
				found = found || unsigned(block)
				return nil
			})
		}
		return nil
	})
	return found
}

func unsigned(block []byte) bool {
	if string(scan.Find(block, "type")) != `"thinking"` {
		return false
	}
	signature := scan.Find(block, "signature")
	return signature == nil || string(signature) == `""` || string(signature) == "null"
}

// editElements copies an array; edit appends an element, or gives nil to leave it out.
func editElements(dst, array []byte, edit func(dst, element []byte, n int) []byte) []byte {
	s := scan.New(array, scan.UpstreamDepth)
	if s.Peek() != '[' {
		return append(dst, array...)
	}
	dst = append(dst, '[')
	first := true
	for ok, n := s.Enter(), 0; ok; n++ {
		if ok = s.Element(); !ok {
			break
		}
		next := dst
		if !first {
			next = append(next, ',')
		}
		if next = edit(next, s.Value(), n); next != nil {
			dst, first = next, false
		}
	}
	return append(dst, ']')
}

// editMember copies an object with one member's value edited.
func editMember(dst, object []byte, member string, edit func(dst, value []byte) []byte) []byte {
	s := scan.New(object, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return append(dst, object...)
	}
	dst = append(dst, '{')
	first := true
	for ok := s.Enter(); ok && s.Member(); {
		start, hit := s.At, string(s.Name) == member
		value := s.Value()
		if ok = value != nil; !ok {
			break
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if hit {
			dst = edit(append(dst, object[start:s.Pos-len(value)]...), value)
		} else {
			dst = append(dst, object[start:s.Pos]...)
		}
	}
	return append(dst, '}')
}
