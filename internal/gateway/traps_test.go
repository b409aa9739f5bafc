package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/fleet"
	"onemind/internal/gateway"
	"onemind/internal/llm"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/gemini"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/sim"
	"onemind/internal/money"
)

// These tests are named after what other gateways' users suffered from; the table
// is in docs/reliability.md.

// engines are one model for each protocol, with the same prices.
const engines = `
providers:
  - {id: p-openai, protocol: openai, base_url: "%[1]s/v1", api_keys: [sk-test-0123456789], allow_private_address: true, timeouts: {first_token: 5s, idle: 5s}}
  - {id: p-anthropic, protocol: anthropic, base_url: "%[1]s/v1", api_keys: [sk-test-0123456789], allow_private_address: true, timeouts: {first_token: 5s, idle: 5s}}
  - {id: p-gemini, protocol: gemini, base_url: "%[1]s/v1beta", api_keys: [sk-test-0123456789], allow_private_address: true, timeouts: {first_token: 5s, idle: 5s}}
models:
  - {id: openai, provider: p-openai, prices: {input: 1, cached_input: 0.1, output: 10}, context_window: 2000000, max_output_tokens: 1000000, capabilities: [streaming, tools]}
  - {id: anthropic, provider: p-anthropic, prices: {input: 1, cached_input: 0.1, output: 10}, context_window: 2000000, max_output_tokens: 1000000, capabilities: [streaming, tools]}
  - {id: gemini, provider: p-gemini, prices: {input: 1, cached_input: 0.1, output: 10}, context_window: 2000000, max_output_tokens: 1000000, capabilities: [streaming, tools]}
plans:
  - {id: default, requests_per_minute: 0, requests_per_minute_per_provider: 0, concurrent_answers: 0}
settings: {markup_percent: 30, signup_credits: 0}
`

// protocols are the ids of the models above.
var protocols = [...]string{"openai", "anthropic", "gemini"}

func newEngines(t *testing.T, script func(*sim.Request) sim.Script) *bench {
	t.Helper()
	b := benchOf(t, script, func(upstream string) string { return fmt.Sprintf(engines, upstream) })
	b.grant(t, "ann", 100*money.Dollar)
	return b
}

// everyEngine runs a test for each protocol, streamed and whole, over one upstream,
// and proves the books. id is the call's.
func everyEngine(t *testing.T, script func(*sim.Request) sim.Script, test func(t *testing.T, b *bench, id, model string, stream bool)) {
	t.Helper()
	b := newEngines(t, script)
	for _, model := range protocols {
		for _, stream := range []bool{true, false} {
			id := fmt.Sprintf("%s stream=%t", model, stream)
			t.Run(id, func(t *testing.T) { test(t, b, id, model, stream) })
		}
	}
	b.check(t)
}

// always is the script of every call.
func always(s sim.Script) func(*sim.Request) sim.Script {
	return func(*sim.Request) sim.Script { return s }
}

// native makes a call as its caller would in the model's own dialect.
func native(t *testing.T, id, model string, stream bool, most int) gateway.Call {
	t.Helper()
	c := call(t, id, "ann", model, stream, most)
	const question = "Hello there, how are you?"
	var chat, body []byte
	var only []string
	var err error
	switch model {
	case "openai":
		return c
	case "anthropic":
		body = fmt.Appendf(nil, `{"model":%q,"stream":%t,"max_tokens":%d,"messages":[{"role":"user","content":%q}]}`, model, stream, most, question)
		chat, only, err = anthropic.Parse(body)
	case "gemini":
		body = fmt.Appendf(nil, `{"contents":[{"role":"user","parts":[{"text":%q}]}],"generationConfig":{"maxOutputTokens":%d}}`, question, most)
		chat, only, err = gemini.Parse(model, stream, body)
	}
	if err != nil {
		t.Fatal(err)
	}
	in, err := openai.Parse(chat)
	if err != nil {
		t.Fatal(err)
	}
	in.Native = &llm.Native{Protocol: model, Body: body, Only: only}
	c.Request = &in.Request
	return c
}

// stream makes a call whose reader goes after some events with output; 0: it stays.
func (b *bench) stream(t *testing.T, c gateway.Call, leave int) (gateway.Answer, string, error) {
	t.Helper()
	return b.streamIn(t.Context(), t, c, leave)
}

func (b *bench) streamIn(ctx context.Context, t *testing.T, c gateway.Call, leave int) (gateway.Answer, string, error) {
	t.Helper()
	ticket, err := b.admit(t, c)
	if err != nil {
		t.Error(err)
		return gateway.Answer{}, "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var got bytes.Buffer
	said := 0
	answer, err := ticket.Stream(ctx, gateway.Reader{Event: func(ev *llm.Event) error {
		got.WriteString(ev.Text())
		if ev.Output > 0 {
			said++
		}
		if leave > 0 && said >= leave {
			cancel()
			return ctx.Err()
		}
		return nil
	}})
	return answer, got.String(), err
}

// question is what the test's calls ask, in the sim's tokens and, at most, in ours.
const question, questionMost = 7, 16

// 2: nobody is so rich that nothing is held for them.
func TestTrap02RichPeopleAreHeldToo(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{} })
	b.grant(t, "ann", 1_000_000*money.Dollar)
	ticket, err := b.admit(t, call(t, "a1", "ann", "plain", true, 1000))
	if err != nil {
		t.Fatal(err)
	}
	balance, err := b.ledger.Balance(t.Context(), "ann")
	if err != nil || balance.Held < 1000*10*money.Dollar/1e6*13/10 {
		t.Errorf("%s held, %v; want at least a thousand tokens' worth", balance.Held, err)
	}
	ticket.Cancel(t.Context())
	b.check(t)
}

// 3: a balance above zero is not enough: it has to cover the question and the cap.
func TestTrap03BalanceAboveZeroIsNotEnough(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{Pieces: 1000} })
	b.grant(t, "ann", money.Dollar/100) // a thousand output tokens cost $0.013
	if _, err := b.admit(t, call(t, "a1", "ann", "plain", true, 1000)); !errors.Is(err, credit.ErrShort) {
		t.Errorf("%v; want it refused", err)
	}
	if n := b.upstream.Counts().Calls; n != 0 {
		t.Errorf("the provider was called %d times", n)
	}
	b.check(t)
}

// panics is a dialect with a bug.
type panics struct{ after int }

func (p panics) Stream(_ context.Context, _ llm.Target, _ *llm.Request, emit func(*llm.Event) error) (llm.Result, error) {
	for range p.after {
		if err := emit(&llm.Event{Data: []byte(`{"choices":[{"delta":{"content":"word "}}]}`), Content: []byte("word "), Output: 5, Choices: 1}); err != nil {
			return llm.Result{}, err
		}
	}
	panic("a bug")
}

// 6: a bug in our own code costs nobody what was held for it.
func TestTrap06PanicKeepsNoHold(t *testing.T) {
	t.Parallel()
	for _, after := range []int{0, 5} {
		b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{} })
		b.registry["openai"] = panics{after}
		b.grant(t, "ann", money.Dollar)
		ticket, err := b.admit(t, call(t, "a1", "ann", "plain", true, 100))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ticket.Stream(t.Context(), deaf()); err == nil || fault.From(err).Kind != fault.Internal || !strings.Contains(err.Error(), "a bug") {
			t.Errorf("after %d events: %v", after, err)
		}
		r, err := b.ledger.Receipt(t.Context(), "ann", "a1")
		if err != nil || r.Charge != 0 != (after > 0) {
			t.Errorf("after %d events: %v, charged %s as %s", after, err, r.Charge, r.Outcome)
		}
		if n := b.engine.OpenAnswers(); n != 0 {
			t.Errorf("%d answers are open", n)
		}
		b.check(t)
	}
}

// 13: a place for an answer comes back however the answer ends.
func TestTrap13PlacesComeBack(t *testing.T) {
	t.Parallel()
	scripts := map[string]sim.Script{
		"good": {Pieces: 5}, "refused": {Status: 400}, "down": {Status: 503}, "cut": {Pieces: 50, Break: sim.Cut, After: 10},
		"fails": {Break: sim.Fails}, "endless": {Pieces: 500, IgnoreCap: true}, "empty": {Text: " ", Finish: "stop"},
	}
	now := ""
	b := newBench(t, func(*sim.Request) sim.Script { return scripts[now] })
	b.grant(t, "ann", money.Dollar)
	for i, name := range []string{"good", "refused", "down", "cut", "fails", "endless", "empty", "left", "left early", "cancelled", "short", "good"} {
		now = name
		if _, known := scripts[name]; !known {
			now = "endless"
		}
		for _, stream := range []bool{true, false} {
			c := call(t, fmt.Sprint(name, i, stream), "ann", "plain", stream, 50)
			c.Plan = catalog.Plan{ID: "one", ConcurrentAnswers: 1}
			switch name {
			case "short":
				c.User = "nobody"
				if _, err := b.admit(t, c); !errors.Is(err, credit.ErrShort) {
					t.Errorf("%v", err)
				}
				continue
			case "cancelled":
				ticket, err := b.admit(t, c)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				ticket.Cancel(t.Context())
				continue
			case "left early":
				ticket, err := b.admit(t, c)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				_, _ = ticket.Stream(ctx, deaf())
				continue
			}
			leave := 0
			if name == "left" {
				leave = 3
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // nobody waits here for a provider to recover
			_, _, _ = b.streamIn(ctx, t, c, leave)                                // fails if it is not admitted
			cancel()
		}
	}
	b.check(t)
}

// 19: the text of an error is no answer, and costs nothing, in whatever form it comes.
func TestTrap19ErrorsAreFree(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]sim.Script{
		"500":                  {Status: 500, Body: strings.Repeat("Something went wrong. ", 50)},
		"500 in HTML":          {Status: 500, Type: "text/html", Body: "<html><body>Bad gateway</body></html>"},
		"an error in a 200":    {Break: sim.Fails},
		"garbage in a 200":     {Break: sim.Garbage},
		"an error, no stream":  {Break: sim.Fails, Plain: true},
		"nothing":              {Break: sim.Cut},
		"a page where JSON is": {Status: 200, Type: "text/html", Body: "<html>Sign in to the WiFi</html>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everyEngine(t, always(script), func(t *testing.T, b *bench, id, model string, stream bool) {
				answer, text, err := b.stream(t, call(t, id, "ann", model, stream, 500), 0)
				if r := answer.Receipt; err == nil || r.Charge != 0 || r.Outcome != credit.Failed || text != "" {
					t.Errorf("%v, charged %s as %s, said %q", err, r.Charge, r.Outcome, text)
				}
			})
		})
	}
}

// 24: nothing is asked again, and nobody else, once an answer has begun.
func TestTrap24NoRetryBehindTheFirstWord(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]sim.Script{
		"cut": {Pieces: 50, Break: sim.Cut, After: 20}, "error": {Pieces: 50, Break: sim.Fails, After: 20}, "garbage": {Pieces: 50, Break: sim.Garbage, After: 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newEngines(t, always(script))
			for i, model := range protocols {
				c := call(t, model, "ann", model, true, 100)
				c.Substitutes = protocols[:]
				answer, text, err := b.stream(t, c, 0)
				r := answer.Receipt
				if err == nil || r.Outcome != credit.Midway || len(r.Attempts) != 1 || r.ServedBy != model || b.upstream.Counts().Calls != i+1 {
					t.Errorf("%s: %v, %s by %s, attempts %+v", model, err, r.Outcome, r.ServedBy, r.Attempts)
				}
				if n := strings.Count(text, "word"); n < 17 || n > 20 || strings.Count(text, "word0 ") != 1 {
					t.Errorf("%s: said %q", model, text)
				}
			}
			b.check(t)
		})
	}
}

// The operator's keys are the operator's business: nobody is told to get one, and
// nothing of the provider's own words is shown.
func TestTrapKeyRefusedIsNotTheUsersFault(t *testing.T) {
	t.Parallel()
	for status, class := range map[int]string{401: "provider_key_refused", 402: "provider_quota", 403: "provider_key_refused", 404: "provider_wrong_address"} {
		script := sim.Script{Status: status, Body: `{"error":{"message":"Incorrect API key sk-test-0123456789: get yours at https://example.com/keys, organisation org-secret"}}`}
		everyEngine(t, always(script), func(t *testing.T, b *bench, id, model string, stream bool) {
			answer, _, err := b.stream(t, call(t, id, "ann", model, stream, 500), 0)
			var f *fault.Error
			if !errors.As(err, &f) || f.Kind != fault.Unavailable || f.Code != class || answer.Receipt.Charge != 0 {
				t.Fatalf("%d: %v, charged %s", status, err, answer.Receipt.Charge)
			}
			if n := len(answer.Receipt.Attempts); n > 1 { // no second time; none at all while the key rests
				t.Errorf("%d: tried %d times", status, n)
			}
			if !slices.ContainsFunc(b.engine.Alerts(), func(a fleet.Alert) bool {
				return a.Code == class && a.Severity == "error" && strings.Contains(a.Detail, "organisation org-secret")
			}) {
				t.Errorf("%d: the operator is told %+v", status, b.engine.Alerts())
			}
			for _, hidden := range []string{"example.com", "org-secret", "sk-test"} {
				if strings.Contains(f.Text, hidden) {
					t.Errorf("%d: told %q", status, f.Text)
				}
			}
		})
	}
}

// 10: an answer is ended at its cap also when it is long, whatever the provider does.
func TestTrap10LongAnswersAreCutToo(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("streams some hundred thousand tokens")
	}
	const most = 150_000
	b := newEngines(t, func(*sim.Request) sim.Script {
		return sim.Script{Text: strings.Repeat("apple ", 6*most), PerEvent: 5, IgnoreCap: true, Usage: sim.Never}
	})
	answer, text, err := b.stream(t, call(t, "a1", "ann", "openai", true, most), 0)
	said := int64(strings.Count(text, "apple"))
	if r := answer.Receipt; err != nil || !answer.Capped || r.Outcome != credit.Length || r.Tokens.Output != most || said > 4*most {
		t.Errorf("%v, capped %t as %s at %d tokens; %d were delivered", err, answer.Capped, r.Outcome, r.Tokens.Output, said)
	}
	b.check(t)
}

// 5: what answers put out together is counted, however many run at once: the calls
// after them wait.
func TestTrap05ParallelCallsCountTheirTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(*sim.Request) sim.Script { return sim.Script{Pieces: 50} })
	b.grant(t, "ann", money.Dollar)
	plan := catalog.Plan{ID: "few", TokensPerMinute: 120, ConcurrentAnswers: 3}
	var work sync.WaitGroup
	var mu sync.Mutex
	answered := 0
	for i := range 60 {
		c := call(t, fmt.Sprint("t", i), "ann", "plain", true, 50)
		c.Plan = plan
		work.Go(func() {
			ticket, err := b.admit(t, c)
			if err != nil {
				if !fault.Is(err, fault.Limited) {
					t.Error(err)
				}
				return
			}
			if _, err := ticket.Stream(t.Context(), deaf()); err != nil {
				t.Error(err)
			}
			mu.Lock()
			answered++
			mu.Unlock()
		})
	}
	work.Wait()
	if answered == 0 || answered > 6 {
		t.Errorf("%d answers of 50 tokens where 120 a minute are allowed", answered)
	}
	b.check(t)
}
