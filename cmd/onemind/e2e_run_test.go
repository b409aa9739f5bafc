package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"onemind/internal/llm/sim"
)

// runView is what tests read of a run.
type runView struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Seq     int64  `json:"seq"`
	Answers []struct {
		ID      string `json:"id"`
		State   string `json:"state"`
		Text    string `json:"text"`
		Charge  int64  `json:"charge_nano_usd"`
		Receipt string `json:"receipt_id"`
		Error   *struct {
			Code      string `json:"code"`
			Retryable bool   `json:"retryable"`
		} `json:"error"`
	} `json:"answers"`
}

// runEvent is what tests read of a run's event.
type runEvent struct {
	Seq     int64    `json:"seq"`
	Type    string   `json:"type"`
	Run     string   `json:"run"`
	Answer  string   `json:"answer"`
	Text    string   `json:"text"`
	Code    string   `json:"code"`
	Receipt *receipt `json:"receipt"`
}

// seen is what one reader saw of a run.
type seen struct {
	mu     sync.Mutex
	last   int64
	text   map[string]string
	ends   map[string]int
	codes  map[string]string // of answers that failed
	ended  bool
	wrong  []string
	deltas int
}

func newSeen() *seen {
	return &seen{text: map[string]string{}, ends: map[string]int{}, codes: map[string]string{}}
}

func (s *seen) take(e event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var v runEvent
	if err := json.Unmarshal([]byte(e.Data), &v); err != nil || e.ID != strconv.FormatInt(v.Seq, 10) {
		s.wrong = append(s.wrong, fmt.Sprintf("id %q: %v in %s", e.ID, err, e.Data))
		return false
	}
	if v.Seq != s.last+1 {
		s.wrong = append(s.wrong, fmt.Sprintf("event %d came after %d", v.Seq, s.last))
	}
	if s.ended {
		s.wrong = append(s.wrong, fmt.Sprintf("event %d came after run.finished", v.Seq))
	}
	s.last = v.Seq
	switch v.Type {
	case "answer.delta":
		s.deltas++
		s.text[v.Answer] += v.Text
	case "answer.finished", "answer.failed":
		s.ends[v.Answer]++
		s.codes[v.Answer] = v.Code
	case "run.finished":
		s.ended = true
	}
	return !s.ended
}

// follow reads a run's events from where the reader is until they end.
func (p *person) follow(ctx context.Context, run string, s *seen) error {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	r := p.in.request(ctx, "GET", "/api/runs/"+run+"/events", nil, "Cookie", "om_session="+p.cookie)
	if last > 0 {
		r.Header.Set("Last-Event-ID", strconv.FormatInt(last, 10))
	}
	resp, err := p.in.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		b, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%d %s", resp.StatusCode, b)
	}
	return readEvents(resp.Body, s.take)
}

func (p *person) run(key string, maxTokens int, models ...string) *reply {
	p.in.t.Helper()
	return p.app("POST", "/api/runs", map[string]any{"prompt": "Count for me, please.", "models": models, "max_tokens": maxTokens}, "Idempotency-Key", key)
}

// The same idempotency key is one run, however many devices send it at once.
func TestOneRunPerIdempotencyKey(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"a": {Pieces: 20, FirstDelay: 50 * time.Millisecond}, "b": {Pieces: 20}}}, "a", "b")
	p := in.user("ann", "user", "100")
	replies := make([]*reply, 10)
	var work sync.WaitGroup
	for i := range replies {
		work.Go(func() { replies[i] = p.run("once", 50, "a", "b") })
	}
	work.Wait()
	made := 0
	var first, v runView
	for i, r := range replies {
		if r.status == 201 {
			made++
		} else {
			r.want(200)
		}
		v = runView{}
		r.into(&v)
		if i == 0 {
			first = v
		}
		if v.ID != first.ID || len(v.Answers) != 2 || v.Answers[0].ID != first.Answers[0].ID || v.Answers[1].ID != first.Answers[1].ID {
			t.Errorf("reply %d is of another run: %s", i, r.body)
		}
	}
	if made != 1 {
		t.Errorf("%d replies say 201", made)
	}
	s := newSeen()
	if err := p.follow(t.Context(), first.ID, s); err != nil || !s.ended || len(s.wrong) > 0 {
		t.Errorf("following: %v, %v", err, s.wrong)
	}
	if got := p.run("once", 50, "a", "b").want(200); true {
		if got.into(&v); v.ID != first.ID {
			t.Errorf("after its end the key gave run %s, not %s", v.ID, first.ID)
		}
	}
	p.run("once", 51, "a", "b").want(409)
	p.app("POST", "/api/runs", map[string]any{"prompt": "Something else", "models": []string{"a"}}, "Idempotency-Key", "once").want(409)
	if c := in.sim.Counts(); c.Calls != 2 {
		t.Errorf("the provider was called %d times", c.Calls)
	}
	in.settled(p)
	if got := unique(t, p.entries()); len(got) != 2 {
		t.Errorf("%d answers were charged", len(got))
	}
}

// kill -9 under load, over and over: after each start nothing is held, nothing
// was charged twice, every run has ended with at least what its reader saw, and
// readers go on where they were.
func TestKilledInMidStream(t *testing.T) {
	rounds := 5
	if n, err := strconv.Atoi(os.Getenv("KILL_ROUNDS")); err == nil {
		rounds = n
	}
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{
		"slow":  {Pieces: 4000, PieceDelay: 3 * time.Millisecond},
		"quick": {Pieces: 30, PieceDelay: time.Millisecond},
	}}, "slow", "quick")
	p := in.user("ann", "user", "10000")
	const runs, streams = 6, 6
	total := p.balance().Total
	for round := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		ids := make([]string, runs)
		readers := make([]*seen, runs)
		for i := range ids {
			var v runView
			p.run(fmt.Sprintf("kill-%d-%d", round, i), 4000, "slow", "quick").want(201).into(&v)
			ids[i], readers[i] = v.ID, newSeen()
			work.Go(func() { _ = p.follow(ctx, ids[i], readers[i]) })
		}
		flowing := make(chan struct{}, streams)
		var mu sync.Mutex
		var short []string // runs that begin and end all the time
		for range streams {
			work.Go(func() {
				resp, err := in.client.Do(in.request(ctx, "POST", "/v1/chat/completions", chatBody("slow", true, 4000), "Authorization", "Bearer "+p.key))
				if err != nil {
					return
				}
				defer resp.Body.Close()
				n := 0
				_ = readEvents(resp.Body, func(event) bool {
					if n++; n == 20 {
						flowing <- struct{}{}
					}
					return true
				})
			})
		}
		for range 4 { // short calls that keep beginning and ending until the kill
			work.Go(func() {
				for ctx.Err() == nil {
					if r, err := in.try(in.request(ctx, "POST", "/v1/chat/completions", chatBody("quick", false, 50), "Authorization", "Bearer "+p.key)); err != nil || r.status != 200 {
						return
					}
				}
			})
			work.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					body := map[string]any{"prompt": "Be quick.", "models": []string{"quick"}, "max_tokens": 50}
					r, err := in.try(in.request(ctx, "POST", "/api/runs", body, "Cookie", "om_session="+p.cookie, "Idempotency-Key", fmt.Sprintf("%p-%d-%d", &n, round, n)))
					var v runView
					if err != nil || r.status != 201 || json.Unmarshal(r.body, &v) != nil {
						return
					}
					mu.Lock()
					short = append(short, v.ID)
					mu.Unlock()
				}
			})
		}
		for range streams {
			select {
			case <-flowing:
			case <-time.After(within):
				t.Fatal("the streams do not flow")
			}
		}
		in.poll("every reader saw some of its run", func() bool {
			for _, s := range readers {
				s.mu.Lock()
				ok := s.deltas >= 5+round
				s.mu.Unlock()
				if !ok {
					return false
				}
			}
			return true
		})
		in.kill()
		cancel()
		work.Wait()
		in.start()

		if l := in.ledger(); l.Holds != 0 || l.Held != 0 {
			t.Errorf("round %d: holds are open after the start: %+v", round, l)
		}
		charges := unique(t, p.entries())
		sum := int64(0)
		for _, c := range charges {
			sum += c
		}
		if b := p.balance(); b.Total+sum != total || b.Held != 0 {
			t.Errorf("round %d: %+v and %d charged of %d", round, b, sum, total)
		}
		for i, id := range ids {
			p.checkRecovered(round, id, readers[i], charges)
		}
		for _, id := range short[max(0, len(short)-60):] { // those that the kill met anywhere between admission and end
			p.checkRecovered(round, id, newSeen(), charges)
		}
	}
	var bad int
	for _, id := range p.allRuns() {
		var v runView
		if p.app("GET", "/api/runs/"+id, nil).want(200).into(&v); v.State != "finished" {
			bad++
		}
	}
	if bad > 0 {
		t.Errorf("%d runs never ended", bad)
	}
}

// allRuns lists the runs of all conversations.
func (p *person) allRuns() (ids []string) {
	for cursor := ""; ; {
		var page struct {
			Items []struct{ ID string }
			Next  string `json:"next_cursor"`
		}
		p.app("GET", "/api/conversations?limit=100"+cursor, nil).want(200).into(&page)
		for _, c := range page.Items {
			var conv struct{ Runs []struct{ ID string } }
			p.app("GET", "/api/conversations/"+c.ID, nil).want(200).into(&conv)
			for _, r := range conv.Runs {
				ids = append(ids, r.ID)
			}
		}
		if page.Next == "" {
			return ids
		}
		cursor = "&cursor=" + page.Next
	}
}

// checkRecovered looks at one run after a crash that a reader was following.
func (p *person) checkRecovered(round int, id string, s *seen, charges map[string]int64) {
	t := p.in.t
	t.Helper()
	var v runView
	p.app("GET", "/api/runs/"+id, nil).want(200).into(&v)
	if v.State != "finished" {
		t.Errorf("round %d: run %s is %s", round, id, v.State)
	}
	for _, a := range v.Answers {
		if saw := s.text[a.ID]; !strings.HasPrefix(a.Text, saw) {
			t.Errorf("round %d: the reader saw %d bytes of answer %s, %d are kept", round, len(saw), a.ID, len(a.Text))
		}
		if a.State != "finished" && (a.State != "failed" || a.Error == nil || a.Error.Code != "interrupted" || !a.Error.Retryable) {
			t.Errorf("round %d: answer %s is %s %+v", round, a.ID, a.State, a.Error)
		}
		if a.Text != "" && charges[a.ID] <= 0 || a.Charge != charges[a.ID] {
			t.Errorf("round %d: answer %s with %d bytes shows a charge of %d, the ledger %d", round, a.ID, len(a.Text), a.Charge, charges[a.ID])
		}
	}
	if !s.ended {
		if err := p.follow(t.Context(), id, s); err != nil {
			t.Errorf("round %d: following again after event %d: %v", round, s.last, err)
		}
	}
	whole := newSeen()
	if err := p.follow(t.Context(), id, whole); err != nil {
		t.Errorf("round %d: following from the beginning: %v", round, err)
	}
	for _, r := range []*seen{s, whole} {
		if !r.ended || len(r.wrong) > 0 {
			t.Errorf("round %d: the events of run %s: ended %v, %v", round, id, r.ended, r.wrong)
		}
		for _, a := range v.Answers {
			if r.text[a.ID] != a.Text || r.ends[a.ID] != 1 {
				t.Errorf("round %d: events of answer %s add up to %d bytes with %d ends, the answer has %d", round, a.ID, len(r.text[a.ID]), r.ends[a.ID], len(a.Text))
			}
		}
	}
}

// Stop, and a reader of /v1 that leaves, close the provider's connection within
// a second and charge what was delivered.
func TestStopAndDisconnect(t *testing.T) {
	const cap = 4000
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{
		"slow":  {Pieces: cap, PieceDelay: 5 * time.Millisecond},
		"stuck": {FirstDelay: time.Hour},
	}}, "slow", "stuck")
	full := int64(cap * 1300) // nano-dollars of the output alone, markup included

	for _, tt := range []struct {
		name string
		// begin starts one answer and gives the id of its receipt, and what ends it.
		begin func(t *testing.T, p *person) (id string, end func())
	}{
		{"stop a run", func(t *testing.T, p *person) (string, func()) {
			var v runView
			p.run("stop", cap, "slow").want(201).into(&v)
			s := newSeen()
			ctx, cancel := context.WithCancel(t.Context())
			t.Cleanup(cancel)
			go func() { _ = p.follow(ctx, v.ID, s) }()
			in.poll("some is delivered", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.deltas > 3 })
			return v.Answers[0].ID, func() { p.app("POST", "/api/runs/"+v.ID+"/stop", map[string]any{}).want(202) }
		}},
		{"stop one answer", func(t *testing.T, p *person) (string, func()) {
			var v runView
			p.run("stop one", cap, "slow").want(201).into(&v)
			in.poll("some is delivered", func() bool {
				p.app("GET", "/api/runs/"+v.ID, nil).want(200).into(&v)
				return len(v.Answers[0].Text) > 100
			})
			return v.Answers[0].ID, func() {
				p.app("POST", "/api/runs/"+v.ID+"/stop", map[string]any{"answer": v.Answers[0].ID}).want(202)
			}
		}},
		{"leave a stream", func(t *testing.T, p *person) (string, func()) {
			ctx, cancel := context.WithCancel(t.Context())
			t.Cleanup(cancel)
			resp, err := in.client.Do(in.request(ctx, "POST", "/v1/chat/completions", chatBody("slow", true, cap), "Authorization", "Bearer "+p.key))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { resp.Body.Close() })
			lines := bufio.NewReader(resp.Body)
			for range 40 {
				if _, err := lines.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			return resp.Header.Get("X-Request-Id"), cancel
		}},
		{"leave a whole answer", func(t *testing.T, p *person) (string, func()) {
			ctx, cancel := context.WithCancel(t.Context())
			t.Cleanup(cancel)
			calls := in.sim.Counts().Calls
			go func() {
				_, err := in.try(in.request(ctx, "POST", "/v1/chat/completions", chatBody("stuck", false, cap), "Authorization", "Bearer "+p.key))
				if !errors.Is(err, context.Canceled) {
					t.Errorf("the call ended with %v", err)
				}
			}()
			in.wait(within, "the provider is called", func(c sim.Counts) bool { return c.Calls == calls+1 })
			return "", cancel
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := in.user(strings.ReplaceAll(tt.name, " ", "-"), "user", "100")
			before := p.balance().Total
			id, end := tt.begin(t, p)
			cancelled := in.sim.Counts().Cancelled
			end()
			in.wait(time.Second, "the provider's connection is closed", func(c sim.Counts) bool { return c.Cancelled == cancelled+1 && c.Open == 0 })
			in.settled(p)
			if id == "" {
				for ref := range unique(t, p.entries()) {
					id = ref
				}
			}
			r := p.receipt(id)
			if r.Outcome != "stopped" || r.Charge <= 0 || r.Charge >= full || r.Charge+r.Released != r.Hold {
				t.Errorf("the receipt says %+v", r)
			}
			if b := p.balance(); before-b.Total != r.Charge {
				t.Errorf("%d was taken, the receipt says %d", before-b.Total, r.Charge)
			}
		})
	}
}

// A reader that comes later, or from another tab, sees the same events.
func TestEventsAreTheSameForEveryReader(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"slow": {Pieces: 200, PieceDelay: 2 * time.Millisecond}}}, "slow")
	p := in.user("ann", "user", "100")
	var v runView
	p.run("same", 300, "slow").want(201).into(&v)
	readers := []*seen{newSeen(), newSeen(), newSeen()}
	var work sync.WaitGroup
	for _, s := range readers[:2] {
		work.Go(func() { _ = p.follow(t.Context(), v.ID, s) })
	}
	work.Wait()
	_ = p.follow(t.Context(), v.ID, readers[2])
	for i, s := range readers {
		if !s.ended || len(s.wrong) > 0 || s.text[v.Answers[0].ID] != readers[0].text[v.Answers[0].ID] || len(s.text[v.Answers[0].ID]) < 1000 {
			t.Errorf("reader %d: ended %v, %d bytes, %v", i, s.ended, len(s.text[v.Answers[0].ID]), s.wrong)
		}
	}
	r := p.app("GET", "/api/runs/"+v.ID+"/events", nil, "Last-Event-ID", strconv.FormatInt(readers[0].last, 10))
	if r.status >= 500 || r.status == http.StatusOK && strings.Contains(string(r.body), "data:") {
		t.Errorf("after the end: %d %s", r.status, r.body)
	}
}
