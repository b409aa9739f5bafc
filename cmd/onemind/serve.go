package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"onemind/internal/account"
	"onemind/internal/api"
	"onemind/internal/web"
)

func newPage() (http.Handler, error) { return web.New() }

func (c *cli) serve() *cobra.Command {
	cmd := &cobra.Command{Use: "serve", Short: "Serve the page, the app's API and the SDK's API", Args: cobra.NoArgs,
		Long: "Serve everything on one address. Without any setting it needs nothing: the database and a secret key are made in the data directory.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(cmd)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg)
		}}
	return cmd
}

func newLog(c *config) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.get("ONEMIND_LOG_LEVEL"))) // one of four words, checked at load
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// serve runs an instance until ctx ends, then drains it.
func serve(ctx context.Context, c *config) error {
	started := time.Now()
	for _, w := range c.Warned {
		newLog(c).Warn(w)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.get("ONEMIND_ADDR"))
	if err != nil {
		return fmt.Errorf("ONEMIND_ADDR: %w", err)
	}
	b, err := open(ctx, c, true)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	a, err := assemble(b, started)
	if err == nil && c.alone() {
		if err = b.together.onlyOne(ctx); err == nil {
			err = a.recover(ctx)
		}
	}
	if err == nil {
		err = a.firstAdmin(ctx, listener.Addr())
	}
	if err != nil {
		return errors.Join(err, listener.Close(), b.close())
	}
	log := b.log
	server := &http.Server{Handler: a.server, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	log.Info("serving", "url", localURL(listener.Addr()), "version", version, "revision", b.catalog.Snapshot().Revision, "start", time.Since(started).Round(time.Millisecond))

	group, running := errgroup.WithContext(ctx)
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	var keepers errgroup.Group
	for _, run := range append(b.stores.keeps, b.accounts.Run, b.catalog.Watch, a.engine.Run, a.hub.Run, a.sweep, a.partitions,
		b.together.crew.Run, b.together.run, b.together.tellAll, b.together.watch) {
		keepers.Go(func() error { return run(background) })
	}
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	if addr := c.get("ONEMIND_OPS_ADDR"); addr != "off" {
		group.Go(func() error { return a.ops(running, addr) })
	}
	group.Go(func() error {
		<-running.Done()
		return a.drain(server, c.duration("ONEMIND_DRAIN_TIMEOUT"))
	})
	err = group.Wait()
	stopBackground()
	return errors.Join(err, keepers.Wait(), b.close())
}

// drain lets open answers end, then everything else.
func (a *app) drain(server *http.Server, timeout time.Duration) error {
	a.log.Info("stopping", "open_answers", a.engine.OpenAnswers())
	a.server.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var open sync.WaitGroup
	open.Go(func() { a.chats.Shutdown(ctx) })
	open.Go(func() { a.streams.Shutdown(ctx) })
	open.Wait()
	a.server.Close()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(server.Close())
	}
	return nil
}

// firstAdmin makes the first administrator from the environment, or prints the
// one-time link.
func (a *app) firstAdmin(ctx context.Context, addr net.Addr) error {
	needed, err := a.accounts.SetupNeeded(ctx)
	if err != nil || !needed {
		return err
	}
	if email := a.config.get("ONEMIND_ADMIN_EMAIL"); email != "" {
		u, err := a.accounts.Create(ctx, account.NewUser{Email: email, Role: account.Admin, Password: a.config.get("ONEMIND_ADMIN_PASSWORD")})
		if err != nil {
			return fmt.Errorf("make the first administrator: %w", err)
		}
		return api.SignupCredits(ctx, a.ledger, a.catalog, u.ID)
	}
	base := strings.TrimRight(a.config.get("ONEMIND_PUBLIC_URL"), "/")
	if base == "" {
		base = localURL(addr)
	}
	fmt.Fprintf(os.Stderr, "\n  No users yet. Make the first administrator here (the link works once):\n  %s/setup?token=%s\n\n", base, a.accounts.SetupToken())
	return nil
}

// localURL is where a browser on this machine finds the server.
func localURL(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://" + addr.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// ops serves what operators need, on an address of its own.
func (a *app) ops(ctx context.Context, addr string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.Handle("GET /readyz", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/health"
		a.server.ServeHTTP(w, r)
	}))
	mux.HandleFunc("GET /metrics", a.metrics)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		a.log.Warn("metrics and profiles are not served: set ONEMIND_OPS_ADDR to a free address, or to off", "err", err)
		return nil
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
