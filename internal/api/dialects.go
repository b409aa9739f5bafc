package api

import (
	"net/http"
	"net/url"
	"strings"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/gemini"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/responses"
)

// dialectOf gives an encoder for the errors of an address, where no answer is.
func dialectOf(path string) encoder {
	switch {
	case strings.HasPrefix(path, "/v1/responses"):
		return responses.NewEncoder("", "", []byte("{}"))
	case strings.HasPrefix(path, "/v1/messages"):
		return anthropic.NewEncoder("", "")
	case strings.HasPrefix(path, "/v1beta/"):
		return gemini.NewEncoder("", "", false)
	}
	return openai.NewEncoder("", &llm.Request{})
}

// failIn answers with an error in a dialect's shape.
func (s *Server) failIn(e encoder) func(http.ResponseWriter, *http.Request, error) {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		f := fault.From(err)
		status := s.report(w, r, f)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(e.Error(f, status)) // the reader may be gone
	}
}

// neutral reads the chat request that a dialect made of its own.
func neutral(chat []byte, native *llm.Native) (openai.Request, error) {
	in, err := openai.Parse(chat)
	in.Native = native
	return in, err
}

// createResponse is OpenAI's POST /v1/responses.
func (s *Server) createResponse(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, maxChatBody)
	if err != nil {
		return err
	}
	chat, err := responses.Parse(body)
	if err != nil {
		return err
	}
	in, err := neutral(chat, nil)
	if err != nil {
		return err
	}
	return s.complete(w, r, in, responses.NewEncoder(requestID(r), in.Model, body))
}

// readMessage reads a request of Anthropic's Messages.
func readMessage(w http.ResponseWriter, r *http.Request, parse func([]byte) ([]byte, []string, error)) (openai.Request, error) {
	body, err := readBody(w, r, maxChatBody)
	if err != nil {
		return openai.Request{}, err
	}
	chat, only, err := parse(body)
	if err != nil {
		return openai.Request{}, err
	}
	return neutral(chat, &llm.Native{Protocol: "anthropic", Body: body, Only: only})
}

// createMessage is Anthropic's POST /v1/messages.
func (s *Server) createMessage(w http.ResponseWriter, r *http.Request) error {
	in, err := readMessage(w, r, anthropic.Parse)
	if err != nil {
		return err
	}
	return s.complete(w, r, in, anthropic.NewEncoder(strings.TrimPrefix(requestID(r), "req_"), in.Model))
}

// countMessage is Anthropic's POST /v1/messages/count_tokens: our own count,
// which costs nothing and asks nobody.
func (s *Server) countMessage(w http.ResponseWriter, r *http.Request) error {
	in, err := readMessage(w, r, anthropic.ParseCount)
	if err != nil {
		return err
	}
	return s.counted(w, in, anthropic.CountTokensResponse)
}

func (s *Server) counted(w http.ResponseWriter, in openai.Request, write func(int64) []byte) error {
	if _, err := s.Catalog.Snapshot().Route(in.Model); err != nil && !fault.Is(err, fault.Unavailable) {
		return err
	}
	return sendJSON(w, write(s.Engine.Count(&in.Request)))
}

// geminiCall is Gemini's POST /v1beta/models/{model}:{method}.
func (s *Server) geminiCall(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("call")
	at := strings.LastIndexByte(name, ':')
	if at < 0 {
		return fault.New(fault.NotFound, "route_unknown", "There is nothing at %s %s.", r.Method, r.URL.Path)
	}
	model, method := name[:at], name[at+1:]
	stream := method == "streamGenerateContent"
	if !stream && method != "generateContent" && method != "countTokens" {
		return fault.New(fault.NotFound, "method_unknown", "The method %q is not offered here; generateContent, streamGenerateContent and countTokens are.", method)
	}
	body, err := readBody(w, r, maxChatBody)
	if err != nil {
		return err
	}
	if method == "countTokens" {
		chat, err := gemini.ParseCount(model, body)
		if err != nil {
			return err
		}
		in, err := neutral(chat, nil)
		if err != nil {
			return err
		}
		return s.counted(w, in, gemini.CountTokensResponse)
	}
	chat, only, err := gemini.Parse(model, stream, body)
	if err != nil {
		return err
	}
	in, err := neutral(chat, &llm.Native{Protocol: "gemini", Body: body, Only: only})
	if err != nil {
		return err
	}
	query, _ := url.ParseQuery(r.URL.RawQuery) // what cannot be read is not alt=sse
	return s.complete(w, r, in, gemini.NewEncoder(requestID(r), in.Model, stream && query.Get("alt") != "sse"))
}

// geminiModels is Gemini's GET /v1beta/models.
func (s *Server) geminiModels(w http.ResponseWriter, r *http.Request) error {
	snap, plan := s.Catalog.Snapshot(), s.planOf(identityOf(r).User)
	list := []gemini.ModelInfo{}
	for _, m := range snap.Models() {
		if m.Available && snap.PlanAllows(plan, m.ID) {
			list = append(list, gemini.ModelInfo{ID: m.ID, Name: m.Name, Input: m.ContextWindow, Output: m.MaxOutput})
		}
	}
	return sendJSON(w, gemini.ListModels(list))
}

// geminiModel is Gemini's GET /v1beta/models/{model}.
func (s *Server) geminiModel(w http.ResponseWriter, r *http.Request) error {
	route, err := s.Catalog.Snapshot().Route(r.PathValue("id"))
	if err != nil {
		return err
	}
	m := route.Model
	return sendJSON(w, gemini.Model(gemini.ModelInfo{ID: m.ID, Name: m.Name, Input: m.ContextWindow, Output: m.MaxOutput}))
}
