package openai

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"onemind/internal/llm"
)

// Nesting that is accepted. A client's body is bounded tightly, because every
// level costs a stack frame here and at whoever reads it next; a provider's
// answer may carry a tool's JSON.
const (
	clientDepth   = 64
	upstreamDepth = 256
)

// scanner pulls its way through JSON without decoding it: callers step into the
// objects they care about and skip the rest, and every byte that was passed has
// been held against the grammar. It does not look at UTF-8: whoever needs that
// asks utf8.Valid about the whole, which is faster than asking per string.
//
// The first thing that is wrong stops it: every later call says no, and bad
// tells what it was, at pos.
type scanner struct {
	data  []byte
	pos   int
	left  int    // levels of nesting that may still be opened
	first bool   // nothing of the innermost object or array has been read
	name  []byte // the member's name, unescaped
	at    int    // where the member begins
	nul   bool   // a string held \u0000
	bad   string // what is wrong; empty while all is well
}

func scan(data []byte, depth int) scanner { return scanner{data: data, left: depth} }

// valid reports whether data is exactly one JSON value.
func valid(data []byte, depth int) bool {
	s := scan(data, depth)
	return s.skip() && s.end()
}

func (s *scanner) fail(what string) bool {
	if s.bad == "" {
		s.bad = what
	}
	return false
}

// peek gives the first byte of what comes next, 0 at the end of data.
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		s.pos++
	}
	return 0
}

// end reports whether nothing but space follows.
func (s *scanner) end() bool {
	if s.bad != "" {
		return false
	}
	s.peek()
	if s.pos < len(s.data) {
		return s.fail("more follows after the end of the JSON value")
	}
	return true
}

// enter steps into an object or an array, whose opening byte comes next.
func (s *scanner) enter() bool {
	if s.left == 0 {
		return s.fail("it is nested too deeply")
	}
	s.left--
	s.pos++
	s.first = true
	return s.bad == ""
}

// member steps to the next member of an object and leaves its value to the
// caller, who has to read exactly that. It says no behind the last one.
func (s *scanner) member() bool {
	raw, ok := s.key()
	if ok {
		s.name = raw
		if bytes.IndexByte(raw, '\\') >= 0 {
			s.name = llm.AppendUnescaped(nil, raw)
		}
	}
	return ok
}

func (s *scanner) key() ([]byte, bool) {
	if !s.next('}') {
		return nil, false
	}
	if s.peek() != '"' {
		return nil, s.fail("the name of a member is missing")
	}
	s.at = s.pos
	raw, ok := s.text()
	if !ok {
		return nil, false
	}
	if s.peek() != ':' {
		return nil, s.fail("a colon is missing")
	}
	s.pos++
	return raw, true
}

// next steps over the comma before the next member or element, or over the
// closing byte.
func (s *scanner) next(closing byte) bool {
	if s.bad != "" {
		return false
	}
	first := s.first
	s.first = false
	c := s.peek()
	if c == closing {
		s.pos++
		s.left++
		return false
	}
	if first {
		return true
	}
	if c != ',' {
		return s.fail("a comma or a closing bracket is missing")
	}
	s.pos++
	if s.peek() == closing {
		return s.fail("a comma stands before a closing bracket")
	}
	return true
}

// element steps to the next element of an array, as member does in an object.
func (s *scanner) element() bool { return s.next(']') }

// skip passes one value of any kind.
func (s *scanner) skip() bool {
	switch s.peek() {
	case '"':
		_, ok := s.text()
		return ok
	case '{':
		for ok := s.enter(); ok; {
			if _, ok = s.key(); ok {
				ok = s.skip()
			}
		}
		return s.bad == ""
	case '[':
		for ok := s.enter(); ok; {
			if ok = s.element(); ok {
				ok = s.skip()
			}
		}
		return s.bad == ""
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	_, ok := s.number()
	return ok
}

// value passes one value and gives its bytes.
func (s *scanner) value() []byte {
	s.peek()
	start := s.pos
	if !s.skip() {
		return nil
	}
	return s.data[start:s.pos]
}

func (s *scanner) literal(word string) bool {
	if len(s.data)-s.pos < len(word) || string(s.data[s.pos:s.pos+len(word)]) != word {
		return s.fail("a value is missing or misspelt")
	}
	s.pos += len(word)
	return s.bad == ""
}

// null passes a null, if that is what comes next.
func (s *scanner) null() bool { return s.peek() == 'n' && s.literal("null") }

// text reads a string, whose quote comes next, and gives what stands between
// its quotes, still escaped. It looks at eight bytes at a time: most of every
// body is the inside of strings.
func (s *scanner) text() ([]byte, bool) {
	d, start := s.data, s.pos+1
	for i := start; ; {
		for i+8 <= len(d) {
			if m := special(binary.LittleEndian.Uint64(d[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		for i < len(d) && d[i] >= ' ' && d[i] != '"' && d[i] != '\\' {
			i++
		}
		if i >= len(d) {
			s.pos = len(d)
			return nil, s.fail("a string does not end")
		}
		switch d[i] {
		case '"':
			s.pos = i + 1
			return d[start:i], s.bad == ""
		case '\\':
			n := s.escape(d[i:])
			if n == 0 {
				s.pos = i
				return nil, s.fail("a string holds an unknown escape")
			}
			i += n
		default:
			s.pos = i
			return nil, s.fail("a string holds a control character that is not escaped")
		}
	}
}

// A byte's lowest and its top bit, eight times.
const ones, tops = 0x0101010101010101, 0x8080808080808080

// special marks the top bit of each byte that ends the plain part of a string:
// a quote, a backslash or a control character. Marks above the lowest one may be
// wrong (borrows run upwards); callers use the lowest only.
func special(w uint64) uint64 {
	quote, slash := w^(ones*'"'), w^(ones*'\\')
	return ((w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash) & tops
}

// escape gives the length of the escape at the start of d, 0 if it is none.
func (s *scanner) escape(d []byte) int {
	if len(d) < 2 {
		return 0
	}
	switch d[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(d) < 6 {
			return 0
		}
		for _, c := range d[2:6] {
			if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
				return 0
			}
		}
		if string(d[2:6]) == "0000" {
			s.nul = true
		}
		return 6
	}
	return 0
}

// number reads a number and gives its bytes.
func (s *scanner) number() ([]byte, bool) {
	d, i := s.data, s.pos
	if i < len(d) && d[i] == '-' {
		i++
	}
	n := digits(d, i)
	ok := n > 0 && (n == 1 || d[i] != '0')
	i += n
	if ok && i < len(d) && d[i] == '.' {
		n = digits(d, i+1)
		ok = n > 0
		i += 1 + n
	}
	if ok && i < len(d) && d[i]|0x20 == 'e' {
		i++
		if i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		n = digits(d, i)
		ok = n > 0
		i += n
	}
	if !ok {
		return nil, s.fail("a value is missing or misspelt")
	}
	raw := d[s.pos:i]
	s.pos = i
	return raw, s.bad == ""
}

// digits counts the digits from i on.
func digits(d []byte, i int) int {
	start := i
	for i < len(d) && '0' <= d[i] && d[i] <= '9' {
		i++
	}
	return i - start
}
