package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"onemind/internal/llm/sim"
	"onemind/internal/servers"
)

// installation is some instances on Postgres, PgBouncer and Redis of their own.
type installation struct {
	t         *testing.T
	dir       string
	pg        *servers.Postgres
	pooler    *servers.Pooler
	redis     *servers.Redis
	sim       *sim.Server
	upstream  *httptest.Server
	instances []*instance
}

// asked is what an installation is to be like.
type asked struct {
	instances int
	sim       sim.Options
	models    []string
	limits    string   // YAML of plans and settings; empty: noLimits
	env       []string // of every instance; wins over what the installation sets
}

func newInstallation(t *testing.T, a asked) *installation {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	c := &installation{t: t, sim: sim.New(a.sim)}
	c.upstream = httptest.NewServer(c.sim)
	t.Cleanup(func() {
		c.upstream.CloseClientConnections()
		c.upstream.Close()
	})
	var remove func()
	var err error
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c.dir, remove, err = servers.Dir()
	fatal(err)
	t.Cleanup(remove)
	c.pg, err = servers.NewPostgres(t.Context(), c.dir)
	fatal(err)
	t.Cleanup(c.pg.Kill)
	fatal(c.pg.CreateDatabase(t.Context(), "onemind"))
	c.pooler, err = servers.NewPooler(t.Context(), c.dir, c.pg)
	fatal(err)
	t.Cleanup(c.pooler.Kill)
	c.redis, err = servers.NewRedis(t.Context(), c.dir)
	fatal(err)
	t.Cleanup(c.redis.Kill)
	for i := range a.instances {
		in := stopped(t, c.sim)
		in.env = append(c.environment(i), a.env...)
		c.instances = append(c.instances, in)
	}
	limits := a.limits
	if limits == "" {
		limits = noLimits
	}
	first := c.instances[0]
	first.must(first.apply(testCatalog(c.upstream.URL, limits, a.models)))
	for _, in := range c.instances {
		in.start()
	}
	return c
}

// secretKey is the same for every instance of a test.
func secretKey() string {
	sum := sha256.Sum256([]byte("of these tests alone"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// environment is what instance number i is told of its surroundings.
func (c *installation) environment(i int) []string {
	port, err := servers.FreePort()
	if err != nil {
		c.t.Fatal(err)
	}
	return []string{"DATABASE_URL=" + c.pooler.URL("onemind"), "DATABASE_DIRECT_URL=" + c.pg.URL("onemind"), "REDIS_URL=" + c.redis.URL(),
		"ONEMIND_SECRET_KEY=" + secretKey(), "ONEMIND_INSTANCE=om" + strconv.Itoa(i+1), "ONEMIND_OPS_ADDR=127.0.0.1:" + strconv.Itoa(port)}
}

// at gives a person as seen through instance number i: the same key and session.
func (p *person) at(in *instance) *person {
	q := *p
	q.in = in
	return &q
}

// metric reads one figure of an instance.
func (in *instance) metric(name string) int64 {
	in.t.Helper()
	addr := ""
	for _, pair := range in.env {
		if v, ok := strings.CutPrefix(pair, "ONEMIND_OPS_ADDR="); ok {
			addr = v
		}
	}
	req, err := http.NewRequestWithContext(in.t.Context(), http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		in.t.Fatal(err)
	}
	resp, err := in.client.Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		in.t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil {
				in.t.Fatal(err)
			}
			return n
		}
	}
	in.t.Fatalf("there is no metric %s in\n%s", name, body)
	return 0
}

// sql runs statements on the primary as psql would, and gives the first value of
// the last one's first row, if it has any.
func (c *installation) sql(statement string, args ...any) string {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), c.pg.URL("onemind"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(c.t.Context())) //nolint:errcheck // nothing is lost
	rows, err := conn.Query(c.t.Context(), statement, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	text := ""
	if rows.Next() {
		values, err := rows.Values()
		if err != nil {
			c.t.Fatal(err)
		}
		if len(values) > 0 {
			text = fmt.Sprint(values[0])
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		c.t.Fatal(err)
	}
	return text
}
