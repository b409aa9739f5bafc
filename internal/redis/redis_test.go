package redis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"onemind/internal/account"
	"onemind/internal/catalog"
	"onemind/internal/credit"
	"onemind/internal/fleet"
	"onemind/internal/limit"
	"onemind/internal/redis"
	"onemind/internal/replay"
	"onemind/internal/servers"
	"onemind/internal/sqlite"
	"onemind/internal/storetest"
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
	c, err := redis.Open(t.Context(), url, redis.Options{})
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

// empty is a client of the one server with nothing in it.
func empty(t testing.TB) *redis.Client {
	t.Helper()
	if err := command(t, single.Addr(), "FLUSHALL").Error(); err != nil {
		t.Fatal(err)
	}
	return dial(t, single.URL())
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

func TestLimiter(t *testing.T) {
	storetest.Limiter(t, func(t *testing.T) limit.Limiter {
		return redis.NewLimiter(empty(t), redis.LimiterOptions{CallerTime: true})
	})
}

func TestLimiterInACluster(t *testing.T) {
	storetest.Limiter(t, func(t *testing.T) limit.Limiter {
		for _, n := range cluster {
			if err := command(t, n.Addr(), "FLUSHALL").Error(); err != nil {
				t.Fatal(err)
			}
		}
		return redis.NewLimiter(dial(t, clusterURL()), redis.LimiterOptions{CallerTime: true})
	})
}

func TestSessions(t *testing.T) {
	storetest.Sessions(t, func(t *testing.T) account.Sessions { return redis.NewSessions(empty(t), database(t)) })
}

func TestAccounts(t *testing.T) {
	storetest.Accounts(t, func(t *testing.T) account.Store { return redis.NewUsers(empty(t), database(t)) })
}

func TestReplay(t *testing.T) {
	storetest.Replay(t, func(t *testing.T) replay.Store { return redis.NewReplay(empty(t)) })
	t.Run("cluster", func(t *testing.T) {
		storetest.Replay(t, func(t *testing.T) replay.Store {
			for _, n := range cluster {
				if err := command(t, n.Addr(), "FLUSHALL").Error(); err != nil {
					t.Fatal(err)
				}
			}
			return redis.NewReplay(dial(t, clusterURL()))
		})
	})
}

func TestCatalog(t *testing.T) {
	storetest.Catalog(t, func(t *testing.T) catalog.Store { return redis.NewCatalog(empty(t), database(t).Catalog()) })
}

// Two instances whose clocks are hours apart still share one window, by Redis's
// clock, however many ask at once.
func TestLimiterGoesByRedisTime(t *testing.T) {
	c := empty(t)
	a, b := redis.NewLimiter(c, redis.LimiterOptions{}), redis.NewLimiter(dial(t, single.URL()), redis.LimiterOptions{})
	bucket := []limit.Bucket{{Key: "ratelimit:{u}", Scope: "user", Max: 30, Take: 1}}
	var granted, unknown atomic.Int64
	var work sync.WaitGroup
	start := time.Now()
	for i := range 1000 {
		l, now := a, time.Now().Add(-2*time.Hour)
		if i%2 == 0 {
			l, now = b, time.Now().Add(5*time.Second)
		}
		work.Go(func() {
			v, err := l.Take(t.Context(), now, bucket, limit.Lease{})
			switch {
			case errors.Is(err, redis.ErrDown): // more at once than two cores serve in 50 ms: it may have taken one
				unknown.Add(1)
			case err != nil:
				t.Error(err)
			case v.OK:
				granted.Add(1)
			}
		})
	}
	work.Wait()
	slid := int64(30*time.Since(start)/time.Minute) + 1
	if g := granted.Load(); g > 30+slid || g+unknown.Load() < 30 {
		t.Errorf("%d were granted and %d are unknown, want 30", g, unknown.Load())
	}
}

// A decision over three buckets and a lease is one command.
func TestLimiterIsOneCommand(t *testing.T) {
	l := redis.NewLimiter(empty(t), redis.LimiterOptions{})
	ask := func() {
		t.Helper()
		if _, err := l.Take(t.Context(), time.Now(), []limit.Bucket{{Key: "ratelimit:{u}", Scope: "user", Max: 30, Take: 1},
			{Key: "ratelimit:{u}:p", Scope: "user_provider", Max: 1000, Take: 1}, {Key: "ratelimit:global", Scope: "global", Max: 100000, Take: 1}},
			limit.Lease{Key: "answers:{u}", N: 1, Max: 100}); err != nil {
			t.Fatal(err)
		}
	}
	ask() // loads the script
	commands := func() (n int) {
		t.Helper()
		stats, err := command(t, single.Addr(), "INFO", "commandstats").ToString()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(stats) {
			if rest, ok := strings.CutPrefix(line, "cmdstat_evalsha:calls="); ok {
				if _, err := fmt.Sscanf(rest, "%d", &n); err != nil {
					t.Fatal(err)
				}
			}
			if strings.HasPrefix(line, "cmdstat_eval:") {
				t.Error("the script is sent again")
			}
		}
		return n
	}
	if err := command(t, single.Addr(), "CONFIG", "RESETSTAT").Error(); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		ask()
	}
	if n := commands(); n != 50 {
		t.Errorf("50 decisions were %d commands", n)
	}
}

// A lease of an instance that died is over by itself; one that is renewed is not.
func TestLeasesExpire(t *testing.T) {
	c := empty(t)
	dead, alive := redis.NewLimiter(c, redis.LimiterOptions{Lease: time.Second}), redis.NewLimiter(c, redis.LimiterOptions{Lease: time.Second})
	runs(t, alive.Run)
	take := func(l *redis.Limiter, key string) limit.Verdict {
		t.Helper()
		v, err := l.Take(t.Context(), time.Now(), nil, limit.Lease{Key: key, N: 1, Max: 1})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	kept := take(alive, "answers:{kept}")
	if !kept.OK || !take(dead, "answers:{lost}").OK {
		t.Fatal("the first of each is refused")
	}
	until(t, "the lost lease is over", func() bool { return take(alive, "answers:{lost}").OK })
	if v := take(dead, "answers:{kept}"); v.OK || !v.Crowded {
		t.Errorf("a lease that is renewed was given away: %+v", v)
	}
	kept.Release()
	until(t, "the released lease is free", func() bool { return take(dead, "answers:{kept}").OK })
}

// A Redis that hangs costs each caller 50 ms, and soon nobody anything.
func TestBreaker(t *testing.T) {
	own, err := servers.NewRedis(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Kill()
	c := dial(t, own.URL())
	balances := redis.NewBalances(c)
	ctx := t.Context()
	balances.Keep(ctx, "u", credit.Balance{Total: 5}, time.Now())
	if b, ok := balances.Shown(ctx, "u"); !ok || b.Total != 5 {
		t.Fatalf("shown %+v, %v", b, ok)
	}
	for name, outage := range map[string]struct{ strike, mend func() }{
		"paused": {own.Pause, own.Resume},
		"killed": {own.Kill, func() {
			if err := own.Start(ctx); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			outage.strike()
			var slow int
			for range 200 {
				start := time.Now()
				balances.Shown(ctx, "u")
				if time.Since(start) > 20*time.Millisecond {
					slow++
				}
			}
			if slow > 12 {
				t.Errorf("%d of 200 calls waited", slow)
			}
			if c.Up() {
				t.Error("the breaker is closed")
			}
			outage.mend()
			until(t, "it is up again", func() bool { balances.Shown(ctx, "u"); return c.Up() })
			balances.Keep(ctx, "u", credit.Balance{Total: 6}, time.Now())
			until(t, "it keeps things again", func() bool {
				balances.Keep(ctx, "u", credit.Balance{Total: 6}, time.Now())
				b, ok := balances.Shown(ctx, "u")
				return ok && b.Total == 6
			})
		})
	}
}

// A session that ended while Redis was away is over when it is back, on the
// instance that ended it and on those that heard nothing of it.
func TestEndedSessionsStayEnded(t *testing.T) {
	own, err := servers.NewRedis(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Kill()
	db, ctx := database(t), t.Context()
	here, there := dial(t, own.URL()), dial(t, own.URL())
	a, b := redis.NewSessions(here, db), redis.NewSessions(there, db)
	session := func(n int) account.Session {
		now := time.Now().UTC().Truncate(time.Millisecond)
		return account.Session{Hash: fmt.Sprint("hash", n), ID: fmt.Sprint("ses", n), User: "u", CreatedAt: now, SeenAt: now}
	}
	for n := range 3 {
		if err := a.CreateSession(ctx, session(n)); err != nil {
			t.Fatal(err)
		}
		if got, err := b.SessionByHash(ctx, session(n).Hash); err != nil || got.User != "u" {
			t.Fatalf("the other instance: %+v, %v", got, err)
		}
	}
	own.Pause()
	if _, err := a.DeleteSession(ctx, "u", "ses0"); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*redis.Sessions{a, b} {
		until(t, "the breakers are open", func() bool { _, _ = s.SessionByHash(ctx, "hash1"); return !here.Up() || s != a })
		if _, err := s.SessionByHash(ctx, "hash0"); !errors.Is(err, account.ErrNoSession) {
			t.Errorf("while it is away: %v", err)
		}
	}
	until(t, "both know that it is away", func() bool {
		_, _ = a.SessionByHash(ctx, "hash1")
		_, _ = b.SessionByHash(ctx, "hash1")
		return !here.Up() && !there.Up()
	})
	own.Resume()
	until(t, "it is back", func() bool {
		for _, s := range []*redis.Sessions{a, b} {
			if _, err := s.SessionByHash(ctx, "hash0"); !errors.Is(err, account.ErrNoSession) {
				t.Fatalf("an ended session is known again: %v", err)
			}
			if _, err := s.SessionByHash(ctx, "hash1"); err != nil {
				t.Fatalf("a good session: %v", err)
			}
		}
		return here.Up() && there.Up()
	})
	if err := command(t, own.Addr(), "FLUSHALL").Error(); err != nil {
		t.Fatal(err)
	}
	if got, err := b.SessionByHash(ctx, "hash2"); err != nil || got.ID != "ses2" {
		t.Errorf("after everything was lost: %+v, %v", got, err)
	}
}

// slow is a database whose answers come late.
type slow struct {
	*sqlite.DB
	read, answer chan struct{}
}

func (s *slow) SessionByHash(ctx context.Context, hash string) (account.Session, error) {
	v, err := s.DB.SessionByHash(ctx, hash)
	s.read <- struct{}{}
	<-s.answer
	return v, err
}

// A copy that was read before its session ended is not kept after.
func TestFillLosesAgainstDrop(t *testing.T) {
	db, ctx := database(t), t.Context()
	now := time.Now().UTC().Truncate(time.Millisecond)
	if err := db.CreateSession(ctx, account.Session{Hash: "h", ID: "s", User: "u", CreatedAt: now, SeenAt: now}); err != nil {
		t.Fatal(err)
	}
	late := &slow{db, make(chan struct{}), make(chan struct{})}
	reader, ender := redis.NewSessions(empty(t), late), redis.NewSessions(dial(t, single.URL()), db)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = reader.SessionByHash(ctx, "h") }()
	<-late.read
	if _, err := ender.DeleteSession(ctx, "u", "s"); err != nil {
		t.Fatal(err)
	}
	close(late.answer)
	<-done
	if _, err := ender.SessionByHash(ctx, "h"); !errors.Is(err, account.ErrNoSession) {
		t.Errorf("the ended session is known: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct{ url, want string }{
		"nobody there": {"redis://user:sesame@127.0.0.1:1", "REDIS_URL: no Redis answers at 127.0.0.1:1"},
		"no address":   {"redis://[", "REDIS_URL"},
	} {
		if _, err := redis.Open(t.Context(), tt.url, redis.Options{}); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v", name, err)
		}
	}
	evicting, err := servers.NewRedis(t.Context(), home, "--maxmemory", "20mb", "--maxmemory-policy", "volatile-lru")
	if err != nil {
		t.Fatal(err)
	}
	defer evicting.Kill()
	if _, err := redis.Open(t.Context(), evicting.URL(), redis.Options{}); !errors.Is(err, redis.ErrEvicts) || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("one that evicts: %v", err)
	}
	guarded, err := servers.NewRedis(t.Context(), home, "--requirepass", "open-sesame")
	if err == nil {
		defer guarded.Kill()
		t.Error("a server with a password answers a PING")
	}
}

// An append on one instance wakes who follows the run on another, a thousand
// runs on one connection, and again after the connection was lost.
func TestWatch(t *testing.T) {
	own, err := servers.NewRedis(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Kill()
	writer, reader := redis.NewReplay(dial(t, own.URL())), redis.NewReplay(dial(t, own.URL()))
	runs(t, reader.Run)
	ctx := t.Context()
	event := func(seq int64) []replay.Event { return []replay.Event{{Seq: seq, Data: []byte("{}")}} }
	wakes := make([]<-chan struct{}, 1000)
	for i := range wakes {
		wake, stop := reader.Watch(fmt.Sprint("run", i))
		defer stop()
		wakes[i] = wake
	}
	for i := range wakes { // each is woken once when its subscription stands
		select {
		case <-wakes[i]:
		case <-time.After(20 * time.Second):
			t.Fatalf("run %d is not watched", i)
		}
	}
	awake := func(i int, seq int64) {
		t.Helper()
		if err := writer.AppendEvents(ctx, fmt.Sprint("run", i), event(seq)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-wakes[i]:
		case <-time.After(20 * time.Second):
			t.Fatalf("an append to run %d woke nobody", i)
		}
	}
	for i := range 1000 {
		awake(i, 1)
	}
	own.Kill()
	if err := own.Start(ctx); err != nil {
		t.Fatal(err)
	}
	<-wakes[7] // the new subscription
	until(t, "the writer is back", func() bool { return writer.AppendEvents(ctx, "run7", event(1)) == nil })
	select {
	case <-wakes[7]:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody is woken after the connection was lost")
	}
}

func TestBus(t *testing.T) {
	a, b := redis.NewBus(empty(t)), redis.NewBus(dial(t, single.URL()))
	heard, lines := make(chan fleet.Signal, 10), make(chan bool, 10)
	runs(t, func(ctx context.Context) error {
		return b.Listen(ctx, func(s fleet.Signal) { heard <- s }, func(up bool) { lines <- up })
	})
	if up := <-lines; !up {
		t.Fatal("not connected")
	}
	want := fleet.Signal{Kind: fleet.Session, Arg: "a:b"}
	if err := a.Publish(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != want {
		t.Errorf("heard %+v", got)
	}
}

func TestPresence(t *testing.T) {
	p := redis.NewPresence(empty(t))
	ctx := t.Context()
	for _, name := range []string{"b", "a"} {
		if err := p.Beat(ctx, fleet.Instance{Boot: "boot-" + name, Name: name, Revision: 7}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := p.Instances(ctx)
	if err != nil || len(list) != 2 || list[0].Name != "a" || list[0].Revision != 7 || list[0].Age > 10*time.Second {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := p.Leave(ctx, "boot-a"); err != nil {
		t.Fatal(err)
	}
	if list, err = p.Instances(ctx); err != nil || len(list) != 1 || list[0].Boot != "boot-b" {
		t.Errorf("after one left: %+v, %v", list, err)
	}
}

// counting is a catalog's store that counts its loads.
type counting struct {
	catalog.Store
	loads atomic.Int64
}

func (c *counting) Load(ctx context.Context) (catalog.Revision, error) {
	c.loads.Add(1)
	return c.Store.Load(ctx)
}

// A fleet that starts loads the catalog from the database about once.
func TestFleetLoadsOnce(t *testing.T) {
	under := &counting{Store: database(t).Catalog()}
	if err := under.Save(t.Context(), 0, catalog.Revision{Number: 1, Author: "a", At: time.Now(), Document: storetest.Document()}, nil, nil); err != nil {
		t.Fatal(err)
	}
	c := empty(t)
	var fleet sync.WaitGroup
	for range 50 {
		fleet.Go(func() {
			r, err := redis.NewCatalog(c, under).Load(context.Background())
			if err != nil || r.Number != 1 || len(r.Models) != 2 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	fleet.Wait()
	if n := under.loads.Load(); n > 3 {
		t.Errorf("50 instances loaded %d times", n)
	}
}

func TestLock(t *testing.T) {
	c := empty(t)
	release, ok, err := c.Lock(t.Context(), "x", time.Minute)
	if err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	if _, again, err := c.Lock(t.Context(), "x", time.Minute); again || err != nil {
		t.Errorf("a second time: %v, %v", again, err)
	}
	release()
	if _, ok, err = c.Lock(t.Context(), "x", time.Minute); err != nil || !ok {
		t.Errorf("after its release: %v, %v", ok, err)
	}
}
