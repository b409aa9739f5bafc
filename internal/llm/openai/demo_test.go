package openai_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"onemind/internal/llm"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/sim"
	"onemind/internal/llm/wire"
)

// The demo engine is a provider like any other: what a caller sends to /v1
// reaches it, comes back as chunks, and is counted to the piece.
func TestDemoEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		req, err := openai.Parse([]byte(`{"model":"demo","stream":true,"max_cost":1,"messages":[{"role":"user","content":"How are you?"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		c := openai.New(wire.New(wire.Options{Transport: sim.Transport(sim.Demo())}))
		to := llm.Target{BaseURL: "http://demo/v1", Upstream: "demo", Cap: 40}
		var h heard
		result, err := c.Stream(t.Context(), to, &req.Request, func(e *llm.Event) error {
			var chunk struct{ Object, Model string }
			if err := json.Unmarshal(e.Data, &chunk); err != nil || chunk.Object != "chat.completion.chunk" || chunk.Model != "demo" {
				t.Errorf("%s: %v", e.Data, err)
			}
			return h.emit(e)
		})
		if err != nil || !strings.Contains(h.text, "offline demo model") || result.Finish != "length" || result.Usage == nil || result.Usage.Output != 40 || len(sim.Pieces(h.text)) != 40 {
			t.Errorf("%+v %+v %v", h, result, err)
		}
	})
}

func BenchmarkSimStream(b *testing.B) {
	_, to := server(b, sim.Script{Pieces: 50})
	w := wire.New(wire.Options{})
	c := openai.New(w)
	defer w.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Stream(b.Context(), to, request(true, ""), func(*llm.Event) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
