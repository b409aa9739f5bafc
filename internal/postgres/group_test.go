package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/money"
	"onemind/internal/postgres"
)

func give(t testing.TB, db *postgres.DB, user string, amount money.Amount) {
	t.Helper()
	if _, err := db.Post(context.Background(), credit.Entry{User: user, Kind: credit.Grant, Amount: amount, Ref: "given", Reason: "r", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

func hold(user, ref string, amount money.Amount) credit.Hold {
	return credit.Hold{Ref: ref, User: user, Owner: "boot", AtLeast: amount, AtMost: amount, Terms: []byte("{}"), At: time.Now()}
}

func receiptOf(user, ref string, charge money.Amount) credit.Receipt {
	return credit.Receipt{ID: ref, RequestID: "req" + ref, User: user, Model: "m", Outcome: credit.Finished, Charge: charge, FinishedAt: time.Now()}
}

func proved(t testing.TB, db *postgres.DB) credit.Sums {
	t.Helper()
	r, err := credit.NewLedger(db, nil, func(string) {}).Check(context.Background())
	if err != nil || !r.OK {
		t.Fatalf("the books: %q, %v", r.Problems, err)
	}
	return r.Sums
}

// patient repeats an act that a busy database refused: as callers do.
func patient[T any](act func() (T, error)) (v T, err error) {
	for {
		if v, err = act(); !fault.Is(err, fault.Unavailable) {
			return v, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Two instances, one balance for ten, a thousand holds at once: exactly ten.
func TestTwoInstancesOneBalance(t *testing.T) {
	name := fresh(t)
	instances := []*postgres.DB{opens(t, name), opens(t, name)}
	give(t, instances[0], "u", 10*money.Credit)
	var won atomic.Int64
	var racers sync.WaitGroup
	for i := range 1000 {
		racers.Go(func() {
			_, err := patient(func() (money.Amount, error) {
				return instances[i%2].Hold(context.Background(), hold("u", fmt.Sprint("ref", i), money.Credit))
			})
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, credit.ErrShort) {
				t.Error(err)
			}
		})
	}
	racers.Wait()
	if won.Load() != 10 {
		t.Errorf("%d holds won, want 10", won.Load())
	}
	s := instances[0].GroupStats()
	if proved(t, instances[0]); s.Acts == 0 || s.Groups > s.Acts {
		t.Errorf("groups %+v", s)
	}
	t.Logf("%d acts in %d commits", s.Acts, s.Groups)
}

// One act that the database cannot take fails alone among its neighbours.
func TestPoisonedAct(t *testing.T) {
	db := open(t)
	give(t, db, "u", money.Dollar)
	const n = 100
	errs := make([]error, n)
	var work sync.WaitGroup
	for i := range n {
		work.Go(func() {
			h := hold("u", fmt.Sprint("ref", i), 1)
			if i == 50 {
				h.AtLeast, h.AtMost = -5, -5 // no amount: the table refuses it
			}
			_, errs[i] = patient(func() (money.Amount, error) { return db.Hold(context.Background(), h) })
		})
	}
	work.Wait()
	for i, err := range errs {
		if (err != nil) != (i == 50) {
			t.Errorf("act %d: %v", i, err)
		}
	}
	if s := proved(t, db); s.OpenHolds != n-1 {
		t.Errorf("%d holds are open", s.OpenHolds)
	}
}

// Acts of one user happen in the order they came, however many others there are:
// a settlement that is asked for after its hold finds it.
func TestOrderOfOneUser(t *testing.T) {
	name := fresh(t)
	instances := []*postgres.DB{opens(t, name), opens(t, name)}
	var work sync.WaitGroup
	for u := range 64 {
		user := fmt.Sprint("user", u)
		give(t, instances[0], user, money.Dollar)
		work.Go(func() {
			db := instances[u%2]
			for i := range 10 {
				ref := fmt.Sprint(user, "-", i)
				if _, err := patient(func() (money.Amount, error) { return db.Hold(context.Background(), hold(user, ref, money.Credit)) }); err != nil {
					t.Errorf("hold %s: %v", ref, err)
					return
				}
				charge := money.Amount(rand.Int64N(int64(money.Credit)))
				closed, err := patient(func() (bool, error) {
					_, closed, err := db.Settle(context.Background(), receiptOf(user, ref, charge))
					return closed, err
				})
				if err != nil || !closed {
					t.Errorf("settle %s: %v, %v", ref, closed, err)
				}
			}
		})
	}
	work.Wait()
	if s := proved(t, instances[1]); s.OpenHolds != 0 {
		t.Errorf("%d holds are open", s.OpenHolds)
	}
}

// Two instances act for the same users at once, and both settle every hold:
// exactly one closes it, and neither ever waits for the other in a circle.
func TestSameUsersOnTwoInstances(t *testing.T) {
	name := fresh(t)
	instances := []*postgres.DB{opens(t, name), opens(t, name)}
	for u := range 64 {
		give(t, instances[0], fmt.Sprint("user", u), money.Dollar)
	}
	var work sync.WaitGroup
	for w := range 128 {
		work.Go(func() {
			for i := range 10 {
				user, ref := fmt.Sprint("user", rand.IntN(64)), fmt.Sprint("ref", w, ".", i)
				if _, err := patient(func() (money.Amount, error) {
					return instances[w%2].Hold(context.Background(), hold(user, ref, 100))
				}); err != nil {
					t.Errorf("hold %s: %v", ref, err)
					return
				}
				var closed atomic.Int64
				var both sync.WaitGroup
				for _, db := range instances {
					both.Go(func() {
						_, won, err := db.Settle(context.Background(), receiptOf(user, ref, 60))
						if err != nil {
							t.Errorf("settle %s: %v", ref, err)
						} else if won {
							closed.Add(1)
						}
					})
				}
				if both.Wait(); closed.Load() != 1 {
					t.Errorf("%s was closed %d times", ref, closed.Load())
				}
			}
		})
	}
	work.Wait()
	if s := proved(t, instances[0]); s.OpenHolds != 0 {
		t.Errorf("%d holds are open", s.OpenHolds)
	}
	if n := value[int64](t, name, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); n > 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// An act that waits for an earlier one of its user goes when its caller does, and
// one that was sent is waited for.
func TestCallerGone(t *testing.T) {
	name := fresh(t)
	db := opens(t, name)
	give(t, db, "u", money.Dollar)
	other, err := pgx.Connect(t.Context(), pg.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background()) //nolint:errcheck // nothing is lost
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT 1 FROM onemind.credits FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	sent, leave := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() {
		_, err := db.Hold(sent, hold("u", "sent", 100))
		answer <- err
	}()
	await(t, "the first hold to wait for the balance", func() bool {
		return value[bool](t, name, `SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`)
	})
	gone, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := db.Hold(gone, hold("u", "waiting", 100)); !errors.Is(err, context.DeadlineExceeded) || fault.Is(err, fault.Unavailable) {
		t.Errorf("a hold that waited: %v", err)
	}
	leave()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err != nil {
		t.Errorf("a hold that was sent: %v", err)
	}
	if s := proved(t, db); s.OpenHolds != 1 {
		t.Errorf("%d holds are open, want the one that was sent", s.OpenHolds)
	}
}

// Whatever was acknowledged before the database was killed is there after, and
// asking again gives the first answer.
func TestKilledDatabase(t *testing.T) {
	server, _ := ownPostgres(t)
	db := openWith(t, postgres.Config{URL: server.URL("postgres"), Migrate: true})
	for u := range 8 {
		give(t, db, fmt.Sprint("user", u), 1000*money.Dollar)
	}
	for round := range 3 {
		var mu sync.Mutex
		var held, settled []string
		stop := make(chan struct{})
		var work sync.WaitGroup
		for w := range 16 {
			work.Go(func() {
				user := fmt.Sprint("user", w%8)
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					ref := fmt.Sprint(user, "/", round, ".", w, ".", i)
					if _, err := db.Hold(context.Background(), hold(user, ref, 100)); err != nil {
						continue
					}
					mu.Lock()
					held = append(held, user+" "+ref)
					mu.Unlock()
					if _, _, err := db.Settle(context.Background(), receiptOf(user, ref, 60)); err == nil {
						mu.Lock()
						settled = append(settled, user+" "+ref)
						mu.Unlock()
					}
				}
			})
		}
		await(t, "some were acknowledged", func() bool { mu.Lock(); defer mu.Unlock(); return len(settled) > 50 })
		server.Kill()
		close(stop)
		work.Wait()
		// Its processes hold on to the memory until they notice that it is gone.
		await(t, "postgres to start again", func() bool { return server.Start(t.Context()) == nil })
		for _, line := range slices.Concat(held, settled) {
			var user, ref string
			if _, err := fmt.Sscan(line, &user, &ref); err != nil {
				t.Fatal(err)
			}
			got, err := patient(func() (money.Amount, error) { return db.Hold(t.Context(), hold(user, ref, 100)) })
			if err != nil || got != 100 {
				t.Fatalf("hold %s was acknowledged: %d, %v", ref, got, err)
			}
		}
		for _, line := range settled {
			var user, ref string
			if _, err := fmt.Sscan(line, &user, &ref); err != nil {
				t.Fatal(err)
			}
			if r, err := db.Receipt(t.Context(), user, ref); err != nil || r.Charge != 60 {
				t.Fatalf("receipt %s was acknowledged: %+v, %v", ref, r, err)
			}
		}
		proved(t, db)
	}
}

// Partitions are made ahead of time by any number of instances, and an entry of a
// month without one makes it.
func TestPartitions(t *testing.T) {
	name := fresh(t)
	db := opens(t, name)
	now := time.Now()
	var jobs sync.WaitGroup
	for range 8 {
		jobs.Go(func() {
			if months, err := db.Partitions(context.Background(), now.AddDate(0, 2, 0)); err != nil || months < 3 {
				t.Errorf("%d months ahead, %v", months, err)
			}
		})
	}
	jobs.Wait()
	next := now.UTC().AddDate(0, 1, 1-now.UTC().Day()).Format("2006_01")
	sql(t, name, `ALTER TABLE onemind.credit_transactions DETACH PARTITION onemind.credit_transactions_`+next)
	// Nobody who reads the ledger is in the way.
	reader, err := pgx.Connect(t.Context(), pg.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close(context.Background()) //nolint:errcheck // nothing is lost
	if _, err := reader.Exec(t.Context(), `BEGIN; SELECT count(*) FROM onemind.credit_transactions`); err != nil {
		t.Fatal(err)
	}
	if months, err := db.Partitions(t.Context(), now); err != nil || months < 3 {
		t.Errorf("after one was detached: %d months ahead, %v", months, err)
	}
	if _, err := reader.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	sql(t, name, `DROP TABLE onemind.credit_transactions_`+next)
	if months, err := db.Partitions(t.Context(), now); err != nil || months < 3 {
		t.Errorf("after one was lost: %d months ahead, %v", months, err)
	}
	old := time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)
	e, err := db.Post(t.Context(), credit.Entry{User: "u", Kind: credit.Grant, Amount: money.Dollar, Ref: "old", Reason: "r", At: old})
	if err != nil || !e.At.Equal(old) {
		t.Fatalf("an entry of long ago: %+v, %v", e, err)
	}
	if _, err := db.Hold(t.Context(), hold("u", "h", 100)); err != nil {
		t.Fatal(err)
	}
	late := receiptOf("u", "h", 60)
	late.FinishedAt = time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, closed, err := db.Settle(t.Context(), late); err != nil || !closed {
		t.Errorf("a charge of a month that nobody made: %v, %v", closed, err)
	}
	proved(t, db)
}
