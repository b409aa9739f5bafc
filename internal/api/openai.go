package api

import (
	"encoding/json"
	"net/http"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/credit"
	"onemind/internal/llm/openai"
)

// chatCompletions is OpenAI's POST /v1/chat/completions.
func (s *Server) chatCompletions(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, maxChatBody)
	if err != nil {
		return err
	}
	in, err := openai.Parse(body)
	if err != nil {
		return err
	}
	return s.complete(w, r, in, openai.NewEncoder(requestID(r), &in.Request))
}

func publicReceipt(r credit.Receipt) []byte {
	b, _ := json.Marshal(r.Public()) //nolint:errchkjson // plain values
	return b
}

// model is an entry of GET /v1/models: what OpenAI's clients read, and beside it
// what Anthropic's do.
type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`

	Type      string    `json:"type"`
	Name      string    `json:"display_name"`
	CreatedAt time.Time `json:"created_at"`
}

func modelOf(m catalog.Listed) model {
	return model{ID: m.ID, Object: "model", Created: m.Since.Unix(), OwnedBy: m.Provider, Type: "model", Name: m.Name, CreatedAt: m.Since.UTC()}
}

// models is the list of GET /v1/models, for both.
type models struct {
	Object  string  `json:"object"`
	Data    []model `json:"data"`
	HasMore bool    `json:"has_more"`
	First   string  `json:"first_id,omitempty"`
	Last    string  `json:"last_id,omitempty"`
}

// listModels lists the models this user may call now.
func (s *Server) listModels(w http.ResponseWriter, r *http.Request) error {
	snap, plan := s.Catalog.Snapshot(), s.planOf(identityOf(r).User)
	list := models{Object: "list", Data: []model{}}
	for _, m := range snap.Models() {
		if m.Available && snap.PlanAllows(plan, m.ID) {
			list.Data = append(list.Data, modelOf(m))
		}
	}
	if n := len(list.Data); n > 0 {
		list.First, list.Last = list.Data[0].ID, list.Data[n-1].ID
	}
	return send(w, http.StatusOK, list)
}

func (s *Server) getModel(w http.ResponseWriter, r *http.Request) error {
	snap := s.Catalog.Snapshot()
	route, err := snap.Route(r.PathValue("id"))
	if err != nil {
		return err
	}
	for _, m := range snap.Models() {
		if m.ID == route.Model.ID {
			return send(w, http.StatusOK, modelOf(m))
		}
	}
	return send(w, http.StatusOK, modelOf(catalog.Listed{ID: route.Model.ID, Name: route.Model.Name, Provider: route.Provider.ID, Since: route.Model.Prices[0].CreatedAt}))
}

// receipt shows what one answer cost and why, by its id or its request's. It is
// signed, so that it can be checked without us.
func (s *Server) receipt(w http.ResponseWriter, r *http.Request) error {
	rec, err := s.Ledger.Receipt(r.Context(), userOf(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	doc, err := credit.Signed(rec, s.Sign)
	if err != nil { // an amount beyond what JSON's readers agree on: it stands unsigned
		return send(w, http.StatusOK, rec.Public())
	}
	return sendJSON(w, doc)
}

// receiptKeys gives the public keys that check receipts.
func (s *Server) receiptKeys(w http.ResponseWriter, _ *http.Request) error {
	return sendJSON(w, s.Keys)
}
