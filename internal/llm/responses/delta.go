package responses

import (
	"bytes"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// read takes in a chunk of an answer or the whole of one. It reports false for
// what is neither. The dialect that gave it has checked it before.
func (e *Encoder) read(data []byte) bool {
	s := scan.New(data, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return false
	}
	found := false
	for ok := s.Enter(); ok && s.Member(); {
		if string(s.Name) != "choices" || s.Peek() != '[' {
			ok = s.Skip()
			continue
		}
		found = true
		for ok, n := s.Enter(), 0; ok && s.Element(); n++ {
			if n > 0 || s.Peek() != '{' { // one answer is all that can be asked for
				ok = s.Skip()
				continue
			}
			for ok = s.Enter(); ok && s.Member(); {
				if name := string(s.Name); (name == "delta" || name == "message") && s.Peek() == '{' {
					ok = e.delta(&s)
				} else {
					ok = s.Skip()
				}
			}
			ok = s.Bad == ""
		}
		ok = s.Bad == ""
	}
	return found && s.Bad == ""
}

// delta reads what a chunk adds. Its members may come in any order; what the
// engine thought goes before what it said.
func (e *Encoder) delta(s *scan.Scanner) bool {
	var thought, content, refusal []byte
	var parts, blocks, calls, call, images, extra []byte
	for ok := s.Enter(); ok && s.Member(); {
		switch string(s.Name) {
		case "content":
			if s.Peek() == '[' {
				parts = s.Value()
				ok = s.Bad == ""
			} else {
				ok = readString(s, &content)
			}
		case "reasoning_content", "reasoning": // some send both, saying the same
			ok = readString(s, &thought)
		case "refusal":
			ok = readString(s, &refusal)
		case "thinking_blocks":
			blocks = s.Value()
			ok = s.Bad == ""
		case "tool_calls":
			calls = s.Value()
			ok = s.Bad == ""
		case "images":
			images = s.Value()
			ok = s.Bad == ""
		case "extra_content":
			extra = s.Value()
			ok = s.Bad == ""
		case "function_call":
			call = s.Value()
			ok = s.Bad == ""
		default:
			ok = s.Skip()
		}
	}
	if s.Bad != "" {
		return false
	}
	e.think(thought)
	e.keep(blocks)
	e.list(parts)
	e.say(content, false)
	e.say(refusal, true)
	if signed := signed(extra); signed != nil { // of the message
		e.pending.signatures = append(e.pending.signatures, signature{[]byte(`""`), quoted(signed)})
	}
	if len(images) > 0 && images[0] == '[' {
		for _, image := range elements(images) {
			e.show(text(scan.Find(image, "image_url"), "url"))
		}
	}
	if len(calls) > 0 && calls[0] == '[' {
		for inner, ok := enter(calls); ok && inner.Element(); {
			ok = e.call(&inner)
		}
	}
	if len(call) > 0 && call[0] == '{' { // the form that came before tool_calls
		f := fragment{number: []byte("0")}
		inner := scan.New(call, scan.UpstreamDepth)
		if inner.Peek(); f.read(&inner) {
			e.ask(f)
		}
	}
	return true
}

func enter(raw []byte) (scan.Scanner, bool) {
	s := scan.New(raw, scan.UpstreamDepth)
	s.Peek()
	ok := s.Enter()
	return s, ok
}

// readString reads a string that is not empty; anything else is passed.
func readString(s *scan.Scanner, to *[]byte) bool {
	if s.Peek() != '"' {
		return s.Skip()
	}
	raw, ok := s.Text()
	if len(raw) > 0 {
		*to = raw
	}
	return ok
}

// list reads a content that is a list, as Mistral's reasoning models send it.
func (e *Encoder) list(raw []byte) {
	if len(raw) == 0 {
		return
	}
	for s, ok := enter(raw); ok && s.Element(); {
		part := s.Value()
		if ok = part != nil; !ok || part[0] != '{' {
			continue
		}
		if thinking := scan.Find(part, "thinking"); len(thinking) > 1 {
			switch thinking[0] {
			case '"':
				e.think(unquoted(thinking))
			case '[':
				for _, piece := range elements(thinking) {
					if text := scan.Find(piece, "text"); len(text) > 1 && text[0] == '"' {
						e.think(unquoted(text))
					}
				}
			}
		} else if text := scan.Find(part, "text"); len(text) > 1 && text[0] == '"' {
			e.say(unquoted(text), false)
		}
	}
}

// keep takes thinking blocks, which have to come back as they are. Blocks of
// which a delta brings a piece are put together: the signature comes last.
func (e *Encoder) keep(raw []byte) {
	if len(raw) == 0 || raw[0] != '[' {
		return
	}
	for s, ok := enter(raw); ok && s.Element(); {
		block := s.Value()
		if ok = block != nil; !ok || block[0] != '{' {
			continue
		}
		signature := text(block, "signature")
		if string(scan.Find(block, "type")) != `"thinking"` || e.half == nil && signature != nil {
			e.whole()
			e.pending.blocks = append(e.pending.blocks, bytes.Clone(block))
			continue
		}
		if e.half == nil {
			e.half = append([]byte{}, `{"type":"thinking","thinking":"`...)
		}
		e.half = append(e.half, text(block, "thinking")...)
		if signature != nil {
			e.half = append(append(append(e.half, `","signature":"`...), signature...), `"}`...)
			e.pending.blocks, e.half = append(e.pending.blocks, e.half), nil
		}
	}
}

// whole ends a thinking block whose signature has not come.
func (e *Encoder) whole() {
	if e.half != nil {
		e.pending.blocks, e.half = append(e.pending.blocks, append(e.half, `"}`...)), nil
	}
}

// text gives a string member still escaped, nil if it is empty or none.
func text(object []byte, name string) []byte {
	if raw := scan.Find(object, name); len(raw) > 2 && raw[0] == '"' {
		return unquoted(raw)
	}
	return nil
}

// signed gives the signature that Gemini puts on what it said or called, still escaped.
func signed(extra []byte) []byte {
	return text(scan.Find(extra, "google"), "thought_signature")
}

// call reads an entry of tool_calls.
func (e *Encoder) call(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	var f fragment
	for ok := s.Enter(); ok && s.Member(); {
		switch string(s.Name) {
		case "index":
			if f.number = s.Value(); string(f.number) == "null" {
				f.number = nil
			}
			ok = s.Bad == ""
		case "id":
			ok = readString(s, &f.id)
		case "type":
			var kind []byte
			ok = readString(s, &kind)
			f.custom = f.custom || string(kind) == "custom"
		case "function":
			ok = f.read(s)
		case "custom":
			f.custom = true
			ok = f.read(s)
		case "extra_content":
			extra := s.Value()
			ok = s.Bad == ""
			f.signature = signed(extra)
		default:
			ok = s.Skip()
		}
	}
	if s.Bad != "" {
		return false
	}
	e.ask(f)
	return true
}

// read reads the name and a piece of the arguments of a call.
func (f *fragment) read(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok && s.Member(); {
		switch string(s.Name) {
		case "name":
			ok = readString(s, &f.name)
		case "arguments", "input":
			if s.Peek() == '{' { // an object where its text belongs: Ollama, some servers
				f.text = escaped(s.Value())
				ok = s.Bad == ""
			} else {
				ok = readString(s, &f.text)
			}
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

// escaped gives JSON as what stands between the quotes of a string.
func escaped(raw []byte) []byte {
	return unquoted(llm.AppendQuoted(nil, string(oneLine(raw))))
}

// oneLine gives JSON without line breaks, which would end a line of the stream.
// Inside strings there are none, so that each is space.
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
