// Command cluster runs a whole installation on this machine: Postgres, PgBouncer,
// Redis, N instances of OneMind and HAProxy in front of them, all with the shipped
// configuration and with data that is thrown away. Ctrl-C ends all of it.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"onemind/internal/servers"
)

// Bounds of what is asked for and waited for.
const (
	maxInstances = 20
	readyWithin  = 60 * time.Second
	stopWithin   = 40 * time.Second // above ONEMIND_DRAIN_TIMEOUT
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	binary := flag.String("binary", "bin/onemind", "the program to run")
	n := flag.Int("n", 3, "number of instances")
	port := flag.Int("port", 8080, "port of the load balancer; 0 takes a free one")
	flag.Parse()
	if err := run(ctx, *binary, *n, *port); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// run starts everything, waits until ctx ends and stops everything.
func run(ctx context.Context, binary string, n, port int) error {
	if n < 1 || n > maxInstances {
		return fmt.Errorf("-n must be from 1 to %d", maxInstances)
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	if port != 0 {
		if err := free(ctx, port); err != nil {
			return err
		}
	}
	c, err := start(ctx, binary, n, port)
	defer c.stop()
	if err != nil || ctx.Err() != nil {
		return err
	}
	fmt.Printf("\n  OneMind runs on %s with %d instances. Ctrl-C ends all of it.\n", c.lb.URL(), n)
	fmt.Printf("  Sign in as %s with the password %s\n\n", c.email, c.password)
	fmt.Printf("  Postgres   %s\n  PgBouncer  %s\n  Redis      %s\n\n", c.pg.URL("onemind"), c.pooler.URL("onemind"), c.redis.URL())
	select {
	case <-ctx.Done():
		return nil
	case err := <-c.ended:
		return err
	}
}

func free(ctx context.Context, port int) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("the port is taken: choose another one with make cluster PORT=…: %w", err)
	}
	return l.Close()
}

// cluster is everything that runs.
type cluster struct {
	dir             string
	remove          func()
	pg              *servers.Postgres
	pooler          *servers.Pooler
	redis           *servers.Redis
	lb              *servers.HAProxy
	email, password string
	environment     []string

	instances []*exec.Cmd
	waits     sync.WaitGroup
	ended     chan error // an instance that ended by itself
}

// start starts everything in order. What has started is in the cluster even
// when it fails, so that stop can end it.
func start(ctx context.Context, binary string, n, port int) (*cluster, error) {
	c := &cluster{email: "admin@example.org", password: secret(12), ended: make(chan error, n)}
	var err error
	if c.dir, c.remove, err = servers.Dir(); err != nil {
		return c, err
	}
	if c.pg, err = servers.NewPostgres(ctx, c.dir); err != nil {
		return c, err
	}
	if err := c.pg.CreateDatabase(ctx, "onemind"); err != nil {
		return c, err
	}
	if c.pooler, err = servers.NewPooler(ctx, c.dir, c.pg); err != nil {
		return c, err
	}
	if c.redis, err = servers.NewRedis(ctx, c.dir, "--maxmemory-policy", "noeviction"); err != nil {
		return c, err
	}
	c.environment = append(os.Environ(), "DATABASE_URL="+c.pooler.URL("onemind"), "DATABASE_DIRECT_URL="+c.pg.URL("onemind"),
		"REDIS_URL="+c.redis.URL(), "ONEMIND_SECRET_KEY="+secret(32), "ONEMIND_ADMIN_EMAIL="+c.email, "ONEMIND_ADMIN_PASSWORD="+c.password)
	var addrs []string
	for i := range n {
		addr, err := c.instance(ctx, binary, i+1)
		if err != nil {
			return c, err
		}
		addrs = append(addrs, addr)
	}
	c.lb, err = servers.NewHAProxy(ctx, c.dir, port, addrs...)
	return c, err
}

// instance starts one instance and waits until it wants traffic.
func (c *cluster) instance(ctx context.Context, binary string, number int) (addr string, err error) {
	port, err := servers.FreePort()
	if err != nil {
		return "", err
	}
	ops, err := servers.FreePort()
	if err != nil {
		return "", err
	}
	addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	name := "om" + strconv.Itoa(number)
	cmd := exec.Command(binary, "serve") //nolint:gosec,noctx // stop ends it, in order
	cmd.Env = append(append([]string(nil), c.environment...), "ONEMIND_ADDR="+addr, "ONEMIND_OPS_ADDR=127.0.0.1:"+strconv.Itoa(ops),
		"ONEMIND_INSTANCE="+name, "ONEMIND_DATA_DIR="+filepath.Join(c.dir, name))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process, which ends the rest in order
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start %s: %w", name, err)
	}
	c.instances = append(c.instances, cmd)
	over := make(chan struct{})
	c.waits.Go(func() {
		err := cmd.Wait()
		close(over)
		c.ended <- fmt.Errorf("%s ended: %w", name, err)
	})
	fmt.Printf("  %s on http://%s, metrics on http://127.0.0.1:%d/metrics\n", name, addr, ops)
	return addr, healthy(ctx, "http://"+addr+"/health", over)
}

// healthy waits until an instance says that it wants traffic.
func healthy(ctx context.Context, url string, over <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("ask %s: %w", url, err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close() // only the status matters
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not become healthy: %w", url, ctx.Err())
		case <-over:
			return errors.New("an instance ended at its start")
		case <-ticker.C:
		}
	}
}

// stop ends everything in the opposite order.
func (c *cluster) stop() {
	if c.lb != nil {
		c.lb.Stop()
	}
	for _, cmd := range c.instances {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	}
	done := make(chan struct{})
	go func() { c.waits.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(stopWithin):
		for _, cmd := range c.instances {
			_ = cmd.Process.Kill()
		}
		<-done
	}
	if c.redis != nil {
		c.redis.Stop()
	}
	if c.pooler != nil {
		c.pooler.Kill()
	}
	if c.pg != nil {
		c.pg.Stop()
	}
	if c.remove != nil {
		c.remove()
	}
}

// secret gives random bytes in base64.
func secret(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
}
