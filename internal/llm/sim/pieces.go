package sim

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// pieceSize bounds a piece in letters: tokenizers split long words too.
const pieceSize = 12

// Pieces cuts a text into what counts as its tokens here: a word with the space
// before it, a run of spaces, or a single sign. Together they are the text.
func Pieces(text string) []string {
	var pieces []string
	for len(text) > 0 {
		n := piece(text)
		pieces = append(pieces, text[:n])
		text = text[n:]
	}
	return pieces
}

// piece gives the length of the piece at the start of text.
func piece(text string) int {
	n := len(text) - len(strings.TrimLeft(text, " \n"))
	if n > 1 || n == 1 && text[0] == '\n' {
		if n < len(text) && text[n-1] == ' ' && n > 1 {
			return n - 1 // the last space belongs to the word behind it
		}
		return n
	}
	letters := 0
	for i := n; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			if letters == 0 {
				return i + size
			}
			return i
		}
		if letters++; letters > pieceSize {
			return i
		}
		i += size
	}
	return len(text)
}
