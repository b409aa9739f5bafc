package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"
	"golang.org/x/text/unicode/norm"

	"onemind/internal/chat"
)

// Bounds of what the search keeps of one text. Postgres takes no lexeme of 2 KB,
// no position above 16383 and no vector of 1 MB.
const (
	maxLexeme   = 200 // bytes; a longer word is found by its beginning
	maxPosition = 16383
	maxVector   = 700 << 10 // bytes
)

// searchText is a text that the search can find.
type searchText struct {
	ref          string // id of the conversation, run or answer it belongs to
	source       string // title, prompt or answer
	conversation string
	user         string
	text         string
}

// index puts a text into the search, in place of what it was before.
func index(ctx context.Context, tx pgx.Tx, t searchText) error {
	_, err := exec(ctx, tx, `
		INSERT INTO onemind.search_texts (ref, source, conversation_id, words) VALUES ($1, $2, $3, $4::text::tsvector)
		ON CONFLICT (ref) DO UPDATE SET words = excluded.words`, t.ref, t.source, t.conversation, vector(t.user, t.text))
	return err
}

// ownerMark begins every word of a user's texts, so that a search walks through
// that user's words alone: the index collects all words with a prefix before it
// looks at any other condition. Two users may share a mark; whose a conversation
// is, is checked where it is read.
func ownerMark(user string) string {
	sum := sha256.Sum256([]byte(user))
	return hex.EncodeToString(sum[:4])
}

// fold brings a word into the form it is found by: small letters, without marks.
func fold(word string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(word) {
		if !unicode.Is(unicode.Mn, r) {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	text := norm.NFC.String(b.String())
	if text == "" { // nothing but marks, such as those of half-width kana
		text = word
	}
	if len(text) > maxLexeme {
		text = strings.ToValidUTF8(text[:maxLexeme], "")
	}
	return text
}

// lexemes gives the words of a text in order.
func lexemes(text string) []string {
	return strings.FieldsFunc(chat.Spaced(clean(text)), chat.Apart)
}

// vector writes a text as the words it is found by. Words have letters and digits
// only, so that quoting them needs no escapes; positions tell which follow which.
func vector(user, text string) string {
	var b strings.Builder
	mark := ownerMark(user)
	for i, w := range lexemes(text) {
		if i >= maxPosition || b.Len() > maxVector {
			break
		}
		b.WriteString(" '")
		b.WriteString(mark)
		b.WriteString(fold(w))
		b.WriteString("':")
		b.WriteString(strconv.Itoa(i + 1))
	}
	return b.String()
}

// match is the condition for texts of the user with a word that begins so; the
// letters of unspaced scripts follow each other.
func match(user, word string) string {
	mark := ownerMark(user)
	if strings.IndexFunc(word, chat.Unspaced) < 0 {
		return "'" + mark + fold(word) + "':*"
	}
	var parts []string
	for _, w := range lexemes(word) {
		parts = append(parts, "'"+mark+fold(w)+"'")
	}
	return "(" + strings.Join(parts, " <-> ") + ")"
}

// addSnippets cuts out where each conversation matched: in its oldest prompt or
// answer with one of the words, else in its title.
func addSnippets(ctx context.Context, tx pgx.Tx, user string, words []string, found []chat.Conversation) error {
	if len(words) == 0 || len(found) == 0 {
		return nil
	}
	some := make([]string, len(words))
	for i, w := range words {
		some[i] = match(user, w)
	}
	ids, at := make([]string, len(found)), make(map[string]int, len(found))
	for i, v := range found {
		ids[i], at[v.ID] = v.ID, i
	}
	_, err := list(ctx, tx, func(r *row) struct{} {
		if v := &found[at[r.text()]]; v.Snippet == "" {
			v.Snippet = chat.Snippet(r.text(), words)
		}
		return struct{}{}
	}, `SELECT t.conversation_id, coalesce(a.text, r.prompt, v.title, '')
		FROM onemind.search_texts t
			LEFT JOIN onemind.answers a ON a.id = t.ref LEFT JOIN onemind.runs r ON r.id = t.ref LEFT JOIN onemind.conversations v ON v.id = t.ref
		WHERE t.conversation_id = ANY ($1) AND t.words @@ $2::text::tsquery
		ORDER BY t.source = 'title', t.id`, ids, strings.Join(some, " | "))
	return err
}
