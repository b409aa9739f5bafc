package anthropic_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/wire"
)

// reader puts a stream together as Anthropic's SDKs do, and insists on the
// order their documentation gives.
type reader struct {
	message map[string]any
	open    int // index of the open block; -1 for none
	input   string
	ended   bool
	receipt any
	trouble map[string]any
}

func (r *reader) frames(t testing.TB, stream []byte) {
	t.Helper()
	if len(stream) > 0 && !bytes.HasSuffix(stream, []byte("\n\n")) {
		t.Fatalf("half a frame: %q", stream)
	}
	for frame := range strings.SplitSeq(strings.TrimSuffix(string(stream), "\n\n"), "\n\n") {
		if frame == "" {
			continue
		}
		kind, data, ok := strings.Cut(strings.TrimPrefix(frame, "event: "), "\ndata: ")
		var ev map[string]any
		if err := json.Unmarshal([]byte(data), &ev); !ok || err != nil || ev["type"] != kind {
			t.Fatalf("%q: %v", frame, err)
		}
		r.event(t, kind, ev)
	}
}

func (r *reader) event(t testing.TB, kind string, ev map[string]any) {
	t.Helper()
	if r.ended || r.message == nil && kind != "message_start" && kind != "error" && kind != "ping" {
		t.Fatalf("%s before the start or behind the end", kind)
	}
	content, _ := r.message["content"].([]any)
	index, _ := ev["index"].(float64)
	switch kind {
	case "message_start":
		r.message, r.open = ev["message"].(map[string]any), -1
	case "content_block_start":
		if r.open >= 0 || int(index) != len(content) {
			t.Fatalf("block %v starts while %d is open and there are %d", index, r.open, len(content))
		}
		r.open, r.input = int(index), ""
		r.message["content"] = append(content, ev["content_block"])
	case "content_block_delta":
		if r.open != int(index) {
			t.Fatalf("a delta of block %v while %d is open", index, r.open)
		}
		r.delta(content[r.open].(map[string]any), ev["delta"].(map[string]any))
	case "content_block_stop":
		if r.open != int(index) {
			t.Fatalf("block %v stops while %d is open", index, r.open)
		}
		if r.open = -1; r.input != "" {
			var input any
			if err := json.Unmarshal([]byte(r.input), &input); err != nil {
				input = r.input // cut by a cap
			}
			content[int(index)].(map[string]any)["input"] = input
		}
	case "message_delta":
		if r.open >= 0 {
			t.Fatalf("message_delta while block %d is open", r.open)
		}
		for k, v := range ev["delta"].(map[string]any) {
			r.message[k] = v
		}
		for k, v := range ev["usage"].(map[string]any) {
			r.message["usage"].(map[string]any)[k] = v
		}
	case "message_stop":
		r.ended, r.receipt = true, ev["onemind"]
	case "error":
		r.trouble = ev["error"].(map[string]any)
	case "ping":
	default:
		t.Fatalf("unknown event %s", kind)
	}
}

func (r *reader) delta(block, d map[string]any) {
	join := func(name string) {
		said, _ := block[name].(string)
		block[name] = said + d[name].(string)
	}
	switch d["type"] {
	case "text_delta":
		join("text")
	case "thinking_delta":
		join("thinking")
	case "signature_delta":
		join("signature")
	case "input_json_delta":
		r.input += d["partial_json"].(string)
	}
}

// encoded runs a call and gives what a caller of /v1/messages reads of it.
func encoded(t testing.TB, body []byte, req *llm.Request) *reader {
	t.Helper()
	w := wire.New(wire.Options{Transport: pieces{200, "text/event-stream", [][]byte{body}}})
	to := llm.Target{BaseURL: "http://fixture/v1", Upstream: "claude", Cap: 256, AllowPrivate: true, Timeouts: llm.Timeouts{FirstToken: 1e10, Idle: 1e10}}
	e := anthropic.NewEncoder("0197", "asked")
	var r reader
	result, err := anthropic.New(w).Stream(context.Background(), to, req, func(ev *llm.Event) error {
		r.frames(t, e.Event(nil, ev))
		return nil
	})
	if err != nil {
		r.frames(t, e.Trouble(nil, &fault.Error{Kind: fault.Upstream, Code: "provider_error", Text: "The provider failed."}))
		return &r
	}
	end := llm.Ending{Finish: result.Finish, Receipt: []byte(`{"cost":"0.01"}`)}
	if result.Usage != nil {
		end.Usage = *result.Usage
	}
	r.frames(t, e.End(nil, end))
	return &r
}

// The same stream, by way of the neutral form and passed on natively, is the
// same message for the caller.
func TestEncoderFixtures(t *testing.T) {
	own := native(t, true, `{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]}`)
	for name, body := range fixtures(t, "stream") {
		if name == "unknown" || name == "no_message_start" || name == "web_search" || name == "usage_at_start_only" || name == "usage_never" || name == "unknown_stop_reason" {
			continue // what only one of the two ways can carry, or what no SDK would read
		}
		t.Run(name, func(t *testing.T) {
			translated, passed := encoded(t, body, request(true, "")), encoded(t, body, own)
			if streams()[name].fails {
				if translated.trouble["type"] != "api_error" || translated.trouble["code"] != "provider_error" || translated.ended {
					t.Errorf("%v", translated.trouble)
				}
				return
			}
			for _, r := range []*reader{translated, passed} {
				if !r.ended || r.receipt == nil {
					t.Fatalf("ended %v, receipt %v", r.ended, r.receipt)
				}
			}
			if !strings.HasPrefix(translated.message["id"].(string), "msg_") || translated.message["model"] != "asked" || translated.message["role"] != "assistant" {
				t.Errorf("%v", translated.message)
			}
			a, b := fmt.Sprint(simple(translated.message["content"])), fmt.Sprint(simple(passed.message["content"]))
			if a != b {
				t.Errorf("translated %s\npassed     %s", a, b)
			}
			reason := map[any]any{"stop_sequence": "end_turn", "pause_turn": "end_turn", "model_context_window_exceeded": "max_tokens"}
			want := passed.message["stop_reason"]
			if r, ok := reason[want]; ok {
				want = r
			}
			if translated.message["stop_reason"] != want {
				t.Errorf("stop reason %v, want %v", translated.message["stop_reason"], want)
			}
			if u := streams()[name].usage; u != nil {
				usage := translated.message["usage"].(map[string]any)
				if usage["input_tokens"] != float64(u.Input) || usage["cache_read_input_tokens"] != float64(u.CachedInput) || usage["cache_creation_input_tokens"] != float64(u.CacheWrite) || usage["output_tokens"] != float64(u.Output+u.Reasoning) {
					t.Errorf("usage %v, want %+v", usage, u)
				}
			}
		})
	}
}

// simple leaves out what the neutral form has no place for.
func simple(content any) []any {
	var list []any
	for _, b := range content.([]any) {
		block := b.(map[string]any)
		delete(block, "citations")
		if text, ok := block["text"]; ok && text == "" {
			continue
		}
		list = append(list, block)
	}
	return list
}

func feed(t testing.TB, e *anthropic.Encoder, r *reader, chunks ...string) {
	t.Helper()
	for _, c := range chunks {
		r.frames(t, e.Event(nil, &llm.Event{Data: []byte(c)}))
	}
}

func delta(d string) string {
	return `{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":` + d + `,"finish_reason":null}]}`
}

// Tool calls of any engine: one after the other, all at once, mixed up.
func TestEncoderToolCalls(t *testing.T) {
	first := func(i int, id, name, arguments string) string {
		return fmt.Sprintf(`{"index":%d,"id":"%s","type":"function","function":{"name":"%s","arguments":"%s"}}`, i, id, name, arguments)
	}
	more := func(i int, arguments string) string {
		return delta(fmt.Sprintf(`{"tool_calls":[{"index":%d,"function":{"arguments":"%s"}}]}`, i, arguments))
	}
	calls := func(c ...string) string { return delta(`{"tool_calls":[` + strings.Join(c, ",") + `]}`) }
	want := `[{"id":"a","input":{"x":1},"name":"f","type":"tool_use"},{"id":"b","input":{"y":[2]},"name":"g","type":"tool_use"},{"id":"c","input":{},"name":"h","type":"tool_use"}]`
	for name, chunks := range map[string][]string{
		"in turn":     {calls(first(0, "a", "f", "")), more(0, `{\"x\"`), more(0, `:1}`), calls(first(1, "b", "g", `{\"y\":`)), more(1, `[2]}`), calls(first(2, "c", "h", "")), more(2, "{}")},
		"at once":     {calls(first(0, "a", "f", `{\"x\":1}`), first(1, "b", "g", `{\"y\":[2]}`), first(2, "c", "h", ""))},
		"mixed":       {calls(first(0, "a", "f", "")), calls(first(1, "b", "g", "")), more(1, `{\"y\":`), more(0, `{\"x\"`), calls(first(2, "c", "h", "")), more(0, `:1}`), more(1, `[2]}`)},
		"no index":    {delta(`{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}},{"id":"b","function":{"name":"g","arguments":"{\"y\":[2]}"}},{"id":"c","function":{"name":"h"}}]}`)},
		"text before": {delta(`{"content":""}`), calls(first(0, "a", "f", `{\"x\":1}`)), calls(first(1, "b", "g", `{\"y\":[2]}`)), calls(first(2, "c", "h", "{}"))},
	} {
		e, r := anthropic.NewEncoder("msg_1", "m"), &reader{}
		feed(t, e, r, chunks...)
		r.frames(t, e.End(nil, llm.Ending{Finish: "stop"}))
		got, _ := json.Marshal(r.message["content"])
		if string(got) != want || r.message["stop_reason"] != "tool_use" || r.message["id"] != "msg_1" {
			t.Errorf("%s: %s, %v", name, got, r.message["stop_reason"])
		}
	}
}

// Reasoning of engines that sign nothing becomes thinking that goes back to
// them, and to nobody else.
func TestEncoderReasoning(t *testing.T) {
	e, r := anthropic.NewEncoder("1", "m"), &reader{}
	feed(t, e, r, delta(`{"role":"assistant","content":""}`), delta(`{"reasoning_content":"H"}`), delta(`{"reasoning_content":"m","reasoning":"m"}`), delta(`{"content":"a\n","reasoning_content":null}`), delta(`{"refusal":"b"}`))
	r.frames(t, e.Event(nil, &llm.Event{Data: []byte(`{"choices":[],"usage":{"prompt_tokens":1}}`), Usage: true}))
	r.frames(t, e.Event(nil, &llm.Event{Data: []byte(delta(`{"content":[{"type":"text","text":"c"}]}`)), Content: []byte("c")}))
	r.frames(t, e.End(nil, llm.Ending{Finish: "length", Usage: llm.Usage{Input: 1, CachedInput: 2, CacheWrite: 3, Output: 4, Reasoning: 5}}))
	got, _ := json.Marshal(r.message)
	want := `{"content":[{"signature":"","thinking":"Hm","type":"thinking"},{"text":"a\nbc","type":"text"}],"id":"msg_1","model":"m","role":"assistant","stop_reason":"max_tokens","stop_sequence":null,"type":"message",` +
		`"usage":{"cache_creation_input_tokens":3,"cache_read_input_tokens":2,"input_tokens":1,"output_tokens":9,"output_tokens_details":{"thinking_tokens":5}}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r.receipt != nil {
		t.Error("a receipt from nowhere")
	}
}

// A whole answer that is replayed in one chunk keeps its signatures apart.
func TestEncoderBlocksAtOnce(t *testing.T) {
	e, r := anthropic.NewEncoder("1", "m"), &reader{}
	feed(t, e, r, delta(`{"role":"assistant","content":"x","reasoning_content":"ab","thinking_blocks":[{"type":"thinking","thinking":"a","signature":"1"},{"type":"redacted_thinking","data":"d"},{"type":"thinking","thinking":"b","signature":"2"}]}`))
	r.frames(t, e.End(nil, llm.Ending{Finish: "stop"}))
	got, _ := json.Marshal(r.message["content"])
	if want := `[{"signature":"1","thinking":"a","type":"thinking"},{"data":"d","type":"redacted_thinking"},{"signature":"2","thinking":"b","type":"thinking"},{"text":"x","type":"text"}]`; string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// An answer that we end at its hold has a proper end, wherever it was.
func TestEncoderCapped(t *testing.T) {
	body := fixtures(t, "stream")["thinking"]
	w := wire.New(wire.Options{Transport: pieces{200, "text/event-stream", [][]byte{body}}})
	to := llm.Target{BaseURL: "http://fixture/v1", Upstream: "claude", Cap: 256, AllowPrivate: true, Timeouts: llm.Timeouts{FirstToken: 1e10, Idle: 1e10}}
	own := native(t, true, `{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]}`)
	for _, req := range []*llm.Request{request(true, ""), own} {
		for after := range 20 {
			e, r, n, told := anthropic.NewEncoder("1", "m"), &reader{}, 0, false
			_, _ = anthropic.New(w).Stream(t.Context(), to, req, func(ev *llm.Event) error {
				if n++; n > after {
					return context.Canceled
				}
				told = told || ev.Finish != "" && ev.Native != ""
				r.frames(t, e.Event(nil, ev))
				return nil
			})
			r.frames(t, e.End(nil, llm.Ending{Finish: "length", Capped: true, Usage: llm.Usage{Output: 7}, Receipt: []byte(`{}`)}))
			want := "max_tokens"
			if told {
				want = "end_turn" // the provider's end had come
			}
			if !r.ended || r.message["stop_reason"] != want || r.receipt == nil {
				t.Fatalf("after %d: %v", after, r.message)
			}
		}
	}
}

func TestEncoderWhole(t *testing.T) {
	own := native(t, false, `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}`)
	for name, body := range fixtures(t, "whole") {
		if name == "web_search" || name == "two_texts" || name == "error_in_200" || name == "not_a_message" {
			continue
		}
		var both [2]map[string]any
		for i, req := range []*llm.Request{request(false, ""), own} {
			_, result, err := play(t, "application/json", req, body)
			if err != nil {
				t.Fatal(err)
			}
			end := llm.Ending{Finish: result.Finish, Receipt: []byte(`{"cost":"1"}`)}
			if result.Usage != nil {
				end.Usage = *result.Usage
			}
			whole, err := anthropic.NewEncoder("1", "asked").Whole(result.Body, result.Native, end)
			if err != nil {
				t.Fatal(err)
			}
			both[i] = plain(t, whole)
			if both[i]["onemind"] == nil || both[i]["type"] != "message" {
				t.Errorf("%s: %s", name, whole)
			}
			for _, b := range both[i]["content"].([]any) {
				delete(b.(map[string]any), "citations")
				delete(b.(map[string]any), "caller")
			}
		}
		for _, member := range []string{"content", "stop_reason", "role"} {
			if !reflect.DeepEqual(both[0][member], both[1][member]) {
				t.Errorf("%s: %s is %v, want %v", name, member, both[0][member], both[1][member])
			}
		}
	}
}

// What other engines answer, as a whole.
func TestEncoderWholeOfOthers(t *testing.T) {
	for _, tt := range []struct{ message, content, finish, reason string }{
		{`{"role":"assistant","content":null,"refusal":"No."}`, `[{"type":"text","text":"No."}]`, "content_filter", "refusal"},
		{`{"role":"assistant","content":"a","reasoning_content":"b"}`, `[{"type":"thinking","thinking":"b","signature":""},{"type":"text","text":"a"}]`, "length", "max_tokens"},
		{`{"role":"assistant","content":"","thinking_blocks":[ ],"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":""}},{"id":"2","type":"function","function":{"name":"g","arguments":"{\"a\":"}}]}`,
			`[{"type":"tool_use","id":"1","name":"f","input":{}},{"type":"tool_use","id":"2","name":"g","input":{"INVALID_JSON":"{\"a\":"}}]`, "stop", "tool_use"},
	} {
		whole, err := anthropic.NewEncoder("1", "m").Whole([]byte(`{"choices":[{"index":0,"message":`+tt.message+`,"finish_reason":"x"}]}`), false, llm.Ending{Finish: tt.finish})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Content json.RawMessage
			Reason  string `json:"stop_reason"`
		}
		if err := json.Unmarshal(whole, &got); err != nil || string(got.Content) != tt.content || got.Reason != tt.reason {
			t.Errorf("%s, %v", whole, err)
		}
	}
	for _, body := range []string{``, `[]`, `{"choices":[]}`, `{`} {
		for _, native := range []bool{true, false} {
			if out, err := anthropic.NewEncoder("1", "m").Whole([]byte(body), native, llm.Ending{}); err == nil && !(native && json.Valid(out)) {
				t.Errorf("%q became %q", body, out)
			}
		}
	}
}

func TestErrorShape(t *testing.T) {
	e := anthropic.NewEncoder("1", "m")
	for status, want := range map[int]string{400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error", 408: "timeout_error", 409: "invalid_request_error",
		413: "request_too_large", 422: "invalid_request_error", 429: "rate_limit_error", 500: "api_error", 502: "api_error", 503: "overloaded_error", 529: "overloaded_error", 504: "timeout_error"} {
		var got struct {
			Type  string
			Error struct{ Type, Message, Code, Param string }
		}
		if err := json.Unmarshal(e.Error(&fault.Error{Code: "c", Text: `"t"`}, status), &got); err != nil || got.Type != "error" || got.Error.Type != want || got.Error.Message != `"t"` || got.Error.Code != "c" {
			t.Errorf("%d: %+v, %v", status, got, err)
		}
	}
	f := &fault.Error{Kind: fault.Invalid, Code: "unsupported_parameter", Text: "'reasoning_effort' is not supported by this model.", Field: "reasoning_effort"}
	if got := string(e.Error(f, 400)); got != `{"type":"error","error":{"type":"invalid_request_error","message":"'thinking' is not supported by this model.","code":"unsupported_parameter","param":"thinking"}}` {
		t.Error(got)
	}
	for kind, want := range map[fault.Kind]string{fault.Internal: "api_error", fault.Short: "billing_error", fault.Limited: "rate_limit_error", fault.Unavailable: "overloaded_error", fault.Timeout: "timeout_error", fault.Unauthenticated: "authentication_error",
		fault.Forbidden: "permission_error", fault.NotFound: "not_found_error", fault.TooLarge: "request_too_large", fault.Invalid: "invalid_request_error"} {
		var r reader
		r.frames(t, e.Trouble(nil, &fault.Error{Kind: kind, Text: "x"}))
		if r.trouble["type"] != want {
			t.Errorf("%v: %v", kind, r.trouble)
		}
	}
	if got := string(anthropic.CountTokensResponse(2095)); got != `{"input_tokens":2095}` {
		t.Error(got)
	}
}
