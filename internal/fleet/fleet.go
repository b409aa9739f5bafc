// Package fleet knows the instances of one installation: which are alive, which
// revision each serves, and what they tell each other. A signal is a hint that
// something changed; what it changed to is always read from where it is kept.
// Losing one is repaired by whoever polls or expires. How signals travel is a
// store's business.
package fleet

import (
	"context"
	"strings"
	"time"
)

// Instance is one running process as it last described itself.
type Instance struct {
	Boot        string    `json:"boot"` // id of this start: the owner of holds and runs
	Name        string    `json:"name"`
	Version     string    `json:"version"`
	Revision    int64     `json:"revision"`   // the catalog revision it serves
	AppliedMS   int64     `json:"applied_ms"` // from that revision's commit until it was served, in milliseconds; 0: served since the start
	StartedAt   time.Time `json:"started_at"`
	OpenAnswers int64     `json:"open_answers"`
	Healthy     bool      `json:"healthy"` // it takes traffic
	Problem     string    `json:"problem"` // what it works without or cannot serve; empty when all is well
	// Rollout is the last edit made on this instance that reached everybody.
	Rollout *Rollout `json:"rollout,omitempty"`
	// Alerts are what it met that only an operator can mend.
	Alerts []Alert `json:"alerts,omitempty"`
	// Age is how long ago it last said so, by the store's clock; filled in by the store.
	Age time.Duration `json:"-"`
}

// Alert is something that only an operator can mend, or has to know of.
type Alert struct {
	ID       string    `json:"id"`       // the same for the same trouble on every instance
	Severity string    `json:"severity"` // "error" or "warning"
	Code     string    `json:"code"`     // stable: the failure's, or "provider_failing"
	Provider string    `json:"provider"`
	Model    string    `json:"model,omitempty"` // empty: the whole provider
	Text     string    `json:"text"`            // what is wrong and what to do
	Detail   string    `json:"detail,omitempty"`
	Since    time.Time `json:"since"`
	Last     time.Time `json:"last"`
	Count    int       `json:"count"`
}

// Rollout says how long an edit took to reach every instance.
type Rollout struct {
	Revision  int64     `json:"revision"`
	Instances int       `json:"instances"` // that served it at the end
	MS        int64     `json:"ms"`        // from the commit until all of them had said so, by the editor's clock
	At        time.Time `json:"at"`
}

// A Presence remembers which instances are alive. Time is the store's own, so
// that the instances' clocks need not agree.
type Presence interface {
	// Beat replaces what is known of one instance.
	Beat(ctx context.Context, i Instance) error
	// Leave forgets an instance that ends in order.
	Leave(ctx context.Context, boot string) error
	// Instances lists those that have beaten within the last minute, by name,
	// then by boot.
	Instances(ctx context.Context) ([]Instance, error)
}

// A Bus carries signals to every instance, the sender's own included.
type Bus interface {
	// Publish sends one signal. It does not wait for anybody to hear it.
	Publish(ctx context.Context, s Signal) error
	// Listen passes every signal to hear, in order, until ctx ends. It connects
	// again by itself; connected is told whenever the line stands or is lost. A bus
	// that has nothing to listen to says nothing and waits.
	Listen(ctx context.Context, hear func(Signal), connected func(bool)) error
}

// Signal is a kind and its argument, written "kind:argument" on the wire.
type Signal struct {
	Kind Kind
	Arg  string
}

// Kind is what changed.
type Kind string

// The kinds of signals, with their argument.
const (
	Revision Kind = "revision" // number of a new catalog revision
	User     Kind = "user"     // id of a user whose role, plan, limits, suspension or password changed
	Session  Kind = "session"  // hash of a session that ended
	Key      Kind = "key"      // hash of an API key that was revoked
	Credits  Kind = "credits"  // ids, comma between, of users whose balance or conversations changed
	Stop     Kind = "stop"     // run to stop, or run/answer
	Reader   Kind = "reader"   // name of a resumable stream that has a reader on the sender's instance
	// Missed is heard when a line stands again: whatever was told meanwhile is not known.
	Missed Kind = "missed"
)

// String writes a signal for the wire.
func (s Signal) String() string { return string(s.Kind) + ":" + s.Arg }

// Parse reads a signal from the wire. A kind it does not know is kept: a newer
// instance may have sent it, and nobody here listens for it.
func Parse(text string) (s Signal, ok bool) {
	kind, arg, ok := strings.Cut(text, ":")
	if !ok || kind == "" {
		return Signal{}, false
	}
	return Signal{Kind: Kind(kind), Arg: arg}, true
}
