package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"onemind/internal/credit"
	"onemind/internal/money"
)

var _ credit.Store = (*DB)(nil)

// Hold sets money aside; see credit.Store. The guard and the row are one
// statement: no balance is read first and relied on later.
func (db *DB) Hold(ctx context.Context, h credit.Hold) (money.Amount, error) {
	var held money.Amount
	err := db.changeIf(ctx, func(c *conn) (err error) {
		held, err = hold(c, h)
		return err
	})
	if err != nil {
		return 0, err
	}
	return held, nil
}

func hold(c *conn, h credit.Hold) (held money.Amount, err error) {
	most := h.AtMost
	if h.DayCap > 0 || h.KeyCap > 0 {
		left, err := dayLeft(c, h)
		if err != nil {
			return 0, err
		}
		if left < most {
			if most = max(left, 0); most < h.AtLeast {
				return heldBefore(c, h, credit.DayCapReached(h.At))
			}
		}
	}
	took, err := c.first(func(r *row) { held = r.amount() }, `
		INSERT INTO holds (ref, user_id, owner, amount, terms, created_at, key_id)
		SELECT ?1, ?2, ?3, min(?4, free), ?5, ?6, ?8
		FROM (SELECT coalesce((SELECT balance - held FROM credits WHERE user_id = ?2), 0) AS free)
		WHERE free >= ?7
			AND NOT EXISTS (SELECT 1 FROM receipts WHERE ref = ?1)
			AND NOT EXISTS (SELECT 1 FROM credit_transactions WHERE user_id = ?2 AND ref = ?1)
		ON CONFLICT (ref) DO NOTHING
		RETURNING amount`, h.Ref, h.User, h.Owner, most, h.Terms, h.At, h.AtLeast, h.Key)
	if err != nil {
		return 0, err
	}
	if !took {
		return heldBefore(c, h, credit.ErrShort)
	}
	var counted int64
	if _, err = c.first(func(r *row) { counted = r.int() },
		`UPDATE credits SET held = held + ? WHERE user_id = ? RETURNING counted_day`, held, h.User); err != nil {
		return 0, err
	}
	return held, spend(c, h.User, h.Key, dayOf(h.At), counted, held)
}

// heldBefore tells why a hold was not taken: it was before, open or closed by
// now, or the reference means something else, or it is refused.
func heldBefore(c *conn, h credit.Hold, refusal error) (money.Amount, error) {
	var user string
	var amount money.Amount
	found, err := c.first(func(r *row) { user, amount = r.text(), r.amount() }, `
		SELECT user_id, amount FROM holds WHERE ref = ?1
		UNION ALL SELECT user_id, hold FROM receipts WHERE ref = ?1`, h.Ref)
	switch {
	case err != nil:
		return 0, err
	case found && user == h.User:
		return amount, nil
	case found:
		return 0, credit.ErrReused
	}
	posted, err := c.first(func(*row) {}, `SELECT 1 FROM credit_transactions WHERE user_id = ? AND ref = ?`, h.User, h.Ref)
	if err != nil {
		return 0, err
	}
	if posted {
		return 0, credit.ErrReused
	}
	return 0, refusal
}

// Settle closes a hold; see credit.Store. Whoever deletes the hold is the one
// that closes it.
func (db *DB) Settle(ctx context.Context, r credit.Receipt) (credit.Receipt, bool, error) {
	r.StartedAt, r.FinishedAt = instant(r.StartedAt), instant(r.FinishedAt)
	whole, err := json.Marshal(r) // here and not in the writer, who is everyone's bottleneck
	if err != nil {
		return r, false, fmt.Errorf("write receipt %s: %w", r.ID, err)
	}
	first, closed := r, false
	err = db.changeIf(ctx, func(c *conn) error {
		var held credit.Hold
		var err error
		closed, err = c.first(func(r *row) { held = credit.Hold{User: r.text(), Amount: r.amount(), Key: r.text(), At: r.time()} },
			`DELETE FROM holds WHERE ref = ? AND amount >= ? RETURNING user_id, amount, key_id, created_at`, r.ID, r.Charge)
		if err != nil {
			return err
		}
		if !closed {
			first, err = settledBefore(c, r.ID)
			return err
		}
		first, err = file(c, r, whole, held)
		return err
	})
	if err != nil {
		return credit.Receipt{}, false, err
	}
	return first, closed, nil
}

// file stores the receipt of a hold that was just deleted, with its charge.
func file(c *conn, r credit.Receipt, whole []byte, held credit.Hold) (credit.Receipt, error) {
	r.User = held.User
	if _, err := c.exec(`
		INSERT INTO receipts (ref, user_id, request_id, run_id, model, outcome, input_tokens, output_tokens, hold, charge, finished_at, receipt, key_id, held_on)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.User, r.RequestID, r.Run, r.Model, string(r.Outcome), r.Tokens.Input+r.Tokens.CachedInput+r.Tokens.CacheWrite,
		r.Tokens.Output+r.Tokens.Reasoning, held.Amount, r.Charge, r.FinishedAt.UnixMilli(), string(whole), held.Key, dayOf(held.At)); err != nil {
		return r, err
	}
	if r.Charge > 0 {
		charge := credit.Entry{User: r.User, Kind: credit.Charged, Amount: -r.Charge, Ref: r.ID, Model: r.Model, At: r.FinishedAt}
		if _, err := appendEntry(c, charge); err != nil {
			return r, err
		}
	}
	var counted int64
	if _, err := c.first(func(r *row) { counted = r.int() }, `UPDATE credits SET balance = balance - ?, held = held - ? WHERE user_id = ? RETURNING counted_day`,
		r.Charge, held.Amount, r.User); err != nil {
		return r, err
	}
	return r, spend(c, r.User, held.Key, dayOf(held.At), counted, r.Charge-held.Amount)
}

func settledBefore(c *conn, ref string) (credit.Receipt, error) {
	var first credit.Receipt
	found, err := c.first(func(r *row) { first = receipt(r) }, `SELECT user_id, receipt FROM receipts WHERE ref = ?`, ref)
	if err != nil || found {
		return first, err
	}
	open, err := c.first(func(*row) {}, `SELECT 1 FROM holds WHERE ref = ?`, ref)
	if err != nil {
		return first, err
	}
	if open {
		return first, fmt.Errorf("settle %s: the charge is more than the hold", ref)
	}
	return first, credit.ErrNoHold
}

// instant drops what a column of milliseconds cannot hold, so that a value
// read back is the one that was given.
func instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

func receipt(r *row) credit.Receipt {
	var v credit.Receipt
	user := r.text()
	r.json(&v)
	v.User = user
	return v
}

// Progress notes delivered tokens; see credit.Store.
func (db *DB) Progress(ctx context.Context, tokens map[string]int64) error {
	return db.changeIf(ctx, func(c *conn) error {
		for ref, n := range tokens {
			if _, err := c.exec(`UPDATE holds SET progress = ?1 WHERE ref = ?2 AND progress < ?1`, n, ref); err != nil {
				return err
			}
		}
		return nil
	})
}

// Post appends an entry; see credit.Store. Entries are equal when they would
// do and say the same; the time of a retry is another.
func (db *DB) Post(ctx context.Context, e credit.Entry) (credit.Entry, error) {
	var posted credit.Entry
	err := db.changeIf(ctx, func(c *conn) error {
		found, err := c.first(func(r *row) { posted = entry(r) }, selectEntry+` WHERE user_id = ? AND ref = ?`, e.User, e.Ref)
		if err != nil {
			return err
		}
		if found {
			if posted.Kind != e.Kind || posted.Amount != e.Amount || posted.Reason != e.Reason || posted.Actor != e.Actor || posted.Model != e.Model {
				return credit.ErrReused
			}
			return nil
		}
		held, err := c.first(func(*row) {}, `
			SELECT 1 FROM holds WHERE ref = ?1 AND user_id = ?2 UNION ALL SELECT 1 FROM receipts WHERE ref = ?1 AND user_id = ?2`, e.Ref, e.User)
		if err != nil {
			return err
		}
		if held {
			return credit.ErrReused
		}
		if err := move(c, e.User, e.Amount); err != nil {
			return err
		}
		posted, err = appendEntry(c, e)
		return err
	})
	if err != nil {
		return credit.Entry{}, err
	}
	return posted, nil
}

// move adds to a balance, making its row if there is none, or takes from what
// is available.
func move(c *conn, user string, amount money.Amount) error {
	if amount >= 0 {
		_, err := c.exec(`
			INSERT INTO credits (user_id, balance) VALUES (?, ?)
			ON CONFLICT (user_id) DO UPDATE SET balance = balance + excluded.balance`, user, amount)
		return err
	}
	n, err := c.exec(`UPDATE credits SET balance = balance + ?1 WHERE user_id = ?2 AND balance - held + ?1 >= 0`, amount, user)
	if err == nil && n == 0 {
		return credit.ErrShort
	}
	return err
}

func appendEntry(c *conn, e credit.Entry) (credit.Entry, error) {
	e.At = instant(e.At)
	_, err := c.exec(`
		INSERT INTO credit_transactions (user_id, kind, amount, ref, reason, actor, model, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		e.User, string(e.Kind), e.Amount, e.Ref, e.Reason, e.Actor, e.Model, e.At.UnixMilli())
	e.ID = c.db.LastInsertRowID()
	return e, err
}

const selectEntry = `SELECT id, user_id, kind, amount, ref, reason, actor, model, created_at FROM credit_transactions`

func entry(r *row) credit.Entry {
	return credit.Entry{ID: r.int(), User: r.text(), Kind: credit.Kind(r.text()), Amount: r.amount(), Ref: r.text(),
		Reason: r.text(), Actor: r.text(), Model: r.text(), At: r.time()}
}
