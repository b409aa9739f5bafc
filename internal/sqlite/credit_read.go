package sqlite

import (
	"context"
	"time"

	"onemind/internal/credit"
)

// Open lists open holds; see credit.Store.
func (db *DB) Open(ctx context.Context, before time.Time) (holds []credit.Hold, err error) {
	err = db.read(ctx, func(c *conn) error {
		holds, err = list(c, func(r *row) credit.Hold {
			return credit.Hold{Ref: r.text(), User: r.text(), Owner: r.text(), Amount: r.amount(), Terms: r.bytes(), Progress: r.int(), At: r.time(), Key: r.text()}
		}, `SELECT ref, user_id, owner, amount, terms, progress, created_at, key_id FROM holds
			WHERE created_at < ? ORDER BY created_at, ref LIMIT 1000`, before)
		return err
	})
	return holds, err
}

// Balance gives what a user has; one that never had anything has nothing.
func (db *DB) Balance(ctx context.Context, user string) (b credit.Balance, err error) {
	err = db.read(ctx, func(c *conn) error {
		_, err := c.first(func(r *row) { b = credit.Balance{Total: r.amount(), Held: r.amount()} },
			`SELECT balance, held FROM credits WHERE user_id = ?`, user)
		return err
	})
	return b, err
}

// maxPage is the longest page of a list of money.
const maxPage = 200

// page gives the bounds of a page: the smallest id that is too large, and the
// number of rows.
func page(before int64, limit, most int) (below, rows int64) {
	if before <= 0 {
		before = 1<<63 - 1
	}
	if limit <= 0 || limit > most {
		limit = most
	}
	return before, int64(limit)
}

// Entries lists a user's entries, newest first; see credit.Store.
func (db *DB) Entries(ctx context.Context, user string, p credit.Page) (entries []credit.Entry, err error) {
	below, rows := page(p.Before, p.Limit, maxPage)
	err = db.read(ctx, func(c *conn) error {
		entries, err = list(c, entry, selectEntry+` WHERE user_id = ? AND id < ? ORDER BY id DESC LIMIT ?`, user, below, rows)
		return err
	})
	return entries, err
}

// Receipt finds one receipt; see credit.Store. A request that asked several
// models has several: the answer's id tells them apart, the request's gives the first.
func (db *DB) Receipt(ctx context.Context, user, id string) (found credit.Receipt, err error) {
	err = db.read(ctx, func(c *conn) error {
		ok, err := c.first(func(r *row) { found = receipt(r) }, `
			SELECT user_id, receipt FROM (
				SELECT 0 AS place, id, user_id, receipt FROM receipts WHERE ref = ?1 AND ref <> ''
				UNION ALL
				SELECT 1, id, user_id, receipt FROM receipts WHERE request_id = ?1 AND request_id <> '')
			WHERE ?2 = '' OR user_id = ?2
			ORDER BY place, id LIMIT 1`, id, user)
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
	read := func(r *row) credit.Receipt {
		last = r.int()
		return receipt(r)
	}
	err = db.read(ctx, func(c *conn) error {
		if user == "" {
			receipts, err = list(c, read, `SELECT id, user_id, receipt FROM receipts WHERE id < ? ORDER BY id DESC LIMIT ?`, below, rows)
		} else {
			receipts, err = list(c, read, `SELECT id, user_id, receipt FROM receipts WHERE user_id = ? AND id < ? ORDER BY id DESC LIMIT ?`, user, below, rows)
		}
		return err
	})
	return receipts, last, err
}

// Usage sums receipts by the day they ended and the model that was asked for,
// oldest day first; see credit.Store.
func (db *DB) Usage(ctx context.Context, user string, since time.Time) (usage []credit.UsageRow, err error) {
	where := `finished_at >= ?2 AND user_id = ?1`
	if user == "" {
		where = `finished_at >= ?2 AND ?1 = ''`
	}
	err = db.read(ctx, func(c *conn) error {
		usage, err = list(c, func(r *row) credit.UsageRow {
			return credit.UsageRow{Day: r.text(), Model: r.text(), Requests: r.int(), Input: r.int(), Output: r.int(), Charge: r.amount()}
		}, `SELECT strftime('%Y-%m-%d', finished_at / 1000, 'unixepoch') AS day, model, count(*), sum(input_tokens), sum(output_tokens), sum(charge)
			FROM receipts WHERE `+where+` GROUP BY day, model ORDER BY day, model`, user, since.UnixMilli())
		return err
	})
	return usage, err
}

// Sums proves the books; see credit.Store. It reads every entry, in one
// snapshot, beside the writer.
func (db *DB) Sums(ctx context.Context) (s credit.Sums, err error) {
	err = db.readTogether(ctx, func(c *conn) error {
		_, err := c.first(func(r *row) {
			s = credit.Sums{Accounts: r.int(), Transactions: r.int(), OpenHolds: r.int(),
				Entries: r.amount(), Balances: r.amount(), Open: r.amount(), Held: r.amount(), OldestHold: r.time()}
		}, `SELECT (SELECT count(*) FROM credits), (SELECT count(*) FROM credit_transactions), (SELECT count(*) FROM holds),
			(SELECT coalesce(sum(amount), 0) FROM credit_transactions), (SELECT coalesce(sum(balance), 0) FROM credits),
			(SELECT coalesce(sum(amount), 0) FROM holds), (SELECT coalesce(sum(held), 0) FROM credits),
			(SELECT min(created_at) FROM holds)`)
		if err != nil {
			return err
		}
		if s.Drifted, err = list(c, (*row).text, `
			SELECT user_id FROM (
				SELECT user_id, balance, held FROM credits
				UNION ALL SELECT user_id, -amount, 0 FROM credit_transactions
				UNION ALL SELECT user_id, 0, -amount FROM holds)
			GROUP BY user_id HAVING sum(balance) <> 0 OR sum(held) <> 0 ORDER BY user_id LIMIT 20`); err != nil {
			return err
		}
		if s.Negative, err = list(c, (*row).text, `
			SELECT user_id FROM credits WHERE balance < 0 OR held < 0 OR held > balance ORDER BY user_id LIMIT 20`); err != nil {
			return err
		}
		s.BadHolds, err = list(c, (*row).text, `
			SELECT r.ref FROM receipts r LEFT JOIN credit_transactions t ON t.user_id = r.user_id AND t.ref = r.ref
			WHERE r.outcome = '' OR r.charge > r.hold
				OR r.charge > 0 AND (t.id IS NULL OR t.kind <> 'charge' OR t.amount <> -r.charge)
				OR r.charge = 0 AND t.id IS NOT NULL
			UNION SELECT ref FROM holds WHERE ref IN (SELECT ref FROM receipts)
			UNION SELECT t.ref FROM credit_transactions t LEFT JOIN receipts r ON r.ref = t.ref AND r.user_id = t.user_id
				WHERE t.kind = 'charge' AND r.id IS NULL
			ORDER BY 1 LIMIT 20`)
		return err
	})
	return s, err
}
