package sim

import (
	"bytes"
	"encoding/json"
	"strings"
)

// stream answers with events, until the client goes or the script says otherwise.
func (p *play) stream() {
	p.w.Header().Set("Content-Type", p.kind("text/event-stream"))
	p.w.Header().Set("Cache-Control", "no-cache")
	p.w.WriteHeader(200)
	events := p.events()
	for i, e := range events {
		if p.Break != None && i == p.After {
			p.broken()
			return
		}
		if i > 0 && e.paced && p.server.options.Sleep(p.r.Context(), p.PieceDelay) != nil {
			return
		}
		p.sent += e.pieces
		if !p.send(e.data(p)) {
			return
		}
	}
	if p.Break != None {
		p.broken()
		return
	}
	if !p.NoDone {
		p.send("[DONE]")
	}
}

// event is one event to come.
type event struct {
	choices []any
	pieces  int
	paced   bool // the script's pace is kept before it
	usage   bool // it carries the usage, if the script reports any
}

// events lists what will be sent: the role, the frames for each choice in turn, the
// finish, and the usage.
func (p *play) events() []event {
	n := max(p.req.N, 1)
	each := func(delta map[string]any, finish any) (choices []any) {
		for i := range n {
			choices = append(choices, map[string]any{"index": i, "delta": delta, "logprobs": nil, "finish_reason": finish})
		}
		return choices
	}
	events := []event{{choices: each(map[string]any{"role": "assistant", "content": ""}, nil)}}
	for i, f := range p.frames {
		events = append(events, event{choices: each(f.delta, nil), pieces: f.pieces * n, paced: i > 0})
	}
	if !p.NoFinish {
		events = append(events, event{choices: each(map[string]any{}, p.finish)})
	}
	if p.Usage == Always || p.Usage == WhenAsked && p.req.StreamOptions.IncludeUsage || p.Usage == ZeroFirst {
		events = append(events, event{choices: []any{}, usage: true})
	}
	return events
}

func (e *event) data(p *play) string {
	chunk := map[string]any{"id": p.id, "object": "chat.completion.chunk", "created": p.server.options.Now().Unix(), "model": p.req.Model, "choices": e.choices}
	switch {
	case e.usage || p.Usage == EveryChunk:
		chunk["usage"] = p.usage(p.sent)
	case p.Usage == ZeroFirst:
		chunk["usage"] = map[string]any{"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
	}
	data, _ := json.Marshal(chunk)
	return string(data)
}

// broken does what the script says goes wrong.
func (p *play) broken() {
	switch p.Break {
	case Cut, Reset:
		p.cut(p.Break == Reset)
	case Stall:
		<-p.r.Context().Done()
	case Fails:
		e := p.Error
		if e == "" {
			e = `{"message":"The script says so.","type":"server_error","code":null}`
		}
		p.send(`{"error":` + e + `}`)
	case Garbage:
		p.send(`{"id":"garbage","choices":[{`)
	}
}

// send writes one event and flushes it. It reports false when the client is gone.
func (p *play) send(data string) bool {
	var b strings.Builder
	if p.Comments {
		b.WriteString(": keep-alive\n\n")
	}
	b.WriteString("data: ")
	b.WriteString(data)
	b.WriteString("\n\n")
	out := []byte(b.String())
	if p.CRLF {
		out = bytes.ReplaceAll(out, []byte("\n"), []byte("\r\n"))
	}
	p.server.note(func(c *Counts) { c.Events++ })
	for len(out) > 0 {
		n := len(out)
		if p.WriteSize > 0 {
			n = min(n, p.WriteSize)
		}
		if _, err := p.w.Write(out[:n]); err != nil {
			return false
		}
		p.flush()
		out = out[n:]
	}
	return p.r.Context().Err() == nil
}
