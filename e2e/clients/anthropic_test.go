package clients

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

func (s *server) anthropic(key string) *anthropic.Client {
	client := anthropic.NewClient(option.WithBaseURL(s.url), option.WithAPIKey(key), option.WithMaxRetries(0))
	return &client
}

func askMessage(model string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{Model: model, MaxTokens: 500, System: []anthropic.TextBlockParam{{Text: "Be brief."}},
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Say something."))}}
}

func TestAnthropic(t *testing.T) {
	s := start(t)
	client := s.anthropic(s.key)
	t.Run("models", func(t *testing.T) { anthropicModels(t, client) })
	t.Run("errors", func(t *testing.T) { anthropicErrors(t, s, client) })
	for protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			t.Run("messages", func(t *testing.T) { anthropicMessages(t, client, protocol) })
			t.Run("stream", func(t *testing.T) { anthropicStream(t, client, protocol) })
			t.Run("tools", func(t *testing.T) { anthropicTools(t, client, protocol) })
			t.Run("count", func(t *testing.T) { anthropicCount(t, client, protocol) })
			t.Run("failures", func(t *testing.T) { anthropicFailures(t, client, protocol) })
		})
	}
	s.run(t, "ledger", "check")
}

func anthropicModels(t *testing.T, client *anthropic.Client) {
	pages := client.Models.ListAutoPaging(t.Context(), anthropic.ModelListParams{})
	found := false
	for pages.Next() {
		if m := pages.Current(); m.ID == "quick-openai" {
			found = m.DisplayName != "" && !m.CreatedAt.IsZero()
		}
	}
	if err := pages.Err(); err != nil || !found {
		t.Errorf("found %v, %v", found, err)
	}
}

// spoke wants the provider's words, end and usage.
func spoke(t *testing.T, m *anthropic.Message) {
	t.Helper()
	if len(m.Content) != 1 || m.Content[0].Text != said || m.StopReason != "end_turn" || m.Role != "assistant" || m.Type != "message" {
		t.Errorf("content %+v, stop reason %s", m.Content, m.StopReason)
	}
	if m.Usage.InputTokens != 100 || m.Usage.OutputTokens != 4 {
		t.Errorf("usage %d and %d", m.Usage.InputTokens, m.Usage.OutputTokens)
	}
}

func anthropicMessages(t *testing.T, client *anthropic.Client, protocol string) {
	message, err := client.Messages.New(t.Context(), askMessage("quick-"+protocol))
	if err != nil {
		t.Fatal(err)
	}
	spoke(t, message)
}

// collect puts a stream together and lists the types of its events.
func collect(t *testing.T, client *anthropic.Client, params anthropic.MessageNewParams) (message anthropic.Message, types []string) {
	t.Helper()
	stream := client.Messages.NewStreaming(t.Context(), params)
	defer stream.Close()
	for stream.Next() {
		event := stream.Current()
		types = append(types, event.Type)
		if err := message.Accumulate(event); err != nil {
			t.Errorf("the event does not fit: %v: %s", err, event.RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return message, types
}

func anthropicStream(t *testing.T, client *anthropic.Client, protocol string) {
	message, types := collect(t, client, askMessage("quick-"+protocol))
	if message.Usage.InputTokens == 0 { // engines that count at the end say so there
		t.Log("input tokens come with the end of the stream")
	}
	if len(message.Content) != 1 || message.Content[0].Text != said || message.StopReason != "end_turn" || message.Usage.OutputTokens != 4 {
		t.Errorf("%+v", message)
	}
	types = slices.DeleteFunc(types, func(s string) bool { return s == "ping" })
	if got := strings.Join(slices.Compact(slices.Clone(types)), " "); got != "message_start content_block_start content_block_delta content_block_stop message_delta message_stop" {
		t.Errorf("events %s", got)
	}
	if n := len(types); n < 9 {
		t.Errorf("%d events for four pieces", n)
	}
}

func anthropicTools(t *testing.T, client *anthropic.Client, protocol string) {
	params := askMessage("quick-" + protocol)
	params.Tools = []anthropic.ToolUnionParam{anthropic.ToolUnionParamOfTool(anthropic.ToolInputSchemaParam{Properties: schema()["properties"], Required: []string{"city", "note"}}, "look_up")}
	asked, err := client.Messages.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	streamed, _ := collect(t, client, params)
	var id string
	for _, message := range []*anthropic.Message{asked, &streamed} {
		i := slices.IndexFunc(message.Content, func(b anthropic.ContentBlockUnion) bool { return b.Type == "tool_use" })
		if i < 0 || message.StopReason != "tool_use" || message.Content[i].Name != "look_up" {
			t.Fatalf("%+v", message)
		}
		id = message.Content[i].ID
		sameArguments(t, string(message.Content[i].Input))
	}
	params.Messages = append(params.Messages, streamed.ToParam(), anthropic.NewUserMessage(anthropic.NewToolResultBlock(id, "sunny", false)))
	answered, err := client.Messages.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	spoke(t, answered)
}

func anthropicCount(t *testing.T, client *anthropic.Client, protocol string) {
	count, err := client.Messages.CountTokens(t.Context(), anthropic.MessageCountTokensParams{Model: "quick-" + protocol, Messages: askMessage("").Messages})
	if err != nil || count.InputTokens <= 0 {
		t.Errorf("%+v, %v", count, err)
	}
}

// failedMessage wants an error of the API, of one of some statuses, in Anthropic's shape.
func failedMessage(t *testing.T, what string, err error, statuses ...int) {
	t.Helper()
	var refused *anthropic.Error
	if !errors.As(err, &refused) || !slices.Contains(statuses, refused.StatusCode) {
		t.Errorf("%s: %v, want a status of %v", what, err, statuses)
		return
	}
	if raw := refused.RawJSON(); !strings.Contains(raw, `"type":"error"`) || strings.Contains(raw, providerKey) {
		t.Errorf("%s: %s", what, raw)
	}
}

func anthropicErrors(t *testing.T, s *server, client *anthropic.Client) {
	_, err := s.anthropic("om_wrong").Messages.New(t.Context(), askMessage("quick-openai"))
	failedMessage(t, "a wrong key", err, 401)
	_, err = client.Messages.New(t.Context(), askMessage("no-such-model"))
	failedMessage(t, "an unknown model", err, 404)
	bad := askMessage("quick-openai")
	bad.MaxTokens = -1
	_, err = client.Messages.New(t.Context(), bad)
	failedMessage(t, "a bad parameter", err, 400)
	_, err = s.anthropic(s.keyOf(t, "poor-anthropic", 0)).Messages.New(t.Context(), askMessage("quick-openai"))
	failedMessage(t, "no credits", err, 402)
}

func anthropicFailures(t *testing.T, client *anthropic.Client, protocol string) {
	_, err := client.Messages.New(t.Context(), askMessage("broken-"+protocol))
	failedMessage(t, "a provider's failure", err, 500, 502, 503)
	_, err = client.Messages.New(t.Context(), askMessage("busy-"+protocol))
	failedMessage(t, "a busy provider", err, 429, 503, 529)
}
