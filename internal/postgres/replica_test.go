package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/account"
	"onemind/internal/chat"
	"onemind/internal/postgres"
	"onemind/internal/servers"
)

// conversationOf makes a conversation of a user.
func conversationOf(user, id, title string) chat.Conversation {
	return chat.Conversation{ID: id, User: user, Title: title, CreatedAt: time.Now(), UpdatedAt: time.Now()}
}

// reads counts how often a server was asked for conversations.
func reads(t testing.TB, p *servers.Postgres) (n int64) {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx) //nolint:errcheck // nothing is lost
	if err := c.QueryRow(ctx, `SELECT coalesce(sum(seq_scan + idx_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'conversations'`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// titles lists a user's conversations.
func titles(t testing.TB, db *postgres.DB, user string) (list string) {
	t.Helper()
	found, _, err := db.Conversations(t.Context(), user, chat.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range found {
		list += c.Title + " "
	}
	return list
}

// History is read from a replica that keeps up, and never by someone who has just
// written; one that fails, or that is behind, costs nobody anything.
func TestReplica(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	primary, dir := ownPostgres(t)
	copied, err := primary.NewReplica(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(copied.Kill)
	db := openWith(t, postgres.Config{URL: primary.URL("postgres"), Replica: copied.URL("postgres")})
	if err := db.CreateConversation(ctx, conversationOf("reader", "c1", "Old")); err != nil {
		t.Fatal(err)
	}
	writer := openWith(t, postgres.Config{URL: primary.URL("postgres"), Replica: copied.URL("postgres")})
	await(t, "the replica to be used", func() bool { _, used := writer.ReplicaLag(); return used })
	await(t, "the replica to show it", func() bool { return titles(t, writer, "reader") == "Old " })
	before := reads(t, copied)
	for range 5 {
		titles(t, writer, "reader")
	}
	await(t, "the replica to be asked", func() bool { return reads(t, copied) >= before+5 })

	for i := range 30 { // each reads at once what it wrote
		user := fmt.Sprint("user", i)
		if err := writer.CreateConversation(ctx, conversationOf(user, "of-"+user, "New")); err != nil {
			t.Fatal(err)
		}
		if got := titles(t, writer, user); got != "New " {
			t.Errorf("%s wrote and reads %q", user, got)
		}
	}
	if err := writer.CreateUser(ctx, account.User{ID: "u1", Email: "a@example.com", CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if users, err := writer.Users(ctx, account.Filter{Limit: 10}); err != nil || len(users) != 1 {
		t.Errorf("an operator's list after an edit: %+v, %v", users, err)
	}

	copied.Pause()
	if got := titles(t, writer, "reader"); got != "Old " {
		t.Errorf("with a replica that hangs: %q", got)
	}
	began := time.Now()
	if got := titles(t, writer, "reader"); got != "Old " || time.Since(began) > time.Second {
		t.Errorf("the next reader: %q after %s", got, time.Since(began))
	}
	copied.Resume()
	copied.Kill()
	for range 20 {
		titles(t, writer, "reader") // fails the test on an error
	}
	if err := copied.Start(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, "the replica to be used again", func() bool { _, used := writer.ReplicaLag(); return used })
	before = reads(t, copied)
	titles(t, writer, "reader")
	await(t, "the replica to be asked again", func() bool { return reads(t, copied) > before })
}

// ownPostgres starts a server with the schema, for a test that hurts it.
func ownPostgres(t testing.TB) (p *servers.Postgres, dir string) {
	t.Helper()
	dir = folder(t)
	p, err := servers.NewPostgres(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	db, err := postgres.Open(t.Context(), postgres.Config{URL: p.URL("postgres"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return p, dir
}

// A replica that is ten seconds behind is left alone: nobody sees the past, not
// even who wrote on an instance that this one has not heard of.
func TestReplicaBehind(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	primary, dir := ownPostgres(t)
	late, err := primary.NewReplica(ctx, dir, "recovery_min_apply_delay=10s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(late.Kill)
	config := postgres.Config{URL: primary.URL("postgres"), Replica: late.URL("postgres")}
	here, there := openWith(t, config), openWith(t, config)
	await(t, "the replica to be used", func() bool { _, used := here.ReplicaLag(); return used }) // an idle primary is no lag
	wrote := time.Now()
	if err := there.CreateConversation(ctx, conversationOf("u", "c0", "First")); err != nil {
		t.Fatal(err)
	}
	here.Wrote("u") // as the other instance's signal says
	if got := titles(t, here, "u"); got != "First " {
		t.Errorf("told of the write: %q", got)
	}
	worst := time.Duration(0)
	for n := 1; time.Since(wrote) < 13*time.Second; n++ { // longer than the delay, with writes all along
		if err := there.CreateConversation(ctx, conversationOf("busy", fmt.Sprint("busy", n), "More")); err != nil {
			t.Fatal(err)
		}
		if got := titles(t, here, "u"); got != "First " {
			t.Fatalf("%s after the write: %q", time.Since(wrote), got)
		}
		lag, used := here.ReplicaLag()
		if worst = max(worst, lag); used && lag >= 5*time.Second {
			t.Fatalf("a replica is read that is %s behind", lag)
		}
		time.Sleep(20 * time.Millisecond) // the pace of the writes
	}
	if worst < 8*time.Second {
		t.Errorf("the lag was seen as %s at most, want about 10 s", worst)
	}
	await(t, "the replica to catch up", func() bool { lag, used := here.ReplicaLag(); return used && lag < time.Second })
	if got := titles(t, here, "u"); got != "First " {
		t.Errorf("from the replica that caught up: %q", got)
	}
}

// A replica that is away, or that is none, does not keep an instance from starting.
func TestReplicaAway(t *testing.T) {
	name := fresh(t)
	port, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	for what, dsn := range map[string]string{
		"nobody listens": fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", servers.Role, servers.Password, port, name),
		"the primary":    pg.URL(name),
	} {
		db := openWith(t, postgres.Config{URL: pooler.URL(name), Direct: pg.URL(name), Replica: dsn})
		if got := titles(t, db, "u"); got != "" {
			t.Errorf("%s: %q", what, got)
		}
		if _, used := db.ReplicaLag(); used {
			t.Errorf("%s: it counts as a replica", what)
		}
	}
	if _, used := open(t).ReplicaLag(); used {
		t.Error("there is a replica where none is configured")
	}
}
