package gemini

import (
	"bytes"
	"crypto/rand"
	"strconv"

	"onemind/internal/llm"
)

// answer is what the chunks of one answer add up to, and how they are said in
// chat completions.
type answer struct {
	id, model []byte // still escaped; the model is the upstream's until the provider names its own
	created   int64  // Unix seconds
	usage     llm.Usage
	hasUsage  bool
	blocked   bool
	images    int64
	seen      []candidate
	head      []byte // of every chunk, up to its choices
}

// candidate is one of the answers that were asked for.
type candidate struct {
	begun  bool   // its role was said
	said   bool   // it has text, a call or an image
	calls  int    // tool calls so far
	finish string // empty while it goes on
}

// take adds what a chunk says about the whole answer.
func (a *answer) take(c *chunk) {
	if len(c.id) > 0 && len(a.id) == 0 {
		a.id = append(a.id, c.id...)
	}
	if len(c.model) > 0 && a.head == nil && !bytes.Equal(c.model, a.model) {
		a.model = append([]byte(nil), c.model...)
	}
	if c.hasUsage { // each report is of all that came so far: the last one counts
		a.usage, a.hasUsage = c.usage, true
	}
	a.blocked = a.blocked || c.blocked
	for i := range c.endings {
		a.at(c.endings[i].candidate)
	}
	for i := range c.parts {
		if c.parts[i].kind == picture {
			a.images++
		}
	}
}

// at gives the state of a candidate.
func (a *answer) at(n int) *candidate {
	for len(a.seen) <= n {
		a.seen = append(a.seen, candidate{})
	}
	return &a.seen[n]
}

// finish is the first candidate's, empty while it goes on.
func (a *answer) finish() string {
	if len(a.seen) > 0 && a.seen[0].finish != "" {
		return a.seen[0].finish
	}
	if a.blocked {
		return "content_filter"
	}
	return ""
}

// complete reports whether all candidates came to their end.
func (a *answer) complete() bool {
	for _, c := range a.seen {
		if c.finish == "" {
			return a.blocked
		}
	}
	return a.blocked || len(a.seen) > 0
}

// result is the Result of the answer so far.
func (a *answer) result() llm.Result {
	r := llm.Result{Finish: a.finish(), Images: a.images}
	if a.hasUsage {
		usage := a.usage
		r.Usage = &usage
	}
	return r
}

// refusal is what an answer says whose prompt the provider's filter blocked.
const refusal = "The provider's content filter refused this prompt."

// begin appends a chunk up to the value of its choices.
func (a *answer) begin(dst []byte) []byte {
	if a.head == nil {
		a.head = a.appendHead([]byte(`{`), "chat.completion.chunk")
		a.head = append(a.head, `,"choices":[`...)
	}
	return append(dst, a.head...)
}

// appendHead appends the members that say which answer this is.
func (a *answer) appendHead(dst []byte, object string) []byte {
	dst = append(append(dst, `"id":"chatcmpl-`...), a.id...)
	if len(a.id) == 0 {
		dst = append(dst, rand.Text()...)
	}
	dst = append(append(append(dst, `","object":"`...), object...), `","created":`...)
	dst = strconv.AppendInt(dst, a.created, 10)
	return append(append(append(dst, `,"model":"`...), a.model...), '"')
}

// span is a stretch of what was written; slices would not survive its growth.
type span struct{ from, to int }

func (s span) of(b []byte) []byte {
	if s.from == s.to {
		return nil
	}
	return b[s.from:s.to]
}

// said is where a delta or a message has what metering wants.
type said struct{ content, reasoning span }

// say appends what parts say as the members of a delta, behind an opening brace
// or a member. A whole message has its content in any case, and calls without an index.
func (c *candidate) say(dst []byte, parts []part, whole bool) ([]byte, said) {
	var at said
	var has [foreign + 1]bool
	var signature []byte
	for i := range parts {
		p := &parts[i]
		has[p.kind] = true
		if len(p.signature) > 0 && p.kind != called {
			signature = p.signature
		}
	}
	if has[thought] {
		dst = appendName(dst, `"reasoning_content":"`)
		dst, at.reasoning = appendTexts(dst, parts, thought)
	}
	switch {
	case has[text]:
		dst = appendName(dst, `"content":"`)
		dst, at.content = appendTexts(dst, parts, text)
		c.said = true
	case whole && has[called]:
		dst = appendName(dst, `"content":null`)
	case whole:
		dst = appendName(dst, `"content":""`)
	}
	if has[called] {
		dst = appendName(dst, `"tool_calls":[`)
		dst = c.calling(dst, parts, whole)
		c.said = true
	}
	if has[picture] {
		dst = appendName(dst, `"images":[`)
		dst = pictures(dst, parts)
		c.said = true
	}
	if signature != nil {
		dst = appendName(dst, `"extra_content":{"google":{"thought_signature":"`)
		dst = append(append(dst, signature...), `"}}`...)
	}
	return dst, at
}

// appendName appends a member's name, and what parts it from the one before.
func appendName(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(dst, name...)
}

// appendTexts appends the texts of one kind, which stand escaped, and a quote.
func appendTexts(dst []byte, parts []part, of kind) ([]byte, span) {
	from := len(dst)
	for i := range parts {
		if parts[i].kind == of {
			dst = append(dst, parts[i].text...)
		}
	}
	to := len(dst)
	return append(dst, '"'), span{from, to}
}

// calling appends tool calls, each with all of its arguments.
func (c *candidate) calling(dst []byte, parts []part, whole bool) []byte {
	first := true
	for i := range parts {
		p := &parts[i]
		if p.kind != called {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, '{')
		if !whole {
			dst = append(strconv.AppendInt(append(dst, `"index":`...), int64(c.calls), 10), ',')
		}
		c.calls++
		dst = append(dst, `"id":"`...)
		if len(p.id) > 0 {
			dst = append(dst, p.id...)
		} else {
			dst = append(append(dst, "call_"...), rand.Text()...)
		}
		dst = append(append(dst, `","type":"function","function":{"name":"`...), p.text...)
		dst = append(appendArguments(append(dst, `","arguments":`...), p.data), '}')
		if len(p.signature) > 0 {
			dst = append(append(append(dst, `,"extra_content":{"google":{"thought_signature":"`...), p.signature...), `"}}`...)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// pictures appends images as data URLs.
func pictures(dst []byte, parts []part) []byte {
	n := 0
	for i := range parts {
		p := &parts[i]
		if p.kind != picture {
			continue
		}
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"index":`...), int64(n), 10)
		dst = append(append(dst, `,"type":"image_url","image_url":{"url":"data:`...), p.text...)
		dst = append(append(append(dst, ";base64,"...), p.data...), `"}}`...)
		n++
	}
	return append(dst, ']')
}
