package openai_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/sim"
	"onemind/internal/llm/wire"
)

// operation is a request of testdata and the answer of the provider it is sent to.
type operation struct {
	Op       string
	Request  json.RawMessage
	Type     string
	Response json.RawMessage
	Usage    *llm.Usage
	Images   int64
	Text     string
}

// speech stands for a recording. It holds what a careless reader of forms stumbles over.
const speech = "ID3\x04\x00\r\n--\r\n\x00\xff--other\r\n\r\n"

// aForm writes a form with a file; fields are pairs of name and value.
func aForm(t testing.TB, fields ...string) (kind string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	file, err := w.CreateFormFile("file", "speech \"1\".mp3")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(file, speech)
	for i := 0; i < len(fields); i += 2 {
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.Bytes()
}

// read gives the request of a fixture as a caller sends it.
func (o *operation) read(t testing.TB) (openai.Request, error) {
	t.Helper()
	switch o.Op {
	case "embeddings":
		return openai.ParseEmbeddings(o.Request)
	case "images":
		return openai.ParseImages(o.Request)
	}
	fields := map[string]string{}
	if err := json.Unmarshal(o.Request, &fields); err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for name, value := range fields {
		pairs = append(pairs, name, value)
	}
	return openai.ParseTranscription(aForm(t, pairs...))
}

func operations(t testing.TB) map[string]*operation {
	t.Helper()
	files, err := filepath.Glob("testdata/operations/*.json")
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	all := map[string]*operation{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		o := &operation{}
		if err := json.Unmarshal(raw, o); err != nil {
			t.Fatal(file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = o
	}
	return all
}

func TestOperations(t *testing.T) {
	w := wire.New(wire.Options{})
	defer w.Close()
	c := openai.New(w)
	for name, o := range operations(t) {
		t.Run(name, func(t *testing.T) {
			answer := []byte(o.Response)
			if o.Text != "" && o.Response[0] == '"' {
				var text string
				_ = json.Unmarshal(o.Response, &text)
				answer = []byte(text)
			}
			var path, kind string
			var sent []byte
			to := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				path, kind = r.URL.Path, r.Header.Get("Content-Type")
				sent, _ = io.ReadAll(r.Body)
				w.Header().Set("Content-Type", o.Type)
				_, _ = w.Write(answer)
			}))
			to.Upstream = "the-upstream"
			req, err := o.read(t)
			if err != nil {
				t.Fatal(err)
			}
			result, err := c.Stream(t.Context(), to, &req.Request, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(result.Body, answer) || result.Images != o.Images || result.Text != o.Text || (result.Type != "") == (o.Type == "application/json") {
				t.Errorf("%+v", result)
			}
			switch {
			case (result.Usage == nil) != (o.Usage == nil), o.Usage != nil && *result.Usage != *o.Usage:
				t.Errorf("usage %+v, want %+v", result.Usage, o.Usage)
			}
			if u := o.Usage; u != nil && !strings.Contains(name, "transcriptions") && (req.InputTokens < u.Input || req.Cap*req.N < u.Output) {
				t.Errorf("a hold for %d and %d times %d tokens is below %+v", req.InputTokens, req.N, req.Cap, u)
			}
			want := map[string]string{"embeddings": "/v1/embeddings", "images": "/v1/images/generations", "transcriptions": "/v1/audio/transcriptions"}[o.Op]
			if path != want || req.Op.String() != o.Op || req.Needs != req.Op.Needed() {
				t.Errorf("%s %v %v", path, req.Op, req.Needs)
			}
			checkSent(t, o, kind, sent)
		})
	}
}

// checkSent checks that the provider got what the caller wrote, with its own name of the model.
func checkSent(t *testing.T, o *operation, kind string, sent []byte) {
	t.Helper()
	want := map[string]any{}
	if err := json.Unmarshal(o.Request, &want); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	if o.Op != "transcriptions" {
		if err := json.Unmarshal(sent, &got); err != nil || kind != "application/json" {
			t.Fatalf("%s %s", kind, sent)
		}
	} else {
		_, params, err := mime.ParseMediaType(kind)
		if err != nil {
			t.Fatal(kind, err)
		}
		form, err := multipart.NewReader(bytes.NewReader(sent), params["boundary"]).ReadForm(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range form.Value {
			got[name] = values[0]
		}
		file, err := form.File["file"][0].Open()
		if err != nil {
			t.Fatal(err)
		}
		if data, _ := io.ReadAll(file); string(data) != speech || form.File["file"][0].Filename != `speech "1".mp3` {
			t.Errorf("%q %q", form.File["file"][0].Filename, data)
		}
	}
	want["model"] = "the-upstream"
	for name, value := range want {
		if value == nil {
			delete(want, name)
		}
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if !bytes.Equal(a, b) {
		t.Errorf("sent %s, want %s", a, b)
	}
}

// The scripted upstream does all three.
func TestOperationsOfSim(t *testing.T) {
	w := wire.New(wire.Options{})
	defer w.Close()
	c := openai.New(w)
	s, to := server(t, sim.Script{Text: "Hello there, you."})
	call := func(req openai.Request, err error) llm.Result {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		result, err := c.Stream(t.Context(), to, &req.Request, nil)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	var list struct {
		Data []struct {
			Embedding json.RawMessage
			B64       []byte `json:"b64_json"`
		}
	}
	whole := call(openai.ParseEmbeddings([]byte(`{"model":"m","input":["a b","c"],"dimensions":4}`)))
	if err := json.Unmarshal(whole.Body, &list); err != nil || len(list.Data) != 2 || whole.Usage.Input != 3 {
		t.Fatalf("%s %+v", whole.Body, whole.Usage)
	}
	var floats []float32
	_ = json.Unmarshal(list.Data[1].Embedding, &floats)
	coded := call(openai.ParseEmbeddings([]byte(`{"model":"m","input":"c","dimensions":4,"encoding_format":"base64"}`)))
	_ = json.Unmarshal(coded.Body, &list)
	var raw []byte
	_ = json.Unmarshal(list.Data[0].Embedding, &raw)
	same := make([]float32, 4)
	if _, err := binary.Decode(raw, binary.LittleEndian, same); err != nil || !slices.Equal(floats, same) {
		t.Errorf("%v %v", floats, same)
	}
	drawn := call(openai.ParseImages([]byte(`{"model":"m","prompt":"a cat","n":2}`)))
	if _ = json.Unmarshal(drawn.Body, &list); drawn.Images != 2 || drawn.Usage.Output == 0 || http.DetectContentType(list.Data[1].B64) != "image/png" {
		t.Errorf("%+v", drawn)
	}
	for format, want := range map[string]string{"json": `"text":"Hello there, you."`, "text": "Hello there, you.\n", "vtt": "WEBVTT\n", "srt": "1\n00:00:00,000 --> ", "verbose_json": `"duration":1`} {
		heard := call(openai.ParseTranscription(aForm(t, "model", "m", "response_format", format)))
		if !strings.Contains(string(heard.Body), want) || (heard.Usage != nil) != strings.Contains(format, "json") || (heard.Type == "") != strings.Contains(format, "json") {
			t.Errorf("%s: %+v %s", format, heard, heard.Body)
		}
	}
	if s.Counts().Calls != 8 || s.Counts().Open != 0 {
		t.Errorf("%+v", s.Counts())
	}
}

// The answers of operations are not streamed: all of one has to come within the time
// for a whole answer or, where there is none, within that for the first token.
func TestOperationsTimeOut(t *testing.T) {
	for name, parse := range map[string]func() (openai.Request, error){
		"embeddings":     func() (openai.Request, error) { return openai.ParseEmbeddings([]byte(`{"model":"m","input":"x"}`)) },
		"images":         func() (openai.Request, error) { return openai.ParseImages([]byte(`{"model":"m","prompt":"a cat"}`)) },
		"transcriptions": func() (openai.Request, error) { return openai.ParseTranscription(aForm(t, "model", "m")) },
	} {
		for _, tt := range []struct{ takes, whole, want time.Duration }{
			{takes: 2 * time.Minute, whole: 5 * time.Minute},
			{takes: time.Hour, whole: 5 * time.Minute, want: 5 * time.Minute},
			{takes: 29 * time.Second},
			{takes: time.Hour, want: 30 * time.Second},
		} {
			t.Run(fmt.Sprintf("%s of %v within %v", name, tt.takes, tt.whole), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					req, err := parse()
					if err != nil {
						t.Fatal(err)
					}
					s := sim.New(sim.Options{Choose: func(*sim.Request) sim.Script { return sim.Script{FirstDelay: tt.takes} }})
					c := openai.New(wire.New(wire.Options{Transport: sim.Transport(s)}))
					to := llm.Target{BaseURL: "http://sim/v1", Upstream: "m", Timeouts: llm.Timeouts{FirstToken: 30 * time.Second, Idle: time.Second, Whole: tt.whole}}
					began := time.Now()
					result, err := c.Stream(t.Context(), to, &req.Request, nil)
					if tt.want == 0 {
						if err != nil || len(result.Body) == 0 {
							t.Errorf("%s, %v", result.Body, err)
						}
					} else if got := time.Since(began); class(t, err) != llm.TimedOut || got != tt.want {
						t.Errorf("after %v: %v", got, err)
					}
				})
			})
		}
	}
}

// An answer that is none is the provider's failure.
func TestOperationsFail(t *testing.T) {
	w := wire.New(wire.Options{})
	defer w.Close()
	for _, tt := range []struct {
		status     int
		kind, body string
		want       llm.Class
	}{
		{200, "application/json", `{"object":"list"}`, llm.Broken}, {200, "application/json", `{"data":[`, llm.Broken}, {200, "application/json", `[]`, llm.Broken},
		{200, "text/html", `<html>`, llm.Broken}, {200, "text/event-stream", "data: {}\n\n", llm.Broken}, {200, "application/json", ``, llm.Broken},
		{200, "application/json", `{"error":{"message":"Rate limit reached","type":"rate_limit_error","code":"rate_limit_exceeded"}}`, llm.RateLimited},
		{429, "application/json", `{"error":{"message":"Rate limit reached"}}`, llm.RateLimited}, {401, "application/json", `{"error":{"message":"Incorrect API key provided: sk-secret"}}`, llm.BadKey},
		{400, "application/json", `{"error":{"message":"This model's maximum context length is 8192 tokens"}}`, llm.BadRequest},
	} {
		to := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", tt.kind)
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		}))
		req, err := openai.ParseEmbeddings([]byte(`{"model":"m","input":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		_, err = openai.New(w).Stream(t.Context(), to, &req.Request, nil)
		if got := class(t, err); got != tt.want {
			t.Errorf("%d %s: %v, want %v", tt.status, tt.body, err, tt.want)
		}
	}
}

func TestOperationsKeepTheRules(t *testing.T) {
	w := wire.New(wire.Options{})
	defer w.Close()
	s, to := server(t, sim.Script{})
	to.Rules = llm.Rules{Refuse: []string{"style", "prompt"}, Drop: []string{"user", "language"}, Clamp: map[string]llm.Range{"dimensions": {Min: 1, Max: 4}}, Set: map[string]string{"input_type": `"query"`}}
	c := openai.New(w)
	req, err := openai.ParseEmbeddings([]byte(`{"model":"m","input":"x","dimensions":9,"user":"u","max_cost":"1","models":["n"]}`))
	if err != nil {
		t.Fatal(err)
	}
	result, err := c.Stream(t.Context(), to, &req.Request, nil)
	if err != nil || string(s.Last().Body) != `{"model":"m","input":"x","dimensions":4,"input_type":"query"}` || len(result.Changes) != 3 {
		t.Errorf("%s %+v %v", s.Last().Body, result.Changes, err)
	}
	req, err = openai.ParseTranscription(aForm(t, "model", "asked", "language", "en", "max_cost", "0.5", "models[]", "n"))
	if err != nil {
		t.Fatal(err)
	}
	result, err = c.Stream(t.Context(), to, &req.Request, nil)
	if sent := string(s.Last().Body); err != nil || len(result.Changes) != 1 || strings.Contains(sent, "language") || strings.Contains(sent, "max_cost") || strings.Contains(sent, "models") || strings.Contains(sent, "asked") {
		t.Errorf("%s %+v %v", sent, result.Changes, err)
	}
	req, err = openai.ParseTranscription(aForm(t, "model", "asked", "prompt", "p"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Stream(t.Context(), to, &req.Request, nil); fault.From(err).Field != "prompt" || fault.From(err).Code != "unsupported_parameter" {
		t.Error(err)
	}
}

func TestParseOperations(t *testing.T) {
	for _, tt := range []struct {
		body         string
		tokens, most int64
	}{
		{`{"model":"m","input":[1,2,3]}`, 3, 3}, {`{"model":"m","input":[[1,2],[3]]}`, 3, 3}, {`{"input":"Hello there","model":"m","max_cost":"0.01","models":[]}`, 2, 10},
		{`{"model":"m","input":["a","b"],"dimensions":null,"user":"u"}`, 2, 8},
	} {
		req, err := openai.ParseEmbeddings([]byte(tt.body))
		if err != nil || req.InputTokens < tt.tokens || req.InputTokens > tt.most || req.Op != llm.Embeddings || req.Needs != llm.Embedding || req.N != 1 || req.Cap != 1 || req.Model != "m" || string(req.Body) != tt.body {
			t.Errorf("%s: %+v %v", tt.body, req, err)
		}
	}
	req, err := openai.ParseImages([]byte(`{"model":"m","prompt":"a cat","n":3,"quality":"low","max_cost_nano_usd":5,"stream":false}`))
	if err != nil || req.N != 3 || req.Cap != 512 || req.MaxCostNanoUSD != 5 || req.Needs != llm.Drawing || req.InputTokens < 3 {
		t.Errorf("%+v %v", req, err)
	}
	// What is held follows the quality and grows with the size; nonsense changes nothing.
	for members, most := range map[string]int64{
		``: 12_288, `,"quality":"medium"`: 3072, `,"size":"1024x1024"`: 12_288, `,"size":"auto"`: 12_288, `,"size":"2048x2048","quality":"low"`: 1366,
		`,"size":"3840x2160"`: 64_800, `,"width":3072,"height":1024,"quality":"low"`: 1024, `,"size":"-1x99999999999999999999"`: 12_288, `,"size":"99999x99999"`: 12_288,
		`,"size":"16384x16384"`: 2_097_152,
	} {
		if req, err := openai.ParseImages([]byte(`{"model":"m","prompt":"a cat"` + members + `}`)); err != nil || req.Cap != most {
			t.Errorf("%s: %d tokens, %v; want %d", members, req.Cap, err, most)
		}
	}
	req, err = openai.ParseTranscription(aForm(t, "model", "m", "max_cost", "0.25", "models", "a", "models", "b"))
	if err != nil || req.MaxCost != "0.25" || strings.Join(req.Fallbacks, " ") != "a b" || req.Needs != llm.Transcribe || req.Cap < 10 || !strings.HasPrefix(req.Type, "multipart/form-data; boundary=") {
		t.Errorf("%+v %v", req, err)
	}
}

func TestParseOperationsRefuses(t *testing.T) {
	many := `["a"` + strings.Repeat(`,"a"`, 2048) + `]`
	for _, tt := range []struct{ op, body, code, field string }{
		{"embeddings", ``, "invalid_json", ""}, {"embeddings", `[]`, "invalid_type", ""}, {"embeddings", `{"model":"m","input":"x"`, "invalid_json", ""}, {"embeddings", "{\"model\":\"m\xff\",\"input\":\"x\"}", "invalid_json", ""},
		{"embeddings", `{"input":"x"}`, "missing_required_parameter", "model"}, {"embeddings", `{"model":"m"}`, "missing_required_parameter", "input"},
		{"embeddings", `{"model":"m","input":""}`, "invalid_value", "input"}, {"embeddings", `{"model":"m","input":[]}`, "invalid_value", "input"}, {"embeddings", `{"model":"m","input":["a",""]}`, "invalid_value", "input[1]"},
		{"embeddings", `{"model":"m","input":[1,"a"]}`, "invalid_type", "input[1]"}, {"embeddings", `{"model":"m","input":[[]]}`, "invalid_value", "input[0]"}, {"embeddings", `{"model":"m","input":[1.5]}`, "invalid_type", "input[0]"},
		{"embeddings", `{"model":"m","input":[1,[2]]}`, "invalid_type", "input[1]"}, {"embeddings", `{"model":"m","input":[1,2,-1]}`, "invalid_value", "input[2]"}, {"embeddings", `{"model":"m","input":[[1,-2]]}`, "invalid_value", "input[0][1]"}, {"embeddings", `{"model":"m","input":[{}]}`, "invalid_type", "input[0]"}, {"embeddings", `{"model":"m","input":null}`, "invalid_type", "input"},
		{"embeddings", `{"model":"m","input":` + many + `}`, "invalid_value", "input"}, {"embeddings", `{"model":"m","input":"a\u0000"}`, "invalid_value", "input"},
		{"embeddings", `{"model":"m","input":"x","encoding_format":"hex"}`, "invalid_value", "encoding_format"}, {"embeddings", `{"model":"m","input":"x","dimensions":0}`, "invalid_value", "dimensions"},
		{"embeddings", `{"model":"m","input":"x","messages":[]}`, "unknown_parameter", "messages"}, {"embeddings", `{"model":"m","input":"x","input":"y"}`, "invalid_value", "input"}, {"embeddings", `{"model":"m","input":"x","stream":true}`, "unknown_parameter", "stream"},
		{"embeddings", `{"model":"m","input":"x","max_cost":"0"}`, "invalid_value", "max_cost"}, {"embeddings", `{"model":"m","input":"x","max_cost":"1","max_cost_nano_usd":1}`, "invalid_value", "max_cost"},
		{"images", `{"model":"m"}`, "missing_required_parameter", "prompt"}, {"images", `{"model":"m","prompt":""}`, "invalid_value", "prompt"}, {"images", `{"model":"m","prompt":"x","n":11}`, "invalid_value", "n"}, {"images", `{"model":"m","prompt":"x","n":0}`, "invalid_value", "n"},
		{"images", `{"model":"m","prompt":"x","stream":true}`, "unsupported_parameter", "stream"}, {"images", `{"model":"m","prompt":"x","partial_images":1}`, "unsupported_parameter", "partial_images"},
		{"images", `{"model":"m","prompt":"x","image":"data:"}`, "unknown_parameter", "image"}, {"images", `{"model":"m","prompt":"x","response_format":"jpg"}`, "invalid_value", "response_format"}, {"images", `{"model":"m","prompt":["x"]}`, "invalid_type", "prompt"},
	} {
		parse := openai.ParseEmbeddings
		if tt.op == "images" {
			parse = openai.ParseImages
		}
		_, err := parse([]byte(tt.body))
		if f := fault.From(err); err == nil || f.Kind != fault.Invalid || f.Code != tt.code || f.Field != tt.field {
			t.Errorf("%.90s: %v", tt.body, err)
		}
	}
	for _, tt := range []struct {
		fields      []string
		code, field string
	}{
		{nil, "missing_required_parameter", "model"}, {[]string{"model", "m", "model", "n"}, "invalid_value", "model"}, {[]string{"model", ""}, "invalid_value", "model"},
		{[]string{"model", "m", "stream", "true"}, "unsupported_parameter", "stream"}, {[]string{"model", "m", "response_format", "xml"}, "invalid_value", "response_format"}, {[]string{"model", "m", "temperature", "hot"}, "invalid_value", "temperature"},
		{[]string{"model", "m", "file_url", "https://x"}, "unknown_parameter", "file_url"}, {[]string{"model", "m", "model[]", "n"}, "unknown_parameter", "model[]"}, {[]string{"model", "m", "file", "x"}, "invalid_value", "file"},
		{[]string{"model", "m", "prompt", "\xff"}, "invalid_value", "prompt"}, {[]string{"model", "m", "max_cost", "-1"}, "invalid_value", "max_cost"}, {[]string{"model", "m", "max_cost_nano_usd", "x"}, "invalid_type", "max_cost_nano_usd"},
		{[]string{"model", "m", "timestamp_granularities[]", "day"}, "invalid_value", "timestamp_granularities"},
	} {
		_, err := openai.ParseTranscription(aForm(t, tt.fields...))
		if f := fault.From(err); err == nil || f.Kind != fault.Invalid || f.Code != tt.code || f.Field != tt.field {
			t.Errorf("%v: %v", tt.fields, err)
		}
	}
}

// The provider must see the fields that were checked: a model that is hidden from
// us would be paid by us.
func TestFormsThatTwoReadersReadDifferently(t *testing.T) {
	const head, end = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n", "\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ncheap\r\n--b--\r\n"
	if _, err := openai.ParseTranscription("multipart/form-data; boundary=b", []byte(head+"x"+end)); err != nil {
		t.Fatal(err)
	}
	hidden := "Content-Disposition: form-data; name=\"model\"\r\n\r\ndear\r\n"
	for name, body := range map[string]string{
		"no carriage return":    head + "x\n--b\n" + hidden + end,
		"boundary in the file":  head + "x--b\r\n" + hidden + end,
		"preamble":              "x\r\n" + head + "x" + end,
		"epilogue":              head + "x" + end + "--b\r\n" + hidden + "--b--\r\n",
		"space at the boundary": head + "x\r\n--b \r\n" + hidden + end[2:],
		"folded header":         strings.Replace(head, "; filename", ";\r\n filename", 1) + "x" + end,
		"header twice":          strings.Replace(head, "\r\n\r\n", "\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n", 1) + "x" + end,
		"name twice":            strings.Replace(head, "name=", "name=\"model\"; name=", 1) + "x" + end,
		"transfer encoding":     strings.Replace(head, "\r\n\r\n", "\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1) + "x" + end,
		"no header":             "--b\r\nx" + end,
		"no end":                head + "x",
		"nothing":               "",
		"only an end":           "--b--\r\n",
		"boundary everywhere":   strings.Repeat("--b", 1<<20),
		"bare line feed":        strings.Replace(head, "\r\n\r\n", "\nContent-Type: a/b\r\n\r\n", 1) + "x" + end,
	} {
		if req, err := openai.ParseTranscription("multipart/form-data; boundary=b", []byte(body)); fault.From(err).Kind != fault.Invalid || err == nil {
			t.Errorf("%s: %+v %v", name, req, err)
		}
	}
	for _, kind := range []string{"", "application/json", "multipart/form-data", "multipart/mixed; boundary=b", "multipart/form-data; boundary=b; boundary=c", "multipart/form-data; boundary=\"a\\\"b\""} {
		if _, err := openai.ParseTranscription(kind, []byte(head+"x"+end)); fault.From(err).Code != "invalid_content_type" {
			t.Errorf("%q: %v", kind, err)
		}
	}
}

// A recording is never longer than the hold is for.
func TestSpeechIsEstimatedFromItsBytes(t *testing.T) {
	wav := func(channels, rate, bits, seconds int) []byte {
		b := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00"), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		binary.LittleEndian.PutUint16(b[22:], uint16(channels))
		binary.LittleEndian.PutUint32(b[24:], uint32(rate))
		binary.LittleEndian.PutUint16(b[34:], uint16(bits))
		return append(b, make([]byte, channels*rate*bits/8*seconds)...)
	}
	for _, tt := range []struct {
		data        []byte
		least, most int64
	}{
		{wav(1, 16000, 16, 10), 100, 160}, {wav(2, 44100, 16, 10), 100, 160}, {make([]byte, 750*60), 600, 660}, {wav(1, 1, 16, 60), 1, 60}, {[]byte("RIFF"), 1, 60},
	} {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		file, _ := w.CreateFormFile("file", "a.wav")
		_, _ = file.Write(tt.data)
		_ = w.WriteField("model", "m")
		_ = w.Close()
		req, err := openai.ParseTranscription(w.FormDataContentType(), b.Bytes())
		if err != nil || req.InputTokens < tt.least || req.InputTokens > tt.most {
			t.Errorf("%d bytes: %d tokens, %v", len(tt.data), req.InputTokens, err)
		}
	}
}

func FuzzParseEmbeddings(f *testing.F) {
	for _, o := range operations(f) {
		if o.Op == "embeddings" {
			f.Add([]byte(o.Request))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) { fuzzed(t, body, openai.ParseEmbeddings) })
}

func FuzzParseImages(f *testing.F) {
	for _, o := range operations(f) {
		if o.Op == "images" {
			f.Add([]byte(o.Request))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) { fuzzed(t, body, openai.ParseImages) })
}

func fuzzed(t *testing.T, body []byte, parse func([]byte) (openai.Request, error)) {
	t.Helper()
	req, err := parse(body)
	if err != nil {
		if fault.From(err).Kind != fault.Invalid {
			t.Fatal(err)
		}
		return
	}
	if !json.Valid(body) || req.Model == "" || req.N < 1 || req.Cap < 1 || req.InputTokens < 1 {
		t.Fatalf("%q %+v", body, req)
	}
}

// Whatever form is accepted, Go's own reader sees the same model in it.
func FuzzParseTranscription(f *testing.F) {
	kind, body := aForm(f, "model", "m", "response_format", "text", "timestamp_granularities[]", "word")
	_, params, _ := mime.ParseMediaType(kind)
	f.Add(bytes.ReplaceAll(body, []byte(params["boundary"]), []byte("b")))
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=model\r\n\r\nm\r\n--b\r\nContent-Disposition: form-data; name=file; filename=a\r\nContent-Type: audio/wav\r\n\r\nx\r\n--b--"))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := openai.ParseTranscription("multipart/form-data; boundary=b", body)
		if err != nil {
			if fault.From(err).Kind != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		form, err := multipart.NewReader(bytes.NewReader(body), "b").ReadForm(1 << 20)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if models := form.Value["model"]; len(models) != 1 || models[0] != req.Model || len(form.File["file"]) != 1 {
			t.Fatalf("%q: %v %+v", body, models, req)
		}
	})
}
