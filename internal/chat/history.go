package chat

import (
	"encoding/json"
	"slices"
	"strings"
)

// message is one entry of a chat request in the neutral form.
type message struct {
	Role    string `json:"role"`
	Content any    `json:"content"`
}

type part struct {
	Type  string    `json:"type"`
	Text  string    `json:"text,omitempty"`
	Image *imageURL `json:"image_url,omitempty"`
}

type imageURL struct {
	URL string `json:"url"`
}

// requestBody writes the chat request one model gets.
func requestBody(p Prompt, model string, history []Run) []byte {
	body := struct {
		Model       string    `json:"model"`
		Messages    []message `json:"messages"`
		Stream      bool      `json:"stream"`
		MaxTokens   int64     `json:"max_tokens,omitempty"`
		Temperature *float64  `json:"temperature,omitempty"`
	}{Model: model, Stream: true, MaxTokens: p.MaxTokens, Temperature: p.Temperature}
	if p.System != "" {
		body.Messages = append(body.Messages, message{"system", p.System})
	}
	for _, run := range turns(history, model) {
		if answer := remembered(run, model); answer != "" && !retried(run, p) {
			body.Messages = append(body.Messages, userMessage(run.Prompt, run.Images), message{"assistant", answer})
		}
	}
	body.Messages = append(body.Messages, userMessage(p.Text, p.Images))
	b, _ := json.Marshal(body) //nolint:errchkjson // strings and numbers only
	return b
}

// turns folds retries into the turn they ask again: a retry stands in for it where
// it has something to say for this model, and is left out elsewhere.
func turns(history []Run, model string) []Run {
	var list []Run
	for _, run := range history {
		at := slices.IndexFunc(list, func(r Run) bool { return run.RetryOf != "" && r.answer(run.RetryOf) != nil })
		own := slices.ContainsFunc(run.Answers, func(a Answer) bool { return a.Model == model && a.Text != "" })
		switch {
		case run.RetryOf == "" || at < 0:
			list = append(list, run)
		case own || len(run.Selected) > 0:
			run.Answers = append(slices.Clone(run.Answers), list[at].Answers...) // so that a second retry finds its turn
			list[at] = run
		}
	}
	return list
}

// retried tells whether p asks an answer of this run again: its first answer is no history then.
func retried(run Run, p Prompt) bool { return p.RetryOf != "" && run.answer(p.RetryOf) != nil }

// remembered is what a model is told the assistant said in a run: the answers
// the person selected, else its own, else the first there is.
func remembered(run Run, model string) string {
	var chosen []string
	for _, id := range run.Selected {
		if a := run.answer(id); a != nil && a.Text != "" {
			chosen = append(chosen, a.Text)
		}
	}
	if len(chosen) > 0 {
		return strings.Join(chosen, "\n\n")
	}
	first := ""
	for _, a := range run.Answers {
		if a.Text != "" && a.Model == model {
			return a.Text
		}
		if first == "" {
			first = a.Text
		}
	}
	return first
}

func userMessage(text string, images []string) message {
	if len(images) == 0 {
		return message{"user", text}
	}
	parts := []part{}
	if text != "" {
		parts = append(parts, part{Type: "text", Text: text})
	}
	for _, url := range images {
		parts = append(parts, part{Type: "image_url", Image: &imageURL{url}})
	}
	return message{"user", parts}
}
