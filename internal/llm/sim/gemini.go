package sim

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"onemind/internal/llm"
)

// geminiModel gives the model of a path that ends in models/{model}:generateContent
// or :streamGenerateContent.
func geminiModel(path string) (model string, stream, ok bool) {
	_, rest, _ := strings.Cut(path, "/models/")
	model, method, _ := strings.Cut(rest, ":")
	return model, method == "streamGenerateContent", model != "" && (method == "generateContent" || method == "streamGenerateContent")
}

// isGemini reports whether a path is one of the Gemini API's.
func isGemini(path string) bool {
	_, _, ok := geminiModel(path)
	return ok
}

// geminiRequest is what a script's machinery wants of a generateContent request.
type geminiRequest struct {
	Contents []struct {
		Role  string `json:"role"`
		Parts []struct {
			Text string `json:"text"`
		} `json:"parts"`
	} `json:"contents"`
	Config struct {
		MaxOutputTokens int      `json:"maxOutputTokens"`
		CandidateCount  int      `json:"candidateCount"`
		StopSequences   []string `json:"stopSequences"`
	} `json:"generationConfig"`
}

// gemini answers one request of the Gemini API by script.
func (s *Server) gemini(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var in geminiRequest
	err = json.Unmarshal(body, &in)
	req := in.request(body)
	req.Model, req.Stream, _ = geminiModel(r.URL.Path)
	req.Header = r.Header
	defer s.begin(r, req)()
	if err != nil || len(in.Contents) == 0 {
		geminiProblem(w, http.StatusBadRequest, "INVALID_ARGUMENT", "* GenerateContentRequest.contents: contents is not specified")
		return
	}
	script := s.script(&req)
	if script.Error == "" {
		script.Error = `{"code":503,"message":"The script says so.","status":"UNAVAILABLE"}`
	}
	p := &geminiPlay{newPlay(s, w, r, &req, script)}
	if s.options.Sleep(r.Context(), script.FirstDelay) != nil {
		return
	}
	switch {
	case script.Status != 0 && script.Body == "":
		if script.RetryAfter != "" {
			w.Header().Set("Retry-After", script.RetryAfter)
		}
		geminiProblem(w, script.Status, "SIM_ERROR", "The script says "+strconv.Itoa(script.Status)+".")
	case script.Status != 0:
		p.refuse()
	case req.Stream && !script.Plain:
		p.stream()
	default:
		p.whole()
	}
}

// request puts a generateContent request in the words of chat completions.
func (g *geminiRequest) request(body []byte) Request {
	req := Request{Body: body, MaxTokens: g.Config.MaxOutputTokens, N: g.Config.CandidateCount}
	if len(g.Config.StopSequences) > 0 {
		req.Stop, _ = json.Marshal(g.Config.StopSequences)
	}
	for _, c := range g.Contents {
		text := ""
		for _, p := range c.Parts {
			text += p.Text
		}
		said, _ := json.Marshal(text)
		role := "user"
		if c.Role == "model" {
			role = "assistant"
		}
		req.Messages = append(req.Messages, struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		}{role, said})
	}
	return req
}

func geminiProblem(w http.ResponseWriter, status int, word, message string) {
	answer(w, status, map[string]any{"error": map[string]any{"code": status, "message": message, "status": word}})
}

// geminiPlay is one answer in Gemini's shape.
type geminiPlay struct{ *play }

// geminiEvent is one response of a stream to come.
type geminiEvent struct {
	part   []byte // as JSON
	pieces int
	finish string
}

// geminiText makes a part of a text.
func geminiText(text string, thought bool) []byte {
	b := llm.AppendQuoted([]byte(`{"text":`), text)
	if thought {
		b = append(b, `,"thought":true`...)
	}
	return append(b, '}')
}

// events lists the responses: a part for each frame, whole calls, and the end.
func (p *geminiPlay) events() []geminiEvent {
	events := make([]geminiEvent, 0, len(p.frames)+1)
	calls := 0
	for _, f := range p.frames {
		if f.member == "" {
			calls += f.pieces
			continue
		}
		events = append(events, geminiEvent{part: geminiText(f.text, f.member == "reasoning_content"), pieces: f.pieces})
	}
	if p.finish != "length" { // calls have no pieces here: one that does not fit is not made
		for i, c := range p.Calls {
			part := append(llm.AppendQuoted([]byte(`{"functionCall":{"name":`), c.Name), `,"args":`...)
			if c.Arguments == "" {
				part = append(part, "{}"...)
			}
			e := geminiEvent{part: append(append(part, c.Arguments...), "}}"...)}
			if i == 0 {
				e.pieces = calls
			}
			events = append(events, e)
		}
	}
	if !p.NoFinish {
		events = append(events, geminiEvent{part: geminiText("", false), finish: p.reason()})
	}
	return events
}

// reason is the finish reason in Gemini's words.
func (p *geminiPlay) reason() string {
	switch p.finish {
	case "stop", "tool_calls":
		return "STOP"
	case "length":
		return "MAX_TOKENS"
	case "content_filter":
		return "SAFETY"
	}
	return p.finish
}

// response makes one response, with what was used so far. It is written by hand:
// as an upstream of benchmarks the sim has to cost little.
func (p *geminiPlay) response(parts []byte, finish string, output int, zero bool) []byte {
	b := append(make([]byte, 0, len(parts)+384), `{"candidates":[`...)
	for i := range max(p.req.N, 1) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"content":{"parts":[`...), parts...), `],"role":"model"},`...)
		if finish != "" {
			b = append(llm.AppendQuoted(append(b, `"finishReason":`...), finish), ',')
		}
		b = append(strconv.AppendInt(append(b, `"index":`...), int64(i), 10), '}')
	}
	b = append(b, ']')
	if p.Usage != Never {
		b = p.metadata(append(b, `,"usageMetadata":`...), output, zero)
	}
	b = llm.AppendQuoted(append(b, `,"modelVersion":`...), p.req.Model)
	return append(llm.AppendQuoted(append(b, `,"responseId":`...), strings.TrimPrefix(p.id, "chatcmpl-")), '}')
}

// metadata appends the usage: the cache is part of the prompt, thoughts are beside
// the candidates.
func (p *geminiPlay) metadata(b []byte, output int, zero bool) []byte {
	if zero {
		return append(b, `{"promptTokenCount":0,"totalTokenCount":0}`...)
	}
	mused := min(p.mused, output)
	b = strconv.AppendInt(append(b, `{"promptTokenCount":`...), int64(p.prompt), 10)
	b = strconv.AppendInt(append(b, `,"candidatesTokenCount":`...), int64(output-mused), 10)
	if p.Cached > 0 {
		b = strconv.AppendInt(append(b, `,"cachedContentTokenCount":`...), int64(min(p.Cached, p.prompt)), 10)
	}
	b = strconv.AppendInt(append(b, `,"thoughtsTokenCount":`...), int64(mused), 10)
	return append(strconv.AppendInt(append(b, `,"totalTokenCount":`...), int64(p.prompt+output), 10), '}')
}

// stream answers with events. Google ends its lines with CR LF, and a stream with
// nothing but its end.
func (p *geminiPlay) stream() {
	if p.Break == Reset && p.After == 0 {
		p.cut(true)
		return
	}
	p.w.Header().Set("Content-Type", p.kind("text/event-stream"))
	p.w.WriteHeader(200)
	p.CRLF = true
	events := p.events()
	for i, e := range events {
		if p.Break != None && i == p.After {
			if p.broken(); p.Break != Noise {
				return
			}
		}
		if i > 0 && p.server.options.Sleep(p.r.Context(), p.PieceDelay) != nil {
			return
		}
		p.sent += e.pieces * max(p.req.N, 1)
		if !p.send(p.response(e.part, e.finish, p.sent, p.Usage == ZeroFirst && e.finish == "")) {
			return
		}
	}
	if p.Break != None && p.Break != Noise {
		p.broken()
		return
	}
	if p.Usage != Never {
		p.tell(p.sent)
	}
}

// whole answers with one body.
func (p *geminiPlay) whole() {
	var parts []byte
	for _, e := range p.events() {
		if e.finish != "" {
			continue
		}
		if len(parts) > 0 {
			parts = append(parts, ',')
		}
		parts = append(parts, e.part...)
	}
	finish := p.reason()
	if p.NoFinish {
		finish = ""
	}
	output := p.output * max(p.req.N, 1)
	data := p.response(parts, finish, output, false)
	p.w.Header().Set("Content-Type", p.kind("application/json"))
	p.body(data, p.failure, output)
}
