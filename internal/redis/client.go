// Package redis keeps what several instances share for a while: limits, copies
// of sessions, users, keys, balances and the catalog, the events of runs, who is
// alive, and the signals between instances. Nothing in it authorises spending, and
// nothing is lost with it that a database does not have or that people would
// miss: every call has a short deadline and a breaker, and every caller another
// way. What is kept, and why, is the nouns' business.
package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Deadlines and the breaker. A Redis that hangs must not cost more than one that
// is gone.
const (
	callWithin  = 50 * time.Millisecond
	openWithin  = 5 * time.Second
	failuresMax = 5           // in a row, then the breaker opens
	restFor     = time.Second // until one probe decides

	// callsAtOnce bounds the calls under way, so that a crowd here does not look
	// like a slow Redis: a call's deadline counts from when it is its turn.
	callsAtOnce = 64
)

var (
	// ErrDown reports a Redis that does not answer, or is not asked because it did not.
	ErrDown = errors.New("redis does not answer")
	// ErrEvicts reports a Redis that may throw away what it was given.
	ErrEvicts = errors.New("REDIS_URL: this Redis may evict sessions and counters; set its maxmemory-policy to noeviction")
)

// Options are the rest of what a Client needs.
type Options struct {
	Log *slog.Logger
}

// Client is the connection to a Redis, a Valkey or a cluster of them.
type Client struct {
	rc      rueidis.Client
	cluster bool
	log     *slog.Logger
	breaker breaker
	turns   chan struct{}
	drops   drops
	calls   atomic.Int64

	// trusted is since when, by Redis's clock in milliseconds, nothing that was
	// written can have missed a deletion; 0: not known yet.
	trusted atomic.Int64
	scripts scripts
}

// Open connects and refuses a server that would lose what it is given. Its
// errors are one line that names REDIS_URL and never the password.
func Open(ctx context.Context, address string, o Options) (*Client, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	option, err := parse(address)
	if err != nil {
		return nil, err
	}
	rc, err := rueidis.NewClient(option)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %s", reason(err, option))
	}
	c := &Client{rc: rc, log: o.Log, scripts: newScripts(), turns: make(chan struct{}, callsAtOnce), drops: drops{keys: map[string]struct{}{}}}
	c.trusted.Store(1) // as far as anybody here knows nothing was missed
	c.cluster = isCluster(ctx, rc)
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	if err := c.checkPolicy(ctx); err != nil {
		rc.Close()
		return nil, err
	}
	if _, err := c.now(ctx); err != nil {
		rc.Close()
		return nil, fmt.Errorf("REDIS_URL: %s", reason(err, option))
	}
	return c, nil
}

// parse reads the address. Several hosts, with commas between, are a cluster's.
func parse(address string) (rueidis.ClientOption, error) {
	first, others := address, []string(nil)
	if u, err := url.Parse(address); err == nil && strings.Contains(u.Host, ",") {
		hosts := strings.Split(u.Host, ",")
		u.Host = hosts[0]
		first, others = u.String(), hosts[1:]
	}
	option, err := rueidis.ParseURL(first)
	if err != nil {
		return option, errors.New("REDIS_URL: must have a form like redis://user:password@host:6379/0")
	}
	for _, host := range others {
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, "6379")
		}
		option.InitAddress = append(option.InitAddress, host)
	}
	option.DisableCache = true // client tracking is not everywhere, and instances keep their own snapshots
	option.DisableRetry = true // a deadline decides; what may be repeated is repeated by its owner
	option.AlwaysPipelining = true
	option.RingScaleEachConn = 9 // 512 commands under way on a connection
	option.PipelineMultiplex = 1 // two connections: instances are many
	option.ReadBufferEachConn, option.WriteBufferEachConn = 64<<10, 64<<10
	option.BlockingPoolSize = 8
	option.ConnWriteTimeout = time.Second // also how soon a line that says nothing is given up
	option.Dialer.Timeout, option.Dialer.KeepAlive = 500*time.Millisecond, time.Second
	option.ClientName = "onemind"
	return option, nil
}

// reason says in one line why a connection failed, without the password.
func reason(err error, option rueidis.ClientOption) string {
	var answer *rueidis.RedisError
	if errors.As(err, &answer) {
		return strings.Join(strings.Fields(answer.Error()), " ")
	}
	return "no Redis answers at " + strings.Join(option.InitAddress, ", ")
}

func isCluster(ctx context.Context, rc rueidis.Client) bool {
	info, err := rc.Do(ctx, rc.B().Info().Section("cluster").Build()).ToString()
	return err == nil && strings.Contains(info, "cluster_enabled:1")
}

// checkPolicy refuses a server that evicts. One that does not say, as managed
// services do not, is taken at its operator's word.
func (c *Client) checkPolicy(ctx context.Context) error {
	for _, node := range c.rc.Nodes() {
		info, err := node.Do(ctx, node.B().Info().Section("memory").Build()).ToString()
		if err != nil {
			c.log.Warn("REDIS_URL: this Redis does not tell its maxmemory-policy; make sure that it is noeviction", "err", err)
			return nil
		}
		if policy := field(info, "maxmemory_policy"); policy != "" && policy != "noeviction" {
			return fmt.Errorf("%w (it is %s)", ErrEvicts, policy)
		}
	}
	return nil
}

// field finds a value in what INFO answers.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return v
		}
	}
	return ""
}

// Check says what an operator should know of the server: for doctor.
func (c *Client) Check(ctx context.Context) ([]string, error) {
	info, err := c.rc.Do(ctx, c.rc.B().Arbitrary("INFO").Build()).ToString()
	if err != nil {
		return nil, fmt.Errorf("ask Redis: %w", err)
	}
	used, _ := strconv.ParseInt(field(info, "used_memory"), 10, 64) // 0 where it is not told
	most, _ := strconv.ParseInt(field(info, "maxmemory"), 10, 64)
	list := []string{fmt.Sprintf("version %s, policy %s, %d MB used", field(info, "redis_version"), field(info, "maxmemory_policy"), used>>20)}
	if most > 0 {
		list = append(list, fmt.Sprintf("%d %% of its memory is used", used*100/most))
	}
	if c.cluster {
		list = append(list, "a cluster")
	}
	return list, nil
}

// Close ends the connections.
func (c *Client) Close() error {
	c.rc.Close()
	return nil
}

// Up tells whether Redis answered when it was last asked.
func (c *Client) Up() bool { return c.breaker.up() }

// Stats are counts since Open.
type Stats struct {
	Calls, Failures, Opens int64
}

// Stats gives the counts.
func (c *Client) Stats() Stats {
	return Stats{c.calls.Load(), c.breaker.failures.Load(), c.breaker.opens.Load()}
}

// do runs one call within its deadline, if the breaker lets it.
func (c *Client) do(ctx context.Context, call func(context.Context) error) error {
	select {
	case c.turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turns }()
	if !c.breaker.enter(time.Now()) {
		return ErrDown
	}
	c.calls.Add(1)
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	err := call(ctx)
	if !broken(err) {
		if c.breaker.success() {
			// It was away: what was written before may have missed something.
			c.trusted.Store(0)
			c.log.Info("Redis answers again")
		}
		return err
	}
	if c.breaker.failure(time.Now()) {
		c.trusted.Store(0)
		c.log.Warn("Redis does not answer; what it is for goes other ways until it does", "err", err)
	}
	return fmt.Errorf("%w: %w", ErrDown, err)
}

// broken tells whether an error is the connection's, and not an answer.
func broken(err error) bool {
	if err == nil || rueidis.IsRedisNil(err) {
		return false
	}
	var answer *rueidis.RedisError
	if errors.As(err, &answer) {
		text := answer.Error()
		for _, state := range []string{"LOADING", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "OOM", "TRYAGAIN", "BUSY "} {
			if strings.HasPrefix(text, state) {
				return true
			}
		}
		return false
	}
	var parsing *strconv.NumError
	return !errors.As(err, &parsing)
}

// now is Redis's time in milliseconds since 1970.
func (c *Client) now(ctx context.Context) (ms int64, err error) {
	err = c.do(ctx, func(ctx context.Context) error {
		parts, err := c.rc.Do(ctx, c.rc.B().Time().Build()).AsStrSlice()
		if err != nil {
			return err
		}
		if len(parts) != 2 {
			return errors.New("TIME has another form")
		}
		seconds, err1 := strconv.ParseInt(parts[0], 10, 64)
		micros, err2 := strconv.ParseInt(parts[1], 10, 64)
		ms = seconds*1000 + micros/1000
		return errors.Join(err1, err2)
	})
	return ms, err
}

// breaker stops asking somebody who does not answer. Closed it lets everybody
// through; open nobody, until it has rested; then one probe at a time decides.
type breaker struct {
	mu      sync.Mutex
	inRow   int
	open    bool
	probing bool
	until   time.Time

	failures, opens atomic.Int64
}

func (b *breaker) up() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.open
}

func (b *breaker) enter(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return true
	}
	if b.probing || now.Before(b.until) {
		return false
	}
	b.probing = true
	return true
}

// success tells whether it ended an outage.
func (b *breaker) success() (back bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	back = b.open
	b.inRow, b.open, b.probing = 0, false, false
	return back
}

// failure tells whether it began an outage.
func (b *breaker) failure(now time.Time) (began bool) {
	b.failures.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inRow++
	began = !b.open && b.inRow >= failuresMax
	if b.open || began {
		b.open, b.probing, b.until = true, false, now.Add(restFor)
	}
	if began {
		b.opens.Add(1)
	}
	return began
}
