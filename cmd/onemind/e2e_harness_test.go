package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"onemind/internal/llm/sim"
)

// TestMain is the program itself in a child process: the tests start, kill and
// start again what people run.
func TestMain(m *testing.M) {
	if os.Getenv("ONEMIND_TEST_MAIN") == "1" {
		_ = os.Unsetenv("ONEMIND_TEST_MAIN")
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// within bounds every wait of a test.
const within = 60 * time.Second

// Prices of the test models in nano-dollars per million tokens: $0.01 in, $1 out.
const testPrices = "{input: 0.01, output: 1}"

// instance is a server in a process of its own, over a scripted provider.
type instance struct {
	t      *testing.T
	dir    string
	addr   string
	url    string
	sim    *sim.Server
	child  *exec.Cmd
	exited chan struct{}
	log    *safeBuffer
	client *http.Client
	env    []string // beside what every instance has
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newInstance makes a data directory with one provider, one model per script
// and no limits, and starts a server on it.
func newInstance(t *testing.T, o sim.Options, models ...string) *instance {
	t.Helper()
	return newUpstreamed(t, sim.New(o), func(upstream string) string { return testCatalog(upstream, noLimits, models) })
}

// newUpstreamed starts a server over a scripted upstream, with a catalog of the
// test's own.
func newUpstreamed(t *testing.T, scripted *sim.Server, catalog func(upstream string) string) *instance {
	t.Helper()
	return newUpstreamedBy(t, scripted, scripted, catalog)
}

// newUpstreamedBy does so where something stands before the scripted upstream.
func newUpstreamedBy(t *testing.T, scripted *sim.Server, before http.Handler, catalog func(upstream string) string) *instance {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	upstream := httptest.NewServer(before)
	in := stopped(t, scripted)
	t.Cleanup(func() {
		upstream.CloseClientConnections()
		upstream.Close()
	})
	in.must(in.apply(catalog(upstream.URL)))
	in.start()
	return in
}

// stopped is an instance that is not started yet.
func stopped(t *testing.T, scripted *sim.Server) *instance {
	t.Helper()
	in := &instance{t: t, dir: t.TempDir(), sim: scripted, log: &safeBuffer{}}
	transport := &http.Transport{MaxIdleConnsPerHost: 2000}
	in.client = &http.Client{Transport: transport, Timeout: 2 * within}
	t.Cleanup(func() {
		in.kill()
		transport.CloseIdleConnections()
		if strings.Contains(in.log.String(), "DATA RACE") {
			t.Error("the server has a data race")
		}
		if t.Failed() {
			text := in.log.String()
			t.Logf("the server's log ends with:\n%s", text[max(0, len(text)-4000):])
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in.addr = listener.Addr().String()
	in.url = "http://" + in.addr
	listener.Close()
	return in
}

// noLimits is a plan and settings under which only money refuses anything.
const noLimits = "plans:\n  - {id: default, requests_per_minute: 0, requests_per_minute_per_provider: 0, concurrent_answers: 0}\n" +
	"settings: {markup_percent: 30, default_plan: default, signup_credits: 0, global_requests_per_minute: 0}\n"

// testCatalog is a catalog file with one provider, its models, and what limits them.
func testCatalog(upstream, limits string, models []string) string {
	var y strings.Builder
	fmt.Fprintf(&y, "providers:\n  - id: sim\n    name: Scripted\n    protocol: openai\n    base_url: %s/v1\n    api_keys: [sk-test]\n    enabled: true\n"+
		"    allow_private_address: true\n    max_concurrency: 5000\n    timeouts: {connect: 5s, first_token: 120s, idle: 120s}\nmodels:\n", upstream)
	for _, m := range models {
		fmt.Fprintf(&y, "  - {id: %s, provider: sim, upstream_id: %s, name: %s, prices: %s, context_window: 128000, max_output_tokens: 4096, capabilities: [streaming, tools, images, json], state: active}\n",
			m, m, m, testPrices)
	}
	return y.String() + limits
}

// apply runs `catalog apply` over a text.
func (in *instance) apply(yaml string) (string, string, int) {
	path := filepath.Join(in.dir, "catalog.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		in.t.Fatal(err)
	}
	return in.cli("", "catalog", "apply", path)
}

func (in *instance) command(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "ONEMIND_") && !strings.HasPrefix(pair, "DATABASE_") && !strings.HasPrefix(pair, "REDIS_") {
			c.Env = append(c.Env, pair)
		}
	}
	c.Env = append(c.Env, "ONEMIND_TEST_MAIN=1", "ONEMIND_DATA_DIR="+in.dir, "ONEMIND_ADDR="+in.addr, "ONEMIND_OPS_ADDR=off")
	c.Env = append(c.Env, in.env...)
	return c
}

// cli runs one command beside the server.
func (in *instance) cli(stdin string, args ...string) (out, errs string, code int) {
	in.t.Helper()
	c := in.command(args...)
	var o, e bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &o, &e
	err := c.Run()
	if err != nil && c.ProcessState == nil {
		in.t.Fatal(err)
	}
	return o.String(), e.String(), c.ProcessState.ExitCode()
}

func (in *instance) must(out, errs string, code int) string {
	in.t.Helper()
	if code != 0 {
		in.t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	return strings.TrimSpace(out)
}

// start begins the server and waits until it wants traffic.
func (in *instance) start() {
	in.t.Helper()
	in.child, in.exited = in.command("serve"), make(chan struct{})
	in.child.Stderr, in.child.Stdout = in.log, in.log
	if err := in.child.Start(); err != nil {
		in.t.Fatal(err)
	}
	go func(c *exec.Cmd, done chan struct{}) { _ = c.Wait(); close(done) }(in.child, in.exited)
	in.poll("the server is up", func() bool {
		select {
		case <-in.exited:
			in.t.Fatalf("the server ended:\n%s", in.log)
		default:
		}
		resp, err := in.client.Get(in.url + "/health")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
}

// kill is kill -9.
func (in *instance) kill() {
	if in.child == nil {
		return
	}
	_ = in.child.Process.Kill()
	<-in.exited
	in.child = nil
	in.client.CloseIdleConnections()
}

// poll waits for a condition, at most within.
func (in *instance) poll(what string, ok func() bool) {
	in.t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			in.t.Fatalf("waited %v until %s", within, what)
		}
	}
}

// wait waits for the provider's counts.
func (in *instance) wait(limit time.Duration, what string, ok func(sim.Counts) bool) {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), limit)
	defer cancel()
	if in.sim.Wait(ctx, ok) != nil {
		in.t.Fatalf("waited %v until %s: %+v", limit, what, in.sim.Counts())
	}
}

// person is a user with a key and a session.
type person struct {
	in     *instance
	id     string
	email  string
	key    string
	cookie string
}

const password = "correct horse battery staple"

// user makes a user with credits and a key, and signs in.
func (in *instance) user(name, role, credits string) *person {
	in.t.Helper()
	p := &person{in: in, email: name + "@example.org"}
	var made struct{ ID string }
	out := in.must(in.cli(password+"\n", "user", "create", "--email", p.email, "--role", role, "--password-stdin", "--credits", credits, "--json"))
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.ID == "" {
		in.t.Fatalf("%s: %v", out, err)
	}
	p.id = made.ID
	p.key = in.must(in.cli("", "key", "create", "--user", p.email))
	p.login()
	return p
}

func (p *person) login() {
	p.in.t.Helper()
	r := p.in.do("POST", "/api/auth/login", map[string]any{"email": p.email, "password": password})
	r.want(200)
	for _, c := range r.cookies {
		if c.Name == "om_session" {
			p.cookie = c.Value
		}
	}
	if p.cookie == "" {
		p.in.t.Fatal("no session cookie")
	}
}

// reply is an answer that was read whole.
type reply struct {
	t       *testing.T
	what    string
	status  int
	header  http.Header
	body    []byte
	cookies []*http.Cookie
}

func (r *reply) want(status int) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s: %d, want %d: %s", r.what, r.status, status, r.body)
	}
	return r
}

func (r *reply) into(v any) {
	r.t.Helper()
	if err := json.Unmarshal(r.body, v); err != nil {
		r.t.Fatalf("%s: %v in %s", r.what, err, r.body)
	}
}

// code is the stable code of an error of either shape.
func (r *reply) code() string {
	var v struct {
		Code  string
		Error struct{ Code string }
	}
	_ = json.Unmarshal(r.body, &v)
	return v.Code + v.Error.Code
}

// request builds a request; headers come in pairs. A string or []byte body goes as it is.
func (in *instance) request(ctx context.Context, method, path string, body any, headers ...string) *http.Request {
	in.t.Helper()
	var data []byte
	switch b := body.(type) {
	case nil:
	case string:
		data = []byte(b)
	case []byte:
		data = b
	default:
		data, _ = json.Marshal(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, in.url+path, bytes.NewReader(data))
	if err != nil {
		in.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// try makes one call and reads its answer; safe in any goroutine.
func (in *instance) try(r *http.Request) (*reply, error) {
	resp, err := in.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return &reply{in.t, r.Method + " " + r.URL.Path, resp.StatusCode, resp.Header, b, resp.Cookies()}, err
}

func (in *instance) do(method, path string, body any, headers ...string) *reply {
	in.t.Helper()
	r, err := in.try(in.request(in.t.Context(), method, path, body, headers...))
	if err != nil {
		in.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// app calls with the session, sdk with the key.
func (p *person) app(method, path string, body any, headers ...string) *reply {
	p.in.t.Helper()
	return p.in.do(method, path, body, append([]string{"Cookie", "om_session=" + p.cookie}, headers...)...)
}

func (p *person) sdk(method, path string, body any, headers ...string) *reply {
	p.in.t.Helper()
	return p.in.do(method, path, body, append([]string{"Authorization", "Bearer " + p.key}, headers...)...)
}

func chatBody(model string, stream bool, maxTokens int) map[string]any {
	return map[string]any{"model": model, "stream": stream, "max_tokens": maxTokens, "messages": []any{map[string]any{"role": "user", "content": "Count for me, please."}}}
}

// receipt is what tests read of a receipt.
type receipt struct {
	ID       string `json:"id"`
	Outcome  string `json:"outcome"`
	Finish   string `json:"finish_reason"`
	Charge   int64  `json:"charge_nano_usd"`
	Hold     int64  `json:"hold_nano_usd"`
	Released int64  `json:"released_nano_usd"`
	Version  string `json:"price_version"`
	Revision int64  `json:"revision"`

	CountedBy string `json:"counted_by"`
	Tokens    struct{ Input, Output int64 }
}

func (p *person) receipt(id string) receipt {
	p.in.t.Helper()
	var r receipt
	p.sdk("GET", "/v1/receipts/"+id, nil).want(200).into(&r)
	return r
}

// balance is a user's credits.
type balance struct {
	Total     int64 `json:"balance_nano_usd"`
	Held      int64 `json:"held_nano_usd"`
	Available int64 `json:"available_nano_usd"`
}

func (p *person) balance() balance {
	p.in.t.Helper()
	var b balance
	p.app("GET", "/api/credits", nil).want(200).into(&b)
	if b.Total < 0 || b.Held < 0 || b.Available < 0 {
		p.in.t.Errorf("the balance of %s is below zero: %+v", p.email, b)
	}
	return b
}

// ledger proves the books with `ledger check`.
type ledger struct {
	OK       bool     `json:"ok"`
	Holds    int64    `json:"open_holds"`
	Held     int64    `json:"held_nano_usd"`
	Problems []string `json:"problems"`
}

func (in *instance) ledger() ledger {
	in.t.Helper()
	out, errs, code := in.cli("", "ledger", "check", "--json")
	var l ledger
	if err := json.Unmarshal([]byte(out), &l); err != nil || code != 0 || !l.OK {
		in.t.Errorf("ledger check: exit %d, %v: %s%s", code, err, out, errs)
	}
	return l
}

// settled waits until nothing is held, and proves the books.
func (in *instance) settled(people ...*person) {
	in.t.Helper()
	for _, p := range people {
		in.poll("nothing is held", func() bool { return p.balance().Held == 0 })
	}
	if l := in.ledger(); l.Holds != 0 || l.Held != 0 {
		in.t.Errorf("holds are open: %+v", l)
	}
}

// entry is a line of the ledger.
type entry struct {
	Kind    string `json:"kind"`
	Amount  int64  `json:"amount_nano_usd"`
	Receipt string `json:"receipt_id"`
	Ref     string `json:"ref"`
}

// entries reads all pages of a user's ledger.
func (p *person) entries() (all []entry) {
	p.in.t.Helper()
	for cursor := ""; ; {
		var page struct {
			Items []entry `json:"items"`
			Next  string  `json:"next_cursor"`
		}
		p.app("GET", "/api/credits/transactions?limit=200"+cursor, nil).want(200).into(&page)
		all = append(all, page.Items...)
		if page.Next == "" {
			return all
		}
		cursor = "&cursor=" + page.Next
	}
}

// event is one server-sent event.
type event struct {
	ID   string
	Data string
}

// readEvents passes server-sent events to each until it says stop or the stream ends.
func readEvents(body io.Reader, each func(event) bool) error {
	lines := bufio.NewReaderSize(body, 64<<10)
	var e event
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "":
			if e.Data != "" && !each(e) {
				return nil
			}
			e = event{}
		case strings.HasPrefix(line, "id: "):
			e.ID = line[4:]
		case strings.HasPrefix(line, "data: "):
			e.Data += line[6:]
		}
	}
}
