package anthropic_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"onemind/internal/llm"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/wire"
)

// pieces answers with a body that comes in several reads, without a network.
type pieces struct {
	status int
	kind   string
	parts  [][]byte
}

func (p pieces) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	parts := p.parts
	return &http.Response{StatusCode: p.status, Header: http.Header{"Content-Type": {p.kind}, "Retry-After": {"7"}}, ContentLength: -1,
		Body: io.NopCloser(readerFunc(func(b []byte) (int, error) {
			for len(parts) > 0 && len(parts[0]) == 0 {
				parts = parts[1:]
			}
			if len(parts) == 0 {
				return 0, io.EOF
			}
			n := copy(b, parts[0])
			parts[0] = parts[0][n:]
			return n, nil
		}))}, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// gathered is what a caller of the neutral form puts together.
type gathered struct {
	text, thought     string
	calls             []called
	blocks            []map[string]string
	finish            string
	usage             map[string]any
	metered, thoughts string // the same, by the events' own fields
	output            int
	id, model         string
	role              string
	raw               string // the events as they came, but for the time in them
}

type called struct{ id, name, arguments string }

// neutralChunk is a chunk, or a whole answer, of the neutral form.
type neutralChunk struct {
	ID, Object, Model string
	Created           int64
	Choices           []struct {
		Index        *int
		Delta        *neutralMessage
		Message      *neutralMessage
		FinishReason *string `json:"finish_reason"`
	}
	Usage map[string]any
}

type neutralMessage struct {
	Role             string
	Content          *string
	Refusal          *string
	ReasoningContent string              `json:"reasoning_content"`
	ThinkingBlocks   []map[string]string `json:"thinking_blocks"`
	ToolCalls        []struct {
		Index    *int
		ID, Type string
		Function struct{ Name, Arguments string }
	} `json:"tool_calls"`
}

func (g *gathered) add(t testing.TB, data []byte) {
	t.Helper()
	var c neutralChunk
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	g.id, g.model = c.ID, c.Model
	if c.Created == 0 || c.ID == "" || c.Object == "" {
		t.Fatalf("%s: a member is missing", data)
	}
	if c.Usage != nil {
		g.usage = c.Usage
	}
	for _, choice := range c.Choices {
		if choice.Index == nil {
			t.Fatalf("%s: no index", data)
		}
		m := choice.Delta
		if m == nil {
			m = choice.Message
		}
		if choice.FinishReason != nil {
			g.finish += *choice.FinishReason
		}
		g.message(m)
	}
}

func (g *gathered) message(m *neutralMessage) {
	if m.Role != "" {
		g.role = m.Role
	}
	if m.Content != nil {
		g.text += *m.Content
	}
	g.thought += m.ReasoningContent
	g.blocks = append(g.blocks, m.ThinkingBlocks...)
	for i, c := range m.ToolCalls {
		n := i
		if c.Index != nil {
			n = *c.Index
		}
		for len(g.calls) <= n {
			g.calls = append(g.calls, called{})
		}
		to := &g.calls[n]
		to.id, to.name, to.arguments = to.id+c.ID, to.name+c.Function.Name, to.arguments+c.Function.Arguments
	}
}

type wanted struct {
	text, thought, finish string
	usage                 *llm.Usage
	calls                 []called
	blocks                []map[string]string
	class                 llm.Class
	fails                 bool
}

func streams() map[string]wanted {
	usual := &llm.Usage{Input: 25, Output: 15}
	signed := func(text, signature string) map[string]string {
		return map[string]string{"type": "thinking", "thinking": text, "signature": signature}
	}
	sum := "Let me solve\n\n1. 27 * 400 = 10,800"
	sumSigned := []map[string]string{signed(sum, "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk=")}
	sumUsage := &llm.Usage{Input: 60, Output: 30, Reasoning: 90}
	return map[string]wanted{
		"text": {text: "Hello! Grüße 😀", finish: "stop", usage: usual},
		"tool": {text: "Okay, let's check", finish: "tool_calls", usage: &llm.Usage{Input: 472, Output: 89},
			calls: []called{{"toolu_01T1x1fJ34qAmk2tNTrN7Up6", "get_weather", `{"location": "San Francisco, CA", "unit": "fahrenheit"}`}}},
		"tools_parallel": {finish: "tool_calls", usage: &llm.Usage{Input: 25, Output: 91},
			calls: []called{{"toolu_01A", "get_weather", `{"location":"Paris"}`}, {"toolu_01B", "get_time", `{"zone":"Europe/Paris"}`}}},
		"tool_without_input": {finish: "tool_calls", usage: &llm.Usage{Input: 25, Output: 20}, calls: []called{{"toolu_01C", "get_time", `{}`}}},
		"tool_input_at_once": {finish: "tool_calls", usage: &llm.Usage{Input: 25, Output: 20}, calls: []called{{"call_0_9f", "get_weather", `{"location":"Köln"}`}}},
		"thinking":           {text: "27 * 453 = 12,231", thought: sum, finish: "stop", usage: sumUsage, blocks: sumSigned},
		"thinking_redacted": {text: "Yes.", thought: "Hm.", finish: "stop", usage: usual,
			blocks: []map[string]string{{"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFBa8cr3qpP"}, signed("Hm.", "c2ln")}},
		"thinking_omitted": {text: "12,231", finish: "stop", usage: usual, blocks: []map[string]string{signed("", "EosnCkYICxIMMb3LzNrMu")}},
		"thinking_between_tools": {thought: "First.Then.", finish: "tool_calls", usage: usual, blocks: []map[string]string{signed("First.", "c2lnMQ=="), signed("Then.", "c2lnMg==")},
			calls: []called{{"toolu_1", "a", "{}"}, {"toolu_2", "b", `{"x":1}`}}},
		"cache":                  {text: "Cached.", finish: "stop", usage: &llm.Usage{Input: 21, CacheWrite: 188086, CachedInput: 1024, Output: 397}},
		"usage_repeated":         {text: "x", finish: "stop", usage: &llm.Usage{Input: 10, CachedInput: 2000, Output: 7}},
		"usage_grows":            {text: "x", finish: "stop", usage: &llm.Usage{Input: 310, CacheWrite: 5, Output: 44}},
		"usage_at_start_only":    {text: "x", finish: "stop", usage: &llm.Usage{Input: 9, Output: 12}},
		"usage_late":             {text: "x", finish: "stop", usage: &llm.Usage{Input: 31, CachedInput: 64, Output: 5}},
		"usage_zero_input_later": {text: "x", finish: "stop", usage: &llm.Usage{Input: 31, CachedInput: 7, Output: 5}},
		"usage_never":            {text: "x", finish: "stop"},
		"web_search":             {text: "I'll check.Sunny.", finish: "stop", usage: &llm.Usage{Input: 10682, Output: 510}},
		"max_tokens":             {text: "Once upon", finish: "length", usage: &llm.Usage{Input: 25, Output: 2}},
		"context_window":         {text: "Once", finish: "length", usage: &llm.Usage{Input: 25, Output: 1}},
		"refusal":                {text: "I", finish: "content_filter", usage: &llm.Usage{Input: 25, Output: 1}},
		"pause_turn":             {text: "Searching", finish: "stop", usage: usual},
		"stop_sequence":          {text: "one two", finish: "stop", usage: &llm.Usage{Input: 25, Output: 2}},
		"unknown":                {text: "Hi", finish: "stop", usage: &llm.Usage{Input: 25, Output: 3}},
		"unknown_stop_reason":    {text: "x", finish: "stop", usage: usual},
		"text_in_start":          {text: "Hello", finish: "stop", usage: usual},
		"delta_twice":            {text: "x", finish: "stop", usage: &llm.Usage{Input: 25, Output: 4}},
		"error_overloaded":       {text: "Hel", fails: true, class: llm.Overloaded},
		"error_first":            {fails: true, class: llm.Broken},
		"error_rate":             {fails: true, class: llm.RateLimited},
		"error_untyped":          {fails: true, class: llm.NoQuota},
		"no_event_lines":         {text: "Hello! Grüße 😀", finish: "stop", usage: usual},
		"crlf":                   {text: "27 * 453 = 12,231", thought: sum, finish: "stop", usage: sumUsage, blocks: sumSigned},
		"cut_after_delta":        {text: "Hi", finish: "stop", usage: usual},
		"cut_midway":             {text: "Hel", fails: true, class: llm.Broken},
		"cut_before_stop_reason": {text: "Hello", fails: true, class: llm.Broken},
		"surrogates":             {text: "a😀\n\"b\"", finish: "stop", usage: usual},
		"no_message_start":       {text: "Hi", finish: "stop", usage: &llm.Usage{Input: 4, Output: 1}},
		"empty":                  {finish: "stop", usage: &llm.Usage{Input: 500, Output: 2}},
		"done_line":              {text: "Hi", finish: "stop", usage: usual},
		"type_last":              {text: "Hi", finish: "stop", usage: usual},
		"garbage":                {text: "Hi", fails: true, class: llm.Broken},
	}
}

func fixtures(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("testdata", dir, "*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("%v, %d fixtures", err, len(found))
	}
	all := map[string][]byte{}
	for _, path := range found {
		data, err := os.ReadFile(path) //nolint:gosec // a fixture
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		all[name] = data
	}
	return all
}

// play runs a call whose answer comes in parts, and puts its events together.
func play(t testing.TB, kind string, req *llm.Request, parts ...[]byte) (gathered, llm.Result, error) {
	t.Helper()
	return run(t, kind, req, func(g *gathered, e *llm.Event) {
		if e.Native == "" {
			g.add(t, e.Data)
		} else if !json.Valid(e.Data) || e.Choices != 0 {
			t.Fatalf("%s: %d choices", e.Data, e.Choices)
		}
	}, parts...)
}

func run(t testing.TB, kind string, req *llm.Request, look func(*gathered, *llm.Event), parts ...[]byte) (gathered, llm.Result, error) {
	t.Helper()
	w := wire.New(wire.Options{Transport: pieces{200, kind, parts}})
	to := llm.Target{BaseURL: "http://fixture/v1", Key: llm.NewKey("sk-ant-secret"), Upstream: "claude", Cap: 256, AllowPrivate: true, Timeouts: llm.Timeouts{FirstToken: 1e10, Idle: 1e10}}
	var g gathered
	var raw, thoughts, all []byte
	result, err := anthropic.New(w).Stream(context.Background(), to, req, func(e *llm.Event) error {
		look(&g, e)
		before, after, _ := bytes.Cut(e.Data, []byte(`"created":`))
		all = append(append(append(all, before...), bytes.TrimLeft(after, "0123456789")...), '\n')
		raw, thoughts = append(raw, e.Content...), append(thoughts, e.Reasoning...)
		g.output += e.Output
		return nil
	})
	g.raw = string(all)
	g.metered, g.thoughts = llm.Unescape(raw), llm.Unescape(thoughts)
	return g, result, err
}

func check(t *testing.T, got *gathered, result llm.Result, err error, want wanted, own bool) {
	t.Helper()
	var f *llm.Failure
	switch {
	case want.fails && (!errors.As(err, &f) || f.Class != want.class):
		t.Fatalf("error %v, want %v", err, want.class)
	case !want.fails && err != nil:
		t.Fatal(err)
	}
	if got.metered != want.text || got.thoughts != want.thought || result.Finish != want.finish || !reflect.DeepEqual(result.Usage, want.usage) {
		t.Fatalf("%q, %q, finish %q, usage %+v; want %q, %q, %q, %+v", got.metered, got.thoughts, result.Finish, result.Usage, want.text, want.thought, want.finish, want.usage)
	}
	if own || want.fails {
		return
	}
	if !reflect.DeepEqual(got.calls, want.calls) || !reflect.DeepEqual(got.blocks, want.blocks) || got.finish != want.finish {
		t.Fatalf("calls %q, blocks %q, finish %q; want %q, %q", got.calls, got.blocks, got.finish, want.calls, want.blocks)
	}
	if want.usage != nil {
		u := want.usage
		if got.usage["prompt_tokens"] != float64(u.Input+u.CachedInput+u.CacheWrite) || got.usage["completion_tokens"] != float64(u.Output+u.Reasoning) {
			t.Fatalf("usage chunk %v, want %+v", got.usage, u)
		}
	}
}

// Every stream is read right, and the same however it is cut into reads.
func TestStreamFixtures(t *testing.T) {
	all := fixtures(t, "stream")
	want := streams()
	if len(all) != len(want) {
		t.Errorf("%d fixtures, %d in the table", len(all), len(want))
	}
	own := native(t, true, `{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]}`)
	for name, body := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, req := range []*llm.Request{request(true, ""), own} {
				whole, result, err := play(t, "text/event-stream", req, body)
				check(t, &whole, result, err, want[name], req == own)
				for i := range body {
					if req == own && name != "text" && name != "thinking" && name != "crlf" && name != "error_overloaded" {
						break // the reading is the same: these show it
					}
					cut, again, err := run(t, "text/event-stream", req, func(*gathered, *llm.Event) {}, body[:i], body[i:])
					check(t, &cut, again, err, want[name], true)
					if cut.raw != whole.raw || cut.output != whole.output {
						t.Fatalf("cut at %d: %s, uncut %s", i, cut.raw, whole.raw)
					}
				}
			}
		})
	}
}

// A stream that ends anywhere gives a part of its text, and never a wrong end:
// it is complete behind its stop reason only.
func TestStreamEndsAnywhere(t *testing.T) {
	body := fixtures(t, "stream")["thinking"]
	said := bytes.Index(body, []byte("event: message_delta"))
	stop := said + bytes.Index(body[said:], []byte("\n\n"))
	for i := range body {
		g, result, err := play(t, "text/event-stream", request(true, ""), body[:i])
		if complete := i >= stop; (err == nil) != complete || complete != (result.Usage != nil) {
			t.Fatalf("ended at %d of %d: %v, usage %v", i, len(body), err, result.Usage)
		}
		if want := streams()["thinking"]; !strings.HasPrefix(want.text, g.text) || !strings.HasPrefix(want.thought, g.thought) {
			t.Fatalf("ended at %d: %q, %q", i, g.thought, g.text)
		}
	}
}

func TestWholeFixtures(t *testing.T) {
	want := map[string]wanted{
		"text": {text: "Hi! My name is Claude. \"é\"\n", finish: "stop", usage: &llm.Usage{Input: 2095, Output: 503}},
		"tools": {text: "I'll check.", finish: "tool_calls", usage: &llm.Usage{Input: 2095, Output: 503},
			calls: []called{{"toolu_01A", "get_weather", `{"location":"San Francisco, CA"}`}, {"toolu_01B", "get_time", `{}`}}},
		"tool_only": {finish: "tool_calls", usage: &llm.Usage{Input: 2095, Output: 503}, calls: []called{{"toolu_01A", "get_time", `{}`}}},
		"thinking": {text: "42", thought: "Let me see.", finish: "stop", usage: &llm.Usage{Input: 30, Output: 20, Reasoning: 80},
			blocks: []map[string]string{{"type": "thinking", "thinking": "Let me see.", "signature": "WaUjzkypQ2mUEVM36O2TxuC06KN8xyfbJwyem2dw3URve"}, {"type": "redacted_thinking", "data": "EmwKAhgB"}}},
		"cache":         {text: "x", finish: "stop", usage: &llm.Usage{Input: 50, CachedInput: 100000, CacheWrite: 248, Output: 503}},
		"refusal":       {finish: "content_filter", usage: &llm.Usage{Input: 12, Output: 1}},
		"two_texts":     {text: "One. Two.", finish: "stop", usage: &llm.Usage{Input: 2095, Output: 503}},
		"no_usage":      {text: "x y", finish: "stop"},
		"web_search":    {text: "Sorry.", finish: "stop", usage: &llm.Usage{Input: 2095, Output: 503}},
		"max_tokens":    {text: "x", finish: "length", usage: &llm.Usage{Input: 2095, Output: 503}},
		"error_in_200":  {fails: true, class: llm.Overloaded},
		"not_a_message": {fails: true, class: llm.Broken},
		"pretty":        {},
	}
	pretty := want["tools"]
	pretty.calls = []called{{"toolu_01A", "get_weather", "{\n        \"location\": \"San Francisco, CA\"\n      }"}, {"toolu_01B", "get_time", `{}`}}
	want["pretty"] = pretty
	all := fixtures(t, "whole")
	if len(all) != len(want) {
		t.Errorf("%d fixtures, %d in the table", len(all), len(want))
	}
	own := native(t, false, `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}`)
	for name, body := range all {
		t.Run(name, func(t *testing.T) {
			// Asked for as it comes.
			_, result, err := play(t, "application/json", request(false, ""), body)
			var g gathered
			if err == nil {
				g.add(t, result.Body)
				g.metered, g.thoughts = g.text, g.thought
			}
			check(t, &g, result, err, want[name], false)
			// By a caller of this dialect.
			_, result, err = play(t, "application/json", own, body)
			if err == nil && (!result.Native || !bytes.Equal(result.Body, bytes.TrimSpace(body))) {
				t.Errorf("the body was changed: %s", result.Body)
			}
			if result.Finish != want[name].finish || !reflect.DeepEqual(result.Usage, want[name].usage) {
				t.Errorf("%+v", result)
			}
			if name == "no_usage" && result.Text != "x y" {
				t.Errorf("text %q", result.Text)
			}
			// Where a stream was asked for.
			g, result, err = play(t, "application/json", request(true, ""), body)
			check(t, &g, result, err, want[name], false)
			if result.Body != nil {
				t.Error("a stream has a body")
			}
		})
	}
}

func TestErrorFixtures(t *testing.T) {
	want := map[string]struct {
		class  llm.Class
		reason string
	}{
		"400_invalid": {llm.BadRequest, ""}, "400_too_long": {llm.BadRequest, llm.TooLong}, "400_credit": {llm.NoQuota, ""},
		"401_key": {llm.BadKey, ""}, "402_billing": {llm.NoQuota, ""}, "403_permission": {llm.BadKey, ""}, "404_model": {llm.NoModel, ""},
		"413_large": {llm.BadRequest, ""}, "429_rate": {llm.RateLimited, ""}, "500_api": {llm.Broken, ""}, "504_timeout": {llm.TimedOut, ""},
		"529_overloaded": {llm.Overloaded, ""}, "502_gateway": {llm.Broken, ""},
	}
	all := fixtures(t, "error")
	if len(all) != len(want) {
		t.Errorf("%d fixtures, %d in the table", len(all), len(want))
	}
	for name, body := range all {
		status := int(name[0]-'0')*100 + int(name[1]-'0')*10 + int(name[2]-'0')
		w := wire.New(wire.Options{Transport: pieces{status, "application/json", [][]byte{body}}})
		to := llm.Target{BaseURL: "http://fixture/v1", Key: llm.NewKey("sk-ant-secret"), Upstream: "claude", Cap: 256, AllowPrivate: true, Timeouts: llm.Timeouts{FirstToken: 1e10, Idle: 1e10}}
		_, err := anthropic.New(w).Stream(t.Context(), to, request(true, ""), nil)
		var f *llm.Failure
		if !errors.As(err, &f) || f.Class != want[name].class || f.Status != status || f.Reason != want[name].reason {
			t.Errorf("%s: %v, want %v", name, err, want[name])
		}
		if status == 429 && f.Retry.Seconds() != 7 {
			t.Errorf("retry after %v", f.Retry)
		}
	}
}
