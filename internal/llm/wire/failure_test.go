package wire

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"onemind/internal/llm"
)

func TestClasses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   llm.Class
		text   string
		param  string
	}{
		{"OpenAI rate", 429, `{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}`, llm.RateLimited, "Rate limit reached", ""},
		{"OpenAI quota", 429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, llm.NoQuota, "You exceeded your current quota", ""},
		{"OpenAI hard limit", 429, `{"error":{"message":"x","code":"billing_hard_limit_reached"}}`, llm.NoQuota, "x", ""},
		{"Kimi quota", 429, `{"error":{"message":"x","type":"exceeded_current_quota_error"}}`, llm.NoQuota, "x", ""},
		{"429 without a body", 429, ``, llm.RateLimited, "", ""},
		{"Gemini's list", 429, `[{"error":{"code":429,"message":"Resource has been exhausted","status":"RESOURCE_EXHAUSTED"}}]`, llm.RateLimited, "Resource has been exhausted", ""},
		{"DeepSeek balance", 402, `{"error":{"message":"Insufficient Balance","type":"unknown_error"}}`, llm.NoQuota, "Insufficient Balance", ""},
		{"bad key", 401, `{"error":{"message":"Incorrect API key provided: sk-secret-key.","code":"invalid_api_key"}}`, llm.BadKey, "Incorrect API key provided: [secret].", ""},
		{"forbidden", 403, `{"error":"Country not supported"}`, llm.BadKey, "Country not supported", ""},
		{"xAI key", 400, `{"code":"Client specified an invalid argument","error":"Incorrect API key provided: sk-secret-key"}`, llm.BadKey, "Incorrect API key provided: [secret]", ""},
		{"Gemini key", 400, `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"x","reason":"API_KEY_INVALID"}]}}]`, llm.BadKey, "API key not valid. Please pass a valid API key.", ""},
		{"parameter", 400, `{"error":{"message":"Unsupported value: 'temperature'","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}`, llm.BadRequest, "Unsupported value: 'temperature'", "temperature"},
		{"context", 400, `{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, llm.BadRequest, "too long", "messages"},
		{"FastAPI", 422, `{"detail":[{"loc":["body","messages"],"msg":"field required","type":"value_error.missing"}]}`, llm.BadRequest, "field required", ""},
		{"detail", 422, `{"detail":"bad input"}`, llm.BadRequest, "bad input", ""},
		{"Mistral", 422, `{"object":"error","message":{"detail":[{"type":"x","msg":"Input should be valid"}]},"type":"invalid_request_error"}`, llm.BadRequest, "Input should be valid", ""},
		{"message", 413, `{"message":"too large"}`, llm.BadRequest, "too large", ""},
		{"415", 415, `{}`, llm.BadRequest, "", ""},
		{"no model", 404, `{"error":{"message":"The model 'x' does not exist","type":"invalid_request_error","code":"model_not_found"}}`, llm.NoModel, "The model 'x' does not exist", ""},
		{"Ollama's", 404, `{"error":{"message":"model \"x\" not found, try pulling it first","type":"api_error"}}`, llm.NoModel, `model "x" not found, try pulling it first`, ""},
		{"Mistral's", 400, `{"object":"error","message":"Invalid model: x","type":"invalid_model","code":"1500"}`, llm.NoModel, "Invalid model: x", ""},
		{"DeepSeek's", 400, `{"error":{"message":"Model Not Exist","type":"invalid_request_error"}}`, llm.NoModel, "Model Not Exist", ""},
		{"wrong path", 404, `<html><head><title>404 Not Found</title></head><body>nginx</body></html>`, llm.WrongAddress, "404 Not Found", ""},
		{"wrong path, empty", 404, ``, llm.WrongAddress, "", ""},
		{"wrong path, text", 404, "404 page not found\n", llm.WrongAddress, "404 page not found", ""},
		{"wrong path, FastAPI", 404, `{"detail":"Not Found"}`, llm.WrongAddress, "Not Found", ""},
		{"wrong path, OpenAI", 404, `{"error":{"message":"Invalid URL (POST /v2/chat/completions)","type":"invalid_request_error","param":null,"code":null}}`, llm.WrongAddress, "Invalid URL (POST /v2/chat/completions)", ""},
		{"wrong path, Anthropic", 404, `{"type":"error","error":{"type":"not_found_error","message":"Not Found"}}`, llm.WrongAddress, "Not Found", ""},
		{"Anthropic's", 404, `{"type":"error","error":{"type":"not_found_error","message":"model: x"}}`, llm.NoModel, "model: x", ""},
		{"Gemini's", 404, `{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}`, llm.NoModel, "Requested entity was not found.", ""},
		{"OpenRouter's", 404, `{"error":{"message":"No endpoints found for x/y.","code":404}}`, llm.NoModel, "No endpoints found for x/y.", ""},
		{"retired", 410, `{"error":{"message":"gone"}}`, llm.NoModel, "gone", ""},
		{"408", 408, ``, llm.TimedOut, "", ""}, {"504", 504, `upstream timed out`, llm.TimedOut, "upstream timed out", ""}, {"524", 524, ``, llm.TimedOut, "", ""},
		{"503", 503, `{"error":{"message":"The engine is overloaded","type":"server_error"}}`, llm.Overloaded, "The engine is overloaded", ""},
		{"529", 529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, llm.Overloaded, "Overloaded", ""},
		{"498", 498, `{"error":{"message":"capacity_exceeded","type":"x"}}`, llm.Overloaded, "capacity_exceeded", ""},
		{"500", 500, `{"error":{"message":"oops","type":"server_error"}}`, llm.Broken, "oops", ""},
		{"502 HTML", 502, "<html>\n<body><h1>Bad\tGateway</h1></body></html>", llm.Broken, "Bad Gateway", ""},
		{"in a stream", 0, `{"message":"slow down","code":429}`, llm.RateLimited, "slow down", ""},
		{"in a stream, OpenRouter", 0, `{"error":{"message":"Provider error","code":"502"}}`, llm.Broken, "Provider error", ""},
		{"in a stream, by type", 0, `{"message":"x","type":"invalid_request_error","param":"stop"}`, llm.BadRequest, "x", "stop"},
		{"in a stream, text", 0, `"it broke"`, llm.Broken, "it broke", ""},
	} {
		f := complaintOf([]byte(tt.body)).failure(tt.status, &llm.Target{Key: llm.NewKey("sk-secret-key")})
		if f.Class != tt.want || f.Text != tt.text || f.Param != tt.param {
			t.Errorf("%s: %v %q %q, want %v %q %q", tt.name, f.Class, f.Text, f.Param, tt.want, tt.text, tt.param)
		}
	}
}

func TestErrorTextIsBounded(t *testing.T) {
	long := complaintOf([]byte(`{"error":{"message":"`+strings.Repeat("é\\u0007", 5000)+`"}}`)).failure(500, &llm.Target{})
	if len(long.Text) > maxErrorText || strings.ContainsRune(long.Text, 7) || strings.ContainsRune(long.Text, '\uFFFD') {
		t.Errorf("%d bytes: %.50q", len(long.Text), long.Text)
	}
	deep := complaintOf([]byte(strings.Repeat(`{"error":`, 100)+`"x"`+strings.Repeat("}", 100))).failure(500, &llm.Target{})
	if deep.Class != llm.Broken {
		t.Error(deep)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		header, value string
		want          time.Duration
	}{
		{"Retry-After", "7", 7 * time.Second}, {"Retry-After", " 0.5 ", 500 * time.Millisecond}, {"Retry-After", "86400", time.Hour},
		{"Retry-After", "-5", 0}, {"Retry-After", "soon", 0}, {"Retry-After", "NaN", 0}, {"Retry-After", "1e400", 0}, {"Retry-After", "", 0},
		{"Retry-After", "Thu, 01 Jan 2026 00:01:00 GMT", time.Minute}, {"Retry-After", "Thu, 01 Jan 2099 00:01:00 GMT", time.Hour},
		{"Retry-After", "Thu, 01 Jan 2025 00:01:00 GMT", 0}, {"Retry-After-Ms", "250", 250 * time.Millisecond},
	} {
		if got := retryAfter(http.Header{tt.header: {tt.value}}, now); got != tt.want {
			t.Errorf("%s: %s gives %v, want %v", tt.header, tt.value, got, tt.want)
		}
	}
	skewed := http.Header{"Retry-After": {"Thu, 01 Jan 2026 00:00:30 GMT"}, "Date": {"Thu, 01 Jan 2026 00:00:10 GMT"}}
	if got := retryAfter(skewed, now.Add(time.Hour)); got != 20*time.Second {
		t.Errorf("by the provider's clock: %v", got)
	}
}

func FuzzComplaint(f *testing.F) {
	for _, seed := range []string{`{"error":{"message":"x","code":429}}`, `{"error":"x"}`, `[{"error":{"status":"UNAVAILABLE","details":[{"reason":"x"}]}}]`, `<title>x</title>`, `{"detail":[{"msg":"x"}]}`} {
		f.Add([]byte(seed), 400)
	}
	f.Fuzz(func(t *testing.T, data []byte, status int) {
		failed := complaintOf(data).failure(status, &llm.Target{Key: llm.NewKey("sk-secret-key")})
		if len(failed.Text) > maxErrorText || strings.Contains(failed.Error(), "sk-secret-key") {
			t.Fatalf("%q became %q", data, failed)
		}
	})
}
