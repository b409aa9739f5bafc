package anthropic_test

import (
	"strings"
	"testing"

	"onemind/internal/fault"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/sim"
)

// What Anthropic's and Vercel's recent clients send: how soon fragments of a tool's
// input come is the provider's business where the provider knows it, and no
// change of the answer where not.
func TestEagerInputStreaming(t *testing.T) {
	const tools = `"tools":[{"name":"f","input_schema":{"type":"object"},"eager_input_streaming":true},{"name":"g","input_schema":{"type":"object"},"eager_input_streaming":false},{"name":"h","input_schema":{"type":"object"},"eager_input_streaming":null}]`
	body := `{"model":"asked","max_tokens":50,"stream":true,"messages":[{"role":"user","content":"Hi"}],` + tools + `}`
	chat, only, err := anthropic.Parse([]byte(body))
	if err != nil || len(only) > 0 || strings.Contains(string(chat), "eager") || strings.Count(string(chat), `"parameters":{"type":"object"}`) != 3 {
		t.Errorf("%s, %v, %v", chat, only, err)
	}
	s, to := server(t, sim.Script{Text: "Hello to you."})
	var h heard
	if _, err := client(t).Stream(t.Context(), to, native(t, true, body), h.emit); err != nil || h.text != "Hello to you." {
		t.Fatalf("%+v, %v", h, err)
	}
	if sent := string(s.Last().Body); !strings.Contains(sent, tools) {
		t.Errorf("the provider got %s", sent)
	}
	_, _, err = anthropic.Parse([]byte(strings.Replace(body, "true}", "1}", 1)))
	if f := fault.From(err); f.Kind != fault.Invalid || f.Field != "tools[0].eager_input_streaming" {
		t.Errorf("a number: %v", err)
	}
}

// The system may speak within a conversation.
func TestSystemBetweenTurns(t *testing.T) {
	const messages = `"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello."},{"role":"system","content":"The user is in Graz."},` +
		`{"role":"user","content":"Where am I?"},{"role":"system","content":[{"type":"text","text":"Answer in German."},{"type":"text","text":"Now."}]}]`
	body := `{"model":"asked","max_tokens":50,"stream":true,` + messages + `,"system":"Be brief."}`
	chat, only, err := anthropic.Parse([]byte(body))
	want := strings.Replace(messages, `[{`, `[{"role":"system","content":"Be brief."},{`, 1)
	if err != nil || len(only) > 0 || !strings.Contains(string(chat), want) {
		t.Errorf("%s, %v, %v\nwant %s", chat, only, err, want)
	}
	s, to := server(t, sim.Script{Text: "Hello to you."})
	var h heard
	if _, err := client(t).Stream(t.Context(), to, native(t, true, body), h.emit); err != nil {
		t.Fatal(err)
	}
	if sent := string(s.Last().Body); !strings.Contains(sent, messages) {
		t.Errorf("the provider got %s", sent)
	}
	for content, field := range map[string]string{`5`: "messages[1].content", `[{"type":"image"}]`: "messages[1].content[0].type", `[{"type":"text"}]`: "messages[1].content[0].text"} {
		_, _, err := anthropic.Parse([]byte(`{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"},{"role":"system","content":` + content + `}]}`))
		if f := fault.From(err); f.Kind != fault.Invalid || f.Field != field {
			t.Errorf("%s: %v at %q", content, err, f.Field)
		}
	}
}
