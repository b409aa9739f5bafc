package main

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"onemind/internal/llm/sim"
)

// numberedEvent is an event of a resumable stream.
type numberedEvent struct {
	id   int64
	data string
}

// frames reads a stream's events until each says stop or it ends.
func (in *instance) frames(r *http.Request, each func(numberedEvent) bool) (*http.Response, []numberedEvent) {
	in.t.Helper()
	resp, err := in.client.Do(r)
	if err != nil {
		in.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		in.t.Fatalf("%s %s: %d", r.Method, r.URL.Path, resp.StatusCode)
	}
	var all []numberedEvent
	_ = readEvents(resp.Body, func(e event) bool { // a connection that breaks ends it as well
		id, err := strconv.ParseInt(e.ID, 10, 64)
		if err != nil { // what is said of a dead instance is not of its stream
			id = math.MaxInt64
		}
		all = append(all, numberedEvent{id, e.Data})
		return each(all[len(all)-1])
	})
	return resp, all
}

func always(numberedEvent) bool { return true }

// asks begins a resumable stream in a dialect.
func (p *person) asks(ctx context.Context, d dialect, model string, most int) *http.Request {
	body, path := d.body(model, true, most), d.path(model)
	body["resumable"] = true
	if d.name == "gemini" {
		path += ":streamGenerateContent?alt=sse"
	}
	return p.in.request(ctx, "POST", path, body, "Authorization", "Bearer "+p.key)
}

// resumes picks a stream up after an event; 0 begins it anew.
func (p *person) resumes(ctx context.Context, id string, after int64) *http.Request {
	r := p.in.request(ctx, "GET", "/v1/streams/"+id, nil, "Authorization", "Bearer "+p.key)
	if after > 0 {
		r.Header.Set("Last-Event-ID", strconv.FormatInt(after, 10))
	}
	return r
}

// joined is the data of events, and fails the test when a number is missing or comes twice.
func joined(t *testing.T, events []numberedEvent) string {
	t.Helper()
	var all strings.Builder
	for i, e := range events {
		if i > 0 && e.id != events[i-1].id+1 && e.id != math.MaxInt64 {
			t.Fatalf("event %d comes after %d", e.id, events[i-1].id)
		}
		all.WriteString(e.data + "\n")
	}
	return all.String()
}

// A caller who was cut off reads on where it was, in the dialect it asked in; only
// the caller can.
func TestResumableStream(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"slow": {Pieces: 300, PieceDelay: 5 * time.Millisecond}, "broken": {Status: 500}}}, "slow", "broken")
	p, other := in.user("ann", "user", "1000"), in.user("bob", "user", "1000")
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			ctx, cut := context.WithCancel(t.Context())
			resp, first := in.frames(p.asks(ctx, d, "slow", 400), func(e numberedEvent) bool { return e.id < 20 })
			cut()
			id := resp.Header.Get("X-Request-Id")
			other.sdk("GET", "/v1/streams/"+id, nil).want(404)
			in.do("GET", "/v1/streams/"+id, nil).want(401)
			_, rest := in.frames(p.resumes(t.Context(), id, first[len(first)-1].id), always)
			_, whole := in.frames(p.resumes(t.Context(), id, 0), always)
			text := joined(t, whole)
			if got := joined(t, append(first, rest...)); got != text {
				t.Errorf("in two parts %d bytes, at once %d", len(got), len(text))
			}
			if n := strings.Count(text, "word"); n < 300 || !strings.Contains(text, "word299") {
				t.Errorf("%d words: %.300s", n, text)
			}
			if _, nothing := in.frames(p.resumes(t.Context(), id, whole[len(whole)-1].id), always); len(nothing) != 0 {
				t.Errorf("behind the last one: %+v", nothing)
			}
			p.sdk("GET", "/v1/streams/"+id, nil, "Last-Event-ID", "999999").want(404)
			p.sdk("GET", "/v1/streams/"+id, nil, "Last-Event-ID", "x").want(422)
			if r := p.receipt(id); r.Outcome != "finished" || r.Tokens.Output != 300 {
				t.Errorf("receipt %+v", r)
			}
			body := d.body("slow", false, 10)
			body["resumable"] = true
			path := d.path("slow")
			if d.name == "gemini" {
				path += ":generateContent"
			}
			if r := p.sdk("POST", path, body); r.status/100 != 4 || !strings.Contains(string(r.body), "resumable") {
				t.Errorf("without a stream: %d %s", r.status, r.body)
			}
		})
	}
	t.Run("a failure before the first event is a plain error", func(t *testing.T) {
		d := dialects()[0]
		r, err := in.try(p.asks(t.Context(), d, "broken", 10))
		if err != nil || r.status < 500 || r.header.Get("Content-Type") != "application/json" {
			t.Fatalf("%v, %+v", err, r)
		}
		_, again := in.frames(p.resumes(t.Context(), r.header.Get("X-Request-Id"), 0), always)
		if text := joined(t, again); !strings.Contains(text, `"error"`) {
			t.Errorf("asked again: %s", text)
		}
	})
	p.sdk("GET", "/v1/streams/req_none", nil).want(404)
	in.settled(p, other)
}

// A stop that was asked for lets a resumable answer end, read or not; kill -9 ends it
// with what was delivered, which is charged, and says so.
func TestResumableStreamOverStops(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"slow": {Pieces: 200, PieceDelay: 10 * time.Millisecond}}}, "slow")
	p, d := in.user("ann", "user", "1000"), dialects()[0]
	begin := func(until int64) (string, []numberedEvent) {
		resp, first := in.frames(p.asks(t.Context(), d, "slow", 300), func(e numberedEvent) bool { return e.id < until })
		return resp.Header.Get("X-Request-Id"), first
	}
	id, first := begin(20)
	var reading sync.WaitGroup
	reading.Go(func() {
		r, err := in.try(p.asks(t.Context(), d, "slow", 300))
		if err != nil || r.status != 200 || !strings.Contains(string(r.body), "word199") || !strings.HasSuffix(string(r.body), "data: [DONE]\n\n") {
			t.Errorf("a reader over a drain: %v, %+v", err, r)
		}
	})
	in.wait(within, "both are under way", func(c sim.Counts) bool { return c.Open == 2 })
	if err := in.child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	reading.Wait()
	<-in.exited
	in.child = nil
	in.client.CloseIdleConnections()
	in.start()
	_, rest := in.frames(p.resumes(t.Context(), id, first[len(first)-1].id), always)
	if text := joined(t, append(first, rest...)); !strings.Contains(text, "word199") || !strings.Contains(text, "[DONE]") {
		t.Errorf("after a stop: %s", text)
	}

	id, first = begin(120) // what is delivered is noted twice a second
	in.kill()
	in.start()
	_, rest = in.frames(p.resumes(t.Context(), id, first[len(first)-1].id), always)
	if text := joined(t, append(first, rest...)); !strings.Contains(text, `"interrupted"`) || !strings.Contains(text, "word100") {
		t.Errorf("after kill -9: %s", text)
	}
	if r := p.receipt(id); r.Charge == 0 || r.Tokens.Output == 0 || r.Tokens.Output >= 200 {
		t.Errorf("receipt %+v", r)
	}
	in.settled(p)
}

// A stream is picked up through any instance, and through any that is left.
func TestResumableStreamElsewhere(t *testing.T) {
	c := newInstallation(t, asked{instances: 3, models: []string{"slow", "short"}, sim: sim.Options{Scripts: map[string]sim.Script{
		"short": {Pieces: 200, PieceDelay: 10 * time.Millisecond}, "slow": {Pieces: 4000, PieceDelay: 20 * time.Millisecond}}}})
	one, two, three := c.instances[0], c.instances[1], c.instances[2]
	p, d := one.user("ann", "user", "100000"), dialects()[0]
	begin := func(model string) (string, []numberedEvent) {
		resp, first := one.frames(p.asks(t.Context(), d, model, 4096), func(e numberedEvent) bool { return e.id < 20 })
		return resp.Header.Get("X-Request-Id"), first
	}
	id, first := begin("short")
	_, rest := two.frames(p.at(two).resumes(t.Context(), id, first[len(first)-1].id), always)
	_, whole := three.frames(p.at(three).resumes(t.Context(), id, 0), always)
	if text := joined(t, whole); joined(t, append(first, rest...)) != text || !strings.Contains(text, "word199") || !strings.Contains(text, "[DONE]") {
		t.Errorf("elsewhere: %d events and %d; at once %d", len(first), len(rest), len(whole))
	}
	two.do("GET", "/v1/streams/"+id, nil).want(401)

	id, first = begin("slow")
	killed := false
	_, rest = two.frames(p.at(two).resumes(t.Context(), id, first[len(first)-1].id), func(e numberedEvent) bool {
		if e.id >= 80 && !killed {
			killed = true
			one.kill()
		}
		return true
	})
	if text := joined(t, append(first, rest...)); !strings.Contains(text, `"interrupted"`) || !strings.Contains(text, "word70") {
		t.Errorf("its instance was killed: %s", text)
	}
	two.settled(p.at(two))
	if r := p.at(two).receipt(id); r.Charge == 0 || r.Tokens.Output == 0 {
		t.Errorf("receipt %+v", r)
	}
}
