package credit

import (
	"context"
	"fmt"
	"time"

	"onemind/internal/fault"
	"onemind/internal/money"
)

// A Display keeps balances for a minute, to show them. It never authorises
// anything.
type Display interface {
	// Shown gives a kept balance; ok is false when there is none to rely on.
	Shown(ctx context.Context, user string) (b Balance, ok bool)
	// Keep keeps a balance that was read after read; it is dropped when the user's
	// balance has changed since.
	Keep(ctx context.Context, user string, b Balance, read time.Time)
}

// Ledger is the Store with the rules around it: it tells whoever shows balances
// that one changed, refuses grants that make no sense, and proves the books.
type Ledger struct {
	Store
	display Display
	changed func(user string)
}

// NewLedger wraps a store. display may be nil. changed is called after every
// commit that moves a user's balance or holds, from the caller's goroutine; it
// must not block.
func NewLedger(store Store, display Display, changed func(user string)) *Ledger {
	return &Ledger{Store: store, display: display, changed: changed}
}

// Shown is a balance to show. Nothing may be decided by it: it can be a moment old.
func (l *Ledger) Shown(ctx context.Context, user string) (Balance, error) {
	if l.display == nil {
		return l.Balance(ctx, user)
	}
	if b, ok := l.display.Shown(ctx, user); ok {
		return b, nil
	}
	read := time.Now()
	b, err := l.Balance(ctx, user)
	if err == nil {
		l.display.Keep(ctx, user, b, read)
	}
	return b, err
}

// Hold sets money aside; see Store.
func (l *Ledger) Hold(ctx context.Context, h Hold) (money.Amount, error) {
	amount, err := l.Store.Hold(ctx, h)
	if err == nil {
		l.changed(h.User)
	}
	return amount, err
}

// Settle closes a hold; see Store.
func (l *Ledger) Settle(ctx context.Context, r Receipt) (Receipt, bool, error) {
	first, closed, err := l.Store.Settle(ctx, r)
	if closed {
		l.changed(r.User)
	}
	return first, closed, err
}

// MaxGrant bounds one grant: ten million dollars, so that no slip of a few
// zeros comes near the range of an Amount.
const MaxGrant = 10_000_000 * money.Dollar

// Grant gives credits to a user, or takes them back when amount is negative.
// The reason is shown to the user and to auditors. ref makes a retry safe.
func (l *Ledger) Grant(ctx context.Context, e Entry) (Entry, error) {
	switch {
	case e.Amount == 0:
		return Entry{}, fault.Field("credits", "must not be zero")
	case e.Amount > MaxGrant || e.Amount < -MaxGrant:
		return Entry{}, fault.Field("credits", "must be between -%s and %s", MaxGrant.Credits(), MaxGrant.Credits())
	case e.Reason == "":
		return Entry{}, fault.Field("reason", "is required: it is shown to the user and to auditors")
	case len(e.Reason) > 500:
		return Entry{}, fault.Field("reason", "must be at most 500 bytes")
	case e.Ref == "" || len(e.Ref) > 255:
		return Entry{}, fault.Field("Idempotency-Key", "must have 1 to 255 bytes")
	}
	entry, err := l.Post(ctx, e)
	if err == nil {
		l.changed(e.User)
	}
	return entry, err
}

// Report is the proof of the books.
type Report struct {
	Sums
	OK       bool
	Problems []string // one sentence each; empty when OK
	At       time.Time
}

// Check proves that the sum of the entries is the sum of the balances, that open holds
// are what is held, that nobody is below zero and that every closed hold has
// exactly one outcome.
func (l *Ledger) Check(ctx context.Context) (Report, error) {
	s, err := l.Sums(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("sum the books: %w", err)
	}
	r := Report{Sums: s, At: time.Now()}
	problem := func(bad bool, format string, args ...any) {
		if bad {
			r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
		}
	}
	problem(s.Entries != s.Balances, "the entries add up to %s, the balances to %s", s.Entries, s.Balances)
	problem(s.Open != s.Held, "open holds add up to %s, but %s is held", s.Open, s.Held)
	for _, user := range s.Drifted {
		problem(true, "user %s: balance or held is not the sum of its lines", user)
	}
	for _, user := range s.Negative {
		problem(true, "user %s: below zero", user)
	}
	for _, ref := range s.BadHolds {
		problem(true, "hold %s: closed without exactly one outcome and its charge", ref)
	}
	r.OK = len(r.Problems) == 0
	return r, nil
}
