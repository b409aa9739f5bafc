package sqlite

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"onemind/internal/chat"
	"onemind/internal/fault"
)

var _ chat.Store = (*DB)(nil)

const conversationColumns = `id, user_id, title, pinned, created_at, updated_at, models`

func conversation(r *row) chat.Conversation {
	v := chat.Conversation{ID: r.text(), User: r.text(), Title: r.text(), Pinned: r.bool(), CreatedAt: r.time(), UpdatedAt: r.time()}
	r.json(&v.Models)
	return v
}

// CreateConversation stores a conversation; see chat.Store.
func (db *DB) CreateConversation(ctx context.Context, v chat.Conversation) error {
	return db.change(ctx, func(c *conn) error { return addConversation(c, v) })
}

func addConversation(c *conn, v chat.Conversation) error {
	if _, err := c.exec(`INSERT INTO conversations (`+conversationColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		v.ID, v.User, v.Title, v.Pinned, v.CreatedAt.UnixMilli(), v.UpdatedAt.UnixMilli(), v.Models); err != nil {
		return err
	}
	return index(c, searchText{ref: v.ID, source: "title", conversation: v.ID, user: v.User, text: v.Title})
}

// Conversation finds one of the user's; see chat.Store.
func (db *DB) Conversation(ctx context.Context, user, id string) (found chat.Conversation, err error) {
	err = db.read(ctx, func(c *conn) error {
		ok, err := c.first(func(r *row) { found = conversation(r) },
			`SELECT `+conversationColumns+` FROM conversations WHERE id = ? AND user_id = ?`, id, user)
		if err == nil && !ok {
			return chat.ErrNoConversation
		}
		return err
	})
	return found, err
}

// maxConversations is the longest page of a list of conversations.
const maxConversations = 100

// Conversations lists a page, pinned ones first, then by last update; see
// chat.Store. A conversation is found when each word of the query begins some
// word in its title, its prompts or its answers.
func (db *DB) Conversations(ctx context.Context, user string, p chat.Page) (found []chat.Conversation, next string, err error) {
	words := chat.Words(p.Query)
	if len(words) == 0 && strings.TrimSpace(p.Query) != "" {
		return nil, "", nil // nothing but punctuation: no word to find
	}
	where, args := `user_id = ?`, []any{user}
	if p.Cursor != "" {
		after, err := parseCursor(p.Cursor)
		if err != nil {
			return nil, "", err
		}
		where, args = where+` AND (pinned, updated_at, id) < (?, ?, ?)`, append(args, after...)
	}
	for _, w := range words {
		where += ` AND id IN (SELECT t.conversation_id FROM search s JOIN search_texts t ON t.id = s.rowid WHERE search MATCH ?)`
		args = append(args, match(user, w))
	}
	_, rows := page(0, p.Limit, maxConversations)
	err = db.readTogether(ctx, func(c *conn) error {
		found, err = list(c, conversation, `SELECT `+conversationColumns+` FROM conversations WHERE `+where+`
			ORDER BY pinned DESC, updated_at DESC, id DESC LIMIT ?`, append(args, rows+1)...)
		if err != nil {
			return err
		}
		if int64(len(found)) > rows {
			found = found[:rows]
			next = cursor(found[rows-1])
		}
		return addSnippets(c, user, words, found)
	})
	if err != nil {
		return nil, "", err
	}
	return found, next, nil
}

// cursor names the place of a conversation in the list.
func cursor(v chat.Conversation) string {
	pinned := 0
	if v.Pinned {
		pinned = 1
	}
	return fmt.Sprintf("%d.%d.%s", pinned, v.UpdatedAt.UnixMilli(), v.ID)
}

func parseCursor(s string) ([]any, error) {
	parts := strings.SplitN(s, ".", 3)
	if len(parts) == 3 {
		pinned, err1 := strconv.ParseInt(parts[0], 10, 64)
		updated, err2 := strconv.ParseInt(parts[1], 10, 64)
		if err1 == nil && err2 == nil {
			return []any{pinned, updated, parts[2]}, nil
		}
	}
	return nil, fault.New(fault.Invalid, "invalid_cursor", "This cursor is not one of ours: start the list again.")
}

// UpdateConversation replaces title and pinned; see chat.Store.
func (db *DB) UpdateConversation(ctx context.Context, v chat.Conversation) error {
	return db.change(ctx, func(c *conn) error {
		n, err := c.exec(`UPDATE conversations SET title = ?, pinned = ? WHERE id = ? AND user_id = ?`, v.Title, v.Pinned, v.ID, v.User)
		if err != nil {
			return err
		}
		if n == 0 {
			return chat.ErrNoConversation
		}
		return index(c, searchText{ref: v.ID, source: "title", conversation: v.ID, user: v.User, text: v.Title})
	})
}

// DeleteConversation removes a conversation with its runs, their logs and what
// the search knows of it. What it cost stays in the books.
func (db *DB) DeleteConversation(ctx context.Context, user, id string) error {
	return db.change(ctx, func(c *conn) error {
		found, err := c.first(func(*row) {}, `SELECT 1 FROM conversations WHERE id = ? AND user_id = ?`, id, user)
		if err != nil {
			return err
		}
		if !found {
			return chat.ErrNoConversation
		}
		for _, sql := range []string{
			`DELETE FROM search WHERE rowid IN (SELECT id FROM search_texts WHERE conversation_id = ?)`,
			`DELETE FROM search_texts WHERE conversation_id = ?`,
			`DELETE FROM run_events WHERE run_id IN (SELECT id FROM runs WHERE conversation_id = ?)`,
			`DELETE FROM conversations WHERE id = ?`, // and, by their foreign keys, runs and answers
		} {
			if _, err := c.exec(sql, id); err != nil {
				return err
			}
		}
		return nil
	})
}
