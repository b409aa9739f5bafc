package gemini_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/openai"
)

// sent gives the body that a chat request becomes, and the result.
func sent(t *testing.T, to llm.Target, chat string) (string, llm.Result, error) {
	t.Helper()
	parsed, err := openai.Parse([]byte(chat))
	if err != nil {
		t.Fatalf("%s: %v", chat, err)
	}
	u := &upstream{kind: "application/json", pieces: [][]byte{[]byte(`{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}]}`)}}
	if parsed.Stream {
		u.kind, u.pieces = "text/event-stream", [][]byte{[]byte("data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]},\"finishReason\":\"STOP\"}]}\n\n")}
	}
	result, err := call(u, to, &parsed.Request, func(*llm.Event) error { return nil })
	if u.asked != nil {
		if got := u.asked.Header.Get("X-Goog-Api-Key"); got != "secret-key" || u.asked.Header.Get("Authorization") != "" || strings.Contains(u.asked.URL.String(), "secret") {
			t.Errorf("the key is %q in %v %s", got, u.asked.Header, u.asked.URL)
		}
	}
	return string(u.body), result, err
}

// same compares two pieces of JSON.
func same(t *testing.T, name, got, want string) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(got), &a); err != nil {
		t.Errorf("%s: %s: %v", name, got, err)
		return
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatalf("%s: %s: %v", name, want, err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

const hi = `"messages":[{"role":"user","content":"Hi"}]`
const hiSent = `"contents":[{"role":"user","parts":[{"text":"Hi"}]}]`

// What chat completions ask is said in Google's words.
func TestOutbound(t *testing.T) {
	for _, tt := range []struct{ name, chat, want string }{
		{"least", hi, hiSent + `,"generationConfig":{"maxOutputTokens":1000}`},
		{"system", `"messages":[{"role":"developer","content":"Be brief."},{"role":"system","content":[{"type":"text","text":"Be kind."}]},{"role":"user","content":"Hi"}]`,
			hiSent + `,"systemInstruction":{"parts":[{"text":"Be brief."},{"text":"Be kind."}]},"generationConfig":{"maxOutputTokens":1000}`},
		{"turns", `"messages":[{"role":"user","content":"a"},{"role":"user","content":"b\"\n"},{"role":"assistant","content":"c"},{"role":"assistant","content":[{"type":"text","text":"d"},{"type":"refusal","refusal":"e"}]},{"role":"user","content":[{"type":"text","text":"f"}]}]`,
			`"contents":[{"role":"user","parts":[{"text":"a"},{"text":"b\"\n"}]},{"role":"model","parts":[{"text":"c"},{"text":"d"},{"text":"e"}]},{"role":"user","parts":[{"text":"f"}]}],"generationConfig":{"maxOutputTokens":1000}`},
		{"sampling", hi + `,"temperature":0.5,"top_p":0.9,"presence_penalty":-1,"frequency_penalty":1.5,"seed":7,"stop":["a","b"],"n":2,"logprobs":true,"top_logprobs":3`,
			hiSent + `,"generationConfig":{"maxOutputTokens":1000,"temperature":0.5,"topP":0.9,"presencePenalty":-1,"frequencyPenalty":1.5,"seed":7,"stopSequences":["a","b"],"candidateCount":2,"responseLogprobs":true,"logprobs":3}`},
		{"one stop", hi + `,"stop":"a","n":1,"service_tier":"auto","store":false,"verbosity":"medium","parallel_tool_calls":true,"modalities":["text"],"max_tokens":5,"resumable":true,"max_cost":"0.5","models":["x"]`,
			hiSent + `,"generationConfig":{"maxOutputTokens":1000,"stopSequences":["a"]}`},
		{"nulls", hi + `,"stop":null,"temperature":null,"tools":null,"logit_bias":null`, hiSent + `,"generationConfig":{"maxOutputTokens":1000}`},
		{"JSON object", hi + `,"response_format":{"type":"json_object"}`, hiSent + `,"generationConfig":{"maxOutputTokens":1000,"responseMimeType":"application/json"}`},
		{"text", hi + `,"response_format":{"type":"text"}`, hiSent + `,"generationConfig":{"maxOutputTokens":1000}`},
		{"schema", hi + `,"response_format":{"type":"json_schema","json_schema":{"name":"x","strict":true,"schema":{"type":"object","additionalProperties":false,"properties":{"a":{"type":["string","null"]}},"required":["a"]}}}`,
			hiSent + `,"generationConfig":{"maxOutputTokens":1000,"responseMimeType":"application/json","responseJsonSchema":{"type":"object","additionalProperties":false,"properties":{"a":{"type":["string","null"]}},"required":["a"]}}`},
		{"tools", hi + `,"tools":[{"type":"function","function":{"name":"f","description":"does","strict":true,"parameters":{"type":"object","properties":{}}}},{"type":"function","function":{"name":"g"}}],"tool_choice":"auto"`,
			hiSent + `,"tools":[{"functionDeclarations":[{"name":"f","description":"does","parametersJsonSchema":{"type":"object","properties":{}}},{"name":"g"}]}],"toolConfig":{"functionCallingConfig":{"mode":"AUTO"}},"generationConfig":{"maxOutputTokens":1000}`},
		{"a tool", hi + `,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"f"}}`,
			hiSent + `,"tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}},"generationConfig":{"maxOutputTokens":1000}`},
		{"some tools", hi + `,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]}}`,
			hiSent + `,"tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f","g"]}},"generationConfig":{"maxOutputTokens":1000}`},
		{"required", hi + `,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required"`,
			hiSent + `,"tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY"}},"generationConfig":{"maxOutputTokens":1000}`},
		{"no tools now", hi + `,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none"`,
			hiSent + `,"tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{"functionCallingConfig":{"mode":"NONE"}},"generationConfig":{"maxOutputTokens":1000}`},
		{"calls and results", `"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\": \"x\\ny\"}"},"extra_content":{"google":{"thought_signature":"c2ln"}}},{"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},{"role":"tool","tool_call_id":"c1","content":"{\"ok\": true}"},{"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"sun"},{"type":"text","text":"ny"}]},{"role":"user","content":"Thanks"}]`,
			`"contents":[{"role":"user","parts":[{"text":"Hi"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":"x\ny"},"id":"c1"},"thoughtSignature":"c2ln"},{"functionCall":{"name":"g","args":{},"id":"c2"}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","id":"c1","response":{"ok":true}}},{"functionResponse":{"name":"g","id":"c2","response":{"result":"sunny"}}},{"text":"Thanks"}]}],"generationConfig":{"maxOutputTokens":1000}`},
		{"media", `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"image_url","image_url":{"url":"https://example.org/a.JPG?x=1"}},{"type":"image_url","image_url":{"url":"https:\/\/example.org\/b"}},{"type":"input_audio","input_audio":{"data":"BBBB","format":"mp3"}},{"type":"file","file":{"file_data":"data:application/pdf;base64,CCCC"}},{"type":"file","file":{"file_data":"DDDD","filename":"x.txt"}}]}]`,
			`"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}},{"fileData":{"fileUri":"https://example.org/a.JPG?x=1","mimeType":"image/jpeg"}},{"fileData":{"fileUri":"https://example.org/b"}},{"inlineData":{"mimeType":"audio/mp3","data":"BBBB"}},{"inlineData":{"mimeType":"application/pdf","data":"CCCC"}},{"inlineData":{"mimeType":"text/plain","data":"DDDD"}}]}],"generationConfig":{"maxOutputTokens":1000}`},
		{"an image of the assistant's", `"messages":[{"role":"user","content":"Draw"},{"role":"assistant","content":"Here","images":[{"type":"image_url","image_url":{"url":"data:image\/png;base64,AA\/A"}}],"extra_content":{"google":{"thought_signature":"c2ln"}}}]`,
			`"contents":[{"role":"user","parts":[{"text":"Draw"}]},{"role":"model","parts":[{"text":"Here","thoughtSignature":"c2ln"},{"inlineData":{"mimeType":"image/png","data":"AA/A"}}]}],"generationConfig":{"maxOutputTokens":1000}`},
	} {
		got, _, err := sent(t, target(), `{"model":"m",`+tt.chat+`}`)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		same(t, tt.name, got, "{"+tt.want+"}")
	}
}

// What has no counterpart is refused by name before anything is sent.
func TestOutboundRefuses(t *testing.T) {
	tool := `,"tools":[{"type":"function","function":{"name":"f"}}]`
	for field, chat := range map[string]string{
		"logit_bias":                     hi + `,"logit_bias":{"1":2}`,
		"prediction":                     hi + `,"prediction":{"type":"content","content":"x"}`,
		"verbosity":                      hi + `,"verbosity":"high"`,
		"parallel_tool_calls":            hi + tool + `,"parallel_tool_calls":false`,
		"functions":                      hi + `,"functions":[{"name":"f"}]`,
		"reasoning_effort":               hi + `,"reasoning_effort":"low"`,
		"seed":                           hi + `,"seed":9007199254740993`,
		"n":                              hi + `,"stream":true,"n":2`,
		"tools[0].type":                  hi + `,"tools":[{"type":"custom","custom":{"name":"f"}}]`,
		"tool_choice.type":               hi + tool + `,"tool_choice":{"type":"custom","custom":{"name":"f"}}`,
		"tool_choice.allowed_tools.mode": hi + tool + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}`,
		"messages":                       `"messages":[{"role":"system","content":"x"}]`,
		"messages[1].function_call":      `"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}]`,
		"messages[0].role":               `"messages":[{"role":"function","name":"f","content":"x"}]`,
		"messages[1].tool_call_id":       `"messages":[{"role":"user","content":"x"},{"role":"tool","tool_call_id":"c9","content":"x"}]`,
		"messages[1].tool_calls[0].function.arguments": `"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"[1]"}}]}]`,
		"messages[1].tool_calls[0].type":               `"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"custom","custom":{"name":"f","input":"x"}}]}]`,
		"messages[0].content[0].image_url.url":         `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png,AAAA"}}]}]`,
		"messages[0].content[0].input_audio.format":    `"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AAAA","format":"pcm"}}]}]`,
		"messages[0].content[0].input_audio.data":      `"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA\"}AA","format":"wav"}}]}]`,
		"messages[0].content[1].file.file_data":        `"messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"file","file":{"file_data":"AAAA","filename":"x.bin"}}]}]`,
		"messages[0].content[0].type":                  `"messages":[{"role":"system","content":[{"type":"image_url","image_url":{"url":"https://x.org/a.png"}}]}]`,
		"messages[2].content[0].type":                  `"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":[{"type":"image_url","image_url":{"url":"https://x.org/a.png"}}]}]`,
		"messages[0].content[2].image_url.url":         `"messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"https:\/\/GenerativeLanguage.googleapis.com/v1beta/files/abc"}}]}]`,
		"messages[1].images[0].image_url.url":          `"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"x","images":[{"type":"image_url","image_url":{"url":"ftp://x"}}]}]`,
		"tools[0].function.cache_control":              hi + `,"tools":[{"type":"function","function":{"name":"f","cache_control":{"type":"ephemeral"}}}]`,
		"temperature":                                  hi + `,"temperature":1`,
	} {
		to := target()
		to.Rules.Refuse = []string{"temperature", "n"}
		if field == "n" {
			to.Rules.Refuse = nil
		}
		body, _, err := sent(t, to, `{"model":"m",`+chat+`}`)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Field != field || !strings.Contains(f.Text, "'"+field+"'") || body != "" {
			t.Errorf("%s: %v, sent %q", field, err, body)
		}
	}
}

// Reasoning is asked for as the model takes it.
func TestReasoning(t *testing.T) {
	for _, tt := range []struct {
		rule, effort string
		limit        int64
		want, change string
	}{
		{"budget", "none", 100_000, `{"thinkingBudget":0}`, ""},
		{"budget", "minimal", 100_000, `{"thinkingBudget":1024,"includeThoughts":true}`, ""},
		{"budget", "low", 100_000, `{"thinkingBudget":1024,"includeThoughts":true}`, ""},
		{"budget", "medium", 100_000, `{"thinkingBudget":8192,"includeThoughts":true}`, ""},
		{"budget", "high", 100_000, `{"thinkingBudget":24576,"includeThoughts":true}`, ""},
		{"budget", "max", 100_000, `{"thinkingBudget":24576,"includeThoughts":true}`, "dialect"},
		{"budget", "high", 4000, `{"thinkingBudget":3000,"includeThoughts":true}`, "max_tokens"},
		{"level", "none", 1000, `{"thinkingLevel":"MINIMAL"}`, "dialect"},
		{"level", "minimal", 1000, `{"thinkingLevel":"MINIMAL","includeThoughts":true}`, ""},
		{"level", "low", 1000, `{"thinkingLevel":"LOW","includeThoughts":true}`, ""},
		{"level", "medium", 1000, `{"thinkingLevel":"MEDIUM","includeThoughts":true}`, ""},
		{"level", "high", 1000, `{"thinkingLevel":"HIGH","includeThoughts":true}`, ""},
		{"level", "xhigh", 1000, `{"thinkingLevel":"HIGH","includeThoughts":true}`, "dialect"},
		{"", "none", 1000, ``, ""},
	} {
		to := target()
		to.Cap, to.Rules.Reasoning = tt.limit, tt.rule
		got, result, err := sent(t, to, `{"model":"m",`+hi+`,"reasoning_effort":"`+tt.effort+`"}`)
		if err != nil {
			t.Errorf("%v: %v", tt, err)
			continue
		}
		config := fmt.Sprintf(`"generationConfig":{"maxOutputTokens":%d`, tt.limit)
		if tt.want != "" {
			config += `,"thinkingConfig":` + tt.want
		}
		same(t, tt.rule+" "+tt.effort, got, "{"+hiSent+","+config+"}}")
		change := ""
		if len(result.Changes) > 0 {
			change = result.Changes[0].Rule
		}
		if change != tt.change || len(result.Changes) > 1 {
			t.Errorf("%v: changes %+v", tt, result.Changes)
		}
	}
	to := target()
	to.Rules = llm.Rules{Reasoning: "budget", Clamp: map[string]llm.Range{"reasoning_effort": {Min: 128, Max: 32768}}}
	if got, _, err := sent(t, to, `{"model":"m",`+hi+`,"reasoning_effort":"none"}`); err != nil || !strings.Contains(got, `"thinkingBudget":128`) {
		t.Errorf("a model that always thinks: %s, %v", got, err)
	}
}

// Gemini 3 rejects a call without a signature: one that another model made gets the
// value that is documented for it.
func TestUnsignedCalls(t *testing.T) {
	to := target()
	to.Rules.Reasoning = "level"
	got, _, err := sent(t, to, `{"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":"1"},{"role":"tool","tool_call_id":"b","content":"2"}]}`)
	if err != nil || strings.Count(got, `"thoughtSignature":"skip_thought_signature_validator"`) != 1 {
		t.Errorf("%s, %v", got, err)
	}
}

// Rules change what is sent, and each change is told.
func TestRules(t *testing.T) {
	to := target()
	to.Rules = llm.Rules{Drop: []string{"frequency_penalty"}, Refuse: []string{"n"}, Clamp: map[string]llm.Range{"temperature": {Min: 0, Max: 1}},
		Set: map[string]string{"safetySettings": `[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]`, "generationConfig.mediaResolution": `"MEDIA_RESOLUTION_LOW"`, "top_p": "0.8", "seed": "1", "generationConfig.maxOutputTokens": "9", "contents": "[]", "x": "{"}}
	got, result, err := sent(t, to, `{"model":"m",`+hi+`,"temperature":1.7,"frequency_penalty":1,"n":1,"seed":5,"user":"u1","metadata":{"a":"b"},"prompt_cache_key":"k"}`)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "rules", got, `{`+hiSent+`,"generationConfig":{"maxOutputTokens":1000,"temperature":1,"seed":5,"mediaResolution":"MEDIA_RESOLUTION_LOW","topP":0.8},"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]}`)
	var rules []string
	for _, c := range result.Changes {
		rules = append(rules, c.Name+" "+c.Rule+" "+c.Asked+">"+c.Sent)
	}
	want := []string{`temperature clamp 1.7>1`, `frequency_penalty drop 1>`, `user dialect "u1">`, `metadata dialect {"a":"b"}>`, `prompt_cache_key dialect "k">`,
		`generationConfig.mediaResolution set >"MEDIA_RESOLUTION_LOW"`, `safetySettings set >[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]`, `top_p set >0.8`}
	if !reflect.DeepEqual(rules, want) {
		t.Errorf("%q", rules)
	}
}

// What belongs to another dialect's history is left out, and told.
func TestHistoryOfOthers(t *testing.T) {
	got, result, err := sent(t, target(), `{"model":"m","messages":[{"role":"user","name":"bob","content":[{"type":"text","text":"Hi","cache_control":{"type":"ephemeral"}},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}]},{"role":"assistant","content":"a","reasoning_content":"r","thinking_blocks":[{"type":"thinking"}],"annotations":[]},{"role":"system","content":"late"},{"role":"user","content":"b"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "history", got, `{"contents":[{"role":"user","parts":[{"text":"Hi"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]},{"role":"model","parts":[{"text":"a"}]},{"role":"user","parts":[{"text":"b"}]}],"systemInstruction":{"parts":[{"text":"late"}]},"generationConfig":{"maxOutputTokens":1000}}`)
	names := map[string]bool{}
	for _, c := range result.Changes {
		names[c.Name] = true
	}
	for _, want := range []string{"messages[].name", "messages[].content[].cache_control", "messages[].content[].image_url.detail", "messages[].reasoning_content", "messages[].thinking_blocks", "messages[].role"} {
		if !names[want] {
			t.Errorf("no word of %s in %+v", want, result.Changes)
		}
	}
}

// Model and streaming are in the address.
func TestAddress(t *testing.T) {
	for upstreamName, want := range map[string]string{
		"gemini-2.5-flash":        "/v1beta/models/gemini-2.5-flash:",
		"models/gemini-2.5-flash": "/v1beta/models/gemini-2.5-flash:",
		"tunedModels/my-model":    "/v1beta/tunedModels/my-model:",
		"a b/../c?x#y":            "/v1beta/models/a%20b%2F..%2Fc%3Fx%23y:",
	} {
		for _, stream := range []bool{false, true} {
			u := &upstream{kind: "application/json", pieces: [][]byte{[]byte(`{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}]}`)}}
			to := target()
			to.Upstream = upstreamName
			if _, err := call(u, to, ask(stream), func(*llm.Event) error { return nil }); err != nil {
				t.Fatal(err)
			}
			method := "generateContent"
			if stream {
				method = "streamGenerateContent?alt=sse"
			}
			if got := u.asked.URL.RequestURI(); got != want+method {
				t.Errorf("%s", got)
			}
		}
	}
}

// A native request passes through: only the cap, the nulls and what is ours change.
func TestNativeBody(t *testing.T) {
	for _, tt := range []struct{ native, want string }{
		{`{"contents":[{"parts":[{"text":"x"}]}]}`, `{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":1000}}`},
		{`{"model":"models/x","stream":true,"max_cost":"1","max_cost_nano_usd":5,"models":["a"],"resumable":true,"cachedContent":null,"contents":[],"futureField":{"a":[1]},"generation_config":{"max_output_tokens":99999,"top_k":4,"seed":null}}`,
			`{"contents":[],"futureField":{"a":[1]},"generationConfig":{"maxOutputTokens":1000,"top_k":4}}`},
		{`{"generationConfig":{"maxOutputTokens":5,"max_output_tokens":99999,"thinkingConfig":{"thinkingBudget":5}},"contents":[{"parts":[{"text":" \u00e9 "}]}]}`,
			`{"contents":[{"parts":[{"text":" é "}]}],"generationConfig":{"maxOutputTokens":1000,"thinkingConfig":{"thinkingBudget":5}}}`},
	} {
		u := &upstream{kind: "application/json", pieces: [][]byte{[]byte(`{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}]}`)}}
		req := ask(false)
		req.Native = &llm.Native{Protocol: "gemini", Body: []byte(tt.native)}
		if r, err := call(u, target(), req, nil); err != nil || !r.Native {
			t.Fatal(r, err)
		}
		same(t, tt.native, string(u.body), tt.want)
	}
	u := &upstream{}
	req := ask(false)
	req.Native = &llm.Native{Protocol: "gemini", Body: []byte(`{"contents":`)}
	if _, err := call(u, target(), req, nil); !fault.Is(err, fault.Invalid) || u.asked != nil {
		t.Error(err)
	}
	// Another dialect's native body is none of ours.
	u = &upstream{kind: "application/json", pieces: [][]byte{[]byte(`{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}]}`)}}
	req.Native.Protocol = "anthropic"
	if r, err := call(u, target(), req, nil); err != nil || r.Native {
		t.Error(r, err)
	}
}
