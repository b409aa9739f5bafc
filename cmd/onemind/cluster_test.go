package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/llm/sim"
)

// A balance worth ten holds serves exactly ten of a thousand requests that come
// to three instances at once, through at most twenty connections of the database.
func TestThousandOverThreeInstances(t *testing.T) {
	var held atomic.Bool
	gate := make(chan struct{})
	c := newInstallation(t, asked{instances: 3, models: []string{"big"}, sim: sim.Options{Choose: func(*sim.Request) sim.Script {
		if held.Load() {
			<-gate
		}
		return sim.Script{Pieces: 200}
	}}})
	body := chatBody("big", false, 100)
	p, hold := tenHolds(c.instances[0], body)
	held.Store(true)
	open := sync.OnceFunc(func() { close(gate) })
	defer open()

	const n = 1000
	var served, short, answered atomic.Int64
	var other sync.Map
	var work sync.WaitGroup
	refused := make(chan struct{})
	for i := range n {
		in := c.instances[i%len(c.instances)]
		work.Go(func() {
			r, err := in.try(in.request(t.Context(), "POST", "/v1/chat/completions", body, "Authorization", "Bearer "+p.key))
			// The stores say "busy" when a thousand come at once: that is an answer to repeat.
			for err == nil && r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") != "" {
				r, err = in.try(in.request(t.Context(), "POST", "/v1/chat/completions", body, "Authorization", "Bearer "+p.key))
			}
			switch {
			case err != nil:
				other.Store(i, err.Error())
			case r.status == 200:
				served.Add(1)
			case r.status == 402 && r.code() == "credit_short":
				short.Add(1)
			default:
				other.Store(i, fmt.Sprintf("%d %s", r.status, r.body))
			}
			if answered.Add(1) == n-10 {
				close(refused)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	select {
	case <-refused:
	case <-ctx.Done():
		t.Errorf("%d of %d were answered while ten were under way", answered.Load(), n)
	}
	c.instances[1].wait(within, "ten calls are open", func(c sim.Counts) bool { return c.Open == 10 })
	if b := p.at(c.instances[2]).balance(); b.Held != 10*hold {
		t.Errorf("while ten are under way: %+v, one hold is %d", b, hold)
	}
	if most, err := strconv.Atoi(c.sql(`SELECT count(*) FROM pg_stat_activity WHERE datname = 'onemind' AND client_port IS NOT NULL`)); err != nil || most > 20+2*3+1 {
		t.Errorf("%d connections to the database, want 20 of the pooler, the instances' direct ones and this", most)
	}
	open()
	work.Wait()
	other.Range(func(i, what any) bool { t.Errorf("request %v: %v", i, what); return true })
	if served.Load() != 10 || short.Load() != n-10 {
		t.Errorf("%d served and %d refused", served.Load(), short.Load())
	}
	c.instances[0].settled(p)
	if charges := unique(t, p.at(c.instances[1]).entries()); len(charges) != 10 {
		t.Errorf("%d answers were charged", len(charges))
	}
}

// The limit of a user holds over all instances together, whoever else is busy.
func TestLimitOverThreeInstances(t *testing.T) {
	c := newInstallation(t, asked{instances: 3, models: []string{"small"},
		limits: "plans:\n  - {id: default, requests_per_minute: 30, requests_per_minute_per_provider: 0, concurrent_answers: 0}\n" +
			"settings: {markup_percent: 30, default_plan: default, signup_credits: 0, global_requests_per_minute: 0}\n"})
	heavy, light := c.instances[0].user("heavy", "user", "1000"), c.instances[1].user("light", "user", "1000")
	body := chatBody("small", false, 10)
	call := func(p *person, i int) *reply {
		r, err := c.instances[i%3].try(c.instances[i%3].request(t.Context(), "POST", "/v1/chat/completions", body, "Authorization", "Bearer "+p.key))
		if err != nil {
			t.Error(err)
			return &reply{t: t}
		}
		return r
	}
	start := time.Now()
	var granted atomic.Int64
	var work sync.WaitGroup
	for w := range 30 {
		work.Go(func() {
			for i := range 100 { // 3000 tries, a hundred times what is allowed
				switch r := call(heavy, w+i); r.status {
				case 200:
					granted.Add(1)
				case 429:
					if r.header.Get("Retry-After") == "" || r.code() != "rate_limited" {
						t.Errorf("a refusal without Retry-After or code: %s", r.body)
					}
				default:
					t.Errorf("%d %s", r.status, r.body)
				}
			}
		})
	}
	var lit atomic.Int64
	work.Go(func() {
		for i := range 30 {
			if r := call(light, i); r.status == 200 {
				lit.Add(1)
			} else {
				t.Errorf("the other user's call %d: %d %s", i, r.status, r.body)
			}
		}
	})
	work.Wait()
	took := time.Since(start)
	// What slides out of the window while the test runs may be taken again, no more.
	if most := 30 + int64(30*took/time.Minute) + 1; granted.Load() < 30 || granted.Load() > most {
		t.Errorf("%d calls were granted in %v, want 30 to %d", granted.Load(), took, most)
	}
	if lit.Load() != 30 {
		t.Errorf("the other user got %d of 30", lit.Load())
	}
}

// edit gives the model a price of n nano-dollars per million output tokens and
// returns the revision.
func (c *installation) edit(p *person, n int) int64 {
	c.t.Helper()
	tag := p.app("GET", "/api/admin/models", nil).want(200).header.Get("ETag")
	r := p.app("PATCH", "/api/admin/models/small", map[string]any{"prices": map[string]any{"input_nano_usd": 10_000_000, "output_nano_usd": n}}, "If-Match", tag).want(200)
	revision, err := strconv.ParseInt(strings.Trim(r.header.Get("ETag"), `"`), 10, 64)
	if err != nil {
		c.t.Fatalf("edit: ETag %q", r.header.Get("ETag"))
	}
	return revision
}

// serves waits until an instance serves a revision.
func (in *instance) serves(revision int64) {
	in.t.Helper()
	in.poll(fmt.Sprintf("it serves revision %d", revision), func() bool {
		var v struct{ Revision int64 }
		in.do("GET", "/health", nil).into(&v)
		return v.Revision >= revision
	})
}

// Every edit reaches every instance, by whichever way is left, and no answer
// mixes the prices of two revisions.
func TestEditsReachEveryInstance(t *testing.T) {
	c := newInstallation(t, asked{instances: 3, models: []string{"small"}})
	admin := c.instances[0].user("admin", "admin", "100000")
	people := newCrowd(c, admin)
	prices := map[int64]int64{}
	all := func(revision int64) {
		t.Helper()
		for _, in := range c.instances {
			in.serves(revision)
		}
	}
	for i := range 40 {
		price := 1_000_000_000 + i*1000
		revision := c.edit(admin.at(c.instances[i%3]), price)
		prices[revision] = int64(price)
		all(revision)
	}
	var list struct {
		Revision int64
		Serving  int
		Items    []struct{ Instance string }
		Rollout  *struct{ Revision, Instances, MS int64 }
	}
	c.instances[2].poll("the rollout is known everywhere", func() bool {
		admin.at(c.instances[2]).app("GET", "/api/admin/instances", nil).want(200).into(&list)
		return list.Rollout != nil && list.Rollout.Revision == list.Revision
	})
	if list.Serving != 3 || len(list.Items) != 3 || list.Rollout.Instances != 3 {
		t.Errorf("instances %+v", list)
	}
	t.Logf("the last of 40 edits under load was served by all after %d ms", list.Rollout.MS)

	t.Run("by psql", func(t *testing.T) {
		c.sql(`UPDATE onemind.ai_models SET name = 'Renamed in SQL' WHERE id = 'small'`)
		all(c.revision())
	})
	t.Run("notifications alone", func(t *testing.T) {
		c.redis.Kill()
		all(c.edit(admin.at(c.instances[1]), 1_100_000_000))
		if err := c.redis.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a bad row", func(t *testing.T) {
		before := c.revision()
		c.sql(`UPDATE onemind.ai_models SET context_window = -5 WHERE id = 'small'`)
		for _, in := range c.instances {
			in.poll("it says so", func() bool { return in.metric("onemind_catalog_bad") == 1 })
			if n := in.metric("onemind_catalog_revision"); n != before {
				t.Errorf("it serves %d, want the good revision %d", n, before)
			}
		}
		c.sql(`UPDATE onemind.ai_models SET context_window = 128000 WHERE id = 'small'`)
		all(c.revision())
		for _, in := range c.instances {
			in.poll("it is well again", func() bool { return in.metric("onemind_catalog_bad") == 0 })
		}
	})
	people.stop()
	people.want(200)
	for _, r := range people.receipts() {
		if price, edited := prices[r.Revision]; edited && r.Output != price {
			t.Errorf("an answer of revision %d was priced at %d, want %d", r.Revision, r.Output, price)
		}
	}
	c.instances[0].settled(admin)
}

// revision is the newest number in the database.
func (c *installation) revision() int64 {
	n, err := strconv.ParseInt(c.sql(`SELECT max(number) FROM onemind.catalog_revisions`), 10, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// With neither a direct connection nor Redis's messages the poll still finds an edit.
func TestEditsReachByPollAlone(t *testing.T) {
	c := newInstallation(t, asked{instances: 2, models: []string{"small"}, env: []string{"DATABASE_DIRECT_URL="}})
	admin := c.instances[0].user("admin", "admin", "100")
	c.redis.Kill()
	revision := c.edit(admin, 1_200_000_000)
	start := time.Now()
	c.instances[1].serves(revision)
	t.Logf("found after %v", time.Since(start).Round(time.Millisecond))
}

// What is ended on one instance is over on all of them within a second, with
// Redis there, away, and by SQL.
func TestSignedOutEverywhere(t *testing.T) {
	c := newInstallation(t, asked{instances: 3, models: []string{"small"}})
	admin := c.instances[0].user("admin", "admin", "100")
	// over checks that nobody lets a person in once a second has passed.
	over := func(p *person, key bool) {
		t.Helper()
		time.Sleep(time.Second) // the promise itself
		for i, in := range c.instances {
			if r := p.at(in).app("GET", "/api/me", nil); r.status == 200 {
				t.Errorf("instance %d still knows the session", i+1)
			}
			if !key {
				continue
			}
			if r := p.at(in).sdk("GET", "/v1/models", nil); r.status == 200 {
				t.Errorf("instance %d still takes the key", i+1)
			}
		}
	}
	known := func(p *person) {
		t.Helper()
		for _, in := range c.instances {
			p.at(in).app("GET", "/api/me", nil).want(200)
			p.at(in).sdk("GET", "/v1/models", nil).want(200)
		}
	}
	makes := func(name string) *person {
		t.Helper()
		p := c.instances[1].user(name, "user", "100")
		known(p)
		return p
	}
	suspend := func(p *person) {
		t.Helper()
		admin.at(c.instances[2]).app("PATCH", "/api/admin/users/"+p.id, map[string]any{"state": "suspended"}).want(200)
	}
	t.Run("log-out", func(t *testing.T) {
		p := makes("leaves")
		p.at(c.instances[2]).app("POST", "/api/auth/logout", map[string]any{}).want(204)
		over(p, false)
	})
	t.Run("suspension", func(t *testing.T) {
		p := makes("suspended")
		suspend(p)
		over(p, true)
	})
	t.Run("suspension in SQL", func(t *testing.T) {
		p := makes("sql")
		c.sql(`UPDATE onemind.users SET suspended = true WHERE id = $1`, p.id)
		over(p, true)
	})
	t.Run("a revoked key", func(t *testing.T) {
		p := makes("revoker")
		var keys struct{ Items []struct{ ID string } }
		p.app("GET", "/api/keys", nil).want(200).into(&keys)
		p.at(c.instances[0]).app("DELETE", "/api/keys/"+keys.Items[0].ID, nil).want(204)
		time.Sleep(time.Second)
		for i, in := range c.instances {
			if r := p.at(in).sdk("GET", "/v1/models", nil); r.status == 200 {
				t.Errorf("instance %d still takes the key", i+1)
			}
		}
	})
	t.Run("with Redis away and back", func(t *testing.T) {
		p, q := makes("away"), makes("awaytoo")
		c.redis.Pause()
		suspend(p)
		q.at(c.instances[1]).app("POST", "/api/auth/logout", map[string]any{}).want(204)
		over(p, true)
		over(q, false)
		c.redis.Resume()
		c.instances[0].poll("Redis is back", func() bool {
			return c.instances[0].metric("onemind_redis_up")+c.instances[1].metric("onemind_redis_up")+c.instances[2].metric("onemind_redis_up") == 3
		})
		over(p, true)
		over(q, false)
	})
}

// A run is read and stopped through any instance, and survives the one that serves it.
func TestRunAcrossInstances(t *testing.T) {
	c := newInstallation(t, asked{instances: 3, models: []string{"slow"}, sim: sim.Options{Scripts: map[string]sim.Script{"slow": {Pieces: 3000, PieceDelay: 20 * time.Millisecond}}}})
	p := c.instances[0].user("ann", "user", "100000")
	begin := func() string {
		var run struct{ ID string }
		p.app("POST", "/api/runs", map[string]any{"prompt": "Count.", "models": []string{"slow"}}, "Idempotency-Key", rand.Text()).want(201).into(&run)
		return run.ID
	}
	// follow reads a run at an instance until each says stop or it ends; it checks the numbers.
	follow := func(in *instance, run string, after int64, each func(seq int64, kind string) bool) int64 {
		t.Helper()
		req := in.request(t.Context(), "GET", fmt.Sprintf("/api/runs/%s/events?after=%d", run, after), nil, "Cookie", "om_session="+p.cookie)
		resp, err := in.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("events: %d", resp.StatusCode)
		}
		seen := after
		_ = readEvents(resp.Body, func(e event) bool {
			seq, kind := numberOf(e)
			if seq != seen+1 {
				t.Errorf("event %s came after number %d", e.Data, seen)
				return false
			}
			seen = seq
			return each(seq, kind)
		})
		return seen
	}
	t.Run("followed and stopped elsewhere", func(t *testing.T) {
		run := begin()
		seen := follow(c.instances[1], run, 0, func(seq int64, _ string) bool { return seq < 20 })
		var shown struct {
			Answers []struct{ Text string }
		}
		p.at(c.instances[2]).app("GET", "/api/runs/"+run, nil).want(200).into(&shown)
		if len(shown.Answers) != 1 || shown.Answers[0].Text == "" {
			t.Errorf("another instance shows %+v", shown)
		}
		p.at(c.instances[2]).app("POST", "/api/runs/"+run+"/stop", map[string]any{}).want(202)
		last := ""
		follow(c.instances[1], run, seen, func(_ int64, kind string) bool { last = kind; return true })
		if last != "run.finished" {
			t.Errorf("the last event is %q", last)
		}
		c.instances[0].settled(p)
	})
	t.Run("its instance is killed", func(t *testing.T) {
		run := begin()
		seen := follow(c.instances[1], run, 0, func(seq int64, _ string) bool { return seq < 20 })
		c.instances[0].kill()
		var kinds []string
		seen = follow(c.instances[1], run, seen, func(_ int64, kind string) bool { kinds = append(kinds, kind); return true })
		if n := len(kinds); n < 2 || kinds[n-1] != "run.finished" || !slices.Contains(kinds, "answer.failed") {
			t.Errorf("after the kill: %v", kinds)
		}
		if again := follow(c.instances[2], run, 0, func(int64, string) bool { return true }); again != seen {
			t.Errorf("read again: %d events, want %d", again, seen)
		}
		c.instances[1].settled(p.at(c.instances[1]))
		var shown struct {
			Answers []struct {
				State string `json:"state"`
				Text  string `json:"text"`
			}
		}
		p.at(c.instances[1]).app("GET", "/api/runs/"+run, nil).want(200).into(&shown)
		if len(shown.Answers) != 1 || shown.Answers[0].State != "failed" || shown.Answers[0].Text == "" {
			t.Errorf("what is left: %+v", shown)
		}
	})
}

// A start that cannot work stops with one line that names what to set.
func TestStartRefusals(t *testing.T) {
	c := newInstallation(t, asked{instances: 1, models: []string{"small"}})
	base := c.environment(8)
	wrong := strings.Replace(c.pooler.URL("onemind"), "onemind-local", "not-the-password", 1)
	for _, tt := range []struct {
		name string
		env  []string
		want []string
		not  string
	}{
		{"no database", []string{"DATABASE_URL=" + c.pooler.URL("nothing")}, []string{"DATABASE_URL", "nothing"}, "onemind-local"},
		{"a wrong password", []string{"DATABASE_URL=" + wrong}, []string{"DATABASE_URL"}, "not-the-password"},
		{"nobody there", []string{"DATABASE_URL=postgres://a:sesame@127.0.0.1:1/x"}, []string{"DATABASE_URL", "127.0.0.1"}, "sesame"},
		{"no DSN", []string{"DATABASE_URL=postgres://%zz"}, []string{"DATABASE_URL"}, ""},
		{"another database", []string{"DATABASE_URL=mysql://a:sesame@b/c"}, []string{"DATABASE_URL"}, "sesame"},
		{"no Redis", []string{"REDIS_URL="}, []string{"REDIS_URL", "ONEMIND_SINGLE_INSTANCE"}, ""},
		{"no Redis, beside another instance", []string{"REDIS_URL=", "ONEMIND_SINGLE_INSTANCE=true"}, []string{"REDIS_URL", "om1"}, ""},
		{"Redis is not there", []string{"REDIS_URL=redis://:sesame@127.0.0.1:1"}, []string{"REDIS_URL"}, "sesame"},
		{"no secret key", []string{"ONEMIND_SECRET_KEY="}, []string{"ONEMIND_SECRET_KEY"}, ""},
		{"an unsafe mode", []string{"DATABASE_URL=" + c.pooler.URL("onemind") + "&default_query_exec_mode=describe_exec"}, []string{"DATABASE_URL", "describe_exec"}, "onemind-local"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := stopped(t, c.sim)
			in.env = append(slices.Clone(base), tt.env...)
			_, errs, code := in.cli("", "serve")
			line := lastLine(errs)
			if code == 0 {
				t.Fatal("it starts")
			}
			for _, word := range tt.want {
				if !strings.Contains(line, word) {
					t.Errorf("it does not say %q: %s", word, errs)
				}
			}
			if tt.not != "" && strings.Contains(errs, tt.not) {
				t.Errorf("it tells the password: %s", errs)
			}
		})
	}
	t.Run("Redis evicts", func(t *testing.T) {
		c.redisCommand("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
		defer c.redisCommand("CONFIG", "SET", "maxmemory-policy", "noeviction")
		in := stopped(t, c.sim)
		in.env = slices.Clone(base)
		if _, errs, code := in.cli("", "serve"); code == 0 || !strings.Contains(lastLine(errs), "noeviction") {
			t.Errorf("exit %d: %s", code, errs)
		}
	})
	t.Run("a newer schema", func(t *testing.T) {
		c.sql(`INSERT INTO onemind.schema_migrations (version, name, applied_at) VALUES (999, 'from the future', now())`)
		in := stopped(t, c.sim)
		in.env = slices.Clone(base)
		if _, errs, code := in.cli("", "serve"); code == 0 || !strings.Contains(lastLine(errs), "999") {
			t.Errorf("exit %d: %s", code, errs)
		}
		c.sql(`DELETE FROM onemind.schema_migrations WHERE version = 999`)
	})
	t.Run("an old schema", func(t *testing.T) {
		c.sql(`DELETE FROM onemind.schema_migrations WHERE version > 1`)
		in := stopped(t, c.sim)
		in.env = append(slices.Clone(base), "ONEMIND_MIGRATE=false")
		if _, errs, code := in.cli("", "serve"); code == 0 || !strings.Contains(lastLine(errs), "migrate") {
			t.Errorf("exit %d: %s", code, errs)
		}
	})
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
