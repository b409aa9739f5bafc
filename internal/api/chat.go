package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"onemind/internal/chat"
	"onemind/internal/fault"
	"onemind/internal/money"
	"onemind/internal/replay"
)

type sendIn struct {
	Conversation string       `json:"conversation_id,omitempty"`
	Prompt       string       `json:"prompt"`
	Models       []string     `json:"models"`
	Images       []string     `json:"images,omitempty"`
	MaxTokens    int64        `json:"max_tokens,omitempty"`
	MaxCost      money.Amount `json:"max_cost_nano_usd,omitempty"`
	Temperature  *float64     `json:"temperature,omitempty"`
	System       string       `json:"system,omitempty"`
	Substitutes  []string     `json:"substitutes,omitempty"` // may answer when a model cannot; left out: the catalog's
}

func (s *Server) prompt(r *http.Request, in sendIn) chat.Prompt {
	id := identityOf(r)
	return chat.Prompt{User: id.User.ID, Plan: s.planOf(id.User), RequestID: requestID(r), Key: r.Header.Get("Idempotency-Key"),
		Conversation: in.Conversation, Text: in.Prompt, Models: in.Models, Images: in.Images, System: in.System,
		MaxTokens: in.MaxTokens, MaxCost: in.MaxCost, Temperature: in.Temperature, Substitutes: in.Substitutes}
}

// needKey insists on an idempotency key where a repeated request would spend or grant twice.
func needKey(r *http.Request) error {
	if r.Header.Get("Idempotency-Key") == "" {
		return fault.New(fault.Required, "idempotency_key_required", "Send an Idempotency-Key header, so that a repeated request counts once.")
	}
	return nil
}

func (s *Server) createRun(w http.ResponseWriter, r *http.Request) error {
	if err := needKey(r); err != nil {
		return err
	}
	var in sendIn
	if err := decode(w, r, &in); err != nil {
		return err
	}
	sent, err := s.Chats.Send(r.Context(), s.prompt(r, in))
	return s.sent(w, sent, err)
}

func (s *Server) retryAnswer(w http.ResponseWriter, r *http.Request) error {
	if err := needKey(r); err != nil {
		return err
	}
	var in struct {
		Answer string   `json:"answer"`
		Models []string `json:"models,omitempty"`
	}
	if err := decode(w, r, &in); err != nil {
		return err
	}
	sent, err := s.Chats.Retry(r.Context(), s.prompt(r, sendIn{Models: in.Models}), r.PathValue("id"), in.Answer)
	return s.sent(w, sent, err)
}

func (s *Server) sent(w http.ResponseWriter, sent chat.Sent, err error) error {
	rateHeaders(w.Header(), sent.Verdict)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if sent.Created {
		status = http.StatusCreated
	}
	return send(w, status, s.runOf(sent.Run))
}

func (s *Server) estimateRun(w http.ResponseWriter, r *http.Request) error {
	var in sendIn
	if err := decode(w, r, &in); err != nil {
		return err
	}
	e, err := s.Chats.Estimate(r.Context(), s.prompt(r, in))
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, e)
}

type answerError struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	Retryable  bool   `json:"retryable"`
	RetryAfter int64  `json:"retry_after,omitempty"`
}

type answer struct {
	ID           string        `json:"id"`
	Model        string        `json:"model"`
	ModelName    string        `json:"model_name"`
	State        chat.State    `json:"state"`
	Text         string        `json:"text"`
	Reasoning    string        `json:"reasoning,omitempty"`
	FinishReason string        `json:"finish_reason,omitempty"`
	Error        *answerError  `json:"error,omitempty"`
	Usage        *chat.Usage   `json:"usage,omitempty"`
	Charge       *money.Amount `json:"charge_nano_usd,omitempty"`
	Receipt      string        `json:"receipt_id,omitempty"`
	CreatedAt    time.Time     `json:"created_at"`
	FirstTokenMS int64         `json:"first_token_ms,omitempty"`
	TotalMS      int64         `json:"total_ms,omitempty"`
	ServedBy     string        `json:"served_by,omitempty"` // the model that answered instead
	ServedByName string        `json:"served_by_name,omitempty"`
	Code         string        `json:"substitute_code,omitempty"` // why it had to
	Queue        *queue        `json:"queue,omitempty"`
}

// queue is where an answer stands that waits for a place at its provider.
type queue struct {
	Place    int   `json:"place"`
	Estimate int64 `json:"estimate_ms"`
}

type run struct {
	ID           string     `json:"id"`
	Conversation string     `json:"conversation_id"`
	State        string     `json:"state"`
	Prompt       string     `json:"prompt"`
	Images       []string   `json:"images"`
	System       string     `json:"system,omitempty"`
	RetryOf      string     `json:"retry_of,omitempty"`
	CreatedAt    time.Time  `json:"created_at"`
	FinishedAt   *time.Time `json:"finished_at,omitempty"`
	Seq          int64      `json:"seq"`
	Answers      []answer   `json:"answers"`
	Selected     []string   `json:"selected"`
}

func (s *Server) runOf(r chat.Run) run {
	out := run{ID: r.ID, Conversation: r.Conversation, State: "running", Prompt: r.Prompt, Images: notNil(r.Images), System: r.System,
		RetryOf: r.RetryOf, CreatedAt: r.CreatedAt, Seq: r.Seq, Answers: []answer{}, Selected: notNil(r.Selected)}
	if !r.FinishedAt.IsZero() {
		out.State, out.FinishedAt = "finished", &r.FinishedAt
	}
	for _, a := range r.Answers {
		v := answer{ID: a.ID, Model: a.Model, ModelName: a.ModelName, State: a.State, Text: a.Text, Reasoning: a.Reasoning,
			FinishReason: a.FinishReason, CreatedAt: a.CreatedAt, FirstTokenMS: a.FirstTokenMS, TotalMS: a.TotalMS,
			ServedBy: a.ServedBy, Code: a.SubstituteCode}
		if a.ServedBy != "" {
			v.ServedByName = s.modelName(a.ServedBy)
		}
		if a.Place > 0 {
			v.Queue = &queue{a.Place, a.WaitMS}
		}
		if a.ErrorCode != "" {
			v.Error = &answerError{a.ErrorCode, a.ErrorText, a.Retryable, a.RetryAfter}
		}
		if a.State == chat.Done || a.State == chat.Stopped || a.State == chat.Failed {
			v.Usage, v.Charge, v.Receipt = chat.UsageOf(a.Tokens, a.Estimated), &a.Charge, a.ID
		}
		out.Answers = append(out.Answers, v)
	}
	return out
}

// modelName is a model's name for people.
func (s *Server) modelName(id string) string {
	if m := s.Catalog.Snapshot().Model(id); m != nil {
		return m.Name
	}
	return id
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (s *Server) getRun(w http.ResponseWriter, r *http.Request) error {
	found, err := s.Chats.Run(r.Context(), userOf(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, s.runOf(found))
}

func (s *Server) stopRun(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Answer string `json:"answer,omitempty"`
	}
	if r.ContentLength != 0 {
		if err := decode(w, r, &in); err != nil {
			return err
		}
	}
	stopped, err := s.Chats.Stop(r.Context(), userOf(r), r.PathValue("id"), in.Answer)
	if err != nil {
		return err
	}
	return send(w, http.StatusAccepted, s.runOf(stopped))
}

// runEvents streams a run's events from any number on.
func (s *Server) runEvents(w http.ResponseWriter, r *http.Request) error {
	after, err := afterOf(r)
	if err != nil {
		return err
	}
	sse := newEventWriter(w)
	ctx, cancel := s.untilClose(r.Context())
	defer cancel()
	err = s.Chats.Follow(ctx, userOf(r), r.PathValue("id"), replay.Reader{After: after, Every: heartbeat,
		Idle: func() error { return sse.comment("keep-alive") },
		Emit: func(events []replay.Event) error {
			for i, e := range events {
				if err := sse.event(strconv.AppendInt(nil, e.Seq, 10), e.Data, i < len(events)-1); err != nil {
					return err
				}
			}
			return nil
		}})
	if err != nil && !sse.started && ctx.Err() == nil {
		return err
	}
	if err == nil && !sse.started {
		return sse.comment("nothing new") // the reader had seen everything
	}
	return nil // the reader is gone, or goes on elsewhere
}

// untilClose gives a context that also ends when the server lets streams go.
func (s *Server) untilClose(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	go func() {
		select {
		case <-s.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// afterOf reads where a reader goes on: Last-Event-ID, else ?after=.
func afterOf(r *http.Request) (int64, error) {
	text := r.Header.Get("Last-Event-ID")
	name := "Last-Event-ID"
	if text == "" {
		text, name = r.URL.Query().Get("after"), "after"
	}
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fault.Field(name, "must be the number of an event")
	}
	return n, nil
}

type conversation struct {
	ID        string    `json:"id"`
	Title     string    `json:"title"`
	Pinned    bool      `json:"pinned"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Models    []string  `json:"models"`
	Snippet   string    `json:"snippet,omitempty"`
	Runs      []run     `json:"runs,omitempty"`
}

func conversationOf(c chat.Conversation) conversation {
	return conversation{ID: c.ID, Title: c.Title, Pinned: c.Pinned, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, Models: notNil(c.Models), Snippet: c.Snippet}
}

func (s *Server) listConversations(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	query, err := queryOf(r)
	if err != nil {
		return err
	}
	list, next, err := s.Chats.List(r.Context(), userOf(r), chat.Page{Query: query, Cursor: r.URL.Query().Get("cursor"), Limit: min(limit, 100)})
	if err != nil {
		return err
	}
	out := page[conversation]{Items: []conversation{}, Next: next}
	for _, c := range list {
		out.Items = append(out.Items, conversationOf(c))
	}
	return send(w, http.StatusOK, out)
}

func (s *Server) createConversation(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Title string `json:"title,omitempty"`
	}
	if err := decode(w, r, &in); err != nil {
		return err
	}
	c, err := s.Chats.Create(r.Context(), userOf(r), in.Title, time.Now())
	if err != nil {
		return err
	}
	return send(w, http.StatusCreated, conversationOf(c))
}

func (s *Server) getConversation(w http.ResponseWriter, r *http.Request) error {
	c, runs, err := s.Chats.Conversation(r.Context(), userOf(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	out := struct {
		conversation
		Runs []run `json:"runs"`
	}{conversationOf(c), []run{}}
	for _, x := range runs {
		out.Runs = append(out.Runs, s.runOf(x))
	}
	return send(w, http.StatusOK, out)
}

func (s *Server) updateConversation(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Title  *string `json:"title"`
		Pinned *bool   `json:"pinned"`
	}
	if err := decode(w, r, &in); err != nil {
		return err
	}
	c, err := s.Chats.Update(r.Context(), userOf(r), r.PathValue("id"), in.Title, in.Pinned)
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, conversationOf(c))
}

func (s *Server) deleteConversation(w http.ResponseWriter, r *http.Request) error {
	if err := s.Chats.Delete(r.Context(), userOf(r), r.PathValue("id")); err != nil {
		return err
	}
	return none(w)
}

func (s *Server) selectAnswers(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Answers []string `json:"answers"`
	}
	if err := decode(w, r, &in); err != nil {
		return err
	}
	got, err := s.Chats.Select(r.Context(), userOf(r), r.PathValue("id"), r.PathValue("run"), in.Answers)
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, s.runOf(got))
}
