package gemini_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/gemini"
	"onemind/internal/llm/openai"
)

// parsed is what a body gives.
type parsed struct {
	Chat  json.RawMessage `json:"chat,omitempty"`
	Only  []string        `json:"only,omitempty"`
	Code  string          `json:"code,omitempty"`
	Field string          `json:"field,omitempty"`
	Text  string          `json:"text,omitempty"`
}

func parse(t testing.TB, body []byte) (p parsed) {
	t.Helper()
	chat, only, err := gemini.Parse("gemini-2.5-flash", false, body)
	if err != nil {
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Invalid {
			t.Fatalf("%s: %v is no fault of the caller's", body, err)
		}
		return parsed{Code: f.Code, Field: f.Field, Text: f.Text}
	}
	return parsed{Chat: chat, Only: only}
}

// Every request gives what it has to, and what is accepted is a chat request.
func TestRequests(t *testing.T) {
	for name, data := range fixtures(t, "request/*.json", 50) {
		p := parse(t, data)
		bad := strings.HasPrefix(filepath.Base(name), "bad-")
		if bad != (p.Chat == nil) {
			t.Errorf("%s: %+v", name, p)
			continue
		}
		if !bad {
			if _, err := openai.Parse(p.Chat); err != nil {
				t.Errorf("%s: %s: %v", name, p.Chat, err)
			}
		} else if p.Field != "" && !strings.Contains(p.Text, "'"+p.Field+"'") {
			t.Errorf("%s: the text does not name %s: %s", name, p.Field, p.Text)
		}
		got, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		compare(t, name, string(got)+"\n")
	}
}

// A member that the caller spelt in snake_case means the same as in camelCase.
func TestSpellings(t *testing.T) {
	snake := []byte(`{"system_instruction":{"parts":[{"text":"s"}]},"contents":[{"parts":[{"inline_data":{"mime_type":"image/png","data":"AAAA"}}]}],"tools":[{"function_declarations":[{"name":"f"}]}],"tool_config":{"function_calling_config":{"mode":"NONE"}},"generation_config":{"max_output_tokens":5,"top_p":0.5,"stop_sequences":["x"]}}`)
	camel := []byte(`{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}],"tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{"functionCallingConfig":{"mode":"NONE"}},"generationConfig":{"maxOutputTokens":5,"topP":0.5,"stopSequences":["x"]}}`)
	if a, b := parse(t, snake), parse(t, camel); a.Chat == nil || !bytes.Equal(a.Chat, b.Chat) {
		t.Errorf("%s\n%s", a.Chat, b.Chat)
	}
}

func TestParseStreams(t *testing.T) {
	chat, _, err := gemini.Parse("models/m", true, []byte(`{"contents":[{"parts":[{"text":"x"}]}]}`))
	if err != nil || !strings.HasPrefix(string(chat), `{"model":"m","stream":true,`) {
		t.Errorf("%s, %v", chat, err)
	}
}

// Round trip: a native request that is translated to chat completions and back says
// the same, whatever was said in it.
func TestRoundTrip(t *testing.T) {
	for _, name := range []string{"least", "chat", "config", "tools", "tools-any", "tools-one", "function-turns", "media", "json-schema", "escapes"} {
		data := fixtures(t, "request/"+name+".json", 1)[filepath.Join("testdata", "request", name+".json")]
		first := parse(t, data)
		there, _, err := sent(t, target(), string(first.Chat))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again := parse(t, []byte(there))
		there2, _, err := sent(t, target(), string(again.Chat))
		if err != nil || there2 != there {
			t.Errorf("%s: %v\n%s\n%s", name, err, there, there2)
		}
		var want, got struct{ Messages, Tools, Response any }
		chat := first.Chat
		_ = json.Unmarshal(chat, &want)
		_ = json.Unmarshal(again.Chat, &got)
		if a, b := fmt.Sprint(want), fmt.Sprint(got); name != "media" && a != b { // of audio/mpeg the shorter name comes back
			t.Errorf("%s:\n%s\n%s", name, a, b)
		}
	}
}

func TestParseCount(t *testing.T) {
	for _, body := range []string{
		`{"contents":[{"parts":[{"text":"Hello"}]}]}`,
		`{"generateContentRequest":{"model":"models/m","contents":[{"parts":[{"text":"Hello"}]}],"systemInstruction":{"parts":[{"text":"x"}]}}}`,
	} {
		chat, err := gemini.ParseCount("m", []byte(body))
		if err != nil || !bytes.Contains(chat, []byte("Hello")) {
			t.Errorf("%s: %s, %v", body, chat, err)
		}
	}
	if _, err := gemini.ParseCount("m", []byte(`{"contents":1}`)); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
	if got := string(gemini.CountTokensResponse(31)); got != `{"totalTokens":31}` {
		t.Error(got)
	}
}

// A body of a million pieces is read in a moment: no list is searched for each of
// its own members.
func TestLongRequests(t *testing.T) {
	calls := strings.Repeat(`{"functionCall":{"name":"f"}},`, 9_000)
	results := strings.Repeat(`{"functionResponse":{"name":"f","response":{}}},`, 9_000)
	body := `{"contents":[{"parts":[{"text":"x"}]},{"role":"model","parts":[` + calls[:len(calls)-1] + `]},{"parts":[` + results[:len(results)-1] + `]}]}`
	if p := parse(t, []byte(body)); p.Chat == nil {
		t.Errorf("%+v", p)
	}
	deep := `{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"responseMimeType":"application/json","responseSchema":` + strings.Repeat(`{"type":"ARRAY","items":`, 30) + `{"type":"STRING"}` + strings.Repeat("}", 30) + "}}"
	if p := parse(t, []byte(deep)); p.Chat == nil {
		t.Errorf("%+v", p)
	}
	if p := parse(t, []byte(strings.Repeat("[", 100_000))); p.Code != "invalid_json" {
		t.Errorf("%+v", p)
	}
}

func FuzzParse(f *testing.F) {
	for _, data := range fixtures(f, "request/*.json", 50) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p := parse(t, body)
		if p.Chat == nil {
			return
		}
		if !json.Valid(p.Chat) {
			t.Fatalf("%q became %q", body, p.Chat)
		}
		req, err := openai.Parse(p.Chat)
		if err != nil { // what it is stricter about: lengths, and names with no letters
			var e *fault.Error
			if !errors.As(err, &e) || e.Code == "invalid_json" || e.Code == "unknown_parameter" {
				t.Fatalf("%q became %q: %v", body, p.Chat, err)
			}
			return
		}
		to := target()
		to.Rules.Reasoning = "budget"
		u := &upstream{kind: "application/json"}
		_, _ = call(u, to, &req.Request, nil)
		if u.asked != nil && !json.Valid(u.body) {
			t.Fatalf("%q was sent as %q", p.Chat, u.body)
		}
		native := req.Request
		native.Native = &llm.Native{Protocol: "gemini", Body: body}
		u = &upstream{kind: "application/json"}
		_, _ = call(u, to, &native, nil)
		var config struct {
			GenerationConfig struct{ MaxOutputTokens int64 }
		}
		if u.asked == nil || json.Unmarshal(u.body, &config) != nil || config.GenerationConfig.MaxOutputTokens != to.Cap {
			t.Fatalf("%q passed as %q", body, u.body)
		}
	})
}
