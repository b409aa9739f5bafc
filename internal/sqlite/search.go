package sqlite

import (
	"encoding/hex"
	"strings"

	"onemind/internal/chat"
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
func index(c *conn, t searchText) error {
	var id int64
	known, err := c.first(func(r *row) { id = r.int() }, `SELECT id FROM search_texts WHERE ref = ?`, t.ref)
	if err != nil {
		return err
	}
	if known {
		if _, err := c.exec(`DELETE FROM search WHERE rowid = ?`, id); err != nil {
			return err
		}
	} else {
		if t.text == "" {
			return nil
		}
		if _, err := c.exec(`INSERT INTO search_texts (ref, source, conversation_id) VALUES (?, ?, ?)`, t.ref, t.source, t.conversation); err != nil {
			return err
		}
		id = c.db.LastInsertRowID()
	}
	_, err = c.exec(`INSERT INTO search (rowid, owner, body) VALUES (?, ?, ?)`, id, ownerWord(t.user), chat.Spaced(t.text))
	return err
}

// ownerWord writes a user's id as one word of the index, whatever is in it.
func ownerWord(user string) string { return "u" + hex.EncodeToString([]byte(user)) }

// match is the index's expression for texts of the user with a word that begins so.
func match(user, word string) string {
	return `owner : "` + ownerWord(user) + `" AND body : ` + prefix(word)
}

// prefix is the expression for one word. It has letters and digits only, so
// that quoting it needs no escapes.
func prefix(word string) string {
	if strings.IndexFunc(word, chat.Unspaced) >= 0 {
		return `"` + strings.TrimSpace(chat.Spaced(word)) + `"`
	}
	return `"` + word + `" *`
}

// addSnippets cuts out where each conversation matched: in its oldest prompt or
// answer with one of the words, else in its title.
func addSnippets(c *conn, user string, words []string, found []chat.Conversation) error {
	if len(words) == 0 || len(found) == 0 {
		return nil
	}
	some := make([]string, len(words))
	for i, w := range words {
		some[i] = prefix(w)
	}
	ids, at := make([]string, len(found)), make(map[string]int, len(found))
	for i, v := range found {
		ids[i], at[v.ID] = v.ID, i
	}
	return c.query(func(r *row) error {
		if v := &found[at[r.text()]]; v.Snippet == "" {
			v.Snippet = chat.Snippet(r.text(), words)
		}
		return nil
	}, `SELECT t.conversation_id, coalesce(a.text, r.prompt, v.title, '')
		FROM search s JOIN search_texts t ON t.id = s.rowid
			LEFT JOIN answers a ON a.id = t.ref LEFT JOIN runs r ON r.id = t.ref LEFT JOIN conversations v ON v.id = t.ref
		WHERE search MATCH ? AND t.conversation_id IN (SELECT value FROM json_each(?))
		ORDER BY t.source = 'title', t.id`,
		`owner : "`+ownerWord(user)+`" AND body : (`+strings.Join(some, " OR ")+`)`, ids)
}
