package anthropic_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/openai"
)

var update = flag.Bool("update", false, "write what comes out into the fixtures, to be read before it is kept")

// asked is a fixture of a request: what comes in, and what has to come out.
type asked struct {
	Rules   *llm.Rules      `json:"rules,omitempty"`
	Cap     int64           `json:"cap,omitempty"`
	Body    json.RawMessage `json:"body"`
	Out     json.RawMessage `json:"out,omitempty"`
	Only    []string        `json:"only,omitempty"`
	Changes []llm.Change    `json:"changes,omitempty"`
	Code    string          `json:"code,omitempty"`
	Field   string          `json:"field,omitempty"`
	Text    string          `json:"text,omitempty"`
}

func load(t testing.TB, data []byte) asked {
	t.Helper()
	var a asked
	if err := json.Unmarshal(data, &a); err != nil {
		t.Fatal(err)
	}
	a.Body, a.Out = compact(t, a.Body), compact(t, a.Out)
	return a
}

func compact(t testing.TB, raw []byte) []byte {
	t.Helper()
	if raw == nil {
		return nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return b.Bytes()
}

// verify holds what came out against the fixture, or writes it there.
func verify(t *testing.T, dir, name string, want asked, out []byte, only []string, changes []llm.Change, err error) {
	t.Helper()
	got := want
	got.Out, got.Only, got.Changes = compact(t, out), only, changes
	got.Code, got.Field, got.Text = "", "", ""
	if err != nil {
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Invalid {
			t.Fatalf("%v is no Invalid", err)
		}
		got.Code, got.Field, got.Text = f.Code, f.Field, f.Text
	}
	if *update {
		data, err := json.MarshalIndent(got, "", " ")
		if err == nil {
			err = os.WriteFile(filepath.Join("testdata", dir, name+".json"), append(data, '\n'), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(got.Out, want.Out) {
		t.Errorf("got  %s\nwant %s", got.Out, want.Out)
	}
	got.Out, got.Body, want.Out, want.Body = nil, nil, nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Every neutral request becomes the Messages body it should, or is refused by name.
func TestOutboundFixtures(t *testing.T) {
	for name, data := range fixtures(t, "outbound") {
		t.Run(name, func(t *testing.T) {
			a := load(t, data)
			if _, err := openai.Parse(a.Body); err != nil && !strings.HasPrefix(name, "unknown") && !strings.HasPrefix(name, "refused_") {
				t.Fatalf("the fixture is no chat request: %v", err)
			}
			to := llm.Target{Upstream: "claude-x", Cap: a.Cap, Rules: *a.Rules}
			out, changes, err := anthropic.Outbound(&to, &llm.Request{Body: a.Body})
			verify(t, "outbound", name, a, out, nil, changes, err)
		})
	}
}

// Every Messages request becomes the neutral body it should, or is refused by name.
func TestRequestFixtures(t *testing.T) {
	for name, data := range fixtures(t, "request") {
		t.Run(name, func(t *testing.T) {
			a := load(t, data)
			chat, only, err := anthropic.Parse(a.Body)
			verify(t, "request", name, a, chat, only, nil, err)
			if err != nil {
				return
			}
			if _, err := openai.Parse(chat); err != nil {
				t.Errorf("it is no chat request: %v\n%s", err, chat)
			}
		})
	}
}

// A Messages body that goes through the neutral form comes out saying the same.
func TestRoundTrip(t *testing.T) {
	for name, data := range fixtures(t, "request") {
		t.Run(name, func(t *testing.T) {
			a := load(t, data)
			chat, only, err := anthropic.ParseFull(a.Body)
			if err != nil || len(only) > 0 {
				return
			}
			for _, way := range []string{"budget", "effort"} {
				to := llm.Target{Upstream: "asked", Cap: int64(plain(t, a.Body)["max_tokens"].(float64)), Rules: llm.Rules{Reasoning: way}}
				back, _, err := anthropic.Outbound(&to, &llm.Request{Body: chat, Stream: bytes.Contains(a.Body, []byte(`"stream":true`))})
				if err != nil {
					t.Fatal(err)
				}
				got, want := canonical(plain(t, back)), canonical(plain(t, a.Body))
				delete(want, "thinking") // a budget is a word in between: checked below
				thought := got["thinking"]
				delete(got, "thinking")
				if !reflect.DeepEqual(got, want) {
					g, _ := json.Marshal(got)
					w, _ := json.Marshal(want)
					t.Errorf("%s: got  %s\nwant %s\nby way of %s", way, g, w, chat)
				}
				if asked, _ := plain(t, a.Body)["thinking"].(map[string]any); way == "budget" && asked["type"] == "enabled" && !reflect.DeepEqual(thought, any(asked)) {
					t.Errorf("thinking %v, want %v", thought, asked)
				}
			}
		})
	}
}

func plain(t testing.TB, body []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// canonical spells out what has two spellings: a text that is a block of its
// own, defaults that are written, and what never goes back.
func canonical(m map[string]any) map[string]any {
	for _, ours := range []string{"max_cost", "models", "resumable", "cache_control"} {
		delete(m, ours)
	}
	for name, v := range m {
		if v == nil {
			delete(m, name)
		}
	}
	m["system"] = blocks(m["system"])
	var turns []any
	for _, turn := range m["messages"].([]any) {
		turn := turn.(map[string]any)
		turn["content"] = blocks(turn["content"])
		turns = append(turns, turn)
	}
	m["messages"] = turns
	if list, ok := m["tools"].([]any); ok {
		for _, tool := range list {
			delete(tool.(map[string]any), "type")
		}
	}
	// effort is "effort" only where the rules say so
	if config, ok := m["output_config"].(map[string]any); ok {
		delete(config, "effort")
		if len(config) == 0 {
			delete(m, "output_config")
		}
	}
	return m
}

func blocks(v any) any {
	switch v := v.(type) {
	case string:
		return []any{map[string]any{"type": "text", "text": v}}
	case []any:
		v = slices.DeleteFunc(slices.Clone(v), func(b any) bool { // thinking without a signature goes to nobody
			block := b.(map[string]any)
			return block["type"] == "thinking" && block["signature"] == ""
		})
		for _, b := range v {
			block := b.(map[string]any)
			for _, echo := range []string{"citations", "caller"} {
				delete(block, echo)
			}
			if block["type"] == "tool_result" {
				if block["content"] = blocks(block["content"]); block["content"] == nil {
					delete(block, "content")
				} else if list := block["content"].([]any); len(list) == 0 {
					delete(block, "content")
				}
			}
		}
		return v
	}
	return v
}
