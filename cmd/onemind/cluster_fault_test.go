package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"onemind/internal/llm/sim"
)

// Every fault under load, with what people saw: never wrong money, never an
// error but a clear "try again" for what needs the missing part, and all well
// again without a restart. docs/reliability.md shows the table that this prints.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		strike func(*installation, *testing.T)
		mend   func(*installation, *testing.T)
		lasts  time.Duration
		// allowed are answers beside 200 that people may get.
		allowed []string
	}{
		{"Redis killed", func(c *installation, _ *testing.T) { c.redis.Kill() }, restartRedis, 3 * time.Second, nil},
		{"Redis paused", func(c *installation, _ *testing.T) { c.redis.Pause() }, func(c *installation, _ *testing.T) { c.redis.Resume() }, 30 * time.Second, nil},
		{"Redis flushed", func(c *installation, _ *testing.T) { c.redisCommand("FLUSHALL") }, nil, time.Second, nil},
		{"Postgres restarted", func(c *installation, _ *testing.T) { c.pg.Stop() }, restartPostgres, 0, busy},
		{"Postgres killed", func(c *installation, _ *testing.T) { c.pg.Kill() }, restartPostgres, 0, busy},
		{"Postgres paused", func(c *installation, _ *testing.T) { c.pg.Pause() }, func(c *installation, _ *testing.T) { c.pg.Resume() }, 10 * time.Second, busy},
		{"PgBouncer restarted", func(c *installation, _ *testing.T) { c.pooler.Kill() }, func(c *installation, t *testing.T) {
			if err := c.pooler.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, 0, busy},
		{"direct connections cut", func(c *installation, _ *testing.T) {
			c.sql(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query ILIKE 'listen%' AND pid <> pg_backend_pid()`)
		}, nil, time.Second, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newInstallation(t, asked{instances: 2, models: []string{"small", "slow"},
				sim: sim.Options{Scripts: map[string]sim.Script{"small": {Pieces: 10}, "slow": {Pieces: 400, PieceDelay: 20 * time.Millisecond}}}})
			p := c.instances[0].user("ann", "admin", "1000000")
			run := newStream(t, p, c.instances[1])
			l := newCrowd(c, p)
			answered := func(more int) {
				t.Helper()
				from := l.count("200")
				c.instances[0].poll("people are answered", func() bool { return l.count("200") >= from+more })
			}
			answered(30)
			tt.strike(c, t)
			time.Sleep(tt.lasts)
			if tt.mend != nil {
				tt.mend(c, t)
			}
			mended := time.Now()
			answered(30)
			recovered := time.Since(mended)
			c.edit(p, 1_300_000_000) // and operators can work
			l.stop()
			run.wait(t)
			l.want(append([]any{200}, anyOf(tt.allowed)...)...)
			c.instances[0].settled(p)
			t.Logf("| %s | %s | %v | %s |", tt.name, l.saw(), recovered.Round(time.Millisecond), run.saw())
		})
	}
}

// busy are the answers that say "try again" while the database is not there.
var busy = []string{"503 database_unavailable", "503 database_busy"}

func anyOf(words []string) (list []any) {
	for _, w := range words {
		list = append(list, w)
	}
	return list
}

func restartRedis(c *installation, t *testing.T) {
	if err := c.redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func restartPostgres(c *installation, t *testing.T) {
	if err := c.pg.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// saw is what the load's people saw, in words.
func (l *crowd) saw() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []string
	for what, n := range l.statuses {
		parts = append(parts, fmt.Sprintf("%d x %s", n, what))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ") + fmt.Sprintf("; slowest %v", l.slowest.Round(10*time.Millisecond))
}

// stream is one run that is watched through the fault, on the instance that
// does not serve it.
type stream struct {
	done chan struct{}
	seen int64
	kind string
	cuts int
}

// numberOf reads an event's number and type.
func numberOf(e event) (seq int64, kind string) {
	var v struct {
		Seq  int64
		Type string
	}
	_ = json.Unmarshal([]byte(e.Data), &v) // an event that is none has the number 0
	return v.Seq, v.Type
}

// newStream starts a run on the first instance and watches it on reader.
func newStream(t *testing.T, p *person, reader *instance) *stream {
	t.Helper()
	var run struct{ ID string }
	p.app("POST", "/api/runs", map[string]any{"prompt": "Count.", "models": []string{"slow"}}, "Idempotency-Key", rand.Text()).want(201).into(&run)
	s := &stream{done: make(chan struct{})}
	other := p.at(reader)
	go func() {
		defer close(s.done)
		for end := time.Now().Add(within); s.kind != "run.finished" && time.Now().Before(end); s.cuts++ {
			req := other.in.request(t.Context(), "GET", fmt.Sprintf("/api/runs/%s/events?after=%d", run.ID, s.seen), nil, "Cookie", "om_session="+other.cookie)
			resp, err := other.in.client.Do(req)
			if err != nil {
				continue
			}
			_ = readEvents(resp.Body, func(e event) bool {
				seq, kind := numberOf(e)
				if seq != s.seen+1 {
					t.Errorf("event %d came after %d", seq, s.seen)
				}
				s.seen, s.kind = seq, kind
				return true
			})
			resp.Body.Close()
		}
	}()
	return s
}

func (s *stream) wait(t *testing.T) {
	t.Helper()
	<-s.done
	if s.kind != "run.finished" {
		t.Errorf("the watched run ended with %q at event %d", s.kind, s.seen)
	}
}

func (s *stream) saw() string {
	return fmt.Sprintf("%d events, whole, %d reconnects", s.seen, s.cuts-1)
}
