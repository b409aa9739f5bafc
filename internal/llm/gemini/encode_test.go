package gemini_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/gemini"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/sim"
	"onemind/internal/llm/wire"
)

// response is a GenerateContentResponse as a caller reads it.
type response struct {
	Candidates []struct {
		Content struct {
			Role  string `json:"role"`
			Parts []struct {
				Text         *string `json:"text"`
				Thought      bool    `json:"thought"`
				Signature    string  `json:"thoughtSignature"`
				FunctionCall *struct {
					Name string `json:"name"`
					Args any    `json:"args"`
					ID   string `json:"id"`
				} `json:"functionCall"`
				InlineData *struct {
					MimeType string `json:"mimeType"`
					Data     string `json:"data"`
				} `json:"inlineData"`
			} `json:"parts"`
		} `json:"content"`
		FinishReason string `json:"finishReason"`
		Index        int    `json:"index"`
	} `json:"candidates"`
	Usage *struct {
		Prompt     int64 `json:"promptTokenCount"`
		Cached     int64 `json:"cachedContentTokenCount"`
		Candidates int64 `json:"candidatesTokenCount"`
		Thoughts   int64 `json:"thoughtsTokenCount"`
		Total      int64 `json:"totalTokenCount"`
	} `json:"usageMetadata"`
	Model   string          `json:"modelVersion"`
	ID      string          `json:"responseId"`
	OneMind json.RawMessage `json:"onemind"`
	Error   *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Status  string `json:"status"`
		Details []struct {
			Type   string `json:"@type"`
			Reason string `json:"reason"`
			Domain string `json:"domain"`
			Retry  string `json:"retryDelay"`
		} `json:"details"`
	} `json:"error"`
}

// responses reads a stream, in either form.
func responses(t testing.TB, out []byte, array bool) []response {
	t.Helper()
	var all []response
	if array {
		if err := json.Unmarshal(out, &all); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		return all
	}
	for _, frame := range strings.SplitAfter(string(out), "\r\n\r\n") {
		if frame == "" {
			continue
		}
		data, ok := strings.CutPrefix(frame, "data: ")
		if !ok || strings.Count(frame, "\n") != 2 || !strings.HasSuffix(frame, "\r\n\r\n") {
			t.Fatalf("no frame: %q", frame)
		}
		var r response
		if err := json.Unmarshal([]byte(data), &r); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		all = append(all, r)
	}
	return all
}

// heard adds responses up: what each candidate said, as words.
func heard(all []response) string {
	said := map[int]string{}
	for _, r := range all {
		for _, c := range r.Candidates {
			s := said[c.Index]
			for _, p := range c.Content.Parts {
				switch {
				case p.FunctionCall != nil:
					args, _ := json.Marshal(p.FunctionCall.Args)
					s += fmt.Sprintf("[%s %s %s]", p.FunctionCall.Name, args, p.FunctionCall.ID)
				case p.InlineData != nil:
					s += "[" + p.InlineData.MimeType + " " + p.InlineData.Data + "]"
				case p.Text == nil: // of a kind that is passed over
				case p.Thought:
					s += "(" + *p.Text + ")"
				default:
					s += *p.Text
				}
				if p.Signature != "" {
					s += "{" + p.Signature + "}"
				}
			}
			if c.FinishReason != "" {
				s += " " + c.FinishReason
			}
			said[c.Index] = strings.ReplaceAll(s, ")(", "") // thoughts in pieces are one
		}
	}
	return fmt.Sprint(said)
}

// neutral makes an event of a chunk's choices.
func neutral(choices string) *llm.Event {
	return &llm.Event{Data: []byte(`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[` + choices + `]}`), Choices: 1}
}

func delta(members string) *llm.Event {
	return neutral(`{"index":0,"delta":{` + members + `},"finish_reason":null}`)
}

func finished(reason string) *llm.Event {
	ev := neutral(`{"index":0,"delta":{},"finish_reason":"` + reason + `"}`)
	ev.Finish = reason
	return ev
}

var someUsage = llm.Usage{Input: 10, CachedInput: 4, CacheWrite: 1, Output: 7, Reasoning: 3}

func TestEncodeStreams(t *testing.T) {
	for _, tt := range []struct {
		name   string
		events []*llm.Event
		end    llm.Ending
		want   string
	}{
		{"text", []*llm.Event{delta(`"role":"assistant","content":""`), delta(`"content":"Hel"`), delta(`"content":"lo \"you\"\n"`), finished("stop")}, llm.Ending{Finish: "stop"}, "map[0:Hello \"you\"\n STOP]"},
		{"reasoning", []*llm.Event{delta(`"reasoning_content":"Hm","reasoning":"Hm"`), delta(`"reasoning":"m"`), delta(`"content":"Yes"`), finished("stop")}, llm.Ending{Finish: "stop"}, "map[0:(Hmm)Yes STOP]"},
		{"length", []*llm.Event{delta(`"content":"a"`), finished("length")}, llm.Ending{Finish: "length"}, "map[0:a MAX_TOKENS]"},
		{"filter", []*llm.Event{delta(`"content":null,"refusal":"No."`), finished("content_filter")}, llm.Ending{Finish: "content_filter"}, "map[0:No. SAFETY]"},
		{"odd finish", []*llm.Event{delta(`"content":"a"`), finished("weird")}, llm.Ending{Finish: "weird"}, "map[0:a OTHER]"},
		{"fragments", []*llm.Event{delta(`"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]`), delta(`"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]`),
			delta(`"tool_calls":[{"index":0,"function":{"arguments":"\"\\u00e9\\n\"}"}}]`), delta(`"tool_calls":[{"index":1,"id":"c2","function":{"name":"g"},"extra_content":{"google":{"thought_signature":"c2ln"}}}]`), finished("tool_calls")},
			llm.Ending{Finish: "tool_calls"}, `map[0:[f {"a":"é\n"} c1][g {} c2]{c2ln} STOP]`},
		{"two calls at once", []*llm.Event{delta(`"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"c2","function":{"name":"f","arguments":"{\"b\":1}"}}]`), finished("tool_calls")},
			llm.Ending{Finish: "tool_calls"}, `map[0:[f {} c1][f {"b":1} c2] STOP]`},
		{"a call without a finish", []*llm.Event{delta(`"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{}"}}]`)}, llm.Ending{Finish: "tool_calls"}, `map[0:[f {} c1] STOP]`},
		{"a broken call", []*llm.Event{delta(`"content":"x","tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{\"a\":"}}]`), finished("tool_calls")}, llm.Ending{Finish: "tool_calls"}, `map[0:x MALFORMED_FUNCTION_CALL]`},
		{"a call that the cap cut", []*llm.Event{delta(`"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{\"a\":"}}]`)}, llm.Ending{Finish: "length", Capped: true}, `map[0: MAX_TOKENS]`},
		{"capped", []*llm.Event{delta(`"content":"a"`)}, llm.Ending{Finish: "length", Capped: true}, "map[0:a MAX_TOKENS]"},
		{"nothing", nil, llm.Ending{Finish: "stop"}, "map[0: STOP]"},
		{"images", []*llm.Event{delta(`"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA\/A"}}]`), finished("stop")}, llm.Ending{Finish: "stop"}, "map[0:[image/png AA/A] STOP]"},
		{"a signature", []*llm.Event{delta(`"content":"x","extra_content":{"google":{"thought_signature":"c2ln"}}`), finished("stop")}, llm.Ending{Finish: "stop"}, "map[0:x{c2ln} STOP]"},
		{"Mistral's parts", []*llm.Event{delta(`"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"yes"}]`), finished("stop")}, llm.Ending{Finish: "stop"}, "map[0:(hm)yes STOP]"},
		{"two choices", []*llm.Event{neutral(`{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}`), neutral(`{"index":1,"delta":{},"finish_reason":"length"}`), finished("stop")}, llm.Ending{Finish: "stop"}, "map[0:a STOP 1:b MAX_TOKENS]"},
		{"usage chunk", []*llm.Event{delta(`"content":"a"`), finished("stop"), {Data: []byte(`{"choices":[],"usage":{"prompt_tokens":1}}`), Usage: true}}, llm.Ending{Finish: "stop"}, "map[0:a STOP]"},
	} {
		for _, array := range []bool{false, true} {
			e := gemini.NewEncoder("resp-1", `my "model"`, array)
			var out []byte
			for _, ev := range tt.events {
				out = e.Event(out, ev)
			}
			tt.end.Usage, tt.end.Receipt = someUsage, []byte(`{"cost":"0.1"}`)
			out = e.End(out, tt.end)
			all := responses(t, out, array)
			if got := heard(all); got != tt.want {
				t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
			}
			last := all[len(all)-1]
			if u := last.Usage; u == nil || u.Prompt != 15 || u.Cached != 4 || u.Candidates != 7 || u.Thoughts != 3 || u.Total != 25 || string(last.OneMind) != `{"cost":"0.1"}` {
				t.Errorf("%s: the end is %s", tt.name, out)
			}
			for _, r := range all {
				if r.ID != "resp-1" || r.Model != `my "model"` {
					t.Errorf("%s: %s", tt.name, out)
				}
			}
		}
	}
}

// What the caller's own dialect brought stands as it came, with the receipt behind.
func TestEncodeNative(t *testing.T) {
	first, last := `{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"index":0}],"futureField":[1]}`, `{"candidates":[{"content":{"parts":[{"text":"!"}]},"finishReason":"STOP","index":0}]}`
	for _, array := range []bool{false, true} {
		e := gemini.NewEncoder("r", "m", array)
		out := e.Event(nil, &llm.Event{Data: []byte(first), Native: "message"})
		if !bytes.Contains(out, []byte(first)) {
			t.Errorf("%s", out)
		}
		out = e.Event(out, &llm.Event{Data: []byte(last), Native: "message", Finish: "stop"})
		out = e.End(out, llm.Ending{Finish: "stop", Usage: someUsage, Receipt: []byte(`{}`)})
		all := responses(t, out, array)
		if got := heard(all); got != "map[0:Hi! STOP]" || len(all) != 3 || string(all[2].OneMind) != "{}" || all[2].Usage.Total != 25 || len(all[2].Candidates) != 0 {
			t.Errorf("%s", out)
		}
		// We ended it at its hold: the provider's own end never came.
		e = gemini.NewEncoder("r", "m", array)
		out = e.Event(nil, &llm.Event{Data: []byte(first), Native: "message"})
		out = e.End(out, llm.Ending{Finish: "length", Usage: someUsage, Receipt: []byte(`{}`), Capped: true})
		all = responses(t, out, array)
		if got := heard(all); got != "map[0:Hi MAX_TOKENS]" || string(all[1].OneMind) != "{}" {
			t.Errorf("%s", out)
		}
		// Without a receipt nothing is added.
		e = gemini.NewEncoder("r", "m", array)
		out = e.Event(nil, &llm.Event{Data: []byte(last), Native: "message", Finish: "stop"})
		if all = responses(t, e.End(out, llm.Ending{Finish: "stop"}), array); len(all) != 1 {
			t.Errorf("%d responses", len(all))
		}
	}
}

func TestEncodeWhole(t *testing.T) {
	for name, tt := range map[string]struct{ body, want string }{
		"text":    {`{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi\n","refusal":null},"finish_reason":"stop"}]}`, "map[0:Hi\n STOP]"},
		"calls":   {`{"choices":[{"index":0,"message":{"role":"assistant","content":null,"reasoning_content":"r","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`, `map[0:(r)[f {"a":1} c1][g {} c2] STOP]`},
		"two":     {`{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"length"},{"index":1,"message":{"content":"b"},"finish_reason":"content_filter"}]}`, "map[0:a MAX_TOKENS 1:b SAFETY]"},
		"nothing": {`{"choices":[{"index":0,"message":{"content":""},"finish_reason":"stop"}]}`, "map[0: STOP]"},
		"broken":  {`{"choices":[{"index":0,"message":{"content":"a","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{"}}]},"finish_reason":"tool_calls"}]}`, "map[0:a MALFORMED_FUNCTION_CALL]"},
	} {
		e := gemini.NewEncoder("r", "m", false)
		out, err := e.Whole([]byte(tt.body), false, llm.Ending{Finish: "stop", Usage: someUsage, Receipt: []byte(`{"id":1}`)})
		var r response
		if err != nil || json.Unmarshal(out, &r) != nil || heard([]response{r}) != tt.want || r.Usage.Total != 25 || string(r.OneMind) != `{"id":1}` || r.ID != "r" {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
	e := gemini.NewEncoder("r", "m", false)
	native := "{\n  \"candidates\": [],\n  \"x\": {}\n}\n"
	out, err := e.Whole([]byte(native), true, llm.Ending{Receipt: []byte(`{"id":1}`)})
	same(t, "native", string(out), `{"candidates":[],"x":{},"onemind":{"id":1}}`)
	if err != nil {
		t.Error(err)
	}
	if out, _ = e.Whole([]byte(`{}`), true, llm.Ending{Receipt: []byte(`1`)}); string(out) != `{"onemind":1}` {
		t.Errorf("%s", out)
	}
	if out, _ = e.Whole([]byte(native), true, llm.Ending{}); string(out) != native {
		t.Errorf("%s", out)
	}
	if _, err = e.Whole([]byte(`{"choices":[7]}`), false, llm.Ending{}); !fault.Is(err, fault.Upstream) {
		t.Error(err)
	}
}

func TestEncodeErrors(t *testing.T) {
	f := fault.New(fault.Limited, "rate_limited", "Too many requests.").After(1500 * time.Millisecond)
	f.Field = "user_provider" // a limit's scope is no field
	e := gemini.NewEncoder("r", "m", false)
	var r response
	if err := json.Unmarshal(e.Error(f, 429), &r); err != nil {
		t.Fatal(err)
	}
	d := r.Error.Details
	if r.Error.Code != 429 || r.Error.Status != "RESOURCE_EXHAUSTED" || r.Error.Message != "Too many requests." || len(d) != 2 ||
		d[0].Reason != "rate_limited" || d[0].Domain != "onemind" || d[1].Retry != "2s" {
		t.Errorf("%+v", r.Error)
	}
	wrong := fault.New(fault.Invalid, "invalid_value", "It is wrong.")
	wrong.Field = "contents"
	r = response{}
	if err := json.Unmarshal(e.Error(wrong, 400), &r); err != nil || len(r.Error.Details) != 2 || !strings.HasSuffix(r.Error.Details[1].Type, "BadRequest") {
		t.Errorf("%+v, %v", r.Error, err)
	}
	for status, want := range map[int]string{400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "FAILED_PRECONDITION", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 405: "UNIMPLEMENTED", 408: "DEADLINE_EXCEEDED", 409: "ABORTED",
		413: "INVALID_ARGUMENT", 422: "INVALID_ARGUMENT", 499: "CANCELLED", 500: "INTERNAL", 502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"} {
		if err := json.Unmarshal(gemini.ErrorBody(fault.New(fault.Internal, "x", "x"), status), &r); err != nil || r.Error.Status != want {
			t.Errorf("%d: %+v", status, r.Error)
		}
	}
	for kind, want := range map[fault.Kind]int{fault.Invalid: 400, fault.Unauthenticated: 401, fault.Short: 402, fault.Forbidden: 403, fault.NotFound: 404, fault.Conflict: 409, fault.Limited: 429,
		fault.Internal: 500, fault.Upstream: 502, fault.Unavailable: 503, fault.Timeout: 504} {
		for _, array := range []bool{false, true} {
			e := gemini.NewEncoder("r", "m", array)
			out := e.Event(nil, delta(`"content":"a"`))
			all := responses(t, e.Trouble(out, fault.New(kind, "some_code", "It broke.")), array)
			if got := all[len(all)-1].Error; len(all) != 2 || got.Code != want || got.Details[0].Reason != "some_code" {
				t.Errorf("%v: %+v", kind, got)
			}
		}
	}
}

func TestModels(t *testing.T) {
	got := string(gemini.ListModels([]gemini.ModelInfo{{ID: "gpt-4o", Name: "GPT-4o", Input: 128_000, Output: 16_384, Reasoning: true}, {ID: "x"}}))
	same(t, "list", got, `{"models":[{"name":"models/gpt-4o","version":"001","displayName":"GPT-4o","inputTokenLimit":128000,"outputTokenLimit":16384,"supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens"],"thinking":true},
		{"name":"models/x","version":"001","displayName":"x","inputTokenLimit":0,"outputTokenLimit":0,"supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens"]}]}`)
	if got := string(gemini.ListModels(nil)); got != `{"models":[]}` {
		t.Error(got)
	}
	if got := string(gemini.Model(gemini.ModelInfo{ID: "x"})); !strings.HasPrefix(got, `{"name":"models/x"`) {
		t.Error(got)
	}
}

// Round trip: what the fixtures say in Google's words comes back in Google's words
// the same after it was chat completions.
func TestAnswerRoundTrip(t *testing.T) {
	for name, data := range fixtures(t, "stream/*.sse", 40) {
		var direct []response
		for _, line := range strings.Split(string(data), "\n") {
			var r response
			if rest, ok := strings.CutPrefix(line, "data: "); ok && json.Unmarshal([]byte(rest), &r) == nil {
				direct = append(direct, r)
			}
		}
		for _, array := range []bool{false, true} {
			e := gemini.NewEncoder("r", "m", array)
			var out []byte
			result, err := call(&upstream{kind: "text/event-stream", pieces: [][]byte{bytes.Clone(data)}}, target(), ask(true), func(ev *llm.Event) error {
				out = e.Event(out, ev)
				return nil
			})
			if err != nil {
				all := responses(t, e.Trouble(out, fault.New(fault.Upstream, "provider_error", "It broke.")), array)
				if all[len(all)-1].Error == nil {
					t.Errorf("%s: no error at the end of %s", name, out)
				}
				continue
			}
			end := llm.Ending{Finish: result.Finish}
			if result.Usage != nil {
				end.Usage = *result.Usage
			}
			all := responses(t, e.End(out, end), array)
			want, got := heard(direct), heard(all)
			got = madeUpID.ReplaceAllString(got, "")
			if base := name[strings.LastIndexByte(name, '/')+1:]; base == "recitation.sse" || base == "malformed-call-after-text.sse" || base == "prompt-blocked.sse" || base == "blocked-midway.sse" || base == "code-execution.sse" || base == "call-without-args.sse" {
				continue // what is said otherwise there on purpose
			}
			if want != got {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
}

var madeUpID = regexp.MustCompile(`call_[A-Z2-7]{26}`)

// An answer of the scripted upstream reads the same by either protocol, whichever
// the provider speaks.
func TestAcrossDialects(t *testing.T) {
	for name, script := range map[string]sim.Script{
		"text":      {Text: "It is sunny in \"Paris\"."},
		"reasoning": {Reasoning: "Let me see.", Text: "Yes."},
		"calls":     {Text: "Looking.", Calls: []sim.Call{{Name: "f", Arguments: `{"a":"x y"}`}, {Name: "g", Arguments: `{}`}}},
		"capped":    {Pieces: 50},
		"filtered":  {Text: "So", Finish: "content_filter"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sim.New(sim.Options{Choose: func(*sim.Request) sim.Script { return script }})
			w := wire.New(wire.Options{Transport: sim.Transport(s)})
			defer w.Close()
			ends := map[string]llm.Result{}
			said := map[string]string{}
			for protocol, p := range map[string]llm.Provider{"gemini": gemini.New(w), "openai": openai.New(w)} {
				to := target()
				to.BaseURL, to.Cap = "http://sim/v1", 20
				for _, stream := range []bool{true, false} {
					e := gemini.NewEncoder("r", "m", false)
					var out []byte
					r, err := p.Stream(t.Context(), to, ask(stream), func(ev *llm.Event) error {
						out = e.Event(out, ev)
						return nil
					})
					if err != nil {
						t.Fatal(protocol, err)
					}
					if stream {
						out = e.End(out, llm.Ending{Finish: r.Finish, Usage: *r.Usage})
					} else if out, err = e.Whole(r.Body, false, llm.Ending{Finish: r.Finish, Usage: *r.Usage}); err != nil {
						t.Fatal(err)
					} else {
						out = []byte("data: " + string(out) + "\r\n\r\n")
					}
					key := fmt.Sprint(protocol, stream)
					said[key] = callID.ReplaceAllString(heard(responses(t, out, false)), "")
					r.Body = nil
					ends[key] = r
				}
			}
			for key, got := range said {
				if got != said["geminitrue"] || ends[key].Finish != ends["geminitrue"].Finish || !reflect.DeepEqual(ends[key].Usage, ends["geminitrue"].Usage) {
					t.Errorf("%s: %q %+v, want %q %+v", key, got, ends[key].Usage, said["geminitrue"], ends["geminitrue"].Usage)
				}
			}
		})
	}
}

var callID = regexp.MustCompile(`call_[A-Z0-9]+`)
