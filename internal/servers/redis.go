package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Redis is a private Redis without persistence and without eviction.
type Redis struct{ server }

// NewRedis starts a Redis. Arguments are further ones of its command line, such
// as "--maxmemory", "10mb".
func NewRedis(ctx context.Context, dir string, args ...string) (*Redis, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	home, err := folder(dir, fmt.Sprint("redis-", port))
	if err != nil {
		return nil, err
	}
	path, err := program("redis-server", "redis-server")
	if err != nil {
		return nil, err
	}
	r := &Redis{server{name: "redis", dir: home, port: port}}
	r.args = append([]string{path, "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", home}, args...)
	r.ready = func(ctx context.Context) error { return ping(ctx, r.Addr()) }
	return r, r.Start(ctx)
}

// URL is its connection string.
func (r *Redis) URL() string { return "redis://" + r.Addr() }

// ping asks a Redis whether it takes commands: one that loads data does not.
func ping(ctx context.Context, addr string) error {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // nothing is lost
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "+PONG") {
		err = errors.New(strings.TrimSpace(line))
	}
	return err
}

// NewRedisCluster starts a Redis Cluster of three masters.
func NewRedisCluster(ctx context.Context, dir string) ([]*Redis, error) {
	var nodes []*Redis
	var addrs []string
	stop := func(err error) ([]*Redis, error) {
		for _, n := range nodes {
			n.Kill()
		}
		return nil, err
	}
	for range 3 {
		n, err := NewRedis(ctx, dir, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		if err != nil {
			return stop(err)
		}
		nodes, addrs = append(nodes, n), append(addrs, n.Addr())
	}
	cli, err := program("redis-cli", "redis-tools")
	if err != nil {
		return stop(err)
	}
	if err := run(ctx, dir, cli, append([]string{"--cluster", "create", "--cluster-yes"}, addrs...)...); err != nil {
		return stop(err)
	}
	for _, n := range nodes { // redis-cli is done before every node has heard of it
		if err := n.joined(ctx, cli); err != nil {
			return stop(err)
		}
	}
	return nodes, nil
}

// joined waits until a node of a cluster takes requests for every slot.
func (r *Redis) joined(ctx context.Context, cli string) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		out, err := exec.CommandContext(ctx, cli, "-p", strconv.Itoa(r.port), "cluster", "info").Output() //nolint:gosec // Debian's own client
		if err == nil && strings.Contains(string(out), "cluster_state:ok") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster does not come up at port %d: %w\n%s", r.port, errors.Join(ctx.Err(), err), out)
		case <-time.After(lookEvery):
		}
	}
}
