package anthropic_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/sim"
	"onemind/internal/llm/wire"
)

// server starts a scripted upstream on a real socket.
func server(t testing.TB, script sim.Script) (*sim.Server, llm.Target) {
	s := sim.New(sim.Options{Choose: func(*sim.Request) sim.Script { return script }})
	return s, serve(t, s)
}

func serve(t testing.TB, h http.Handler) llm.Target {
	up := httptest.NewServer(h)
	t.Cleanup(up.Close)
	return llm.Target{Provider: "p", BaseURL: up.URL + "/v1", Key: llm.NewKey("sk-ant-secret"), Upstream: "claude-sonnet-4-6", Cap: 1000, AllowPrivate: true,
		Timeouts: llm.Timeouts{Connect: 5 * time.Second, FirstToken: 10 * time.Second, Idle: 10 * time.Second}}
}

func client(t testing.TB) *anthropic.Client {
	w := wire.New(wire.Options{})
	t.Cleanup(func() { _ = w.Close() })
	return anthropic.New(w)
}

func request(stream bool, more string) *llm.Request {
	return &llm.Request{Body: []byte(`{"model":"asked","messages":[{"role":"user","content":"Hello there"}]` + more + `}`), Model: "asked", Stream: stream, N: 1}
}

// native is a request whose caller speaks this dialect.
func native(t testing.TB, stream bool, body string) *llm.Request {
	t.Helper()
	chat, _, err := anthropic.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return &llm.Request{Body: chat, Native: &llm.Native{Protocol: "anthropic", Body: []byte(body)}, Model: "asked", Stream: stream, N: 1}
}

// heard is what a caller of Stream got.
type heard struct {
	text, thought, finish string
	output, events        int
	usages, choices       int
	types                 []string
	data                  []string
}

func (h *heard) emit(e *llm.Event) error {
	h.text += e.Text()
	h.thought += e.Thought()
	h.output += e.Output
	h.choices += e.Choices
	h.events++
	if e.Usage {
		h.usages++
	}
	if e.Finish != "" {
		h.finish = e.Finish
	}
	h.types = append(h.types, e.Native)
	h.data = append(h.data, string(e.Data))
	return nil
}

func class(t *testing.T, err error) llm.Class {
	t.Helper()
	var f *llm.Failure
	if !errors.As(err, &f) {
		t.Fatalf("%v is no failure", err)
	}
	if strings.Contains(f.Error(), "sk-ant-secret") {
		t.Errorf("the key is in %q", f.Error())
	}
	return f.Class
}

// A call as it goes over a socket: what is sent, and what comes of it.
func TestStream(t *testing.T) {
	s, to := server(t, sim.Script{Text: "Hello to you.", Reasoning: "Hm, a greeting.", Calls: []sim.Call{{Name: "wave", Arguments: `{"hand":"left"}`}, {Name: "bow", Arguments: `{}`}}, Cached: 1})
	for _, stream := range []bool{true, false} {
		var h heard
		result, err := client(t).Stream(t.Context(), to, request(stream, `,"temperature":1.7`), h.emit)
		if err != nil {
			t.Fatal(err)
		}
		if stream && (h.text != "Hello to you." || h.thought != "Hm, a greeting." || h.finish != "tool_calls" || h.usages != 1 || result.Body != nil) {
			t.Errorf("%+v", h)
		}
		if !stream && !strings.Contains(string(result.Body), `"arguments":"{\"hand\":\"left\"}"`) {
			t.Errorf("%s", result.Body)
		}
		if u := result.Usage; u == nil || u.Input != 1 || u.CachedInput != 1 || u.Output == 0 || result.Finish != "tool_calls" {
			t.Errorf("%+v", result.Usage)
		}
		if len(result.Changes) != 1 || result.Changes[0] != (llm.Change{Name: "temperature", Asked: "1.7", Sent: "1", Rule: "clamp"}) {
			t.Errorf("%+v", result.Changes)
		}
		last := s.Last()
		if last.Header.Get("X-Api-Key") != "sk-ant-secret" || last.Header.Get("Anthropic-Version") != "2023-06-01" || last.Header.Get("Authorization") != "" || last.Header.Get("Anthropic-Beta") != "" {
			t.Errorf("%v", last.Header)
		}
		want := `{"model":"claude-sonnet-4-6","max_tokens":1000,"messages":[{"role":"user","content":[{"type":"text","text":"Hello there"}]}],"temperature":1}`
		if stream {
			want = strings.Replace(want, `,"messages"`, `,"stream":true,"messages"`, 1)
		}
		if got := string(last.Body); got != want {
			t.Error(got)
		}
	}
}

// A caller of this dialect gets the provider's own events, and the provider the
// caller's own body, but for what is ours.
func TestNative(t *testing.T) {
	s, to := server(t, sim.Script{Text: "Hello to you.", Reasoning: "Hm."})
	body := `{"model":"asked","max_tokens":50,"max_cost":1,"resumable":true,"stream":true,"top_k":5,"system":null,"messages":[{"role":"user","content":[{"type":"text","text":"Hi","cache_control":{"type":"ephemeral"}}]}]}`
	var h heard
	result, err := client(t).Stream(t.Context(), to, native(t, true, body), h.emit)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"model":"claude-sonnet-4-6","max_tokens":1000,"stream":true,"top_k":5,"messages":[{"role":"user","content":[{"type":"text","text":"Hi","cache_control":{"type":"ephemeral"}}]}]}`
	if got := string(s.Last().Body); got != want {
		t.Error(got)
	}
	if h.choices != 0 || h.text != "Hello to you." || h.thought != "Hm." || h.finish != "stop" || result.Usage == nil || len(result.Changes) != 0 {
		t.Errorf("%+v, %+v", h, result)
	}
	if got := strings.Join(h.types, " "); got != "message_start content_block_start content_block_delta content_block_delta content_block_delta content_block_stop content_block_start"+strings.Repeat(" content_block_delta", 4)+" content_block_stop message_delta message_stop" {
		t.Error(got)
	}
	result, err = client(t).Stream(t.Context(), to, native(t, false, strings.Replace(body, `"stream":true,`, "", 1)), nil)
	if err != nil || !result.Native || !strings.HasPrefix(string(result.Body), `{"content":[{"signature"`) || result.Usage == nil || result.Finish != "stop" {
		t.Errorf("%+v, %v", result, err)
	}
}

// What is put right in a native body, and said in the receipt.
func TestNativeChanges(t *testing.T) {
	const before, after = `{"model":"asked","max_tokens":50`, `,"messages":[{"role":"user","content":"x"}]}`
	for _, tt := range []struct {
		name, more, want string
		rules            llm.Rules
		cap              int64
		changes          []llm.Change
		field            string
	}{
		{name: "clamp", more: `,"temperature":0.9`, want: `,"temperature":0.5`, rules: llm.Rules{Clamp: map[string]llm.Range{"temperature": {Max: 0.5}}},
			changes: []llm.Change{{Name: "temperature", Asked: "0.9", Sent: "0.5", Rule: "clamp"}}},
		{name: "drop", more: `,"top_k":9`, rules: llm.Rules{Drop: []string{"top_k"}}, changes: []llm.Change{{Name: "top_k", Asked: "9", Rule: "drop"}}},
		{name: "refuse", more: `,"top_k":9`, rules: llm.Rules{Refuse: []string{"top_k"}}, field: "top_k"},
		{name: "set", rules: llm.Rules{Set: map[string]string{"service_tier": `"standard_only"`, "max_tokens": "9", "bad": "{"}}, want: `,"service_tier":"standard_only"`},
		{name: "set by the caller", more: `,"service_tier":"auto"`, rules: llm.Rules{Set: map[string]string{"service_tier": `"standard_only"`}}, want: `,"service_tier":"auto"`},
		{name: "budget fits", more: `,"thinking":{"type":"enabled","budget_tokens":4000}`, cap: 5000, want: `,"thinking":{"type":"enabled","budget_tokens":4000}`},
		{name: "budget above the cap", more: `,"thinking":{ "budget_tokens" : 8000 , "type":"enabled"}`, cap: 5000, want: `,"thinking":{ "budget_tokens" : 4000 , "type":"enabled"}`,
			changes: []llm.Change{{Name: "thinking", Asked: `{ "budget_tokens" : 8000 , "type":"enabled"}`, Sent: `{ "budget_tokens" : 4000 , "type":"enabled"}`, Rule: "hold"}}},
		{name: "no room to think", more: `,"thinking":{"type":"enabled","budget_tokens":2000}`, cap: 900,
			changes: []llm.Change{{Name: "thinking", Asked: `{"type":"enabled","budget_tokens":2000}`, Rule: "hold"}}},
		{name: "adaptive", more: `,"thinking":{"type":"adaptive"}`, cap: 9, want: `,"thinking":{"type":"adaptive"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cap == 0 {
				tt.cap = 50
			}
			to := llm.Target{Upstream: "claude-x", Cap: tt.cap, Rules: tt.rules}
			out, changes, err := anthropic.Passed(&to, native(t, true, before+tt.more+after))
			if tt.field != "" {
				var f *fault.Error
				if !errors.As(err, &f) || f.Field != tt.field || f.Code != "unsupported_parameter" {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(changes, tt.changes) {
				t.Errorf("%+v, %v", changes, err)
			}
			got, want := plain(t, out), plain(t, []byte(`{"model":"claude-x","stream":true,"max_tokens":`+strconv.FormatInt(tt.cap, 10)+tt.want+after))
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s", out)
			}
		})
	}
}

// Thinking of another engine, which our Encoder gave the caller, would be
// refused: nobody signed it.
func TestNativeWithThinkingOfOthers(t *testing.T) {
	body := `{"model":"a","max_tokens":5000,"thinking":{"type":"enabled","budget_tokens":2000},"messages":[{"role":"user","content":"x"},` +
		`{"role":"assistant","content":[{"type":"thinking","thinking":"of another","signature":""},{"type":"thinking","thinking":"own","signature":"c2ln"},{"type":"text","text":"\"thinking\""}]},{"content":"y","role":"user"}]}`
	to := llm.Target{Upstream: "claude-x", Cap: 5000}
	out, changes, err := anthropic.Passed(&to, native(t, false, body))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"model":"claude-x","max_tokens":5000,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"own","signature":"c2ln"},{"type":"text","text":"\"thinking\""}]},{"content":"y","role":"user"}]}`
	if string(out) != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
	if len(changes) != 2 || changes[0].Name != "messages[1].content[0]" || changes[1].Name != "thinking" {
		t.Errorf("%+v", changes)
	}
}

// Everything that goes wrong at a provider has its class.
func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script sim.Script
		stream bool
		class  llm.Class
	}{
		{"cut", sim.Script{Break: sim.Cut, After: 3}, true, llm.Broken},
		{"cut before anything", sim.Script{Break: sim.Cut}, true, llm.Broken},
		{"reset", sim.Script{Break: sim.Reset, After: 3}, true, llm.Broken},
		{"garbage", sim.Script{Break: sim.Garbage, After: 3}, true, llm.Broken},
		{"error in a stream", sim.Script{Break: sim.Fails, After: 3}, true, llm.Overloaded},
		{"error in a whole", sim.Script{Break: sim.Fails}, false, llm.Overloaded},
		{"no finish", sim.Script{NoFinish: true, NoDone: true}, true, llm.Broken},
		{"cut whole", sim.Script{Break: sim.Cut, After: 20}, false, llm.Broken},
		{"garbage whole", sim.Script{Break: sim.Garbage}, false, llm.Broken},
		{"429", sim.Script{Status: 429, Body: `{"type":"error","error":{"type":"rate_limit_error","message":"x"}}`}, true, llm.RateLimited},
		{"529", sim.Script{Status: 529}, true, llm.Overloaded},
		{"401", sim.Script{Status: 401, Body: `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key sk-ant-secret"}}`}, false, llm.BadKey},
		{"a stream instead of a whole", sim.Script{Type: "text/event-stream"}, false, llm.Broken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, to := server(t, tt.script)
			var h heard
			result, err := client(t).Stream(t.Context(), to, request(tt.stream, ""), h.emit)
			if got := class(t, err); got != tt.class {
				t.Errorf("%v, want %v", err, tt.class)
			}
			if result.Usage != nil {
				t.Errorf("half an answer says it used %+v", result.Usage)
			}
		})
	}
}

// What servers do that still is an answer.
func TestTolerance(t *testing.T) {
	for name, script := range map[string]sim.Script{
		"no message_stop": {NoDone: true}, "crlf": {CRLF: true}, "comments": {Comments: true}, "byte by byte": {WriteSize: 1},
		"whole instead of a stream": {Plain: true}, "several pieces an event": {PerEvent: 5}, "no usage": {Usage: sim.Never}, "usage late": {Usage: sim.ZeroFirst}, "no type": {Type: "text/plain"},
	} {
		t.Run(name, func(t *testing.T) {
			_, to := server(t, script)
			var h heard
			result, err := client(t).Stream(t.Context(), to, request(true, ""), h.emit)
			if err != nil || !strings.HasPrefix(h.text, "word0 word1") || !strings.HasSuffix(h.text, "word15") || h.finish != "stop" || result.Finish != "stop" {
				t.Errorf("%+v, %v", h, err)
			}
			if u := result.Usage; script.Usage == sim.Never && u != nil || script.Usage != sim.Never && (u == nil || u.Input != 2 || u.Output != 16) {
				t.Errorf("usage %+v", u)
			}
		})
	}
}

// A caller that leaves ends the provider's call.
func TestCallerGone(t *testing.T) {
	for _, own := range []bool{false, true} {
		s, to := server(t, sim.Script{Break: sim.Stall, After: 3})
		req := request(true, "")
		if own {
			req = native(t, true, `{"model":"a","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]}`)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := client(t).Stream(ctx, to, req, func(e *llm.Event) error {
			if len(e.Content) > 0 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		wait, done := context.WithTimeout(t.Context(), 10*time.Second)
		if err := s.Wait(wait, func(c sim.Counts) bool { return c.Cancelled == 1 && c.Open == 0 }); err != nil {
			t.Errorf("%+v", s.Counts())
		}
		done()
	}
}

// The error of emit ends the call and comes back.
func TestEmitError(t *testing.T) {
	_, to := server(t, sim.Script{})
	gone := errors.New("gone")
	if _, err := client(t).Stream(t.Context(), to, request(true, ""), func(*llm.Event) error { return gone }); !errors.Is(err, gone) {
		t.Error(err)
	}
}

// What cannot be sent is refused before anything is.
func TestRefusedUnsent(t *testing.T) {
	s, to := server(t, sim.Script{})
	_, err := client(t).Stream(t.Context(), to, request(true, `,"seed":1`), nil)
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Code != "unsupported_parameter" || f.Field != "seed" || f.Text != "'seed' is not supported by this model." {
		t.Errorf("%v", err)
	}
	if n := s.Counts().Calls; n != 0 {
		t.Errorf("%d calls", n)
	}
}

// Counting needs no cap, and everything else.
func TestParseCount(t *testing.T) {
	chat, _, err := anthropic.ParseCount([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[]}`))
	if err != nil || string(chat) != `{"messages":[{"role":"user","content":"x"}],"model":"m"}` {
		t.Errorf("%s, %v", chat, err)
	}
	if _, _, err := anthropic.ParseCount([]byte(`{"messages":[{"role":"user","content":"x"}]}`)); fault.From(err).Field != "model" {
		t.Error(err)
	}
}

// No rule is slipped past by spelling, and nothing is said twice.
func TestParseSpelling(t *testing.T) {
	const rest = `"model":"m","messages":[{"role":"user","content":"x"}]}`
	for body, field := range map[string]string{
		`{"max_tokens":5,"max_tokens":6,` + rest:                                "max_tokens",
		`{"max_tokens":5,"max_t\u006fkens":6,` + rest:                           "max_tokens",
		`{"MAX_TOKENS":5,` + rest:                                               "MAX_TOKENS",
		`{"max_tokens":5e3,` + rest:                                             "max_tokens",
		`{"max_tokens":"5",` + rest:                                             "max_tokens",
		`{"max_tokens":5,"system":"a\u0000b",` + rest:                           "system",
		`{"max_tokens":5,"tools":[{"type":"web_se\u0061rch_20250305"}],` + rest: "tools[0].type",
	} {
		_, _, err := anthropic.Parse([]byte(body))
		var f *fault.Error
		if !errors.As(err, &f) || f.Field != field {
			t.Errorf("%s: %v", body, err)
		}
	}
}
