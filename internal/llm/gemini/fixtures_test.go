package gemini_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"onemind/internal/llm"
	"onemind/internal/llm/gemini"
	"onemind/internal/llm/wire"
)

var update = flag.Bool("update", false, "write what the fixtures give as what they have to give")

// upstream answers every call with a status and a body that comes in pieces.
type upstream struct {
	status int
	kind   string
	pieces [][]byte
	err    error // how the body ends; nil: as it should
	asked  *http.Request
	body   []byte
}

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	u.asked = r
	u.body, _ = io.ReadAll(r.Body)
	pieces := &pieces{u.pieces, u.err}
	status := u.status
	if status == 0 {
		status = 200
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {u.kind}}, ContentLength: -1, Body: io.NopCloser(pieces)}, nil
}

// pieces gives one piece for each read.
type pieces struct {
	left [][]byte
	err  error
}

func (p *pieces) Read(b []byte) (int, error) {
	for len(p.left) > 0 && len(p.left[0]) == 0 {
		p.left = p.left[1:]
	}
	if len(p.left) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	p.left[0] = p.left[0][n:]
	return n, nil
}

func target() llm.Target {
	return llm.Target{Provider: "google", BaseURL: "https://generativelanguage.googleapis.com/v1beta", Key: llm.NewKey("secret-key"), Upstream: "gemini-2.5-flash", Cap: 1000,
		Timeouts: llm.Timeouts{FirstToken: 10 * time.Second, Idle: 10 * time.Second}}
}

const askBody = `{"model":"asked","messages":[{"role":"user","content":"Hello there"}]}`

func ask(stream bool) *llm.Request {
	return &llm.Request{Body: []byte(askBody), Model: "asked", Stream: stream, N: 1}
}

func askNative(stream bool) *llm.Request {
	r := ask(stream)
	r.Native = &llm.Native{Protocol: "gemini", Body: []byte(`{"contents":[{"role":"user","parts":[{"text":"Hello there"}]}]}`)}
	return r
}

// call makes one call of an upstream.
func call(u *upstream, to llm.Target, req *llm.Request, emit func(*llm.Event) error) (llm.Result, error) {
	w := wire.New(wire.Options{Transport: u})
	defer w.Close()
	return gemini.New(w).Stream(context.Background(), to, req, emit)
}

// toolCall is a call as a caller of chat completions sees it.
type toolCall struct {
	Index    *int   `json:"index,omitempty"`
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
	Extra json.RawMessage `json:"extra_content,omitempty"`
}

// message is a delta or a message of chat completions.
type message struct {
	Role      string            `json:"role"`
	Content   *string           `json:"content"`
	Reasoning string            `json:"reasoning_content"`
	Refusal   *string           `json:"refusal"`
	Calls     []toolCall        `json:"tool_calls"`
	Images    []json.RawMessage `json:"images"`
	Extra     json.RawMessage   `json:"extra_content"`
}

type completion struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
	Choices []struct {
		Index    int             `json:"index"`
		Delta    *message        `json:"delta"`
		Message  *message        `json:"message"`
		Finish   *string         `json:"finish_reason"`
		Logprobs json.RawMessage `json:"logprobs"`
	} `json:"choices"`
	Usage json.RawMessage `json:"usage"`
}

// said is what one choice adds up to.
type said struct {
	Content   string            `json:"content,omitempty"`
	Reasoning string            `json:"reasoning,omitempty"`
	Refusal   string            `json:"refusal,omitempty"`
	Calls     []toolCall        `json:"calls,omitempty"`
	Images    []json.RawMessage `json:"images,omitempty"`
	Extra     json.RawMessage   `json:"extra,omitempty"`
	Finish    string            `json:"finish,omitempty"`
	Logprobs  json.RawMessage   `json:"logprobs,omitempty"`
}

// outcome is all that a caller gets of a call.
type outcome struct {
	Choices  []said          `json:"choices,omitempty"`
	Reported json.RawMessage `json:"reported,omitempty"` // the usage that was said
	Usage    *llm.Usage      `json:"usage,omitempty"`
	Finish   string          `json:"finish,omitempty"`
	Images   int64           `json:"images,omitempty"`
	Output   int             `json:"output,omitempty"` // bytes, of a stream
	Text     string          `json:"text,omitempty"`
	Class    string          `json:"class,omitempty"`
	Status   int             `json:"status,omitempty"`
	Retry    string          `json:"retry,omitempty"`
	Failure  string          `json:"failure,omitempty"`
}

var madeUp = regexp.MustCompile(`^call_[A-Z2-7]{26}$`)

// add takes a chunk or a whole completion.
func (o *outcome) add(t testing.TB, data []byte) {
	t.Helper()
	var c completion
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	if !strings.HasPrefix(c.ID, "chatcmpl-") || c.Model == "" || c.Created == 0 || !strings.HasPrefix(c.Object, "chat.completion") {
		t.Fatalf("no completion: %s", data)
	}
	for _, choice := range c.Choices {
		for len(o.Choices) <= choice.Index {
			o.Choices = append(o.Choices, said{})
		}
		at, m := &o.Choices[choice.Index], choice.Delta
		if m == nil {
			m = choice.Message
		}
		if m.Content != nil {
			at.Content += *m.Content
		}
		if m.Refusal != nil {
			at.Refusal += *m.Refusal
		}
		at.Reasoning += m.Reasoning
		for _, call := range m.Calls {
			if madeUp.MatchString(call.ID) {
				call.ID = "made up"
			}
			at.Calls = append(at.Calls, call)
		}
		at.Images = append(at.Images, m.Images...)
		if m.Extra != nil {
			at.Extra = m.Extra
		}
		if choice.Finish != nil {
			at.Finish = *choice.Finish
		}
		if string(choice.Logprobs) != "null" {
			at.Logprobs = choice.Logprobs
		}
	}
	if c.Usage != nil {
		o.Reported = c.Usage
	}
}

// end takes how the call ended.
func (o *outcome) end(t testing.TB, r llm.Result, err error) {
	t.Helper()
	o.Usage, o.Finish, o.Images, o.Text = r.Usage, r.Finish, r.Images, r.Text
	if err == nil {
		return
	}
	var f *llm.Failure
	if !errors.As(err, &f) {
		t.Fatalf("%v is no failure", err)
	}
	if strings.Contains(f.Error(), "secret-key") {
		t.Errorf("the key is in %q", f.Error())
	}
	o.Class, o.Status, o.Failure = f.Class.String(), f.Status, f.Text
	if f.Retry > 0 {
		o.Retry = f.Retry.String()
	}
}

func (o *outcome) String() string {
	b, _ := json.MarshalIndent(o, "", "  ")
	return string(b) + "\n"
}

// streamed gives the outcome of a streamed call, native or not.
func streamed(t testing.TB, u *upstream, native bool) *outcome {
	t.Helper()
	req := ask(true)
	if native {
		req = askNative(true)
	}
	var o outcome
	var text, thought strings.Builder
	result, err := call(u, target(), req, func(ev *llm.Event) error {
		o.Output += ev.Output
		text.WriteString(ev.Text())
		thought.WriteString(ev.Thought())
		if native {
			if ev.Native == "" || ev.Choices != 0 || !json.Valid(ev.Data) {
				t.Errorf("%+v", ev)
			}
		} else {
			o.add(t, ev.Data)
		}
		if bytes.ContainsAny(ev.Data, "\r\n") {
			t.Errorf("a line break in %q", ev.Data)
		}
		return nil
	})
	o.end(t, result, err)
	if native {
		o.Choices = []said{{Content: text.String(), Reasoning: thought.String(), Finish: result.Finish}}
	} else if len(o.Choices) == 1 && (o.Choices[0].Content != text.String() || o.Choices[0].Reasoning != thought.String()) {
		t.Errorf("the events' text is %q, %q", text.String(), thought.String())
	}
	return &o
}

// compare holds an outcome against the file beside its fixture.
func compare(t *testing.T, fixture, got string) {
	t.Helper()
	path := strings.TrimSuffix(fixture, filepath.Ext(fixture)) + ".want"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s gives\n%s\nwant\n%s", fixture, got, want)
	}
}

func fixtures(t testing.TB, pattern string, least int) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) < least {
		t.Fatalf("%d fixtures, want %d: %v", len(names), least, err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		if all[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// Every stream gives what it has to, and the same however it is cut into reads.
func TestStreams(t *testing.T) {
	for name, data := range fixtures(t, "stream/*.sse", 40) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			want := streamed(t, &upstream{kind: "text/event-stream", pieces: [][]byte{bytes.Clone(data)}}, false).String()
			compare(t, name, want)
			native := streamed(t, &upstream{kind: "text/event-stream", pieces: [][]byte{bytes.Clone(data)}}, true).String()
			for i := range len(data) + 1 {
				for asNative, want := range map[bool]string{false: want, true: native} {
					cut := &upstream{kind: "text/event-stream", pieces: [][]byte{bytes.Clone(data[:i]), bytes.Clone(data[i:])}}
					if got := streamed(t, cut, asNative).String(); got != want {
						t.Fatalf("cut at %d, native %v, it gives\n%s\nwant\n%s", i, asNative, got, want)
					}
				}
			}
		})
	}
}

// A native stream is metered as a translated one.
func TestNativeMetering(t *testing.T) {
	for name, data := range fixtures(t, "stream/*.sse", 40) {
		translated := streamed(t, &upstream{kind: "text/event-stream", pieces: [][]byte{bytes.Clone(data)}}, false)
		native := streamed(t, &upstream{kind: "text/event-stream", pieces: [][]byte{bytes.Clone(data)}}, true)
		if translated.Class != "" { // what one dialect cannot say ends early
			continue
		}
		if fmt.Sprint(translated.Usage) != fmt.Sprint(native.Usage) && *translated.Usage != *native.Usage || translated.Finish != native.Finish ||
			translated.Images != native.Images || native.Output != translated.Output {
			t.Errorf("%s: native %s\ntranslated %s", name, native, translated)
		}
		if len(translated.Choices) == 1 && (native.Choices[0].Content != translated.Choices[0].Content || native.Choices[0].Reasoning != translated.Choices[0].Reasoning) {
			t.Errorf("%s: native says %+v", name, native.Choices[0])
		}
	}
}

// A stream that ends anywhere is complete when its finish reason came, and a
// failure else; what was reported until then is there in both cases.
func TestCutAnywhere(t *testing.T) {
	for _, name := range []string{"text", "thinking", "parallel-calls", "text-finish-with-last-part"} {
		data := fixtures(t, "stream/"+name+".sse", 1)["testdata/stream/"+name+".sse"]
		end := bytes.Index(data, []byte("finishReason"))
		end += bytes.IndexByte(data[end:], '\n') - 1
		for i := range data {
			for _, err := range []error{nil, io.ErrUnexpectedEOF} {
				o := streamed(t, &upstream{kind: "text/event-stream", pieces: [][]byte{bytes.Clone(data[:i])}, err: err}, false)
				if complete := o.Class == ""; complete && i < end-1 || !complete && i > end+4 {
					t.Fatalf("%s cut off at %d (%v): %s", name, i, err, o)
				} else if !complete && (o.Class != "provider_error" || o.Failure != "The provider's stream was cut before its end.") {
					t.Fatalf("%s cut off at %d (%v): %s", name, i, err, o)
				}
				if first := bytes.IndexByte(data, '\n') + 4; i > first && o.Usage == nil {
					t.Fatalf("%s cut off at %d: no usage", name, i)
				}
			}
		}
	}
}

func TestWholes(t *testing.T) {
	for name, data := range fixtures(t, "whole/*.json", 15) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			get := func(pieces ...[]byte) string {
				var o outcome
				r, err := call(&upstream{kind: "application/json; charset=UTF-8", pieces: pieces}, target(), ask(false), nil)
				if r.Body != nil {
					o.add(t, r.Body)
				}
				o.end(t, r, err)
				return o.String()
			}
			want := get(bytes.Clone(data))
			compare(t, name, want)
			for i := range data {
				if got := get(bytes.Clone(data[:i]), bytes.Clone(data[i:])); got != want {
					t.Fatalf("cut at %d it gives\n%s\nwant\n%s", i, got, want)
				}
			}
			native, err := call(&upstream{kind: "application/json", pieces: [][]byte{bytes.Clone(data)}}, target(), askNative(false), nil)
			if err == nil && native.Native && !bytes.Equal(native.Body, bytes.TrimSpace(data)) {
				t.Errorf("native is not as it came: %s", native.Body)
			}
			// Asked as a stream, a server that answers with one body has said the same.
			var o outcome
			r, err := call(&upstream{kind: "application/json", pieces: [][]byte{bytes.Clone(data)}}, target(), ask(true), func(ev *llm.Event) error {
				o.add(t, ev.Data)
				return nil
			})
			o.end(t, r, err)
			var whole outcome
			if err := json.Unmarshal([]byte(want), &whole); err != nil {
				t.Fatal(err)
			}
			if o.Class != whole.Class || o.Finish != whole.Finish || len(o.Choices) > 0 && len(whole.Choices) > 0 && o.Choices[0].Content != whole.Choices[0].Content {
				t.Errorf("as a stream it gives %s\nwhole %s", &o, want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for name, data := range fixtures(t, "error/*.json", 10) {
		status, _ := strconv.Atoi(filepath.Base(name)[:3])
		for _, stream := range []bool{false, true} {
			var o outcome
			r, err := call(&upstream{status: status, kind: "application/json", pieces: [][]byte{bytes.Clone(data)}}, target(), ask(stream), nil)
			o.end(t, r, err)
			compare(t, name, o.String())
		}
	}
}
