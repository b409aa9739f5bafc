package redis_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"onemind/internal/redis"
	"onemind/internal/servers"
	"onemind/internal/sqlite"
)

// The servers of this package's tests: one Redis, and a cluster of three.
var (
	home    string
	single  *servers.Redis
	cluster []*servers.Redis
)

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
	if single, err = servers.NewRedis(ctx, dir); err != nil {
		return 1, err
	}
	defer single.Kill()
	if cluster, err = servers.NewRedisCluster(ctx, dir); err != nil {
		return 1, err
	}
	for _, n := range cluster {
		defer n.Kill()
	}
	return m.Run(), nil
}

// dial opens a client that is closed, and whose repetitions run, as long as the test.
func dial(t testing.TB, url string) *redis.Client {
	t.Helper()
	var o redis.Options
	if url == single.URL() || url == clusterURL() { // these are never away, only slow on a busy machine
		o.Call = 5 * time.Second
	}
	return open(t, url, o)
}

// open is dial with other options.
func open(t testing.TB, url string, o redis.Options) *redis.Client {
	t.Helper()
	c, err := redis.Open(context.Background(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	runs(t, c.Run)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// runs runs something in the background until the test ends.
func runs(t testing.TB, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); work.Wait() })
}

// command sends one command to a server, past the package.
func command(t testing.TB, address string, words ...string) rueidis.RedisResult {
	t.Helper()
	rc, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	return rc.Do(t.Context(), rc.B().Arbitrary(words...).Build())
}

// flush empties the one server.
func flush(t testing.TB) {
	t.Helper()
	if err := command(t, single.Addr(), "FLUSHALL").Error(); err != nil {
		t.Fatal(err)
	}
}

// empty is a client of the one server with nothing in it.
func empty(t testing.TB) *redis.Client {
	t.Helper()
	flush(t)
	return dial(t, single.URL())
}

// emptyCluster is a client of the cluster with nothing in it.
func emptyCluster(t testing.TB) *redis.Client {
	t.Helper()
	for _, n := range cluster {
		if err := command(t, n.Addr(), "FLUSHALL").Error(); err != nil {
			t.Fatal(err)
		}
	}
	return dial(t, clusterURL())
}

// own starts a server that one test may hurt.
func own(t testing.TB, args ...string) *servers.Redis {
	t.Helper()
	r, err := servers.NewRedis(t.Context(), home, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	return r
}

// soon waits for something that has to come.
func soon[T any](t testing.TB, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(20 * time.Second):
		t.Fatalf("waited for %s", what)
	}
	return v
}

func clusterURL() string {
	var hosts []string
	for _, n := range cluster {
		hosts = append(hosts, n.Addr())
	}
	return "redis://" + strings.Join(hosts, ",")
}

func database(t testing.TB) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "onemind.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// until waits for something that another goroutine brings about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited until %s", what)
		}
	}
}
