package responses_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/responses"
	"onemind/internal/llm/wire"
)

// upstream answers each call with the same body, in two reads.
type upstream struct {
	body []byte
	cut  int
}

func (u *upstream) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, ContentLength: -1,
		Body: io.NopCloser(io.MultiReader(bytes.NewReader(u.body[:u.cut]), bytes.NewReader(u.body[u.cut:])))}, nil
}

const receipt = "{\"charge_nano_usd\":12,\n\"model\":\"m\"}"

// times are what differs from run to run.
var times = regexp.MustCompile(`"(created|completed)_at":\d+`)

func target() llm.Target {
	return llm.Target{Provider: "p", BaseURL: "http://p.test/v1", Upstream: "u", Cap: 100,
		Timeouts: llm.Timeouts{Connect: time.Minute, FirstToken: time.Minute, Idle: time.Minute}}
}

// encode gives the events that a neutral stream becomes.
func encode(t *testing.T, w *wire.Client, request []byte) []byte {
	t.Helper()
	e := responses.NewEncoder("req_1", "asked", request)
	var out []byte
	result, err := openai.New(w).Stream(t.Context(), target(), &llm.Request{Body: []byte(`{}`), Stream: true, N: 1}, func(ev *llm.Event) error {
		out = e.Event(out, ev)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	end := llm.Ending{Finish: result.Finish, Receipt: []byte(receipt)}
	if result.Usage != nil {
		end.Usage = *result.Usage
	}
	out = e.End(out, end)
	return times.ReplaceAll(out, []byte(`"${1}_at":0`))
}

// fixture gives a stream of testdata and its request.
func fixture(t testing.TB, file string) (request, stream []byte) {
	t.Helper()
	stream, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	request, err = os.ReadFile(strings.TrimSuffix(file, ".sse") + ".request.json")
	if errors.Is(err, os.ErrNotExist) {
		return []byte(`{"model":"asked","input":"x","stream":true}`), stream
	} else if err != nil {
		t.Fatal(err)
	}
	return request, stream
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s\ngot  %s\nwant %s", file, got, want)
	}
}

func TestStreams(t *testing.T) {
	files, err := filepath.Glob("testdata/streams/*.sse")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d streams, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".sse"), func(t *testing.T) {
			t.Parallel()
			request, stream := fixture(t, file)
			up := &upstream{stream, len(stream)}
			w := wire.New(wire.Options{Transport: up})
			defer w.Close()
			whole := encode(t, w, request)
			golden(t, strings.TrimSuffix(file, ".sse")+".events", whole)
			final := replay(t, whole)
			if status := final["status"]; status != "completed" && status != "incomplete" {
				t.Errorf("status %v", status)
			}
			if final["onemind"] == nil {
				t.Error("no receipt")
			}
			for up.cut = range stream {
				if got := encode(t, w, request); !bytes.Equal(got, whole) {
					t.Fatalf("cut at %d: %s", up.cut, got)
				}
			}
		})
	}
}

func TestWholes(t *testing.T) {
	files, err := filepath.Glob("testdata/wholes/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var x struct {
				Request    json.RawMessage
				Completion json.RawMessage
			}
			if err := json.Unmarshal(raw, &x); err != nil {
				t.Fatal(err)
			}
			var c struct {
				Choices []struct {
					Finish string `json:"finish_reason"`
				}
			}
			if err := json.Unmarshal(x.Completion, &c); err != nil {
				t.Fatal(err)
			}
			got, err := responses.NewEncoder("resp_1", "asked", x.Request).Whole(x.Completion, false,
				llm.Ending{Finish: c.Choices[0].Finish, Usage: llm.Usage{Input: 15, CachedInput: 4, Output: 7, Reasoning: 3}, Receipt: []byte(receipt)})
			if err != nil {
				t.Fatal(err)
			}
			if bytes.ContainsAny(got, "\r\n") {
				t.Error("more than one line")
			}
			checkResponse(t, decode(t, got))
			golden(t, strings.TrimSuffix(file, ".json")+".response", append(times.ReplaceAll(got, []byte(`"${1}_at":0`)), '\n'))
		})
	}
}

func TestWholeOfGarbage(t *testing.T) {
	for _, body := range []string{``, `{}`, `[]`, `{"choices":`} {
		if got, err := responses.NewEncoder("1", "m", nil).Whole([]byte(body), false, llm.Ending{}); err == nil {
			t.Errorf("%q: %s", body, got)
		}
	}
	if _, err := responses.NewEncoder("1", "m", nil).Whole([]byte(`{"choices":[]}`), true, llm.Ending{}); err == nil {
		t.Error("a native answer")
	}
}

// A stream that we ended at its hold is incomplete, wherever it was.
func TestCapped(t *testing.T) {
	for _, data := range []string{`{"choices":[{"delta":{"content":"Half a"}}]}`, `{"choices":[{"delta":{"reasoning_content":"Half a"}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{"}}]}}]}`, `{"choices":[]}`} {
		e := responses.NewEncoder("1", "m", []byte(`{}`))
		out := e.Event(nil, &llm.Event{Data: []byte(data)})
		out = e.End(out, llm.Ending{Capped: true, Usage: llm.Usage{Output: 2}, Receipt: []byte(receipt)})
		final := replay(t, out)
		details, _ := final["incomplete_details"].(map[string]any)
		if final["status"] != "incomplete" || details["reason"] != "max_output_tokens" {
			t.Errorf("%v", final)
		}
		if len(e.End(nil, llm.Ending{})) > 0 || len(e.Event(nil, &llm.Event{Data: []byte(data)})) > 0 {
			t.Error("something comes behind the end")
		}
	}
}

func TestTrouble(t *testing.T) {
	f := fault.New(fault.Upstream, "provider_error", "The provider \"failed\".")
	for _, begun := range []bool{false, true} {
		e := responses.NewEncoder("1", "m", []byte(`{"model":"m","input":"x"}`))
		var out []byte
		if begun {
			out = e.Event(out, &llm.Event{Data: []byte(`{"choices":[{"delta":{"content":"Half a"}}]}`)})
		}
		out = e.Trouble(out, f)
		final := replay(t, out)
		failure, _ := final["error"].(map[string]any)
		if final["status"] != "failed" || failure["code"] != "server_error" || failure["message"] != f.Text || failure["onemind_code"] != f.Code {
			t.Errorf("%v", final)
		}
		if !strings.Contains(string(out), "event: error\ndata: {\"type\":\"error\",\"sequence_number\":") || len(e.End(nil, llm.Ending{})) > 0 {
			t.Errorf("%s", out)
		}
	}
}

// An error names the parameter as the caller wrote it, and not as the chat
// request that was made of it.
func TestErrorNamesTheCallersParameter(t *testing.T) {
	for _, tt := range []struct{ field, text, param, message string }{
		{"reasoning_effort", "'reasoning_effort' is not supported by this model.", "reasoning.effort", "'reasoning.effort' is not supported by this model."},
		{"max_tokens", "'max_tokens' is too large.", "max_output_tokens", "'max_output_tokens' is too large."},
		{"messages[3].content", "'messages[3].content' holds an image.", "input", "'input' holds an image."},
		{"response_format.json_schema.strict", "'response_format.json_schema.strict' has to be true.", "text.format", "'text.format' has to be true."},
		{"tools[0].custom", "'tools[0].custom' is not supported by this model.", "tools[0].custom", "'tools[0].custom' is not supported by this model."},
		{"", "Not enough credits.", "", "Not enough credits."},
	} {
		f := fault.New(fault.Invalid, "unsupported_parameter", "%s", tt.text)
		f.Field = tt.field
		var got struct {
			Error struct{ Message, Type, Param, Code string }
		}
		if err := json.Unmarshal(responses.NewEncoder("1", "m", nil).Error(f, 400), &got); err != nil {
			t.Fatal(err)
		}
		if e := got.Error; e.Param != tt.param || e.Message != tt.message || e.Code != "unsupported_parameter" || e.Type != "invalid_request_error" {
			t.Errorf("%+v", e)
		}
	}
}

// What an answer says comes back in the next request unchanged.
func TestRoundTrip(t *testing.T) {
	e := responses.NewEncoder("1", "m", []byte(`{"model":"m","input":"x"}`))
	out := e.Event(nil, &llm.Event{Data: []byte(`{"choices":[{"delta":{"reasoning_content":"Hm \"q\"","thinking_blocks":[{"type":"thinking","thinking":"Hm \"q\"","signature":"Eq=="},{"type":"redacted_thinking","data":"Em"}]}}]}`)})
	out = e.Event(out, &llm.Event{Data: []byte(`{"choices":[{"delta":{"content":"I look."}}]}`)})
	out = e.Event(out, &llm.Event{Data: []byte(`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c\u0031","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"Cp+/=="}}}]}}]}`)})
	final := replay(t, e.End(out, llm.Ending{Finish: "tool_calls"}))
	input := append([]any{map[string]any{"role": "user", "content": "x"}}, final["output"].([]any)...)
	input = append(input, map[string]any{"type": "function_call_output", "call_id": "c1", "output": "42"})
	body, err := json.Marshal(map[string]any{"model": "m", "input": input})
	if err != nil {
		t.Fatal(err)
	}
	chat, err := responses.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"I look.","reasoning_content":"Hm \"q\"","thinking_blocks":[{"type":"thinking","thinking":"Hm \"q\"","signature":"Eq=="},{"type":"redacted_thinking","data":"Em"}],` +
		`"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"Cp+/=="}}}]},{"role":"tool","content":"42","tool_call_id":"c1"}],"model":"m"}`
	if string(chat) != want {
		t.Errorf("got  %s\nwant %s", chat, want)
	}
}

// Chunks of any content become events that are whole and in order.
func FuzzEncoder(f *testing.F) {
	files, _ := filepath.Glob("testdata/streams/*.sse")
	for _, file := range files {
		_, stream := fixture(f, file)
		f.Add(stream)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		e := responses.NewEncoder("1", "m", []byte(`{"model":"m","input":"x"}`))
		var out []byte
		for line := range bytes.Lines(stream) {
			if data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data: ")); ok && json.Valid(data) {
				out = e.Event(out, &llm.Event{Data: data})
			}
		}
		replay(t, e.End(out, llm.Ending{Finish: "stop"}))
	})
}

// What this dialect adds to a whole answer of 500 pieces that passes through.
func BenchmarkAnswer(b *testing.B) {
	stream := strings.Repeat(`data: {"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4.1-2025-04-14","service_tier":"default","system_fingerprint":"fp_b376dfbbd5","choices":[{"index":0,"delta":{"content":" there"},"logprobs":null,"finish_reason":null}]}`+"\n\n", 500) +
		`data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":500}}` + "\n\ndata: [DONE]\n\n"
	w := wire.New(wire.Options{Transport: &upstream{[]byte(stream), 0}})
	defer w.Close()
	c, to := openai.New(w), target()
	request := []byte(`{"model":"m","input":"x","stream":true}`)
	for _, translated := range []bool{false, true} {
		b.Run(map[bool]string{false: "passed", true: "translated"}[translated], func(b *testing.B) {
			var out []byte
			for b.Loop() {
				e := responses.NewEncoder("1", "m", request)
				out = out[:0]
				_, err := c.Stream(b.Context(), to, &llm.Request{Body: []byte(`{}`), Stream: true, N: 1}, func(ev *llm.Event) error {
					if translated {
						out = e.Event(out, ev)
					} else {
						out = append(append(append(out, "data: "...), ev.Data...), "\n\n"...)
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				if translated {
					out = e.End(out, llm.Ending{Finish: "stop", Receipt: []byte(receipt)})
				}
			}
		})
	}
}

func BenchmarkEvent(b *testing.B) {
	e := responses.NewEncoder("1", "m", []byte(`{"model":"m","input":"x"}`))
	ev := llm.Event{Data: []byte(`{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4.1-2025-04-14","choices":[{"index":0,"delta":{"content":" there"},"logprobs":null,"finish_reason":null}]}`)}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = e.Event(out[:0], &ev)
	}
}
