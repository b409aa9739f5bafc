package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"onemind/internal/llm/sim"
	"onemind/internal/money"
)

// tenHolds makes a user whose balance is worth exactly ten holds of a request.
func tenHolds(in *instance, body map[string]any) (*person, int64) {
	in.t.Helper()
	probe := in.user("probe", "user", "100")
	r := probe.sdk("POST", "/v1/chat/completions", body).want(200)
	hold := probe.receipt(r.header.Get("X-Request-Id")).Hold
	if hold <= 0 {
		in.t.Fatalf("the probe held %d", hold)
	}
	return in.user("ten", "user", money.Amount(10*hold).Credits()), hold
}

// A balance worth ten holds serves exactly ten of a thousand at once, and tells
// the others why not.
func TestThousandAtOnce(t *testing.T) {
	var held atomic.Bool
	gate := make(chan struct{})
	in := newInstance(t, sim.Options{Choose: func(*sim.Request) sim.Script {
		if held.Load() {
			<-gate
		}
		return sim.Script{Pieces: 200}
	}}, "big")
	body := chatBody("big", false, 100)
	p, hold := tenHolds(in, body)
	held.Store(true)
	open := sync.OnceFunc(func() { close(gate) })
	defer open()

	const n = 1000
	var served, short, answered atomic.Int64
	var other sync.Map
	var work sync.WaitGroup
	refused := make(chan struct{})
	for i := range n {
		work.Go(func() {
			r, err := in.try(in.request(t.Context(), "POST", "/v1/chat/completions", body, "Authorization", "Bearer "+p.key))
			switch {
			case err != nil:
				other.Store(i, err.Error())
			case r.status == 200:
				served.Add(1)
			case r.status == 402 && r.code() == "credit_short":
				short.Add(1)
			default:
				other.Store(i, fmt.Sprintf("%d %s", r.status, r.body))
			}
			if answered.Add(1) == n-10 {
				close(refused)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	select {
	case <-refused:
	case <-ctx.Done():
		t.Errorf("%d of %d were answered while ten were under way", answered.Load(), n)
	}
	if c := in.sim.Counts(); c.Open != 10 {
		in.wait(within, "ten calls are open", func(c sim.Counts) bool { return c.Open == 10 })
	}
	if b := p.balance(); b.Available != 0 || b.Held != 10*hold {
		t.Errorf("while ten are under way: %+v, one hold is %d", b, hold)
	}
	open()
	work.Wait()
	other.Range(func(i, what any) bool { t.Errorf("request %v: %v", i, what); return true })
	if served.Load() != 10 || short.Load() != n-10 {
		t.Errorf("%d served and %d refused", served.Load(), short.Load())
	}
	if got := in.sim.Counts().Calls; got != 11 { // and the probe
		t.Errorf("the provider was called %d times", got)
	}
	in.settled(p)
	if charges := unique(t, p.entries()); len(charges) != 10 {
		t.Errorf("%d answers were charged", len(charges))
	}
}

// unique fails on an answer that was charged twice; it gives the charges by answer.
func unique(t *testing.T, all []entry) map[string]int64 {
	t.Helper()
	charges := map[string]int64{}
	for _, e := range all {
		if e.Kind != "charge" {
			continue
		}
		id := e.Receipt
		if id == "" {
			id = e.Ref
		}
		if _, twice := charges[id]; twice || id == "" {
			t.Errorf("answer %q was charged twice", id)
		}
		charges[id] = -e.Amount
	}
	return charges
}

// Answers that use less than their hold give the rest back, for others.
func TestReleasedCreditsServeMore(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"little": {Pieces: 10}}}, "little")
	body := chatBody("little", false, 100)
	p, hold := tenHolds(in, body)
	var served, short atomic.Int64
	var charged atomic.Int64
	var work sync.WaitGroup
	for range 40 {
		work.Go(func() {
			for range 25 {
				r, err := in.try(in.request(t.Context(), "POST", "/v1/chat/completions", body, "Authorization", "Bearer "+p.key))
				if err != nil {
					t.Error(err)
					return
				}
				switch {
				case r.status == 200:
					served.Add(1)
					var charge int64
					if _, err := fmt.Sscan(r.header.Get("X-Onemind-Charge"), &charge); err != nil || charge <= 0 {
						t.Errorf("charge %q", r.header.Get("X-Onemind-Charge"))
					}
					charged.Add(charge)
				case r.status == 402 && r.code() == "credit_short":
					short.Add(1)
				default:
					t.Errorf("%d %s", r.status, r.body)
				}
			}
		})
	}
	work.Wait()
	in.settled(p)
	b := p.balance()
	if served.Load() <= 10 || short.Load() == 0 {
		t.Errorf("%d served, %d refused", served.Load(), short.Load())
	}
	if b.Total+charged.Load() != 10*hold {
		t.Errorf("%d left and %d charged of %d", b.Total, charged.Load(), 10*hold)
	}
	if got := unique(t, p.entries()); int64(len(got)) != served.Load() {
		t.Errorf("%d charges for %d answers", len(got), served.Load())
	}
}
