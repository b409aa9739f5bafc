package sim

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"onemind/internal/llm"
)

// messages answers one request of Anthropic's Messages API by script.
func (s *Server) messages(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	req := Request{Header: r.Header}
	var more struct {
		System json.RawMessage `json:"system"`
		Stops  json.RawMessage `json:"stop_sequences"`
	}
	err = json.Unmarshal(body, &req)
	_ = json.Unmarshal(body, &more)
	req.Body, req.Stop, req.N = body, more.Stops, 1
	defer s.begin(r, req)()
	if wrong := wrongMessages(&req, err); wrong != "" {
		messagesProblem(w, http.StatusBadRequest, "invalid_request_error", wrong)
		return
	}
	script := s.script(&req)
	if script.Error == "" {
		script.Error = `{"type":"overloaded_error","message":"The script says so."}`
	}
	p := &messagesPlay{play: newPlay(s, w, r, &req, script)}
	p.id = "msg_" + strings.TrimPrefix(p.id, "chatcmpl-")
	p.prompt += len(Pieces(contentText(more.System)))
	if s.options.Sleep(r.Context(), script.FirstDelay) != nil {
		return
	}
	switch {
	case script.Status != 0 && script.Body == "":
		if script.RetryAfter != "" {
			w.Header().Set("Retry-After", script.RetryAfter)
		}
		messagesProblem(w, script.Status, "sim_error", "The script says "+strconv.Itoa(script.Status)+".")
	case script.Status != 0:
		p.refuse()
	case req.Stream && !script.Plain:
		p.stream()
	default:
		p.whole()
	}
}

// wrongMessages says what Anthropic would not accept either.
func wrongMessages(req *Request, err error) string {
	switch {
	case err != nil:
		return "The request body is not valid JSON."
	case len(req.Messages) == 0:
		return "messages: at least one message is required"
	case req.MaxTokens < 1:
		return "max_tokens: Field required"
	case req.Header.Get("Anthropic-Version") == "":
		return "anthropic-version: header is required"
	}
	for i, m := range req.Messages {
		if m.Role != "user" && m.Role != "assistant" && (m.Role != "system" || i == 0) { // the first is a member of its own
			return "messages: Unexpected role \"" + m.Role + "\"."
		}
	}
	return ""
}

func messagesProblem(w http.ResponseWriter, status int, kind, message string) {
	answer(w, status, map[string]any{"type": "error", "error": map[string]any{"type": kind, "message": message}, "request_id": "req_sim"})
}

// messagesPlay is one answer in Anthropic's shape.
type messagesPlay struct {
	*play
	index int    // of the open block, or of the next one
	block string // what the open block is: a frame's member, or "call" and its number; empty for none
}

// messagesFrame is one event of the wire.
type messagesFrame struct{ kind, data string }

// stream answers with events. A block's start and its end come with what is next
// to them, so that After counts as it does in the other dialects: the beginning,
// one for each frame, and the finish.
func (p *messagesPlay) stream() {
	if p.Break == Reset && p.After == 0 {
		p.cut(true)
		return
	}
	p.w.Header().Set("Content-Type", p.kind("text/event-stream"))
	p.w.Header().Set("Cache-Control", "no-cache")
	p.w.WriteHeader(200)
	for i := range len(p.frames) + 2 {
		if p.Break != None && i == p.After {
			if p.broken(); p.Break != Noise {
				return
			}
		}
		if i > 1 && i <= len(p.frames) && p.server.options.Sleep(p.r.Context(), p.PieceDelay) != nil {
			return
		}
		for _, f := range p.event(i) {
			if !p.sendTyped(f.kind, []byte(f.data)) {
				return
			}
		}
	}
	if p.Break != None && p.Break != Noise {
		p.broken()
		return
	}
	if p.Usage != Never && !p.NoFinish {
		p.tell(p.sent)
	}
	if !p.NoDone {
		p.sendTyped("message_stop", []byte(`{"type":"message_stop"}`))
	}
}

// broken does what the script says goes wrong.
func (p *messagesPlay) broken() {
	if p.Break == Fails {
		p.sendTyped("error", p.failure())
		return
	}
	p.play.broken()
}

// failure is the error object that stands where an answer should.
func (p *messagesPlay) failure() []byte { return []byte(`{"type":"error","error":` + p.Error + `}`) }

// event gives what is sent for one step of the answer.
func (p *messagesPlay) event(i int) []messagesFrame {
	switch {
	case i == 0:
		message := map[string]any{"id": p.id, "type": "message", "role": "assistant", "model": p.req.Model, "content": []any{}, "stop_reason": nil, "stop_sequence": nil, "usage": p.used(1, p.Usage == ZeroFirst)}
		if p.Usage == Never {
			delete(message, "usage")
		}
		data, _ := json.Marshal(map[string]any{"type": "message_start", "message": message})
		return []messagesFrame{{"message_start", string(data)}}
	case i <= len(p.frames):
		f := &p.frames[i-1]
		p.sent += f.pieces
		if f.member == "" {
			return p.calling(f)
		}
		return p.saying(f)
	}
	frames := p.close()
	if p.NoFinish {
		return frames
	}
	end := map[string]any{"type": "message_delta", "delta": map[string]any{"stop_reason": p.reason(), "stop_sequence": nil}}
	switch p.Usage {
	case Never:
	case EveryChunk, ZeroFirst:
		end["usage"] = p.used(p.sent, false)
	default:
		end["usage"] = map[string]any{"output_tokens": p.sent}
	}
	data, _ := json.Marshal(end)
	return append(frames, messagesFrame{"message_delta", string(data)})
}

// used is the usage so far. Anthropic counts the cache beside the input.
func (p *messagesPlay) used(output int, zero bool) map[string]any {
	cached := min(p.Cached, p.prompt)
	if zero {
		return map[string]any{"input_tokens": 0, "output_tokens": 0}
	}
	return map[string]any{"input_tokens": p.prompt - cached, "cache_creation_input_tokens": 0, "cache_read_input_tokens": cached, "output_tokens": output}
}

// reason is the stop reason in Anthropic's words.
func (p *messagesPlay) reason() string {
	switch p.finish {
	case "stop":
		return "end_turn"
	case "length":
		return "max_tokens"
	case "tool_calls":
		return "tool_use"
	case "content_filter":
		return "refusal"
	}
	return p.finish
}

// open makes block the open one.
func (p *messagesPlay) open(block, start string) []messagesFrame {
	if p.block == block {
		return nil
	}
	frames := p.close()
	p.block = block
	return append(frames, messagesFrame{"content_block_start", `{"type":"content_block_start","index":` + strconv.Itoa(p.index) + `,"content_block":` + start + `}`})
}

func (p *messagesPlay) close() []messagesFrame {
	if p.block == "" {
		return nil
	}
	var frames []messagesFrame
	if p.block == "reasoning_content" {
		frames = append(frames, p.delta("signature_delta", "signature", "c2lt"))
	}
	frames = append(frames, messagesFrame{"content_block_stop", `{"type":"content_block_stop","index":` + strconv.Itoa(p.index) + `}`})
	p.block = ""
	p.index++
	return frames
}

func (p *messagesPlay) delta(kind, member, text string) messagesFrame {
	data := []byte(`{"type":"content_block_delta","index":` + strconv.Itoa(p.index) + `,"delta":{"type":"` + kind + `","` + member + `":`)
	return messagesFrame{"content_block_delta", string(append(llm.AppendQuoted(data, text), "}}"...))}
}

// saying is a frame of text or of thinking.
func (p *messagesPlay) saying(f *frame) []messagesFrame {
	if f.member == "reasoning_content" {
		frames := p.open(f.member, `{"type":"thinking","thinking":"","signature":""}`)
		return append(frames, p.delta("thinking_delta", "thinking", f.text))
	}
	frames := p.open(f.member, `{"type":"text","text":""}`)
	return append(frames, p.delta("text_delta", "text", f.text))
}

// calling is a frame of a tool call.
func (p *messagesPlay) calling(f *frame) []messagesFrame {
	var said struct {
		Calls []struct {
			Index    int                              `json:"index"`
			Function struct{ Name, Arguments string } `json:"function"`
		} `json:"tool_calls"`
	}
	_ = json.Unmarshal(f.delta, &said)
	call := said.Calls[0]
	n := strconv.Itoa(call.Index)
	start := `{"type":"tool_use","id":"toolu_` + n + `","name":` + string(llm.AppendQuoted(nil, call.Function.Name)) + `,"input":{}}`
	return append(p.open("call "+n, start), p.delta("input_json_delta", "partial_json", call.Function.Arguments))
}

// whole answers with one body.
func (p *messagesPlay) whole() {
	content := []any{}
	said := map[string]string{}
	for _, f := range p.frames {
		said[f.member] += f.text
	}
	if t := said["reasoning_content"]; t != "" {
		content = append(content, map[string]any{"type": "thinking", "thinking": t, "signature": "c2lt"})
	}
	if t := said["content"]; t != "" {
		content = append(content, map[string]any{"type": "text", "text": t})
	}
	for i, c := range p.Calls {
		content = append(content, map[string]any{"type": "tool_use", "id": "toolu_" + strconv.Itoa(i), "name": c.Name, "input": json.RawMessage(c.Arguments)})
	}
	body := map[string]any{"id": p.id, "type": "message", "role": "assistant", "model": p.req.Model, "content": content, "stop_reason": p.reason(), "stop_sequence": nil}
	if p.Usage != Never {
		body["usage"] = p.used(p.output, false)
	}
	data, _ := json.Marshal(body)
	p.w.Header().Set("Content-Type", p.kind("application/json"))
	p.body(data, p.failure, p.output)
}
