package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// told is what the reader of a stream was told.
type told struct {
	text   strings.Builder
	calls  []string // name and arguments
	finish string   // in the dialect's words
	code   string   // of an error
	end    bool     // the stream says that it is over
	bill   bool     // the receipt is with it
	wrong  []string // rules of the dialect that it breaks
}

func (t *told) breaks(format string, args ...any) {
	t.wrong = append(t.wrong, fmt.Sprintf(format, args...))
}

// dialect is how callers ask, and how they read.
type dialect struct {
	name   string
	path   func(model string) string
	body   func(model string, stream bool, most int) map[string]any
	tools  any
	capped string // the finish of an answer at its cap
	called string // the finish of an answer that calls tools
	frame  func(t *told, event string, data []byte)
}

const trapQuestion = "Count for me, please."

func dialects() []dialect {
	schema := map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}}
	same := func(path string) func(string) string { return func(string) string { return path } }
	return []dialect{
		{"chat", same("/v1/chat/completions"), chatBody,
			[]any{map[string]any{"type": "function", "function": map[string]any{"name": "look_up", "parameters": schema}}}, "length", "tool_calls", readChat},
		{"responses", same("/v1/responses"), func(model string, stream bool, most int) map[string]any {
			return map[string]any{"model": model, "stream": stream, "max_output_tokens": most, "input": trapQuestion}
		}, []any{map[string]any{"type": "function", "name": "look_up", "parameters": schema, "strict": false}}, "max_output_tokens", "completed", (&responsesReader{}).read},
		{"messages", same("/v1/messages"), chatBody, []any{map[string]any{"name": "look_up", "input_schema": schema}}, "max_tokens", "tool_use", (&messagesReader{}).read},
		{"gemini", func(model string) string { return "/v1beta/models/" + model }, func(_ string, _ bool, most int) map[string]any {
			return map[string]any{"contents": []any{map[string]any{"role": "user", "parts": []any{map[string]any{"text": trapQuestion}}}},
				"generationConfig": map[string]any{"maxOutputTokens": most}}
		}, []any{map[string]any{"functionDeclarations": []any{map[string]any{"name": "look_up", "parameters": schema}}}}, "MAX_TOKENS", "STOP", readGemini},
	}
}

func readChat(t *told, _ string, data []byte) {
	if string(data) == "[DONE]" {
		t.end = true
		return
	}
	var c struct {
		Object  string
		Choices []struct {
			Delta struct {
				Content string
				Calls   []struct {
					Index    int
					Function struct{ Name, Arguments string }
				} `json:"tool_calls"`
			}
			Finish string `json:"finish_reason"`
		}
		Error *struct{ Code, Message, Type string }
		Bill  json.RawMessage `json:"onemind"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		t.breaks("%v in %s", err, data)
	}
	if t.bill = t.bill || c.Bill != nil; c.Error != nil {
		t.code = c.Error.Code
		return
	}
	if c.Object != "chat.completion.chunk" || t.end || t.code != "" {
		t.breaks("%s", data)
	}
	for _, choice := range c.Choices {
		t.text.WriteString(choice.Delta.Content)
		for _, call := range choice.Delta.Calls {
			for len(t.calls) <= call.Index {
				t.calls = append(t.calls, "")
			}
			t.calls[call.Index] += call.Function.Name + call.Function.Arguments
		}
		if choice.Finish != "" {
			if t.finish != "" {
				t.breaks("a second finish: %s", data)
			}
			t.finish = choice.Finish
		}
	}
}

// responsesReader holds a stream of Responses to its order.
type responsesReader struct {
	seq  int
	open map[string]bool // items that have begun
}

func (r *responsesReader) read(t *told, event string, data []byte) {
	var e struct {
		Type     string
		Seq      int `json:"sequence_number"`
		Delta    string
		Item     struct{ ID, Type, Name, Arguments string }
		ItemID   string `json:"item_id"`
		Code     string
		Response struct {
			Status     string
			Incomplete struct{ Reason string } `json:"incomplete_details"`
			Bill       json.RawMessage         `json:"onemind"`
		}
	}
	if err := json.Unmarshal(data, &e); err != nil || e.Type != event {
		t.breaks("event %s: %v in %s", event, err, data)
	}
	if e.Type == "response.created" {
		*r = responsesReader{open: map[string]bool{}}
	}
	if e.Seq != r.seq || r.open == nil || t.end {
		t.breaks("number %d, want %d: %s", e.Seq, r.seq, data)
	}
	r.seq++
	switch e.Type {
	case "response.output_item.added":
		r.open[e.Item.ID] = true
	case "response.output_item.done":
		if !r.open[e.Item.ID] {
			t.breaks("ends and did not begin: %s", data)
		}
		delete(r.open, e.Item.ID)
		if e.Item.Type == "function_call" {
			t.calls = append(t.calls, e.Item.Name+e.Item.Arguments)
		}
	case "response.output_text.delta":
		if !r.open[e.ItemID] {
			t.breaks("a delta of nothing: %s", data)
		}
		t.text.WriteString(e.Delta)
	case "error":
		t.code = e.Code
	case "response.completed", "response.incomplete", "response.failed":
		t.end, t.finish, t.bill = true, e.Response.Status, e.Response.Bill != nil
		if e.Response.Incomplete.Reason != "" {
			t.finish = e.Response.Incomplete.Reason
		}
		if len(r.open) > 0 && e.Type != "response.failed" {
			t.breaks("%d items are open", len(r.open))
		}
	}
}

// messagesReader holds a stream of Messages to its order.
type messagesReader struct {
	begun, open bool
	index       int
	call        string
}

func (r *messagesReader) read(t *told, event string, data []byte) {
	var e struct {
		Type  string
		Index int
		Block struct{ Type, Name string } `json:"content_block"`
		Delta struct {
			Text    string
			Partial string `json:"partial_json"`
			Stop    string `json:"stop_reason"`
		}
		Error struct {
			Type, Message string
			Code          string
		}
		Bill json.RawMessage `json:"onemind"`
	}
	if err := json.Unmarshal(data, &e); err != nil || e.Type != event {
		t.breaks("event %s: %v in %s", event, err, data)
	}
	if e.Type == "message_start" {
		*r = messagesReader{begun: true}
		return
	}
	if !r.begun && e.Type != "error" || t.end || t.code != "" {
		t.breaks("out of place: %s", data)
	}
	if (strings.HasPrefix(e.Type, "content_block") && e.Index != r.index) || strings.HasPrefix(e.Type, "content_block_start") == r.open && strings.HasPrefix(e.Type, "content_block") ||
		strings.HasPrefix(e.Type, "message_") && r.open {
		t.breaks("block %d is open %t: %s", r.index, r.open, data)
	}
	switch e.Type {
	case "content_block_start":
		r.open, r.call = true, e.Block.Name
	case "content_block_delta":
		t.text.WriteString(e.Delta.Text)
		r.call += e.Delta.Partial
	case "content_block_stop":
		if r.open = false; r.call != "" {
			t.calls = append(t.calls, r.call)
		}
		r.index++
	case "message_delta":
		t.finish = e.Delta.Stop
	case "message_stop":
		t.end, t.bill = true, e.Bill != nil
	case "error":
		if t.code = e.Error.Code; t.code == "" {
			t.code = e.Error.Type
		}
	}
}

func readGemini(t *told, _ string, data []byte) {
	var c struct {
		Candidates []struct {
			Content struct {
				Parts []struct {
					Text string
					Call *struct {
						Name string
						Args json.RawMessage
					} `json:"functionCall"`
				}
			}
			Finish string `json:"finishReason"`
		}
		Error *struct {
			Status, Message string
			Details         []struct{ Reason string }
		}
		Bill json.RawMessage `json:"onemind"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		t.breaks("%v in %s", err, data)
	}
	if t.bill = t.bill || c.Bill != nil; c.Error != nil {
		t.code = c.Error.Status
		return
	}
	if t.code != "" || c.Candidates == nil {
		t.breaks("%s", data)
	}
	for _, candidate := range c.Candidates {
		for _, p := range candidate.Content.Parts {
			t.text.WriteString(p.Text)
			if p.Call != nil {
				t.calls = append(t.calls, p.Call.Name+string(p.Call.Args))
			}
		}
		if candidate.Finish != "" {
			t.finish, t.end = candidate.Finish, true
		}
	}
}

// readFrames passes on server-sent events with their names.
func readFrames(body io.Reader, each func(event string, data []byte) bool) {
	var pending []byte
	buf := make([]byte, 4<<10)
	for {
		n, err := body.Read(buf)
		pending = append(pending, bytes.ReplaceAll(buf[:n], []byte("\r"), nil)...)
		for {
			frame, rest, whole := bytes.Cut(pending, []byte("\n\n"))
			if !whole {
				break
			}
			pending = rest
			event, data := "", []byte(nil)
			for line := range bytes.Lines(frame) {
				line = bytes.TrimSuffix(line, []byte("\n"))
				if text, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
					event = string(text)
				} else if text, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
					data = append(data, text...)
				}
			}
			if data != nil && !each(event, data) {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
