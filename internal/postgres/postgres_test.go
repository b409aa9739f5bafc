package postgres_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"onemind/internal/account"
	"onemind/internal/catalog"
	"onemind/internal/chat"
	"onemind/internal/credit"
	"onemind/internal/postgres"
	"onemind/internal/replay"
	"onemind/internal/servers"
	"onemind/internal/storetest"
)

// The servers of this package's tests: a Postgres and, before it, a PgBouncer
// with the shipped configuration.
var (
	home   string
	pg     *servers.Postgres
	pooler *servers.Pooler
	copies atomic.Int64
)

// template is a database with the schema and nothing else, to be copied.
const template = "template_onemind"

func TestMain(m *testing.M) {
	code, err := serve(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func serve(m *testing.M) (code int, err error) {
	ctx := context.Background()
	dir, remove, err := servers.Dir()
	if err != nil {
		return 1, err
	}
	defer remove()
	home = dir
	if pg, err = servers.NewPostgres(ctx, dir, "max_connections=300", "shared_buffers=64MB"); err != nil {
		return 1, err
	}
	defer pg.Kill()
	if pooler, err = servers.NewPooler(ctx, dir, pg); err != nil {
		return 1, err
	}
	defer pooler.Kill()
	if err := pg.CreateDatabase(ctx, template); err != nil {
		return 1, err
	}
	db, err := postgres.Open(ctx, postgres.Config{URL: pg.URL(template), Migrate: true})
	if err != nil {
		return 1, err
	}
	if err := db.Close(); err != nil { // nobody may use what is copied
		return 1, err
	}
	return m.Run(), nil
}

// fresh makes a copy of the template and gives its name. It goes when the test ends.
func fresh(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("copy%d", copies.Add(1))
	sql(t, "postgres", `CREATE DATABASE `+name+` TEMPLATE `+template)
	t.Cleanup(func() { sql(t, "postgres", `DROP DATABASE `+name+` WITH (FORCE)`) })
	return name
}

// sql runs one statement directly, as psql would.
func sql(t testing.TB, database, statement string, args ...any) {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, pg.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx) //nolint:errcheck // nothing is lost
	if _, err := c.Exec(ctx, statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// opens opens a database through the pooler.
func opens(t testing.TB, name string) *postgres.DB {
	t.Helper()
	return openWith(t, postgres.Config{URL: pooler.URL(name), Direct: pg.URL(name)})
}

func openWith(t testing.TB, c postgres.Config) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// open gives an empty database, through the pooler.
func open(t testing.TB) *postgres.DB {
	t.Helper()
	return opens(t, fresh(t))
}

func TestCredits(t *testing.T) {
	storetest.Credits(t, func(t *testing.T) credit.Store { return open(t) })
}

func TestCatalog(t *testing.T) {
	storetest.Catalog(t, func(t *testing.T) catalog.Store { return open(t).Catalog() })
}

func TestAccounts(t *testing.T) {
	storetest.Accounts(t, func(t *testing.T) account.Store { return open(t) })
}

func TestSessions(t *testing.T) {
	storetest.Sessions(t, func(t *testing.T) account.Sessions { return open(t) })
}

func TestChats(t *testing.T) {
	storetest.Chats(t, func(t *testing.T) chat.Store { return open(t) })
}

func TestReplay(t *testing.T) {
	storetest.Replay(t, func(t *testing.T) replay.Store { return open(t) })
	storetest.ReplaySilence(t, open(t))
}
