package openai

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"

	"onemind/internal/fault"
	"onemind/internal/llm"
)

func TestOutbound(t *testing.T) {
	const messages = `"messages": [ {"role":"user","content":"é \u00e9"} ]`
	for _, tt := range []struct {
		name, body string
		stream     bool
		rules      llm.Rules
		want       string
	}{
		{"plain", `{"model":"a",` + messages + `}`, false, llm.Rules{}, `{"model":"up","max_tokens":9,` + messages + `}`},
		{"stream", `{"stream":true,` + messages + `,"model":"a"}`, true, llm.Rules{}, `{"model":"up","stream":true,"max_tokens":9,` + messages + `,"stream_options":{"include_usage":true}}`},
		{"options are merged", `{"stream":true,"stream_options":{"include_usage":false,"include_obfuscation":false},` + messages + `,"model":"a"}`, true, llm.Rules{},
			`{"model":"up","stream":true,"max_tokens":9,` + messages + `,"stream_options":{"include_usage":true,"include_obfuscation":false}}`},
		{"no options", `{"stream":true,"stream_options":{"include_usage":true},` + messages + `}`, true, llm.Rules{NoStreamOptions: true}, `{"model":"up","stream":true,"max_tokens":9,` + messages + `}`},
		{"the cap's name", `{"max_tokens":500,"max_completion_tokens":500,` + messages + `}`, false, llm.Rules{CapParameter: "max_completion_tokens"}, `{"model":"up","max_completion_tokens":9,` + messages + `}`},
		{"a cap spelt oddly", `{"max_t\u006fkens":500,` + messages + `}`, false, llm.Rules{}, `{"model":"up","max_tokens":9,` + messages + `}`},
		{"our own", `{"max_cost":1,"max_cost_nano_usd":5,"models":["x"],"resumable":true,` + messages + `}`, false, llm.Rules{}, `{"model":"up","max_tokens":9,` + messages + `}`},
		{"nulls", `{"temperature":null,"stop": null ,` + messages + `}`, false, llm.Rules{Refuse: []string{"temperature"}}, `{"model":"up","max_tokens":9,` + messages + `}`},
		{"dropped", `{"user":"u","store":false,"seed":5,` + messages + `}`, false, llm.Rules{Drop: []string{"user", "store"}}, `{"model":"up","max_tokens":9,"seed":5,` + messages + `}`},
		{"one answer is no wish", `{"n":1,` + messages + `}`, false, llm.Rules{Refuse: []string{"n"}}, `{"model":"up","max_tokens":9,` + messages + `}`},
		{"set", `{"a":1,"b":null,` + messages + `}`, false, llm.Rules{Set: map[string]string{"a": "2", "b": `{"x":[1]}`, "c": `"y"`, "model": `"evil"`, "bad": `{`}},
			`{"model":"up","max_tokens":9,"a":1,` + messages + `,"b":{"x":[1]},"c":"y"}`},
		{"empty", `{}`, false, llm.Rules{}, `{"model":"up","max_tokens":9}`},
	} {
		got, _, err := outbound(&llm.Target{Upstream: "up", Cap: 9, Rules: tt.rules}, &llm.Request{Body: []byte(tt.body), Stream: tt.stream})
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v\nwant %s", tt.name, got, err, tt.want)
		}
	}
	odd, _, err := outbound(&llm.Target{Upstream: "a\"\\\n\x01é\xff"}, &llm.Request{Body: []byte(`{}`)})
	if want := "{\"model\":\"a\\\"\\\\\\n\\u0001é\uFFFD\"}"; err != nil || string(odd) != want {
		t.Errorf("%s, %v", odd, err)
	}
}

func TestOutboundRefuses(t *testing.T) {
	_, _, err := outbound(&llm.Target{Rules: llm.Rules{Refuse: []string{"temperature"}}}, &llm.Request{Body: []byte(`{"temperature":0.7}`)})
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Code != "unsupported_parameter" || f.Field != "temperature" {
		t.Error(err)
	}
	for _, body := range []string{``, `[]`, `{"a":}`, `{} {}`} {
		if _, _, err := outbound(&llm.Target{}, &llm.Request{Body: []byte(body)}); err == nil {
			t.Errorf("%q was sent", body)
		}
	}
}

// A whole answer becomes chunks that say the same.
func TestChunks(t *testing.T) {
	said, used := chunks([]byte("{\n \"id\":\"x\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\n\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"index\":5}]},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":1}}"))
	for _, tt := range []struct {
		got  []byte
		want string
	}{
		{said, `{"object":"chat.completion.chunk","id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{}"}},{"index":5}]},"finish_reason":"tool_calls"}]}`},
		{used, `{"object":"chat.completion.chunk","id":"x","choices":[],"usage":{"prompt_tokens":1}}`},
	} {
		var got, want any
		if json.Unmarshal(tt.got, &got) != nil || json.Unmarshal([]byte(tt.want), &want) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nwant %s", tt.got, tt.want)
		}
		for _, c := range tt.got {
			if c == '\n' {
				t.Errorf("%q has a line break", tt.got)
			}
		}
	}
}

func TestChangesAreTold(t *testing.T) {
	to := &llm.Target{Upstream: "up", Cap: 9, Rules: llm.Rules{Drop: []string{"user"}, Set: map[string]string{"reasoning_effort": `"low"`},
		Clamp: map[string]llm.Range{"temperature": {Min: 0, Max: 1}, "top_p": {Min: 0.1, Max: 1}}}}
	body, changes, err := outbound(to, &llm.Request{Body: []byte(`{"temperature":1.5,"user":"x","top_p":0.5,"messages":[{"role":"assistant","content":"a","thinking_blocks":[{"x":1}]},{"thinking_blocks":[],"role":"user","content":"b"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"model":"up","max_tokens":9,"temperature":1,"top_p":0.5,"messages":[{"role":"assistant","content":"a"},{"role":"user","content":"b"}],"reasoning_effort":"low"}`; string(body) != want {
		t.Errorf("sent %s\nwant %s", body, want)
	}
	want := []llm.Change{{Name: "temperature", Asked: "1.5", Sent: "1", Rule: "clamp"}, {Name: "user", Asked: `"x"`, Rule: "drop"},
		{Name: "messages[].thinking_blocks", Rule: "dialect"}, {Name: "reasoning_effort", Sent: `"low"`, Rule: "set"}}
	if !slices.Equal(changes, want) {
		t.Errorf("told %+v\nwant %+v", changes, want)
	}
}
