package sim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"onemind/internal/llm/sim"
)

// gemini asks in the Gemini API's own words.
func gemini(t *testing.T, s *sim.Server, method, body string) (*http.Response, string) {
	t.Helper()
	server := httptest.NewServer(s)
	defer server.Close()
	resp, err := http.Post(server.URL+"/v1beta/models/"+method, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil && !strings.Contains(err.Error(), "EOF") {
		t.Fatal(err)
	}
	return resp, string(data)
}

type geminiResponse struct {
	Candidates []struct {
		Content struct {
			Parts []struct {
				Text         string `json:"text"`
				Thought      bool   `json:"thought"`
				FunctionCall *struct {
					Name string
					Args any
				} `json:"functionCall"`
			} `json:"parts"`
		} `json:"content"`
		FinishReason string `json:"finishReason"`
	} `json:"candidates"`
	UsageMetadata struct{ PromptTokenCount, CandidatesTokenCount, ThoughtsTokenCount, TotalTokenCount int } `json:"usageMetadata"`
}

const geminiAsk = `{"contents":[{"role":"user","parts":[{"text":"Hello there"}]}],"generationConfig":{"maxOutputTokens":100}}`

func TestGeminiWhole(t *testing.T) {
	s := sim.New(sim.Options{Scripts: map[string]sim.Script{"m": {Reasoning: "Let me see.", Text: "It is sunny.", Calls: []sim.Call{{Name: "f", Arguments: `{"a":1}`}}}}})
	resp, body := gemini(t, s, "m:generateContent", geminiAsk)
	var got geminiResponse
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %s: %v", resp.StatusCode, body, err)
	}
	c := got.Candidates[0]
	said := ""
	for _, p := range c.Content.Parts {
		if !p.Thought {
			said += p.Text
		}
	}
	u := got.UsageMetadata
	last := c.Content.Parts[len(c.Content.Parts)-1]
	if said != "It is sunny." || c.FinishReason != "STOP" || last.FunctionCall == nil || last.FunctionCall.Name != "f" ||
		u.PromptTokenCount != 2 || u.ThoughtsTokenCount != len(sim.Pieces("Let me see.")) || u.TotalTokenCount != u.PromptTokenCount+u.CandidatesTokenCount+u.ThoughtsTokenCount {
		t.Errorf("%s", body)
	}
	if last := s.Last(); last.Model != "m" || last.MaxTokens != 100 || last.Question() != "Hello there" {
		t.Errorf("%+v", last)
	}
}

func TestGeminiStream(t *testing.T) {
	s := sim.New(sim.Options{Scripts: map[string]sim.Script{"m": {Text: "one two three"}, "short": {}, "fails": {Break: sim.Fails, After: 2}, "cut": {Break: sim.Cut, After: 2}, "429": {Status: 429}}})
	resp, body := gemini(t, s, "m:streamGenerateContent?alt=sse", geminiAsk)
	if resp.Header.Get("Content-Type") != "text/event-stream" || strings.Count(body, "data: ") != 4 || !strings.HasSuffix(body, "\r\n\r\n") || !strings.Contains(body, `"finishReason":"STOP"`) {
		t.Errorf("%s", body)
	}
	if _, body = gemini(t, s, "short:streamGenerateContent?alt=sse", strings.Replace(geminiAsk, "100", "3", 1)); !strings.Contains(body, `"MAX_TOKENS"`) || strings.Count(body, "data: ") != 4 {
		t.Errorf("%s", body)
	}
	if _, body = gemini(t, s, "fails:streamGenerateContent?alt=sse", geminiAsk); !strings.Contains(body, `"UNAVAILABLE"`) {
		t.Errorf("%s", body)
	}
	if _, body = gemini(t, s, "cut:streamGenerateContent?alt=sse", geminiAsk); strings.Count(body, "data: ") != 2 {
		t.Errorf("%s", body)
	}
	if resp, body = gemini(t, s, "429:streamGenerateContent?alt=sse", geminiAsk); resp.StatusCode != 429 || !strings.Contains(body, `"code":429`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ = gemini(t, s, "m:generateContent", `{}`); resp.StatusCode != 400 {
		t.Errorf("status %d without contents", resp.StatusCode)
	}
	if resp, _ = gemini(t, s, "m:countTokens", geminiAsk); resp.StatusCode != 404 {
		t.Errorf("status %d for another method", resp.StatusCode)
	}
}
