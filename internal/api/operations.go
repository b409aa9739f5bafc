package api

import (
	"net/http"

	"onemind/internal/llm/openai"
)

// createEmbeddings is OpenAI's POST /v1/embeddings.
func (s *Server) createEmbeddings(w http.ResponseWriter, r *http.Request) error {
	return s.operate(w, r, openai.ParseEmbeddings)
}

// createImages is OpenAI's POST /v1/images/generations.
func (s *Server) createImages(w http.ResponseWriter, r *http.Request) error {
	return s.operate(w, r, openai.ParseImages)
}

// createTranscription is OpenAI's POST /v1/audio/transcriptions.
func (s *Server) createTranscription(w http.ResponseWriter, r *http.Request) error {
	return s.operate(w, r, func(body []byte) (openai.Request, error) {
		return openai.ParseTranscription(r.Header.Get("Content-Type"), body)
	})
}

// operate makes a call that is no chat: passed to a provider that has it.
func (s *Server) operate(w http.ResponseWriter, r *http.Request, parse func([]byte) (openai.Request, error)) error {
	body, err := readBody(w, r, maxChatBody)
	if err != nil {
		return err
	}
	in, err := parse(body)
	if err != nil {
		return err
	}
	return s.complete(w, r, in, openai.NewEncoder(requestID(r), &in.Request))
}
