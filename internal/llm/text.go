package llm

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Text is the event's text as people read it.
func (e *Event) Text() string { return Unescape(e.Content) }

// Thought is the event's reasoning text as people read it.
func (e *Event) Thought() string { return Unescape(e.Reasoning) }

// Unescape gives the text of raw, which stood between the quotes of a JSON
// string. Pieces of several chunks may be put together first: a surrogate pair
// that a provider split over two chunks then becomes one character again.
func Unescape(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	return string(AppendUnescaped(make([]byte, 0, len(raw)), raw))
}

// AppendUnescaped appends the text of raw to dst. Half a surrogate pair becomes
// U+FFFD and what is no escape at all stays as it is: raw may come from anywhere.
func AppendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 || i+1 == len(raw) {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		n := 2
		switch c := raw[i+1]; c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'n':
			dst = append(dst, '\n')
		case 't':
			dst = append(dst, '\t')
		case 'r':
			dst = append(dst, '\r')
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'u':
			var r rune
			if r, n = unicodeEscape(raw[i:]); n == 0 {
				n = 2
				dst = append(dst, raw[i:i+2]...)
			} else {
				dst = utf8.AppendRune(dst, r)
			}
		default:
			dst = append(dst, '\\', c)
		}
		raw = raw[i+n:]
	}
}

// unicodeEscape reads \uXXXX, or the two of a surrogate pair, and says how many
// bytes that took: 0 if there is none.
func unicodeEscape(raw []byte) (rune, int) {
	r := hex4(raw)
	if r < 0 {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if pair := utf16.DecodeRune(r, hex4(raw[6:])); pair != utf8.RuneError {
		return pair, 12
	}
	return utf8.RuneError, 6
}

// hex4 gives the number of \uXXXX, or -1.
func hex4(raw []byte) rune {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range raw[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// AppendQuoted appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func AppendQuoted(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}
