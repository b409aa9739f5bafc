package openai_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"onemind/internal/llm"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/wire"
)

const (
	benchChunk = `data: {"id":"chatcmpl-BxY2kGqQpLr7","object":"chat.completion.chunk","created":1732406400,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":" capital"},"finish_reason":null}]}` + "\n\n"
	benchBody  = `{"id":"chatcmpl-1","object":"chat.completion","created":1732406400,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"The capital of France is Paris. It is the largest city in the country and its seat of government; about two million people live there, and twelve in the region around it."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":30,"completion_tokens":40,"total_tokens":70,"prompt_tokens_details":{"cached_tokens":0}},"system_fingerprint":"fp_0705bf87c0"}`
)

func benchTarget() llm.Target {
	return llm.Target{BaseURL: "http://bench/v1", Key: llm.NewKey("sk-secret"), Upstream: "gpt-4o-mini", Cap: 256, AllowPrivate: true, Timeouts: llm.Timeouts{FirstToken: 1e10, Idle: 1e10}}
}

// canned answers at once, without a network: what is left is our own work.
type canned struct{ kind, body string }

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {c.kind}}, ContentLength: int64(len(c.body)), Body: io.NopCloser(strings.NewReader(c.body))}, nil
}

func BenchmarkCallOwn(b *testing.B) {
	c := openai.New(wire.New(wire.Options{Transport: canned{"application/json", benchBody}}))
	req := request(false, "")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Stream(context.Background(), benchTarget(), req, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// One operation is a stream of 1,000 events.
func BenchmarkEventOwn(b *testing.B) {
	c := openai.New(wire.New(wire.Options{Transport: canned{"text/event-stream", strings.Repeat(benchChunk, 1000) + "data: [DONE]\n\n"}}))
	req := request(true, "")
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if _, err := c.Stream(context.Background(), benchTarget(), req, func(*llm.Event) error { n++; return nil }); err != nil || n != 1000 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}

// fast is an upstream that costs as little as net/http allows.
func fast(kind, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, body)
	})
}

func BenchmarkCallHTTP(b *testing.B) {
	to := serve(b, fast("application/json", benchBody))
	w := wire.New(wire.Options{})
	c := openai.New(w)
	defer w.Close()
	req := request(false, "")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Stream(context.Background(), to, req, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The same with nothing but net/http's Transport: the floor.
func BenchmarkCallFloor(b *testing.B) {
	to := serve(b, fast("application/json", benchBody))
	trips := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	defer trips.CloseIdleConnections()
	req := request(false, "")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, _ := http.NewRequest("POST", to.BaseURL+"/chat/completions", bytes.NewReader(req.Body))
			resp, err := trips.RoundTrip(r)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
	})
}

func BenchmarkStreamHTTP(b *testing.B) {
	to := serve(b, fast("text/event-stream", strings.Repeat(benchChunk, 53)+"data: [DONE]\n\n"))
	w := wire.New(wire.Options{})
	c := openai.New(w)
	defer w.Close()
	req := request(true, "")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Stream(context.Background(), to, req, func(*llm.Event) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
}
