package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/credit"
	"onemind/internal/money"
)

var _ credit.Store = (*DB)(nil)

// Hold sets money aside; see credit.Store.
func (db *DB) Hold(ctx context.Context, h credit.Hold) (money.Amount, error) {
	db.Wrote(h.User)
	a := holdOf(h)
	if err := db.group.do(ctx, a); err != nil {
		return 0, err
	}
	return a.held()
}

func holdOf(h credit.Hold) *act {
	return &act{kind: "hold", ref: h.Ref, user: h.User, owner: h.Owner, text: clean(string(h.Terms)), least: int64(h.AtLeast), most: int64(h.AtMost), at: h.At,
		key: h.Key, dayCap: int64(h.DayCap), keyCap: int64(h.KeyCap)}
}

// held reads the outcome of a hold.
func (a *act) held() (money.Amount, error) {
	switch a.result {
	case "held":
		return money.Amount(a.amount), nil
	case "short":
		return 0, credit.ErrShort
	case "capped":
		return 0, credit.DayCapReached(a.at)
	default:
		return 0, credit.ErrReused
	}
}

// Settle closes a hold; see credit.Store. Whoever deletes the hold is the one
// that closes it.
func (db *DB) Settle(ctx context.Context, r credit.Receipt) (credit.Receipt, bool, error) {
	db.Wrote(r.User)
	r.StartedAt, r.FinishedAt = cut(r.StartedAt), cut(r.FinishedAt)
	whole, err := json.Marshal(r)
	if err != nil {
		return credit.Receipt{}, false, fmt.Errorf("write receipt %s: %w", r.ID, err)
	}
	a := &act{kind: "settle", ref: r.ID, user: r.User, text: clean(string(whole)), request: clean(r.RequestID), run: r.Run, model: clean(r.Model),
		outcome: string(r.Outcome), input: r.Tokens.Input + r.Tokens.CachedInput + r.Tokens.CacheWrite, output: r.Tokens.Output + r.Tokens.Reasoning,
		most: int64(r.Charge), at: r.FinishedAt}
	if err := db.group.do(ctx, a); err != nil {
		return credit.Receipt{}, false, err
	}
	switch a.result {
	case "closed":
		r.User = a.holder
		return r, true, nil
	case "settled":
		var first credit.Receipt
		if err := json.Unmarshal([]byte(a.receipt), &first); err != nil {
			return credit.Receipt{}, false, fmt.Errorf("read receipt %s: %w", r.ID, err)
		}
		first.User = a.holder
		return first, false, nil
	case "over":
		return credit.Receipt{}, false, fmt.Errorf("settle %s: the charge is more than the hold", r.ID)
	default:
		return credit.Receipt{}, false, credit.ErrNoHold
	}
}

// Progress notes delivered tokens; see credit.Store. A hold that is being settled
// is passed over: waiting for it could be waiting in a circle.
func (db *DB) Progress(ctx context.Context, tokens map[string]int64) error {
	if len(tokens) == 0 {
		return nil
	}
	refs := slices.Sorted(maps.Keys(tokens))
	counts := make([]int64, len(refs))
	for i, ref := range refs {
		counts[i] = tokens[ref]
	}
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := exec(ctx, tx, `
			WITH grown AS MATERIALIZED (
				SELECT h.ref, p.n FROM unnest($1::text[], $2::bigint[]) AS p (ref, n) JOIN onemind.holds h ON h.ref = p.ref
				WHERE h.progress < p.n FOR UPDATE OF h SKIP LOCKED)
			UPDATE onemind.holds h SET progress = g.n FROM grown g WHERE h.ref = g.ref`, refs, counts)
		return err
	})
}

// Post appends an entry; see credit.Store. Entries are equal when they would
// do and say the same; the time of a retry is another.
func (db *DB) Post(ctx context.Context, e credit.Entry) (credit.Entry, error) {
	db.Wrote(e.User)
	e.At, e.Reason, e.Actor, e.Model = cut(e.At), clean(e.Reason), clean(e.Actor), clean(e.Model)
	posted, err := db.post(ctx, e)
	if noPartition(err) {
		if err = db.makePartition(ctx, e.At); err == nil {
			posted, err = db.post(ctx, e)
		}
	}
	return posted, err
}

func (db *DB) post(ctx context.Context, e credit.Entry) (posted credit.Entry, err error) {
	err = db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		// The lock of the balance comes first, as in a hold: what is looked up after
		// it cannot change any more.
		if _, err := exec(ctx, tx, `INSERT INTO onemind.credits (user_id, balance) VALUES ($1, 0) ON CONFLICT (user_id) DO NOTHING`, e.User); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT 1 FROM onemind.credits WHERE user_id = $1 FOR UPDATE`, e.User).Scan(new(int)); err != nil {
			return fmt.Errorf("lock the balance: %w", err)
		}
		before, found, err := first(ctx, tx, entry, selectEntry+`
			JOIN onemind.credit_refs f ON f.entry_id = t.id AND f.created_at = t.created_at WHERE f.user_id = $1 AND f.ref = $2`, e.User, e.Ref)
		if err != nil {
			return err
		}
		if found {
			if before.Kind != e.Kind || before.Amount != e.Amount || before.Reason != e.Reason || before.Actor != e.Actor || before.Model != e.Model {
				return credit.ErrReused
			}
			posted = before
			return nil
		}
		held, err := exists(ctx, tx, `SELECT 1 FROM onemind.holds WHERE ref = $1 AND user_id = $2
			UNION ALL SELECT 1 FROM onemind.receipts WHERE ref = $1 AND user_id = $2`, e.Ref, e.User)
		if err != nil {
			return err
		}
		if held {
			return credit.ErrReused
		}
		posted, err = appendEntry(ctx, tx, e)
		return err
	})
	return posted, err
}

// appendEntry moves the balance and writes the entry of it. The caller has
// locked the balance.
func appendEntry(ctx context.Context, tx pgx.Tx, e credit.Entry) (credit.Entry, error) {
	n, err := exec(ctx, tx, `UPDATE onemind.credits SET balance = balance + $1 WHERE user_id = $2 AND ($1::bigint >= 0 OR balance - held + $1 >= 0)`, int64(e.Amount), e.User)
	if err == nil && n == 0 {
		err = credit.ErrShort
	}
	if err != nil {
		return credit.Entry{}, err
	}
	if err := tx.QueryRow(ctx, `
		INSERT INTO onemind.credit_transactions (user_id, kind, amount, ref, reason, actor, model, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`,
		e.User, string(e.Kind), int64(e.Amount), e.Ref, e.Reason, e.Actor, e.Model, e.At).Scan(&e.ID); err != nil {
		return credit.Entry{}, fmt.Errorf("append an entry: %w", err)
	}
	_, err = exec(ctx, tx, `INSERT INTO onemind.credit_refs (user_id, ref, entry_id, created_at) VALUES ($1, $2, $3, $4)`, e.User, e.Ref, e.ID, e.At)
	return e, err
}

const selectEntry = `SELECT t.id, t.user_id, t.kind, t.amount, t.ref, t.reason, t.actor, t.model, t.created_at FROM onemind.credit_transactions t`

func entry(r *row) credit.Entry {
	return credit.Entry{ID: r.int(), User: r.text(), Kind: credit.Kind(r.text()), Amount: r.amount(), Ref: r.text(),
		Reason: r.text(), Actor: r.text(), Model: r.text(), At: r.time()}
}

// monthOf is the first day of a time's month in UTC.
func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}
