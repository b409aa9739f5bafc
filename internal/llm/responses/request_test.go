package responses_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"onemind/internal/fault"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/responses"
)

// update writes what was computed into testdata, to be read by a person.
var update = flag.Bool("update", false, "write the expected results into testdata")

// exchange is a request of testdata with the chat request or the error it becomes.
type exchange struct {
	Request json.RawMessage `json:"request"`
	Chat    json.RawMessage `json:"chat,omitempty"`
	Code    string          `json:"code,omitempty"`
	Param   string          `json:"param,omitempty"`
}

func TestParse(t *testing.T) {
	files, err := filepath.Glob("testdata/requests/*.json")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d requests, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var x exchange
			if err := json.Unmarshal(raw, &x); err != nil {
				t.Fatal(err)
			}
			chat, err := responses.Parse(x.Request)
			if x.Code != "" {
				if f := fault.From(err); err == nil || f.Kind != fault.Invalid || f.Code != x.Code || f.Field != x.Param || !strings.Contains(f.Text, "'"+x.Param+"'") {
					t.Errorf("%s %v", chat, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := openai.Parse(chat); err != nil {
				t.Errorf("%s: %v", chat, err)
			}
			if *update {
				x.Chat = chat
				b, _ := json.Marshal(x)
				var out bytes.Buffer
				_ = json.Indent(&out, b, "", " ")
				out.WriteByte('\n')
				if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			var got, want any
			if json.Unmarshal(chat, &got) != nil || json.Unmarshal(x.Chat, &want) != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got  %s\nwant %s", chat, x.Chat)
			}
		})
	}
}

// What is no JSON, or has the wrong shape, is refused for that.
func TestParseRefusesGarbage(t *testing.T) {
	var many strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&many, `,"m%d":1`, i)
	}
	for _, tt := range []struct{ body, code, param string }{
		{`{"model":"m","input":[{"role":"user"` + many.String() + `}]}`, "invalid_value", "input[0].m63"},
		{`{"model":"m","input":"x","metadata":{"a":"b"` + many.String() + `}}`, "invalid_value", "metadata.m63"},
		{``, "invalid_json", ""}, {`{`, "invalid_json", ""}, {`[]`, "invalid_type", ""}, {`{} {}`, "invalid_json", ""}, {"{\"a\":\"\xff\"}", "invalid_json", ""},
		{`{"model":"m","input":"a","input":"b"}`, "invalid_value", "input"}, {`{"model":"m","input":[{"role":"user","role":"system","content":"x"}]}`, "invalid_value", "input[0].role"},
		{`{"model":"m","input":["x"]}`, "invalid_type", "input[0]"}, {`{"model":"m","input":[{"role":"user"}]}`, "missing_required_parameter", "input[0].content"},
		{`{"model":"m","input":[{"role":"user","content":5}]}`, "invalid_type", "input[0].content"}, {`{"model":"m","input":[{"role":"user","content":[]}]}`, "invalid_value", "input[0].content"},
		{`{"model":"m","input":[{"type":"function_call","call_id":"c","name":"f"}]}`, "missing_required_parameter", "input[0].arguments"},
		{`{"model":"m","input":[{"type":"function_call","name":"f","arguments":"{}"}]}`, "missing_required_parameter", "input[0].call_id"},
		{`{"model":"m","input":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "invalid_json", ""},
		{`{"model":"m","input":"x","reasoning":"low"}`, "invalid_type", "reasoning"}, {`{"model":"m","input":"x","tools":{}}`, "invalid_type", "tools"},
		{`{"model":"m","input":"x","tools":[{"type":"function"}]}`, "missing_required_parameter", "tools[0].name"}, {`{"model":"m","input":"x","stream":"yes"}`, "invalid_type", "stream"},
		{`{"model":"m","input":"x","tools":[{"type":"function","name":"f","parameters":[]}]}`, "invalid_type", "tools[0].parameters"},
		{`{"model":"m","input":"x","instructions":["x"]}`, "invalid_type", "instructions"}, {`{"model":"m","input":"x","include":"all"}`, "invalid_type", "include"},
	} {
		chat, err := responses.Parse([]byte(tt.body))
		if f := fault.From(err); err == nil || f.Kind != fault.Invalid || f.Code != tt.code || f.Field != tt.param {
			t.Errorf("%.80s: %s %v", tt.body, chat, err)
		}
	}
}

// A request that is accepted becomes one that the chat dialect accepts, but for
// members which it checks for both.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/requests/*.json")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var x exchange
		if err := json.Unmarshal(raw, &x); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(x.Request))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		chat, err := responses.Parse(body)
		if err != nil {
			if f := fault.From(err); f.Kind != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		if !json.Valid(chat) {
			t.Fatalf("%q", chat)
		}
		if _, err := openai.Parse(chat); err != nil {
			name, _, _ := strings.Cut(fault.From(err).Field, "[")
			switch name {
			case "model", "temperature", "top_p", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier", "max_cost", "max_cost_nano_usd", "models", "resumable":
			default:
				t.Fatalf("%s: %v", chat, err)
			}
		}
		// A response says the request back.
		responses.NewEncoder("x", "m", body)
	})
}
