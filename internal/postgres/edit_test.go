package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/account"
	"onemind/internal/catalog"
	"onemind/internal/postgres"
	"onemind/internal/storetest"
)

// saveDocument saves the suite's document over a revision.
func saveDocument(ctx context.Context, db *postgres.DB, base int64) error {
	return db.Save(ctx, base, catalog.Revision{Author: "a", At: time.Now(), Document: storetest.Document()}, nil, nil)
}

// An edit of the rows made directly in SQL is a revision: the poll sees it, and
// an editor who does not know of it is stale.
func TestEditInSQL(t *testing.T) {
	name := fresh(t)
	db := opens(t, name)
	ctx := t.Context()
	if err := saveDocument(ctx, db, 0); err != nil {
		t.Fatal(err)
	}
	sql(t, name, `UPDATE onemind.ai_models SET state = 'disabled' WHERE id = 'gpt-4o'`)
	sql(t, name, `UPDATE onemind.system_config SET value = '1234' WHERE section = 'settings' AND name = 'markup_basis_points'`)
	if n, err := db.Newest(ctx); n != 3 || err != nil {
		t.Errorf("newest %d, %v, want 3", n, err)
	}
	r, err := db.Load(ctx)
	if err != nil || r.Number != 3 || r.Author != "sql" || r.Models[0].State != catalog.Disabled || r.Settings.Markup != 1234 {
		t.Errorf("loaded %+v, %v", r, err)
	}
	if err := saveDocument(ctx, db, 1); !errors.Is(err, catalog.ErrStale) {
		t.Errorf("saving over the edits: %v, want ErrStale", err)
	}
	if err := saveDocument(ctx, db, 3); err != nil {
		t.Fatal(err)
	}
	if r, err = db.Revision(ctx, 3); err != nil || r.Settings.Markup != 1234 || len(r.Models) != 2 {
		t.Errorf("the edited revision: %+v, %v", r, err)
	}
	if _, err := db.Revision(ctx, 2); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("the edit before it: %v, want ErrNotFound", err)
	}
	if n, err := db.Newest(ctx); n != 4 || err != nil {
		t.Errorf("newest %d, %v: a save counts once", n, err)
	}
}

// Whatever a transaction edits is one revision, one that is rolled back is none,
// and a connection that made one makes the next as well.
func TestEditsInOneTransaction(t *testing.T) {
	name := fresh(t)
	db := opens(t, name)
	ctx := t.Context()
	if err := saveDocument(ctx, db, 0); err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(ctx, pg.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx) //nolint:errcheck // nothing is lost
	for i, tt := range []struct {
		sql  string
		want int64
	}{
		{`UPDATE onemind.ai_models SET name = name || '!'`, 2}, // two rows
		{`BEGIN; UPDATE onemind.ai_models SET state = 'hidden'; DELETE FROM onemind.system_config WHERE name = 'pro'; UPDATE onemind.provider_config SET enabled = false; COMMIT`, 3},
		{`BEGIN; UPDATE onemind.ai_models SET state = 'active'; ROLLBACK`, 3},
		{`BEGIN; SAVEPOINT a; UPDATE onemind.ai_models SET state = 'active'; ROLLBACK TO a; UPDATE onemind.ai_models SET name = 'x'; COMMIT`, 4},
		{`INSERT INTO onemind.provider_keys (id, provider_id, sealed, last4, created_at) VALUES ('k', 'openai', '', '', now())`, 5},
		{`DELETE FROM onemind.provider_keys`, 6},
		{`INSERT INTO onemind.ai_model_prices (version, model_id) VALUES ('gpt-4o@9', 'gpt-4o')`, 7},
		{`UPDATE onemind.ai_models SET name = 'y' WHERE id = 'nobody'`, 7},
		{`TRUNCATE onemind.system_config`, 8},
	} {
		if _, err := c.Exec(ctx, tt.sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", tt.sql, err)
		}
		if n, err := db.Newest(ctx); n != tt.want || err != nil {
			t.Errorf("edit %d: newest %d, %v, want %d", i, n, err, tt.want)
		}
	}
	for _, forbidden := range []string{`UPDATE onemind.ai_model_prices SET input_nano_usd = 1`, `DELETE FROM onemind.ai_model_prices`, `TRUNCATE onemind.ai_model_prices`, `TRUNCATE onemind.audit_log`} {
		if _, err := c.Exec(ctx, forbidden); err == nil {
			t.Errorf("%s is allowed", forbidden)
		}
	}
}

// However many edit at once, in SQL and through several instances, every edit has
// a number of its own and none is missing.
func TestEditsRace(t *testing.T) {
	name := fresh(t)
	db := opens(t, name)
	ctx := context.Background()
	if err := saveDocument(ctx, db, 0); err != nil {
		t.Fatal(err)
	}
	const editors, edits = 4, 10
	var all sync.WaitGroup
	for i := range editors {
		all.Go(func() {
			for j := range edits {
				sql(t, name, `UPDATE onemind.ai_models SET name = $1 WHERE id = 'gpt-4o'`, fmt.Sprint(i, ".", j))
			}
		})
		all.Go(func() {
			for done := 0; done < edits; {
				base, err := db.Newest(ctx)
				if err == nil {
					err = saveDocument(ctx, db, base)
				}
				if err == nil {
					done++
				} else if !errors.Is(err, catalog.ErrStale) {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	const want = 1 + 2*editors*edits
	if n := value[int](t, name, `SELECT count(*)::int FROM onemind.catalog_revisions`); n != want {
		t.Errorf("%d revisions, want %d", n, want)
	}
	if n, err := db.Newest(ctx); n != want || err != nil {
		t.Errorf("newest %d, %v, want %d", n, err, want)
	}
}

// Everything that ends or changes is told, whoever changes it, and once.
func TestTold(t *testing.T) {
	name := fresh(t)
	db := opens(t, name)
	ctx := t.Context()
	heard := hear(t, db)
	u := account.User{ID: "u1", Email: "a@example.com", Role: account.Member, CreatedAt: time.Now()}
	s := account.Session{User: "u1", CreatedAt: time.Now(), SeenAt: time.Now()}
	for _, step := range []func() error{
		func() error { return saveDocument(ctx, db, 0) },
		func() error { return db.CreateUser(ctx, u) },
		func() error {
			return db.CreateKey(ctx, account.Key{ID: "k1", User: "u1", Hash: "keyhash1", CreatedAt: time.Now()})
		},
		func() error {
			return db.CreateKey(ctx, account.Key{ID: "k2", User: "u1", Hash: "keyhash2", CreatedAt: time.Now()})
		},
		func() error { s.Hash, s.ID = "old", "s1"; return db.CreateSession(ctx, s) },
		func() error { s.Hash, s.ID = "new", "s2"; return db.CreateSession(ctx, s) },
		func() error {
			return db.Seen(ctx, map[string]time.Time{"k1": time.Now()}, map[string]time.Time{"u1": time.Now()})
		},
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	heard.want(t, "revision:1")
	suspended := u
	suspended.Suspended = true
	if err := db.UpdateUser(ctx, u, suspended); err != nil {
		t.Fatal(err)
	}
	heard.want(t, "user:u1")
	if err := db.UpdateUser(ctx, suspended, suspended); err != nil { // as it is already
		t.Fatal(err)
	}
	day := int64(5)
	for range 2 { // the second time it is so already
		if _, err := db.UpdateKey(ctx, "u1", "k1", account.KeyChange{CreditsPerDay: &day}); err != nil {
			t.Fatal(err)
		}
	}
	heard.want(t, "key:keyhash1")
	if _, err := db.DeleteKey(ctx, "u1", "k1"); err != nil {
		t.Fatal(err)
	}
	heard.want(t, "key:keyhash1")
	if _, err := db.DeleteSession(ctx, "u1", "s1"); err != nil {
		t.Fatal(err)
	}
	heard.want(t, "session:old")
	if err := db.DeleteStale(ctx, time.Now().Add(time.Hour), time.Now().Add(time.Hour)); err != nil { // quiet
		t.Fatal(err)
	}
	sql(t, name, `UPDATE onemind.users SET role = 'admin'`)
	heard.want(t, "user:u1")
	sql(t, name, `UPDATE onemind.api_keys SET response_cache = true`)
	heard.want(t, "key:keyhash2")
	sql(t, name, `UPDATE onemind.ai_models SET state = 'hidden'`)
	heard.want(t, "revision:2")
	sql(t, name, `DELETE FROM onemind.users`)
	heard.want(t, "key:keyhash2", "user:u1")
}
