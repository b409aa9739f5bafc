package gemini_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"onemind/internal/llm"
	"onemind/internal/llm/gemini"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/wire"
)

const (
	benchGemini = `data: {"candidates": [{"content": {"parts": [{"text": " capital"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 30,"candidatesTokenCount": 12,"totalTokenCount": 42,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 30}]},"modelVersion": "gemini-2.5-flash","responseId": "mAo2aNrVIYbDz7IPhLmQ-Ac"}` + "\r\n\r\n"
	benchEnd    = `data: {"candidates": [{"content": {"parts": [{"text": ""}],"role": "model"},"finishReason": "STOP","index": 0}],"usageMetadata": {"promptTokenCount": 30,"candidatesTokenCount": 1000,"totalTokenCount": 1030},"modelVersion": "gemini-2.5-flash","responseId": "mAo2aNrVIYbDz7IPhLmQ-Ac"}` + "\r\n\r\n"
	benchOpenAI = `data: {"id":"chatcmpl-BxY2kGqQpLr7","object":"chat.completion.chunk","created":1732406400,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":" capital"},"finish_reason":null}]}` + "\n\n"
	benchEvents = 53 // of one answer
)

// canned answers at once, without a network: what is left is our own work.
type canned struct{ kind, body string }

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {c.kind}}, ContentLength: int64(len(c.body)), Body: io.NopCloser(strings.NewReader(c.body))}, nil
}

// benchStream measures one whole request: its body, and an answer in events.
func benchStream(b *testing.B, p func(*wire.Client) llm.Provider, body string, req *llm.Request) {
	b.Helper()
	w := wire.New(wire.Options{Transport: canned{"text/event-stream", body}})
	provider := p(w)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if _, err := provider.Stream(context.Background(), target(), req, func(*llm.Event) error { n++; return nil }); err != nil || n < benchEvents {
			b.Fatal(err)
		}
	}
}

func BenchmarkStreamOpenAI(b *testing.B) {
	benchStream(b, func(w *wire.Client) llm.Provider { return openai.New(w) }, strings.Repeat(benchOpenAI, benchEvents)+"data: [DONE]\n\n", ask(true))
}

func BenchmarkStreamTranslated(b *testing.B) {
	benchStream(b, func(w *wire.Client) llm.Provider { return gemini.New(w) }, strings.Repeat(benchGemini, benchEvents)+benchEnd, ask(true))
}

func BenchmarkStreamNative(b *testing.B) {
	benchStream(b, func(w *wire.Client) llm.Provider { return gemini.New(w) }, strings.Repeat(benchGemini, benchEvents)+benchEnd, askNative(true))
}

// serving is the same with net/http at both ends, which is what the ratio of a
// whole request is measured by.
func serving(b *testing.B, p func(*wire.Client) llm.Provider, body string, req *llm.Request) {
	b.Helper()
	mux := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, body)
	})
	to := serve(b, mux)
	w := wire.New(wire.Options{})
	defer w.Close()
	provider := p(w)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := provider.Stream(context.Background(), to, req, func(*llm.Event) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHTTPOpenAI(b *testing.B) {
	serving(b, func(w *wire.Client) llm.Provider { return openai.New(w) }, strings.Repeat(benchOpenAI, benchEvents)+"data: [DONE]\n\n", ask(true))
}

func BenchmarkHTTPTranslated(b *testing.B) {
	serving(b, func(w *wire.Client) llm.Provider { return gemini.New(w) }, strings.Repeat(benchGemini, benchEvents)+benchEnd, ask(true))
}

// The way in: a native request made neutral, and neutral events made native.
func BenchmarkEncode(b *testing.B) {
	ev := llm.Event{Data: []byte(strings.TrimSuffix(strings.TrimPrefix(benchOpenAI, "data: "), "\n\n")), Choices: 1}
	var out []byte
	b.ReportAllocs()
	e := gemini.NewEncoder("r", "m", false)
	for b.Loop() {
		out = e.Event(out[:0], &ev)
	}
}

func BenchmarkParse(b *testing.B) {
	body := []byte(`{"contents":[{"role":"user","parts":[{"text":"` + strings.Repeat("Hello there. ", 100) + `"}]}],"generationConfig":{"temperature":0.5,"maxOutputTokens":256}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := gemini.Parse("m", true, body); err != nil {
			b.Fatal(err)
		}
	}
}
