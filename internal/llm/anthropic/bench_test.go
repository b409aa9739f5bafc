package anthropic_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"onemind/internal/llm"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/wire"
)

// The same answer in both dialects: one operation is a whole request with a
// stream of 53 pieces. The passing of OpenAI's events is what translating them
// is measured against: it may cost 1.5 times as much at most.
const (
	benchPieces = 53
	benchStart  = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01XFDUDYJgAACzvnptvVoYEL\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5-20250929\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":25,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":1,\"service_tier\":\"standard\"}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n"
	benchPiece  = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" capital\"}}\n\n"
	benchEnd    = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":15}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

	openaiPiece = `data: {"id":"chatcmpl-BxY2kGqQpLr7","object":"chat.completion.chunk","created":1732406400,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":" capital"},"finish_reason":null}]}` + "\n\n"
	openaiEnd   = `data: {"id":"chatcmpl-BxY2kGqQpLr7","object":"chat.completion.chunk","created":1732406400,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" +
		`data: {"id":"chatcmpl-BxY2kGqQpLr7","object":"chat.completion.chunk","created":1732406400,"model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":25,"completion_tokens":15,"total_tokens":40}}` + "\n\ndata: [DONE]\n\n"
)

func benchRequest(size int) string {
	text := strings.Repeat("What is the capital of France, and why? ", size/40)
	return `{"model":"asked","stream":true,"max_tokens":100,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"` + text + `"},{"role":"assistant","content":"` + text + `"},{"role":"user","content":"Hello there"}]}`
}

func benchmarkStream(b *testing.B, made func(*wire.Client) llm.Provider, stream string, req *llm.Request) {
	to := serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, stream)
	}))
	w := wire.New(wire.Options{})
	defer w.Close()
	c := made(w)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Stream(context.Background(), to, req, func(*llm.Event) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkStreamHTTP(b *testing.B) {
	own := benchStart + strings.Repeat(benchPiece, benchPieces) + benchEnd
	other := strings.Repeat(openaiPiece, benchPieces) + openaiEnd
	speak := func(w *wire.Client) llm.Provider { return anthropic.New(w) }
	chat := &llm.Request{Body: []byte(benchRequest(400)), Model: "asked", Stream: true, N: 1}
	b.Run("openai", func(b *testing.B) {
		benchmarkStream(b, func(w *wire.Client) llm.Provider { return openai.New(w) }, other, chat)
	})
	b.Run("translated", func(b *testing.B) { benchmarkStream(b, speak, own, chat) })
	b.Run("native", func(b *testing.B) {
		benchmarkStream(b, speak, own, native(b, true, `{"model":"asked","stream":true,"max_tokens":100,"system":"Be brief.","messages":[{"role":"user","content":"Hello there"}]}`))
	})
}

// canned answers at once, without a network: what is left is our own work.
type canned string

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(strings.NewReader(string(c)))}, nil
}

// One operation is a stream of 1,000 events.
func BenchmarkEventOwn(b *testing.B) {
	to := llm.Target{BaseURL: "http://bench/v1", Upstream: "m", Cap: 256, AllowPrivate: true, Timeouts: llm.Timeouts{FirstToken: 1e10, Idle: 1e10}}
	for name, c := range map[string]llm.Provider{
		"openai":     openai.New(wire.New(wire.Options{Transport: canned(strings.Repeat(openaiPiece, 1000) + openaiEnd)})),
		"translated": anthropic.New(wire.New(wire.Options{Transport: canned(benchStart + strings.Repeat(benchPiece, 1000) + benchEnd)})),
	} {
		b.Run(name, func(b *testing.B) {
			req := request(true, "")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Stream(context.Background(), to, req, func(*llm.Event) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
		})
	}
}

// A request of 58 KB, validated and written for the provider.
func BenchmarkRequest(b *testing.B) {
	body := []byte(benchRequest(29_000))
	to := llm.Target{Upstream: "m", Cap: 256}
	b.Run("validate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := openai.Parse(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("translate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := anthropic.Outbound(&to, &llm.Request{Body: body, Stream: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
	inbound := []byte(strings.Replace(string(body), `{"role":"system","content":"Be brief."},`, "", 1))
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := anthropic.Parse(inbound); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// One operation is an event that a caller of this dialect gets.
func BenchmarkEncode(b *testing.B) {
	ev := &llm.Event{Data: []byte(strings.TrimSuffix(strings.TrimPrefix(openaiPiece, "data: "), "\n\n")), Content: []byte(" capital")}
	e := anthropic.NewEncoder("1", "m")
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = e.Event(dst[:0], ev)
	}
}

// A whole call with a request of 58 KB, without a network: reading the caller's
// body, writing the provider's, and passing the answer on.
func BenchmarkCallOwn(b *testing.B) {
	body := []byte(benchRequest(29_000))
	to := llm.Target{BaseURL: "http://bench/v1", Upstream: "m", Cap: 256, AllowPrivate: true, Timeouts: llm.Timeouts{FirstToken: 1e10, Idle: 1e10}}
	for name, c := range map[string]llm.Provider{
		"openai":     openai.New(wire.New(wire.Options{Transport: canned(strings.Repeat(openaiPiece, benchPieces) + openaiEnd)})),
		"translated": anthropic.New(wire.New(wire.Options{Transport: canned(benchStart + strings.Repeat(benchPiece, benchPieces) + benchEnd)})),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				parsed, err := openai.Parse(body)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.Stream(context.Background(), to, &parsed.Request, func(*llm.Event) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
