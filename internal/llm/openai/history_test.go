package openai

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"onemind/internal/fault"
	"onemind/internal/llm"
)

// history is a conversation that went through other dialects.
const history = `[ {"role":"system","content":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}}]},` +
	`{"role":"user","content":"\"images\" and {\"is_error\":true}","cache_control":null},` +
	`{"reasoning_content":"Hm.","role":"assistant","content":null,"thinking_blocks":[{"type":"thinking","thinking":"Hm.","signature":"s"}],` +
	`"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"extra_content\":1}"},"extra_content":{"google":{"thought_signature":"t"}}}, {"extra_content":{},"id":"d"}]},` +
	`{"role":"tool","tool_call_id":"c","content":"no","is_error":true}, ` +
	`{"role":"assistant","content":"images","extra_content":{"google":{}},"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}]}]`

func TestHistoryOfOtherDialects(t *testing.T) {
	all := []string{"thinking_blocks", "reasoning_content", "extra_content", "images", "is_error", "cache_control"}
	for _, tt := range []struct {
		name, base, reasoning string
		kept                  []string
		want                  []string // that stand in what is sent
	}{
		{name: "OpenAI", base: "https://api.openai.com/v1"},
		{name: "DeepSeek", base: "https://api.deepseek.com", reasoning: "content", kept: []string{"reasoning_content", "extra_content"},
			want: []string{`"reasoning_content":"Hm."`, `"extra_content":{"google":{"thought_signature":"t"}}`}},
		{name: "Gemini", base: "https://generativelanguage.googleapis.com/v1beta/openai", kept: []string{"extra_content"},
			want: []string{`"extra_content":{"google":{"thought_signature":"t"}}`, `"extra_content":{"google":{}}`}},
		{name: "not Gemini", base: "https://generativelanguage.googleapis.com.example.org/v1"},
		{name: "OpenRouter", base: "https://openrouter.ai/api/v1", kept: []string{"cache_control"}, want: []string{`"text":"Be brief.","cache_control":{"type":"ephemeral"}}]`}},
	} {
		body, changes, err := outbound(&llm.Target{BaseURL: tt.base, Upstream: "up", Rules: llm.Rules{Reasoning: tt.reasoning}}, &llm.Request{Body: []byte(saying(history))})
		if err != nil {
			t.Fatal(err)
		}
		var want []llm.Change
		for _, member := range all {
			if kept := slices.Contains(tt.kept, member); strings.Contains(string(body), `"`+member+`":`) != kept {
				t.Errorf("%s: %s is sent: %t: %s", tt.name, member, !kept, body)
			} else if !kept {
				want = append(want, llm.Change{Name: "messages[]." + member, Rule: "dialect"})
			}
		}
		if !slices.Equal(changes, want) {
			t.Errorf("%s: told %+v, want %+v", tt.name, changes, want)
		}
		for _, said := range append(tt.want, `"content":"\"images\" and {\"is_error\":true}"`, `"arguments":"{\"extra_content\":1}"`, `"content":"images"`) {
			if !strings.Contains(string(body), said) {
				t.Errorf("%s: no %s in %s", tt.name, said, body)
			}
		}
		if _, err := Parse(slices.Concat([]byte(`{"model":"m",`), body[len(`{"model":"up",`):])); err != nil {
			t.Errorf("%s: %v in %s", tt.name, err, body)
		}
	}
}

// A history that has nothing of the kind is sent byte by byte.
func TestHistoryOfItsOwn(t *testing.T) {
	messages := ` [ {"role" : "user","content":[ {"type":"text","text":"images"} ]} , {"role":"assistant","content":null,"refusal":"No."} ]`
	body, changes, err := outbound(&llm.Target{Upstream: "up"}, &llm.Request{Body: []byte(saying(messages))})
	if want := `{"model":"up","messages":` + messages + `}`; err != nil || string(body) != want || changes != nil {
		t.Errorf("%s, %v, %v\nwant %s", body, changes, err, want)
	}
}

func TestParseWhatWasSaidBefore(t *testing.T) {
	const drawn = `{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}`
	small := fmt.Sprintf(drawn, "AA")
	large := fmt.Sprintf(drawn, strings.Repeat("iVBORw0KGgo", 100_000))
	weigh := func(list string) int64 {
		r, err := Parse([]byte(saying(`[{"role":"user","content":"Draw."},{"role":"assistant","content":"","images":` + list + `},{"role":"user","content":"Again."}]`)))
		if err != nil {
			t.Fatal(err)
		}
		return r.InputTokens
	}
	none := weigh(`[]`)
	if one, two := weigh("["+large+"]"), weigh("["+small+","+large+"]"); one != none+perImage || two != none+2*perImage {
		t.Errorf("%d tokens with no image, %d with one, %d with two", none, one, two)
	}
	for body, want := range map[string]string{
		saying(`[{"role":"user","content":"x"},{"role":"assistant","content":null,"refusal":"No."},{"role":"user","content":"y"}]`):               "",
		saying(`[{"role":"assistant","content":null,"refusal":null}]`):                                                                            "messages[0].content",
		saying(`[{"role":"user","content":null,"refusal":"No."}]`):                                                                                "messages[0].content",
		saying(`[{"role":"assistant","content":"","images":["\u0000"]}]`):                                                                         "messages[0].images",
		with(`"tools":[` + strings.Repeat(`{"type":"function","function":{"name":"f"}},`, 1023) + `{"type":"function","function":{"name":"f"}}]`): "",
		with(`"tools":[` + strings.Repeat(`{"type":"function","function":{"name":"f"}},`, 1024) + `{"type":"function","function":{"name":"f"}}]`): "tools",
	} {
		_, err := Parse([]byte(body))
		if field := fieldOf(err); field != want {
			t.Errorf("%.120s: %v at %q, want %q", body, err, field, want)
		}
	}
}

func fieldOf(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Field
	}
	return ""
}
