package openai_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"onemind/internal/llm"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/wire"
)

// Refusals as the vendors document them, beyond those of OpenAI: what each means
// to whoever has to act on it.
func TestVendorsRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		head   string // a header as "Name: value"
		body   string
		class  llm.Class
		retry  time.Duration
		reason string
		text   string // what the operator reads of it
		param  string
	}{
		{name: "xAI: deferred, to be fetched elsewhere", status: 202, body: `{"request_id":"f15c114e-f47d-40ca-8d5c-8c23d656eeb6"}`, class: llm.Broken, text: "no answer"},
		{name: "xAI: deferred, empty", status: 202, class: llm.Broken, text: "no answer"},
		{name: "xAI: blocked team", status: 403, body: `{"code":"The caller does not have permission to execute the specified operation","error":"Your team is blocked."}`, class: llm.BadKey, text: "Your team is blocked."},
		{name: "xAI: wrong key", status: 400, body: `{"code":"Client specified an invalid argument","error":"Incorrect API key provided: sk***et. You can obtain an API key from https://console.x.ai."}`, class: llm.BadKey, text: "Incorrect API key"},
		{name: "Groq: flex tier is full", status: 498, body: `{"error":{"message":"Flex tier capacity exceeded","type":"capacity_exceeded"}}`, class: llm.Overloaded, text: "Flex tier"},
		{name: "Groq: cancelled", status: 499, body: `{"error":{"message":"Request cancelled","type":"cancelled"}}`, class: llm.Broken, text: "Request cancelled"},
		{name: "Groq: partial content", status: 206, body: `{"choices":[]}`, class: llm.Broken, text: "no answer"},
		{name: "Groq: a dependency failed", status: 424, body: `{"error":{"message":"Failed dependency","type":"failed_dependency"}}`, class: llm.Broken, text: "Failed dependency"},
		{name: "Groq: too large for its tier", status: 413, body: `{"error":{"message":"Request too large for model ` + "`llama-3.1-8b-instant`" + `","type":"tokens","code":"rate_limit_exceeded"}}`, class: llm.BadRequest, reason: llm.TooLong, text: "Request too large"},
		{name: "Groq: a limit", status: 429, head: "Retry-After: 2", body: `{"error":{"message":"Rate limit reached. Please try again in 1.2s.","type":"tokens","code":"rate_limit_exceeded"}}`, class: llm.RateLimited, retry: 2 * time.Second, text: "Rate limit reached"},
		{name: "Groq: a tool's arguments", status: 400, body: `{"error":{"message":"Failed to call a function.","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"{"}}`, class: llm.BadRequest, text: "Failed to call"},
		{name: "Mistral: the order of roles", status: 400, body: `{"object":"error","message":"Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant","type":"invalid_request_message_order","param":null,"code":"3230"}`, class: llm.BadRequest, text: "Expected last role"},
		{name: "Mistral: the name of a role", status: 422, body: `{"object":"error","message":{"detail":[{"type":"union_tag_invalid","loc":["body","messages",0],"msg":"Input tag 'developer' found using 'role' does not match any of the expected tags: 'assistant', 'system', 'tool', 'user'","ctx":{"tag":"developer"}}]},"type":"invalid_request_error","param":null,"code":null}`, class: llm.BadRequest, text: "Input tag 'developer'"},
		{name: "Mistral: its tier is full", status: 429, body: `{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","param":null,"code":"3505"}`, class: llm.RateLimited, text: "Service tier capacity"},
		{name: "Mistral: a key of the other host", status: 401, body: `{"detail":"Unauthorized"}`, class: llm.BadKey, text: "Unauthorized"},
		{name: "Kimi: a wrong base URL", status: 404, body: `{"code":5,"error":"url.not_found","message":"没找到对象","method":"POST","scode":"0x5","status":false,"ua":"OneMind","url":"/chat/completions"}`, class: llm.WrongAddress, text: "url.not_found"},
		{name: "Kimi: a model it has not", status: 404, body: `{"error":{"message":"Not found the model kimi-k9 or Permission denied","type":"resource_not_found_error"}}`, class: llm.NoModel, text: "kimi-k9"},
		{name: "Kimi: a key of the other site", status: 401, body: `{"error":{"message":"Invalid Authentication","type":"invalid_authentication_error"}}`, class: llm.BadKey, text: "Invalid Authentication"},
		{name: "Kimi: reasoning did not come back", status: 400, body: `{"error":{"message":"thinking is enabled but reasoning_content is missing in assistant tool call message at index 2","type":"invalid_request_error"}}`, class: llm.BadRequest, text: "reasoning_content is missing"},
		{name: "Kimi: the engine is full", status: 429, body: `{"error":{"message":"The engine is currently overloaded, please try again later","type":"engine_overloaded_error"}}`, class: llm.Overloaded, text: "overloaded"},
		{name: "DeepSeek: reasoning did not come back", status: 400, body: `{"error":{"message":"The reasoning_content in the thinking mode must be passed back to the API.","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}`, class: llm.BadRequest, text: "reasoning_content"},
		{name: "Perplexity: a page instead of JSON", status: 401, body: "<html>\r\n<head><title>401 Authorization Required</title></head>\r\n<body>openresty</body></html>", class: llm.BadKey, text: "401 Authorization Required"},
		{name: "OpenAI: slow down", status: 503, head: "Retry-After: 5", body: `{"error":{"message":"Slow Down","type":"server_error","code":"slow_down"}}`, class: llm.Overloaded, retry: 5 * time.Second, text: "Slow Down"},
		{name: "OpenAI: a region", status: 403, body: `{"error":{"message":"Country, region, or territory not supported","type":"request_forbidden","param":null,"code":"unsupported_country_region_territory"}}`, class: llm.BadKey, text: "Country"},
		{name: "OpenAI: a parameter", status: 400, body: `{"error":{"message":"Unknown parameter: 'messages[1].reasoning_content'.","type":"invalid_request_error","param":"messages[1].reasoning_content","code":"unknown_parameter"}}`, class: llm.BadRequest, text: "Unknown parameter", param: "messages[1].reasoning_content"},
		{name: "Hugging Face: a model still loads", status: 503, body: `{"error":"Model tiiuae/falcon-180B-chat is currently loading","estimated_time":20.5}`, class: llm.Overloaded, retry: 20500 * time.Millisecond, text: "currently loading"},
		{name: "Hugging Face: a licence", status: 403, body: `{"error":"Access to model tiiuae/falcon-180B-chat is restricted. You must accept its licence."}`, class: llm.BadKey, text: "is restricted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			to := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls++
				_, _ = io.Copy(io.Discard, r.Body)
				if name, value, ok := strings.Cut(tt.head, ": "); ok {
					w.Header().Set(name, value)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			w := wire.New(wire.Options{})
			defer w.Close()
			result, err := openai.New(w).Stream(t.Context(), to, request(true, ""), func(*llm.Event) error { t.Error("an event"); return nil })
			var f *llm.Failure
			if !errors.As(err, &f) || f.Class != tt.class || f.Status != tt.status || f.Retry != tt.retry || f.Param != tt.param || f.Reason != tt.reason || !strings.Contains(f.Text, tt.text) {
				t.Errorf("%+v", err)
			}
			if result.Usage != nil || result.Finish != "" || calls != 1 {
				t.Errorf("%+v after %d calls", result, calls)
			}
		})
	}
}
