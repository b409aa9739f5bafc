package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/fault"
	"onemind/internal/postgres"
	"onemind/internal/servers"
)

// with gives a connection string with other parts.
func with(t testing.TB, dsn string, edit func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	edit(u)
	return u.String()
}

// parameter adds a parameter to a connection string.
func parameter(dsn, name, value string) string { return dsn + "&" + name + "=" + value }

// value reads one value directly.
func value[T any](t testing.TB, database, query string, args ...any) (v T) {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, pg.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx) //nolint:errcheck // nothing is lost
	if err := c.QueryRow(ctx, query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// A setting that is wrong stops the start with one line that names it, and the
// password is never in it.
func TestWrongSettings(t *testing.T) {
	const secret = "s3cret-w0rd"
	name := fresh(t)
	closed, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	good := pg.URL(name)
	wrong := with(t, good, func(u *url.URL) { u.User = url.UserPassword(servers.Role, secret) })
	for what, tt := range map[string]struct {
		config postgres.Config
		want   []string
	}{
		"password":           {postgres.Config{URL: wrong}, []string{"DATABASE_URL", "password authentication failed"}},
		"password, pooled":   {postgres.Config{URL: with(t, pooler.URL(name), func(u *url.URL) { u.User = url.UserPassword(servers.Role, secret) })}, []string{"DATABASE_URL"}},
		"password, direct":   {postgres.Config{URL: pooler.URL(name), Direct: wrong}, []string{"DATABASE_DIRECT_URL", "password authentication failed"}},
		"password, replica":  {postgres.Config{URL: good, Replica: wrong}, []string{"DATABASE_REPLICA_URL", "password authentication failed"}},
		"database":           {postgres.Config{URL: pg.URL("nowhere")}, []string{"DATABASE_URL", `"nowhere" does not exist`}},
		"port":               {postgres.Config{URL: fmt.Sprintf("postgres://u:%s@127.0.0.1:%d/db", secret, closed)}, []string{"DATABASE_URL", "nobody listens at 127.0.0.1"}},
		"host":               {postgres.Config{URL: "postgres://u:" + secret + "@nohost.invalid/db"}, []string{"DATABASE_URL", "nohost.invalid"}},
		"scheme":             {postgres.Config{URL: "mysql://u:" + secret + "@h/db"}, []string{"DATABASE_URL", "postgres://user:password@host"}},
		"slash in password":  {postgres.Config{URL: "postgres://u:1/" + secret + "@h/db"}, []string{"DATABASE_URL", "%XX"}},
		"hash in password":   {postgres.Config{URL: "postgres://u:1#" + secret + "@h/db"}, []string{"DATABASE_URL", "%XX"}},
		"TLS":                {postgres.Config{URL: strings.Replace(wrong, "disable", "require", 1)}, []string{"DATABASE_URL", "TLS"}},
		"TLS mode":           {postgres.Config{URL: strings.Replace(wrong, "disable", "perhaps", 1)}, []string{"DATABASE_URL", "sslmode"}},
		"pool size":          {postgres.Config{URL: parameter(wrong, "pool_max_conns", "many")}, []string{"DATABASE_URL", "many"}},
		"a pooled direct":    {postgres.Config{URL: pooler.URL(name), Direct: pooler.URL(name)}, []string{"DATABASE_DIRECT_URL", "pooler"}},
		"describe_exec":      {postgres.Config{URL: parameter(good, "default_query_exec_mode", "describe_exec")}, []string{"DATABASE_URL", "default_query_exec_mode=describe_exec"}},
		"describe_exec pool": {postgres.Config{URL: parameter(pooler.URL(name), "default_query_exec_mode", "describe_exec")}, []string{"DATABASE_URL", "default_query_exec_mode=describe_exec"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			db, err := postgres.Open(t.Context(), tt.config)
			if err == nil {
				_ = db.Close()
				t.Fatal("it starts")
			}
			line := err.Error()
			for _, want := range tt.want {
				if !strings.Contains(line, want) {
					t.Errorf("%q does not say %q", line, want)
				}
			}
			if strings.Contains(line, secret) || strings.Contains(line, servers.Password) {
				t.Errorf("%q has the password", line)
			}
			if strings.ContainsAny(line, "\n\r") || len(line) > 300 {
				t.Errorf("%q is not one short line", line)
			}
		})
	}
}

// Named statements through a pooler with fewer connections than clients are
// refused at the start, and the modes that suit it are not.
func TestModes(t *testing.T) {
	small, err := servers.NewPooler(t.Context(), folder(t), pg, "default_pool_size = 2")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(small.Kill)
	name := fresh(t)
	for range 3 { // however lucky the connections are
		db, err := postgres.Open(t.Context(), postgres.Config{URL: parameter(small.URL(name), "default_query_exec_mode", "cache_statement"), Direct: pg.URL(name)})
		if err == nil {
			_ = db.Close()
			t.Fatal("cache_statement is accepted")
		}
		if line := err.Error(); !strings.HasPrefix(line, "DATABASE_URL: ") || !strings.Contains(line, "cache_statement") || !strings.Contains(line, "remove default_query_exec_mode") {
			t.Errorf("%q does not say what to change", line)
		}
	}
	for _, mode := range []string{"", "cache_describe", "exec", "simple_protocol"} {
		dsn := small.URL(name)
		if mode != "" {
			dsn = parameter(dsn, "default_query_exec_mode", mode)
		}
		db := openWith(t, postgres.Config{URL: dsn, Direct: pg.URL(name)})
		if _, err := db.CountUsers(t.Context()); err != nil {
			t.Errorf("mode %q: %v", mode, err)
		}
	}
	direct := openWith(t, postgres.Config{URL: parameter(pg.URL(name), "default_query_exec_mode", "cache_statement")})
	if n, err := direct.CountUsers(t.Context()); n != 0 || err != nil {
		t.Errorf("named statements without a pooler: %d, %v", n, err)
	}
}

// What a connection string says of the pool counts, also where the same string
// serves for direct connections.
func TestPoolSettings(t *testing.T) {
	name := fresh(t)
	for dsn, want := range map[string]int32{
		pg.URL(name): 20,
		parameter(parameter(pg.URL(name), "pool_max_conns", "3"), "pool_min_conns", "1"): 3,
		parameter(pooler.URL(name), "pool_max_conns", "1"):                               1,
	} {
		db := openWith(t, postgres.Config{URL: dsn})
		if s := db.Stats(); s.Max != want {
			t.Errorf("%s: %+v, want %d connections at most", dsn, s, want)
		}
	}
}

// Eight instances that start at once on an empty database make one schema.
func TestMigrateTogether(t *testing.T) {
	name := fmt.Sprint("empty", copies.Add(1))
	sql(t, "postgres", `CREATE DATABASE `+name)
	t.Cleanup(func() { sql(t, "postgres", `DROP DATABASE `+name+` WITH (FORCE)`) })
	var log bytes.Buffer
	var lines sync.Mutex
	logger := slog.New(slog.NewTextHandler(locked{&lines, &log}, nil))
	var starts sync.WaitGroup
	for i := range 8 {
		starts.Go(func() {
			c := postgres.Config{URL: pooler.URL(name), Direct: pg.URL(name), Migrate: true, Log: logger}
			if i%2 == 1 { // half of them know the pooler only
				c.Direct = ""
			}
			db, err := postgres.Open(context.Background(), c)
			if err != nil {
				t.Error(err)
				return
			}
			steps, err := db.Migrations(context.Background())
			for n, m := range steps {
				if m.Version != int64(n+1) || m.Name == "" || m.AppliedAt.IsZero() {
					t.Errorf("step %+v", m)
				}
			}
			if err != nil || len(steps) == 0 {
				t.Errorf("%v, %v", steps, err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	starts.Wait()
	if n := strings.Count(log.String(), "DATABASE_DIRECT_URL is not set"); n != 4 {
		t.Errorf("%d of 4 instances without a direct connection say so:\n%s", n, log.String())
	}
	if strings.Contains(log.String(), "timeouts could not be set") {
		t.Error(log.String())
	}
	for setting, want := range map[string]string{"statement_timeout": "5s", "lock_timeout": "500ms", "idle_in_transaction_session_timeout": "10s"} {
		if got := value[string](t, name, `SELECT current_setting($1)`, setting); got != want {
			t.Errorf("the role's %s is %s, want %s", setting, got, want)
		}
	}
}

// locked is a writer that many may write to.
type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// In a database that is somebody else's too nothing but the schema is made.
func TestMigrateBeside(t *testing.T) {
	name := fmt.Sprint("theirs", copies.Add(1))
	sql(t, "postgres", `CREATE DATABASE `+name)
	t.Cleanup(func() { sql(t, "postgres", `DROP DATABASE `+name+` WITH (FORCE)`) })
	sql(t, name, `CREATE TABLE users (id int); CREATE TABLE credits (id int); CREATE SCHEMA onemind`)
	openWith(t, postgres.Config{URL: pg.URL(name), Migrate: true})
	if got := value[string](t, name, `SELECT current_setting('statement_timeout')`); got != "0" {
		t.Errorf("their role got a statement_timeout of %s", got)
	}
	if n := value[int](t, name, `SELECT count(*)::int FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'public'`); n != 2 {
		t.Errorf("%d things in their schema, want the two they had", n)
	}
	if n := value[int](t, name, `SELECT count(*)::int FROM pg_extension WHERE extname <> 'plpgsql'`); n != 0 {
		t.Errorf("%d extensions", n)
	}
}

func TestOldAndNew(t *testing.T) {
	ctx := t.Context()
	empty := fmt.Sprint("empty", copies.Add(1))
	sql(t, "postgres", `CREATE DATABASE `+empty)
	t.Cleanup(func() { sql(t, "postgres", `DROP DATABASE `+empty+` WITH (FORCE)`) })
	_, err := postgres.Open(ctx, postgres.Config{URL: pg.URL(empty)})
	if !errors.Is(err, postgres.ErrOld) || !strings.Contains(err.Error(), "onemind migrate") || strings.Contains(err.Error(), "\n") {
		t.Errorf("an empty database: %v, want ErrOld and what to run", err)
	}
	if there := value[bool](t, empty, `SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'onemind')`); there {
		t.Error("a refused database was changed")
	}
	steps, err := postgres.Status(ctx, pg.URL(empty))
	if err != nil || len(steps) == 0 || !steps[0].AppliedAt.IsZero() {
		t.Errorf("the status of an empty database: %+v, %v", steps, err)
	}
	newer := fresh(t)
	sql(t, newer, `INSERT INTO onemind.schema_migrations VALUES (999, 'from the future', now())`)
	for _, migrate := range []bool{true, false} {
		_, err = postgres.Open(ctx, postgres.Config{URL: pooler.URL(newer), Direct: pg.URL(newer), Migrate: migrate})
		if !errors.Is(err, postgres.ErrNewer) || !strings.Contains(err.Error(), "999") || strings.Contains(err.Error(), "\n") {
			t.Errorf("a newer schema: %v, want ErrNewer with its number", err)
		}
	}
}

// When every connection is taken for long, a caller is told so after 300 ms.
func TestBusy(t *testing.T) {
	name := fresh(t)
	db := openWith(t, postgres.Config{URL: parameter(pooler.URL(name), "pool_max_conns", "1"), Direct: pg.URL(name)})
	ctx := context.Background()
	c, err := pgx.Connect(ctx, pg.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx) //nolint:errcheck // nothing is lost
	if _, err := c.Exec(ctx, `BEGIN; LOCK TABLE onemind.users`); err != nil {
		t.Fatal(err)
	}
	var waits sync.WaitGroup
	waits.Go(func() {
		if _, err := db.CountUsers(ctx); err != nil {
			t.Errorf("who waited for the lock: %v", err)
		}
	})
	await(t, "the connection to be taken", func() bool { return db.Stats().Acquired == 1 })
	began := time.Now()
	_, err = db.CountUsers(ctx)
	took := time.Since(began)
	f := fault.From(err)
	if f.Kind != fault.Unavailable || f.Code != "database_busy" || f.Retry != time.Second {
		t.Errorf("%+v, want database_busy with a time to try again", f)
	}
	if took < 250*time.Millisecond || took > 2*time.Second {
		t.Errorf("it took %s, want 300 ms", took)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := db.CountUsers(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that gave up: %v, want its own error", err)
	}
	if _, err := c.Exec(ctx, `ROLLBACK`); err != nil {
		t.Error(err)
	}
	waits.Wait()
	if s := db.Stats(); s.Waits == 0 {
		t.Errorf("%+v counts no wait", s)
	}
}

// folder is one of its own for a test's servers.
func folder(t testing.TB) string {
	t.Helper()
	dir, remove, err := servers.Dir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	return dir
}

// await polls until something is so.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
