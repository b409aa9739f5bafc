package gemini

import (
	"bytes"
	"strconv"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// kind is what a part of an answer is.
type kind int

const (
	nothing kind = iota // what is passed over: code that ran at the provider, empty text
	text
	thought
	called
	picture
	foreign // of a kind that chat completions cannot carry
)

// part is one part of a candidate's content. Its slices stand in the chunk, still escaped.
type part struct {
	kind      kind
	candidate int
	text      []byte // text, a function's name, or a MIME type
	data      []byte // a function's arguments as JSON, or base64
	id        []byte // a call's, if it has one
	signature []byte // thoughtSignature
	size      int    // bytes of output
}

// ending is what a candidate of a chunk says beside its content.
type ending struct {
	candidate int
	reason    []byte // finishReason, still escaped; empty while it goes on
	logprobs  []byte // logprobsResult
	first     int    // of the chunk's parts, where its own begin
	after     int
}

// chunk is one GenerateContentResponse as it was scanned.
type chunk struct {
	data     []byte
	parts    []part
	endings  []ending
	usage    llm.Usage
	hasUsage bool
	blocked  bool   // promptFeedback has a blockReason
	trouble  []byte // the error that came instead
	id       []byte // responseId, still escaped
	model    []byte // modelVersion
}

// read scans one response without decoding it. It says what is wrong with one
// that is none.
func (c *chunk) read(data []byte) (wrong string) {
	*c = chunk{data: data, parts: c.parts[:0], endings: c.endings[:0]}
	s := scan.New(data, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return "not a JSON object"
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "candidates":
			ok = c.candidates(&s)
		case "usageMetadata":
			if u, has := readUsage(&s); has {
				c.usage, c.hasUsage = u, true
			}
			ok = s.Bad == ""
		case "promptFeedback":
			ok = c.feedback(&s)
		case "responseId":
			ok = word(&s, &c.id)
		case "modelVersion":
			ok = word(&s, &c.model)
		case "error":
			if value := s.Value(); string(value) != "null" {
				c.trouble = value
			}
			ok = s.Bad == ""
		default:
			ok = s.Skip()
		}
	}
	if !s.End() {
		return "not valid JSON, " + s.Bad
	}
	return ""
}

func (c *chunk) feedback(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		if string(s.Name) == "blockReason" {
			var reason []byte
			ok = word(s, &reason)
			c.blocked = len(reason) > 0 && string(reason) != "BLOCK_REASON_UNSPECIFIED"
		} else {
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

func (c *chunk) candidates(s *scan.Scanner) bool {
	if s.Peek() != '[' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Element(); ok {
			ok = c.candidate(s)
		}
	}
	return s.Bad == ""
}

func (c *chunk) candidate(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	e := ending{first: len(c.parts)}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "content":
			ok = c.content(s)
		case "finishReason":
			ok = word(s, &e.reason)
		case "index":
			var n int64
			ok = count(s, &n)
			e.candidate = int(min(n, maxCandidates-1))
		case "logprobsResult":
			e.logprobs = s.Value()
			ok = s.Bad == ""
		default:
			ok = s.Skip()
		}
	}
	if string(e.reason) == "FINISH_REASON_UNSPECIFIED" {
		e.reason = nil
	}
	e.after = len(c.parts)
	for i := range c.parts[e.first:] {
		c.parts[e.first+i].candidate = e.candidate
	}
	c.endings = append(c.endings, e)
	return s.Bad == ""
}

// maxCandidates bounds an index that a provider can claim.
const maxCandidates = 64

func (c *chunk) content(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		if string(s.Name) != "parts" || s.Peek() != '[' {
			ok = s.Skip()
			continue
		}
		for ok = s.Enter(); ok; {
			if ok = s.Element(); ok {
				ok = c.part(s)
			}
		}
		ok = s.Bad == ""
	}
	return s.Bad == ""
}

// part reads one part. Which member it has says what it is.
func (c *chunk) part(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	var p part
	thinks := false
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "text":
			if ok = word(s, &p.text); len(p.text) > 0 {
				p.kind, p.size = text, len(p.text)
			}
		case "thought":
			thinks = s.Peek() == 't'
			ok = s.Skip()
		case "thoughtSignature":
			ok = word(s, &p.signature)
		case "functionCall":
			ok = p.call(s)
		case "inlineData":
			ok = p.inline(s)
		case "executableCode", "codeExecutionResult":
			ok = p.ran(s)
		case "fileData", "functionResponse", "toolCall", "toolResponse", "audioTranscription":
			p.kind, p.text = foreign, s.Name
			ok = s.Skip()
		default:
			ok = s.Skip()
		}
	}
	if thinks && p.kind == text {
		p.kind = thought
	} else if thinks && p.kind == picture { // a sketch on the way to the answer
		p = part{signature: p.signature, size: p.size}
	}
	if p.kind != nothing || p.size > 0 || len(p.signature) > 0 {
		c.parts = append(c.parts, p)
	}
	return s.Bad == ""
}

func (p *part) call(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	p.kind = called
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "name":
			ok = word(s, &p.text)
		case "args":
			if p.data = s.Value(); string(p.data) == "null" {
				p.data = nil
			}
			ok = s.Bad == ""
		case "id":
			ok = word(s, &p.id)
		default:
			ok = s.Skip()
		}
	}
	p.size = len(p.text) + len(p.data)
	return s.Bad == ""
}

// imageBytes is what an image counts as output, in bytes of which four make a
// token: Google counts 1,290 tokens for an image of up to 1024 pixels square
// (ai.google.dev/gemini-api/docs/pricing).
const imageBytes = 4 * 1290

func (p *part) inline(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "mimeType":
			ok = word(s, &p.text)
		case "data":
			ok = word(s, &p.data)
		default:
			ok = s.Skip()
		}
	}
	p.kind, p.size = foreign, imageBytes
	if bytes.HasPrefix(p.text, []byte("image/")) || bytes.HasPrefix(p.text, []byte(`image\/`)) {
		p.kind = picture
	}
	return s.Bad == ""
}

// ran counts code that ran at the provider, and what it printed.
func (p *part) ran(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "code", "output":
			var said []byte
			ok = word(s, &said)
			p.size += len(said)
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

// word reads a string into to, still escaped; anything else is passed.
func word(s *scan.Scanner, to *[]byte) bool {
	if s.Peek() != '"' {
		return s.Skip()
	}
	raw, ok := s.Text()
	*to = raw
	return ok
}

// finishOf gives OpenAI's word for a finishReason, without allocating for the
// usual ones. odd tells a reason that is no way for an answer to end: the model
// went wrong and what there is may be nothing.
func finishOf(reason []byte, calls bool) (finish string, odd bool) {
	switch string(reason) {
	case "STOP":
		if calls {
			return "tool_calls", false
		}
		return "stop", false
	case "MAX_TOKENS", "CONTINUATION":
		return "length", false
	case "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII",
		"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR":
		return "content_filter", false
	}
	// MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, TOO_MANY_TOOL_CALLS, OTHER, NO_IMAGE, IMAGE_OTHER and what is yet to come
	if calls {
		return "tool_calls", true
	}
	return "stop", true
}

// appendArguments appends a JSON value as a JSON string, without the space
// between its tokens.
func appendArguments(dst, raw []byte) []byte {
	if len(raw) == 0 {
		return append(dst, `"{}"`...)
	}
	dst = append(dst, '"')
	inside := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			inside = !inside
			dst = append(dst, '\\', '"')
		case c == '\\': // inside a string only; what it escapes goes with it
			dst = append(dst, '\\', '\\')
			if i++; i < len(raw) && (raw[i] == '"' || raw[i] == '\\') {
				dst = append(dst, '\\')
			}
			if i < len(raw) {
				dst = append(dst, raw[i])
			}
		case c <= ' ' && !inside:
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// appendLogprobs appends a logprobsResult as the logprobs of chat completions.
func appendLogprobs(dst, raw []byte) []byte {
	chosen, top := elements(scan.Find(raw, "chosenCandidates")), elements(scan.Find(raw, "topCandidates"))
	dst = append(dst, `{"content":[`...)
	for i, c := range chosen {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendToken(dst, c), `,"top_logprobs":[`...)
		if i < len(top) {
			for j, t := range elements(scan.Find(top[i], "candidates")) {
				if j > 0 {
					dst = append(dst, ',')
				}
				dst = append(appendToken(dst, t), '}')
			}
		}
		dst = append(dst, "]}"...)
	}
	return append(dst, `],"refusal":null}`...)
}

// appendToken appends the beginning of an object of a token and its probability.
func appendToken(dst, raw []byte) []byte {
	token, logprob := scan.Find(raw, "token"), scan.Find(raw, "logProbability")
	if len(token) == 0 || token[0] != '"' {
		token = []byte(`""`)
	}
	dst = append(append(dst, `{"token":`...), token...)
	if _, err := strconv.ParseFloat(string(logprob), 64); err != nil {
		logprob = []byte("0") // proto3 leaves zeros out
	}
	return append(append(append(dst, `,"logprob":`...), logprob...), `,"bytes":null`...)
}

// elements lists an array's elements.
func elements(raw []byte) [][]byte {
	var list [][]byte
	s := scan.New(raw, scan.UpstreamDepth)
	if s.Peek() != '[' {
		return nil
	}
	for ok := s.Enter(); ok && s.Element(); {
		value := s.Value()
		if ok = value != nil; ok {
			list = append(list, value)
		}
	}
	return list
}
