package gemini

import (
	"encoding/json"
	"strconv"

	"onemind/internal/llm/scan"
)

// ModelInfo is what the API lists of a model that chats.
type ModelInfo struct {
	ID          string // as callers name it
	Name        string // for people; the ID if empty
	Description string
	Input       int64 // tokens it reads at most; 0 if not known
	Output      int64 // tokens it writes at most
	Reasoning   bool
}

// listed is a model in the API's shape.
type listed struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	DisplayName string   `json:"displayName"`
	Description string   `json:"description,omitempty"`
	Input       int64    `json:"inputTokenLimit"`
	Output      int64    `json:"outputTokenLimit"`
	Methods     []string `json:"supportedGenerationMethods"`
	Thinking    bool     `json:"thinking,omitempty"`
}

func (m *ModelInfo) listed() listed {
	name := m.Name
	if name == "" {
		name = m.ID
	}
	return listed{"models/" + m.ID, "001", name, m.Description, m.Input, m.Output,
		[]string{"generateContent", "streamGenerateContent", "countTokens"}, m.Reasoning}
}

// ListModels is the body of GET /v1beta/models, all on one page.
func ListModels(models []ModelInfo) []byte {
	list := make([]listed, 0, len(models))
	for i := range models {
		list = append(list, models[i].listed())
	}
	body, _ := json.Marshal(map[string]any{"models": list}) //nolint:errchkjson // plain values
	return body
}

// Model is the body of GET /v1beta/models/{model}.
func Model(m ModelInfo) []byte {
	body, _ := json.Marshal(m.listed()) //nolint:errchkjson // plain values
	return body
}

// CountTokensResponse is the answer to models/{model}:countTokens.
func CountTokensResponse(n int64) []byte {
	return append(strconv.AppendInt([]byte(`{"totalTokens":`), n, 10), '}')
}

// ParseCount validates the body of models/{model}:countTokens, which holds contents
// or a whole generateContentRequest, and gives the chat completions request whose
// input is to be counted. Errors are those of Parse.
func ParseCount(model string, body []byte) ([]byte, error) {
	for _, name := range [...]string{"generateContentRequest", "generate_content_request"} {
		if inner := scan.Find(body, name); len(inner) > 0 && inner[0] == '{' && scan.Valid(body, scan.ClientDepth) {
			body = inner
			break
		}
	}
	chat, _, err := Parse(model, false, body)
	return chat, err
}
