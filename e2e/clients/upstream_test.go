package clients

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

const (
	providerKey   = "sk-scripted"
	said          = "one two three four" // in four pieces
	toolArguments = `{"city":"São Paulo","note":"a \"quoted\" \\ line\nand 😀"}`
)

// question is what the scripted provider reads of a request of any protocol.
type question struct {
	protocol, model string
	stream          bool
	tools, result   bool // tools may be called; one was, and this is what it gave
}

// answer is the scripted provider: it speaks all protocols, calls the tool it is
// given, and says the same four words to everything else.
func answer(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Model  string
		Stream bool
		Tools  []any
	}
	raw := json.RawMessage{}
	if err := json.NewDecoder(r.Body).Decode(&raw); err != nil || json.Unmarshal(raw, &body) != nil {
		http.Error(w, "no JSON", http.StatusBadRequest)
		return
	}
	text := string(raw)
	q := question{model: body.Model, stream: body.Stream, tools: len(body.Tools) > 0}
	key := ""
	switch r.URL.Path {
	case "/v1/chat/completions":
		q.protocol, q.result = "openai", strings.Contains(text, `"tool_call_id"`)
		key = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	case "/v1/messages":
		q.protocol, q.result, key = "anthropic", strings.Contains(text, `"tool_result"`), r.Header.Get("X-Api-Key")
	default:
		model, method, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1beta/models/"), ":")
		q.protocol, q.model, q.stream = "gemini", model, method == "streamGenerateContent"
		q.result, key = strings.Contains(text, `"functionResponse"`), r.Header.Get("X-Goog-Api-Key")
	}
	switch {
	case key != providerKey:
		refuse(w, q.protocol, http.StatusUnauthorized)
	case q.model == "broken":
		refuse(w, q.protocol, http.StatusInternalServerError)
	case q.model == "busy":
		w.Header().Set("Retry-After", "7")
		refuse(w, q.protocol, http.StatusTooManyRequests)
	case q.stream:
		w.Header().Set("Content-Type", "text/event-stream")
		for _, e := range events(q) {
			if kind, _, ok := strings.Cut(strings.TrimPrefix(e, `{"type":"`), `"`); ok && q.protocol == "anthropic" {
				fmt.Fprintf(w, "event: %s\n", kind)
			}
			fmt.Fprintf(w, "data: %s\n\n", e)
			_ = http.NewResponseController(w).Flush()
		}
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, whole(q))
	}
}

func refuse(w http.ResponseWriter, protocol string, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprint(w, map[string]string{
		"openai":    `{"error":{"message":"On purpose.","type":"server_error","param":null,"code":null}}`,
		"anthropic": `{"type":"error","error":{"type":"api_error","message":"On purpose."}}`,
		"gemini":    fmt.Sprintf(`{"error":{"code":%d,"message":"On purpose.","status":"INTERNAL"}}`, status),
	}[protocol])
}

// calls reports whether the answer is a tool call.
func (q question) calls() bool { return q.tools && !q.result }

// choose gives one of two JSON texts.
func (q question) choose(call, text string) string {
	if q.calls() {
		return call
	}
	return text
}

// whole is an answer in one piece.
func whole(q question) string {
	switch q.protocol {
	case "openai":
		return `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"quick","choices":[{"index":0,"message":` +
			q.choose(`{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"look_up","arguments":`+quoted(toolArguments)+`}}]},"finish_reason":"tool_calls"`,
				`{"role":"assistant","content":"`+said+`"},"finish_reason":"stop"`) +
			`}],"usage":{"prompt_tokens":100,"completion_tokens":4,"total_tokens":104}}`
	case "anthropic":
		return `{"id":"msg_1","type":"message","role":"assistant","model":"quick","content":[` +
			q.choose(`{"type":"tool_use","id":"toolu_1","name":"look_up","input":`+toolArguments+`}],"stop_reason":"tool_use"`, `{"type":"text","text":"`+said+`"}],"stop_reason":"end_turn"`) +
			`,"stop_sequence":null,"usage":{"input_tokens":100,"output_tokens":4}}`
	}
	return geminiChunk(q.choose(`{"functionCall":{"name":"look_up","args":`+toolArguments+`}}`, `{"text":"`+said+`"}`), `"STOP"`)
}

func geminiChunk(part, finish string) string {
	if finish != "" {
		finish = `,"finishReason":` + finish
	}
	return `{"candidates":[{"content":{"parts":[` + part + `],"role":"model"}` + finish + `,"index":0}],` +
		`"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":4,"totalTokenCount":104},"modelVersion":"quick","responseId":"r1"}`
}

// events is an answer in pieces, the arguments of a tool call among them.
func events(q question) []string {
	switch q.protocol {
	case "openai":
		return openaiEvents(q)
	case "anthropic":
		return anthropicEvents(q)
	}
	if q.calls() {
		return []string{whole(q)}
	}
	var chunks []string
	for _, piece := range strings.SplitAfter(said, " ") {
		chunks = append(chunks, geminiChunk(`{"text":`+quoted(piece)+`}`, ""))
	}
	return append(chunks, geminiChunk(`{"text":""}`, `"STOP"`))
}

func openaiEvents(q question) []string {
	var chunks []string
	chunk := func(delta, finish string) {
		chunks = append(chunks, `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"quick","choices":[{"index":0,"delta":`+delta+`,"finish_reason":`+finish+`}]}`)
	}
	chunk(`{"role":"assistant","content":""}`, "null")
	if q.calls() {
		chunk(`{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"look_up","arguments":""}}]}`, "null")
		for _, part := range fragments(toolArguments) {
			chunk(`{"tool_calls":[{"index":0,"function":{"arguments":`+quoted(part)+`}}]}`, "null")
		}
	} else {
		for _, piece := range strings.SplitAfter(said, " ") {
			chunk(`{"content":`+quoted(piece)+`}`, "null")
		}
	}
	chunk("{}", q.choose(`"tool_calls"`, `"stop"`))
	return append(chunks, `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"quick","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":4,"total_tokens":104}}`, "[DONE]")
}

func anthropicEvents(q question) []string {
	out := []string{`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"quick","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":100,"output_tokens":1}}}`,
		`{"type":"content_block_start","index":0,"content_block":` + q.choose(`{"type":"tool_use","id":"toolu_1","name":"look_up","input":{}}`, `{"type":"text","text":""}`) + `}`}
	if q.calls() {
		for _, part := range fragments(toolArguments) {
			out = append(out, `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":`+quoted(part)+`}}`)
		}
	} else {
		for _, piece := range strings.SplitAfter(said, " ") {
			out = append(out, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":`+quoted(piece)+`}}`)
		}
	}
	return append(out, `{"type":"content_block_stop","index":0}`,
		`{"type":"message_delta","delta":{"stop_reason":`+q.choose(`"tool_use"`, `"end_turn"`)+`,"stop_sequence":null},"usage":{"output_tokens":4}}`,
		`{"type":"message_stop"}`)
}

// fragments cuts a text into pieces of five letters.
func fragments(s string) (parts []string) {
	letters := []rune(s)
	for len(letters) > 5 {
		parts, letters = append(parts, string(letters[:5])), letters[5:]
	}
	return append(parts, string(letters))
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
