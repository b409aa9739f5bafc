package chat

import (
	"strings"
	"unicode"
)

// The rules of search that every store keeps: what a word is, which scripts
// write none, and what of a match is shown.

// Unspaced are scripts that put no space between words. Each of their letters
// counts as a word, and a search for several is one for them in a row.
func Unspaced(r rune) bool {
	return r > 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// Spaced puts spaces around the letters of unspaced scripts.
func Spaced(text string) string {
	if strings.IndexFunc(text, Unspaced) < 0 {
		return text
	}
	var b strings.Builder
	b.Grow(len(text) * 2)
	for _, r := range text {
		if Unspaced(r) {
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// maxWords bounds what one search asks of an index.
const maxWords = 8

// Words splits a query into words, at most eight. What has no letter and no
// digit in it is none, and would match nothing.
func Words(query string) []string {
	var all []string
	for _, w := range strings.FieldsFunc(query, Apart) {
		if len(all) < maxWords && strings.IndexFunc(w, func(r rune) bool { return unicode.In(r, unicode.L, unicode.N) }) >= 0 {
			all = append(all, w)
		}
	}
	return all
}

// Apart tells whether a letter stands between words and in none.
func Apart(r rune) bool { return !unicode.In(r, unicode.L, unicode.N, unicode.M) }

// around is how many letters a snippet shows before and after the match.
const around = 60

// Snippet cuts the part of a text around the first of the words in it, or its
// beginning when an index found a word in another spelling.
func Snippet(text string, words []string) string {
	letters := []rune(strings.Join(strings.Fields(text), " "))
	lower := strings.ToLower(string(letters))
	from := 0
	for _, w := range words {
		if i := strings.Index(lower, strings.ToLower(w)); i >= 0 {
			from = len([]rune(lower[:i])) - around
			break
		}
	}
	from = max(0, min(from, len(letters)-1))
	to := min(len(letters), from+2*around)
	cut := string(letters[from:to])
	if from > 0 {
		cut = "…" + cut
	}
	if to < len(letters) {
		cut += "…"
	}
	return cut
}
