package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/fault"
	"onemind/internal/fleet"
	"onemind/internal/postgres"
	"onemind/internal/servers"
)

// load is people who read and write without a pause.
type load struct {
	db   *postgres.DB
	stop chan struct{}
	work sync.WaitGroup

	done, failed atomic.Int64
	mu           sync.Mutex
	written      []string
}

// people start the load of six.
func people(t testing.TB, db *postgres.DB, name string) *load {
	l := &load{db: db, stop: make(chan struct{})}
	for i := range 6 {
		l.work.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-l.stop:
					return
				default:
					l.act(t, fmt.Sprintf("%s-%d-%d", name, i, n))
				}
			}
		})
	}
	return l
}

func (l *load) act(t testing.TB, object string) {
	ctx := context.Background()
	began := time.Now()
	_, err := l.db.CountUsers(ctx)
	if err == nil {
		err = l.db.Record(ctx, catalog.Audit{Object: object, At: time.Now()})
		if err == nil {
			l.mu.Lock()
			l.written = append(l.written, object)
			l.mu.Unlock()
		}
	}
	if took := time.Since(began); took > 13*time.Second {
		t.Errorf("an act took %s", took)
	}
	if err == nil {
		l.done.Add(1)
		return
	}
	l.failed.Add(1)
	f := fault.From(err)
	if f.Code != "database_unavailable" || f.Kind != fault.Unavailable || f.Retry != 2*time.Second {
		t.Errorf("an act failed otherwise: %v", err)
	}
	time.Sleep(time.Millisecond) // as little as a client does
}

// goes waits until acts succeed again.
func (l *load) goes(t testing.TB) {
	t.Helper()
	was := l.done.Load()
	await(t, "acts to succeed", func() bool { return l.done.Load() > was+20 })
}

// Whatever happens to Postgres or the pooler, people see database_unavailable and
// nothing else, what was acknowledged is there, and it goes on by itself.
func TestRestarts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := folder(t)
	own, err := servers.NewPostgres(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Kill)
	ownPooler, err := servers.NewPooler(ctx, dir, own)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ownPooler.Kill)
	direct := openWith(t, postgres.Config{URL: own.URL("postgres"), Migrate: true})
	pooled := openWith(t, postgres.Config{URL: ownPooler.URL("postgres"), Direct: own.URL("postgres")})
	heard := hear(t, pooled)
	loads := []*load{people(t, direct, "direct"), people(t, pooled, "pooled")}
	for _, event := range []struct {
		name string
		do   func() error
	}{
		{"restart", func() error { own.Stop(); return own.Start(ctx) }},
		{"crash", func() error { own.Kill(); return own.Start(ctx) }},
		{"pooler restarted", func() error { ownPooler.Kill(); return ownPooler.Start(ctx) }},
		{"paused", func() error { own.Pause(); time.Sleep(6 * time.Second); own.Resume(); return nil }},
	} {
		for _, l := range loads {
			l.goes(t)
			l.done.Store(0)
			l.failed.Store(0)
		}
		if err := event.do(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for i, l := range loads {
			l.goes(t)
			t.Logf("%s, %s: %d acts failed, good again %s after it was back", event.name, []string{"direct", "pooled"}[i], l.failed.Load(), time.Since(began))
		}
	}
	for _, l := range loads {
		close(l.stop)
		l.work.Wait()
		rows := map[string]bool{}
		for below := int64(0); ; {
			page, err := l.db.AuditLog(ctx, below, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range page {
				if rows[a.Object] {
					t.Errorf("%s is there twice", a.Object)
				}
				rows[a.Object], below = true, a.ID
			}
			if len(page) < 1000 {
				break
			}
		}
		for _, object := range l.written {
			if !rows[object] {
				t.Errorf("%s was acknowledged and is gone", object)
			}
		}
	}
	await(t, "signals to be heard again", func() bool {
		if err := pooled.Bus().Publish(ctx, fleet.Signal{Kind: fleet.User, Arg: "u"}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-heard.signals:
			return true
		case <-time.After(100 * time.Millisecond):
			return false
		}
	})
}
