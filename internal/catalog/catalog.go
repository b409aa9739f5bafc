// Package catalog holds everything the business changes while OneMind runs:
// models, prices, providers, plans and settings, as one document with a
// revision. A snapshot is immutable and read without a lock; an edit validates
// the whole draft and becomes the next revision or nothing. Provider keys are
// sealed before they get here and are no part of a document.
package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/money"
)

// The refusals callers can tell apart.
var (
	ErrStale    = fault.New(fault.Stale, "revision_stale", "Someone else changed the configuration since you read it.")
	ErrNotFound = fault.New(fault.NotFound, "not_found", "There is no such entry in the catalog.")
	ErrReadOnly = fault.New(fault.Conflict, "catalog_builtin", "The built-in catalog is served (ONEMIND_CONFIG_SOURCE=builtin); it cannot be changed.")
)

// Document is the whole configuration of one revision, sorted by id.
type Document struct {
	Providers []Provider `json:"providers"`
	Models    []Model    `json:"models"`
	Plans     []Plan     `json:"plans"`
	Settings  Settings   `json:"settings"`
}

// Provider is an API that serves models (a row of provider_config).
type Provider struct {
	ID             string   `json:"id"`
	Name           string   `json:"name"`
	Protocol       string   `json:"protocol"` // openai, anthropic, gemini or demo
	BaseURL        string   `json:"base_url"`
	KeyEnv         string   `json:"api_key_env,omitempty"` // environment variable that may hold the key
	Keyless        bool     `json:"keyless,omitempty"`     // works without a key
	Enabled        bool     `json:"enabled"`
	AllowPrivate   bool     `json:"allow_private_address"`
	MaxConcurrency int      `json:"max_concurrency"` // answers at once; 0: no bound
	MaxWaiting     int      `json:"max_waiting"`     // answers that may wait for a place; 0: the default, 20 per place
	MaxWaitMS      int64    `json:"max_wait_ms"`     // how long one waits at most; 0: the default, 30 s
	Timeouts       Timeouts `json:"timeouts"`
}

// Timeouts are a provider's waits in milliseconds; 0 means the default
// (5 s connect, 60 s first token, 60 s idle, 10 minutes for a whole answer that is
// not streamed).
type Timeouts struct {
	ConnectMS    int64 `json:"connect_ms"`
	FirstTokenMS int64 `json:"first_token_ms"`
	IdleMS       int64 `json:"idle_ms"`
	WholeMS      int64 `json:"whole_ms"`
}

// State is whether a model is offered.
type State string

// The states of a model.
const (
	Active   State = "active"
	Hidden   State = "hidden"   // callable by name, not listed
	Disabled State = "disabled" // not callable
)

// Model is a row of ai_models.
type Model struct {
	ID            string    `json:"id"`
	Provider      string    `json:"provider"`
	Upstream      string    `json:"upstream_id"`
	Name          string    `json:"name"`
	State         State     `json:"state"`
	ContextWindow int64     `json:"context_window"`
	MaxOutput     int64     `json:"max_output_tokens"`
	Capabilities  []string  `json:"capabilities"`
	Aliases       []string  `json:"aliases,omitempty"`
	Substitutes   []string  `json:"substitutes,omitempty"` // ids of models that may answer when this one cannot, in order
	RetiresOn     string    `json:"retires_on,omitempty"`  // day the provider takes it away, such as 2027-03-31; empty: not announced
	Rules         llm.Rules `json:"parameter_rules"`
	Prices        []Price   `json:"prices"` // every version, oldest first; immutable once stored
}

// Price is one immutable price version: what the provider asks of us, before markup.
type Price struct {
	Version     string      `json:"version"` // unique, such as "gpt-4o@3"
	Rates       money.Rates `json:"rates"`
	EffectiveAt time.Time   `json:"effective_at"`
	Source      string      `json:"source"` // page the numbers were read from
	AsOf        string      `json:"as_of,omitempty"`
	Author      string      `json:"author"`
	CreatedAt   time.Time   `json:"created_at"`
}

// Plan is a named set of limits and allowed models. 0 means no limit, for
// models an empty list means all.
type Plan struct {
	ID                        string       `json:"id"`
	RequestsPerMinute         int64        `json:"requests_per_minute"`
	RequestsPerMinuteProvider int64        `json:"requests_per_minute_per_provider"`
	ConcurrentAnswers         int64        `json:"concurrent_answers"`
	TokensPerMinute           int64        `json:"tokens_per_minute"`
	CreditsPerDay             money.Amount `json:"credits_per_day_nano_usd"`
	ResponseCache             bool         `json:"response_cache,omitempty"` // answer repeated requests from the response cache
	Models                    []string     `json:"models,omitempty"`
}

// Settings are the single values (system_config).
type Settings struct {
	Markup                  int64        `json:"markup_basis_points"`
	DefaultPlan             string       `json:"default_plan"`
	SignupCredits           money.Amount `json:"signup_credits_nano_usd"`
	SignupEnabled           bool         `json:"signup_enabled"`
	GlobalRequestsPerMinute int64        `json:"global_requests_per_minute"`
	ResponseCache           bool         `json:"response_cache"`
}

// Rows gives every value under the name it has in JSON: how tables keep them,
// one row each.
func (s Settings) Rows() (map[string]json.RawMessage, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write the settings: %w", err)
	}
	var rows map[string]json.RawMessage
	if err := json.Unmarshal(b, &rows); err != nil {
		return nil, fmt.Errorf("split the settings: %w", err)
	}
	return rows, nil
}

// Revision is a document as it was saved.
type Revision struct {
	Number  int64
	Author  string
	Note    string
	At      time.Time
	Changes []Change // against the revision before
	Document
}

// Change is one row's difference between two documents.
type Change struct {
	Kind   string        `json:"kind"` // model, provider, plan, settings or price
	ID     string        `json:"id"`
	Op     string        `json:"op"` // add, change or remove
	Fields []FieldChange `json:"fields"`
}

// FieldChange is one field's before and after, as JSON text.
type FieldChange struct {
	Field  string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// SealedKey is one of a provider's keys, encrypted.
type SealedKey struct {
	ID        string
	Provider  string
	Sealed    []byte
	Last4     string
	CreatedAt time.Time
}

// Audit is one row of who changed what.
type Audit struct {
	ID      int64
	Actor   string // user id or "cli", "startup"
	Action  string // such as "model.change", "user.suspend"
	Object  string // kind and id
	Before  string // JSON, without secrets
	After   string
	Address string
	At      time.Time
}

// A Store remembers the catalog. One method is one transaction.
type Store interface {
	// Load gives the newest revision with its document, number 0 and an empty
	// document when nothing was ever saved.
	Load(ctx context.Context) (Revision, error)
	// Newest gives the newest revision's number alone: cheap, for the poll.
	Newest(ctx context.Context) (int64, error)
	// Save makes next revision base+1 with its rows, price versions, changes and
	// audit rows, and replaces the sealed keys of the providers named in keys
	// (an empty list deletes them), if base is still the newest; else ErrStale.
	Save(ctx context.Context, base int64, next Revision, keys map[string][]SealedKey, audit []Audit) error
	// Keys gives every provider's sealed keys.
	Keys(ctx context.Context) ([]SealedKey, error)
	// Revisions lists revisions newest first, without documents, below a number (0: all).
	Revisions(ctx context.Context, below int64, limit int) ([]Revision, error)
	// Revision gives one revision with its document, or ErrNotFound.
	Revision(ctx context.Context, number int64) (Revision, error)
	// Record appends an audit row for acts that are no catalog change.
	Record(ctx context.Context, a Audit) error
	// AuditLog lists audit rows newest first, below an id (0: all).
	AuditLog(ctx context.Context, below int64, limit int) ([]Audit, error)
}
