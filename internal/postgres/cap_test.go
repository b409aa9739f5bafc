package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/credit"
	"onemind/internal/money"
	"onemind/internal/postgres"
)

// noon is a time whose day does not end while a test runs.
func noon() time.Time { return time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour) }

// Two instances, a cap worth ten, a thousand holds at once: exactly ten, though
// those without a cap race beside them and everything that is held is settled.
func TestTwoInstancesOneCap(t *testing.T) {
	name := fresh(t)
	instances := []*postgres.DB{opens(t, name), opens(t, name)}
	give(t, instances[0], "u", 1000*money.Dollar)
	var won, free atomic.Int64
	var racers sync.WaitGroup
	for i := range 1000 {
		racers.Go(func() {
			h := hold("u", fmt.Sprint("ref", i), money.Credit)
			h.At, h.Key, h.KeyCap = noon(), "key1", 10*money.Credit
			if i%10 == 0 {
				h.KeyCap = 0 // an operator lifts the cap for one call in ten, and sets it again
			}
			_, err := patient(func() (money.Amount, error) { return instances[i%2].Hold(context.Background(), h) })
			switch {
			case err == nil && h.KeyCap == 0:
				free.Add(1)
			case err == nil:
				won.Add(1)
			case !errors.Is(err, credit.ErrDayCap):
				t.Error(err)
			}
			if err != nil {
				return
			}
			for _, db := range instances { // both settle it, in full: nothing comes back
				if _, _, err := db.Settle(context.Background(), receiptOf("u", h.Ref, money.Credit)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	racers.Wait()
	if won.Load() > 10 || free.Load() != 100 {
		t.Errorf("%d holds won under a cap for 10, %d without one", won.Load(), free.Load())
	}
	used := value[int64](t, name, `SELECT used FROM onemind.credit_days WHERE user_id = 'u' AND key_id = 'key1'`)
	if charged := value[int64](t, name, `SELECT sum(charge)::bigint FROM onemind.receipts`); used != charged {
		t.Errorf("%d are known to be spent of the day, %d were", used, charged)
	}
	proved(t, instances[0])
}

// lastRelease makes acts as an instance of the last release does.
func lastRelease(ctx context.Context, c *pgx.Conn, kind, ref, user string, amount money.Amount, at time.Time) (result string, err error) {
	empty, zero := []string{""}, []int64{0}
	err = c.QueryRow(ctx, `SELECT result FROM onemind.acts_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		[]string{kind}, []string{ref}, []string{user}, []string{"old"}, []int64{int64(amount)}, []int64{int64(amount)}, []string{"{}"},
		empty, empty, empty, []string{"finished"}, zero, zero, []time.Time{at}).Scan(&result)
	return result, err
}

// The schema is brought up under an instance of the last release that serves on,
// and what that one holds and settles counts, before and after.
func TestLastReleaseServesOn(t *testing.T) {
	ctx := context.Background()
	name := fmt.Sprint("release", copies.Add(1))
	sql(t, "postgres", `CREATE DATABASE `+name)
	t.Cleanup(func() { sql(t, "postgres", `DROP DATABASE `+name+` WITH (FORCE)`) })
	c, err := pgx.Connect(ctx, pg.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(ctx) })
	for i, step := range []string{"first", "credit"} {
		text, err := os.ReadFile(fmt.Sprintf("migrations/%04d_%s.sql", i+1, step))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.PgConn().Exec(ctx, string(text)).ReadAll(); err != nil {
			t.Fatal(err)
		}
		sql(t, name, `INSERT INTO onemind.schema_migrations VALUES ($1, $2, now())`, i+1, step)
	}
	const users = 8
	sql(t, name, `INSERT INTO onemind.credits (user_id, balance) SELECT 'u' || n, 1000000 FROM generate_series(0, 7) AS n`)
	sql(t, name, `INSERT INTO onemind.credit_transactions (user_id, kind, amount, ref, reason, actor, model, created_at)
		SELECT 'u' || n, 'grant', 1000000, 'g', 'r', 'a', '', now() FROM generate_series(0, 7) AS n`)
	sql(t, name, `INSERT INTO onemind.credit_refs SELECT user_id, ref, id, created_at FROM onemind.credit_transactions`)
	at := noon()
	act := func(c *pgx.Conn, kind, ref, user string, amount money.Amount, want string) {
		t.Helper()
		if got, err := lastRelease(ctx, c, kind, ref, user, amount, at); err != nil || got != want {
			t.Errorf("%s %s: %q, %v, want %q", kind, ref, got, err, want)
		}
	}
	act(c, "hold", "morning", "u0", 100, "held")
	act(c, "settle", "morning", "u0", 70, "closed")
	act(c, "hold", "open", "u0", 50, "held")

	// It serves on while the schema is brought up.
	var stop atomic.Bool
	var served atomic.Int64
	var serving sync.WaitGroup
	for u := range users {
		serving.Go(func() {
			c, err := pgx.Connect(ctx, pg.URL(name))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close(ctx) //nolint:errcheck // nothing is lost
			user := fmt.Sprint("u", u)
			for i := 0; !stop.Load(); i++ {
				ref := fmt.Sprint(user, ".", i)
				act(c, "hold", ref, user, 3, "held")
				act(c, "settle", ref, user, 1, "closed")
				served.Add(1)
			}
		})
	}
	await(t, "the old instance to serve", func() bool { return served.Load() > 100 })
	db := openWith(t, postgres.Config{URL: pg.URL(name), Migrate: true})
	before := served.Load()
	await(t, "the old instance to serve on", func() bool { return served.Load() > before+100 })
	stop.Store(true)
	serving.Wait()

	spent := 70 + 50 + money.Amount(value[int64](t, name, `SELECT sum(charge)::bigint FROM onemind.receipts WHERE user_id = 'u0' AND ref <> 'morning'`))
	capped := func(ref string, amount, dayCap money.Amount) credit.Hold {
		h := hold("u0", ref, amount)
		h.At, h.DayCap = at, dayCap
		return h
	}
	takes := func(h credit.Hold, want error) {
		t.Helper()
		if _, err := db.Hold(ctx, h); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", h.Ref, err, want)
		}
	}
	takes(capped("a", 41, spent+40), credit.ErrDayCap)
	takes(capped("b", 40, spent+40), nil)
	act(c, "settle", "b", "u0", 10, "closed") // 30 come back
	act(c, "settle", "open", "u0", 0, "closed")
	spent += 10 - 50
	act(c, "hold", "late", "u0", 25, "held")
	spent += 25
	takes(capped("c", 6, spent+5), credit.ErrDayCap)
	takes(capped("d", 5, spent+5), nil)
	proved(t, db)
}
