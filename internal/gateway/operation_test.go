package gateway_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/gateway"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/sim"
	"onemind/internal/money"
)

// makers are models that do not chat, and one that draws while it does. Images are
// 4 cents, with the markup 5.2.
const makers = `
providers:
  - {id: up, protocol: openai, base_url: "%s/v1", api_keys: [sk-test-0123456789], allow_private_address: true, timeouts: {first_token: 5s, idle: 5s}}
models:
  - {id: embed, provider: up, prices: {input: 10, output: 10}, context_window: 10000, max_output_tokens: 1, capabilities: [embeddings]}
  - {id: draw, provider: up, prices: {input: 0, output: 0, per_image: 0.04}, context_window: 10000, max_output_tokens: 100, capabilities: [image_generation]}
  - {id: paint, provider: up, prices: {input: 5, output: 40}, context_window: 10000, max_output_tokens: 8000, capabilities: [image_generation]}
  - {id: hear, provider: up, prices: {input: 1, output: 10}, context_window: 100000, max_output_tokens: 1000, capabilities: [transcription]}
  - {id: sketch, provider: up, prices: {input: 0, output: 0, per_image: 0.04}, context_window: 10000, max_output_tokens: 1000, capabilities: [streaming]}
plans:
  - {id: default, requests_per_minute: 0, requests_per_minute_per_provider: 0, concurrent_answers: 0}
settings: {markup_percent: 30, signup_credits: 0}
`

const anImage = 52 * money.Dollar / 1000

func newMakers(t *testing.T) *bench {
	t.Helper()
	return benchOf(t, func(*sim.Request) sim.Script { return sim.Script{Pieces: 20} }, func(upstream string) string { return fmt.Sprintf(makers, upstream) })
}

// operated parses a request, as the API does.
func operated(t *testing.T, id string, in openai.Request, err error) gateway.Call {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return gateway.Call{ID: id, RequestID: "req-" + id, User: "ann", Model: in.Model, Request: &in.Request}
}

func images(t *testing.T, id, model, more string) gateway.Call {
	in, err := openai.ParseImages([]byte(`{"model":"` + model + `","prompt":"A cat"` + more + `}`))
	return operated(t, id, in, err)
}

func embeddings(t *testing.T, id string) gateway.Call {
	in, err := openai.ParseEmbeddings([]byte(`{"model":"embed","input":["one two three","four"]}`))
	return operated(t, id, in, err)
}

func transcript(t *testing.T, id string) gateway.Call {
	parts := []string{`name="model"` + "\r\n\r\nhear", `name="file"; filename="a.wav"` + "\r\nContent-Type: audio/wav\r\n\r\n" + strings.Repeat("w", 5000)}
	form := ""
	for _, part := range parts {
		form += "--b\r\nContent-Disposition: form-data; " + part + "\r\n"
	}
	in, err := openai.ParseTranscription("multipart/form-data; boundary=b", []byte(form+"--b--\r\n"))
	return operated(t, id, in, err)
}

// TestOperations: what does not chat is held, charged and told like anything else,
// and no limit on output tokens is told where the caller could give none.
func TestOperations(t *testing.T) {
	t.Parallel()
	b := newMakers(t)
	b.grant(t, "ann", 10*money.Dollar)
	for _, tt := range []struct {
		call      gateway.Call
		operation string
		hold      money.Amount // 0: whatever it is
		charge    money.Amount
		tokens    money.Tokens
	}{
		{embeddings(t, "e"), "embeddings", 0, 4 * 13_000, money.Tokens{Input: 4}},
		{images(t, "one", "draw", ``), "images", anImage, anImage, money.Tokens{Input: 2, Output: 272, Images: 1}},
		{images(t, "three", "draw", `,"n":3,"quality":"high"`), "images", 3 * anImage, 3 * anImage, money.Tokens{Input: 2, Output: 816, Images: 3}},
		{images(t, "most", "draw", `,"n":10`), "images", 10 * anImage, 10 * anImage, money.Tokens{Input: 2, Output: 2720, Images: 10}},
		{images(t, "tokens", "paint", `,"n":2,"quality":"low"`), "images", 0, 2*6500 + 544*52_000, money.Tokens{Input: 2, Output: 544, Images: 2}},
		{transcript(t, "t"), "transcriptions", 0, 50*1300 + 20*13_000, money.Tokens{Input: 50, Output: 20}},
	} {
		t.Run(tt.call.ID, func(t *testing.T) {
			before, err := b.ledger.Balance(t.Context(), "ann")
			if err != nil {
				t.Fatal(err)
			}
			ticket, err := b.admit(t, tt.call)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := ticket.Stream(t.Context(), deaf())
			if err != nil || len(answer.Body) == 0 {
				t.Fatalf("%d bytes, %v", len(answer.Body), err)
			}
			r := answer.Receipt
			if r.Outcome != credit.Finished || r.Operation != tt.operation || r.Estimated || r.Tokens != tt.tokens {
				t.Errorf("%s, %s, estimated %t, %+v; want %s of %+v", r.Outcome, r.Operation, r.Estimated, r.Tokens, tt.operation, tt.tokens)
			}
			if r.Charge != tt.charge || tt.hold != 0 && r.Hold != tt.hold || r.Hold < r.Charge {
				t.Errorf("charged %s of a hold of %s, want %s of %s", r.Charge, r.Hold, tt.charge, tt.hold)
			}
			if len(r.Parameters) > 0 {
				t.Errorf("parameters: %+v", r.Parameters)
			}
			if after, err := b.ledger.Balance(t.Context(), "ann"); err != nil || after.Total != before.Total-tt.charge || after.Held != 0 {
				t.Errorf("balance %+v, %v", after, err)
			}
		})
	}
	b.check(t)
}

// TestImagesHoldTheirNumber: a balance for three images makes three, and not four.
func TestImagesHoldTheirNumber(t *testing.T) {
	t.Parallel()
	b := newMakers(t)
	b.grant(t, "ann", 3*anImage)
	if _, err := b.admit(t, images(t, "four", "draw", `,"n":4`)); !errors.Is(err, credit.ErrShort) {
		t.Errorf("four images: %v", err)
	}
	bounded := images(t, "bounded", "draw", `,"n":3`)
	bounded.MaxCost = 2 * anImage
	if _, err := b.admit(t, bounded); err == nil {
		t.Error("three images at the price of two")
	}
	painted := images(t, "painted", "paint", `,"n":3`) // paid by tokens, which no provider cuts at a cap
	painted.MaxCost = money.Dollar / 100
	if _, err := b.admit(t, painted); fault.From(err).Code != "max_cost_too_low" {
		t.Errorf("three images for a cent: %v", err)
	}
	ticket, err := b.admit(t, images(t, "three", "draw", `,"n":3`))
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := ticket.Stream(t.Context(), deaf()); err != nil || answer.Receipt.Charge != 3*anImage {
		t.Errorf("charged %s, %v", answer.Receipt.Charge, err)
	}
	b.check(t)
}

// TestDrawingChatHoldsTheMost: nobody knows how many images an answer will have.
func TestDrawingChatHoldsTheMost(t *testing.T) {
	t.Parallel()
	b := newMakers(t)
	b.grant(t, "ann", 10*anImage)
	ticket, err := b.admit(t, call(t, "a", "ann", "sketch", true, 100))
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := ticket.Stream(t.Context(), deaf()); err != nil || answer.Receipt.Hold != 10*anImage || answer.Receipt.Charge != 0 {
		t.Errorf("charged %s of a hold of %s, %v", answer.Receipt.Charge, answer.Receipt.Hold, err)
	}
	b.check(t)
}

// TestEmbeddingsFillTheWindow: nothing is written, so that all of the window is for the input.
func TestEmbeddingsFillTheWindow(t *testing.T) {
	t.Parallel()
	b := newMakers(t)
	call := embeddings(t, "e")
	exact, err := money.Charge(money.Rates{Input: 10 * money.Dollar}, money.Tokens{Input: call.Request.InputTokens}, 3000)
	if err != nil {
		t.Fatal(err)
	}
	b.grant(t, "ann", exact)
	call.MaxCost = exact
	ticket, err := b.admit(t, call)
	if err != nil {
		t.Fatal(err)
	}
	if ticket.Cap() != 0 {
		t.Errorf("cap %d", ticket.Cap())
	}
	answer, err := ticket.Stream(t.Context(), deaf())
	if err != nil || answer.Receipt.Hold != exact || answer.Receipt.Tokens.Output != 0 {
		t.Errorf("%+v, %v", answer.Receipt, err)
	}
	b.check(t)
}
