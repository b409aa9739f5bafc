// Package credit keeps every user's balance and is the only code that moves
// money. A balance is a running total that the ledger entries must always add
// up to; Ledger.Check proves it. Prices, limits and providers are none of its
// business.
package credit

import (
	"context"
	"time"

	"onemind/internal/fault"
	"onemind/internal/money"
)

// The refusals callers can tell apart.
var (
	// ErrShort reports a hold or a take-back that the free balance does not cover.
	ErrShort = fault.New(fault.Short, "credit_short", "Not enough credits for this request.")
	// ErrNoHold reports a settlement of a hold that does not exist.
	ErrNoHold = fault.New(fault.NotFound, "hold_unknown", "There is no such hold.")
	// ErrNoReceipt reports a receipt that does not exist or is another user's.
	ErrNoReceipt = fault.New(fault.NotFound, "receipt_unknown", "There is no such receipt.")
	// ErrDayCap reports a hold that would pass a daily cap. Trying again makes
	// sense after midnight UTC.
	ErrDayCap = fault.New(fault.Limited, "daily_cap_reached", "The daily spending cap is reached. It starts anew at midnight UTC.")
	// ErrReused reports a reference that was used for another act before.
	ErrReused = fault.New(fault.Conflict, "reference_reused", "This idempotency key was used for a different request.")
)

// DayCapReached is ErrDayCap for a hold at a time: it may be tried again from the
// next midnight UTC on.
func DayCapReached(at time.Time) error {
	at = at.UTC()
	midnight := time.Date(at.Year(), at.Month(), at.Day()+1, 0, 0, 0, 0, time.UTC)
	return ErrDayCap.After(midnight.Sub(at))
}

// Balance is what a user has.
type Balance struct {
	Total money.Amount // sum of the ledger entries
	Held  money.Amount // sum of the open holds
}

// Available is what a new hold can take.
func (b Balance) Available() money.Amount { return b.Total - b.Held }

// Hold is money set aside for one answer until it is settled.
type Hold struct {
	Ref      string // the answer's id
	User     string
	Owner    string       // boot id of the instance that serves the answer
	AtLeast  money.Amount // below this the hold is refused
	AtMost   money.Amount // the worst case; the hold takes min(AtMost, available)
	Terms    []byte       // JSON of Terms: what a stranger needs to settle it
	At       time.Time
	Key      string       // id of the API key that spends, if one does
	DayCap   money.Amount // what the user may spend in one day (UTC), holds included; 0 means no cap
	KeyCap   money.Amount // the same for the key
	Amount   money.Amount // what was really set aside; filled in by the store
	Progress int64        // output tokens known to be delivered; filled in by the store
}

// Terms are what settling a hold needs when its owner is gone.
type Terms struct {
	RequestID   string      `json:"request_id"`
	Run         string      `json:"run,omitempty"` // the chat run it belongs to, if any
	Model       string      `json:"model"`
	Provider    string      `json:"provider"`
	Version     string      `json:"price_version"`
	Rates       money.Rates `json:"rates"`
	Markup      int64       `json:"markup_bp"`
	Revision    int64       `json:"revision"`
	InputTokens int64       `json:"input_tokens"` // our count of the input
	Key         string      `json:"key,omitempty"`
	Cap         int64       `json:"cap"`
}

// Kind is why a ledger entry exists.
type Kind string

// The kinds of entries.
const (
	Grant      Kind = "grant"
	Signup     Kind = "signup"
	Charged    Kind = "charge"
	Refund     Kind = "refund"
	Adjustment Kind = "adjustment"
)

// Entry is one line of the ledger: append-only, never changed.
type Entry struct {
	ID     int64
	User   string
	Kind   Kind
	Amount money.Amount // negative for charges
	Ref    string       // unique per user; answer id or idempotency key
	Reason string
	Actor  string // who granted; empty for charges
	Model  string // of a charge
	At     time.Time
}

// Outcome is how an answer ended, as far as money is concerned.
type Outcome string

// The outcomes; the rule for each stands in gateway's outcome table.
const (
	Finished    Outcome = "finished"
	Length      Outcome = "length"        // ended at its cap or hold
	Stopped     Outcome = "stopped"       // Stop, or the client went away
	Failed      Outcome = "failed"        // before the first content
	Midway      Outcome = "failed_midway" // after content was delivered
	Empty       Outcome = "empty"         // no content and no clean end
	Interrupted Outcome = "interrupted"   // the instance died; settled from what was delivered
)

// Receipt is what one answer cost and why. It is written once, with the charge.
type Receipt struct {
	ID           string       `json:"id"` // the answer's id
	RequestID    string       `json:"request_id"`
	User         string       `json:"-"`
	Run          string       `json:"run,omitempty"`
	Model        string       `json:"model"`     // what was asked for
	ServedBy     string       `json:"served_by"` // what answered
	Provider     string       `json:"provider"`
	Outcome      Outcome      `json:"outcome"`
	FinishReason string       `json:"finish_reason,omitempty"`
	Tokens       money.Tokens `json:"tokens"`
	CountedBy    string       `json:"counted_by"` // "provider" or "onemind"
	Estimated    bool         `json:"estimated"`
	PriceVersion string       `json:"price_version"`
	Rates        money.Rates  `json:"prices"`
	Markup       int64        `json:"markup_basis_points"`
	Charge       money.Amount `json:"charge_nano_usd"`
	Hold         money.Amount `json:"hold_nano_usd"`
	Released     money.Amount `json:"released_nano_usd"`
	Revision     int64        `json:"revision"`
	StartedAt    time.Time    `json:"started_at"`
	FinishedAt   time.Time    `json:"finished_at"`
	FirstTokenMS int64        `json:"first_token_ms"`
	TotalMS      int64        `json:"total_ms"`
	Error        string       `json:"error,omitempty"` // stable code

	Operation  string      `json:"operation,omitempty"`  // empty: chat
	Key        string      `json:"key,omitempty"`        // id of the API key that was used
	Cached     bool        `json:"cached,omitempty"`     // served from the response cache: free
	QueueMS    int64       `json:"queue_ms,omitempty"`   // waited for a place at providers
	Attempts   []Attempt   `json:"attempts,omitempty"`   // in order; the last one made the answer or its error
	Parameters []Parameter `json:"parameters,omitempty"` // what was sent otherwise than asked
	// BillsOn says that the provider bills us the whole of an answer that was
	// stopped, whatever was charged here.
	BillsOn bool `json:"provider_bills_on,omitempty"`
}

// Attempt is one call to a provider for an answer.
type Attempt struct {
	Model    string `json:"model"`
	Provider string `json:"provider"`
	Key      int    `json:"key,omitempty"` // which of the provider's keys, from 1; 0 if it needs none
	Outcome  string `json:"outcome"`       // "ok", "stopped", or the failure's stable code such as "provider_timeout"
	Status   int    `json:"status,omitempty"`
	StartMS  int64  `json:"start_ms"` // since the answer's start
	TookMS   int64  `json:"took_ms"`
	// Detail is the provider's own words. It is for operators: Public leaves it out.
	Detail string `json:"detail,omitempty"`
}

// Parameter is a parameter of the request that was sent otherwise than asked.
type Parameter struct {
	Name  string `json:"name"`
	Asked string `json:"asked,omitempty"` // JSON
	Sent  string `json:"sent,omitempty"`  // JSON
	Rule  string `json:"rule"`
}

// Public is the receipt as its user sees it: without what providers said to us.
func (r Receipt) Public() Receipt {
	attempts := make([]Attempt, len(r.Attempts))
	for i, a := range r.Attempts {
		a.Detail = ""
		attempts[i] = a
	}
	r.Attempts = attempts
	return r
}

// Page asks for a part of a list, newest first.
type Page struct {
	Before int64 // entries with a smaller id only; 0 starts at the newest
	Limit  int   // 1 to 200
}

// A Store makes each act durable in one transaction of its own, and answers
// only after the commit. The SQL packages implement it and storetest holds them
// to the words below.
type Store interface {
	// Hold sets min(AtMost, available) aside and returns it, or reports
	// ErrShort when less than AtLeast is free. Asking again under the same Ref
	// gives the first answer and changes nothing: a retry after a lost reply is
	// safe. Another user's Ref is ErrReused.
	//
	// With a DayCap it takes no more than the cap leaves of the day of At (UTC):
	// the cap, less what was charged for the user's holds of that day and less
	// what the open ones of them hold, those without a cap included. KeyCap is the
	// same for the holds of Key. When either leaves less than AtLeast, the error is
	// DayCapReached, however many callers race.
	Hold(ctx context.Context, h Hold) (money.Amount, error)
	// Settle closes the hold r.ID with r.Charge (which may not exceed the hold; the
	// caller caps it) and stores the receipt. It reports whether this call
	// closed it: a second settlement changes nothing and gives false with the
	// first receipt. ErrNoHold if there never was such a hold.
	Settle(ctx context.Context, r Receipt) (first Receipt, closed bool, err error)
	// Progress notes the output tokens delivered so far for open holds. It only
	// ever grows; closed or unknown holds are ignored.
	Progress(ctx context.Context, tokens map[string]int64) error
	// Post appends an entry and moves the balance. The same Ref of the same
	// user posts once: an equal entry gives the first one back, a different one is
	// ErrReused. A negative amount never takes more than is available: ErrShort.
	Post(ctx context.Context, e Entry) (Entry, error)
	// Open lists open holds that started before a time, oldest first, at most 1000.
	Open(ctx context.Context, before time.Time) ([]Hold, error)
	Balance(ctx context.Context, user string) (Balance, error)
	Entries(ctx context.Context, user string, p Page) ([]Entry, error)
	// Receipt gives the user's receipt by answer id or by request id, or
	// ErrNoReceipt. An empty user means any: for operators.
	Receipt(ctx context.Context, user, id string) (Receipt, error)
	// Receipts lists receipts newest first: all users' when user is empty. The
	// returned int64 of the last row is the cursor for the next page.
	Receipts(ctx context.Context, user string, p Page) ([]Receipt, int64, error)
	// Usage sums receipts by day (UTC) and model since a time, for one user or all.
	Usage(ctx context.Context, user string, since time.Time) ([]UsageRow, error)
	// Sums gives the figures that prove the books.
	Sums(ctx context.Context) (Sums, error)
}

// UsageRow is one day of one model.
type UsageRow struct {
	Day      string       `json:"day"` // 2026-11-24, UTC
	Model    string       `json:"model"`
	Requests int64        `json:"requests"`
	Input    int64        `json:"input_tokens"`
	Output   int64        `json:"output_tokens"`
	Charge   money.Amount `json:"charge_nano_usd"`
}

// Sums are the totals of the books, read in one snapshot.
type Sums struct {
	Accounts, Transactions, OpenHolds int64
	Entries, Balances                 money.Amount // must be equal
	Open, Held                        money.Amount // sum of open holds, sum of held: must be equal
	Drifted                           []string     // users whose balance is not the sum of their entries, or held not that of their holds; at most 20
	Negative                          []string     // users below zero, or with more held than they have; at most 20
	BadHolds                          []string     // closed holds without exactly one outcome and matching charge entry; at most 20
	OldestHold                        time.Time    // zero if none is open
}
