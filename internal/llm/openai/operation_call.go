package openai

import (
	"bytes"
	"context"
	"math"
	"strconv"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
	"onemind/internal/llm/wire"
)

// operate makes a call that is no chat. The provider's answer is passed on as it came.
func (c *Client) operate(ctx context.Context, to *llm.Target, req *llm.Request) (llm.Result, error) {
	post := wire.Post{Path: operationPath(req.Op), Type: req.Type}
	var changes []llm.Change
	var err error
	plain := false // the caller wants a text and no JSON
	if req.Op == llm.Transcripts {
		post.Body, plain, changes, err = outboundForm(to, req)
	} else {
		post.Body, changes, err = outboundOperation(to, req)
	}
	if err != nil {
		return llm.Result{}, err
	}
	started, err := c.wire.Start(ctx, to, post)
	if err != nil {
		return llm.Result{}, err
	}
	defer started.Close()
	k := call{Call: started, ctx: ctx, req: req}
	result, err := k.answered(plain)
	result.Changes = changes
	return result, err
}

func operationPath(op llm.Operation) string {
	switch op {
	case llm.Embeddings:
		return "/embeddings"
	case llm.Images:
		return "/images/generations"
	}
	return "/audio/transcriptions"
}

// outboundOperation writes the JSON body a provider gets: the caller's members
// as they stand, with the model's name at the provider and by the target's rules.
func outboundOperation(to *llm.Target, req *llm.Request) (dst []byte, changes []llm.Change, err error) {
	dst = make([]byte, 0, len(req.Body)+64+len(to.Upstream))
	dst = llm.AppendQuoted(append(dst, `{"model":`...), to.Upstream)
	var given []string
	s := scan.New(req.Body, scan.ClientDepth)
	if s.Peek() != '{' {
		return nil, nil, fault.New(fault.Invalid, "invalid_json", "The body has to be a JSON object.")
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		name, start := string(s.Name), s.At
		value := s.Value()
		if ok = value != nil; !ok || string(value) == "null" {
			continue
		}
		switch use(to, []byte(name)) {
		case refused:
			if name == "n" && string(value) == "1" { // what they all do without being asked
				continue
			}
			return nil, nil, unsupported(name)
		case dropped:
			changes = append(changes, llm.Change{Name: name, Asked: asked(value), Rule: "drop"})
		case kept:
			given = append(given, name)
			if bound, ok := clamped(to, []byte(name), value); ok {
				changes = append(changes, llm.Change{Name: name, Asked: asked(value), Sent: string(bound), Rule: "clamp"})
				dst = appendMember(dst, name, bound)
				continue
			}
			dst = append(append(dst, ','), s.Data[start:s.Pos]...)
		}
	}
	if !s.End() {
		return nil, nil, fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON: %s (byte %d).", s.Bad, s.Pos)
	}
	dst, changes = appendSet(dst, changes, to, given)
	return append(dst, '}'), changes, nil
}

// outboundForm writes the form a provider gets: the caller's fields and file
// byte for byte, with the model's name at the provider. Of the target's rules
// those apply that refuse or drop: a form has no numbers to bound.
func outboundForm(to *llm.Target, req *llm.Request) (dst []byte, plain bool, changes []llm.Change, err error) {
	f, err := readForm(req.Type, req.Body)
	if err != nil {
		return nil, false, nil, err
	}
	if bytes.Contains([]byte(to.Upstream), []byte("--"+f.boundary)) {
		return nil, false, nil, badForm("its boundary stands within a field")
	}
	dst = f.append(make([]byte, 0, len(req.Body)+len(to.Upstream)), func(one field) ([]byte, bool) {
		name := string(bytes.TrimSuffix([]byte(one.name), []byte("[]")))
		if name == "model" {
			return []byte(to.Upstream), true
		}
		switch use(to, []byte(name)) {
		case refused:
			if err == nil {
				err = unsupported(name)
			}
		case dropped:
			changes = append(changes, llm.Change{Name: name, Asked: asked(llm.AppendQuoted(nil, string(one.value))), Rule: "drop"})
		case kept:
			return one.value, true
		}
		return nil, false
	})
	if err != nil {
		return nil, false, nil, err
	}
	switch f.only("response_format") {
	case "text", "srt", "vtt":
		plain = true
	}
	return dst, plain, changes, nil
}

// answered reads the answer of an operation.
func (k *call) answered(plain bool) (llm.Result, error) {
	if k.Type() == "text/event-stream" {
		return llm.Result{}, k.Broken("The provider streams an answer that was to come whole.")
	}
	if plain && k.Type() != "application/json" {
		body, err := k.Bytes()
		if err != nil {
			return llm.Result{}, err
		}
		return llm.Result{Body: body, Type: "text/plain; charset=utf-8", Finish: "stop", Text: string(body)}, nil
	}
	body, err := k.Body()
	if err != nil {
		return llm.Result{}, err
	}
	var a operated
	if wrong := a.read(body, k.req.Op); wrong != "" {
		return llm.Result{}, k.Broken("The provider's answer cannot be read: %s", wrong)
	}
	if a.trouble != nil {
		return llm.Result{}, k.Complaint(a.trouble)
	}
	result := llm.Result{Body: body, Finish: "stop", Images: a.images}
	if u, ok := a.used(); ok {
		result.Usage = &u
	} else {
		result.Text = llm.Unescape(a.text)
	}
	return result, nil
}

// operated is what the answer of an operation says.
type operated struct {
	trouble []byte
	text    []byte // of a transcription, still escaped
	images  int64
	found   bool // the member that the answer is about

	prompt, total, input, output, cached int64
	seconds                              float64 // paid for
	duration                             float64 // of the recording
}

// read scans an answer, and says what is wrong with one that is none.
func (a *operated) read(body []byte, op llm.Operation) (wrong string) {
	s := scan.New(body, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return "not a JSON object"
	}
	about := "data"
	if op == llm.Transcripts {
		about = "text"
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch name := string(s.Name); {
		case name == "error":
			if value := s.Value(); string(value) != "null" && string(value) != "" {
				a.trouble = value
			}
			ok = s.Bad == ""
		case name == about && about == "data" && s.Peek() == '[':
			a.found = true
			ok = a.data(&s, op)
		case name == about && about == "text" && s.Peek() == '"':
			a.found = true
			a.text, ok = s.Text()
		case name == "duration" && op == llm.Transcripts:
			ok = decimal(&s, &a.duration)
		case name == "usage":
			ok = a.usage(&s)
		default:
			ok = s.Skip()
		}
	}
	if !s.End() {
		return "not valid JSON, " + s.Bad
	}
	if !a.found && a.trouble == nil {
		return "no " + about + " in it"
	}
	return ""
}

// data counts the entries of an answer.
func (a *operated) data(s *scan.Scanner, op llm.Operation) bool {
	for ok := s.Enter(); ok; {
		if ok = s.Element(); ok {
			if op == llm.Images && s.Peek() == '{' {
				a.images++
			}
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

// usage reads the many ways to say what was used.
func (a *operated) usage(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "prompt_tokens":
			ok = count(s, &a.prompt)
		case "total_tokens":
			ok = count(s, &a.total)
		case "input_tokens":
			ok = count(s, &a.input)
		case "output_tokens", "completion_tokens":
			ok = count(s, &a.output)
		case "seconds", "prompt_audio_seconds": // OpenAI; Mistral
			ok = decimal(s, &a.seconds)
		case "input_tokens_details", "input_token_details", "prompt_tokens_details":
			ok = a.details(s)
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

func (a *operated) details(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		if string(s.Name) == "cached_tokens" {
			ok = count(s, &a.cached)
		} else {
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

// decimal reads a number of seconds, the larger one if it is said twice; some
// providers write it as a string.
func decimal(s *scan.Scanner, to *float64) bool {
	raw := bytes.Trim(s.Value(), `"`)
	if f, err := strconv.ParseFloat(string(raw), 64); err == nil && f > *to && f < scan.MaxCount {
		*to = f
	}
	return s.Bad == ""
}

// used makes the classes disjoint. What is paid by time is counted in tokens:
// Mistral reports a few tokens of text beside it. Voyage reports the total alone.
func (a *operated) used() (llm.Usage, bool) {
	in := max(a.prompt, a.input)
	if in == 0 {
		in = max(a.total-a.output, 0)
	}
	in = max(in, speech(a.seconds))
	if in == 0 && a.output == 0 {
		in = speech(a.duration)
	}
	cached := min(a.cached, in)
	u := llm.Usage{Input: in - cached, CachedInput: cached, Output: a.output}
	return u, u != llm.Usage{}
}

// speech gives the tokens of a time in seconds.
func speech(seconds float64) int64 { return int64(math.Ceil(seconds * perSecond)) }
