package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/servers"
)

// fleet is an installation under measurement: instances on a Postgres behind
// PgBouncer and a Redis, with people who are signed in.
type fleet struct {
	dir       string
	pg        *servers.Postgres
	pooler    *servers.Pooler
	redis     *servers.Redis
	instances []*process
	people    []string // session tokens
	admin     string
	client    *http.Client
	runs      atomic.Int64
}

// fleetOptions say how much of what.
type fleetOptions struct {
	binary                   string
	instances, people, edits int
	starts                   int // runs begun per second
	length                   time.Duration
}

// measureFleet measures what issue "one product on many instances" promises: how
// fast an edit reaches everybody under load, and how little of the load reaches
// the database.
func measureFleet(o fleetOptions) error {
	ctx := context.Background()
	f, stop, err := newFleet(ctx, o)
	defer stop()
	if err != nil {
		return err
	}
	if err := f.enrol(ctx, o.people); err != nil {
		return err
	}
	fmt.Printf("%d instances, %d people, %d starts/s asked for, %v each\n", o.instances, o.people, o.starts, o.length)
	if err := f.phase(ctx, "warming up", o, 0); err != nil {
		return err
	}
	if err := f.phase(ctx, "load", o, 0); err != nil {
		return err
	}
	if err := f.phase(ctx, "load with edits", o, o.edits); err != nil {
		return err
	}
	for _, p := range f.instances {
		fmt.Printf("%s: %.0f MB resident\n", p.name, p.rss())
	}
	return nil
}

// phase puts load on the installation for a while and reports what came of it.
func (f *fleet) phase(ctx context.Context, name string, o fleetOptions, edits int) error {
	stats, err := pgx.Connect(ctx, f.pg.URL("onemind"))
	if err != nil {
		return fmt.Errorf("watch the database: %w", err)
	}
	defer stats.Close(ctx) //nolint:errcheck // nothing is lost
	if _, err := stats.Exec(ctx, `SELECT pg_stat_statements_reset()`); err != nil {
		return fmt.Errorf("reset the statistics: %w", err)
	}
	running, cancel := context.WithTimeout(ctx, o.length)
	defer cancel()
	var work sync.WaitGroup
	var l fleetLoad
	var rollouts []time.Duration
	var edited error
	most := 0
	work.Go(func() { f.load(running, o.starts, &l) })
	work.Go(func() { rollouts, edited = f.edit(running, edits, o.length) })
	work.Go(func() { most = f.watchPool(running) })
	work.Wait()
	if edited != nil {
		return edited
	}
	var reads int64
	err = stats.QueryRow(ctx, `SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
		WHERE query ~* '^\s*(with|select)' AND query ~ 'onemind\.(sessions|users|api_keys|ai_models|ai_model_prices|provider_config|provider_keys|system_config|catalog_revisions)'`).Scan(&reads)
	if err != nil {
		return fmt.Errorf("read the statistics: %w", err)
	}
	report(name, &l, rollouts, most, reads)
	return nil
}

func report(name string, l *fleetLoad, rollouts []time.Duration, most int, reads int64) {
	at := func(d []time.Duration, share float64) string {
		if len(d) == 0 {
			return "-"
		}
		slices.Sort(d)
		return fmt.Sprintf("%.1f", float64(d[min(len(d)-1, int(share*float64(len(d))))].Microseconds())/1000)
	}
	requests := l.requests.Load()
	fmt.Printf("%s: %d runs begun, %d read to their end at another instance, %d requests, %d errors %v\n", name, l.begun.Load(), l.ended.Load(), requests, l.errors.Load(), l.kinds())
	fmt.Printf("  POST /api/runs, ms: p50 %s, p99 %s\n", at(l.posts, .5), at(l.posts, .99))
	// Each request needs an identity (a session and its user) and a catalog.
	fmt.Printf("  reads of catalog, sessions and users: %d needed, %d by the database (%.1f %% without it)\n", 3*requests, reads, 100-100*float64(reads)/float64(max(1, 3*requests)))
	fmt.Printf("  connections of PgBouncer to Postgres: at most %d\n", most)
	if len(rollouts) > 0 {
		fmt.Printf("  an edit, from its request until every instance serves it, ms: p50 %s, p99 %s, max %s (%d edits)\n", at(rollouts, .5), at(rollouts, .99), at(rollouts, 1), len(rollouts))
	}
}

// newFleet starts everything. stop ends what was started, whatever the error.
func newFleet(ctx context.Context, o fleetOptions) (f *fleet, stop func(), err error) {
	var ends []func()
	stop = func() {
		for _, end := range slices.Backward(ends) {
			end()
		}
	}
	f = &fleet{client: newClient()}
	dir, remove, err := servers.Dir()
	if err != nil {
		return f, stop, err
	}
	f.dir, ends = dir, append(ends, remove)
	if f.pg, err = servers.NewPostgres(ctx, dir, "shared_preload_libraries=pg_stat_statements"); err != nil {
		return f, stop, err
	}
	ends = append(ends, f.pg.Stop)
	if err := f.pg.CreateDatabase(ctx, "onemind"); err != nil {
		return f, stop, err
	}
	if f.pooler, err = servers.NewPooler(ctx, dir, f.pg); err != nil {
		return f, stop, err
	}
	ends = append(ends, f.pooler.Kill)
	if f.redis, err = servers.NewRedis(ctx, dir); err != nil {
		return f, stop, err
	}
	ends = append(ends, f.redis.Stop)
	up, err := startRole("upstream", "upstream")
	if err != nil {
		return f, stop, err
	}
	ends = append(ends, up.stop)
	for i := range o.instances {
		p, err := f.start(o.binary, i, up.url)
		if err != nil {
			return f, stop, err
		}
		f.instances, ends = append(f.instances, p), append(ends, p.stop)
	}
	return f, stop, nil
}

// start starts one instance; the first fills the catalog before.
func (f *fleet) start(binary string, i int, upstreamURL string) (*process, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	name, key := "om"+strconv.Itoa(i+1), sha256.Sum256([]byte("of this benchmark alone"))
	env := []string{"DATABASE_URL=" + f.pooler.URL("onemind"), "DATABASE_DIRECT_URL=" + f.pg.URL("onemind"), "REDIS_URL=" + f.redis.URL(),
		"ONEMIND_SECRET_KEY=" + base64.StdEncoding.EncodeToString(key[:]), "ONEMIND_INSTANCE=" + name, "ONEMIND_ADDR=" + addr,
		"ONEMIND_OPS_ADDR=off", "ONEMIND_DATA_DIR=" + filepath.Join(f.dir, name)}
	if i == 0 {
		path := filepath.Join(f.dir, "catalog.yaml")
		if err := os.WriteFile(path, []byte(benchCatalog(upstreamURL, "openai")), 0o600); err != nil {
			return nil, err
		}
		cmd := exec.Command(binary, "catalog", "apply", path) //nolint:gosec,noctx // the binary to measure
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("apply the catalog: %w: %s", err, out)
		}
	}
	return start(name, addr, env, binary, "serve")
}

// token is a session token of the shape the product makes, and the digest it is kept under.
func token() (plain, digest string) {
	b := make([]byte, 32)
	for i := range b {
		b[i] = byte(rand.Uint32()) //nolint:gosec // of people who live for a minute
	}
	plain = base64.RawURLEncoding.EncodeToString(b)
	sum := sha256.Sum256([]byte(plain))
	return plain, hex.EncodeToString(sum[:])
}

// enrol signs people in, by SQL, because a thousand passwords cost a minute of
// hashing, and gives them credits, through the API.
func (f *fleet) enrol(ctx context.Context, people int) error {
	conn, err := pgx.Connect(ctx, f.pg.URL("onemind"))
	if err != nil {
		return fmt.Errorf("enrol people: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost
	if _, err := conn.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS pg_stat_statements`); err != nil {
		return fmt.Errorf("watch statements: %w", err)
	}
	ids := make([]string, 0, people+1)
	for i := range people + 1 {
		id, role := fmt.Sprintf("user_bench%d", i), "user"
		if i == people {
			role = "admin"
		}
		plain, digest := token()
		if _, err := conn.Exec(ctx, `INSERT INTO onemind.users (id, email, name, role, suspended, plan, limits, password, created_at) VALUES ($1, $2, '', $3, false, '', '{}', '', now())`,
			id, id+"@example.org", role); err != nil {
			return fmt.Errorf("enrol a person: %w", err)
		}
		if _, err := conn.Exec(ctx, `INSERT INTO onemind.sessions (hash, id, user_id, user_agent, address, created_at, seen_at) VALUES ($1, $2, $3, '', '', now(), now())`,
			digest, "sess_"+id, id); err != nil {
			return fmt.Errorf("sign a person in: %w", err)
		}
		if role == "admin" {
			f.admin = plain
			continue
		}
		f.people, ids = append(f.people, plain), append(ids, id)
	}
	var work sync.WaitGroup
	var failed atomic.Pointer[error]
	for w := range 16 {
		work.Go(func() {
			for i := w; i < len(ids); i += 16 {
				_, _, err := f.do(ctx, 0, f.admin, http.MethodPost, "/api/admin/users/"+ids[i]+"/credits", `{"credits":"100000","reason":"bench"}`, "Idempotency-Key", ids[i])
				if err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	work.Wait()
	if err := failed.Load(); err != nil {
		return fmt.Errorf("give credits: %w", *err)
	}
	return nil
}

// do makes one request of the app at an instance and reads the whole answer.
func (f *fleet) do(ctx context.Context, instance int, session, method, path, body string, headers ...string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, f.instances[instance].url+path, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Cookie", "om_session="+session)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, data)
	}
	return data, resp.Header, err
}

// fleetLoad is what the people saw.
type fleetLoad struct {
	begun, ended, requests, errors atomic.Int64
	mu                             sync.Mutex
	posts                          []time.Duration
	texts                          map[string]int
}

func (l *fleetLoad) fail(err error) {
	l.errors.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.texts == nil {
		l.texts = map[string]int{}
	}
	text := err.Error()
	l.texts[text[:min(len(text), 160)]]++
}

func (l *fleetLoad) kinds() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.texts
}

// load begins runs at a rate, each by the next person at the next instance, and
// follows each at another instance to its end.
func (f *fleet) load(ctx context.Context, rate int, l *fleetLoad) {
	var work sync.WaitGroup
	defer work.Wait()
	gap := time.Second / time.Duration(rate)
	next := time.Now()
	for i := 0; ctx.Err() == nil; i++ {
		next = next.Add(gap)
		time.Sleep(time.Until(next))
		work.Go(func() { f.person(context.WithoutCancel(ctx), i, l) })
	}
}

func (f *fleet) person(ctx context.Context, i int, l *fleetLoad) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	session, at := f.people[i%len(f.people)], i%len(f.instances)
	began := time.Now()
	l.requests.Add(2)
	data, _, err := f.do(ctx, at, session, http.MethodPost, "/api/runs", `{"prompt":"Name the three largest cities of France, please.","models":["bench"]}`, "Idempotency-Key", fmt.Sprint("run", f.runs.Add(1)))
	if err != nil {
		l.fail(err)
		return
	}
	l.begun.Add(1)
	l.mu.Lock()
	l.posts = append(l.posts, time.Since(began))
	l.mu.Unlock()
	var run struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(data, &run); err != nil {
		l.fail(err)
		return
	}
	if err := f.follow(ctx, (at+1)%len(f.instances), session, run.ID); err != nil {
		l.fail(err)
		return
	}
	l.ended.Add(1)
}

// follow reads a run's events to the end.
func (f *fleet) follow(ctx context.Context, instance int, session, run string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.instances[instance].url+"/api/runs/"+run+"/events", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Cookie", "om_session="+session)
	resp, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("events: %d", resp.StatusCode)
	}
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		if strings.Contains(s.Text(), `"type":"run.finished"`) {
			return nil
		}
	}
	return fmt.Errorf("the events of %s end early", run)
}

// edit changes the price at the first instance again and again, and measures
// from sending the request until every instance serves the revision.
func (f *fleet) edit(ctx context.Context, edits int, length time.Duration) (took []time.Duration, err error) {
	pause := length / time.Duration(max(1, edits)) * 3 / 4
	for i := 0; i < edits && ctx.Err() == nil; i++ {
		_, h, err := f.do(ctx, 0, f.admin, http.MethodGet, "/api/admin/models", "")
		if err != nil {
			break
		}
		began := time.Now()
		_, h, err = f.do(ctx, 0, f.admin, http.MethodPatch, "/api/admin/models/bench",
			fmt.Sprintf(`{"prices":{"input_nano_usd":150000000,"output_nano_usd":%d}}`, 600_000_000+i), "If-Match", h.Get("ETag"))
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			return took, err
		}
		revision, err := strconv.ParseInt(strings.Trim(h.Get("ETag"), `"`), 10, 64)
		if err != nil {
			return took, fmt.Errorf("read the revision: %w", err)
		}
		if err := f.served(ctx, revision); err != nil {
			break
		}
		took = append(took, time.Since(began))
		time.Sleep(pause)
	}
	return took, nil
}

// served waits until every instance serves a revision.
func (f *fleet) served(ctx context.Context, revision int64) error {
	for i := range f.instances {
		for {
			data, _, err := f.do(ctx, i, "", http.MethodGet, "/health", "")
			if err != nil {
				return err
			}
			var v struct {
				Revision int64 `json:"revision"`
			}
			if err := json.Unmarshal(data, &v); err != nil {
				return err
			}
			if v.Revision >= revision {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// watchPool gives the most connections that PgBouncer had to Postgres.
func (f *fleet) watchPool(ctx context.Context) (most int) {
	conn, err := pgx.Connect(ctx, f.pooler.URL("pgbouncer")+"&default_query_exec_mode=simple_protocol")
	if err != nil {
		return -1
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost
	for ctx.Err() == nil {
		rows, err := conn.Query(ctx, "SHOW SERVERS")
		if err != nil {
			return most
		}
		n := 0
		for rows.Next() {
			n++
		}
		rows.Close()
		most = max(most, n)
		time.Sleep(50 * time.Millisecond)
	}
	return most
}
