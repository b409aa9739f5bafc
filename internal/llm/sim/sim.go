// Package sim is a scripted upstream: a real HTTP handler that speaks OpenAI's
// chat completions and does, on request, everything that providers do wrong. It
// is what tests and benchmarks call, and, as the demo model, what OneMind
// answers with before any provider's key is set. A token is a piece of a text
// here, so that usage is exact.
package sim

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options say how a Server answers.
type Options struct {
	Scripts map[string]Script                          // by the model's name
	Choose  func(*Request) Script                      // for any other; nil: the zero Script
	Models  []string                                   // listed by /models beside the scripted ones
	Now     func() time.Time                           // for the created field; nil: the real time
	Sleep   func(context.Context, time.Duration) error // nil: a timer
}

// Request is what a call asked for.
type Request struct {
	Model    string `json:"model"`
	Stream   bool   `json:"stream"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	MaxTokens           int             `json:"max_tokens"`
	MaxCompletionTokens int             `json:"max_completion_tokens"`
	N                   int             `json:"n"`
	Stop                json.RawMessage `json:"stop"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`

	Body   []byte      `json:"-"` // as it came
	Header http.Header `json:"-"`
}

// Server answers chat requests by script. Use it as an http.Handler.
type Server struct {
	options Options

	mu      sync.Mutex
	changed chan struct{} // somebody waits: closed when a number below changes
	counts  Counts
	last    Request
}

// Counts are what a Server has seen.
type Counts struct {
	Calls     int // begun
	Open      int // not ended yet
	Cancelled int // ended because the client was gone
	Events    int // events written
}

// New returns a Server.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return &Server{options: o}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Counts gives the numbers so far.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Last gives the request that came last.
func (s *Server) Last() Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Wait returns when the numbers are as ok wants them, or with ctx's error.
func (s *Server) Wait(ctx context.Context, ok func(Counts) bool) error {
	for {
		s.mu.Lock()
		done := ok(s.counts)
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (s *Server) note(change func(*Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.counts)
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// ServeHTTP answers /chat/completions and /models, with or without /v1, and the
// native addresses of other dialects.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := strings.TrimPrefix(r.URL.Path, "/v1"); {
	case path == "/chat/completions" && r.Method == http.MethodPost:
		s.complete(w, r)
	case path == "/messages" && r.Method == http.MethodPost:
		s.messages(w, r)
	case path == "/models" && r.Method == http.MethodGet:
		s.models(w)
	case r.Method == http.MethodPost && operation(path) != nil:
		s.operate(w, r, operation(path))
	case r.Method == http.MethodPost && isGemini(r.URL.Path):
		s.gemini(w, r)
	default:
		problem(w, http.StatusNotFound, "invalid_request_error", "unknown_url", "Unknown request URL: "+r.Method+" "+r.URL.Path)
	}
}

// models lists what can be asked for.
func (s *Server) models(w http.ResponseWriter) {
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		OwnedBy string `json:"owned_by"`
	}
	names := slices.Clone(s.options.Models)
	for name := range s.options.Scripts {
		names = append(names, name)
	}
	slices.Sort(names)
	list := []model{}
	for _, name := range names {
		list = append(list, model{name, "model", 1_700_000_000, "onemind-sim"})
	}
	answer(w, http.StatusOK, map[string]any{"object": "list", "data": list})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

func problem(w http.ResponseWriter, status int, kind, code, message string) {
	answer(w, status, map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": code}})
}

// begin counts a call; what it gives has to be called at its end.
func (s *Server) begin(r *http.Request, req Request) (end func()) {
	s.mu.Lock()
	s.last = req
	s.mu.Unlock()
	s.note(func(c *Counts) { c.Calls++; c.Open++ })
	return func() {
		gone := r.Context().Err() != nil
		s.note(func(c *Counts) {
			c.Open--
			if gone {
				c.Cancelled++
			}
		})
	}
}

// script finds how a request is answered.
func (s *Server) script(req *Request) Script {
	script, ok := s.options.Scripts[req.Model]
	if !ok && s.options.Choose != nil {
		script = s.options.Choose(req)
	}
	return script
}

// complete answers one chat request.
func (s *Server) complete(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	req := Request{Body: body, Header: r.Header}
	err = json.Unmarshal(body, &req)
	defer s.begin(r, req)()
	if err != nil || len(req.Messages) == 0 {
		problem(w, http.StatusBadRequest, "invalid_request_error", "invalid_request", "The request is no chat request.")
		return
	}
	script := s.script(&req)
	p := newPlay(s, w, r, &req, script)
	if s.options.Sleep(r.Context(), script.FirstDelay) != nil {
		return
	}
	switch {
	case script.Status != 0:
		p.refuse()
	case req.Stream && !script.Plain:
		p.stream()
	default:
		p.whole()
	}
}

// Question gives the text of the last message of the user.
func (r *Request) Question() string {
	for _, m := range slices.Backward(r.Messages) {
		if m.Role == "user" {
			return contentText(m.Content)
		}
	}
	return ""
}

// contentText gives the text of a content: a string, or the text of its parts.
func contentText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var parts []struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(raw, &parts)
	for _, p := range parts {
		text += p.Text
	}
	return text
}

// tokens counts the request's pieces.
func (r *Request) tokens() int {
	n := 0
	for _, m := range r.Messages {
		n += len(Pieces(contentText(m.Content)))
	}
	return max(n, 1)
}

// limit gives the output tokens the request allows, 0 for any.
func (r *Request) limit() int { return max(r.MaxTokens, r.MaxCompletionTokens) }

// stops lists the request's stop sequences.
func (r *Request) stops() []string {
	var one string
	if json.Unmarshal(r.Stop, &one) == nil && one != "" {
		return []string{one}
	}
	var many []string
	_ = json.Unmarshal(r.Stop, &many)
	return many
}
