package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"onemind/internal/credit"
	"onemind/internal/llm/sim"
	"onemind/internal/money"
)

// 14, 15: a stop is not a free answer. It costs the question and what was delivered,
// whatever the provider says in the middle: a beginning, zeros or nothing.
func TestTrap14StopIsNotAFreeAnswer(t *testing.T) {
	t.Parallel()
	const delivered = 60
	for name, usage := range map[string]sim.UsageMode{"as asked": sim.WhenAsked, "never": sim.Never, "in every chunk": sim.EveryChunk, "zeros first": sim.ZeroFirst} {
		t.Run("usage "+name, func(t *testing.T) {
			t.Parallel()
			b := newEngines(t, always(sim.Script{Text: strings.Repeat("apple ", 400), Usage: usage, PieceDelay: time.Millisecond}))
			for _, model := range protocols {
				for _, own := range []bool{false, true} {
					id := fmt.Sprintf("%s own=%t", model, own)
					c := call(t, id, "ann", model, true, 500)
					if own {
						c = native(t, id, model, true, 500)
					}
					answer, _, err := b.stream(t, c, delivered)
					r := answer.Receipt
					if !errors.Is(err, context.Canceled) || r.Outcome != credit.Stopped || r.FinishReason != "stopped" {
						t.Errorf("%s: %v, outcome %s, finish %q", id, err, r.Outcome, r.FinishReason)
					}
					if r.Tokens.Input < 1 || r.Tokens.Input > questionMost || r.Tokens.Output < delivered*9/10 || r.Tokens.Output > delivered*12/10 {
						t.Errorf("%s: charged for %+v; %d were delivered", id, r.Tokens, delivered)
					}
				}
			}
			b.check(t)
		})
	}
}

// 17: who hangs up before the first word pays for the question, which the provider
// has read; who hangs up before it was sent pays nothing.
func TestTrap17EarlyHangUpPaysForTheQuestion(t *testing.T) {
	t.Parallel()
	everyEngine(t, always(sim.Script{FirstDelay: time.Hour}), func(t *testing.T, b *bench, id, model string, stream bool) {
		ticket, err := b.admit(t, call(t, id, "ann", model, stream, 500))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			_ = b.upstream.Wait(t.Context(), func(c sim.Counts) bool { return c.Open == 1 })
			cancel()
		}()
		answer, err := ticket.Stream(ctx, deaf())
		if r := answer.Receipt; !errors.Is(err, context.Canceled) || r.Outcome != credit.Stopped || r.Tokens.Input < 1 || r.Tokens.Input > questionMost || r.Tokens.Output != 0 || r.Charge == 0 {
			t.Errorf("%v, %+v", err, r)
		}
		if ticket, err = b.admit(t, call(t, id+" again", "ann", model, stream, 500)); err != nil {
			t.Fatal(err)
		}
		answer, err = ticket.Stream(ctx, deaf()) // it is over already
		if r := answer.Receipt; !errors.Is(err, context.Canceled) || r.Charge != 0 || len(r.Attempts) != 0 {
			t.Errorf("nothing was sent: %v, %+v", err, r)
		}
	})
}

// 18: usage counts whatever the word for the end is.
func TestTrap18AnyEndIsBilled(t *testing.T) {
	t.Parallel()
	for _, finish := range []string{"stop", "length", "content_filter", "something_new"} {
		everyEngine(t, always(sim.Script{Pieces: 30, Finish: finish}), func(t *testing.T, b *bench, id, model string, stream bool) {
			answer, _, err := b.stream(t, call(t, id, "ann", model, stream, 500), 0)
			if r := answer.Receipt; err != nil || r.Tokens.Input != question || r.Tokens.Output != 30 || r.Estimated || r.Charge == 0 {
				t.Errorf("finish %s: %v, %+v", finish, err, r)
			}
		})
	}
}

// 20: an answer of which the provider says that it was nothing is counted by us.
func TestTrap20NothingUsedIsNotBelieved(t *testing.T) {
	t.Parallel()
	for name, used := range map[string][2]int{"no output": {7, 0}, "no input": {0, 9}, "nothing": {0, 0}} {
		everyEngine(t, reporting(used[0], used[1]), func(t *testing.T, b *bench, id, model string, stream bool) {
			answer, got, err := b.stream(t, call(t, id, "ann", model, stream, 500), 0)
			r := answer.Receipt
			if err != nil || r.Tokens.Input < 1 || r.Tokens.Output < 5 || r.Tokens.Output > 20 || !r.Estimated || stream && got != fox {
				t.Errorf("%s reported: %v, %q, %+v", name, err, got, r)
			}
		})
	}
}

// 20: tool calls are output too, where the provider does not count them.
func TestTrap20ToolCallsAreCounted(t *testing.T) {
	t.Parallel()
	calls := []sim.Call{{Name: "look_up", Arguments: `{"city":"Paris","country":"France","year":1789}`}}
	everyEngine(t, always(sim.Script{Calls: calls, Usage: sim.Never}), func(t *testing.T, b *bench, id, model string, stream bool) {
		answer, _, err := b.stream(t, call(t, id, "ann", model, stream, 500), 0)
		if r := answer.Receipt; err != nil || r.FinishReason != "tool_calls" || r.Tokens.Output < 8 || r.Tokens.Output > 40 || !r.Estimated {
			t.Errorf("%v, %+v", err, r)
		}
	})
}

const fox = "The quick brown fox jumps over the lazy dog."

// reporting is a provider that answers and says that it used so much.
func reporting(input, output int) func(*sim.Request) sim.Script {
	return func(r *sim.Request) sim.Script {
		kind := "application/json"
		if r.Stream {
			kind = "text/event-stream"
		}
		return sim.Script{Status: 200, Type: kind, Body: saying(r.Model, r.Stream, fox, input, output)}
	}
}

// saying is an answer with a usage in a protocol's own form.
func saying(model string, stream bool, text string, input, output int) string {
	switch model {
	case "openai":
		usage := fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, input, output, input+output)
		if !stream {
			return fmt.Sprintf(`{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":%s}`, text, usage)
		}
		return fmt.Sprintf("data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":null}]}\n\n"+
			"data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"id\":\"x\",\"choices\":[],\"usage\":%s}\n\ndata: [DONE]\n\n", text, usage)
	case "anthropic":
		if !stream {
			return fmt.Sprintf(`{"id":"x","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":%q}],"stop_reason":"end_turn","usage":{"input_tokens":%d,"output_tokens":%d}}`, text, input, output)
		}
		return fmt.Sprintf("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"x\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":%d,\"output_tokens\":0}}}\n\n"+
			"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"+
			"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":%q}}\n\n"+
			"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"+
			"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":%d}}\n\n"+
			"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", input, text, output)
	}
	whole := fmt.Sprintf(`{"candidates":[{"content":{"role":"model","parts":[{"text":%q}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":%d,"candidatesTokenCount":%d,"totalTokenCount":%d},"responseId":"x"}`, text, input, output, input+output)
	if stream {
		return "data: " + whole + "\r\n\r\n"
	}
	return whole
}

// 27: what the provider had in its cache is part of the question once, not twice,
// and has its own price.
func TestTrap27CachedTokensCountOnce(t *testing.T) {
	t.Parallel()
	everyEngine(t, always(sim.Script{Pieces: 10, Cached: 5}), func(t *testing.T, b *bench, id, model string, stream bool) {
		answer, _, err := b.stream(t, call(t, id, "ann", model, stream, 500), 0)
		r := answer.Receipt
		if err != nil || r.Tokens != (money.Tokens{Input: question - 5, CachedInput: 5, Output: 10}) {
			t.Fatalf("%v, %+v", err, r.Tokens)
		}
		// 2 x $1 + 5 x $0.10 + 10 x $10 for a million, and 30%
		if want := money.Amount(2*1000+5*100+10*10000) * 13 / 10; r.Charge != want {
			t.Errorf("charged %d, want %d", r.Charge, want)
		}
	})
}

// 28: numbers no provider should send neither make credits nor take more than the hold.
func TestTrap28AbsurdUsage(t *testing.T) {
	t.Parallel()
	for _, used := range [][2]int{{-100, -100}, {-100, 9}, {7, -9}, {1 << 62, 1 << 62}, {7, 1 << 40}} {
		everyEngine(t, reporting(used[0], used[1]), func(t *testing.T, b *bench, id, model string, stream bool) {
			answer, _, err := b.stream(t, call(t, id, "ann", model, stream, 500), 0)
			if r := answer.Receipt; err != nil || r.Charge <= 0 || r.Charge > r.Hold || r.Tokens.Input < 0 || r.Tokens.Output < 0 {
				t.Errorf("%v reported: %v, %+v, charged %s of %s", used, err, r.Tokens, r.Charge, r.Hold)
			}
		})
	}
}
