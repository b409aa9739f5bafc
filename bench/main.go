// Command bench measures what OneMind adds to a model call, side by side in one
// run with a plain httputil.ReverseProxy to the same upstream. The upstream is
// the scripted one of llm/sim, with zero delay, in a process of its own, and so is
// every system under test: CPU is read from the operating system's accounting of that process.
//
// The full path is on: key check, limits, hold, durable charge.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"onemind/internal/llm/sim"
)

func main() {
	role := flag.String("role", "", "internal: upstream, chaos or proxy")
	addr := flag.String("addr", "", "internal: address to listen on")
	to := flag.String("to", "", "internal: upstream of the proxy")
	binary := flag.String("binary", "bin/onemind", "the binary to measure")
	beside := flag.String("beside", "", "another binary to measure in the same rounds, such as an earlier commit's")
	dialects := flag.Bool("dialects", false, "measure the way to Anthropic's and Gemini's dialects too")
	length := flag.Duration("time", 4*time.Second, "length of one measurement")
	rounds := flag.Int("rounds", 3, "rounds; medians are shown")
	soaking := flag.Bool("soak", false, "keep a server busy for -time instead, and show what it holds")
	instances := flag.Int("instances", 0, "measure an installation of so many instances instead")
	people := flag.Int("people", 1000, "with -instances: how many are signed in")
	starts := flag.Int("starts", 30, "with -instances: runs begun per second")
	flag.Parse()
	var err error
	switch {
	case *instances > 0:
		err = measureFleet(fleetOptions{*binary, *instances, *people, 200, *starts, *length})
	case *soaking:
		err = soak(contest{binary: *binary, length: *length})
	case *role == "chaos":
		chaos := &sim.Chaos{Seed: 1, Rate: 0.01, Good: sim.Script{Pieces: chunks, PieceDelay: time.Millisecond}}
		err = serve(*addr, sim.New(sim.Options{Choose: chaos.Choose}))
	case *role == "upstream":
		err = serve(*addr, upstream())
	case *role == "proxy":
		err = serve(*addr, plainProxy(*to))
	default:
		err = measure(contest{*binary, *beside, *dialects, *length, *rounds})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// chunks is how many content events a streamed answer has.
const chunks = 50

func upstream() http.Handler {
	return sim.New(sim.Options{Choose: func(*sim.Request) sim.Script { return sim.Script{Pieces: chunks} }})
}

func plainProxy(to string) http.Handler {
	target, err := url.Parse(to)
	if err != nil {
		panic(err) // our own address
	}
	p := httputil.NewSingleHostReverseProxy(target)
	p.FlushInterval = -1
	p.Transport = &http.Transport{MaxIdleConns: 4096, MaxIdleConnsPerHost: 4096, DisableCompression: true}
	return p
}

func serve(addr string, h http.Handler) error {
	return (&http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe()
}

// process is a program under measurement.
type process struct {
	name, url, key, model string
	cmd                   *exec.Cmd
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // given back at once
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// startRole runs this program once more in one of its roles, on a free address.
func startRole(name, role string, more ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return start(name, addr, nil, self, append([]string{"-role", role, "-addr", addr}, more...)...)
}

// start runs a program and waits until it answers.
func start(name, addr string, env []string, path string, args ...string) (*process, error) {
	cmd := exec.Command(path, args...) //nolint:gosec,noctx // ourselves or the binary to measure; ended by stop
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = io.Discard
	if os.Getenv("BENCH_VERBOSE") != "" {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: name, url: "http://" + addr, cmd: cmd}
	for range 1000 {
		conn, err := net.Dial("tcp", addr) //nolint:noctx // loopback
		if err == nil {
			return p, conn.Close()
		}
		time.Sleep(5 * time.Millisecond)
	}
	p.stop()
	return nil, fmt.Errorf("%s did not start", name)
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-done
	}
}

// cpu is what a process has used so far, user and system, in seconds.
func (p *process) cpu() float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100 // USER_HZ is 100 on Linux
}

// rss is the resident memory in MB.
func (p *process) rss() float64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	defer f.Close() //nolint:errcheck // read only
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// benchCatalog has one model at the upstream and no limits.
func benchCatalog(upstreamURL, protocol string) string {
	return fmt.Sprintf(`providers:
  - {id: local, name: Local, protocol: %s, base_url: %q, api_keys: [sk-test-0123456789], enabled: true, allow_private_address: true, max_concurrency: 2000}
models:
  - {id: bench, provider: local, upstream_id: bench, name: Bench, prices: {input: 0.15, output: 0.60}, context_window: 128000, max_output_tokens: 4096, capabilities: [streaming]}
plans:
  - {id: default, requests_per_minute: 0, requests_per_minute_per_provider: 0, concurrent_answers: 0}
settings: {global_requests_per_minute: 1000000000}
`, protocol, upstreamURL+"/v1")
}

// product starts OneMind on a fresh data directory with a user, a key and the
// upstream as its provider.
func product(name, binary, upstreamURL, protocol, dir string) (*process, time.Duration, error) {
	return install(name, binary, benchCatalog(upstreamURL, protocol), dir, "off")
}

// install starts OneMind on a fresh data directory with a user, a key and a catalog.
func install(name, binary, yaml, dir, ops string) (*process, time.Duration, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, 0, err
	}
	env := []string{"ONEMIND_DATA_DIR=" + dir, "ONEMIND_ADDR=" + addr, "ONEMIND_OPS_ADDR=" + ops}
	catalog := filepath.Join(dir, "catalog.yaml")
	if err := os.WriteFile(catalog, []byte(yaml), 0o600); err != nil {
		return nil, 0, err
	}
	run := func(args ...string) (string, error) {
		cmd := exec.Command(binary, args...) //nolint:gosec,noctx // the binary to measure
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("onemind %s: %w", strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	if _, err := run("catalog", "apply", catalog); err != nil {
		return nil, 0, err
	}
	if _, err := run("user", "create", "--email", "bench@example.org", "--credits", "100000000"); err != nil {
		return nil, 0, err
	}
	key, err := run("key", "create", "--user", "bench@example.org")
	if err != nil {
		return nil, 0, err
	}
	began := time.Now()
	p, err := start(name, addr, env, binary, "serve")
	if err != nil {
		return nil, 0, err
	}
	p.key, p.model = key, "bench"
	return p, time.Since(began), nil
}

// call is one request; it gives the time to the first byte of the body and to the end.
func (p *process) call(client *http.Client, stream bool) (first, total time.Duration, err error) {
	body := fmt.Sprintf(`{"model":"bench","stream":%t,"max_tokens":%d,"messages":[{"role":"system","content":"You are a helpful assistant that answers briefly and to the point."},{"role":"user","content":"Name the three largest cities of France and say one sentence about each of them, please."}]}`, stream, chunks)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+p.key)
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end below
	var one [1]byte
	if _, err := io.ReadFull(resp.Body, one[:]); err != nil {
		return 0, 0, err
	}
	first = time.Since(began)
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("%s answered %d", p.name, resp.StatusCode)
	}
	return first, time.Since(began), nil
}

func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConns: 4096, MaxIdleConnsPerHost: 4096, DisableCompression: true}}
}

// closed keeps n requests under way for a while: rate and CPU per request.
func (p *process) closed(n int, length time.Duration, stream bool) (rate, cpu float64, errs int64) {
	client := newClient()
	defer client.CloseIdleConnections()
	run := func(length time.Duration) (done int64) {
		var count, failed atomic.Int64
		end := time.Now().Add(length)
		var work sync.WaitGroup
		for range n {
			work.Go(func() {
				for time.Now().Before(end) {
					if _, _, err := p.call(client, stream); err != nil {
						failed.Add(1)
					} else {
						count.Add(1)
					}
				}
			})
		}
		work.Wait()
		errs += failed.Load()
		return count.Load()
	}
	run(length / 4)
	errs = 0
	before, began := p.cpu(), time.Now()
	done := run(length)
	took := time.Since(began).Seconds()
	return float64(done) / took, (p.cpu() - before) / max(1, float64(done)) * 1e6, errs
}

// paced sends requests at a fixed rate, whether earlier ones are done or not.
func (p *process) paced(rate int, length time.Duration) (p50, p99 time.Duration) {
	client := newClient()
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var times []time.Duration
	var work sync.WaitGroup
	gap := time.Second / time.Duration(rate)
	next := time.Now()
	for end := next.Add(length); next.Before(end); next = next.Add(gap/2 + rand.N(gap)) { //nolint:gosec // spacing, not a secret
		time.Sleep(time.Until(next))
		work.Go(func() {
			if _, total, err := p.call(client, false); err == nil {
				mu.Lock()
				times = append(times, total)
				mu.Unlock()
			}
		})
	}
	work.Wait()
	if len(times) == 0 {
		return 0, 0
	}
	slices.Sort(times)
	return times[len(times)/2], times[len(times)*99/100]
}

// burst opens n streams at once: the delay of the first byte.
func (p *process) burst(n int) (p50, p99 time.Duration) {
	client := newClient()
	defer client.CloseIdleConnections()
	times := make([]time.Duration, n)
	var work sync.WaitGroup
	for i := range n {
		work.Go(func() { times[i], _, _ = p.call(client, true) })
	}
	work.Wait()
	slices.Sort(times)
	return times[n/2], times[n*99/100]
}
