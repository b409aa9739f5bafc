package chat

import (
	"encoding/json"
	"time"

	"onemind/internal/credit"
	"onemind/internal/gateway"
	"onemind/internal/money"
	"onemind/internal/replay"
	"onemind/internal/upstream"
)

// Event is one run event as it goes over the wire (product.md section 7). Fields
// that a type does not have are left out.
type Event struct {
	Seq          int64           `json:"seq"`
	Type         string          `json:"type"`
	Run          string          `json:"run"`
	Conversation string          `json:"conversation,omitempty"`
	Answers      []EventAnswer   `json:"answers,omitempty"`
	Answer       string          `json:"answer,omitempty"`
	Text         string          `json:"text,omitempty"`
	Reasoning    string          `json:"reasoning,omitempty"`
	FinishReason string          `json:"finish_reason,omitempty"`
	Usage        *Usage          `json:"usage,omitempty"`
	Receipt      *credit.Receipt `json:"receipt,omitempty"`
	Code         string          `json:"code,omitempty"`
	Message      string          `json:"message,omitempty"`
	Retryable    *bool           `json:"retryable,omitempty"`
	RetryAfter   int64           `json:"retry_after,omitempty"` // seconds

	Place     *int   `json:"place,omitempty"`       // in the provider's queue; 0 ends the waiting
	Estimate  int64  `json:"estimate_ms,omitempty"` // until its turn
	Attempt   int    `json:"attempt,omitempty"`     // number of the attempt that begins
	Model     string `json:"model,omitempty"`       // that answers instead
	ModelName string `json:"model_name,omitempty"`
}

// EventAnswer introduces an answer in run.started.
type EventAnswer struct {
	ID        string `json:"id"`
	Model     string `json:"model"`
	ModelName string `json:"model_name"`
}

// Usage is what one answer used, as people read it: all input, all output.
type Usage struct {
	Input       int64 `json:"input_tokens"`
	CachedInput int64 `json:"cached_input_tokens"`
	Output      int64 `json:"output_tokens"`
	Reasoning   int64 `json:"reasoning_tokens"`
	Estimated   bool  `json:"estimated"`
}

// UsageOf sums the disjoint classes for display.
func UsageOf(t money.Tokens, estimated bool) *Usage {
	return &Usage{Input: t.Input + t.CachedInput + t.CacheWrite, CachedInput: t.CachedInput,
		Output: t.Output + t.Reasoning, Reasoning: t.Reasoning, Estimated: estimated}
}

// The types of run events.
const (
	runStarted     = "run.started"
	answerStarted  = "answer.started"
	answerQueued   = "answer.queued"
	answerRetrying = "answer.retrying"
	answerServedBy = "answer.substituted"
	answerDelta    = "answer.delta"
	answerFinished = "answer.finished"
	answerFailed   = "answer.failed"
	runFinished    = "run.finished"
)

// news writes the event of what goes on while an answer waits.
func news(a Answer, n gateway.Notice) Event {
	e := Event{Run: a.Run, Answer: a.ID}
	switch n.Kind {
	case upstream.Queued:
		e.Type, e.Place, e.Estimate = answerQueued, &n.Place, n.Estimate.Milliseconds()
	case upstream.Retrying:
		e.Type, e.Attempt, e.Code = answerRetrying, n.Attempt, n.Code
	case upstream.Substituted:
		e.Type, e.Model, e.ModelName, e.Code = answerServedBy, n.Model, n.Name, n.Code
	}
	return e
}

// numbered gives the function that writes the event once its number is known.
func (e Event) numbered() func(int64) replay.Event {
	return func(seq int64) replay.Event {
		e.Seq = seq
		data, _ := json.Marshal(e) //nolint:errchkjson // strings and numbers only
		return replay.Event{Seq: seq, Data: data, Last: e.Type == runFinished}
	}
}

// terminal writes the event that ends an answer.
func terminal(a Answer, receipt *credit.Receipt) Event {
	e := Event{Run: a.Run, Answer: a.ID}
	if receipt != nil {
		public := receipt.Public()
		e.Receipt = &public
	}
	if a.State == Failed {
		e.Type, e.Code, e.Message, e.Retryable, e.RetryAfter = answerFailed, a.ErrorCode, a.ErrorText, &a.Retryable, a.RetryAfter
		return e
	}
	e.Type, e.FinishReason, e.Usage = answerFinished, a.FinishReason, UsageOf(a.Tokens, a.Estimated)
	return e
}

// apply brings a run up to an event. It is how the live state is kept and how a
// run is put together again after a crash.
func (r *Run) apply(e Event, at time.Time) {
	r.Seq = e.Seq
	if e.Type == runFinished {
		r.FinishedAt = at
		return
	}
	a := r.answer(e.Answer)
	if a == nil {
		return
	}
	switch e.Type {
	case answerStarted:
		a.State = Streaming
	case answerQueued:
		a.Place, a.WaitMS = 0, e.Estimate
		if e.Place != nil {
			a.Place = *e.Place
		}
	case answerServedBy:
		a.ServedBy, a.SubstituteCode = e.Model, e.Code
	case answerDelta:
		a.Place, a.WaitMS = 0, 0
		a.Text += e.Text
		a.Reasoning += e.Reasoning
	}
}
