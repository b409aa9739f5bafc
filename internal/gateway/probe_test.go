package gateway_test

import (
	"fmt"
	"testing"

	"onemind/internal/fault"
	"onemind/internal/llm/sim"
)

// A provider is tested with a question, so with a model that answers questions: an
// embedding model that comes first by its name would make a good key look bad.
func TestProbeAsksAModelThatChats(t *testing.T) {
	b := benchOf(t, func(*sim.Request) sim.Script { return sim.Script{Text: "OK"} }, func(upstream string) string {
		return fmt.Sprintf(`
providers:
  - {id: up, protocol: openai, base_url: %[1]q, keyless: true, allow_private_address: true}
  - {id: vectors, protocol: openai, base_url: %[1]q, keyless: true, allow_private_address: true}
models:
  - {id: a-embed, provider: up, prices: {input: 1, output: 0}, context_window: 1000, max_output_tokens: 1, capabilities: [embeddings]}
  - {id: b-draw, provider: up, prices: {input: 0, output: 0, per_image: 1}, context_window: 1000, max_output_tokens: 1, capabilities: [image_generation]}
  - {id: c-chat, provider: up, prices: {input: 1, output: 1}, context_window: 1000, max_output_tokens: 100, capabilities: [streaming]}
  - {id: d-embed, provider: vectors, prices: {input: 1, output: 0}, context_window: 1000, max_output_tokens: 1, capabilities: [embeddings]}
`, upstream+"/v1")
	})
	if probe, err := b.engine.Test(t.Context(), "up", ""); err != nil || probe.Err != nil || probe.Model != "c-chat" {
		t.Errorf("probe %+v, %v", probe, err)
	}
	if probe, err := b.engine.Test(t.Context(), "vectors", ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("a provider without a model that chats: %+v, %v", probe, err)
	}
}
