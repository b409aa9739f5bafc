package openai

import (
	"bytes"
	"encoding/json"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
)

// Encoder writes one answer as chat completions. The chunk that ends the answer
// waits until it is settled, because it carries the receipt: the usage chunk when the
// caller asked for one, else the chunk with the finish reason. It is used from
// one goroutine.
type Encoder struct {
	id, model     string
	usageWanted   bool
	one           bool // one answer was asked for: its finish is the end
	finish, usage []byte
}

// NewEncoder returns an Encoder for the answer to a request.
func NewEncoder(id string, req *llm.Request) *Encoder {
	return &Encoder{id: id, model: req.Model, usageWanted: req.Usage, one: req.N <= 1}
}

// Event appends the frames that an event becomes.
func (e *Encoder) Event(dst []byte, ev *llm.Event) []byte {
	switch {
	case ev.Usage && ev.Choices == 0:
		e.usage = append(e.usage[:0], ev.Data...)
		return dst
	case ev.Finish != "" && e.one:
		e.finish = append(e.finish[:0], ev.Data...)
		return dst
	}
	return frame(dst, ev.Data)
}

// End appends the frames that end an answer.
func (e *Encoder) End(dst []byte, end llm.Ending) []byte {
	if end.Capped || e.finish == nil && e.one {
		e.finish = e.lengthChunk(end.Finish)
	}
	if e.usageWanted {
		if e.usage == nil {
			e.usage = e.usageChunk(end.Usage)
		}
		e.usage = splice(e.usage, end.Receipt)
	} else if e.finish != nil {
		e.finish = splice(e.finish, end.Receipt)
	}
	if e.finish != nil {
		dst = frame(dst, e.finish)
	}
	if e.usageWanted {
		dst = frame(dst, e.usage)
	}
	return frame(dst, []byte("[DONE]"))
}

// Whole gives an answer that was not streamed. It stands as the provider wrote
// it: its cost is in the headers.
func (e *Encoder) Whole(body []byte, _ bool, _ llm.Ending) ([]byte, error) { return body, nil }

// Trouble appends the frames that end an answer which broke after it had begun.
func (e *Encoder) Trouble(dst []byte, f *fault.Error) []byte {
	return frame(frame(dst, e.Error(f, 0)), []byte("[DONE]"))
}

// Error writes {"error": {message, type, param, code}}.
func (e *Encoder) Error(f *fault.Error, _ int) []byte {
	kind := "invalid_request_error"
	switch f.Kind {
	case fault.Unauthenticated:
		kind = "authentication_error"
	case fault.Forbidden:
		kind = "permission_error"
	case fault.Short:
		kind = "insufficient_quota"
	case fault.Limited:
		kind = "rate_limit_error"
	case fault.Internal, fault.Upstream, fault.Unavailable, fault.Timeout:
		kind = "server_error"
	}
	var param *string
	if name := f.Parameter(); name != "" {
		param = &name
	}
	b, _ := json.Marshal(map[string]any{"error": map[string]any{"message": f.Text, "type": kind, "param": param, "code": f.Code}}) //nolint:errchkjson // strings only
	return b
}

func frame(dst, data []byte) []byte {
	return append(append(append(dst, "data: "...), data...), "\n\n"...)
}

// splice puts a receipt into a chunk as its last member, "onemind".
func splice(chunk, receipt []byte) []byte {
	end := bytes.LastIndexByte(chunk, '}')
	if end < 0 || receipt == nil {
		return chunk
	}
	out := make([]byte, 0, len(chunk)+len(receipt)+12)
	out = append(out, chunk[:end]...)
	out = append(out, `,"onemind":`...)
	out = append(out, receipt...)
	return append(out, '}')
}

// lengthChunk ends an answer whose provider did not say how it ended, or that
// we ended at its hold.
func (e *Encoder) lengthChunk(reason string) []byte {
	if reason == "" {
		reason = "stop"
	}
	return e.chunk([]any{map[string]any{"index": 0, "delta": map[string]any{}, "finish_reason": reason}}, nil)
}

// usageChunk tells our own count to a caller who asked for usage when the
// provider reported none.
func (e *Encoder) usageChunk(u llm.Usage) []byte {
	in, out := u.Input+u.CachedInput+u.CacheWrite, u.Output+u.Reasoning
	return e.chunk([]any{}, map[string]any{"prompt_tokens": in, "completion_tokens": out, "total_tokens": in + out})
}

func (e *Encoder) chunk(choices []any, usage map[string]any) []byte {
	c := map[string]any{"id": e.id, "object": "chat.completion.chunk", "created": time.Now().Unix(), "model": e.model, "choices": choices}
	if usage != nil {
		c["usage"] = usage
	}
	b, _ := json.Marshal(c) //nolint:errchkjson // plain values
	return b
}
