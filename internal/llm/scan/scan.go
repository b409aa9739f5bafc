// Package scan reads JSON without decoding it. A gateway passes most of what it
// reads on: decoding and encoding each event costs more than everything else it
// does. What the members mean is the dialects' business.
package scan

import (
	"encoding/binary"
	"math/bits"
	"strconv"

	"onemind/internal/llm"
)

// Nesting that is accepted. A client's body is bounded tightly, because every
// level costs a stack frame here and at whoever reads it next; a provider's
// answer may carry a tool's JSON.
const (
	ClientDepth   = 64
	UpstreamDepth = 256
)

// Scanner pulls its way through JSON without decoding it: callers step into the
// objects they care about and skip the rest, and every byte that was passed has
// been held against the grammar. It does not look at UTF-8: whoever needs that
// asks utf8.Valid about the whole, which is faster than asking per string.
//
// The first thing that is wrong stops it: every later call says no, and Bad
// tells what it was, at Pos.
type Scanner struct {
	Data    []byte // what is read
	Pos     int    // where the next thing begins
	left    int    // levels of nesting that may still be opened
	first   bool   // nothing of the innermost object or array has been read
	Name    []byte // the member's name, unescaped
	At      int    // where the member begins
	escaped bool   // the last string has escapes
	Nul     bool   // a string held \u0000
	Bad     string // what is wrong; empty while all is well
}

// New returns a Scanner at the start of data that opens depth levels of nesting
// at most.
func New(data []byte, depth int) Scanner { return Scanner{Data: data, left: depth} }

// Valid reports whether data is exactly one JSON value.
func Valid(data []byte, depth int) bool {
	s := New(data, depth)
	return s.Skip() && s.End()
}

func (s *Scanner) fail(what string) bool {
	if s.Bad == "" {
		s.Bad = what
	}
	return false
}

// Peek gives the first byte of what comes next, 0 at the end of data.
func (s *Scanner) Peek() byte {
	for s.Pos < len(s.Data) {
		c := s.Data[s.Pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		s.Pos++
	}
	return 0
}

// End reports whether nothing but space follows.
func (s *Scanner) End() bool {
	if s.Bad != "" {
		return false
	}
	s.Peek()
	if s.Pos < len(s.Data) {
		return s.fail("more follows after the end of the JSON value")
	}
	return true
}

// Enter steps into an object or an array, whose opening byte comes next.
func (s *Scanner) Enter() bool {
	if s.left == 0 {
		return s.fail("it is nested too deeply")
	}
	s.left--
	s.Pos++
	s.first = true
	return s.Bad == ""
}

// Member steps to the next Member of an object and leaves its value to the
// caller, who has to read exactly that. It says no behind the last one.
func (s *Scanner) Member() bool {
	raw, ok := s.key()
	if ok {
		s.Name = raw
		if s.escaped {
			s.Name = llm.AppendUnescaped(nil, raw)
		}
	}
	return ok
}

func (s *Scanner) key() ([]byte, bool) {
	if !s.next('}') {
		return nil, false
	}
	if s.Peek() != '"' {
		return nil, s.fail("the name of a member is missing")
	}
	s.At = s.Pos
	raw, ok := s.Text()
	if !ok {
		return nil, false
	}
	if s.Peek() != ':' {
		return nil, s.fail("a colon is missing")
	}
	s.Pos++
	return raw, true
}

// next steps over the comma before the next member or element, or over the
// closing byte.
func (s *Scanner) next(closing byte) bool {
	if s.Bad != "" {
		return false
	}
	first := s.first
	s.first = false
	c := s.Peek()
	if c == closing {
		s.Pos++
		s.left++
		return false
	}
	if first {
		return true
	}
	if c != ',' {
		return s.fail("a comma or a closing bracket is missing")
	}
	s.Pos++
	if s.Peek() == closing {
		return s.fail("a comma stands before a closing bracket")
	}
	return true
}

// Element steps to the next Element of an array, as member does in an object.
func (s *Scanner) Element() bool { return s.next(']') }

// Skip passes one value of any kind.
func (s *Scanner) Skip() bool {
	switch s.Peek() {
	case '"':
		_, ok := s.Text()
		return ok
	case '{':
		for ok := s.Enter(); ok; {
			if _, ok = s.key(); ok {
				ok = s.Skip()
			}
		}
		return s.Bad == ""
	case '[':
		for ok := s.Enter(); ok; {
			if ok = s.Element(); ok {
				ok = s.Skip()
			}
		}
		return s.Bad == ""
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	_, ok := s.Number()
	return ok
}

// Value passes one Value and gives its bytes.
func (s *Scanner) Value() []byte {
	s.Peek()
	start := s.Pos
	if !s.Skip() {
		return nil
	}
	return s.Data[start:s.Pos]
}

func (s *Scanner) literal(word string) bool {
	if len(s.Data)-s.Pos < len(word) || string(s.Data[s.Pos:s.Pos+len(word)]) != word {
		return s.fail("a value is missing or misspelt")
	}
	s.Pos += len(word)
	return s.Bad == ""
}

// Null passes a Null, if that is what comes next.
func (s *Scanner) Null() bool { return s.Peek() == 'n' && s.literal("null") }

// Text reads a string, whose quote comes next, and gives what stands between
// its quotes, still escaped. It looks at eight bytes at a time: most of every
// body is the inside of strings.
func (s *Scanner) Text() ([]byte, bool) {
	d, start := s.Data, s.Pos+1
	s.escaped = false
	for i := start; ; {
		for i+8 <= len(d) {
			if m := special(binary.LittleEndian.Uint64(d[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				if d[i] == '"' {
					s.Pos = i + 1
					return d[start:i], s.Bad == ""
				}
				break
			}
			i += 8
		}
		for i < len(d) && d[i] >= ' ' && d[i] != '"' && d[i] != '\\' {
			i++
		}
		if i >= len(d) {
			s.Pos = len(d)
			return nil, s.fail("a string does not end")
		}
		switch d[i] {
		case '"':
			s.Pos = i + 1
			return d[start:i], s.Bad == ""
		case '\\':
			s.escaped = true
			n := s.escape(d[i:])
			if n == 0 {
				s.Pos = i
				return nil, s.fail("a string holds an unknown escape")
			}
			i += n
		default:
			s.Pos = i
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
func (s *Scanner) escape(d []byte) int {
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
			s.Nul = true
		}
		return 6
	}
	return 0
}

// Number reads a Number and gives its bytes.
func (s *Scanner) Number() ([]byte, bool) {
	d, i := s.Data, s.Pos
	if i < len(d) && d[i] == '-' {
		i++
	}
	n := Digits(d, i)
	ok := n > 0 && (n == 1 || d[i] != '0')
	i += n
	if ok && i < len(d) && d[i] == '.' {
		n = Digits(d, i+1)
		ok = n > 0
		i += 1 + n
	}
	if ok && i < len(d) && d[i]|0x20 == 'e' {
		i++
		if i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		n = Digits(d, i)
		ok = n > 0
		i += n
	}
	if !ok {
		return nil, s.fail("a value is missing or misspelt")
	}
	raw := d[s.Pos:i]
	s.Pos = i
	return raw, s.Bad == ""
}

// Digits counts the Digits from i on.
func Digits(d []byte, i int) int {
	start := i
	for i < len(d) && '0' <= d[i] && d[i] <= '9' {
		i++
	}
	return i - start
}

// Find gives the value of an object's member, nil if it has none.
func Find(object []byte, name string) []byte {
	s := New(object, UpstreamDepth)
	if s.Peek() != '{' {
		return nil
	}
	for ok := s.Enter(); ok && s.Member(); {
		if string(s.Name) == name {
			return s.Value()
		}
		ok = s.Skip()
	}
	return nil
}

// MaxCount bounds the numbers of tokens that providers claim, so that sums cannot
// overflow.
const MaxCount = 1 << 40

// Count gives the number of tokens that raw is, from 0 to MaxCount: also one that is
// written as 12.0 or 1e3, or is beyond what fits.
func Count(raw []byte) int64 {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		f, _ := strconv.ParseFloat(string(raw), 64)
		n = int64(min(max(f, 0), MaxCount))
	}
	return min(max(n, 0), MaxCount)
}
