// Package redis keeps what several instances share for a while: limits, copies
// of sessions, users, keys, balances and the catalog, the events of runs, who is
// alive, and the signals between instances. Nothing in it authorises spending, and
// nothing is lost with it that a database does not have or that people would
// miss: every call has a short deadline and a breaker, and every caller another
// way. What is kept, and why, is the nouns' business.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Deadlines. A Redis that hangs must not cost more than one that is gone.
const (
	callWithin = 50 * time.Millisecond
	openWithin = 5 * time.Second

	// callsAtOnce bounds the calls under way, so that a crowd here does not look
	// like a slow Redis: a call's deadline counts from when it is its turn, and it
	// waits for its turn no longer than two deadlines.
	callsAtOnce = 64
)

// ErrDown reports a Redis that does not answer, or is not asked because it did not.
var ErrDown = errors.New("redis does not answer")

// Options are the rest of what a Client needs.
type Options struct {
	Log *slog.Logger
	// OnUp is called whenever Redis answers again after it did not. It must not block.
	OnUp func()
	// Call is the deadline of one call; 0: 50 ms. Tests of what has nothing to do
	// with time give their machine more.
	Call time.Duration
}

// Client is the connection to a Redis, a Valkey or a cluster of them.
type Client struct {
	rc      rueidis.Client
	cluster bool
	options Options
	breaker breaker
	turns   chan struct{}
	trust   trust
	drops   drops
	calls   atomic.Int64
	scripts scripts
}

// Open connects and refuses a server that would lose what it is given. Its
// errors are one line that names REDIS_URL and never the password.
func Open(ctx context.Context, address string, o Options) (*Client, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Call <= 0 {
		o.Call = callWithin
	}
	option, err := parse(address)
	if err != nil {
		return nil, err
	}
	c := &Client{options: o, scripts: newScripts(), turns: make(chan struct{}, callsAtOnce), drops: newDrops()}
	option.DialCtxFn = c.dial
	if c.rc, err = rueidis.NewClient(option); err != nil {
		return nil, fmt.Errorf("REDIS_URL: %s", reason(err, option))
	}
	c.cluster = c.rc.Mode() == rueidis.ClientModeCluster
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	err = c.checkPolicy(ctx)
	if err == nil {
		if _, asked := c.now(ctx); asked != nil {
			err = fmt.Errorf("REDIS_URL: %s", reason(asked, option))
		}
	}
	if err != nil {
		c.rc.Close()
		return nil, err
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

// dial connects. A line that had to be made anew may stand for an outage that no
// call of this instance met: copies from before are not believed any more.
func (c *Client) dial(ctx context.Context, address string, dialer *net.Dialer, secure *tls.Config) (conn net.Conn, err error) {
	if secure != nil {
		conn, err = (&tls.Dialer{NetDialer: dialer, Config: secure}).DialContext(ctx, "tcp", address)
	} else {
		conn, err = dialer.DialContext(ctx, "tcp", address)
	}
	if err == nil {
		c.trust.lose()
	}
	return conn, err
}

// reason says in one line why a connection failed, without the password.
func reason(err error, option rueidis.ClientOption) string {
	var answer *rueidis.RedisError
	if errors.As(err, &answer) {
		return strings.Join(strings.Fields(answer.Error()), " ")
	}
	return fmt.Sprintf("no Redis answers at %s: %s", strings.Join(option.InitAddress, ", "), strings.Join(strings.Fields(err.Error()), " "))
}

// Close ends the connections.
func (c *Client) Close() error {
	c.rc.Close()
	return nil
}

// Up tells whether Redis answered when it was last asked.
func (c *Client) Up() bool { return c.breaker.up() }

// Stats are counts since Open, and whether Redis is asked right now.
type Stats struct {
	Calls, Failures, Opens int64
	Up                     bool
}

// Stats gives the counts.
func (c *Client) Stats() Stats {
	failures, opens := c.breaker.counts()
	return Stats{Calls: c.calls.Load(), Failures: failures, Opens: opens, Up: c.Up()}
}

// do runs one call within its deadline, if the breaker lets it.
func (c *Client) do(ctx context.Context, call func(context.Context) error) error {
	if err := c.turn(ctx); err != nil {
		return err
	}
	defer func() { <-c.turns }()
	probe, ok := c.breaker.enter(time.Now())
	if !ok {
		return ErrDown
	}
	c.calls.Add(1)
	limited, cancel := context.WithTimeout(ctx, c.options.Call)
	defer cancel()
	err := call(limited)
	switch {
	case !broken(err):
		if c.breaker.success(probe, time.Now()) {
			c.back()
		}
		return err
	case ctx.Err() != nil: // the caller has left, which says nothing about Redis
		c.breaker.leave(probe)
		return ctx.Err()
	}
	if c.breaker.failure(probe, time.Now()) {
		c.options.Log.Warn("Redis does not answer; what it is for goes other ways until it does", "err", err)
	}
	return fmt.Errorf("%w: %w", ErrDown, err)
}

// turn waits until fewer than callsAtOnce calls are under way.
func (c *Client) turn(ctx context.Context) error {
	select {
	case c.turns <- struct{}{}:
		return nil
	default:
	}
	patience := time.NewTimer(2 * c.options.Call)
	defer patience.Stop()
	select {
	case c.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
		return fmt.Errorf("%w: too many calls at once", ErrDown)
	}
}

// back is the end of an outage: what was written before it may have missed something.
func (c *Client) back() {
	c.trust.lose()
	c.options.Log.Info("Redis answers again")
	if c.options.OnUp != nil {
		c.options.OnUp()
	}
}

// broken tells whether an error is the connection's or the server's, and not an answer.
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

// now is Redis's time in microseconds since 1970.
func (c *Client) now(ctx context.Context) (us int64, err error) {
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
		us = seconds*1_000_000 + micros
		return errors.Join(err1, err2)
	})
	return us, err
}

// together is how many calls of a script go out in one pipeline: fewer than a
// connection's ring holds, and as many as are answered well within a deadline.
const together = 200

// each runs a script for every call, in pipelines. It gives how many of them,
// from the first on, are known to have run; the one that failed may have run too.
func (c *Client) each(ctx context.Context, script *rueidis.Lua, calls []rueidis.LuaExec) (done int, err error) {
	for len(calls) > done {
		part := calls[done:min(len(calls), done+together)]
		err := c.do(ctx, func(ctx context.Context) error {
			if len(part) == 1 {
				return script.Exec(ctx, c.rc, part[0].Keys, part[0].Args).Error()
			}
			return firstError(script.ExecMulti(ctx, c.rc, part...))
		})
		if err != nil {
			return done, err
		}
		done += len(part)
	}
	return done, nil
}

// firstError is that of the first command of a pipeline that has one.
func firstError(replies []rueidis.RedisResult) error {
	for _, r := range replies {
		if err := r.Error(); err != nil {
			return err
		}
	}
	return nil
}
