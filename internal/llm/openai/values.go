package openai

import (
	"bytes"
	"strconv"
	"strings"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// The readers of single values. Each refuses what is not of its type or range
// and says which parameter that was.

// wrongType refuses a value for its type, in OpenAI's words.
func (p *parser) wrongType(path, want string) bool {
	got := "a number"
	switch p.s.Peek() {
	case '"':
		got = "a string"
	case '{':
		got = "an object"
	case '[':
		got = "an array"
	case 't', 'f':
		got = "a boolean"
	case 'n':
		got = "null"
	}
	if !p.s.Skip() { // not JSON at all: that is the better complaint
		return false
	}
	return p.refuse(path, "invalid_type", "has the wrong type: expected %s, but got %s.", want, got)
}

// number reads a number from low to high.
func (p *parser) number(path string, low, high float64) bool {
	if c := p.s.Peek(); c != '-' && (c < '0' || c > '9') {
		return p.wrongType(path, "a number")
	}
	raw, ok := p.s.Number()
	if !ok {
		return false
	}
	if f, err := strconv.ParseFloat(string(raw), 64); err != nil || f < low || f > high {
		return p.refuse(path, "invalid_value", "has to be from %v to %v, but is %s.", low, high, clip(string(raw)))
	}
	return true
}

// integer reads a whole number from low to high.
func (p *parser) integer(path string, low, high int64, to *int64) bool {
	if c := p.s.Peek(); c != '-' && (c < '0' || c > '9') {
		return p.wrongType(path, "an integer")
	}
	raw, ok := p.s.Number()
	if !ok {
		return false
	}
	if bytes.ContainsAny(raw, ".eE") {
		return p.refuse(path, "invalid_type", "has the wrong type: expected an integer, but got %s.", clip(string(raw)))
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < low || n > high {
		return p.refuse(path, "invalid_value", "has to be from %d to %d, but is %s.", low, high, clip(string(raw)))
	}
	if to != nil {
		*to = n
	}
	return true
}

// boolean reads true or false.
func (p *parser) boolean(path string, to *bool) bool {
	c := p.s.Peek()
	if c != 't' && c != 'f' {
		return p.wrongType(path, "a boolean")
	}
	if to != nil {
		*to = c == 't'
	}
	return p.s.Skip()
}

// raw reads a string and gives it escaped; ok is false if there is none.
func (p *parser) raw(path string) ([]byte, bool) {
	if p.s.Peek() != '"' {
		return nil, p.wrongType(path, "a string")
	}
	raw, ok := p.s.Text()
	if ok && p.s.Nul {
		return nil, p.refuse(path, "invalid_value", `holds a null character (\u0000).`)
	}
	return raw, ok
}

// text reads a string.
func (p *parser) text(path string, to *string) bool {
	raw, ok := p.raw(path)
	if ok && to != nil {
		*to = llm.Unescape(raw)
	}
	return ok
}

// oneOf reads a string that is one of words.
func (p *parser) oneOf(path string, words ...string) bool {
	raw, ok := p.raw(path)
	if !ok {
		return false
	}
	for _, w := range words {
		if string(raw) == w {
			return true
		}
	}
	return p.refuse(path, "invalid_value", "has to be one of '%s', but is '%s'.", strings.Join(words, "', '"), clip(string(raw)))
}

// object passes an object of any content; the provider may count it as input.
func (p *parser) object(path string) bool {
	if p.s.Peek() != '{' {
		return p.wrongType(path, "an object")
	}
	p.weight.text(p.s.Value())
	return p.s.Bad == ""
}

// into steps into an object or, with '[', an array.
func (p *parser) into(path string, opening byte) bool {
	if p.s.Peek() == opening {
		return p.s.Enter()
	}
	if opening == '[' {
		return p.wrongType(path, "an array")
	}
	return p.wrongType(path, "an object")
}

// done reports whether an object or an array was read to its end.
func (p *parser) done() bool { return p.err == nil && p.s.Bad == "" }

// model reads the name of a model.
func (p *parser) model(path string, to *string) bool {
	if !p.text(path, to) {
		return false
	}
	if *to == "" || len(*to) > maxName || strings.IndexFunc(*to, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		return p.refuse(path, "invalid_value", "has to be the name of a model.")
	}
	return true
}

func (p *parser) streamOptions() bool {
	p.options = true
	for ok := p.into("stream_options", '{'); ok; {
		if ok = p.s.Member(); !ok {
			break
		}
		switch string(p.s.Name) {
		case "include_usage":
			ok = p.s.Null() || p.boolean("stream_options.include_usage", &p.req.Usage)
		case "include_obfuscation":
			ok = p.s.Null() || p.boolean("stream_options.include_obfuscation", nil)
		default:
			path := "stream_options." + clip(string(p.s.Name))
			ok = p.s.Skip() && p.refuse(path, "unknown_parameter", "is not a parameter of chat completions.")
		}
	}
	return p.done()
}

func (p *parser) stop() bool {
	if p.s.Peek() == '"' {
		return p.text("stop", nil)
	}
	if p.s.Peek() != '[' {
		return p.wrongType("stop", "a string or an array of strings")
	}
	n := 0
	for ok := p.s.Enter(); ok; n++ {
		if ok = p.s.Element(); !ok {
			break
		}
		if n == maxStops {
			return p.refuse("stop", "invalid_value", "can hold %d strings at most.", maxStops)
		}
		ok = p.text("stop["+strconv.Itoa(n)+"]", nil)
	}
	return p.done()
}

func (p *parser) logitBias() bool {
	for ok := p.into("logit_bias", '{'); ok; {
		if ok = p.s.Member(); ok {
			ok = p.number("logit_bias."+clip(string(p.s.Name)), -100, 100)
		}
	}
	return p.done()
}

func (p *parser) modalities() bool {
	n := 0
	for ok := p.into("modalities", '['); ok; n++ {
		if ok = p.s.Element(); !ok {
			break
		}
		var kind string
		if ok = p.text("modalities["+strconv.Itoa(n)+"]", &kind); ok && kind != "text" {
			return p.refuse("modalities", "unsupported_parameter", `can be ["text"] only.`)
		}
	}
	return p.done()
}

// extension reads OneMind's own members.
func (p *parser) extension(id int, name string) bool {
	switch id {
	case paramMaxCostNano:
		return p.integer(name, 1, 1<<62, &p.req.MaxCostNanoUSD)
	case paramResumable:
		return p.boolean(name, &p.req.Resumable)
	case paramMaxCost:
		return p.maxCost()
	}
	p.req.Fallbacks = []string{} // an empty list is a choice too
	for ok := p.into(name, '['); ok; {
		if ok = p.s.Element(); !ok {
			break
		}
		n := len(p.req.Fallbacks)
		if n == maxFallbacks {
			return p.refuse(name, "invalid_value", "can name %d models at most.", maxFallbacks)
		}
		var model string
		ok = p.model(name+"["+strconv.Itoa(n)+"]", &model)
		p.req.Fallbacks = append(p.req.Fallbacks, model)
	}
	return p.done()
}

// maxCost keeps an amount as it was written, because a float would change it.
func (p *parser) maxCost() bool {
	raw := []byte(nil)
	ok := false
	switch c := p.s.Peek(); {
	case c == '"':
		raw, ok = p.s.Text()
	case c == '-' || '0' <= c && c <= '9':
		raw, ok = p.s.Number()
	default:
		return p.wrongType("max_cost", "a number or a decimal string")
	}
	if !ok {
		return false
	}
	whole := scan.Digits(raw, 0)
	rest := raw[whole:]
	if len(raw) > 32 || whole == 0 || len(rest) > 0 && (rest[0] != '.' || scan.Digits(rest, 1) != len(rest)-1 || len(rest) == 1) || len(bytes.Trim(raw, "0.")) == 0 {
		return p.refuse("max_cost", "invalid_value", "has to be an amount of dollars above 0, such as 0.05, but is %s.", clip(string(raw)))
	}
	p.req.MaxCost = string(raw)
	return true
}
