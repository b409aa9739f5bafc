package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"onemind/internal/llm/sim"
)

// chaosModels are three models at three providers that stand in for each other,
// all over one upstream.
func chaosCatalog(upstream string) string {
	var y strings.Builder
	y.WriteString("providers:\n")
	for _, m := range chaosNames {
		fmt.Fprintf(&y, "  - {id: p-%s, name: %s, protocol: openai, base_url: %q, api_keys: [sk-test], allow_private_address: true, max_concurrency: 400, timeouts: {connect: 5s, first_token: 6s, idle: 6s}}\n", m, m, upstream+"/v1")
	}
	y.WriteString("models:\n")
	for i, m := range chaosNames {
		others := chaosNames[(i+1)%3] + ", " + chaosNames[(i+2)%3]
		fmt.Fprintf(&y, "  - {id: %s, provider: p-%s, prices: %s, context_window: 128000, max_output_tokens: 4096, capabilities: [streaming], substitutes: [%s]}\n", m, m, testPrices, others)
	}
	return y.String() + noLimits
}

var chaosNames = [3]string{"red", "green", "blue"}

// TestChaos: an upstream that fails in every way, 45 times of a hundred, and five
// hundred answers at once. People get whole answers, nothing twice, and pay what the
// upstream itself says it gave.
//
// At 5% each the upstream breaks eight calls of twenty: a whole answer takes 1/0.6 = 1.67
// calls, whoever makes them. At 1% each, which is a bad day, 1.2 calls are enough. What
// is not whole had begun to be delivered before anything had failed, or met eight
// troubles in a row.
func TestChaos(t *testing.T) {
	for _, tt := range []struct {
		rate  float64
		whole float64 // of the answers
		calls float64 // per answer
	}{{0.05, 0.995, 1.75}, {0.01, 0.995, 1.2}} {
		t.Run(fmt.Sprintf("%g%% of each", 100*tt.rate), func(t *testing.T) {
			text := strings.TrimSpace(strings.Repeat("The quick brown fox jumps over the lazy dog. ", 5))
			chaos := &sim.Chaos{Seed: 11, Rate: tt.rate, Good: sim.Script{Text: text, PieceDelay: 1e6}}
			in := newUpstreamed(t, sim.New(sim.Options{Choose: chaos.Choose}), chaosCatalog)
			p := in.user("chaos", "user", "100000")

			const people, times = 167, 3 // so many at once, each with three models; so often
			var mu sync.Mutex
			whole, answers, wrong := 0, 0, []string{}
			failed := map[string]int{}
			one := func(key string) {
				var run struct{ ID string }
				p.run(key, 300, chaosNames[:]...).want(201).into(&run)
				ctx, cancel := context.WithTimeout(t.Context(), 2*within)
				defer cancel()
				s := newSeen()
				err := p.follow(ctx, run.ID, s)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || len(s.wrong) > 0 || !s.ended {
					wrong = append(wrong, fmt.Sprintf("run %s: %v %v", run.ID, err, s.wrong))
				}
				for id := range s.ends {
					answers++
					switch got := s.text[id]; {
					case got == text:
						whole++
					case !strings.HasPrefix(text, got):
						wrong = append(wrong, fmt.Sprintf("answer %s is no beginning of what was said: %q", id, got))
					default:
						failed[s.codes[id]]++
					}
				}
			}
			var work sync.WaitGroup
			for i := range people {
				work.Go(func() {
					for n := range times {
						one(fmt.Sprintf("chaos-%d-%d", i, n))
					}
				})
			}
			work.Wait()
			for _, w := range wrong {
				t.Error(w)
			}
			in.settled(p)
			calls := float64(in.sim.Counts().Calls) / float64(answers)
			t.Logf("%d of %d answers whole, %.2f calls each; drawn %v; failed %v", whole, answers, calls, chaos.Drawn(), failed)
			if answers != 3*people*times || float64(whole) < tt.whole*float64(answers) {
				t.Errorf("%d of %d answers are whole; want %.1f%% of %d", whole, answers, 100*tt.whole, 3*people*times)
			}
			if calls > tt.calls {
				t.Errorf("%.2f calls for an answer; want at most %.2f", calls, tt.calls)
			}
			p.sameCount(text)
		})
	}
}

// sameCount holds every receipt that goes by the provider's count against what
// the upstream counts for such an answer: a piece of text is a token there.
func (p *person) sameCount(text string) {
	p.in.t.Helper()
	charged := 0
	for _, e := range p.entries() {
		if e.Kind != "charge" {
			continue
		}
		r := p.receipt(e.Receipt)
		if charged++; r.CountedBy == "provider" && (r.Tokens.Input != chaosPrompt || r.Tokens.Output != int64(len(sim.Pieces(text)))) {
			p.in.t.Errorf("answer %s is charged for %d and %d tokens, the upstream gave %d and %d", r.ID, r.Tokens.Input, r.Tokens.Output, chaosPrompt, len(sim.Pieces(text)))
		}
		if want := r.Tokens.Input*13 + r.Tokens.Output*1300; r.Charge != want { // nano-dollars: $0.01 and $1 per million tokens, and 30%
			p.in.t.Errorf("answer %s is charged %d for %d and %d tokens; want %d", r.ID, r.Charge, r.Tokens.Input, r.Tokens.Output, want)
		}
	}
	if charged == 0 {
		p.in.t.Error("nothing was charged")
	}
}

// chaosPrompt is the length of the prompt in the upstream's tokens.
var chaosPrompt = int64(len(sim.Pieces("Count for me, please.")))
