package llm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/gemini"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/responses"
	"onemind/internal/llm/sim"
	"onemind/internal/llm/wire"
)

var update = flag.Bool("update", false, "write docs/dialects.md anew")

// An inbound is a dialect that callers speak.
type inbound struct {
	name, title string
	base        string // the least request
	read        func(body []byte) (*llm.Request, error)
}

func fromChat(chat []byte, native *llm.Native, err error) (*llm.Request, error) {
	if err != nil {
		return nil, err
	}
	in, err := openai.Parse(chat)
	if err != nil {
		return nil, fmt.Errorf("the neutral form of a request is none: %w: %s", err, chat)
	}
	in.Native = native
	return &in.Request, nil
}

func inbounds() []inbound {
	return []inbound{
		{"chat", "Chat completions", `{"model":"m","messages":[{"role":"user","content":"Hello"}]}`,
			func(body []byte) (*llm.Request, error) { in, err := openai.Parse(body); return &in.Request, err }},
		{"responses", "Responses", `{"model":"m","input":"Hello"}`, func(body []byte) (*llm.Request, error) {
			chat, err := responses.Parse(body)
			return fromChat(chat, nil, err)
		}},
		{"messages", "Messages (Anthropic)", `{"model":"m","max_tokens":512,"messages":[{"role":"user","content":"Hello"}]}`, func(body []byte) (*llm.Request, error) {
			chat, only, err := anthropic.Parse(body)
			return fromChat(chat, &llm.Native{Protocol: "anthropic", Body: body, Only: only}, err)
		}},
		{"gemini", "generateContent (Gemini)", `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`, func(body []byte) (*llm.Request, error) {
			chat, only, err := gemini.Parse("m", false, body)
			return fromChat(chat, &llm.Native{Protocol: "gemini", Body: body, Only: only}, err)
		}},
	}
}

// An outbound is a dialect that providers speak.
type outbound struct {
	name, title string
	client      llm.Provider
	rules       llm.Rules
}

func outbounds(w *wire.Client) []outbound {
	return []outbound{
		{"openai", "OpenAI", openai.New(w), llm.Rules{}},
		{"anthropic", "Anthropic", anthropic.New(w), llm.Rules{Reasoning: "budget"}},
		{"gemini", "Gemini", gemini.New(w), llm.Rules{Reasoning: "budget"}},
	}
}

const (
	pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	paper = "JVBERi0xLjQKJWVuZAo="
	sound = "UklGRiQAAABXQVZFZm10IBAAAAABAAEA"
)

// A feature is one thing a request can ask for. members are merged into the
// base; marks are what shows in the provider's request that it was carried, "" for any
// protocol. A dialect without members has no word for it.
type feature struct {
	name    string
	members map[string]string
	marks   map[string]string
}

func same(mark string) map[string]string { return map[string]string{"": mark} }

const (
	chatTool = `{"type":"function","function":{"name":"look_up","description":"Looks up","parameters":{"type":"object","properties":{"q":{"type":"string"}}}}}`
	respTool = `{"type":"function","name":"look_up","description":"Looks up","parameters":{"type":"object","properties":{"q":{"type":"string"}}},"strict":false}`
	msgTool  = `{"name":"look_up","description":"Looks up","input_schema":{"type":"object","properties":{"q":{"type":"string"}}}}`
	gemTool  = `{"functionDeclarations":[{"name":"look_up","description":"Looks up","parametersJsonSchema":{"type":"object","properties":{"q":{"type":"string"}}}}]}`
	schema   = `{"type":"object","properties":{"markedfield":{"type":"string"}},"required":["markedfield"],"additionalProperties":false}`
)

func features() []feature {
	chat := func(parts string) string { return `{"messages":[{"role":"user","content":[` + parts + `]}]}` }
	resp := func(parts string) string { return `{"input":[{"role":"user","content":[` + parts + `]}]}` }
	gem := func(parts string) string { return `{"contents":[{"role":"user","parts":[` + parts + `]}]}` }
	return []feature{
		{"System prompt", map[string]string{"chat": `{"messages":[{"role":"system","content":"MARK"},{"role":"user","content":"Hi"}]}`, "responses": `{"instructions":"MARK"}`,
			"messages": `{"system":"MARK"}`, "gemini": `{"systemInstruction":{"parts":[{"text":"MARK"}]}}`}, same("MARK")},
		{"Several turns", map[string]string{"chat": `{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"MARK"},{"role":"user","content":"And?"}]}`,
			"responses": `{"input":[{"role":"user","content":"Hi"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"MARK","annotations":[]}]},{"role":"user","content":"And?"}]}`,
			"messages":  `{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"MARK"},{"role":"user","content":"And?"}]}`,
			"gemini":    `{"contents":[{"role":"user","parts":[{"text":"Hi"}]},{"role":"model","parts":[{"text":"MARK"}]},{"role":"user","parts":[{"text":"And?"}]}]}`}, same("MARK")},
		{"Image (data)", map[string]string{"chat": chat(`{"type":"image_url","image_url":{"url":"data:image/png;base64,` + pixel + `"}}`),
			"responses": resp(`{"type":"input_image","detail":"auto","image_url":"data:image/png;base64,` + pixel + `"}`),
			"messages":  `{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + pixel + `"}}]}]}`,
			"gemini":    gem(`{"inlineData":{"mimeType":"image/png","data":"` + pixel + `"}}`)}, same(pixel)},
		{"Image (address)", map[string]string{"chat": chat(`{"type":"image_url","image_url":{"url":"https://example.com/MARK.png"}}`),
			"responses": resp(`{"type":"input_image","detail":"auto","image_url":"https://example.com/MARK.png"}`),
			"messages":  `{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://example.com/MARK.png"}}]}]}`}, same("MARK")},
		{"PDF document", map[string]string{"chat": chat(`{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,` + paper + `"}}`),
			"responses": resp(`{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,` + paper + `"}`),
			"messages":  `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"` + paper + `"}}]}]}`,
			"gemini":    gem(`{"inlineData":{"mimeType":"application/pdf","data":"` + paper + `"}}`)}, same(paper)},
		{"Sound", map[string]string{"chat": chat(`{"type":"input_audio","input_audio":{"data":"` + sound + `","format":"wav"}}`),
			"gemini": gem(`{"inlineData":{"mimeType":"audio/wav","data":"` + sound + `"}}`)}, same(sound)},
		{"Tools", map[string]string{"chat": `{"tools":[` + chatTool + `]}`, "responses": `{"tools":[` + respTool + `]}`,
			"messages": `{"tools":[` + msgTool + `]}`, "gemini": `{"tools":[` + gemTool + `]}`}, same("look_up")},
		{"A tool has to be called", map[string]string{"chat": `{"tools":[` + chatTool + `],"tool_choice":"required"}`, "responses": `{"tools":[` + respTool + `],"tool_choice":"required"}`,
			"messages": `{"tools":[` + msgTool + `],"tool_choice":{"type":"any"}}`, "gemini": `{"tools":[` + gemTool + `],"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}`},
			map[string]string{"openai": `"required"`, "anthropic": `"any"`, "gemini": `"ANY"`}},
		{"One call at a time", map[string]string{"chat": `{"tools":[` + chatTool + `],"parallel_tool_calls":false}`, "responses": `{"tools":[` + respTool + `],"parallel_tool_calls":false}`,
			"messages": `{"tools":[` + msgTool + `],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}`}, map[string]string{"openai": "parallel_tool_calls", "anthropic": "disable_parallel_tool_use", "gemini": "parallel"}},
		{"Tool calls and results", map[string]string{
			"chat":      `{"tools":[` + chatTool + `],"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"look_up","arguments":"{\"q\":\"x\"}"}}]},{"role":"tool","tool_call_id":"call_1","content":"MARK"}]}`,
			"responses": `{"tools":[` + respTool + `],"input":[{"role":"user","content":"Hi"},{"type":"function_call","call_id":"call_1","name":"look_up","arguments":"{\"q\":\"x\"}"},{"type":"function_call_output","call_id":"call_1","output":"MARK"}]}`,
			"messages":  `{"tools":[` + msgTool + `],"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"look_up","input":{"q":"x"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"MARK"}]}]}`,
			"gemini":    `{"tools":[` + gemTool + `],"contents":[{"role":"user","parts":[{"text":"Hi"}]},{"role":"model","parts":[{"functionCall":{"name":"look_up","args":{"q":"x"}}}]},{"role":"user","parts":[{"functionResponse":{"name":"look_up","response":{"result":"MARK"}}}]}]}`}, same("MARK")},
		{"Reasoning effort", map[string]string{"chat": `{"reasoning_effort":"high"}`, "responses": `{"reasoning":{"effort":"high"}}`,
			"messages": `{"max_tokens":30000,"thinking":{"type":"enabled","budget_tokens":16000}}`, "gemini": `{"generationConfig":{"thinkingConfig":{"thinkingBudget":24576}}}`},
			map[string]string{"openai": "reasoning_effort", "anthropic": "budget_tokens", "gemini": "thinkingBudget"}},
		{"JSON of a schema", map[string]string{"chat": `{"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":` + schema + `}}}`,
			"responses": `{"text":{"format":{"type":"json_schema","name":"s","schema":` + schema + `}}}`,
			"gemini":    `{"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":` + schema + `}}`}, same("markedfield")},
		{"Any JSON", map[string]string{"chat": `{"response_format":{"type":"json_object"}}`, "responses": `{"text":{"format":{"type":"json_object"}}}`,
			"gemini": `{"generationConfig":{"responseMimeType":"application/json"}}`}, map[string]string{"openai": "json_object", "anthropic": "json", "gemini": "application/json"}},
		{"Temperature", map[string]string{"chat": `{"temperature":0.4242}`, "responses": `{"temperature":0.4242}`, "messages": `{"temperature":0.4242}`, "gemini": `{"generationConfig":{"temperature":0.4242}}`}, same("0.4242")},
		{"Top P", map[string]string{"chat": `{"top_p":0.4343}`, "responses": `{"top_p":0.4343}`, "messages": `{"top_p":0.4343}`, "gemini": `{"generationConfig":{"topP":0.4343}}`}, same("0.4343")},
		{"Top K", map[string]string{"messages": `{"top_k":4343}`, "gemini": `{"generationConfig":{"topK":4343}}`}, same("4343")},
		{"Stop sequences", map[string]string{"chat": `{"stop":["MARK"]}`, "messages": `{"stop_sequences":["MARK"]}`, "gemini": `{"generationConfig":{"stopSequences":["MARK"]}}`}, same("MARK")},
		{"Seed", map[string]string{"chat": `{"seed":424242}`, "gemini": `{"generationConfig":{"seed":424242}}`}, same("424242")},
		{"Presence penalty", map[string]string{"chat": `{"presence_penalty":0.4242}`, "gemini": `{"generationConfig":{"presencePenalty":0.4242}}`}, same("0.4242")},
		{"Logit bias", map[string]string{"chat": `{"logit_bias":{"4242":-100}}`}, same("4242")},
		{"Log probabilities", map[string]string{"chat": `{"logprobs":true,"top_logprobs":4}`, "gemini": `{"generationConfig":{"responseLogprobs":true,"logprobs":4}}`}, map[string]string{"openai": "top_logprobs", "anthropic": "logprobs", "gemini": "responseLogprobs"}},
		{"Several answers", map[string]string{"chat": `{"n":2}`, "gemini": `{"generationConfig":{"candidateCount":2}}`}, map[string]string{"openai": `"n":2`, "anthropic": `"n"`, "gemini": `"candidateCount":2`}},
		{"Verbosity", map[string]string{"chat": `{"verbosity":"low"}`, "responses": `{"text":{"verbosity":"low"}}`}, same("verbosity")},
		{"Prediction", map[string]string{"chat": `{"prediction":{"type":"content","content":"MARK"}}`}, same("MARK")},
		{"Metadata", map[string]string{"chat": `{"metadata":{"k":"MARK"}}`}, same("MARK")}, // of Responses it comes back with the answer

		{"Name of the end user", map[string]string{"chat": `{"user":"MARK"}`, "responses": `{"user":"MARK"}`, "messages": `{"metadata":{"user_id":"MARK"}}`}, same("MARK")},
		{"Safety settings", map[string]string{"gemini": `{"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]}`}, same("HARM_CATEGORY_HARASSMENT")},
	}
}

// merge puts the members of b over those of a; objects within are merged too.
func merge(t *testing.T, a, b string) []byte {
	t.Helper()
	var base, over map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal([]byte(a), &base), json.Unmarshal([]byte(b), &over)); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	for name, value := range over {
		base[name] = value
	}
	out, err := json.Marshal(base)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestNothingIsLostBetweenDialects asks for every feature in every dialect at
// providers of every protocol: it is carried, or refused by name, or the answer
// says that it was changed. docs/dialects.md is what comes out.
func TestNothingIsLostBetweenDialects(t *testing.T) {
	var got []byte
	upstream := sim.New(sim.Options{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(got))
		upstream.ServeHTTP(w, r)
	}))
	defer server.Close()
	w := wire.New(wire.Options{})
	defer func() { _ = w.Close() }()
	outs := outbounds(w)

	var page strings.Builder
	page.WriteString(intro)
	for _, in := range inbounds() {
		fmt.Fprintf(&page, "\n## Callers of %s\n\n| Feature |", in.title)
		for _, out := range outs {
			fmt.Fprintf(&page, " %s |", out.title)
		}
		page.WriteString("\n|---|" + strings.Repeat("---|", len(outs)) + "\n")
		for _, f := range features() {
			members, has := f.members[in.name]
			if !has {
				continue
			}
			fmt.Fprintf(&page, "| %s |", f.name)
			for _, out := range outs {
				got = nil
				fmt.Fprintf(&page, " %s |", fate(t, in, out, f, merge(t, in.base, members), server.URL+"/v1", &got))
			}
			page.WriteString("\n")
		}
	}
	const file = "../../docs/dialects.md"
	if *update {
		if err := os.WriteFile(file, []byte(page.String()), 0o644); err != nil { //nolint:gosec // a page of the docs
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != page.String() {
		t.Error("docs/dialects.md is not what the dialects do: run `go test ./internal/llm -run TestNothingIsLost -update` and read the difference")
	}
}

// fate says what becomes of a feature between two dialects.
func fate(t *testing.T, in inbound, out outbound, f feature, body []byte, base string, got *[]byte) string {
	t.Helper()
	req, err := in.read(body)
	if err != nil {
		return refused(t, in, out, f, err)
	}
	if n := req.Native; n != nil && n.Protocol != out.name && len(n.Only) > 0 { // the gateway refuses these by name
		return "refused: `" + n.Only[0] + "`"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	to := llm.Target{Provider: "p", BaseURL: base, Upstream: "m", Key: llm.NewKey("k"), Cap: 32000, AllowPrivate: true, Rules: out.rules}
	result, err := out.client.Stream(ctx, to, req, func(*llm.Event) error { return nil })
	if err != nil {
		return refused(t, in, out, f, err)
	}
	mark, ok := f.marks[out.name]
	if !ok {
		mark = f.marks[""]
	}
	if bytes.Contains(*got, []byte(mark)) {
		return "yes"
	}
	if len(result.Changes) > 0 {
		names := []string{}
		for _, c := range result.Changes {
			names = append(names, "`"+c.Name+"` ("+c.Rule+")")
		}
		slices.Sort(names)
		return "left out and said so: " + strings.Join(slices.Compact(names), ", ")
	}
	t.Errorf("%s to %s, %s: lost without a word; the provider got %s", in.name, out.name, f.name, *got)
	return "LOST"
}

func refused(t *testing.T, in inbound, out outbound, f feature, err error) string {
	t.Helper()
	var why *fault.Error
	if !errors.As(err, &why) || why.Kind != fault.Invalid || why.Field == "" {
		t.Errorf("%s to %s, %s: %v is no refusal that names what it refuses", in.name, out.name, f.name, err)
		return "ERROR"
	}
	return "refused: `" + why.Field + "`"
}

const intro = `# Dialects

Callers speak one of four dialects, providers one of three. This page is written by a test
(` + "`go test ./internal/llm -run TestNothingIsLost -update`" + `), which asks for every feature in every pair and looks at
what the provider got. **yes**: it is carried. **refused**: the request is answered with 400 and the name of the
member before anything is sent or held. **left out and said so**: it makes no difference to the answer's meaning and is
listed under ` + "`parameters`" + ` of the receipt. Nothing is dropped silently.

A caller that speaks the provider's own dialect is passed through as it wrote: members that only the two know
survive. Reasoning is asked for by a budget of tokens here; ` + "`parameter_rules.reasoning`" + ` of a model says how it takes it.
`
