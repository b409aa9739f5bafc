package sqlite

import (
	"context"
	"time"

	"onemind/internal/chat"
)

const (
	runColumns = `id, conversation_id, user_id, idempotency_key, digest, owner, prompt, images, system, max_tokens, max_cost,
		temperature, retry_of, selected, created_at, finished_at`
	answerColumns = `id, run_id, model, model_name, state, text, reasoning, finish_reason, error_code, error_text, retryable,
		retry_after, tokens, estimated, charge, created_at, first_token_ms, total_ms, served_by, substitute_code`
)

func run(r *row) chat.Run {
	v := chat.Run{ID: r.text(), Conversation: r.text(), User: r.text(), Key: r.text(), Digest: r.text(), Owner: r.text(), Prompt: r.text()}
	r.json(&v.Images)
	v.System, v.MaxTokens, v.MaxCost, v.Temperature, v.RetryOf = r.text(), r.int(), r.amount(), r.float(), r.text()
	r.json(&v.Selected)
	v.CreatedAt, v.FinishedAt = r.time(), r.time()
	return v
}

func answer(r *row) chat.Answer {
	v := chat.Answer{ID: r.text(), Run: r.text(), Model: r.text(), ModelName: r.text(), State: chat.State(r.text()), Text: r.text(),
		Reasoning: r.text(), FinishReason: r.text(), ErrorCode: r.text(), ErrorText: r.text(), Retryable: r.bool(), RetryAfter: r.int()}
	r.json(&v.Tokens)
	v.Estimated, v.Charge, v.CreatedAt, v.FirstTokenMS, v.TotalMS = r.bool(), r.amount(), r.time(), r.int(), r.int()
	v.ServedBy, v.SubstituteCode = r.text(), r.text()
	return v
}

// runsWhere reads runs with their answers, in two queries however many there are.
func runsWhere(c *conn, where, order string, args ...any) ([]chat.Run, error) {
	runs, err := list(c, run, `SELECT `+runColumns+` FROM runs WHERE `+where+order, args...)
	if err != nil || len(runs) == 0 {
		return runs, err
	}
	at := make(map[string]int, len(runs))
	for i := range runs {
		at[runs[i].ID] = i
	}
	err = c.query(func(r *row) error {
		a := answer(r)
		if i, ok := at[a.Run]; ok {
			runs[i].Answers = append(runs[i].Answers, a)
		}
		return nil
	}, `SELECT `+answerColumns+` FROM answers WHERE run_id IN (SELECT id FROM runs WHERE `+where+`) ORDER BY run_id, position`, args...)
	return runs, err
}

// oneRun reads the run that where describes, or reports chat.ErrNoRun.
func oneRun(c *conn, where string, args ...any) (chat.Run, error) {
	runs, err := runsWhere(c, where, "", args...)
	if err == nil && len(runs) == 0 {
		return chat.Run{}, chat.ErrNoRun
	}
	if err != nil {
		return chat.Run{}, err
	}
	return runs[0], nil
}

// Runs gives a conversation's runs, oldest first; see chat.Store.
func (db *DB) Runs(ctx context.Context, user, conversation string) (runs []chat.Run, err error) {
	err = db.readTogether(ctx, func(c *conn) error {
		runs, err = runsWhere(c, `conversation_id = ? AND user_id = ?`, ` ORDER BY created_at, n`, conversation, user)
		return err
	})
	return runs, err
}

// Unfinished lists runs that never ended, oldest first; see chat.Store.
func (db *DB) Unfinished(ctx context.Context, owner string) (runs []chat.Run, err error) {
	err = db.readTogether(ctx, func(c *conn) error {
		runs, err = runsWhere(c, `finished_at IS NULL AND owner <> ?`, ` ORDER BY created_at, n`, owner)
		return err
	})
	return runs, err
}

// RunByKey finds a run by its idempotency key; see chat.Store.
func (db *DB) RunByKey(ctx context.Context, user, key string) (found chat.Run, err error) {
	err = db.readTogether(ctx, func(c *conn) error {
		found, err = oneRun(c, byKey, user, key)
		return err
	})
	return found, err
}

// byKey repeats the condition of the index on keys, without which it is not used.
const byKey = `user_id = ? AND idempotency_key = ? AND idempotency_key <> ''`

// Run finds a run; see chat.Store.
func (db *DB) Run(ctx context.Context, user, id string) (found chat.Run, err error) {
	err = db.readTogether(ctx, func(c *conn) error {
		found, err = oneRun(c, `id = ?1 AND (?2 = '' OR user_id = ?2)`, id, user)
		return err
	})
	return found, err
}

// CreateRun stores a run, or gives the one its key made before; see chat.Store.
func (db *DB) CreateRun(ctx context.Context, r chat.Run, newConversation *chat.Conversation) (stored chat.Run, created bool, err error) {
	err = db.change(ctx, func(c *conn) error {
		stored, created = chat.Run{}, false
		if r.Key != "" {
			before, err := oneRun(c, byKey, r.User, r.Key)
			if err == nil {
				stored = before
				return nil
			}
			if err != chat.ErrNoRun { //nolint:errorlint // the very value, from one line above
				return err
			}
		}
		if newConversation != nil {
			if err := addConversation(c, *newConversation); err != nil {
				return err
			}
		}
		if err := addRun(c, r); err != nil {
			return err
		}
		stored, err = oneRun(c, `id = ?`, r.ID)
		created = err == nil
		return err
	})
	if err != nil {
		return chat.Run{}, false, err
	}
	return stored, created, nil
}

func addRun(c *conn, r chat.Run) error {
	models := make([]string, len(r.Answers))
	for i, a := range r.Answers {
		models[i] = a.Model
	}
	n, err := c.exec(`UPDATE conversations SET updated_at = max(updated_at, ?), models = ? WHERE id = ? AND user_id = ?`,
		r.CreatedAt.UnixMilli(), models, r.Conversation, r.User)
	if err != nil {
		return err
	}
	if n == 0 {
		return chat.ErrNoConversation
	}
	if _, err := c.exec(`INSERT INTO runs (`+runColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Conversation, r.User, r.Key, r.Digest, r.Owner, r.Prompt, r.Images, r.System, r.MaxTokens, r.MaxCost,
		r.Temperature, r.RetryOf, r.Selected, r.CreatedAt.UnixMilli(), r.FinishedAt); err != nil {
		return err
	}
	for i, a := range r.Answers {
		if _, err := c.exec(`INSERT INTO answers (`+answerColumns+`, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			a.ID, r.ID, a.Model, a.ModelName, string(a.State), a.Text, a.Reasoning, a.FinishReason, a.ErrorCode, a.ErrorText, a.Retryable,
			a.RetryAfter, a.Tokens, a.Estimated, a.Charge, a.CreatedAt.UnixMilli(), a.FirstTokenMS, a.TotalMS, a.ServedBy, a.SubstituteCode, i); err != nil {
			return err
		}
	}
	return index(c, searchText{ref: r.ID, source: "prompt", conversation: r.Conversation, user: r.User, text: r.Prompt})
}

// FinishAnswer replaces what became of an answer; see chat.Store.
func (db *DB) FinishAnswer(ctx context.Context, a chat.Answer) error {
	return db.change(ctx, func(c *conn) error {
		text := searchText{ref: a.ID, source: "answer", text: a.Text}
		found, err := c.first(func(r *row) { text.conversation, text.user = r.text(), r.text() }, `
			SELECT r.conversation_id, r.user_id FROM answers a JOIN runs r ON r.id = a.run_id WHERE a.id = ?`, a.ID)
		if err != nil {
			return err
		}
		if !found {
			return chat.ErrNoAnswer
		}
		if _, err := c.exec(`
			UPDATE answers SET state = ?, text = ?, reasoning = ?, finish_reason = ?, error_code = ?, error_text = ?, retryable = ?,
				retry_after = ?, tokens = ?, estimated = ?, charge = ?, first_token_ms = ?, total_ms = ?, served_by = ?, substitute_code = ?
			WHERE id = ?`,
			string(a.State), a.Text, a.Reasoning, a.FinishReason, a.ErrorCode, a.ErrorText, a.Retryable,
			a.RetryAfter, a.Tokens, a.Estimated, a.Charge, a.FirstTokenMS, a.TotalMS, a.ServedBy, a.SubstituteCode, a.ID); err != nil {
			return err
		}
		return index(c, text)
	})
}

// FinishRun notes when a run ended; the first time stands.
func (db *DB) FinishRun(ctx context.Context, run string, at time.Time) error {
	return db.change(ctx, func(c *conn) error {
		n, err := c.exec(`UPDATE runs SET finished_at = coalesce(finished_at, ?) WHERE id = ?`, at.UnixMilli(), run)
		if err == nil && n == 0 {
			return chat.ErrNoRun
		}
		return err
	})
}

// Select replaces the run's selected answers; see chat.Store.
func (db *DB) Select(ctx context.Context, user, run string, answers []string) error {
	return db.change(ctx, func(c *conn) error {
		n, err := c.exec(`UPDATE runs SET selected = ? WHERE id = ? AND user_id = ?`, answers, run, user)
		if err == nil && n == 0 {
			return chat.ErrNoRun
		}
		return err
	})
}
