package gateway

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"onemind/internal/llm"
)

// wholeAnswer answers with one body.
func wholeAnswer(body, finish string) func(func(*llm.Event) error) (llm.Result, error) {
	return func(func(*llm.Event) error) (llm.Result, error) {
		return llm.Result{Body: []byte(body), Finish: finish, Usage: &llm.Usage{Input: 5, Output: 2}}, nil
	}
}

// decoded reads JSON for a comparison.
func decoded(t testing.TB, raw []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return v
}

// plainBody is a whole answer with everything that is often in one.
const plainBody = `{
  "id": "chatcmpl-9", "object": "chat.completion", "created": 1741569952, "model": "gpt-4o-2024-08-06",
  "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there,\nhow are \"you\" today? \ud83d\ude00 \u00e9", "refusal": null, "annotations": []},
    "logprobs": null, "finish_reason": "stop"}],
  "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29, "prompt_tokens_details": {"cached_tokens": 0}},
  "service_tier": "default", "system_fingerprint": "fp_1"
}`

// A whole answer that is asked for as a stream comes in words, and together they
// are the answer.
func TestCacheStreamsWhatCameWhole(t *testing.T) {
	c := newCaller(newShelf())
	c.answer, c.req = wholeAnswer(plainBody, "stop"), &llm.Request{}
	first := mustAsk(t, c)
	if again := mustAsk(t, c); !again.cached || string(again.result.Body) != plainBody || len(again.events) != 0 {
		t.Errorf("whole again: %+v", again)
	}
	c.req = &llm.Request{Stream: true}
	g := mustAsk(t, c)
	if !g.cached || g.result.Body != nil || g.result.Finish != "stop" || !reflect.DeepEqual(g.result.Usage, first.result.Usage) {
		t.Fatalf("as a stream: %+v", g.result)
	}
	var words []string
	for i, ev := range g.events {
		if strings.ContainsAny(string(ev.Data), "\r\n") {
			t.Errorf("event %d has a line break: %q", i, ev.Data)
		}
		data := decoded(t, ev.Data).(map[string]any)
		if data["object"] != "chat.completion.chunk" || data["id"] != "chatcmpl-9" || data["model"] != "gpt-4o-2024-08-06" || data["created"] != 1741569952.0 {
			t.Errorf("event %d: %s", i, ev.Data)
		}
		if len(ev.Content) > 0 {
			words = append(words, ev.Text())
			delta := data["choices"].([]any)[0].(map[string]any)["delta"].(map[string]any)
			if delta["content"] != ev.Text() || ev.Choices != 1 {
				t.Errorf("event %d: %s", i, ev.Data)
			}
		}
	}
	if got := strings.Join(words, "|"); got != "Hello |there,\n|how |are |\"you\" |today? |😀 |é" {
		t.Errorf("words: %s", got)
	}
	role := decoded(t, g.events[0].Data).(map[string]any)["choices"].([]any)[0].(map[string]any)
	if role["delta"].(map[string]any)["role"] != "assistant" || role["finish_reason"] != nil || role["index"] != 0.0 {
		t.Errorf("the first chunk: %s", g.events[0].Data)
	}
	n := len(g.events)
	if g.events[n-2].Finish != "stop" || !g.events[n-1].Usage || g.events[n-1].Choices != 0 {
		t.Errorf("the end: %s %s", g.events[n-2].Data, g.events[n-1].Data)
	}
	usage := decoded(t, g.events[n-1].Data).(map[string]any)["usage"].(map[string]any)
	if usage["total_tokens"] != 29.0 {
		t.Errorf("usage: %v", usage)
	}
}

// A stream that is asked for as a whole is the body it could have come in.
func TestCacheJoinsWhatWasStreamed(t *testing.T) {
	chunk := func(delta, finish string) *llm.Event {
		return &llm.Event{Data: []byte(`{` + cacheHead + `"choices":[{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}],"usage":null,"obfuscation":"xx"}`), Output: 1, Choices: 1}
	}
	for what, tt := range map[string]struct {
		deltas []string
		want   string
	}{
		"text": {[]string{`{"role":"assistant","content":"","refusal":null}`, `{"content":"Hel\ud83d"}`, `{"content":"\ude00lo"}`, `{"content":null}`},
			`{"role":"assistant","content":"Hel😀lo","refusal":null}`},
		"reasoning": {[]string{`{"role":"assistant","reasoning_content":"think"}`, `{"reasoning_content":" more"}`, `{"content":"x"}`},
			`{"role":"assistant","reasoning_content":"think more","content":"x"}`},
		"thinking blocks": {[]string{`{"reasoning_content":"a","content":"b"}`, `{"thinking_blocks":[{"type":"thinking","thinking":"a","signature":"s"}]}`, `{"thinking_blocks":[{"type":"redacted_thinking","data":"d"}]}`},
			`{"role":"assistant","reasoning_content":"a","content":"b","thinking_blocks":[{"type":"thinking","thinking":"a","signature":"s"},{"type":"redacted_thinking","data":"d"}]}`},
		"tool calls": {[]string{`{"role":"assistant","content":null}`,
			`{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"look","arguments":""}}]}`,
			`{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}`,
			`{"tool_calls":[{"index":0,"function":{"name":"","arguments":"1}"}}]}`,
			`{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"see","arguments":"{}"},"extra_content":{"google":{"thought_signature":"x"}}}]}`},
			`{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"look","arguments":"{\"a\":1}"}},` +
				`{"id":"call_2","type":"function","function":{"name":"see","arguments":"{}"},"extra_content":{"google":{"thought_signature":"x"}}}]}`},
		"custom tool":   {[]string{`{"tool_calls":[{"index":0,"id":"c","type":"custom","custom":{"name":"sh","input":"l"}}]}`, `{"tool_calls":[{"index":0,"custom":{"input":"s"}}]}`}, `{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"custom","custom":{"name":"sh","input":"ls"}}]}`},
		"function call": {[]string{`{"function_call":{"name":"f","arguments":"{"}}`, `{"function_call":{"arguments":"}"}}`}, `{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}`},
	} {
		c := newCaller(newShelf())
		c.answer = func(emit func(*llm.Event) error) (llm.Result, error) {
			for _, delta := range tt.deltas {
				_ = emit(chunk(delta, "null"))
			}
			_ = emit(chunk("{}", `"stop"`))
			return llm.Result{Finish: "stop", Usage: &llm.Usage{Input: 5, CachedInput: 1, Output: 2, Reasoning: 3}}, emit(&llm.Event{Data: []byte(`{` + cacheHead + `"choices":[],"usage":{"total_tokens":11}}`), Usage: true})
		}
		mustAsk(t, c)
		c.req = &llm.Request{}
		g := mustAsk(t, c)
		if !g.cached {
			t.Errorf("%s: it is not joined", what)
			continue
		}
		body := decoded(t, g.result.Body).(map[string]any)
		choice := body["choices"].([]any)[0].(map[string]any)
		if !reflect.DeepEqual(choice["message"], decoded(t, []byte(tt.want))) {
			t.Errorf("%s: %s", what, g.result.Body)
		}
		if body["object"] != "chat.completion" || body["id"] != "chatcmpl-1" || choice["finish_reason"] != "stop" || body["usage"].(map[string]any)["total_tokens"] != 11.0 || body["obfuscation"] != nil {
			t.Errorf("%s: %s", what, g.result.Body)
		}
	}
}

// What cannot be brought into the other shape is asked for again, and the answer
// that came last is kept.
func TestCacheKeepsItsShape(t *testing.T) {
	native := func(stream bool) func(func(*llm.Event) error) (llm.Result, error) {
		return func(emit func(*llm.Event) error) (llm.Result, error) {
			r := llm.Result{Finish: "stop", Usage: &llm.Usage{}, Native: !stream}
			if stream {
				_ = emit(&llm.Event{Data: []byte(`{"type":"content_block_delta"}`), Native: "content_block_delta", Output: 3})
				return r, emit(&llm.Event{Data: []byte(`{"type":"message_stop"}`), Native: "message_stop"})
			}
			r.Body = []byte(`{"type":"message"}`)
			return r, nil
		}
	}
	streamOf := func(datas ...string) func(func(*llm.Event) error) (llm.Result, error) {
		return func(emit func(*llm.Event) error) (llm.Result, error) {
			for _, data := range datas {
				_ = emit(&llm.Event{Data: []byte(data), Output: 1, Choices: 1})
			}
			return llm.Result{Finish: "stop", Usage: &llm.Usage{}}, nil
		}
	}
	for what, tt := range map[string]struct {
		stream bool
		answer func(func(*llm.Event) error) (llm.Result, error)
	}{
		"a native stream":        {true, native(true)},
		"a native body":          {false, native(false)},
		"a body with logprobs":   {false, wholeAnswer(strings.Replace(plainBody, `"logprobs": null`, `"logprobs": {"content": []}`, 1), "stop")},
		"a body with parts":      {false, wholeAnswer(`{"choices":[{"index":0,"message":{"content":[{"type":"text"}]},"finish_reason":"stop"}]}`, "stop")},
		"a body without choices": {false, wholeAnswer(`{"choices":[]}`, "stop")},
		"a broken body":          {false, wholeAnswer(`{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}]`, "stop")},
		"a stream with parts":    {true, streamOf(`{"choices":[{"index":0,"delta":{"content":[{"type":"text"}]},"finish_reason":"stop"}]}`)},
		"a stream with logprobs": {true, streamOf(`{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[]},"finish_reason":"stop"}]}`)},
		"two choices":            {true, streamOf(`{"choices":[{"index":0,"delta":{}},{"index":1,"delta":{},"finish_reason":"stop"}]}`)},
		"the second choice":      {true, streamOf(`{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}`)},
		"a stream without end":   {true, streamOf(`{"choices":[{"index":0,"delta":{"content":"a"}}]}`)},
		"a call out of order":    {true, streamOf(`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":3,"function":{"name":"x"}}]},"finish_reason":"stop"}]}`)},
	} {
		c := newCaller(newShelf())
		c.answer, c.req = tt.answer, &llm.Request{Stream: tt.stream}
		first := mustAsk(t, c)
		if g := mustAsk(t, c); !g.cached {
			t.Errorf("%s: it is not kept", what)
		} else {
			same(t, first, g)
		}
		c.req = &llm.Request{Stream: !tt.stream}
		c.answer = streams("other")
		if !c.req.Stream {
			c.answer = wholeAnswer(plainBody, "stop")
		}
		if g := mustAsk(t, c); g.cached {
			t.Errorf("%s: it is brought into another shape: %+v", what, g)
		}
		if g := mustAsk(t, c); !g.cached {
			t.Errorf("%s: the newer answer is not kept", what)
		}
	}
}

// Tool calls that came whole get the index that calls in a stream have.
func TestCacheStreamsToolCalls(t *testing.T) {
	c := newCaller(newShelf())
	c.answer, c.req = wholeAnswer(`{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":null,"reasoning":"because of this","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{ "id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{}}`, "tool_calls"), &llm.Request{}
	mustAsk(t, c)
	c.req = &llm.Request{Stream: true}
	g := mustAsk(t, c)
	if !g.cached {
		t.Fatal("it is not cut")
	}
	delta := decoded(t, g.events[0].Data).(map[string]any)["choices"].([]any)[0].(map[string]any)["delta"].(map[string]any)
	calls := delta["tool_calls"].([]any)
	if len(calls) != 2 || calls[0].(map[string]any)["index"] != 0.0 || calls[1].(map[string]any)["index"] != 1.0 || calls[1].(map[string]any)["id"] != "b" {
		t.Errorf("%s", g.events[0].Data)
	}
	thought := ""
	for _, ev := range g.events {
		thought += ev.Thought()
	}
	if thought != "because of this" || g.events[len(g.events)-2].Finish != "tool_calls" {
		t.Errorf("%q, %+v", thought, g.events)
	}
}

// No text is cut inside a character, and put together the words are the text.
func FuzzCacheWords(f *testing.F) {
	for _, seed := range []string{"", " ", "a  b", "one two\nthree", "\U0001F600\u00e9 \"\\\t", strings.Repeat("long", 30), strings.Repeat("中文", 40), "\x00\x01", "e\u0301"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		ours := llm.AppendQuoted(nil, text)
		theirs, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		escaped := []byte{'"'}
		for _, r := range text { // all of it escaped, characters beyond the first plane as pairs
			for _, unit := range utf16Of(r) {
				escaped = append(escaped, `\u`...)
				for shift := 12; shift >= 0; shift -= 4 {
					escaped = append(escaped, "0123456789abcdef"[unit>>shift&15])
				}
			}
		}
		for _, raw := range [][]byte{ours, theirs, append(escaped, '"')} {
			whole := ""
			for rest := raw[1 : len(raw)-1]; len(rest) > 0; {
				n := wordEnd(rest)
				word := llm.Unescape(rest[:n])
				if n > wordMost || !utf8.ValidString(word) || !strings.Contains(text, "\uFFFD") && strings.Contains(word, "\uFFFD") {
					t.Fatalf("%q has the word %q", raw, rest[:n])
				}
				whole += word
				rest = rest[n:]
			}
			if whole != text {
				t.Fatalf("%q became %q", text, whole)
			}
		}
	})
}

func utf16Of(r rune) []uint16 {
	if r < 0x10000 {
		return []uint16{uint16(r)} //nolint:gosec // it is below
	}
	r -= 0x10000
	return []uint16{uint16(0xd800 + r>>10), uint16(0xdc00 + r&0x3ff)} //nolint:gosec // ten bits each
}

// Whatever a body holds: when it can be cut it can be joined again, and says the same.
func FuzzCacheShape(f *testing.F) {
	f.Add([]byte(plainBody))
	f.Add([]byte(`{"choices":[{"message":{"content":"a b","tool_calls":[{"id":"x","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}]}`))
	f.Add([]byte(`{"choices":[{"message":{"reasoning":"r","content":""},"finish_reason":"stop"}],"usage":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := recording{head: recordHead{Finish: "stop"}, body: body}
		stream, ok := r.as(&llm.Request{Stream: true})
		if !ok {
			return
		}
		text := ""
		if _, err := stream.play(t.Context(), func(ev *llm.Event) error {
			if !json.Valid(ev.Data) {
				t.Fatalf("%q became %q", body, ev.Data)
			}
			text += string(ev.Content)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		whole, ok := stream.as(&llm.Request{})
		if ok && !json.Valid(whole.body) {
			t.Fatalf("%q became %q", body, whole.body)
		}
	})
}
