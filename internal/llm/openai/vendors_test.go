package openai_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"onemind/internal/llm"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/sim"
	"onemind/internal/llm/wire"
)

// Streams as the vendors document them, shortened.
type vendor struct {
	name, body    string
	text, thought string
	finish        string
	usage         *llm.Usage
}

func vendors() []vendor {
	return []vendor{
		{"OpenAI", `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x"}

data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Grüße 😀"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"xY"}

data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}

data: {"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":8,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}

data: [DONE]

`, "Grüße 😀", "", "stop", &llm.Usage{Input: 5, CachedInput: 4, Output: 4, Reasoning: 8}},
		{"DeepSeek", `: keep-alive

data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":"Hm."},"finish_reason":null}]}

: keep-alive

data: {"choices":[{"index":0,"delta":{"content":"Ja","reasoning_content":null},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"content":"","reasoning_content":null},"finish_reason":"length"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":4,"completion_tokens_details":{"reasoning_tokens":3}}}

data: [DONE]

`, "Ja", "Hm.", "length", &llm.Usage{Input: 4, CachedInput: 6, Output: 2, Reasoning: 3}},
		{"Groq", `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}],"x_groq":{"id":"req_1"}}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"req_1","usage":{"queue_time":0.01,"prompt_tokens":7,"completion_tokens":2,"total_tokens":9,"total_time":0.1}}}

data: [DONE]

`, "Hi", "", "stop", &llm.Usage{Input: 7, Output: 2}},
		{"Mistral", `data: {"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm"}]}]},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"content":"Oui"},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"content":""},"finish_reason":"model_length"}],"usage":{"prompt_tokens":3,"total_tokens":8,"completion_tokens":5}}

data: [DONE]

`, "Oui", "Hm", "length", &llm.Usage{Input: 3, Output: 5}},
		{"OpenRouter", `: OPENROUTER PROCESSING

data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":"Let","reasoning_details":[{"type":"reasoning.text","text":"Let"}]},"finish_reason":null,"native_finish_reason":null}]}

: OPENROUTER PROCESSING

data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"OK"},"finish_reason":"stop","native_finish_reason":"end_turn"}]}

data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,"cost":0.0001,"prompt_tokens_details":{"cached_tokens":2,"cache_write_tokens":3},"completion_tokens_details":{"reasoning_tokens":1}}}

data: [DONE]

`, "OK", "Let", "stop", &llm.Usage{Input: 5, CachedInput: 2, CacheWrite: 3, Output: 3, Reasoning: 1}},
		{"xAI", `data: {"choices":[{"index":0,"delta":{"content":"Yo","role":"assistant"}}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"prompt_tokens_details":{"text_tokens":32,"cached_tokens":6},"completion_tokens_details":{"reasoning_tokens":94}}}

data: [DONE]

`, "Yo", "", "stop", &llm.Usage{Input: 26, CachedInput: 6, Output: 9, Reasoning: 94}},
		{"Gemini: usage in each, no [DONE]", "data: {\"choices\":[{\"delta\":{\"content\":\"A\",\"role\":\"assistant\"},\"index\":0}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":1,\"total_tokens\":5}}\r\n\r\n" +
			"data: {\"choices\":[{\"delta\":{\"content\":\"B\"},\"finish_reason\":\"stop\",\"index\":0}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2,\"total_tokens\":6}}\r\n\r\n", "AB", "", "stop", &llm.Usage{Input: 4, Output: 2}},
		{"Azure: a filter's chunk first, no usage", `data: {"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}

data: {"choices":[{"index":0,"delta":{"content":"C"},"finish_reason":"content_filter","content_filter_results":{}}]}

data: [DONE]

`, "C", "", "content_filter", nil},
	}
}

// halves answers with a body that comes in two reads.
type halves struct{ first, second string }

func (h halves) RoundTrip(*http.Request) (*http.Response, error) {
	body := io.MultiReader(strings.NewReader(h.first), strings.NewReader(h.second))
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(body)}, nil
}

func hear(first, second string) (heard, llm.Result, error) {
	var h heard
	result, err := openai.New(wire.New(wire.Options{Transport: halves{first, second}})).Stream(context.Background(), llm.Target{BaseURL: "http://x"}, request(true, ""), h.emit)
	return h, result, err
}

// Split anywhere, a stream says the same; cut anywhere, it says a part of it
// and is either known to be complete or reported as broken.
func TestVendors(t *testing.T) {
	for _, v := range vendors() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			for i := range len(v.body) + 1 {
				h, result, err := hear(v.body[:i], v.body[i:])
				if err != nil || h.text != v.text || h.thought != v.thought || h.finish != v.finish || result.Finish != v.finish {
					t.Fatalf("split at %d: %+v %+v %v", i, h, result, err)
				}
				if got := result.Usage; (got == nil) != (v.usage == nil) || got != nil && *got != *v.usage {
					t.Fatalf("split at %d: usage %+v", i, got)
				}
				cut, result, err := hear(v.body[:i], "")
				var f *llm.Failure
				if !strings.HasPrefix(v.text, cut.text) || (err == nil) != (result.Finish != "") || err != nil && (!errors.As(err, &f) || f.Class != llm.Broken) {
					t.Fatalf("cut at %d: %+v %+v %v", i, cut, result, err)
				}
			}
		})
	}
}

// Over HTTP/2, where calls share a connection, one that nobody wants is ended too.
func TestHTTP2(t *testing.T) {
	s := sim.New(sim.Options{Scripts: map[string]sim.Script{"stall": {Break: sim.Stall, After: 2}}})
	up := httptest.NewUnstartedServer(s)
	up.EnableHTTP2 = true
	up.StartTLS()
	defer up.Close()
	c := openai.New(wire.New(wire.Options{Transport: up.Client().Transport}))
	to := llm.Target{BaseURL: up.URL, Upstream: "plain", Cap: 99}
	var h heard
	if _, err := c.Stream(t.Context(), to, request(true, ""), h.emit); err != nil || h.text != sixteen {
		t.Errorf("%+v, %v", h, err)
	}
	to.Upstream = "stall"
	stop := errors.New("enough")
	if _, err := c.Stream(t.Context(), to, request(true, ""), func(*llm.Event) error { return stop }); err != stop {
		t.Error(err)
	}
	gone(t, s)
}
