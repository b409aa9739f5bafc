package sim

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"strconv"
	"strings"

	"onemind/internal/llm"
)

// play is one answer as it is given.
type play struct {
	*Script
	server *Server
	w      http.ResponseWriter
	r      *http.Request
	req    *Request
	id     string
	head   []byte // of every chunk, up to its choices
	out    []byte // the event being written
	frames []frame
	finish string
	prompt int
	output int // pieces in frames
	mused  int // of them, reasoning
	sent   int // pieces sent so far
}

// frame is one delta of the answer.
type frame struct {
	member string // what it adds to, and what it adds; of a tool call only the delta is set
	text   string
	delta  []byte // as JSON
	pieces int
}

// member makes {"name":"text"}.
func member(name, text string) []byte {
	b := append(append([]byte(`{"`), name...), `":`...)
	return append(llm.AppendQuoted(b, text), '}')
}

func newPlay(s *Server, w http.ResponseWriter, r *http.Request, req *Request, script Script) *play {
	p := &play{Script: &script, server: s, w: w, r: r, req: req, prompt: req.tokens()}
	h := fnv.New64a()
	h.Write(req.Body)
	p.id = "chatcmpl-sim" + strconv.FormatUint(h.Sum64(), 36)
	p.head = fmt.Appendf(nil, `{"id":"%s","object":"chat.completion.chunk","created":%d,"model":%s,"choices":[`, p.id, s.options.Now().Unix(), llm.AppendQuoted(nil, req.Model))
	p.compose()
	return p
}

// compose cuts what is to be said into frames, within the request's bounds.
func (p *play) compose() {
	text := p.Text
	if p.Echo {
		text = string(p.req.Body)
	}
	if text == "" && len(p.Calls) == 0 {
		text = numbered(max(p.Pieces, 0))
	}
	p.finish = "stop"
	for _, stop := range p.req.stops() {
		if i := strings.Index(text, stop); i >= 0 {
			text = text[:i]
		}
	}
	left := p.req.limit()
	if left == 0 || p.IgnoreCap {
		left = 1 << 30
	}
	p.mused = p.say("reasoning_content", Pieces(p.Reasoning), &left)
	p.say("content", Pieces(text), &left)
	for i, call := range p.Calls {
		p.call(i, call, &left)
	}
	if p.finish == "stop" && len(p.Calls) > 0 {
		p.finish = "tool_calls"
	}
	if p.Finish != "" {
		p.finish = p.Finish
	}
}

// numbered is a text of n pieces, 16 if n is 0.
func numbered(n int) string {
	if n == 0 {
		n = 16
	}
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("word")
		b.WriteString(strconv.Itoa(i))
	}
	return b.String()
}

// say frames the pieces that still fit, and counts them.
func (p *play) say(name string, pieces []string, left *int) int {
	if len(pieces) > *left {
		pieces, p.finish = pieces[:*left], "length"
	}
	*left -= len(pieces)
	said := len(pieces)
	for len(pieces) > 0 {
		n := min(max(p.PerEvent, 1), len(pieces))
		text := strings.Join(pieces[:n], "")
		p.frames = append(p.frames, frame{name, text, member(name, text), n})
		pieces = pieces[n:]
	}
	p.output += said
	return said
}

// call frames a tool call: its name first, then its arguments piece by piece.
func (p *play) call(index int, c Call, left *int) {
	if *left == 0 {
		p.finish = "length"
		return
	}
	*left--
	p.output++
	name := llm.AppendQuoted(nil, c.Name)
	p.frames = append(p.frames, frame{delta: fmt.Appendf(nil, `{"tool_calls":[{"index":%d,"id":"call_%d","type":"function","function":{"name":%s,"arguments":""}}]}`, index, index, name), pieces: 1})
	start := len(p.frames)
	p.say("arguments", Pieces(c.Arguments), left)
	for i, f := range p.frames[start:] {
		p.frames[start+i] = frame{delta: fmt.Appendf(nil, `{"tool_calls":[{"index":%d,"function":%s}]}`, index, f.delta), pieces: f.pieces}
	}
}

func (p *play) usage(output int) map[string]any {
	mused := min(p.mused, output)
	return map[string]any{"prompt_tokens": p.prompt, "completion_tokens": output, "total_tokens": p.prompt + output,
		"prompt_tokens_details":     map[string]any{"cached_tokens": min(p.Cached, p.prompt)},
		"completion_tokens_details": map[string]any{"reasoning_tokens": mused}}
}

// refuse answers with the script's error.
func (p *play) refuse() {
	if p.RetryAfter != "" {
		p.w.Header().Set("Retry-After", p.RetryAfter)
	}
	if p.Body == "" {
		problem(p.w, p.Status, "sim_error", "", fmt.Sprintf("The script says %d.", p.Status))
		return
	}
	p.w.Header().Set("Content-Type", p.kind("application/json"))
	p.w.WriteHeader(p.Status)
	_, _ = p.w.Write([]byte(p.Body))
}

func (p *play) kind(usual string) string {
	if p.Type != "" {
		return p.Type
	}
	return usual
}

// whole answers with one body.
func (p *play) whole() {
	message := map[string]any{"role": "assistant", "content": nil}
	var calls []any
	for _, f := range p.frames {
		if f.member != "" {
			said, _ := message[f.member].(string)
			message[f.member] = said + f.text
		}
	}
	for i, c := range p.Calls {
		calls = append(calls, map[string]any{"id": "call_" + strconv.Itoa(i), "type": "function", "function": map[string]any{"name": c.Name, "arguments": c.Arguments}})
	}
	if calls != nil {
		message["tool_calls"] = calls
	}
	choices := []any{}
	for i := range max(p.req.N, 1) {
		choices = append(choices, map[string]any{"index": i, "message": message, "finish_reason": p.finish, "logprobs": nil})
	}
	body := map[string]any{"id": p.id, "object": "chat.completion", "created": p.server.options.Now().Unix(), "model": p.req.Model, "choices": choices}
	if p.Usage != Never {
		body["usage"] = p.usage(p.output * max(p.req.N, 1))
	}
	p.w.Header().Set("Content-Type", p.kind("application/json"))
	data, _ := json.Marshal(body)
	p.body(data, p.failure, p.output*max(p.req.N, 1))
}

// body writes a whole answer, or does what the script says goes wrong with it. failure
// is what the dialect says then, output the tokens that the answer reports.
func (p *play) body(data []byte, failure func() []byte, output int) {
	switch {
	case p.Break == Reset:
		p.cut(true)
	case p.Break == Cut && p.After < len(data): // After counts bytes here
		_, _ = p.w.Write(data[:p.After])
		p.flush()
		p.cut(false)
	case p.Break == Stall:
		_, _ = p.w.Write(data[:1])
		p.flush()
		<-p.r.Context().Done()
	case p.Break == Fails:
		_, _ = p.w.Write(failure())
	case p.Break == Garbage || p.Break == Noise:
		_, _ = p.w.Write([]byte(garbage))
	default:
		if _, err := p.w.Write(data); err == nil && p.Usage != Never {
			p.tell(output)
		}
	}
}

// tell reports the usage that was put into the answer.
func (p *play) tell(output int) {
	if p.Told != nil {
		p.Told(p.prompt, output)
	}
}

// failure is the error object that stands where an answer should.
func (p *play) failure() []byte {
	e := p.Error
	if e == "" {
		e = `{"message":"The script says so.","type":"server_error","code":null}`
	}
	return []byte(`{"error":` + e + `}`)
}

func (p *play) flush() { _ = http.NewResponseController(p.w).Flush() }

// cut ends the connection without ending the answer.
func (p *play) cut(reset bool) {
	if reset {
		if c, _, err := http.NewResponseController(p.w).Hijack(); err == nil {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			_ = c.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}
