package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/credit"
)

// Open lists open holds; see credit.Store.
func (db *DB) Open(ctx context.Context, before time.Time) (holds []credit.Hold, err error) {
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		holds, err = list(ctx, c, func(r *row) credit.Hold {
			return credit.Hold{Ref: r.text(), User: r.text(), Owner: r.text(), Amount: r.amount(), Terms: []byte(r.text()), Progress: r.int(), At: r.time(), Key: r.text()}
		}, `SELECT ref, user_id, owner, amount, terms, progress, created_at, key_id FROM onemind.holds
			WHERE created_at < $1 ORDER BY created_at, ref LIMIT 1000`, before.UTC())
		return err
	})
	return holds, err
}

// Balance gives what a user has; one that never had anything has nothing.
func (db *DB) Balance(ctx context.Context, user string) (b credit.Balance, err error) {
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b, _, err = first(ctx, c, func(r *row) credit.Balance { return credit.Balance{Total: r.amount(), Held: r.amount()} },
			`SELECT balance, held FROM onemind.credits WHERE user_id = $1`, user)
		return err
	})
	return b, err
}

// Entries lists a user's entries, newest first; see credit.Store.
func (db *DB) Entries(ctx context.Context, user string, p credit.Page) (entries []credit.Entry, err error) {
	below, rows := page(p.Before, p.Limit, maxPage)
	err = db.history(ctx, user, func(ctx context.Context, c *pgx.Conn) error {
		entries, err = list(ctx, c, entry, selectEntry+` WHERE t.user_id = $1 AND t.id < $2 ORDER BY t.id DESC LIMIT $3`, user, below, rows)
		return err
	})
	return entries, err
}

func receipt(r *row) credit.Receipt {
	var v credit.Receipt
	user := r.text()
	r.json(&v)
	v.User = user
	return v
}

// Receipt finds one receipt; see credit.Store. A request that asked several
// models has several: the answer's id tells them apart, the request's gives the first.
func (db *DB) Receipt(ctx context.Context, user, id string) (found credit.Receipt, err error) {
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var ok bool
		found, ok, err = first(ctx, c, receipt, `
			SELECT user_id, receipt FROM (
				SELECT 0 AS place, id, user_id, receipt FROM onemind.receipts WHERE ref = $1 AND ref <> ''
				UNION ALL
				SELECT 1, id, user_id, receipt FROM onemind.receipts WHERE request_id = $1 AND request_id <> '') AS r
			WHERE $2::text = '' OR user_id = $2
			ORDER BY place, id LIMIT 1`, clean(id), user)
		if err == nil && !ok {
			return credit.ErrNoReceipt
		}
		return err
	})
	return found, err
}

// Receipts lists receipts, newest first; see credit.Store.
func (db *DB) Receipts(ctx context.Context, user string, p credit.Page) (receipts []credit.Receipt, last int64, err error) {
	below, rows := page(p.Before, p.Limit, maxPage)
	err = db.history(ctx, user, func(ctx context.Context, c *pgx.Conn) error {
		where, args := `id < $1`, []any{below, rows}
		if user != "" {
			where, args = where+` AND user_id = $3`, append(args, user)
		}
		receipts, err = list(ctx, c, func(r *row) credit.Receipt {
			last = r.int()
			return receipt(r)
		}, `SELECT id, user_id, receipt FROM onemind.receipts WHERE `+where+` ORDER BY id DESC LIMIT $2`, args...)
		return err
	})
	return receipts, last, err
}

// Usage sums receipts by the day they ended and the model that was asked for,
// oldest day first; see credit.Store.
func (db *DB) Usage(ctx context.Context, user string, since time.Time) (usage []credit.UsageRow, err error) {
	err = db.history(ctx, user, func(ctx context.Context, c *pgx.Conn) error {
		usage, err = list(ctx, c, func(r *row) credit.UsageRow {
			return credit.UsageRow{Day: r.text(), Model: r.text(), Requests: r.int(), Input: r.int(), Output: r.int(), Charge: r.amount()}
		}, `SELECT to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, model, count(*), sum(input_tokens)::bigint, sum(output_tokens)::bigint, sum(charge)::bigint
			FROM onemind.receipts WHERE finished_at >= $2 AND ($1::text = '' OR user_id = $1) GROUP BY day, model ORDER BY day, model COLLATE "C"`, user, cut(since))
		return err
	})
	return usage, err
}

// Sums proves the books; see credit.Store. It reads every entry, in one
// snapshot, beside the writers.
func (db *DB) Sums(ctx context.Context) (s credit.Sums, err error) {
	err = db.proof(ctx, func(ctx context.Context, tx pgx.Tx) error {
		s, err = sum(ctx, tx)
		return err
	})
	return s, err
}

func sum(ctx context.Context, tx pgx.Tx) (credit.Sums, error) {
	s, _, err := first(ctx, tx, func(r *row) credit.Sums {
		return credit.Sums{Accounts: r.int(), Transactions: r.int(), OpenHolds: r.int(),
			Entries: r.amount(), Balances: r.amount(), Open: r.amount(), Held: r.amount(), OldestHold: r.time()}
	}, `SELECT (SELECT count(*) FROM onemind.credits), (SELECT count(*) FROM onemind.credit_transactions), (SELECT count(*) FROM onemind.holds),
		(SELECT coalesce(sum(amount), 0)::bigint FROM onemind.credit_transactions), (SELECT coalesce(sum(balance), 0)::bigint FROM onemind.credits),
		(SELECT coalesce(sum(amount), 0)::bigint FROM onemind.holds), (SELECT coalesce(sum(held), 0)::bigint FROM onemind.credits),
		(SELECT min(created_at) FROM onemind.holds)`)
	if err != nil {
		return s, err
	}
	if s.Drifted, err = list(ctx, tx, (*row).text, `
		SELECT user_id FROM (
			SELECT user_id, balance, held FROM onemind.credits
			UNION ALL SELECT user_id, -amount, 0 FROM onemind.credit_transactions
			UNION ALL SELECT user_id, 0, -amount FROM onemind.holds) AS l
		GROUP BY user_id HAVING sum(balance) <> 0 OR sum(held) <> 0 ORDER BY user_id LIMIT 20`); err != nil {
		return s, err
	}
	if s.Negative, err = list(ctx, tx, (*row).text, `
		SELECT user_id FROM onemind.credits WHERE balance < 0 OR held < 0 OR held > balance ORDER BY user_id LIMIT 20`); err != nil {
		return s, err
	}
	s.BadHolds, err = list(ctx, tx, (*row).text, badHolds)
	return s, err
}

// badHolds lists closed holds whose receipt, charge entry and reference do not
// say the same, and entries that could be repeated because their reference is lost.
const badHolds = `
	SELECT r.ref FROM onemind.receipts r
		LEFT JOIN onemind.credit_refs f ON f.user_id = r.user_id AND f.ref = r.ref
		LEFT JOIN onemind.credit_transactions t ON t.id = f.entry_id AND t.created_at = f.created_at
	WHERE r.outcome = '' OR r.charge > r.hold
		OR r.charge > 0 AND (t.id IS NULL OR t.kind <> 'charge' OR t.amount <> -r.charge OR t.user_id <> r.user_id OR t.ref <> r.ref)
		OR r.charge = 0 AND t.id IS NOT NULL
	UNION SELECT h.ref FROM onemind.holds h JOIN onemind.receipts r ON r.ref = h.ref
	UNION SELECT t.ref FROM onemind.credit_transactions t
		LEFT JOIN onemind.receipts r ON r.ref = t.ref AND r.user_id = t.user_id
		LEFT JOIN onemind.credit_refs f ON f.user_id = t.user_id AND f.ref = t.ref AND f.entry_id = t.id
	WHERE f.entry_id IS NULL OR t.kind = 'charge' AND r.id IS NULL
	ORDER BY 1 LIMIT 20`

// proofWithin is how long the books may take to prove: they read everything.
const proofWithin = 5 * time.Minute

// proof runs fn in one snapshot without the deadlines that other acts have.
func (db *DB) proof(ctx context.Context, fn func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, proofWithin)
	defer cancel()
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return translate(err)
	}
	defer conn.Release()
	return translate(oneSnapshot(ctx, conn.Conn(), func(ctx context.Context, tx pgx.Tx) error {
		if _, err := exec(ctx, tx, `SELECT set_config('statement_timeout', '300000', true)`); err != nil {
			return err
		}
		return fn(ctx, tx)
	}))
}
