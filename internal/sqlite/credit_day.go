package sqlite

import (
	"errors"
	"math"
	"time"

	"onemind/internal/credit"
	"onemind/internal/money"
)

const secondsOfDay = 24 * 60 * 60

// dayOf counts the days since 1970 in UTC.
func dayOf(t time.Time) int64 { return t.Unix() / secondsOfDay }

// dayLeft is what the caps of a hold leave of its day; below 0 when a cap was
// lowered under what is spent.
func dayLeft(c *conn, h credit.Hold) (money.Amount, error) {
	left := money.Amount(math.MaxInt64)
	if h.DayCap > 0 {
		spent, err := spentOf(c, h.User, "", dayOf(h.At))
		if err != nil {
			return 0, err
		}
		left = h.DayCap - spent
	}
	if h.KeyCap > 0 && h.Key != "" {
		spent, err := spentOf(c, h.User, h.Key, dayOf(h.At))
		if err != nil {
			return 0, err
		}
		left = min(left, h.KeyCap-spent)
	}
	return left, nil
}

// spentOf is what a user, or one key of a user, has spent of a day. What is asked
// for the first time is added up; spend keeps it right from then on.
func spentOf(c *conn, user, key string, day int64) (spent money.Amount, err error) {
	found, err := c.first(func(r *row) { spent = r.amount() }, `SELECT used FROM credit_days WHERE user_id = ? AND day = ? AND key_id = ?`, user, day, key)
	if err != nil || found {
		return spent, err
	}
	var open money.Amount
	known, err := c.first(func(r *row) { open = r.amount() },
		`UPDATE credits SET counted_day = max(coalesce(counted_day, 0), ?) WHERE user_id = ? RETURNING held`, day, user)
	if err != nil || !known {
		return 0, err // whoever never had anything has spent nothing
	}
	if spent, err = charged(c, user, key, day); err != nil {
		return 0, err
	}
	if open > 0 { // there is no index by user, so it is read only if need be
		if _, err := c.first(func(r *row) { spent += r.amount() }, `
			SELECT coalesce(sum(amount), 0) FROM holds WHERE user_id = ?1 AND created_at / 86400000 = ?2 AND (?3 = '' OR key_id = ?3)`, user, day, key); err != nil {
			return 0, err
		}
	}
	if _, err := c.exec(`DELETE FROM credit_days WHERE user_id = ? AND day < ?`, user, day-3); err != nil {
		return 0, err
	}
	_, err = c.exec(`INSERT INTO credit_days (user_id, day, key_id, used) VALUES (?, ?, ?, ?)`, user, day, key, spent)
	return spent, err
}

// charged adds up what was charged for the holds of a day. Receipts are read back
// from the newest, to an hour before the day: clocks are set.
func charged(c *conn, user, key string, day int64) (sum money.Amount, err error) {
	from := time.Unix(day*secondsOfDay, 0).Add(-time.Hour)
	err = c.query(func(r *row) error {
		charge, of, its, finished := r.amount(), r.text(), r.int(), r.time()
		if its == day && (key == "" || of == key) {
			sum += charge
		}
		if finished.Before(from) {
			return errStopped
		}
		return nil
	}, `SELECT charge, key_id, coalesce(held_on, finished_at / 86400000), finished_at FROM receipts WHERE user_id = ? ORDER BY id DESC`, user)
	if errors.Is(err, errStopped) {
		err = nil
	}
	return sum, err
}

// spend adds to what a user and a key have spent of a day, where that is known:
// counted is the newest day of which it is, 0 if it never was.
func spend(c *conn, user, key string, day, counted int64, amount money.Amount) error {
	if counted < day || amount == 0 {
		return nil
	}
	_, err := c.exec(`UPDATE credit_days SET used = used + ? WHERE user_id = ? AND day = ? AND key_id IN ('', ?)`, amount, user, day, key)
	return err
}
