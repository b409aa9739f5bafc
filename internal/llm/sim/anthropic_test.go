package sim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"onemind/internal/llm/sim"
)

// messages asks in the Messages API's own words.
func messages(t *testing.T, s *sim.Server, body string) (*http.Response, string) {
	t.Helper()
	server := httptest.NewServer(s)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/v1/messages", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Anthropic-Version", "2023-06-01")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil && !strings.Contains(err.Error(), "EOF") {
		t.Fatal(err)
	}
	return resp, string(data)
}

const asked = `{"model":"m","max_tokens":100,"system":"Be brief.","messages":[{"role":"user","content":[{"type":"text","text":"one two"}]}]`

// The whole message and the stream say the same, in Anthropic's shape.
func TestMessages(t *testing.T) {
	told := 0
	s := sim.New(sim.Options{Choose: func(*sim.Request) sim.Script {
		return sim.Script{Text: "Hello you", Reasoning: "Hm, well.", Calls: []sim.Call{{Name: "f", Arguments: `{"a":1}`}}, Cached: 2, Told: func(input, output int) { told += input*1000 + output }}
	}})
	_, body := messages(t, s, asked+`}`)
	var m struct {
		ID, Type, Role, Model string
		Content               []struct {
			Type, Text, Thinking, Signature, ID, Name string
			Input                                     struct{ A int }
		}
		StopReason string         `json:"stop_reason"`
		Usage      map[string]int `json:"usage"`
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(m.ID, "msg_") || m.Type != "message" || m.Role != "assistant" || m.StopReason != "tool_use" || len(m.Content) != 3 ||
		m.Content[0].Thinking != "Hm, well." || m.Content[0].Signature == "" || m.Content[1].Text != "Hello you" || m.Content[2].Name != "f" || m.Content[2].Input.A != 1 {
		t.Errorf("%+v", m)
	}
	prompt := len(sim.Pieces("Be brief.")) + 2
	if m.Usage["input_tokens"]+m.Usage["cache_read_input_tokens"] != prompt || m.Usage["cache_read_input_tokens"] != 2 || told != prompt*1000+m.Usage["output_tokens"] {
		t.Errorf("%v, told %d", m.Usage, told)
	}
	resp, stream := messages(t, s, asked+`,"stream":true}`)
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Error(got)
	}
	for _, want := range []string{"event: message_start\ndata: {", `{"type":"thinking","thinking":"","signature":""}`, `"signature_delta"`, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":2}", `"partial_json":"{"`, `"stop_reason":"tool_use"`, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"} {
		if !strings.Contains(stream, want) {
			t.Errorf("%q is missing in\n%s", want, stream)
		}
	}
}

func TestMessagesBounds(t *testing.T) {
	s := sim.New(sim.Options{})
	if _, body := messages(t, s, strings.Replace(asked, "100", "3", 1)+`}`); !strings.Contains(body, `"stop_reason":"max_tokens"`) || !strings.Contains(body, `"output_tokens":3`) {
		t.Error(body)
	}
	if _, body := messages(t, s, asked+`,"stop_sequences":["word3"]}`); strings.Contains(body, "word3") || !strings.Contains(body, "word2") {
		t.Error(body)
	}
	for _, bad := range []string{`{`, `{"model":"m","max_tokens":1,"messages":[]}`, `{"model":"m","messages":[{"role":"user","content":"x"}]}`, `{"model":"m","max_tokens":1,"messages":[{"role":"system","content":"x"}]}`} {
		if resp, body := messages(t, s, bad); resp.StatusCode != 400 || !strings.Contains(body, `"type":"invalid_request_error"`) {
			t.Errorf("%s: %d %s", bad, resp.StatusCode, body)
		}
	}
}

// Every trouble of a script is one here too.
func TestMessagesTroubles(t *testing.T) {
	for name, tt := range map[string]struct {
		script sim.Script
		want   string // what the stream ends with
	}{
		"cut":        {sim.Script{Break: sim.Cut, After: 2}, `"text":"word0"}}` + "\n\n"},
		"fails":      {sim.Script{Break: sim.Fails, After: 1}, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"The script says so.\"}}\n\n"},
		"garbage":    {sim.Script{Break: sim.Garbage, After: 1}, "[{\n\n"},
		"no finish":  {sim.Script{NoFinish: true, NoDone: true}, "{\"type\":\"content_block_stop\",\"index\":0}\n\n"},
		"no done":    {sim.Script{NoDone: true, Usage: sim.Never}, `{"delta":{"stop_reason":"end_turn","stop_sequence":null},"type":"message_delta"}` + "\n\n"},
		"zero first": {sim.Script{NoDone: true, Usage: sim.ZeroFirst}, `"input_tokens":5,"output_tokens":16}}` + "\n\n"},
	} {
		s := sim.New(sim.Options{Choose: func(*sim.Request) sim.Script { return tt.script }})
		if _, body := messages(t, s, asked+`,"stream":true}`); !strings.HasSuffix(body, tt.want) {
			t.Errorf("%s:\n%s", name, body)
		}
	}
	s := sim.New(sim.Options{Choose: func(*sim.Request) sim.Script { return sim.Script{Status: 529, RetryAfter: "3"} }})
	if resp, body := messages(t, s, asked+`}`); resp.StatusCode != 529 || resp.Header.Get("Retry-After") != "3" || !strings.HasPrefix(body, `{"error":{"message":"The script says 529."`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
