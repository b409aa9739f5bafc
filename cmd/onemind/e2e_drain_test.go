package main

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"onemind/internal/llm/sim"
)

// A stop that was asked for lets open answers end; nobody gets half of one.
func TestDrain(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"slow": {Pieces: 200, PieceDelay: 5 * time.Millisecond}}}, "slow")
	p := in.user("ann", "user", "1000")
	var work sync.WaitGroup
	var v runView
	p.run("drain", 300, "slow").want(201).into(&v)
	s := newSeen()
	work.Go(func() { _ = p.follow(t.Context(), v.ID, s) })
	for range 5 {
		work.Go(func() {
			r, err := in.try(in.request(t.Context(), "POST", "/v1/chat/completions", chatBody("slow", true, 300), "Authorization", "Bearer "+p.key))
			if err != nil || r.status != 200 || !strings.Contains(string(r.body), "word199") || !strings.HasSuffix(string(r.body), "data: [DONE]\n\n") || !strings.Contains(string(r.body), `"onemind":{`) {
				t.Errorf("a stream over a drain: %v %+v", err, r)
			}
		})
	}
	in.wait(within, "all are under way", func(c sim.Counts) bool { return c.Open == 6 && c.Events > 30 })
	if err := in.child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	work.Wait()
	select {
	case <-in.exited:
	case <-time.After(within):
		t.Fatal("the server does not end")
	}
	if code := in.child.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	in.child = nil
	in.client.CloseIdleConnections()
	in.start()
	if !s.ended {
		if err := p.follow(t.Context(), v.ID, s); err != nil {
			t.Errorf("following again: %v", err)
		}
	}
	if text := s.text[v.Answers[0].ID]; !s.ended || len(s.wrong) > 0 || !strings.Contains(text, "word199") {
		t.Errorf("the run ended %v with %d bytes, %v", s.ended, len(text), s.wrong)
	}
	in.settled(p)
}

// A provider that says more than it may, breaks off or fails costs what the
// table of outcomes says, never more than the hold.
func TestOutcomes(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{
		"endless":  {Pieces: 3000, IgnoreCap: true, Usage: sim.Never, PieceDelay: 200 * time.Microsecond},
		"cut":      {Pieces: 50, Break: sim.Cut, After: 20},
		"fails":    {Pieces: 50, Break: sim.Fails, After: 20},
		"garbage":  {Pieces: 50, Break: sim.Garbage, After: 20},
		"early":    {Break: sim.Cut, After: 0},
		"error":    {Status: 500},
		"busy":     {Status: 429, RetryAfter: "7"},
		"badkey":   {Status: 401},
		"nousage":  {Pieces: 50, Usage: sim.Never},
		"manytold": {Pieces: 50, Usage: sim.EveryChunk},
	}}, "endless", "cut", "fails", "garbage", "early", "error", "busy", "badkey", "nousage", "manytold")
	p := in.user("ann", "user", "1000")
	for _, tt := range []struct {
		model, outcome string
		low, high      int64 // output tokens charged
	}{
		{"endless", "length", 60, 110},
		{"cut", "failed_midway", 10, 45},
		{"fails", "failed_midway", 10, 45},
		{"garbage", "failed_midway", 10, 45},
		{"early", "failed", 0, 0},
		{"error", "failed", 0, 0},
		{"busy", "failed", 0, 0},
		{"nousage", "finished", 40, 110},
		{"manytold", "finished", 50, 50},
		{"badkey", "failed", 0, 0}, // the last one: nothing goes by a refused key for a while
	} {
		for _, stream := range []bool{true, false} {
			if !stream && (tt.model == "endless" || tt.outcome == "failed_midway" || tt.model == "early") {
				continue // these scripts are of streams
			}
			t.Run(fmt.Sprintf("%s stream=%v", tt.model, stream), func(t *testing.T) {
				before := p.balance().Total
				reply := p.sdk("POST", "/v1/chat/completions", chatBody(tt.model, stream, 100))
				in.poll("it is settled", func() bool { return p.balance().Held == 0 })
				r := p.receipt(reply.header.Get("X-Request-Id"))
				tokens := r.Charge / 1300
				if r.Outcome != tt.outcome || tokens < tt.low || tokens > tt.high || r.Charge > r.Hold || before-p.balance().Total != r.Charge {
					t.Errorf("%d, receipt %+v is for %d tokens", reply.status, r, tokens)
				}
				if tt.outcome == "failed" && (r.Charge != 0 || reply.status < 500) {
					t.Errorf("%d, charge %d: %s", reply.status, r.Charge, reply.body)
				}
				if tt.outcome == "failed_midway" && !strings.Contains(string(reply.body), `"error":`) {
					t.Errorf("nobody was told: %s", reply.body)
				}
				if tt.outcome == "length" && !strings.Contains(string(reply.body), `"finish_reason":"length"`) {
					t.Errorf("no finish reason: %.500s", reply.body[max(0, len(reply.body)-500):])
				}
			})
		}
	}
	in.settled(p)
}
