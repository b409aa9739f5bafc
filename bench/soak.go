package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// soakCatalog has one model per dialect at the upstream; each stands in for the others.
func soakCatalog(upstreamURL string) string {
	var y strings.Builder
	y.WriteString("providers:\n")
	for _, p := range soakProtocols {
		fmt.Fprintf(&y, "  - {id: p-%s, name: %s, protocol: %s, base_url: %q, api_keys: [sk-test-0123456789, sk-test-9876543210], allow_private_address: true, max_concurrency: 100, timeouts: {connect: 5s, first_token: 5s, idle: 5s, whole: 5s}}\n", p, p, p, upstreamURL+"/v1")
	}
	y.WriteString("models:\n")
	for i, p := range soakProtocols {
		fmt.Fprintf(&y, "  - {id: %s, provider: p-%s, prices: {input: 0.15, output: 0.60}, context_window: 128000, max_output_tokens: 4096, capabilities: [streaming, tools], substitutes: [%s]}\n",
			p, p, soakProtocols[(i+1)%3])
	}
	return y.String() + `plans:
  - {id: default, requests_per_minute: 0, requests_per_minute_per_provider: 0, concurrent_answers: 0}
settings: {global_requests_per_minute: 1000000000}
`
}

var soakProtocols = [3]string{"openai", "anthropic", "gemini"}

// soak keeps a server busy with calls of every kind, some of which fail and some
// of which are left in the middle, and shows what it holds as time goes by.
func soak(c contest) error {
	up, err := startRole("upstream", "chaos")
	if err != nil {
		return err
	}
	defer up.stop()
	dir, err := os.MkdirTemp("", "onemind-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder of /tmp
	ops, err := freeAddr()
	if err != nil {
		return err
	}
	om, _, err := install("onemind", c.binary, soakCatalog(up.url), dir, ops)
	if err != nil {
		return err
	}
	defer om.stop()
	ctx, cancel := context.WithTimeout(context.Background(), c.length)
	defer cancel()
	var answered, failed, left atomic.Int64
	var work sync.WaitGroup
	client := newClient()
	for range 50 {
		work.Go(func() {
			for ctx.Err() == nil {
				switch err := om.anyCall(ctx, client); {
				case ctx.Err() != nil: // the time is over, and with it this call
				case err == nil:
					answered.Add(1)
				case errors.Is(err, errLeft):
					left.Add(1)
				default:
					failed.Add(1)
				}
			}
		})
	}
	fmt.Printf("%8s %10s %10s %12s %12s %10s %10s\n", "seconds", "answers", "failed", "left", "resident MB", "heap MB", "goroutines")
	began := time.Now()
	for tick := time.NewTicker(max(c.length/20, time.Second)); ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-tick.C:
			g := gauges(ops)
			fmt.Printf("%8.0f %10d %10d %12d %12.1f %10.1f %10.0f\n", time.Since(began).Seconds(), answered.Load(), failed.Load(), left.Load(),
				om.rss(), g["go_memstats_heap_inuse_bytes"]/(1<<20), g["go_goroutines"])
		}
	}
	work.Wait()
	client.CloseIdleConnections()
	time.Sleep(2 * time.Second) // what ended with the clients is over by then
	g := gauges(ops)
	fmt.Printf("%8s %10d %10d %12d %12.1f %10.1f %10.0f\n", "idle", answered.Load(), failed.Load(), left.Load(), om.rss(), g["go_memstats_heap_inuse_bytes"]/(1<<20), g["go_goroutines"])
	return nil
}

var errLeft = errors.New("left in the middle")

// anyCall is one call of a random kind: dialect in, model, streamed or not, and
// in one case of ten left after the first bytes.
func (p *process) anyCall(ctx context.Context, client *http.Client) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	model, stream := soakProtocols[rand.N(3)], rand.N(3) > 0                                                                                                                                      //nolint:gosec // a mix, not a secret
	path, body := "/v1/chat/completions", fmt.Sprintf(`{"model":%q,"stream":%t,"max_tokens":60,"messages":[{"role":"user","content":"Question %d, if you please."}]}`, model, stream, rand.N(50)) //nolint:gosec // the same
	if rand.N(3) == 0 {                                                                                                                                                                           //nolint:gosec // the same
		path = "/v1/messages"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+p.key)
	req.Header.Set("X-Onemind-Cache", strconv.FormatBool(rand.N(4) == 0)) //nolint:gosec // the same
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()        //nolint:errcheck // read to its end below, or left
	if stream && rand.N(10) == 0 { //nolint:gosec // the same
		_, _ = io.CopyN(io.Discard, resp.Body, 200)
		return errLeft
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %d", resp.StatusCode)
	}
	return nil
}

// gauges reads the plain figures of /metrics.
func gauges(ops string) map[string]float64 {
	out := map[string]float64{}
	resp, err := http.Get("http://" + ops + "/metrics") //nolint:noctx,gosec // our own server
	if err != nil {
		return out
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			out[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return out
}
