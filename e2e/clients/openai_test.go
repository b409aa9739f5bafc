package clients

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

func (s *server) openai(key string) *openai.Client {
	client := openai.NewClient(option.WithBaseURL(s.url+"/v1"), option.WithAPIKey(key), option.WithMaxRetries(0))
	return &client
}

func ask(model string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."), openai.UserMessage("Say something.")}}
}

// schema is what the tool's arguments look like.
func schema() map[string]any {
	text := map[string]any{"type": "string"}
	return map[string]any{"type": "object", "properties": map[string]any{"city": text, "note": text}, "required": []string{"city", "note"}, "additionalProperties": false}
}

// sameArguments wants arguments that are JSON and mean what the provider sent.
func sameArguments(t *testing.T, got string) {
	t.Helper()
	var a, b map[string]any
	if err := json.Unmarshal([]byte(got), &a); err != nil {
		t.Errorf("the arguments %q are no JSON: %v", got, err)
		return
	}
	_ = json.Unmarshal([]byte(toolArguments), &b)
	if len(a) != len(b) || a["city"] != b["city"] || a["note"] != b["note"] {
		t.Errorf("arguments %q", got)
	}
}

func TestOpenAI(t *testing.T) {
	s := start(t)
	client := s.openai(s.key)
	t.Run("models", func(t *testing.T) { openaiModels(t, client) })
	t.Run("errors", func(t *testing.T) { openaiErrors(t, s, client) })
	for protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			t.Run("chat", func(t *testing.T) { openaiChat(t, client, protocol) })
			t.Run("stream", func(t *testing.T) { openaiStream(t, client, protocol) })
			t.Run("tools", func(t *testing.T) { openaiTools(t, client, protocol) })
			t.Run("responses", func(t *testing.T) { openaiResponses(t, client, protocol) })
			t.Run("failures", func(t *testing.T) { openaiFailures(t, client, protocol) })
		})
	}
	s.run(t, "ledger", "check")
}

func openaiModels(t *testing.T, client *openai.Client) {
	seen := map[string]bool{}
	pages := client.Models.ListAutoPaging(t.Context())
	for pages.Next() {
		seen[pages.Current().ID] = true
	}
	if err := pages.Err(); err != nil || !seen["quick-openai"] || !seen["quick-gemini"] {
		t.Errorf("%v, %v", seen, err)
	}
	model, err := client.Models.Get(t.Context(), "quick-anthropic")
	if err != nil || model.ID != "quick-anthropic" || model.Object != "model" {
		t.Errorf("%+v, %v", model, err)
	}
}

func openaiChat(t *testing.T, client *openai.Client, protocol string) {
	var response *http.Response
	completion, err := client.Chat.Completions.New(t.Context(), ask("quick-"+protocol), option.WithResponseInto(&response))
	if err != nil {
		t.Fatal(err)
	}
	choice := completion.Choices[0]
	if choice.Message.Content != said || choice.FinishReason != "stop" {
		t.Errorf("%q, %s", choice.Message.Content, choice.FinishReason)
	}
	if u := completion.Usage; u.PromptTokens != 100 || u.CompletionTokens != 4 || u.TotalTokens != 104 {
		t.Errorf("usage %s", u.RawJSON())
	}
	if charge := response.Header.Get("X-OneMind-Charge"); charge == "" || charge == "0" {
		t.Errorf("charge %q", charge)
	}
}

func openaiStream(t *testing.T, client *openai.Client, protocol string) {
	params := ask("quick-" + protocol)
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	defer stream.Close()
	var all openai.ChatCompletionAccumulator
	deltas := 0
	for stream.Next() {
		chunk := stream.Current()
		if !all.AddChunk(chunk) {
			t.Errorf("the chunk does not fit: %s", chunk.RawJSON())
		}
		if len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			deltas++
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if got := all.Choices[0]; got.Message.Content != said || got.FinishReason != "stop" || deltas < 4 {
		t.Errorf("%q in %d deltas, %s", got.Message.Content, deltas, got.FinishReason)
	}
	if all.Usage.TotalTokens != 104 {
		t.Errorf("usage %+v", all.Usage)
	}
}

func openaiTools(t *testing.T, client *openai.Client, protocol string) {
	params := ask("quick-" + protocol)
	params.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "look_up", Parameters: schema()})}
	asked, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	message := asked.Choices[0].Message
	if asked.Choices[0].FinishReason != "tool_calls" || len(message.ToolCalls) != 1 || message.ToolCalls[0].Function.Name != "look_up" {
		t.Fatalf("%s", asked.RawJSON())
	}
	sameArguments(t, message.ToolCalls[0].Function.Arguments)

	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	defer stream.Close()
	var all openai.ChatCompletionAccumulator
	for stream.Next() {
		all.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil || len(all.Choices) != 1 || len(all.Choices[0].Message.ToolCalls) != 1 {
		t.Fatalf("%+v, %v", all.Choices, err)
	}
	sameArguments(t, all.Choices[0].Message.ToolCalls[0].Function.Arguments)

	params.Messages = append(params.Messages, message.ToParam(), openai.ToolMessage("sunny", message.ToolCalls[0].ID))
	answered, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil || answered.Choices[0].Message.Content != said || answered.Choices[0].FinishReason != "stop" {
		t.Errorf("%+v, %v", answered, err)
	}
}

func openaiResponses(t *testing.T, client *openai.Client, protocol string) {
	params := responses.ResponseNewParams{Model: "quick-" + protocol, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("Say something.")}}
	response, err := client.Responses.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if response.OutputText() != said || response.Status != "completed" || response.Usage.InputTokens != 100 || response.Usage.OutputTokens != 4 {
		t.Errorf("%s", response.RawJSON())
	}
	stream := client.Responses.NewStreaming(t.Context(), params)
	defer stream.Close()
	text, last := "", ""
	for stream.Next() {
		event := stream.Current()
		if last = event.Type; last == "response.output_text.delta" {
			text += event.Delta
		}
	}
	if err := stream.Err(); err != nil || text != said || last != "response.completed" {
		t.Errorf("%q, the last is %q, %v", text, last, err)
	}
}

// failed wants an error of the API, of one of some statuses.
func failed(t *testing.T, what string, err error, statuses ...int) {
	t.Helper()
	var refused *openai.Error
	if !errors.As(err, &refused) {
		t.Errorf("%s: %v", what, err)
		return
	}
	for _, status := range statuses {
		if refused.StatusCode == status {
			if refused.Message == "" || strings.Contains(refused.RawJSON(), providerKey) {
				t.Errorf("%s: %s", what, refused.RawJSON())
			}
			return
		}
	}
	t.Errorf("%s: status %d, want one of %v", what, refused.StatusCode, statuses)
}

func openaiErrors(t *testing.T, s *server, client *openai.Client) {
	_, err := s.openai("om_wrong").Chat.Completions.New(t.Context(), ask("quick-openai"))
	failed(t, "a wrong key", err, 401)
	_, err = client.Chat.Completions.New(t.Context(), ask("no-such-model"))
	failed(t, "an unknown model", err, 404)
	params := ask("quick-openai")
	params.Temperature = openai.Float(9)
	_, err = client.Chat.Completions.New(t.Context(), params)
	failed(t, "a bad parameter", err, 400, 422)
	var refused *openai.Error
	if errors.As(err, &refused) && refused.Param != "temperature" {
		t.Errorf("a bad parameter: param %q", refused.Param)
	}
	_, err = s.openai(s.keyOf(t, "poor-openai", 0)).Chat.Completions.New(t.Context(), ask("quick-openai"))
	failed(t, "no credits", err, 402)
}

func openaiFailures(t *testing.T, client *openai.Client, protocol string) {
	_, err := client.Chat.Completions.New(t.Context(), ask("broken-"+protocol))
	failed(t, "a provider's failure", err, 500, 502, 503)
	_, err = client.Chat.Completions.New(t.Context(), ask("busy-"+protocol))
	failed(t, "a busy provider", err, 429, 503)
	var refused *openai.Error
	if errors.As(err, &refused) && refused.Response.Header.Get("Retry-After") == "" {
		t.Error("a busy provider: no Retry-After")
	}
}
