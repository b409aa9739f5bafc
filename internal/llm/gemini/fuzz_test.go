package gemini_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/gemini"
)

// Whatever a provider streams, what is passed on are chunks, and a cut changes nothing.
func FuzzStream(f *testing.F) {
	for _, data := range fixtures(f, "stream/*.sse", 40) {
		f.Add(data, uint16(100))
	}
	f.Fuzz(func(t *testing.T, data []byte, at uint16) {
		i := min(int(at), len(data))
		for _, native := range []bool{false, true} {
			once := fuzzed(t, &upstream{kind: "text/event-stream", pieces: [][]byte{bytes.Clone(data)}}, native)
			cut := fuzzed(t, &upstream{kind: "text/event-stream", pieces: [][]byte{bytes.Clone(data[:i]), bytes.Clone(data[i:])}}, native)
			if once != cut {
				t.Fatalf("%q cut at %d gives\n%s\nwant\n%s", data, i, cut, once)
			}
		}
		whole := &upstream{kind: "application/json", pieces: [][]byte{bytes.Clone(data)}}
		if r, err := call(whole, target(), ask(false), nil); err == nil && !json.Valid(r.Body) {
			t.Fatalf("%q became %q", data, r.Body)
		}
	})
}

// fuzzed tells what came of a stream.
func fuzzed(t *testing.T, u *upstream, native bool) string {
	req := ask(true)
	if native {
		req = askNative(true)
	}
	var o outcome
	e := gemini.NewEncoder("r", "m", true)
	var out []byte
	r, err := call(u, target(), req, func(ev *llm.Event) error {
		if !json.Valid(ev.Data) || bytes.ContainsAny(ev.Data, "\r\n") {
			t.Fatalf("no chunk: %q", ev.Data)
		}
		if len(ev.Content)+len(ev.Reasoning) > ev.Output {
			t.Fatalf("more text than output: %+v", ev)
		}
		if !native {
			o.add(t, ev.Data)
		}
		out = e.Event(out, ev)
		return nil
	})
	out = e.End(out, llm.Ending{Finish: r.Finish})
	if !json.Valid(out) {
		t.Fatalf("encoded: %q", out)
	}
	o.end(t, r, err)
	return o.String()
}

// Whatever chat completions say, the frames are JSON.
func FuzzEncode(f *testing.F) {
	for _, seed := range []string{
		`{"choices":[{"index":0,"delta":{"content":"a","reasoning_content":"b","tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{\"a\":1}"}}]},"finish_reason":"stop"}]}`,
		`{"choices":[{"index":3,"message":{"content":[{"text":"a"},{"thinking":"b"}],"refusal":"c","images":[{"image_url":{"url":"data:image/png;base64,AA"}}]}}]}`,
		`{"choices":[{"delta":{"extra_content":{"google":{"thought_signature":"x"}},"tool_calls":[{"index":1},{"index":0,"function":{"arguments":"[]"}}]}}]}`,
	} {
		f.Add([]byte(seed), "stop", true)
	}
	f.Fuzz(func(t *testing.T, data []byte, finish string, capped bool) {
		if !json.Valid(data) || !utf8.Valid(data) {
			return
		}
		e := gemini.NewEncoder("r\n\"", "m\x00", true)
		out := e.Event(nil, &llm.Event{Data: data, Choices: 1})
		out = e.Event(out, &llm.Event{Data: data, Choices: 1, Finish: finish})
		if out = e.End(out, llm.Ending{Finish: finish, Capped: capped, Receipt: []byte(`{"a":1}`)}); !json.Valid(out) {
			t.Fatalf("%q became %q", data, out)
		}
		e = gemini.NewEncoder("r", "m", false)
		if out, err := e.Whole(data, false, llm.Ending{Finish: finish}); err == nil && !json.Valid(out) {
			t.Fatalf("%q became %q", data, out)
		}
		if len(data) > 0 && data[0] == '{' {
			if out, err := e.Whole(data, true, llm.Ending{Receipt: []byte(`{"a":1}`)}); err != nil || !json.Valid(out) {
				t.Fatalf("%q became %q", data, out)
			}
		}
		if out := e.Error(fault.New(fault.Invalid, "x", "%s", data), 400); !json.Valid(out) {
			t.Fatalf("%q", out)
		}
	})
}
