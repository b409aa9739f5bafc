package sim

import (
	"bytes"
	"encoding/json"
	"strconv"

	"onemind/internal/llm"
)

// stream answers with events, until the client goes or the script says otherwise.
func (p *play) stream() {
	if p.Break == Reset && p.After == 0 { // before the head, which would go out with it
		p.cut(true)
		return
	}
	p.w.Header().Set("Content-Type", p.kind("text/event-stream"))
	p.w.Header().Set("Cache-Control", "no-cache")
	p.w.WriteHeader(200)
	events := p.events()
	for i, e := range events {
		if p.Break != None && i == p.After {
			if p.broken(); p.Break != Noise {
				return
			}
		}
		if i > 0 && e.paced && p.server.options.Sleep(p.r.Context(), p.PieceDelay) != nil {
			return
		}
		p.sent += e.pieces
		if !p.send(e.data(p)) {
			return
		}
		if e.usage || p.Usage == EveryChunk && i == len(events)-1 {
			p.tell(p.sent)
		}
	}
	if p.Break != None && p.Break != Noise {
		p.broken()
		return
	}
	if !p.NoDone {
		p.send([]byte("[DONE]"))
	}
}

// event is one event to come.
type event struct {
	delta  []byte // of each choice; nil: no choices
	finish string // empty: none yet
	pieces int
	paced  bool // the script's pace is kept before it
	usage  bool // it carries the usage, if the script reports any
}

// events lists what will be sent: the role, the frames, the finish and the usage.
func (p *play) events() []event {
	n := max(p.req.N, 1)
	events := make([]event, 1, len(p.frames)+3)
	events[0] = event{delta: []byte(`{"role":"assistant","content":""}`)}
	for i, f := range p.frames {
		events = append(events, event{delta: f.delta, pieces: f.pieces * n, paced: i > 0})
	}
	if !p.NoFinish {
		events = append(events, event{delta: []byte("{}"), finish: p.finish})
	}
	if p.Usage == Always || p.Usage == WhenAsked && p.req.StreamOptions.IncludeUsage || p.Usage == ZeroFirst {
		events = append(events, event{usage: true})
	}
	return events
}

// data is the event's chunk. It is written by hand: as an upstream of
// benchmarks the sim has to cost little.
func (e *event) data(p *play) []byte {
	b := append([]byte(nil), p.head...)
	for i := range max(p.req.N, 1) {
		if e.delta == nil {
			break
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"index":`...), int64(i), 10)
		b = append(append(append(b, `,"delta":`...), e.delta...), `,"logprobs":null,"finish_reason":`...)
		if e.finish == "" {
			b = append(b, "null}"...)
		} else {
			b = append(llm.AppendQuoted(b, e.finish), '}')
		}
	}
	b = append(b, ']')
	switch {
	case e.usage || p.Usage == EveryChunk:
		usage, _ := json.Marshal(p.usage(p.sent))
		b = append(append(b, `,"usage":`...), usage...)
	case p.Usage == ZeroFirst:
		b = append(b, `,"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`...)
	}
	return append(b, '}')
}

// garbage is what comes in place of JSON.
const garbage = `{"id":"garbage","choices":[{`

// broken does what the script says goes wrong.
func (p *play) broken() {
	switch p.Break {
	case Cut, Reset:
		p.cut(p.Break == Reset)
	case Stall:
		<-p.r.Context().Done()
	case Fails:
		p.send(p.failure())
	case Garbage, Noise:
		p.send([]byte(garbage))
	}
}

// send writes one event and flushes it. It reports false when the client is gone.
func (p *play) send(data []byte) bool { return p.sendTyped("", data) }

// sendTyped writes one event that has a type.
func (p *play) sendTyped(kind string, data []byte) bool {
	out := p.out[:0]
	if p.Comments {
		out = append(out, ": keep-alive\n\n"...)
	}
	if kind != "" {
		out = append(append(append(out, "event: "...), kind...), '\n')
	}
	out = append(append(append(out, "data: "...), data...), "\n\n"...)
	p.out = out
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
