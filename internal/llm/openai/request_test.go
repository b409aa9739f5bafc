package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
)

// with builds a request from members beside a model and a message.
func with(members string) string {
	if members != "" {
		members += ","
	}
	return `{` + members + `"model":"m","messages":[{"role":"user","content":"Hello"}]}`
}

// saying builds a request with these messages.
func saying(messages string) string { return `{"model":"m","messages":` + messages + `}` }

func TestParseAccepts(t *testing.T) {
	for _, body := range []string{
		with(``), with(`"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}`),
		with(`"temperature":0`), with(`"temperature":2.0,"top_p":1e-1`), with(`"temperature":null,"max_tokens":null,"stop":null,"tools":null`),
		with(`"max_tokens":1`), with(`"max_tokens":10000000`), with(`"max_tokens":5,"max_completion_tokens":5`),
		with(`"n":8,"seed":-5,"user":"u","store":false`), with(`"stop":"x"`), with(`"stop":["a","b","c","d"]`),
		with(`"logprobs":true,"top_logprobs":20`), with(`"top_logprobs":0`), with(`"logit_bias":{"50256":-100,"1":100}`),
		with(`"presence_penalty":-2,"frequency_penalty":2`), with(`"service_tier":"auto","reasoning_effort":"low","verbosity":"high","modalities":["text"]`),
		with(`"prompt_cache_key":"k","safety_identifier":"s","metadata":{"a":"b"},"prediction":{"type":"content","content":"x"}`),
		with(`"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"},"strict":true}}],"tool_choice":"auto","parallel_tool_calls":false`),
		with(`"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"f"}}`),
		with(`"functions":[{"name":"f"}],"function_call":{"name":"f"}`),
		with(`"response_format":{"type":"text"}`), with(`"max_cost":"0.05"`), with(`"max_cost":1`), with(`"max_cost_nano_usd":1,"models":["a","b"],"resumable":true`),
		saying(`[{"role":"system","content":"a"},{"role":"developer","content":"b"},{"role":"user","name":"n","content":"c"},{"role":"assistant","content":"d","refusal":null,"audio":null,"annotations":[]},{"role":"user","content":"e"}]`),
		saying(`[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"42"}]`),
		saying(`[{"role":"assistant","tool_calls":[{"id":"1"}]}]`), saying(`[{"content":"order does not matter","role":"user"}]`),
		saying(`[{"role":"user","content":""}]`), saying(`[{"role":"user","content":[{"text":"a","type":"text","cache_control":{"type":"ephemeral"}}]}]`),
		saying(`[{"role":"user","content":"lone \ud800 surrogate"}]`), " \n" + with(``) + "\n ",
		`{"m\u006fdel":"m","messages":[{"role":"user","content":"x"}]}`,
	} {
		if _, err := Parse([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	const typ, val, miss, unk, unsup, syntax = "invalid_type", "invalid_value", "missing_required_parameter", "unknown_parameter", "unsupported_parameter", "invalid_json"
	for _, tt := range []struct{ body, code, field string }{
		{``, syntax, ""}, {`{`, syntax, ""}, {`{"model":"m",}`, syntax, ""}, {`[]`, typ, ""}, {`"x"`, typ, ""}, {`nul`, syntax, ""},
		{with(``) + "x", syntax, ""}, {with(``) + "{}", syntax, ""}, {"\xff" + with(``), syntax, ""}, {with("\"user\":\"a\xffb\""), syntax, ""},
		{with("\"user\":\"a\x00b\""), syntax, ""}, {with("\"user\":\"a\nb\""), syntax, ""}, {with(`"metadata":{"a":` + deep + `}`), syntax, ""}, {deep, syntax, ""},
		{with(`"temperature":.5`), syntax, ""}, {with(`"temperature":+1`), syntax, ""}, {with(`"temperature":NaN`), syntax, ""}, {with(`"n":01`), syntax, ""},
		{`{"messages":[{"role":"user","content":"x"}]}`, miss, "model"}, {`{"model":"m"}`, miss, "messages"}, {`{}`, miss, "model"},
		{`{"model":null,"messages":[]}`, typ, "model"}, {`{"model":5,"messages":[]}`, typ, "model"}, {`{"model":"","messages":[]}`, val, "model"},
		{`{"model":"a\nb"}`, val, "model"}, {`{"model":"` + strings.Repeat("m", 300) + `"}`, val, "model"},
		{saying(`null`), typ, "messages"}, {saying(`[]`), val, "messages"}, {saying(`{}`), typ, "messages"}, {saying(`["x"]`), typ, "messages[0]"},
		{saying(`[{"content":"x"}]`), miss, "messages[0].role"}, {saying(`[{"role":"king","content":"x"}]`), val, "messages[0].role"},
		{saying(`[{"role":1,"content":"x"}]`), typ, "messages[0].role"}, {saying(`[{"role":"user"}]`), miss, "messages[0].content"},
		{saying(`[{"role":"user","role":"system","content":"x"}]`), val, "messages[0].role"},
		{saying(`[{"role":"user","content":"x","content":"y"}]`), val, "messages[0].content"},
		{saying(`[{"role":"user","content":"x"},{"role":"user","content":null}]`), typ, "messages[1].content"},
		{saying(`[{"role":"assistant","content":null}]`), typ, "messages[0].content"}, {saying(`[{"role":"user","content":5}]`), typ, "messages[0].content"},
		{saying(`[{"role":"user","content":[]}]`), val, "messages[0].content"}, {saying(`[{"role":"user","content":["x"]}]`), typ, "messages[0].content[0]"},
		{saying(`[{"role":"tool","content":"x"}]`), miss, "messages[0].tool_call_id"}, {saying(`[{"role":"user","content":"x","tool_calls":[{}]}]`), val, "messages[0].tool_calls"},
		{saying(`[{"role":"user","content":"x","audio":{"id":"a"}}]`), unsup, "messages[0].audio"}, {saying(`[{"role":"user","content":"x","name":3}]`), typ, "messages[0].name"},
		{saying(`[{"role":"user","content":[{"text":"x"}]}]`), miss, "messages[0].content[0].type"}, {saying(`[{"role":"user","content":[{"type":"video"}]}]`), val, "messages[0].content[0].type"},
		{saying(`[{"role":"user","content":[{"type":"text"}]}]`), miss, "messages[0].content[0].text"}, {saying(`[{"role":"user","content":[{"type":"text","text":1}]}]`), typ, "messages[0].content[0].text"},
		{saying(`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x/y"}}]}]`), val, "messages[0].content[0].image_url.url"},
		{saying(`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}]`), val, "messages[0].content[0].image_url.url"},
		{saying(`[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]`), miss, "messages[0].content[0].image_url.url"},
		{saying(`[{"role":"user","content":[{"type":"image_url","image_url":"https://x"}]}]`), typ, "messages[0].content[0].image_url"},
		{saying(`[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]`), unsup, "messages[0].content[0].file.file_id"},
		{saying(`[{"role":"user","content":"a\u0000b"}]`), val, "messages[0].content"}, {saying(`[{"role":"user","content":[{"type":"text","text":"\u0000"}]}]`), val, "messages[0].content[0].text"},
		{with(`"user":"\u0000"`), val, "user"}, {with(`"metadata":{"k":"\u0000"}`), val, "metadata"},
		{with(`"max_tokens":0`), val, "max_tokens"}, {with(`"max_tokens":-1`), val, "max_tokens"}, {with(`"max_tokens":10000001`), val, "max_tokens"},
		{with(`"max_tokens":1.5`), typ, "max_tokens"}, {with(`"max_tokens":1e3`), typ, "max_tokens"}, {with(`"max_tokens":"5"`), typ, "max_tokens"},
		{with(`"max_tokens":99999999999999999999999999`), val, "max_tokens"}, {with(`"max_tokens":true`), typ, "max_tokens"}, {with(`"max_tokens":[1]`), typ, "max_tokens"},
		{with(`"max_tokens":5,"max_completion_tokens":6`), val, "max_completion_tokens"}, {with(`"max_tokens":5,"max_tokens":5000`), val, "max_tokens"},
		{with(`"max_tokens":5,"max_t\u006fkens":5000`), val, "max_tokens"}, {with(`"MAX_TOKENS":5`), unk, "MAX_TOKENS"}, {with(`"Model":"x"`), unk, "Model"},
		{with(`"n":0`), val, "n"}, {with(`"n":9`), val, "n"}, {with(`"temperature":2.1`), val, "temperature"}, {with(`"temperature":-0.1`), val, "temperature"},
		{with(`"temperature":"hot"`), typ, "temperature"}, {with(`"temperature":1e999`), val, "temperature"}, {with(`"top_p":1.01`), val, "top_p"}, {with(`"presence_penalty":-3`), val, "presence_penalty"},
		{with(`"seed":1.5`), typ, "seed"}, {with(`"seed":1e400`), typ, "seed"}, {with(`"stop":["1","2","3","4","5"]`), val, "stop"}, {with(`"stop":[1]`), typ, "stop[0]"}, {with(`"stop":{}`), typ, "stop"},
		{with(`"logprobs":"yes"`), typ, "logprobs"}, {with(`"top_logprobs":21`), val, "top_logprobs"}, {with(`"top_logprobs":2`), val, "top_logprobs"}, {with(`"logit_bias":{"1":101}`), val, "logit_bias.1"},
		{with(`"stream":1`), typ, "stream"}, {with(`"stream_options":{"include_usage":true}`), val, "stream_options"}, {with(`"stream":true,"stream_options":{"x":1}`), unk, "stream_options.x"},
		{with(`"tools":{}`), typ, "tools"}, {with(`"tools":[{"type":"function"}]`), miss, "tools[0].function"}, {with(`"tools":[{"type":"function","function":{}}]`), miss, "tools[0].function.name"},
		{with(`"tools":[{"type":"web_search"}]`), val, "tools[0].type"}, {with(`"tool_choice":"auto"`), val, "tool_choice"}, {with(`"tool_choice":"maybe"`), val, "tool_choice"},
		{with(`"response_format":{"type":"xml"}`), val, "response_format.type"}, {with(`"response_format":{}`), miss, "response_format.type"}, {with(`"response_format":{"type":"json_schema"}`), miss, "response_format.json_schema"},
		{with(`"store":true`), unsup, "store"}, {with(`"audio":{"voice":"x"}`), unsup, "audio"}, {with(`"modalities":["text","audio"]`), unsup, "modalities"}, {with(`"web_search_options":{}`), unsup, "web_search_options"},
		{with(`"service_tier":"flex"`), unsup, "service_tier"}, {with(`"reasoning_effort":"much"`), val, "reasoning_effort"}, {with(`"top_k":5`), unk, "top_k"}, {with(`"` + strings.Repeat("k", 1000) + `":5`), unk, strings.Repeat("k", 64) + "..."},
		{with(`"max_cost":"1e3"`), val, "max_cost"}, {with(`"max_cost":-1`), val, "max_cost"}, {with(`"max_cost":0.00`), val, "max_cost"}, {with(`"max_cost":"5."`), val, "max_cost"}, {with(`"max_cost":true`), typ, "max_cost"},
		{with(`"max_cost":1,"max_cost_nano_usd":5`), val, "max_cost"}, {with(`"max_cost_nano_usd":0.5`), typ, "max_cost_nano_usd"}, {with(`"models":["a",1]`), typ, "models[1]"}, {with(`"models":[` + strings.Repeat(`"a",`, 15) + `"a"]`), val, "models"},
	} {
		_, err := Parse([]byte(tt.body))
		var f *fault.Error
		if !errors.As(err, &f) {
			t.Errorf("%.200s: no error", tt.body)
		} else if f.Kind != fault.Invalid || f.Code != tt.code || f.Field != tt.field {
			t.Errorf("%.200s: %s at %q (%s), want %s at %q", tt.body, f.Code, f.Field, f.Text, tt.code, tt.field)
		}
	}
}

func TestParseReads(t *testing.T) {
	r, err := Parse([]byte(`{"model":"gpt-\u0034o","stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":77,"n":3,"max_cost":"0.070","models":["b","c"],"resumable":true,"user":"Zo\u00eb",
		"tools":[{"type":"function","function":{"name":"f"}}],"response_format":{"type":"json_object"},
		"messages":[{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url","image_url":{"url":"https:\/\/x/y.png"}},{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AAAA"}}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.Model != "gpt-4o" || !r.Stream || !r.Usage || r.Cap != 77 || r.N != 3 || r.MaxCost != "0.070" || strings.Join(r.Fallbacks, " ") != "b c" || !r.Resumable || r.User != "Zoë" {
		t.Errorf("%+v", r)
	}
	if want := llm.Tools | llm.JSON | llm.Vision | llm.Audio | llm.Documents; r.Needs != want {
		t.Errorf("needs %v, want %v", r.Needs.Names(), want.Names())
	}
}

// Large requests are read in time that grows with their size and no faster; the
// bound is loose, for the race detector on a busy machine.
func TestParseLarge(t *testing.T) {
	for _, size := range []int{1 << 20, 10 << 20, 25 << 20} {
		body := saying(`[{"role":"user","content":"` + strings.Repeat("word ", size/5) + `"}]`)
		began := time.Now()
		r, err := Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%d bytes took %v", size, took)
		}
		if r.InputTokens < int64(size)/5 || r.InputTokens > int64(size) {
			t.Errorf("%d bytes: %d tokens", size, r.InputTokens)
		}
	}
	many := strings.Repeat(`{"role":"user","content":"x"},`, maxMessages-1) + `{"role":"user","content":"x"}`
	if _, err := Parse([]byte(saying(`[` + many + `]`))); err != nil {
		t.Error(err)
	}
	if _, err := Parse([]byte(saying(`[` + many + `,{"role":"user","content":"x"}]`))); err == nil {
		t.Error("one message too many")
	}
}

func TestPlain(t *testing.T) {
	for c := range 256 {
		for at := range 17 {
			text := bytes.Repeat([]byte{'0'}, 17)
			text[at] = byte(c)
			want := 0
			if c == ' ' || c >= 'a' && c <= 'z' && !strings.ContainsRune("jkqvwxz", rune(c)) {
				want = 1
			}
			if got := plain(text); got != want {
				t.Fatalf("%q: %d, want %d", text, got, want)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{with(``), with(`"stream":true,"stream_options":{"include_usage":true}`), with(`"stop":["a"],"max_cost":"1.5","models":["x"]`),
		saying(history), saying(`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x"}},{"type":"text","text":"\u0000"}]}]`), with(`"tools":[{"type":"function","function":{"name":"f"}}]`),
		with(`"response_format":{"type":"json_schema","json_schema":{"name":"x"}},"logit_bias":{"1":1},"modalities":["text"],"temperature":1.5`)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Parse(body)
		var e *fault.Error
		if err != nil {
			if !errors.As(err, &e) || e.Kind != fault.Invalid {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if !json.Valid(body) || r.Model == "" || r.N < 1 || r.Cap < 0 || r.InputTokens < perRequest {
			t.Fatalf("%q was accepted: %+v", body, r)
		}
		out, _, err := outbound(&llm.Target{Upstream: "up", Cap: 5}, &r.Request)
		if err != nil || !json.Valid(out) {
			t.Fatalf("%q became %q: %v", body, out, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for name, size := range map[string]int{"400B": 60, "58KB": 58_000} {
		b.Run(name, func(b *testing.B) {
			body := []byte(`{"model":"gpt-4o-mini","stream":true,"stream_options":{"include_usage":true},"max_tokens":256,"temperature":0.7,"messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"` +
				strings.Repeat("What is the capital of France? ", size/31) + `"}]}`)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
