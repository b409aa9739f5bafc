package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/gateway"
	"onemind/internal/llm"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/count"
	"onemind/internal/llm/gemini"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/sim"
	"onemind/internal/llm/wire"
	"onemind/internal/memory"
	"onemind/internal/money"
	"onemind/internal/secret"
	"onemind/internal/sqlite"
	"onemind/internal/upstream"
)

// bench is a whole gateway over a real database and a real, scripted upstream.
type bench struct {
	engine   *gateway.Engine
	ledger   *credit.Ledger
	upstream *sim.Server
	db       *sqlite.DB
	registry llm.Registry
	calls    *wire.Client
}

// models of the test catalog: the price of "dear" is ten times that of "plain".
const models = `
providers:
  - {id: up, protocol: openai, base_url: %q, api_keys: [sk-test-0123456789], allow_private_address: true, timeouts: {first_token: 5s, idle: 5s}}
models:
  - {id: plain, provider: up, prices: {input: 1, output: 10}, context_window: 100000, max_output_tokens: 1000, capabilities: [streaming, tools]}
  - {id: dear, provider: up, prices: {input: 10, output: 100}, context_window: 100000, max_output_tokens: 1000}
plans:
  - {id: default, requests_per_minute: 0, requests_per_minute_per_provider: 0, concurrent_answers: 0}
  - {id: tight, requests_per_minute: 2, requests_per_minute_per_provider: 0, concurrent_answers: 1}
settings: {markup_percent: 30, signup_credits: 0}
`

func newBench(t *testing.T, script func(*sim.Request) sim.Script) *bench {
	t.Helper()
	return benchOf(t, script, func(upstream string) string { return fmt.Sprintf(models, upstream+"/v1") })
}

// benchOf makes a bench with a catalog of the test's own.
func benchOf(t *testing.T, script func(*sim.Request) sim.Script, written func(upstream string) string) *bench {
	t.Helper()
	ctx := t.Context()
	db, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "onemind.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	upstream := sim.New(sim.Options{Choose: script})
	server := httptest.NewServer(upstream)
	t.Cleanup(server.Close)
	box, err := secret.New(secret.Generate())
	if err != nil {
		t.Fatal(err)
	}
	c := catalog.New(catalog.Config{Store: db.Catalog(), Sealer: box})
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	file, err := catalog.ParseYAML("test.yaml", []byte(written(server.URL)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Edit(ctx, catalog.Editor{Actor: "test"}, 0, func(d *catalog.Draft) error { return file.Apply(d, false) }); err != nil {
		t.Fatal(err)
	}
	ledger := credit.NewLedger(db, nil, func(string) {})
	calls := wire.New(wire.Options{})
	registry := llm.Registry{"openai": openai.New(calls), "anthropic": anthropic.New(calls), "gemini": gemini.New(calls)}
	engine := gateway.New(c, memory.NewLimiter(), ledger, registry,
		gateway.Options{Owner: "boot", Counter: count.New(), Replies: memory.NewReplies(memory.RepliesSize)})
	return &bench{engine, ledger, upstream, db, registry, calls}
}

func (b *bench) grant(t *testing.T, user string, amount money.Amount) {
	t.Helper()
	if _, err := b.ledger.Grant(t.Context(), credit.Entry{User: user, Kind: credit.Grant, Amount: amount, Ref: "g" + user, Reason: "test", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) check(t *testing.T) {
	t.Helper()
	r, err := b.ledger.Check(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK || r.OpenHolds != 0 {
		t.Errorf("the books: ok %t, %d open holds, %v", r.OK, r.OpenHolds, r.Problems)
	}
}

func call(t *testing.T, id, user, model string, stream bool, most int) gateway.Call {
	t.Helper()
	body := fmt.Sprintf(`{"model":%q,"stream":%t,"max_tokens":%d,"messages":[{"role":"user","content":"Hello there, how are you?"}]}`, model, stream, most)
	if most == 0 {
		body = fmt.Sprintf(`{"model":%q,"stream":%t,"messages":[{"role":"user","content":"Hello there, how are you?"}]}`, model, stream)
	}
	in, err := openai.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return gateway.Call{ID: id, RequestID: "req-" + id, User: user, Model: model, Request: &in.Request}
}

func (b *bench) admit(t *testing.T, c gateway.Call) (*gateway.Ticket, error) {
	t.Helper()
	adm, err := b.engine.Admit(t.Context(), c)
	if err != nil {
		return nil, err
	}
	if len(adm.Refused) > 0 {
		return nil, adm.Refused[0].Err
	}
	return adm.Tickets[0], nil
}

// TestOutcomes is the table of product.md section 3: what each way an answer can
// end costs.
func TestOutcomes(t *testing.T) {
	type want struct {
		outcome   credit.Outcome
		free      bool
		estimated bool
		failed    bool
		output    int64 // tokens charged; -1: some, but fewer than the cap
	}
	for _, tt := range []struct {
		name   string
		script sim.Script
		most   int
		leave  int // events after which the reader goes; 0 stays
		whole  bool
		want   want
	}{
		{"finished, provider's usage", sim.Script{Pieces: 20}, 100, 0, false, want{outcome: credit.Finished, output: 20}},
		{"finished, not streamed", sim.Script{Pieces: 20}, 100, 0, true, want{outcome: credit.Finished, output: 20}},
		{"finished, our count", sim.Script{Pieces: 20, Usage: sim.Never}, 100, 0, false, want{outcome: credit.Finished, estimated: true, output: -1}},
		{"not streamed, our count", sim.Script{Pieces: 20, Usage: sim.Never}, 100, 0, true, want{outcome: credit.Finished, estimated: true, output: -1}},
		{"at its cap", sim.Script{Pieces: 200}, 50, 0, false, want{outcome: credit.Length, output: 50}},
		{"past its cap", sim.Script{Pieces: 500, IgnoreCap: true}, 50, 0, false, want{outcome: credit.Length, estimated: true, output: 50}},
		{"reader gone midway", sim.Script{Pieces: 400, PieceDelay: time.Millisecond}, 500, 10, false, want{outcome: credit.Stopped, estimated: true, failed: true, output: -1}},
		{"refused", sim.Script{Status: 400}, 100, 0, false, want{outcome: credit.Failed, free: true, failed: true}},
		{"failed before content", sim.Script{Status: 500}, 100, 0, false, want{outcome: credit.Failed, free: true, failed: true}},
		{"cut midway", sim.Script{Pieces: 50, Break: sim.Cut, After: 10}, 100, 0, false, want{outcome: credit.Midway, estimated: true, failed: true, output: -1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(*sim.Request) sim.Script { return tt.script })
			b.grant(t, "ann", money.Dollar)
			ticket, err := b.admit(t, call(t, "a1", "ann", "plain", !tt.whole, tt.most))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			events := 0
			answer, err := ticket.Stream(ctx, gateway.Reader{Event: func(*llm.Event) error {
				if events++; tt.leave > 0 && events == tt.leave {
					cancel()
					return ctx.Err()
				}
				return nil
			}})
			if (err != nil) != tt.want.failed {
				t.Errorf("error %v, want one: %t", err, tt.want.failed)
			}
			r := answer.Receipt
			if r.Outcome != tt.want.outcome || r.Estimated != tt.want.estimated {
				t.Errorf("outcome %s, estimated %t; want %s, %t", r.Outcome, r.Estimated, tt.want.outcome, tt.want.estimated)
			}
			switch {
			case tt.want.free && r.Charge != 0:
				t.Errorf("charged %s, want nothing", r.Charge)
			case !tt.want.free && (r.Charge <= 0 || r.Charge > r.Hold):
				t.Errorf("charged %s of a hold of %s", r.Charge, r.Hold)
			case tt.want.output > 0 && r.Tokens.Output != tt.want.output, tt.want.output < 0 && (r.Tokens.Output <= 0 || r.Tokens.Output >= int64(tt.most)):
				t.Errorf("%d output tokens, want %d", r.Tokens.Output, tt.want.output)
			}
			balance, err := b.ledger.Balance(t.Context(), "ann")
			if err != nil || balance.Total != money.Dollar-r.Charge || balance.Held != 0 {
				t.Errorf("balance %+v, %v after a charge of %s", balance, err, r.Charge)
			}
			b.check(t)
		})
	}
}

// TestTenOfAThousand: however many calls race on a balance worth ten, ten are admitted.
func TestTenOfAThousand(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{Pieces: 100} })
	b.grant(t, "probe", money.Dollar)
	probe, err := b.admit(t, call(t, "probe", "probe", "plain", true, 100))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := probe.Stream(t.Context(), deaf())
	if err != nil {
		t.Fatal(err)
	}
	b.grant(t, "ann", 10*answer.Receipt.Hold)
	var mu sync.Mutex
	var tickets []*gateway.Ticket
	short := 0
	var racers sync.WaitGroup
	for i := range 1000 {
		c := call(t, fmt.Sprint("a", i), "ann", "plain", true, 100)
		racers.Go(func() {
			ticket, err := b.admit(t, c)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				tickets = append(tickets, ticket)
			case errors.Is(err, credit.ErrShort):
				short++
			default:
				t.Error(err)
			}
		})
	}
	racers.Wait()
	if len(tickets) != 10 || short != 990 {
		t.Fatalf("%d admitted, %d refused; want 10 and 990", len(tickets), short)
	}
	for _, ticket := range tickets {
		ticket.Cancel(t.Context())
	}
	b.check(t)
}

// TestUncappedTakesWhatTheBalanceAffords: a request without a cap is not refused
// because the model could write more than the balance pays for.
func TestUncappedTakesWhatTheBalanceAffords(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{Pieces: 2000, IgnoreCap: false} })
	b.grant(t, "ann", 5*money.Dollar/1000) // about 380 output tokens at $13 a million
	ticket, err := b.admit(t, call(t, "a1", "ann", "plain", true, 0))
	if err != nil {
		t.Fatal(err)
	}
	if ticket.Cap() < 256 || ticket.Cap() >= 1000 {
		t.Errorf("cap %d, want what half a credit affords", ticket.Cap())
	}
	answer, err := ticket.Stream(t.Context(), deaf())
	if err != nil || answer.Receipt.Outcome != credit.Length {
		t.Errorf("outcome %s, %v; want length", answer.Receipt.Outcome, err)
	}
	b.check(t)
}

// TestFallbackCostsTheCheaper: an answer served by a dearer model costs what was
// asked for, and the receipt says how it came about.
func TestFallbackCostsTheCheaper(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(r *sim.Request) sim.Script {
		if r.Model == "plain" {
			return sim.Script{Status: 503}
		}
		return sim.Script{Pieces: 10}
	})
	b.grant(t, "ann", money.Dollar)
	c := call(t, "a1", "ann", "plain", true, 100)
	c.Substitutes = []string{"dear"}
	ticket, err := b.admit(t, c)
	if err != nil {
		t.Fatal(err)
	}
	var told []gateway.Notice
	reader := deaf()
	reader.Notice = func(n gateway.Notice) { told = append(told, n) }
	answer, err := ticket.Stream(t.Context(), reader)
	if err != nil {
		t.Fatal(err)
	}
	r := answer.Receipt
	if want, _ := money.Charge(money.Rates{Input: money.Dollar, CachedInput: money.Dollar, Output: 10 * money.Dollar, Reasoning: 10 * money.Dollar}, r.Tokens, 3000); r.Charge != want || r.Model != "plain" || r.ServedBy != "dear" {
		t.Errorf("charged %s for %s served by %s; want %s", r.Charge, r.Model, r.ServedBy, want)
	}
	if n := len(r.Attempts); n < 2 || r.Attempts[0].Outcome != "provider_overloaded" || r.Attempts[0].Status != 503 || r.Attempts[n-1].Outcome != "ok" || r.Attempts[n-1].Model != "dear" {
		t.Errorf("attempts %+v", r.Attempts)
	}
	if n := len(told); n == 0 || told[n-1].Kind != upstream.Substituted || told[n-1].Model != "dear" || told[n-1].Code != "provider_overloaded" {
		t.Errorf("notices %+v", told)
	}
	b.check(t)
}

// TestSubstitutesThatCannot: a name that is not known is an error; what cannot
// take the call is left out, and an empty list allows none.
func TestSubstitutesThatCannot(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(r *sim.Request) sim.Script { return sim.Script{Status: 503} })
	b.grant(t, "ann", money.Dollar)
	c := call(t, "a1", "ann", "plain", true, 100)
	c.Substitutes = []string{"nothing"}
	if _, err := b.admit(t, c); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown substitute: %v", err)
	}
	c = call(t, "a2", "ann", "plain", true, 100)
	c.Substitutes = []string{}
	ticket, err := b.admit(t, c)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := ticket.Stream(t.Context(), deaf())
	if !fault.Is(err, fault.Unavailable) || answer.Receipt.Charge != 0 {
		t.Errorf("charged %s, %v", answer.Receipt.Charge, err)
	}
	for _, a := range answer.Receipt.Attempts {
		if a.Model != "plain" {
			t.Errorf("tried %s, which nobody allowed", a.Model)
		}
	}
	b.check(t)
}

// TestContextIsCheckedBeforeTheCall: more than the model can read is refused with numbers.
func TestContextIsCheckedBeforeTheCall(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{} })
	b.grant(t, "ann", 1000*money.Dollar)
	body := fmt.Sprintf(`{"model":"plain","messages":[{"role":"user","content":%q}]}`, strings.Repeat("one two three ", 50_000))
	in, err := openai.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.admit(t, gateway.Call{ID: "a1", User: "ann", Model: "plain", Request: &in.Request})
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != "context_length_exceeded" || !strings.Contains(f.Text, "150") {
		t.Errorf("%v", err)
	}
	if n := b.upstream.Counts().Calls; n != 0 {
		t.Errorf("the provider was called %d times", n)
	}
	b.check(t)
}

// TestMembersOfOneDialectOnly: what only the caller's own dialect can carry is
// refused by name elsewhere.
func TestMembersOfOneDialectOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{} })
	b.grant(t, "ann", money.Dollar)
	c := call(t, "a1", "ann", "plain", true, 100)
	c.Request.Native = &llm.Native{Protocol: "anthropic", Only: []string{"top_k"}}
	_, err := b.admit(t, c)
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != "unsupported_parameter" || f.Field != "top_k" {
		t.Errorf("%v", err)
	}
}

// deaf reads an answer and keeps nothing of it.
func deaf() gateway.Reader { return gateway.Reader{Event: func(*llm.Event) error { return nil }} }

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{} })
	b.grant(t, "ann", money.Dollar)
	tight := catalog.Plan{ID: "tight", RequestsPerMinute: 2, ConcurrentAnswers: 1}
	with := func(id, model string, change func(*gateway.Call)) gateway.Call {
		c := call(t, id, "ann", model, true, 10)
		change(&c)
		return c
	}
	for _, tt := range []struct {
		name string
		call gateway.Call
		kind fault.Kind
	}{
		{"unknown model", with("u1", "nothing", func(*gateway.Call) {}), fault.NotFound},
		{"not in the plan", with("u2", "plain", func(c *gateway.Call) { c.Plan.Models = []string{"dear"} }), fault.Forbidden},
		{"cannot do images", with("u3", "plain", func(c *gateway.Call) { c.Request.Needs = llm.Vision }), fault.Invalid},
		{"no credits", with("u5", "plain", func(c *gateway.Call) { c.User = "nobody" }), fault.Short},
		{"bound below the question", with("u6", "plain", func(c *gateway.Call) { c.MaxCost = 1 }), fault.Unprocessable},
	} {
		if _, err := b.admit(t, tt.call); !fault.Is(err, tt.kind) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	first, err := b.admit(t, with("t1", "plain", func(c *gateway.Call) { c.Plan = tight }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.admit(t, with("t2", "plain", func(c *gateway.Call) { c.Plan = tight })); !fault.Is(err, fault.Limited) || fault.From(err).Code != "too_many_answers" {
		t.Errorf("a second answer at once: %v", err)
	}
	first.Cancel(t.Context())
	second, err := b.admit(t, with("t3", "plain", func(c *gateway.Call) { c.Plan = tight }))
	if err != nil {
		t.Fatalf("the refused request took something: %v", err)
	}
	second.Cancel(t.Context())
	if _, err := b.admit(t, with("t4", "plain", func(c *gateway.Call) { c.Plan = tight })); !fault.Is(err, fault.Limited) || fault.From(err).Code != "rate_limited" {
		t.Errorf("a third request in a minute: %v", err)
	}
	b.check(t)
}

// TestTokensPerMinute: what answers put out counts against the next call.
func TestTokensPerMinute(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{Pieces: 50} })
	b.grant(t, "ann", money.Dollar)
	plan := catalog.Plan{ID: "few", TokensPerMinute: 120}
	try := func(id string) error {
		c := call(t, id, "ann", "plain", true, 50)
		c.Plan = plan
		ticket, err := b.admit(t, c)
		if err != nil {
			return err
		}
		_, err = ticket.Stream(t.Context(), deaf())
		return err
	}
	answered := 0
	var err error
	for err == nil && answered < 10 {
		if err = try(fmt.Sprint("t", answered)); err == nil {
			answered++
		}
	}
	if f := fault.From(err); err == nil || f.Code != "rate_limited" || f.Field != "tokens" || answered < 1 || answered > 3 {
		t.Errorf("%d answers of 50 tokens, then %v", answered, err)
	}
	b.check(t)
}

// TestAbandoned: another instance settles what a dead one left, from what it delivered.
func TestAbandoned(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{} })
	b.grant(t, "ann", money.Dollar)
	for _, id := range []string{"some", "none"} {
		if _, err := b.admit(t, call(t, id, "ann", "plain", true, 100)); err != nil {
			t.Fatal(err)
		}
	}
	other := gateway.New(nil, nil, b.ledger, nil, gateway.Options{Owner: "other"})
	delivered := func(_ context.Context, h credit.Hold) (int64, error) { return map[string]int64{"some": 7}[h.Ref], nil }
	n, err := other.Abandoned(t.Context(), time.Now().Add(time.Minute), func(string) bool { return false }, delivered)
	if err != nil || n != 2 {
		t.Fatalf("%d settled, %v", n, err)
	}
	for id, free := range map[string]bool{"some": false, "none": true} {
		r, err := b.ledger.Receipt(t.Context(), "ann", id)
		if err != nil || r.Outcome != credit.Interrupted || (r.Charge == 0) != free {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
	}
	b.check(t)
}
