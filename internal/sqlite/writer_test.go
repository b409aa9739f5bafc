package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"onemind/internal/chat"
	"onemind/internal/credit"
	"onemind/internal/money"
	"onemind/internal/sqlite"
)

func grant(t testing.TB, db *sqlite.DB, user string, amount money.Amount) {
	t.Helper()
	_, err := db.Post(context.Background(), credit.Entry{User: user, Kind: credit.Grant, Amount: amount, Ref: "grant", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
}

func holdOf(user, ref string) credit.Hold {
	return credit.Hold{Ref: ref, User: user, Owner: "boot", AtLeast: 100, AtMost: 100, Terms: []byte(`{"model":"gpt-4o"}`), At: time.Now()}
}

func receiptOf(user, ref string) credit.Receipt {
	return credit.Receipt{ID: ref, RequestID: "req_" + ref, User: user, Model: "gpt-4o", ServedBy: "gpt-4o", Provider: "openai", Outcome: credit.Finished,
		Tokens: money.Tokens{Input: 100, Output: 50}, Charge: 60, Hold: 100, Released: 40, StartedAt: time.Now(), FinishedAt: time.Now()}
}

func cleanBooks(t testing.TB, db *sqlite.DB) credit.Sums {
	t.Helper()
	report, err := credit.NewLedger(db, nil, func(string) {}).Check(context.Background())
	if err != nil || !report.OK {
		t.Fatalf("the books are wrong: %v %q", err, report.Problems)
	}
	return report.Sums
}

// edit changes the file from outside, as a person with the sqlite3 shell does.
func edit(t testing.TB, path, sql string) error {
	t.Helper()
	c, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.Exec(sql)
}

// Acts that wait together share a commit; one that is alone has its own.
func TestGroupCommit(t *testing.T) {
	db := open(t)
	const users = 400
	before := db.Stats()
	for i := range 5 {
		grant(t, db, fmt.Sprint("alone", i), 1)
	}
	if s := db.Stats(); s.Groups-before.Groups != 5 || s.Acts-before.Acts != 5 {
		t.Errorf("five acts one by one: %+v after %+v", s, before)
	}
	before = db.Stats()
	var callers sync.WaitGroup
	for i := range users {
		callers.Go(func() { grant(t, db, fmt.Sprint("user", i), 1) })
	}
	callers.Wait()
	s := db.Stats()
	if s.Acts-before.Acts != users || s.Groups-before.Groups > users/4 {
		t.Errorf("%d acts at once took %d commits", s.Acts-before.Acts, s.Groups-before.Groups)
	}
	cleanBooks(t, db)
}

// An act that fails, whether it refuses or breaks, takes no other with it.
func TestNeighbours(t *testing.T) {
	db := open(t)
	grant(t, db, "u", 1_000_000)
	var callers sync.WaitGroup
	var refused, broken atomic.Int64
	for i := range 300 {
		callers.Go(func() {
			ctx, name := context.Background(), fmt.Sprint(i)
			switch i % 6 {
			case 0: // refuses
				if _, err := db.Hold(ctx, holdOf("poor", name)); errors.Is(err, credit.ErrShort) {
					refused.Add(1)
				}
			case 1: // breaks a rule of the schema in its second statement, without a savepoint
				if _, err := db.Post(ctx, credit.Entry{User: "u", Amount: 1<<63 - 1, Ref: name, At: time.Now()}); err != nil {
					broken.Add(1)
				}
			case 2: // fails inside a savepoint, after the conversation was made
				r := chat.Run{ID: name, Conversation: "other" + name, User: "u", CreatedAt: time.Now()}
				if _, _, err := db.CreateRun(ctx, r, &chat.Conversation{ID: "c" + name, User: "u", CreatedAt: time.Now(), UpdatedAt: time.Now()}); errors.Is(err, chat.ErrNoConversation) {
					refused.Add(1)
				}
			default:
				if _, err := db.Hold(ctx, holdOf("u", name)); err != nil {
					t.Error(err)
				} else if _, closed, err := db.Settle(ctx, receiptOf("u", name)); err != nil || !closed {
					t.Errorf("closed %v, %v", closed, err)
				}
			}
		})
	}
	callers.Wait()
	if refused.Load() != 100 || broken.Load() != 50 {
		t.Errorf("%d refused and %d broken, want 100 and 50", refused.Load(), broken.Load())
	}
	list, _, err := db.Conversations(context.Background(), "u", chat.Page{Limit: 10})
	if err != nil || len(list) != 0 {
		t.Errorf("a failed act left %d conversations, %v", len(list), err)
	}
	if s := cleanBooks(t, db); s.Transactions != 151 || s.Balances != 1_000_000-150*60 {
		t.Errorf("sums %+v", s)
	}
}

// Acts whose caller is gone before they start are not done.
func TestGone(t *testing.T) {
	db := open(t)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := db.Post(gone, credit.Entry{User: "u", Amount: 1, Ref: "r", At: time.Now()}); !errors.Is(err, context.Canceled) {
		t.Errorf("an act of a caller that is gone: %v", err)
	}
	if _, err := db.Sums(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("a read of a caller that is gone: %v", err)
	}
	if s := cleanBooks(t, db); s.Transactions != 0 {
		t.Errorf("it was done: %+v", s)
	}
}

// Close finishes what was accepted; whoever comes later is told.
func TestClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onemind.db")
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	var done atomic.Int64
	for i := range 200 {
		callers.Go(func() {
			_, err := db.Post(context.Background(), credit.Entry{User: fmt.Sprint(i), Amount: 1, Ref: "r", At: time.Now()})
			if err == nil {
				done.Add(1)
			} else if !errors.Is(err, sqlite.ErrClosed) {
				t.Error(err)
			}
		})
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	callers.Wait()
	if err := db.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if _, err := db.Balance(context.Background(), "u"); !errors.Is(err, sqlite.ErrClosed) {
		t.Errorf("a read after Close: %v", err)
	}
	if db, err = sqlite.Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if s := cleanBooks(t, db); s.Transactions != done.Load() {
		t.Errorf("%d acts were answered, %d are there", done.Load(), s.Transactions)
	}
}

// The tables that prove something refuse to be changed, whoever asks.
func TestAppendOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onemind.db")
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	grant(t, db, "u", 1000)
	if _, err := db.Hold(t.Context(), holdOf("u", "a")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.Settle(t.Context(), receiptOf("u", "a")); err != nil {
		t.Fatal(err)
	}
	if err := edit(t, path, `INSERT INTO audit_log (actor, action, object, before, after, address, created_at) VALUES ('', '', '', '', '', '', 1);
		INSERT INTO ai_model_prices (version, model_id) VALUES ('v', 'm')`); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`UPDATE credit_transactions SET amount = 1`, `DELETE FROM credit_transactions`,
		`UPDATE receipts SET charge = 0`, `DELETE FROM receipts`,
		`UPDATE audit_log SET actor = 'nobody'`, `DELETE FROM audit_log`,
		`UPDATE ai_model_prices SET input_nano_usd = 1`, `DELETE FROM ai_model_prices`,
		`UPDATE credits SET balance = -1`, `UPDATE credits SET held = balance + 1`,
	} {
		if err := edit(t, path, sql); err == nil || !strings.Contains(err.Error(), "constraint") {
			t.Errorf("%s: %v, want a refusal", sql, err)
		}
	}
	cleanBooks(t, db)
}

// Books that were tampered with do not pass.
func TestTampered(t *testing.T) {
	for name, sql := range map[string]string{
		"a balance":      `UPDATE credits SET balance = balance + 1`,
		"what is held":   `UPDATE credits SET held = held + 1`,
		"a lost hold":    `DELETE FROM holds`,
		"a lost receipt": `DROP TRIGGER receipts_no_delete; DELETE FROM receipts`,
		"a lost charge":  `DROP TRIGGER credit_transactions_no_delete; DELETE FROM credit_transactions WHERE kind = 'charge'; UPDATE credits SET balance = balance + 60`,
		"a lost account": `DELETE FROM credits`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "onemind.db")
			db, err := sqlite.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			grant(t, db, "u", 1000)
			for _, ref := range []string{"a", "b"} {
				if _, err := db.Hold(t.Context(), holdOf("u", ref)); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, err := db.Settle(t.Context(), receiptOf("u", "a")); err != nil {
				t.Fatal(err)
			}
			cleanBooks(t, db)
			if err := edit(t, path, sql); err != nil {
				t.Fatal(err)
			}
			report, err := credit.NewLedger(db, nil, func(string) {}).Check(t.Context())
			if err != nil || report.OK {
				t.Errorf("the books pass: %+v, %v", report, err)
			}
		})
	}
}
