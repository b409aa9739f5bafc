package openai

import (
	"encoding/json"
	"testing"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

func TestChunk(t *testing.T) {
	for _, tt := range []struct {
		name, data         string
		content, reasoning string
		output, choices    int
		finish             string
		usage              bool
	}{
		{"role", `{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}`, "", "", 0, 1, "", false},
		{"content", `{"choices":[{"delta":{"content":"Hi \"you\"\n"}}]}`, `Hi "you"` + "\n", "", 12, 1, "", false},
		{"reasoning of DeepSeek", `{"choices":[{"delta":{"content":null,"reasoning_content":"Hm"}}]}`, "", "Hm", 2, 1, "", false},
		{"reasoning of OpenRouter", `{"choices":[{"delta":{"content":"","reasoning":"Hm"}}]}`, "", "Hm", 2, 1, "", false},
		{"both kinds are one", `{"choices":[{"delta":{"reasoning":"Hm","reasoning_content":"Hm"}}]}`, "", "Hm", 2, 1, "", false},
		{"parts of Mistral", `{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm"}]},{"type":"text","text":"Yes"}]}}]}`, "Yes", "Hm", 5, 1, "", false},
		{"tool calls", `{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"a\""}},{"index":1,"function":{"arguments":"x"}}]}}]}`, "", "", 8, 1, "", false},
		{"function call", `{"choices":[{"delta":{"function_call":{"name":"fn","arguments":"{}"}}}]}`, "", "", 4, 1, "", false},
		{"refusal", `{"choices":[{"delta":{"refusal":"No"}}]}`, "", "", 2, 1, "", false},
		{"two choices", `{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"bcd"}}]}`, "a", "", 4, 2, "", false},
		{"finish", `{"choices":[{"delta":{},"finish_reason":"length"}]}`, "", "", 0, 1, "length", false},
		{"many parts of Mistral", `{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"H"},{"type":"text","text":"m"}]},{"type":"text","text":"Y"},{"type":"reference","reference_ids":[1]},{"type":"text","text":"es"}]}}]}`, "Yes", "Hm", 5, 1, "", false},
		{"finish of Mistral", `{"choices":[{"delta":{},"finish_reason":"model_length"}]}`, "", "", 0, 1, "length", false},
		{"empty finish", `{"choices":[{"delta":{"content":"x"},"finish_reason":""}]}`, "x", "", 1, 1, "", false},
		{"usage", `{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}`, "", "", 0, 0, "", true},
		{"zeros are no usage", `{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}`, "", "", 0, 0, "", false},
		{"escaped name", `{"choices":[{"delta":{"c\u006fntent":"x"}}]}`, "x", "", 1, 1, "", false},
		{"null choices", `{"choices":null}`, "", "", 0, 0, "", false},
		{"odd types", `{"choices":[null,5,{"delta":null,"finish_reason":7},{"delta":{"content":5,"tool_calls":{}}}],"usage":[1],"x_groq":5}`, "", "", 0, 4, "", false},
		{"surrogates", `{"choices":[{"delta":{"content":"\ud83d\ude00 \ud83d"}}]}`, "😀 \uFFFD", "", 19, 1, "", false},
	} {
		var a answer
		var ev llm.Event
		if wrong := a.read([]byte(tt.data), &ev); wrong != "" {
			t.Errorf("%s: %s", tt.name, wrong)
		}
		if ev.Text() != tt.content || ev.Thought() != tt.reasoning || ev.Output != tt.output || ev.Choices != tt.choices || ev.Finish != tt.finish || ev.Usage != tt.usage {
			t.Errorf("%s: %q %q %d %d %q %v", tt.name, ev.Text(), ev.Thought(), ev.Output, ev.Choices, ev.Finish, ev.Usage)
		}
	}
	for _, data := range []string{``, `[]`, `"x"`, `{`, `{"choices":[{]}`, `{"choices":[]}x`, `garbage`, "{\"choices\":[{\"delta\":{\"content\":\"\x01\"}}]}"} {
		var a answer
		var ev llm.Event
		if a.read([]byte(data), &ev) == "" {
			t.Errorf("%q is a chunk", data)
		}
	}
}

// Each provider's way to count becomes classes that do not overlap.
func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		name, usage string
		want        llm.Usage
	}{
		{"plain", `{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30}`, llm.Usage{Input: 10, Output: 20}},
		{"OpenAI", `{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":200,"accepted_prediction_tokens":0}}`,
			llm.Usage{Input: 86, CachedInput: 1920, Output: 100, Reasoning: 200}},
		{"DeepSeek", `{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36,"prompt_tokens_details":{"cached_tokens":64}}`, llm.Usage{Input: 36, CachedInput: 64, Output: 20}},
		{"Moonshot", `{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"cached_tokens":40}`, llm.Usage{Input: 60, CachedInput: 40, Output: 20}},
		{"xAI: reasoning beside", `{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":94}}`, llm.Usage{Input: 32, Output: 9, Reasoning: 94}},
		{"Perplexity", `{"prompt_tokens":14,"completion_tokens":100,"total_tokens":114,"reasoning_tokens":40,"search_context_size":"low"}`, llm.Usage{Input: 14, Output: 60, Reasoning: 40}},
		{"cache write", `{"prompt_tokens":100,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":30,"cache_write_tokens":50}}`, llm.Usage{Input: 20, CachedInput: 30, CacheWrite: 50, Output: 1}},
		{"more cached than asked", `{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":50}}`, llm.Usage{CachedInput: 10, Output: 1}},
		{"more reasoning than output", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"completion_tokens_details":{"reasoning_tokens":9}}`, llm.Usage{Input: 10, Reasoning: 5}},
		{"null details", `{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"completion_tokens_details":null}`, llm.Usage{Input: 10, Output: 5}},
		{"no completion", `{"prompt_tokens":10}`, llm.Usage{Input: 10}},
		{"floats", `{"prompt_tokens":10.0,"completion_tokens":1e1}`, llm.Usage{Input: 10, Output: 10}},
		{"negative", `{"prompt_tokens":-10,"completion_tokens":5}`, llm.Usage{Output: 5}},
		{"absurd", `{"prompt_tokens":1e300,"completion_tokens":99999999999999999999}`, llm.Usage{Input: scan.MaxCount, Output: scan.MaxCount}},
		{"strings are no numbers", `{"prompt_tokens":"10","completion_tokens":5}`, llm.Usage{Output: 5}},
	} {
		var a answer
		var ev llm.Event
		if wrong := a.read([]byte(`{"choices":[],"usage":`+tt.usage+`}`), &ev); wrong != "" || a.usage != tt.want || !a.hasUsage {
			t.Errorf("%s: %+v (%s), want %+v", tt.name, a.usage, wrong, tt.want)
		}
	}
	var a answer
	var ev llm.Event
	a.read([]byte(`{"choices":[],"x_groq":{"id":"r","usage":{"prompt_tokens":3,"completion_tokens":4}}}`), &ev)
	a.read([]byte(`{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}`), &ev)
	if want := (llm.Usage{Input: 3, Output: 4}); a.usage != want || !a.hasUsage {
		t.Errorf("Groq: %+v", a.usage)
	}
}

func FuzzEvent(f *testing.F) {
	for _, seed := range []string{`{"choices":[{"delta":{"content":"a\n","tool_calls":[{"function":{"arguments":"{"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"prompt_tokens_details":{"cached_tokens":1}}}`,
		`{"error":{"message":"x","code":429}}`, `{"error":"x"}`, `{"x_groq":{"usage":{"prompt_tokens":1}}}`, `{"choices":[{"message":{"content":[{"type":"text","text":"x"}],"tool_calls":[{"id":"a"}]}}],"usage":{}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a := answer{keep: true}
		var ev llm.Event
		if a.read(data, &ev) != "" {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("%q is no JSON", data)
		}
		if u := a.usage; u.Input < 0 || u.Output < 0 || u.CachedInput < 0 || u.CacheWrite < 0 || u.Reasoning < 0 || ev.Output > len(data) {
			t.Fatalf("%q: %+v, output %d", data, u, ev.Output)
		}
		ev.Text()
		said, used := chunks(data)
		if !json.Valid(said) || used != nil && !json.Valid(used) {
			t.Fatalf("%q became %q and %q", data, said, used)
		}
	})
}

func BenchmarkEvent(b *testing.B) {
	data := []byte(`{"id":"chatcmpl-BxY2kGqQpLr7","object":"chat.completion.chunk","created":1732406400,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_0705bf87c0","choices":[{"index":0,"delta":{"content":" capital"},"logprobs":null,"finish_reason":null}],"usage":null}`)
	var a answer
	var ev llm.Event
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if a.read(data, &ev) != "" {
			b.Fatal("wrong")
		}
	}
}
