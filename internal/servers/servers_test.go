package servers_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/servers"
)

func dir(t *testing.T) string {
	t.Helper()
	path, remove, err := servers.Dir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	return path
}

// with runs fn on a connection of its own.
func with(t *testing.T, url string, fn func(*pgx.Conn) error) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url+"&default_query_exec_mode=simple_protocol")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is lost
	if err := fn(c); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, url, sql string) (text string) {
	t.Helper()
	with(t, url, func(c *pgx.Conn) error { return c.QueryRow(t.Context(), sql).Scan(&text) })
	return text
}

// What was committed is there after a crash, through the pooler as well, and a
// replica follows.
func TestPostgres(t *testing.T) {
	home := dir(t)
	pg, err := servers.NewPostgres(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Kill()
	if got := ask(t, pg.URL("postgres"), "SHOW fsync"); got != "on" {
		t.Errorf("fsync is %s", got)
	}
	with(t, pg.URL("postgres"), func(c *pgx.Conn) error {
		_, err := c.Exec(t.Context(), "CREATE TABLE t AS SELECT 'kept'::text AS v")
		return err
	})
	pooler, err := servers.NewPooler(t.Context(), home, pg)
	if err != nil {
		t.Fatal(err)
	}
	defer pooler.Kill()
	pg.Pause()
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	if c, err := pgx.Connect(short, pooler.URL("postgres")+"&default_query_exec_mode=simple_protocol"); err == nil {
		if err := c.QueryRow(short, "SELECT v FROM t").Scan(new(string)); err == nil {
			t.Error("a paused server answers")
		}
		_ = c.Close(context.WithoutCancel(short))
	}
	cancel()
	pg.Resume()
	if got := ask(t, pg.URL("postgres"), "SELECT v FROM t"); got != "kept" {
		t.Errorf("after a pause: %s", got)
	}
	pg.Kill()
	if err := pg.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, pooler.URL("postgres"), "SELECT v FROM t"); got != "kept" {
		t.Errorf("through the pooler: %s", got)
	}
	replica, err := pg.NewReplica(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	defer replica.Kill()
	if got := ask(t, replica.URL("postgres"), "SELECT v FROM t"); got != "kept" {
		t.Errorf("at the replica: %s", got)
	}
}

func TestRedisCluster(t *testing.T) {
	nodes, err := servers.NewRedisCluster(t.Context(), dir(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", n.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		n.Kill()
		if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", n.Addr()); err == nil {
			t.Error("it is still there after a kill")
		}
	}
}

func TestHAProxy(t *testing.T) {
	var backends []string
	for _, word := range []string{"one", "two"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(word)) }))
		defer s.Close()
		backends = append(backends, strings.TrimPrefix(s.URL, "http://"))
	}
	h, err := servers.NewHAProxy(t.Context(), dir(t), 0, backends...)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Stop()
	seen := map[string]bool{}
	for range 4 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 3)
		_, _ = resp.Body.Read(b)
		_ = resp.Body.Close()
		seen[string(b)] = true
	}
	if len(seen) != 2 {
		t.Errorf("seen %v, want both instances", seen)
	}
}
