// Package chat is what people do: conversations, and runs that put one prompt to
// several models at once. A run belongs to the server: closing a tab does not
// end it, Stop does. How one call is admitted, priced and settled is gateway's
// business.
package chat

import (
	"context"
	"time"

	"onemind/internal/fault"
	"onemind/internal/money"
)

// The refusals callers can tell apart.
var (
	ErrNoConversation = fault.New(fault.NotFound, "conversation_unknown", "There is no such conversation.")
	ErrNoRun          = fault.New(fault.NotFound, "run_unknown", "There is no such run.")
	ErrNoAnswer       = fault.New(fault.NotFound, "answer_unknown", "There is no such answer in this run.")
	ErrReused         = fault.New(fault.Conflict, "idempotency_key_reused", "This idempotency key was used for a different request.")
)

// MaxModels is how many models one run may ask.
const MaxModels = 15

// Conversation is runs in order.
type Conversation struct {
	ID        string
	User      string
	Title     string
	Pinned    bool
	CreatedAt time.Time
	UpdatedAt time.Time
	Models    []string // of its newest run
	Snippet   string   // where a search matched; empty otherwise
}

// Run is one prompt sent to some models, with one answer per model.
type Run struct {
	ID           string
	Conversation string
	User         string
	Key          string // idempotency key, unique per user; empty: none
	Digest       string // SHA-256 of the request, to tell a retry from a reuse of Key
	Owner        string // boot id of the instance that serves it
	Prompt       string
	Images       []string // data URLs
	System       string
	MaxTokens    int64        // 0: none asked
	MaxCost      money.Amount // 0: none asked; for all models together
	Temperature  *float64
	RetryOf      string   // answer id this run asks again, if any
	Selected     []string // answers that feed the next run; empty: each model its own
	CreatedAt    time.Time
	FinishedAt   time.Time // zero: running
	Answers      []Answer
	Seq          int64 // number of the last event; filled in when read live
}

// State is where an answer stands.
type State string

// The states of an answer.
const (
	Waiting   State = "waiting"
	Streaming State = "streaming"
	Done      State = "finished"
	Stopped   State = "stopped"
	Failed    State = "failed"
)

// Answer is one model's answer.
type Answer struct {
	ID           string
	Run          string
	Model        string
	ModelName    string
	ServedBy     string // the model that answered instead; empty: the one asked
	State        State
	Text         string
	Reasoning    string
	FinishReason string
	ErrorCode    string
	ErrorText    string
	Retryable    bool
	RetryAfter   int64 // seconds
	Tokens       money.Tokens
	Estimated    bool
	Charge       money.Amount
	CreatedAt    time.Time
	FirstTokenMS int64
	TotalMS      int64

	SubstituteCode string // why ServedBy had to

	Place  int   // in its provider's queue while it waits there; live only
	WaitMS int64 // estimate until its turn

	// Known after a replay only: whether the answer's terminal event is in the
	// run's log, and how much of text and reasoning is.
	logged                      bool
	loggedText, loggedReasoning int
}

// Page asks for a part of a list of conversations.
type Page struct {
	Query  string // words to find in titles, prompts and answers
	Cursor string // opaque, from the last page
	Limit  int    // 1 to 100
}

// A Store remembers conversations and runs. Everything is reached through the
// user's id. One method is one transaction.
type Store interface {
	CreateConversation(ctx context.Context, c Conversation) error
	// Conversation reports ErrNoConversation when it is not the user's.
	Conversation(ctx context.Context, user, id string) (Conversation, error)
	// Conversations lists pinned ones first, then by last update; it gives the next cursor.
	Conversations(ctx context.Context, user string, p Page) ([]Conversation, string, error)
	// UpdateConversation replaces title and pinned.
	UpdateConversation(ctx context.Context, c Conversation) error
	DeleteConversation(ctx context.Context, user, id string) error
	// Runs gives a conversation's runs with answers, oldest first.
	Runs(ctx context.Context, user, conversation string) ([]Run, error)

	// CreateRun stores the run with its waiting answers and touches the
	// conversation; when newConversation is set it is created in the same act. If the user used
	// r.Key before, nothing is stored and that run comes back with created=false.
	CreateRun(ctx context.Context, r Run, newConversation *Conversation) (stored Run, created bool, err error)
	// RunByKey gives the run the user made with an idempotency key, or ErrNoRun.
	RunByKey(ctx context.Context, user, key string) (Run, error)
	// Run gives a run with its answers, or ErrNoRun. An empty user means any: for recovery.
	Run(ctx context.Context, user, id string) (Run, error)
	// FinishAnswer replaces an answer's state, text and figures.
	FinishAnswer(ctx context.Context, a Answer) error
	// FinishRun sets FinishedAt.
	FinishRun(ctx context.Context, run string, at time.Time) error
	// Select replaces the run's selected answers.
	Select(ctx context.Context, user, run string, answers []string) error
	// Unfinished lists runs that never finished, oldest first, without those of owner.
	Unfinished(ctx context.Context, owner string) ([]Run, error)
}
