package anthropic_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/wire"
)

// refusal insists on an error that may be shown.
func refusal(t *testing.T, body []byte, err error) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Code == "" || f.Text == "" {
		t.Fatalf("%q: %v", body, err)
	}
}

// Whatever comes in is refused with a reason, or becomes a request that the
// neutral form's own parser can judge and a body that is JSON.
func FuzzParse(f *testing.F) {
	for _, data := range fixtures(f, "request") {
		f.Add([]byte(load(f, data).Body))
	}
	for _, seed := range []string{``, `null`, `{}`, `{"messages":`, `{"model":"a","max_tokens":1,"messages":[{"role":"user","content":[null]}]}`, "{\"model\":\"\\u0000\"}", `{"model":"a","model":"b"}`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		chat, only, err := anthropic.Parse(body)
		full, _, errFull := anthropic.ParseFull(body)
		if (err == nil) != (errFull == nil) {
			t.Fatalf("%v, with hints %v", err, errFull)
		}
		if err != nil {
			refusal(t, body, err)
			return
		}
		if !json.Valid(chat) || !json.Valid(full) || !utf8.Valid(chat) {
			t.Fatalf("%q became %q", body, chat)
		}
		if _, err := openai.Parse(chat); err != nil {
			refusal(t, chat, err)
			return
		}
		to := llm.Target{Upstream: "m", Cap: 5000, Rules: llm.Rules{Reasoning: "budget"}}
		back, _, err := anthropic.Outbound(&to, &llm.Request{Body: full})
		if err != nil {
			refusal(t, full, err)
		} else if !json.Valid(back) {
			t.Fatalf("%q went out as %q", full, back)
		}
		own, _, err := anthropic.Passed(&to, &llm.Request{Native: &llm.Native{Protocol: "anthropic", Body: body, Only: only}})
		if err != nil || !json.Valid(own) {
			t.Fatalf("%q was passed as %q, %v", body, own, err)
		}
	})
}

// Whatever the neutral form's parser accepts is sent as JSON or refused.
func FuzzOutbound(f *testing.F) {
	for _, data := range fixtures(f, "outbound") {
		f.Add([]byte(load(f, data).Body), "effort")
	}
	f.Fuzz(func(t *testing.T, body []byte, reasoning string) {
		if _, err := openai.Parse(body); err != nil {
			return
		}
		to := llm.Target{Upstream: "m", Cap: 5000, Rules: llm.Rules{Reasoning: reasoning}}
		out, changes, err := anthropic.Outbound(&to, &llm.Request{Body: body})
		if err != nil {
			refusal(t, body, err)
			return
		}
		if !json.Valid(out) {
			t.Fatalf("%q went out as %q", body, out)
		}
		for _, c := range changes {
			if c.Name == "" || c.Rule == "" {
				t.Fatalf("%+v", c)
			}
		}
	})
}

// Whatever a provider streams, every event that comes of it is JSON, and so is
// every frame that the caller of this dialect gets.
func FuzzStream(f *testing.F) {
	for _, data := range fixtures(f, "stream") {
		f.Add(data)
	}
	own := native(f, true, `{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, req := range []*llm.Request{request(true, ""), own} {
			w := wire.New(wire.Options{Transport: pieces{200, "text/event-stream", [][]byte{body}}})
			to := llm.Target{BaseURL: "http://fixture/v1", Upstream: "claude", Cap: 256, AllowPrivate: true, Timeouts: llm.Timeouts{FirstToken: 1e10, Idle: 1e10}}
			e := anthropic.NewEncoder("1", "m")
			result, err := anthropic.New(w).Stream(context.Background(), to, req, func(ev *llm.Event) error {
				if !json.Valid(ev.Data) || ev.Output < len(ev.Content) {
					t.Fatalf("%q, %+v", ev.Data, ev)
				}
				valid(t, e.Event(nil, ev))
				return nil
			})
			valid(t, e.End(nil, llm.Ending{Finish: result.Finish}))
			if u := result.Usage; u != nil && (u.Input|u.Output|u.Reasoning|u.CachedInput|u.CacheWrite) < 0 {
				t.Fatalf("%+v", u)
			}
			if err == nil && result.Finish == "" {
				t.Fatal("complete without a finish")
			}
		}
	})
}

func valid(t *testing.T, frames []byte) {
	t.Helper()
	for line := range bytes.Lines(frames) {
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok && !json.Valid(data) {
			t.Fatalf("%q", line)
		} else if !ok && !bytes.HasPrefix(line, []byte("event: ")) && string(line) != "\n" {
			t.Fatalf("a line of its own: %q", line)
		}
	}
}

// Whatever another engine's chunks say, the frames stand in the order that
// SDKs insist on.
func FuzzEncode(f *testing.F) {
	for _, seed := range []string{delta(`{"content":"x"}`), delta(`{"reasoning_content":"x","content":"y"}`), delta(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}},{"index":1,"id":"b"}]}`) + "\n" + delta(`{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}`),
		delta(`{"thinking_blocks":[{"type":"thinking","thinking":"x","signature":"y"},{"type":"redacted_thinking","data":"z"},1]}`), `{"choices":[]}`, `{"choices":[null,{"delta":7}]}`, `{"choices":[{"delta":{"content":"\ud83d"}}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, chunks []byte) {
		if !utf8.Valid(chunks) {
			return
		}
		e, r := anthropic.NewEncoder("1", "m"), &reader{}
		for line := range bytes.Lines(chunks) {
			if line = bytes.TrimSpace(line); json.Valid(line) {
				frames := e.Event(nil, &llm.Event{Data: line})
				valid(t, frames)
				r.frames(t, frames)
				if whole, err := anthropic.NewEncoder("1", "m").Whole(line, false, llm.Ending{}); err == nil && !json.Valid(whole) {
					t.Fatalf("%q became %q", line, whole)
				}
			}
		}
		end := e.End(nil, llm.Ending{Finish: "stop", Receipt: []byte(`{}`)})
		valid(t, end)
		r.frames(t, end)
		if !r.ended {
			t.Fatal("no end")
		}
	})
}
