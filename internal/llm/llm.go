// Package llm is what every engine has in common: one request, a stream of
// events, what was used, and how a provider fails. Prices, credits and users
// are none of its business.
//
// The neutral form of a request and of an event is OpenAI's chat-completions
// JSON, kept as bytes: most providers speak it, so that the common path passes
// bytes through and a dialect that differs translates from and to it.
package llm

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Request is one validated request. A dialect reads Body and the fields below
// it; it never changes Body in place.
type Request struct {
	Body   []byte  // OpenAI chat-completions JSON; of another operation the body as the caller sent it
	Native *Native // what the caller sent, when it speaks another dialect
	Op     Operation
	Type   string // Content-Type of Body when that is no JSON (a multipart form); else empty
	Model  string // the name the caller asked for
	Stream bool
	Usage  bool  // the caller asked for a usage chunk (stream_options.include_usage)
	Cap    int64 // output tokens the caller allows; 0 when it names none
	N      int64 // answers wanted, 1 or more

	// InputTokens is an upper estimate of the input from its bytes and parts.
	InputTokens int64
	Needs       Capability // what the request uses
}

// Native is a request as its caller wrote it. A provider of the same protocol
// gets it as it stands, so that what only the two of them know survives; every
// other provider gets the neutral Body made of it.
type Native struct {
	Protocol string // "anthropic" or "gemini"
	Body     []byte
	Only     []string // members that no other protocol can carry
}

// Operation is what a request asks for. Chat is the zero value.
type Operation int

// The operations. Only Chat is streamed and crosses dialects.
const (
	Chat        Operation = iota
	Embeddings            // texts to vectors
	Images                // a prompt to images
	Transcripts           // speech to text
)

// String names the operation as receipts do: "chat", "embeddings", "images",
// "transcriptions".
func (o Operation) String() string {
	return [...]string{"chat", "embeddings", "images", "transcriptions"}[o]
}

// Capability is a set of things a model can do.
type Capability uint32

// The capabilities a catalog row can name.
const (
	Streaming Capability = 1 << iota
	Tools
	Vision
	JSON
	Reasoning
	Documents
	Audio
	Embedding  // the model makes embeddings and does not chat
	Drawing    // the model makes images and does not chat
	Transcribe // the model writes down speech and does not chat
)

func capabilityNames() [10]string {
	return [...]string{"streaming", "tools", "images", "json", "reasoning", "documents", "audio", "embeddings", "image_generation", "transcription"}
}

// Special is what models have that do one thing only, and no chat.
const Special = Embedding | Drawing | Transcribe

// Needed is the capability an operation cannot do without; 0 for Chat.
func (o Operation) Needed() Capability {
	return [...]Capability{0, Embedding, Drawing, Transcribe}[o]
}

// ParseCapability gives the capability of a name, or false.
func ParseCapability(name string) (Capability, bool) {
	for i, n := range capabilityNames() {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// Names lists the capabilities in the set, in a fixed order.
func (c Capability) Names() []string {
	names := []string{}
	for i, n := range capabilityNames() {
		if c&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return names
}

// Target is where a call goes: one model of one provider with one key.
type Target struct {
	Provider     string // catalog id of the provider
	BaseURL      string // such as https://api.openai.com/v1, without a slash at the end
	Key          Key    // empty for providers that need none
	Upstream     string // the model's name at the provider
	Cap          int64  // output tokens the provider is told to stop at; always above 0
	Rules        Rules
	Timeouts     Timeouts
	AllowPrivate bool // may dial addresses that are not public
	Concurrency  int  // idle connections worth keeping; 0 means a default
}

// Key is a provider's secret. Its value appears in no log, error or JSON.
type Key struct{ value string }

// NewKey wraps a secret.
func NewKey(value string) Key { return Key{value} }

// Reveal gives the secret, for the one place that sends it.
func (k Key) Reveal() string { return k.value }

// String hides the secret.
func (k Key) String() string { return "[secret]" }

// GoString hides the secret from %#v.
func (k Key) GoString() string { return "[secret]" }

// MarshalText hides the secret from JSON, YAML and slog.
func (k Key) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Rules are the per-model facts about parameters, as data.
type Rules struct {
	// CapParameter is the name of the output cap: "max_tokens" (the default) or
	// "max_completion_tokens" (OpenAI's reasoning models).
	CapParameter string `json:"cap_parameter,omitempty" yaml:"cap_parameter,omitempty"`
	// Refuse lists parameters the model rejects; naming one is the caller's error.
	Refuse []string `json:"refuse,omitempty" yaml:"refuse,omitempty"`
	// Drop lists parameters that are left out silently for the provider because
	// they have no effect there, such as "user" or "store".
	Drop []string `json:"drop,omitempty" yaml:"drop,omitempty"`
	// NoStreamOptions is set for providers that reject stream_options; they send
	// usage unasked or not at all.
	NoStreamOptions bool `json:"no_stream_options,omitempty" yaml:"no_stream_options,omitempty"`
	// Set holds extra top-level members with JSON values, sent unless the caller
	// names them.
	Set map[string]string `json:"set,omitempty" yaml:"set,omitempty"`
	// Clamp bounds numeric parameters: a value outside is sent as the nearest
	// bound, and the receipt says so.
	Clamp map[string]Range `json:"clamp,omitempty" yaml:"clamp,omitempty"`
	// Reasoning says how the model takes reasoning_effort: "" as that word (OpenAI) or
	// not at all, "budget" as a number of tokens, "effort" or "level" as a word of the
	// dialect's own. "content" is "" for a model of the OpenAI dialect that wants its
	// earlier reasoning back as messages[].reasoning_content, which others refuse:
	// DeepSeek and Kimi fail without it after tool calls.
	Reasoning string `json:"reasoning,omitempty" yaml:"reasoning,omitempty"`
	// CancelBills is set for models whose provider bills the whole answer even
	// when the connection is closed in the middle.
	CancelBills bool `json:"cancel_bills,omitempty" yaml:"cancel_bills,omitempty"`
}

// Range is the values a parameter may have, both ends included.
type Range struct {
	Min float64 `json:"min" yaml:"min"`
	Max float64 `json:"max" yaml:"max"`
}

// Nearest gives the value within the range that is nearest to a JSON number
// outside it; false for one inside and for what is no number.
func (r Range) Nearest(value []byte) ([]byte, bool) {
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil || f >= r.Min && f <= r.Max {
		return nil, false
	}
	return strconv.AppendFloat(nil, min(max(f, r.Min), r.Max), 'g', -1, 64), true
}

// Change is a parameter that was not sent as the caller wrote it.
type Change struct {
	Name  string `json:"name"`
	Asked string `json:"asked,omitempty"` // JSON; empty when the caller did not name it
	Sent  string `json:"sent,omitempty"`  // JSON; empty when it was left out
	Rule  string `json:"rule"`            // what changed it, such as "clamp", "drop", "set", "hold", "dialect"
}

// Timeouts bound the waits of one call.
type Timeouts struct {
	Connect    time.Duration // until the connection stands
	FirstToken time.Duration // until the first event of a streamed answer
	Idle       time.Duration // between two events
	Whole      time.Duration // a whole answer that is not streamed; zero: FirstToken
}

// Event is one chunk of a streamed answer. Its byte slices are valid until
// emit returns.
type Event struct {
	Data      []byte // the chunk's JSON in OpenAI's shape
	Content   []byte // the delta's text as it stands in the JSON, still escaped; nil if none
	Reasoning []byte // the same for reasoning text
	Output    int    // bytes of output in this chunk: text, reasoning, tool calls, refusal
	Finish    string // finish_reason, empty until the end
	Usage     bool   // Data carries a usage object
	Choices   int    // entries in choices; a pure usage chunk has 0
	More      bool   // further events are already here: flushing can wait

	// Native is the event's type when Data is in the caller's own dialect and not
	// neutral: the provider speaks it too. Choices is 0 then.
	Native string
}

// Usage is what a provider says one call used. The classes never overlap:
// providers that count cached tokens inside the prompt are straightened out by
// their dialect.
type Usage struct {
	Input, CachedInput, CacheWrite, Output, Reasoning int64
}

// Answered tells whether u counts any output. One that is nil does not.
func (u *Usage) Answered() bool { return u != nil && u.Output+u.Reasoning > 0 }

// Result is how a call ended.
type Result struct {
	Body   []byte // the whole JSON answer of a call that was not streamed
	Finish string // the (first) finish_reason
	Usage  *Usage // nil when the provider reported none
	Text   string // of a call that was not streamed: what it says, only when Usage counts no output
	Native bool   // Body is in the caller's own dialect
	Type   string // Content-Type of Body when it is no JSON
	Images int64  // images in the answer, for those that are paid by the piece

	Changes []Change // what was sent otherwise than asked
}

// Ending is what a dialect says when an answer is over and settled.
type Ending struct {
	Finish  string // OpenAI's word: stop, length, tool_calls, content_filter
	Usage   Usage
	Receipt []byte // JSON, for the member "onemind"
	Capped  bool   // we ended the stream at its hold: the provider's own end never came
}

// Provider speaks to one kind of engine. Stream sends the request and calls
// emit for each event of a streamed answer, in order, from one goroutine; an
// error of emit ends the call and comes back. It closes the provider's
// connection before it returns when ctx ends. A failure of the provider is a
// *Failure. When an answer breaks midway the Result holds what was reported
// until then, beside the error.
type Provider interface {
	Stream(ctx context.Context, to Target, req *Request, emit func(*Event) error) (Result, error)
}

// Registry finds a Provider by protocol: "openai", "demo".
type Registry map[string]Provider

// Class says who has to act on a provider's failure.
type Class int

// The classes.
const (
	Broken       Class = iota // the provider failed: 5xx, garbage, a cut connection
	BadRequest                // the caller's request was refused (400, 413, 422)
	BadKey                    // our key was refused (401, 403): the operator's business
	NoQuota                   // our account with the provider is empty: the operator's business
	RateLimited               // the provider's limit; see Retry
	Overloaded                // 503, 529
	NoModel                   // the provider does not know the model: the operator's business
	TimedOut                  // one of Timeouts passed
	Unreachable               // no connection
	WrongAddress              // 404, and not of the model: the base URL is wrong, the operator's business
)

// String gives the class's stable code, such as "provider_timeout".
func (c Class) String() string {
	return [...]string{"provider_error", "provider_refused_request", "provider_key_refused", "provider_quota", "provider_rate_limited", "provider_overloaded", "provider_unknown_model", "provider_timeout", "provider_unreachable", "provider_wrong_address"}[c]
}

// Reasons of a BadRequest that people can do something about.
const (
	TooLong  = "context_length_exceeded"
	Unwanted = "content_refused" // the provider's rules on content
)

// Failure is a provider's failure.
type Failure struct {
	Class  Class
	Status int           // HTTP status, 0 when there was none
	Text   string        // the provider's own words, for the operator; at most 2 KB
	Param  string        // the parameter the provider names, if any
	Reason string        // why a request was refused, where it is known: TooLong or Unwanted
	Retry  time.Duration // the provider's Retry-After; 0 if it gave none
	Err    error
}

// Error names class, status and cause, for logs. It never holds a key.
func (f *Failure) Error() string {
	s := f.Class.String()
	if f.Status != 0 {
		s += fmt.Sprintf(" (%d %s)", f.Status, http.StatusText(f.Status))
	}
	if f.Text != "" {
		s += ": " + f.Text
	}
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }
