package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"onemind/internal/fleet"
	"onemind/internal/postgres"
	"onemind/internal/servers"
)

// ear is what a listener heard, in order.
type ear struct {
	signals chan string
	lines   chan bool
}

// hear listens until the test ends, and returns once the line stands.
func hear(t testing.TB, db *postgres.DB) ear {
	t.Helper()
	e := ear{make(chan string, 1000), make(chan bool, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	var listening sync.WaitGroup
	listening.Go(func() {
		if err := db.Bus().Listen(ctx, func(s fleet.Signal) { e.signals <- s.String() }, func(up bool) { e.lines <- up }); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); listening.Wait() })
	e.line(t, true)
	return e
}

// want waits for the next signals, in any order among themselves.
func (e ear) want(t testing.TB, want ...string) {
	t.Helper()
	var got []string
	deadline := time.After(20 * time.Second)
	for range want {
		select {
		case s := <-e.signals:
			got = append(got, s)
		case <-deadline:
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// line waits until the line stands, or is lost.
func (e ear) line(t testing.TB, want bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case up := <-e.lines:
			if up == want {
				return
			}
		case <-deadline:
			t.Fatalf("the line did not become %v", want)
		}
	}
}

// Signals sent through the pooler arrive on every instance, the sender's own
// included, in order.
func TestBus(t *testing.T) {
	name := fresh(t)
	first, second := opens(t, name), opens(t, name)
	ears := []ear{hear(t, first), hear(t, second)}
	began := time.Now()
	const n = 50
	for i := range n {
		if err := first.Bus().Publish(t.Context(), fleet.Signal{Kind: fleet.Credits, Arg: fmt.Sprint("u", i, ",v")}); err != nil {
			t.Fatal(err)
		}
		for _, e := range ears {
			e.want(t, fmt.Sprint("credits:u", i, ",v"))
		}
	}
	t.Logf("%s from one instance to both, with the answer", time.Since(began)/n)
	sql(t, name, `SELECT pg_notify('onemind', 'no signal')`)
	sql(t, name, `SELECT pg_notify('onemind', 'stop:run1/a')`)
	ears[1].want(t, "stop:run1/a")
	if !first.Bus().Hears() {
		t.Error("a bus with a direct connection says that it hears nothing")
	}
}

// Behind a pooler, without a direct connection, the bus hears nothing and waits.
func TestBusPooledOnly(t *testing.T) {
	db := openWith(t, postgres.Config{URL: pooler.URL(fresh(t))})
	if db.Bus().Hears() {
		t.Error("it claims to hear")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- db.Bus().Listen(ctx, func(fleet.Signal) {}, func(up bool) { t.Errorf("connected %v", up) })
	}()
	if err := db.Bus().Publish(ctx, fleet.Signal{Kind: fleet.Stop, Arg: "r"}); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A line that is cut comes back by itself, and says that it was away.
func TestBusCut(t *testing.T) {
	t.Parallel()
	name := fresh(t)
	db := opens(t, name)
	e := hear(t, db)
	for i := range 3 {
		sql(t, name, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND query LIKE 'LISTEN%'`, name)
		e.line(t, false)
		began := time.Now()
		e.line(t, true)
		t.Logf("back after %s", time.Since(began))
		sql(t, name, fmt.Sprintf(`SELECT pg_notify('onemind', 'user:u%d')`, i))
		e.want(t, fmt.Sprint("user:u", i))
	}
}

// Silence is no break: the line is tried and stays. A server that stopped without
// a word is noticed, and heard again when it goes on.
func TestBusSilence(t *testing.T) {
	t.Parallel()
	own, err := servers.NewPostgres(t.Context(), folder(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Kill)
	db := openWith(t, postgres.Config{URL: own.URL("postgres"), Migrate: true})
	e := hear(t, db)
	quiet := time.After(7 * time.Second) // long enough for a try
	select {
	case up := <-e.lines:
		t.Fatalf("the line became %v in silence", up)
	case <-quiet:
	}
	if err := db.Bus().Publish(t.Context(), fleet.Signal{Kind: fleet.User, Arg: "u"}); err != nil {
		t.Fatal(err)
	}
	e.want(t, "user:u")
	own.Pause()
	began := time.Now()
	e.line(t, false)
	if took := time.Since(began); took > 9*time.Second {
		t.Errorf("a dead line was noticed after %s", took)
	}
	own.Resume()
	e.line(t, true)
	if err := db.Bus().Publish(t.Context(), fleet.Signal{Kind: fleet.User, Arg: "v"}); err != nil {
		t.Fatal(err)
	}
	e.want(t, "user:v")
}

// Who is alive is known by the database's clock, under the order of names.
func TestPresence(t *testing.T) {
	name := fresh(t)
	db, other := opens(t, name), opens(t, name)
	ctx := t.Context()
	for _, i := range []fleet.Instance{
		{Boot: "b2", Name: "web-2", Revision: 3, Healthy: true},
		{Boot: "b1", Name: "web-1", Revision: 2, Problem: "odd \x00 text", Rollout: &fleet.Rollout{Revision: 2, MS: 12}},
		{Boot: "b3", Name: "web-1", Revision: 1},
		{Boot: "b2", Name: "web-2", Revision: 4, Healthy: true, OpenAnswers: 7},
	} {
		if err := db.Presence().Beat(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	sql(t, name, `UPDATE onemind.instances SET seen_at = seen_at - interval '10 seconds' WHERE boot = 'b1'`)
	found, err := other.Presence().Instances(ctx)
	if err != nil || len(found) != 3 {
		t.Fatalf("%+v, %v", found, err)
	}
	if found[0].Boot != "b1" || found[1].Boot != "b3" || found[2].Boot != "b2" || found[2].Revision != 4 || found[2].OpenAnswers != 7 || found[0].Rollout.MS != 12 {
		t.Errorf("%+v", found)
	}
	if age := found[0].Age; age < 9*time.Second || age > 30*time.Second {
		t.Errorf("web-1 is %s old, want 10 s", age)
	}
	if age := found[2].Age; age > 9*time.Second {
		t.Errorf("web-2 is %s old, want none", age)
	}
	if err := other.Presence().Leave(ctx, "b3"); err != nil {
		t.Error(err)
	}
	sql(t, name, `UPDATE onemind.instances SET seen_at = seen_at - interval '2 minutes' WHERE boot = 'b1'`)
	if found, err = db.Presence().Instances(ctx); err != nil || len(found) != 1 || found[0].Boot != "b2" {
		t.Errorf("after one left and one fell silent: %+v, %v", found, err)
	}
	sql(t, name, `UPDATE onemind.instances SET seen_at = seen_at - interval '2 hours' WHERE boot = 'b1'`)
	if err := db.Presence().Beat(ctx, fleet.Instance{Boot: "b2", Name: "web-2"}); err != nil {
		t.Error(err)
	}
	if n := value[int](t, name, `SELECT count(*)::int FROM onemind.instances`); n != 1 {
		t.Errorf("%d rows are kept, want 1", n)
	}
}
