package gemini

import (
	"bytes"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// reading is one choice of chat completions, a chunk's or a whole one's. Its slices
// stand in it, still escaped.
type reading struct {
	index     int64
	content   []byte
	reasoning []byte
	refusal   []byte
	finish    []byte
	signature []byte
	images    [][]byte // their URLs
	calls     []callPieces
}

func (r *reading) choice(s *scan.Scanner) {
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "index":
			ok = count(s, &r.index)
		case "delta", "message":
			ok = r.delta(s)
		case "finish_reason":
			ok = word(s, &r.finish)
		default:
			ok = s.Skip()
		}
	}
}

func (r *reading) delta(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "content":
			ok = r.text(s)
		case "reasoning_content":
			ok = word(s, &r.reasoning)
		case "reasoning": // the same again, of those who send both
			var again []byte
			if ok = word(s, &again); len(r.reasoning) == 0 {
				r.reasoning = again
			}
		case "refusal":
			ok = word(s, &r.refusal)
		case "tool_calls":
			ok = r.fragments(s)
		case "images":
			for _, image := range elements(s.Value()) {
				r.images = append(r.images, str(scan.Find(scan.Find(image, "image_url"), "url")))
			}
			ok = s.Bad == ""
		case "extra_content":
			r.signature = signature(s.Value())
			ok = s.Bad == ""
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

// text reads a content: a string or, of Mistral's reasoning models, a list.
func (r *reading) text(s *scan.Scanner) bool {
	if s.Peek() != '[' {
		return word(s, &r.content)
	}
	for _, part := range elements(s.Value()) {
		r.content = append(r.content, str(scan.Find(part, "text"))...)
		thinking := scan.Find(part, "thinking")
		r.reasoning = append(r.reasoning, str(thinking)...)
		for _, thought := range elements(thinking) {
			r.reasoning = append(r.reasoning, str(scan.Find(thought, "text"))...)
		}
	}
	return s.Bad == ""
}

func (r *reading) fragments(s *scan.Scanner) bool {
	if s.Peek() != '[' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Element(); !ok {
			break
		}
		if s.Peek() != '{' {
			ok = s.Skip()
			continue
		}
		var c callPieces
		for ok = s.Enter(); ok; {
			if ok = s.Member(); !ok {
				break
			}
			switch string(s.Name) {
			case "index":
				ok = count(s, &c.index)
			case "id":
				ok = word(s, &c.id)
			case "function":
				ok = c.function(s)
			case "extra_content":
				c.signature = signature(s.Value())
				ok = s.Bad == ""
			default:
				ok = s.Skip()
			}
		}
		r.calls = append(r.calls, c)
		ok = s.Bad == ""
	}
	return s.Bad == ""
}

func (c *callPieces) function(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "name":
			ok = word(s, &c.name)
		case "arguments":
			ok = word(s, &c.arguments)
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

// appendParts appends what was said as parts. There is one at least: the clients
// read the first without asking.
func (r *reading) appendParts(dst []byte, calls []callPieces) []byte {
	dst = append(dst, '[')
	comma := func() {
		if dst[len(dst)-1] != '[' {
			dst = append(dst, ',')
		}
	}
	if len(r.reasoning) > 0 {
		dst = append(append(append(dst, `{"text":"`...), r.reasoning...), `","thought":true}`...)
	}
	said := r.content
	if len(said) == 0 {
		said = r.refusal
	}
	if len(said) > 0 || len(r.signature) > 0 {
		comma()
		dst = append(append(append(dst, `{"text":"`...), said...), '"')
		if len(r.signature) > 0 {
			dst = append(append(append(dst, `,"thoughtSignature":"`...), r.signature...), '"')
		}
		dst = append(dst, '}')
	}
	for _, url := range r.images {
		comma()
		dst = appendInline(dst, url)
	}
	for _, c := range calls {
		comma()
		dst = append(append(dst, `{"functionCall":{"name":"`...), c.name...)
		dst = append(append(dst, `","args":`...), oneLine(c.arguments)...)
		if len(c.id) > 0 {
			dst = append(append(append(dst, `,"id":"`...), c.id...), '"')
		}
		dst = append(dst, '}')
		if len(c.signature) > 0 {
			dst = append(append(append(dst, `,"thoughtSignature":"`...), c.signature...), '"')
		}
		dst = append(dst, '}')
	}
	if dst[len(dst)-1] == '[' {
		dst = append(dst, `{"text":""}`...)
	}
	return append(dst, ']')
}

// appendInline appends an image that came as a data URL, or its address.
func appendInline(dst, url []byte) []byte {
	raw := plain(url)
	head, data, _ := bytes.Cut(raw, []byte{','})
	mime, coded := bytes.CutSuffix(head, []byte(";base64"))
	if mime, ok := bytes.CutPrefix(mime, []byte("data:")); ok && coded {
		dst = llm.AppendQuoted(append(dst, `{"inlineData":{"mimeType":`...), string(mime))
		return append(llm.AppendQuoted(append(dst, `,"data":`...), string(data)), "}}"...)
	}
	return append(append(append(dst, `{"fileData":{"fileUri":"`...), url...), `"}}`...)
}
