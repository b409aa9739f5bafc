package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"onemind/internal/llm/sim"
)

// These tests are named after what other gateways' users suffered from; the table
// is in docs/reliability.md.

// protocols are what providers speak, and how the path of each begins.
var protocols = map[string]string{"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta"}

// protocolCatalog has a provider for each protocol over one upstream, and each
// script's model at each: "good-openai". What breaks answers has one for each dialect
// too, "cut-openai-chat": of a model that failed lately an answer's beginning is held back.
func protocolCatalog(upstream string, scripts map[string]sim.Script) string {
	var providers, models strings.Builder
	for protocol, base := range protocols {
		fmt.Fprintf(&providers, "  - {id: p-%s, name: %s, protocol: %s, base_url: %q, api_keys: [sk-test-0123456789], allow_private_address: true, max_concurrency: 500, timeouts: {connect: 5s, first_token: 60s, idle: 60s}}\n",
			protocol, protocol, protocol, upstream+base)
		for name, script := range scripts {
			ids := []string{name + "-" + protocol}
			for _, d := range dialects() {
				if script.Break != sim.None {
					ids = append(ids, ids[0]+"-"+d.name)
				}
			}
			for _, id := range ids {
				fmt.Fprintf(&models, "  - {id: %s, provider: p-%s, upstream_id: %s, prices: %s, context_window: 30000000, max_output_tokens: 4096, capabilities: [streaming, tools, images]}\n",
					id, protocol, name, testPrices)
			}
		}
	}
	return "providers:\n" + providers.String() + "models:\n" + models.String() + noLimits
}

func newProtocols(t *testing.T, scripts map[string]sim.Script) *instance {
	t.Helper()
	return newUpstreamed(t, sim.New(sim.Options{Scripts: scripts}), func(upstream string) string { return protocolCatalog(upstream, scripts) })
}

// stream asks in a dialect and reads the answer; after leave bytes of text it hangs
// up. It gives what was told and the receipt's id.
func (p *person) stream(d dialect, model string, most int, tools bool, leave int) (*told, string) {
	p.in.t.Helper()
	ctx, cancel := context.WithCancel(p.in.t.Context())
	defer cancel()
	body, path := d.body(model, true, most), d.path(model)
	if tools {
		body["tools"] = d.tools
	}
	if d.name == "gemini" {
		path += ":streamGenerateContent?alt=sse"
	}
	resp, err := p.in.client.Do(p.in.request(ctx, "POST", path, body, "Authorization", "Bearer "+p.key))
	if err != nil {
		p.in.t.Fatal(err)
	}
	defer resp.Body.Close()
	t := &told{}
	if resp.StatusCode != 200 {
		text, _ := io.ReadAll(resp.Body)
		p.in.t.Fatalf("%s of %s: %d %s", d.name, model, resp.StatusCode, text)
	}
	readFrames(resp.Body, func(event string, data []byte) bool {
		d.frame(t, event, data)
		if leave > 0 && t.text.Len() >= leave {
			cancel()
			return false
		}
		return true
	})
	for _, w := range t.wrong {
		p.in.t.Errorf("%s of %s: %s", d.name, model, w)
	}
	return t, resp.Header.Get("X-Request-Id")
}

// settledReceipt waits until an answer is settled and gives its receipt.
func (p *person) settledReceipt(id string) (r receipt) {
	p.in.t.Helper()
	p.in.poll("it is settled", func() bool {
		reply := p.sdk("GET", "/v1/receipts/"+id, nil)
		return reply.status == 200 && json.Unmarshal(reply.body, &r) == nil
	})
	return r
}

// Every dialect at every protocol, with what goes wrong in streams: an answer that
// we end at its hold, a caller that hangs up, a provider that fails midway, one that
// reports no usage, and tool calls in fragments. What is told keeps the dialect's rules.
func TestTrapsOfStreams(t *testing.T) {
	words := strings.TrimSpace(strings.Repeat("apple ", 400))
	in := newProtocols(t, map[string]sim.Script{
		"endless": {Text: words, IgnoreCap: true, Usage: sim.Never},
		"slow":    {Text: words, PieceDelay: 3 * time.Millisecond},
		"fails":   {Text: words, Break: sim.Fails, After: 30},
		"cut":     {Text: words, Break: sim.Cut, After: 30},
		"garbage": {Text: words, Break: sim.Garbage, After: 30},
		"nousage": {Pieces: 40, Usage: sim.Never},
		"calls":   {Calls: []sim.Call{{Name: "look_up", Arguments: `{"city":"Paris","deep":{"a":[1,2,"ü\n"]}}`}, {Name: "look_up", Arguments: `{"city":"Rome"}`}}},
		"hangs":   {FirstDelay: time.Hour},
	})
	p := in.user("ann", "user", "1000")
	for _, d := range dialects() {
		for protocol := range protocols {
			t.Run(d.name+" to "+protocol, func(t *testing.T) {
				within := func(what string, n, low, high int64) {
					t.Helper()
					if n < low || n > high {
						t.Errorf("%s: %d, want %d to %d", what, n, low, high)
					}
				}
				// 10: ended at the hold, and said so.
				told, id := p.stream(d, "endless-"+protocol, 50, false, 0)
				r := p.settledReceipt(id)
				if told.finish != d.capped || !told.end || !told.bill || told.code != "" || r.Outcome != "length" || r.Finish != "length" || r.Charge > r.Hold {
					t.Errorf("at its cap: finish %q, end %t, receipt %t, code %q; %+v", told.finish, told.end, told.bill, told.code, r)
				}
				within("tokens at the cap", r.Tokens.Output, 50, 50)
				within("words at the cap", int64(strings.Count(told.text.String(), "apple")), 45, 110)

				// 14, 15: the provider is let go at once; what was delivered is paid.
				before := in.sim.Counts().Cancelled
				told, id = p.stream(d, "slow-"+protocol, 1000, false, 6*25)
				in.wait(time.Second, "the provider's connection is closed", func(c sim.Counts) bool { return c.Open == 0 && c.Cancelled > before })
				if r = p.settledReceipt(id); r.Outcome != "stopped" || told.end {
					t.Errorf("left: %+v", r)
				}
				within("tokens of who left", r.Tokens.Output, 20, 50)
				within("input of who left", r.Tokens.Input, 3, 16)

				// 24: an error in the dialect's own shape, behind what was said; nothing twice.
				for _, kind := range []string{"fails", "cut", "garbage"} {
					calls := in.sim.Counts().Calls
					told, id = p.stream(d, kind+"-"+protocol+"-"+d.name, 1000, false, 0)
					if r = p.settledReceipt(id); r.Outcome != "failed_midway" || told.code == "" || told.end && d.name == "messages" {
						t.Errorf("%s: code %q, %+v", kind, told.code, r)
					}
					said := strings.Count(told.text.String(), "apple")
					if !strings.HasPrefix(words, told.text.String()) || in.sim.Counts().Calls != calls+1 {
						t.Errorf("%s: %d words by %d calls", kind, said, in.sim.Counts().Calls-calls)
					}
					within(kind+": words", int64(said), 28, 30)
					within(kind+": tokens", r.Tokens.Output, 25, 36)
				}

				// 20: no usage is counted by us, and marked.
				told, id = p.stream(d, "nousage-"+protocol, 1000, false, 0)
				if r = p.settledReceipt(id); r.Outcome != "finished" || r.CountedBy != "onemind" || !told.end || !told.bill {
					t.Errorf("no usage: end %t, %+v", told.end, r)
				}
				within("tokens without usage", r.Tokens.Output, 40, 110)

				told, id = p.stream(d, "calls-"+protocol, 1000, true, 0)
				if r = p.settledReceipt(id); r.Outcome != "finished" || told.finish != d.called || !told.end || r.CountedBy != "provider" || r.Tokens.Output < 10 {
					t.Errorf("calls: finish %q, %+v", told.finish, r)
				}
				if got := strings.Join(told.calls, " "); got != `look_up{"city":"Paris","deep":{"a":[1,2,"ü\n"]}} look_up{"city":"Rome"}` {
					t.Errorf("calls: %s", got)
				}

				// 17, 21: who hangs up before there is an answer that comes whole.
				before = in.sim.Counts().Cancelled
				ctx, cancel := context.WithCancel(t.Context())
				path := d.path("hangs-" + protocol)
				if d.name == "gemini" {
					path += ":generateContent"
				}
				go func() {
					_ = in.sim.Wait(ctx, func(c sim.Counts) bool { return c.Open == 1 })
					cancel()
				}()
				if _, err := in.try(in.request(ctx, "POST", path, d.body("hangs-"+protocol, false, 100), "X-Api-Key", p.key)); err == nil {
					t.Error("it did not hang")
				}
				in.wait(time.Second, "the provider's connection is closed", func(c sim.Counts) bool { return c.Open == 0 && c.Cancelled > before })
			})
		}
	}
	in.settled(p)
	left := 0
	for _, e := range p.entries() {
		if e.Kind != "charge" {
			continue
		}
		if r := p.receipt(e.Receipt); r.Outcome == "stopped" && r.Tokens.Output == 0 && r.Tokens.Input > 0 {
			left++
		}
	}
	if left != len(dialects())*len(protocols) {
		t.Errorf("%d of who hung up early have paid for their question; want %d", left, len(dialects())*len(protocols))
	}
	if strings.Contains(in.log.String(), "request failed") {
		t.Error("a caller that leaves is no failure of ours")
	}
}

// 9, 12: a cap of a day refuses with the time at which the day is over, however it is
// spent, and keeps what was spent when it is changed.
func TestTrapDailyCap(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"m": {Pieces: 100}}}, "m")
	root, ann := in.user("root", "admin", "0"), in.user("ann", "user", "1000")
	var key struct{ ID, Key string }
	const answer = 100 * 1300 // nano-dollars, and a few for the question
	ann.app("POST", "/api/keys", map[string]any{"name": "capped", "credits_per_day_nano_usd": 5 * answer / 2}).want(201).into(&key)
	capped := *ann
	capped.key = key.Key
	untilMidnight := func(r *reply) {
		t.Helper()
		now := time.Now().UTC()
		left := int(time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, time.UTC).Sub(now) / time.Second)
		after, err := strconv.Atoi(r.header.Get("Retry-After"))
		if r.want(429); r.code() != "daily_cap_reached" || err != nil || after < left || after > left+2 {
			t.Errorf("%s, Retry-After %q; want %d: %s", r.code(), r.header.Get("Retry-After"), left, r.body)
		}
	}
	for range 2 {
		capped.sdk("POST", "/v1/chat/completions", chatBody("m", false, 100)).want(200)
	}
	for _, stream := range []bool{true, false} {
		for _, d := range dialects() {
			path := d.path("m")
			if d.name == "gemini" {
				path += map[bool]string{true: ":streamGenerateContent", false: ":generateContent"}[stream]
			}
			r := capped.sdk("POST", path, d.body("m", stream, 100))
			if d.name == "messages" || d.name == "gemini" { // the code stands elsewhere there
				if r.want(429); !strings.Contains(string(r.body), "daily") || r.header.Get("Retry-After") == "" {
					t.Errorf("%s: %s", d.name, r.body)
				}
				continue
			}
			untilMidnight(r)
		}
	}
	ann.sdk("POST", "/v1/chat/completions", chatBody("m", false, 100)).want(200) // her other key has no cap

	change := func(cap int) {
		ann.app("PATCH", "/api/keys/"+key.ID, map[string]any{"credits_per_day_nano_usd": cap}).want(200)
	}
	change(answer)
	untilMidnight(capped.sdk("POST", "/v1/chat/completions", chatBody("m", false, 100)))
	change(7 * answer / 2)
	in.poll("the new cap holds", func() bool {
		return capped.sdk("POST", "/v1/chat/completions", chatBody("m", false, 100)).status == 200
	})
	untilMidnight(capped.sdk("POST", "/v1/chat/completions", chatBody("m", false, 100)))

	// A person's cap counts all of it: keys and runs.
	root.app("PATCH", "/api/admin/users/"+ann.id, map[string]any{"limits": map[string]any{"credits_per_day_nano_usd": 11 * answer / 2}}).want(200)
	ann.run("one", 100, "m").want(201)
	in.settled(ann)
	untilMidnight(ann.run("two", 100, "m"))
	untilMidnight(ann.sdk("POST", "/v1/chat/completions", chatBody("m", false, 100)))
	in.settled(ann)
}

// 45: bodies of 1, 10 and 25 MB get through; a larger one is told so.
func TestTrap45LargeBodies(t *testing.T) {
	in := newProtocols(t, map[string]sim.Script{"m": {Pieces: 5}})
	p := in.user("ann", "user", "100000")
	body := func(d dialect, size int) []byte {
		whole := d.body("m-openai", false, 100)
		raw, _ := json.Marshal(whole)
		return bytes.Replace(raw, []byte(trapQuestion), []byte(strings.Repeat("x", size-len(raw)+len(trapQuestion))), 1)
	}
	for _, d := range dialects() {
		path := d.path("m-openai")
		if d.name == "gemini" {
			path += ":generateContent"
		}
		sizes := []int{10 << 20}
		if d.name == "chat" {
			sizes = []int{1 << 20, 10 << 20, 25 << 20}
		}
		for _, size := range sizes {
			r := p.sdk("POST", path, body(d, size))
			if r.want(200); in.sim.Last().Body == nil || len(in.sim.Last().Body) < size-1000 {
				t.Errorf("%s of %d bytes: the provider got %d", d.name, size, len(in.sim.Last().Body))
			}
		}
		r := p.sdk("POST", path, body(d, 25<<20+1))
		if r.want(413); !json.Valid(r.body) {
			t.Errorf("%s: %s", d.name, r.body)
		}
	}
	in.settled(p)
}

// 47, 49: no reply may be kept by a cache on the way; of a provider's headers none is
// passed on.
func TestTrap49HeadersOfProviders(t *testing.T) {
	upstream := sim.New(sim.Options{Scripts: map[string]sim.Script{"m": {Pieces: 5}, "bad": {Status: 400}}})
	leaky := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Provider-Key", r.Header.Get("Authorization"))
		h.Set("Set-Cookie", "provider=1")
		h.Set("Cache-Control", "public, max-age=3600")
		h.Set("X-Ratelimit-Remaining-Tokens", "7")
		h.Set("Openai-Organization", "org-secret")
		upstream.ServeHTTP(w, r)
	})
	in := newUpstreamedBy(t, upstream, leaky, func(url string) string {
		return protocolCatalog(url, map[string]sim.Script{"m": {}, "bad": {}})
	})
	p := in.user("ann", "user", "1000")
	for _, d := range dialects() {
		for _, model := range []string{"m-openai", "bad-openai", "m-anthropic", "m-gemini"} {
			for _, stream := range []bool{true, false} {
				path := d.path(model)
				if d.name == "gemini" {
					path += map[bool]string{true: ":streamGenerateContent", false: ":generateContent"}[stream]
				}
				r := p.sdk("POST", path, d.body(model, stream, 100))
				for name, values := range r.header {
					if all := strings.Join(values, " "); strings.Contains(all, "sk-test") || strings.Contains(all, "org-secret") || name == "Set-Cookie" || name == "X-Ratelimit-Remaining-Tokens" {
						t.Errorf("%s of %s: %s: %s", d.name, model, name, all)
					}
				}
				if cached := r.header.Get("Cache-Control"); !strings.HasPrefix(cached, "no-store") {
					t.Errorf("%s of %s: Cache-Control %q", d.name, model, cached)
				}
			}
		}
	}
}

// 23: while a provider is silent the connection is kept alive, in every dialect; an
// error after that is told in the stream.
func TestTrap23SilenceBeforeTheFirstToken(t *testing.T) {
	in := newProtocols(t, map[string]sim.Script{"late": {FirstDelay: 16 * time.Second, Pieces: 3}, "never": {FirstDelay: 16 * time.Second, Status: 400},
		"steady": {FirstDelay: 1500 * time.Millisecond, PieceDelay: 400 * time.Millisecond, Pieces: 55}})
	p := in.user("ann", "user", "1000")
	var work sync.WaitGroup // all at once, whatever the number of cores
	work.Go(func() {        // a steady one is not cut, though it takes longer than a write may
		if told, _ := p.stream(dialects()[0], "steady-openai", 100, false, 0); !told.end || !strings.HasSuffix(told.text.String(), "word54") {
			t.Errorf("it ended behind %q", told.text.String())
		}
	})
	for _, model := range []string{"late-openai", "never-openai"} {
		for _, d := range dialects() { // new readers each time
			work.Go(func() {
				all := p.silent(d, model)
				told := &told{}
				readFrames(bytes.NewReader(all), func(event string, data []byte) bool { d.frame(told, event, data); return true })
				whole := told.end && told.text.String() == "word0 word1 word2"
				if len(told.wrong) > 0 || model == "late-openai" && !whole || model == "never-openai" && told.code == "" {
					t.Errorf("%s of %s: %v: %s", d.name, model, told.wrong, all)
				}
			})
		}
	}
	work.Wait()
}

// silent asks a model that is silent for 16 s and gives the whole stream.
func (p *person) silent(d dialect, model string) []byte {
	t := p.in.t
	path := d.path(model)
	if d.name == "gemini" {
		path += ":streamGenerateContent?alt=sse"
	}
	start := time.Now()
	resp, err := p.in.client.Do(p.in.request(t.Context(), "POST", path, d.body(model, true, 100), "Authorization", "Bearer "+p.key))
	if err != nil {
		t.Error(err)
		return nil
	}
	defer resp.Body.Close()
	if took := time.Since(start); resp.StatusCode != 200 || took > 15500*time.Millisecond {
		t.Errorf("%s of %s: %d, headers after %v", d.name, model, resp.StatusCode, took)
	}
	all, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.HasPrefix(all, []byte(": keep-alive\n\n")) {
		t.Errorf("%s of %s: %v in %s", d.name, model, err, all)
	}
	return all
}
