package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/chat"
	"onemind/internal/fault"
)

var _ chat.Store = (*DB)(nil)

const conversationColumns = `id, user_id, title, pinned, created_at, updated_at, models::text`

func conversation(r *row) chat.Conversation {
	v := chat.Conversation{ID: r.text(), User: r.text(), Title: r.text(), Pinned: r.bool(), CreatedAt: r.time(), UpdatedAt: r.time()}
	r.json(&v.Models)
	return v
}

// CreateConversation stores a conversation; see chat.Store.
func (db *DB) CreateConversation(ctx context.Context, v chat.Conversation) error {
	db.Wrote(v.User)
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error { return addConversation(ctx, tx, v) })
}

func addConversation(ctx context.Context, tx pgx.Tx, v chat.Conversation) error {
	models, err := document(v.Models)
	if err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `INSERT INTO onemind.conversations (id, user_id, title, pinned, created_at, updated_at, models) VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)`,
		v.ID, v.User, v.Title, v.Pinned, instant(v.CreatedAt), instant(v.UpdatedAt), models); err != nil {
		return err
	}
	return index(ctx, tx, searchText{ref: v.ID, source: "title", conversation: v.ID, user: v.User, text: v.Title})
}

// Conversation finds one of the user's; see chat.Store.
func (db *DB) Conversation(ctx context.Context, user, id string) (found chat.Conversation, err error) {
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var ok bool
		found, ok, err = first(ctx, c, conversation, `SELECT `+conversationColumns+` FROM onemind.conversations WHERE id = $1 AND user_id = $2`, id, user)
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
	where, args := `user_id = $1`, []any{user}
	if p.Cursor != "" {
		after, err := parseCursor(p.Cursor)
		if err != nil {
			return nil, "", err
		}
		where, args = where+` AND (pinned, updated_at, id) < ($2, $3, $4)`, append(args, after...)
	}
	for _, w := range words {
		args = append(args, match(user, w))
		where += fmt.Sprintf(` AND id IN (SELECT conversation_id FROM onemind.search_texts WHERE words @@ $%d::text::tsquery)`, len(args))
	}
	_, rows := page(0, p.Limit, maxConversations)
	args = append(args, rows+1)
	err = db.history(ctx, user, func(ctx context.Context, c *pgx.Conn) error {
		return oneSnapshot(ctx, c, func(ctx context.Context, tx pgx.Tx) error {
			found, err = list(ctx, tx, conversation, `SELECT `+conversationColumns+` FROM onemind.conversations WHERE `+where+
				fmt.Sprintf(` ORDER BY pinned DESC, updated_at DESC, id DESC LIMIT $%d`, len(args)), args...)
			if err != nil {
				return err
			}
			if int64(len(found)) > rows {
				found = found[:rows]
				next = cursor(found[rows-1])
			}
			return addSnippets(ctx, tx, user, words, found)
		})
	})
	if err != nil {
		return nil, "", err
	}
	return found, next, nil
}

// cursor names the place of a conversation in the list.
func cursor(v chat.Conversation) string {
	return fmt.Sprintf("%t.%d.%s", v.Pinned, v.UpdatedAt.UnixMilli(), v.ID)
}

func parseCursor(s string) ([]any, error) {
	parts := strings.SplitN(s, ".", 3)
	if len(parts) == 3 {
		pinned, err1 := strconv.ParseBool(parts[0])
		updated, err2 := strconv.ParseInt(parts[1], 10, 64)
		if err1 == nil && err2 == nil && updated > -1<<53 && updated < 1<<53 {
			return []any{pinned, time.UnixMilli(updated).UTC(), parts[2]}, nil
		}
	}
	return nil, fault.New(fault.Invalid, "invalid_cursor", "This cursor is not one of ours: start the list again.")
}

// UpdateConversation replaces title and pinned; see chat.Store.
func (db *DB) UpdateConversation(ctx context.Context, v chat.Conversation) error {
	db.Wrote(v.User)
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		n, err := exec(ctx, tx, `UPDATE onemind.conversations SET title = $1, pinned = $2 WHERE id = $3 AND user_id = $4`, v.Title, v.Pinned, v.ID, v.User)
		if err != nil {
			return err
		}
		if n == 0 {
			return chat.ErrNoConversation
		}
		return index(ctx, tx, searchText{ref: v.ID, source: "title", conversation: v.ID, user: v.User, text: v.Title})
	})
}

// DeleteConversation removes a conversation with its runs, their logs and what
// the search knows of it. What it cost stays in the books.
func (db *DB) DeleteConversation(ctx context.Context, user, id string) error {
	db.Wrote(user)
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		found, err := exists(ctx, tx, `SELECT 1 FROM onemind.conversations WHERE id = $1 AND user_id = $2 FOR UPDATE`, id, user)
		if err != nil {
			return err
		}
		if !found {
			return chat.ErrNoConversation
		}
		for _, sql := range []string{
			`DELETE FROM onemind.run_events WHERE run_id IN (SELECT id FROM onemind.runs WHERE conversation_id = $1)`,
			`DELETE FROM onemind.conversations WHERE id = $1`, // and, by their foreign keys, runs, answers and what is searched
		} {
			if _, err := exec(ctx, tx, sql, id); err != nil {
				return err
			}
		}
		return nil
	})
}
