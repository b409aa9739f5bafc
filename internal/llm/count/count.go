// Package count counts tokens with a real tokenizer, for the answers whose
// provider reported no usage. The tables cost tens of megabytes, so they are
// loaded at the first use; nothing on the path of a request comes here.
package count

import (
	"encoding/json"
	"strings"
	"sync"

	"github.com/tiktoken-go/tokenizer"
)

// Counter counts with the o200k encoding of OpenAI's current models. Other vendors' counts
// differ by some percent: receipts mark them as estimated.
type Counter struct {
	load func() (tokenizer.Codec, error)
}

// New returns a Counter; it loads nothing yet.
func New() *Counter {
	return &Counter{load: sync.OnceValues(func() (tokenizer.Codec, error) { return tokenizer.Get(tokenizer.O200kBase) })}
}

// Text counts the tokens of a text. A text the tokenizer cannot read counts a
// token for every four bytes.
func (c *Counter) Text(s string) int64 {
	if s == "" {
		return 0
	}
	codec, err := c.load()
	if err == nil {
		if n, err := codec.Count(s); err == nil {
			return int64(n)
		}
	}
	return int64(len(s)+3) / 4
}

// Costs OpenAI documents for its chat format: about four tokens around each
// message and three to prime the answer; 765 is a 1024-pixel image in high detail.
const (
	perMessage = 4
	priming    = 3
	perImage   = 765
)

// Input counts a chat request's tokens: the text of its messages and its tools.
func (c *Counter) Input(body []byte) int64 {
	var in struct {
		Messages []struct {
			Content   json.RawMessage `json:"content"`
			ToolCalls json.RawMessage `json:"tool_calls"`
		} `json:"messages"`
		Tools          json.RawMessage `json:"tools"`
		ResponseFormat json.RawMessage `json:"response_format"`
	}
	if json.Unmarshal(body, &in) != nil {
		return int64(len(body)) / 4
	}
	n := int64(priming)
	for _, m := range in.Messages {
		n += perMessage + c.content(m.Content) + c.Text(string(m.ToolCalls))
	}
	return n + c.Text(string(in.Tools)) + c.Text(string(in.ResponseFormat))
}

// content counts a message's content: a string, or parts of text and images.
func (c *Counter) content(raw json.RawMessage) int64 {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return c.Text(text)
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &parts) != nil {
		return 0
	}
	n := int64(0)
	for _, p := range parts {
		if strings.HasPrefix(p.Type, "image") {
			n += perImage
			continue
		}
		n += c.Text(p.Text)
	}
	return n
}
