// Package clients proves that the official Go clients of OpenAI and Anthropic
// work against the program as it is built, whichever protocol the engine behind
// a model speaks. It is a module of its own, so that the program depends on no
// client.
package clients

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// within bounds every wait.
const within = 30 * time.Second

// server is the program, over a scripted provider of each protocol.
type server struct {
	url string
	key string // of a person with credits
	dir string
	env []string
}

// protocols are what engines speak, and the path of their base URLs.
func protocols() map[string]string {
	return map[string]string{"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta"}
}

// catalog names a provider of each protocol with its models.
func catalog(upstream string) string {
	var providers, models strings.Builder
	for protocol, path := range protocols() {
		fmt.Fprintf(&providers, "  - {id: %s, name: Scripted, protocol: %s, base_url: \"%s%s\", api_keys: [%s], enabled: true, allow_private_address: true}\n",
			protocol, protocol, upstream, path, providerKey)
		for _, name := range []string{"quick", "broken", "busy"} {
			fmt.Fprintf(&models, "  - {id: %s-%s, provider: %s, upstream_id: %s, name: %s, prices: {input: 2, output: 10}, context_window: 128000, "+
				"max_output_tokens: 4096, capabilities: [streaming, tools, images, json], state: active}\n", name, protocol, protocol, name, name)
		}
	}
	return "providers:\n" + providers.String() + "models:\n" + models.String() +
		"plans:\n  - {id: default, requests_per_minute: 0, requests_per_minute_per_provider: 0, concurrent_answers: 0}\n"
}

// start runs the program until the test is over.
func start(t *testing.T) *server {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(upstream.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	s := &server{url: "http://" + addr, dir: t.TempDir()}
	s.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "ONEMIND_DATA_DIR=" + s.dir, "ONEMIND_ADDR=" + addr,
		"ONEMIND_OPS_ADDR=off", "ONEMIND_LOG_LEVEL=warn", "ONEMIND_DRAIN_TIMEOUT=1s"}
	file := filepath.Join(t.TempDir(), "catalog.yaml")
	if err := os.WriteFile(file, []byte(catalog(upstream.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(t, "catalog", "apply", file)
	s.serve(t)
	s.key = s.keyOf(t, "sdk", 1000)
	return s
}

// command is the program with arguments.
func (s *server) command(args ...string) *exec.Cmd {
	c := exec.Command("../../bin/onemind", args...)
	c.Env = s.env
	return c
}

// run runs one command to its end and gives what it printed.
func (s *server) run(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	c := s.command(args...)
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("onemind %s: %v: %s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String())
}

// serve starts the server and waits until it is healthy.
func (s *server) serve(t *testing.T) {
	t.Helper()
	child := s.command("serve")
	child.Stdout, child.Stderr = os.Stderr, os.Stderr
	if err := child.Start(); err != nil {
		t.Fatalf("start the program, which `make build` makes: %v", err)
	}
	exited := make(chan struct{})
	go func() { _ = child.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = child.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(within):
			_ = child.Process.Kill()
			<-exited
		}
	})
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-exited:
			t.Fatal("the server ended")
		default:
		}
		resp, err := http.Get(s.url + "/health")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatalf("the server is not healthy after %v", within)
}

// keyOf makes a person with credits and gives an API key of theirs.
func (s *server) keyOf(t *testing.T, name string, credits int) string {
	t.Helper()
	email := name + "@example.org"
	s.run(t, "user", "create", "--email", email, "--role", "user", "--credits", fmt.Sprint(credits))
	return s.run(t, "key", "create", "--user", email)
}
