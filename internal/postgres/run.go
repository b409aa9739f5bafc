package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/chat"
)

const (
	runColumns = `id, conversation_id, user_id, idempotency_key, digest, owner, prompt, images::text, system, max_tokens, max_cost,
		temperature, retry_of, selected::text, created_at, finished_at`
	answerColumns = `id, run_id, model, model_name, state, text, reasoning, finish_reason, error_code, error_text, retryable,
		retry_after, tokens::text, estimated, charge, created_at, first_token_ms, total_ms, served_by, substitute_code`
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
func runsWhere(ctx context.Context, q database, where, order string, args ...any) ([]chat.Run, error) {
	runs, err := list(ctx, q, run, `SELECT `+runColumns+` FROM onemind.runs WHERE `+where+order, args...)
	if err != nil || len(runs) == 0 {
		return runs, err
	}
	at, ids := make(map[string]int, len(runs)), make([]string, len(runs))
	for i := range runs {
		at[runs[i].ID], ids[i] = i, runs[i].ID
	}
	answers, err := list(ctx, q, answer, `SELECT `+answerColumns+` FROM onemind.answers WHERE run_id = ANY ($1) ORDER BY run_id, position`, ids)
	for _, a := range answers {
		if i, ok := at[a.Run]; ok {
			runs[i].Answers = append(runs[i].Answers, a)
		}
	}
	return runs, err
}

// oneRun reads the run that where describes, or reports chat.ErrNoRun.
func oneRun(ctx context.Context, q database, where string, args ...any) (chat.Run, error) {
	runs, err := runsWhere(ctx, q, where, "", args...)
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
	err = db.history(ctx, user, func(ctx context.Context, c *pgx.Conn) error {
		return oneSnapshot(ctx, c, func(ctx context.Context, tx pgx.Tx) error {
			runs, err = runsWhere(ctx, tx, `conversation_id = $1 AND user_id = $2`, ` ORDER BY created_at, n`, conversation, user)
			return err
		})
	})
	return runs, err
}

// Unfinished lists runs that never ended, oldest first; see chat.Store.
func (db *DB) Unfinished(ctx context.Context, owner string) (runs []chat.Run, err error) {
	err = db.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		runs, err = runsWhere(ctx, tx, `finished_at IS NULL AND owner <> $1`, ` ORDER BY created_at, n`, owner)
		return err
	})
	return runs, err
}

// byKey repeats the condition of the index on keys, without which it is not used.
const byKey = `user_id = $1 AND idempotency_key = $2 AND idempotency_key <> ''`

// RunByKey finds a run by its idempotency key; see chat.Store.
func (db *DB) RunByKey(ctx context.Context, user, key string) (found chat.Run, err error) {
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		found, err = oneRun(ctx, c, byKey, user, key)
		return err
	})
	return found, err
}

// Run finds a run; see chat.Store.
func (db *DB) Run(ctx context.Context, user, id string) (found chat.Run, err error) {
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		found, err = oneRun(ctx, c, `id = $1 AND ($2::text = '' OR user_id = $2)`, id, user)
		return err
	})
	return found, err
}

// errKeyTaken ends a transaction that met its key in use; it never leaves this package.
var errKeyTaken = errors.New("the idempotency key is in use")

// CreateRun stores a run, or gives the one its key made before; see chat.Store.
func (db *DB) CreateRun(ctx context.Context, r chat.Run, newConversation *chat.Conversation) (stored chat.Run, created bool, err error) {
	db.Wrote(r.User)
	err = db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if newConversation != nil {
			if err := addConversation(ctx, tx, *newConversation); err != nil {
				return err
			}
		}
		if err := addRun(ctx, tx, r); err != nil {
			return err
		}
		stored, err = oneRun(ctx, tx, `id = $1`, r.ID)
		return err
	})
	switch {
	case errors.Is(err, errKeyTaken):
		stored, err = db.RunByKey(ctx, r.User, r.Key)
		return stored, false, err
	case err != nil:
		return chat.Run{}, false, err
	}
	return stored, true, nil
}

func addRun(ctx context.Context, tx pgx.Tx, r chat.Run) error {
	models := make([]string, len(r.Answers))
	for i, a := range r.Answers {
		models[i] = a.Model
	}
	texts, err := documents(models, r.Images, r.Selected)
	if err != nil {
		return err
	}
	n, err := exec(ctx, tx, `UPDATE onemind.conversations SET updated_at = greatest(updated_at, $1), models = $2::text::jsonb WHERE id = $3 AND user_id = $4`,
		cut(r.CreatedAt), texts[0], r.Conversation, r.User)
	if err != nil {
		return err
	}
	if n == 0 {
		return chat.ErrNoConversation
	}
	n, err = exec(ctx, tx, `INSERT INTO onemind.runs (id, conversation_id, user_id, idempotency_key, digest, owner, prompt, images, system, max_tokens, max_cost,
			temperature, retry_of, selected, created_at, finished_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9, $10, $11, $12, $13, $14::text::jsonb, $15, $16)
		ON CONFLICT (user_id, idempotency_key) WHERE idempotency_key <> '' DO NOTHING`,
		r.ID, r.Conversation, r.User, r.Key, r.Digest, r.Owner, r.Prompt, texts[1], r.System, r.MaxTokens, int64(r.MaxCost),
		r.Temperature, r.RetryOf, texts[2], instant(r.CreatedAt), instant(r.FinishedAt))
	if err != nil {
		return err
	}
	if n == 0 {
		return errKeyTaken
	}
	for i, a := range r.Answers {
		if err := addAnswer(ctx, tx, r.ID, i, a); err != nil {
			return err
		}
	}
	return index(ctx, tx, searchText{ref: r.ID, source: "prompt", conversation: r.Conversation, user: r.User, text: r.Prompt})
}

func addAnswer(ctx context.Context, tx pgx.Tx, run string, position int, a chat.Answer) error {
	tokens, err := document(a.Tokens)
	if err != nil {
		return err
	}
	_, err = exec(ctx, tx, `INSERT INTO onemind.answers (id, run_id, position, model, model_name, state, text, reasoning, finish_reason, error_code, error_text,
			retryable, retry_after, tokens, estimated, charge, created_at, first_token_ms, total_ms)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::text::jsonb, $15, $16, $17, $18, $19)`,
		a.ID, run, position, a.Model, a.ModelName, string(a.State), a.Text, a.Reasoning, a.FinishReason, a.ErrorCode,
		a.ErrorText, a.Retryable, a.RetryAfter, tokens, a.Estimated, int64(a.Charge), instant(a.CreatedAt), a.FirstTokenMS, a.TotalMS)
	if err != nil {
		return fmt.Errorf("store answer %s: %w", a.ID, err)
	}
	return nil
}

// FinishAnswer replaces what became of an answer; see chat.Store.
func (db *DB) FinishAnswer(ctx context.Context, a chat.Answer) error {
	tokens, err := document(a.Tokens)
	if err != nil {
		return err
	}
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		text := searchText{ref: a.ID, source: "answer", text: a.Text}
		_, found, err := first(ctx, tx, func(r *row) struct{} {
			text.conversation, text.user = r.text(), r.text()
			return struct{}{}
		}, `
			UPDATE onemind.answers a SET state = $2, text = $3, reasoning = $4, finish_reason = $5, error_code = $6, error_text = $7, retryable = $8,
				retry_after = $9, tokens = $10::text::jsonb, estimated = $11, charge = $12, first_token_ms = $13, total_ms = $14,
				served_by = $15, substitute_code = $16
			FROM onemind.runs r WHERE a.id = $1 AND r.id = a.run_id
			RETURNING r.conversation_id, r.user_id`,
			a.ID, string(a.State), a.Text, a.Reasoning, a.FinishReason, a.ErrorCode, a.ErrorText, a.Retryable,
			a.RetryAfter, tokens, a.Estimated, int64(a.Charge), a.FirstTokenMS, a.TotalMS, a.ServedBy, a.SubstituteCode)
		if err != nil {
			return err
		}
		if !found {
			return chat.ErrNoAnswer
		}
		db.Wrote(text.user)
		return index(ctx, tx, text)
	})
}

// FinishRun notes when a run ended; the first time stands.
func (db *DB) FinishRun(ctx context.Context, run string, at time.Time) error {
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		n, err := exec(ctx, tx, `UPDATE onemind.runs SET finished_at = coalesce(finished_at, $1) WHERE id = $2`, cut(at), run)
		if err == nil && n == 0 {
			return chat.ErrNoRun
		}
		return err
	})
}

// Select replaces the run's selected answers; see chat.Store.
func (db *DB) Select(ctx context.Context, user, run string, answers []string) error {
	db.Wrote(user)
	selected, err := document(answers)
	if err != nil {
		return err
	}
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		n, err := exec(ctx, tx, `UPDATE onemind.runs SET selected = $1::text::jsonb WHERE id = $2 AND user_id = $3`, selected, run, user)
		if err == nil && n == 0 {
			return chat.ErrNoRun
		}
		return err
	})
}
