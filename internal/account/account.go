// Package account knows who is asking: users, passwords, sessions and API keys.
// It keeps digests, never the secrets themselves. Money and models are none of
// its business; authorisation beyond "who, which role, still allowed" is not
// decided here.
package account

import (
	"context"
	"time"

	"onemind/internal/fault"
)

// The refusals callers can tell apart.
var (
	ErrCredentials = fault.New(fault.Unauthenticated, "bad_credentials", "The e-mail address or the password is wrong.")
	ErrSignedOut   = fault.New(fault.Unauthenticated, "signed_out", "Sign in first.")
	ErrBadKey      = fault.New(fault.Unauthenticated, "invalid_api_key", "Incorrect API key provided.")
	ErrSuspended   = fault.New(fault.Forbidden, "account_suspended", "This account is suspended.")
	ErrTaken       = fault.New(fault.Conflict, "email_taken", "There is an account with this e-mail address already.")
	ErrEdited      = fault.New(fault.Conflict, "user_edited", "Somebody else changed this user at the same time. Try again.")
	ErrLastAdmin   = fault.New(fault.Conflict, "last_admin", "This is the last active administrator.")
	ErrNoUser      = fault.New(fault.NotFound, "user_unknown", "There is no such user.")
	ErrNoKey       = fault.New(fault.NotFound, "key_unknown", "There is no such key.")
	ErrNoSession   = fault.New(fault.NotFound, "session_unknown", "There is no such session.")
)

// Role is what a user may do.
type Role string

// The roles.
const (
	Member Role = "user"
	Admin  Role = "admin"
)

// User is a person. Limits override the plan's where they are set.
type User struct {
	ID        string
	Email     string // lower case, unique
	Name      string
	Role      Role
	Suspended bool
	Plan      string // empty: the default plan
	Limits    Limits
	Password  string // argon2id in PHC form; empty: no password sign-in
	CreatedAt time.Time
	SeenAt    time.Time
}

// ActiveAdmin tells whether the user is an administrator who can act.
func (u User) ActiveAdmin() bool { return u.Role == Admin && !u.Suspended }

// Limits are a user's own limits; nil fields leave the plan's.
type Limits struct {
	RequestsPerMinute         *int64 `json:"requests_per_minute,omitempty"`
	RequestsPerMinuteProvider *int64 `json:"requests_per_minute_per_provider,omitempty"`
	ConcurrentAnswers         *int64 `json:"concurrent_answers,omitempty"`
	TokensPerMinute           *int64 `json:"tokens_per_minute,omitempty"`
	CreditsPerDay             *int64 `json:"credits_per_day_nano_usd,omitempty"` // nano-dollars in one day (UTC)
}

// Session is one signed-in device. Hash is the SHA-256 of its token in hex.
type Session struct {
	Hash      string
	ID        string // public, for listing and revoking
	User      string
	UserAgent string
	Address   string
	CreatedAt time.Time
	SeenAt    time.Time
}

// Key is an API key. Hash is the HMAC-SHA-256 of the whole key in hex.
type Key struct {
	ID        string
	User      string
	Name      string
	Prefix    string // "om_" and the first characters, for people
	Hash      string
	CreatedAt time.Time
	UsedAt    time.Time // zero: never

	CreditsPerDay int64 // nano-dollars it may spend in one day (UTC); 0: no cap of its own
	ResponseCache bool  // its repeated requests are answered from the response cache
}

// Filter narrows a list of users.
type Filter struct {
	Query string // in e-mail or name
	After string // user id of the last row seen; lists are sorted by creation, newest first
	Limit int
}

// A Store remembers users, keys and, as the fallback and record, sessions. One
// method is one transaction.
type Store interface {
	// CreateUser reports ErrTaken when the address is in use.
	CreateUser(ctx context.Context, u User) error
	UserByID(ctx context.Context, id string) (User, error)       // or ErrNoUser
	UserByEmail(ctx context.Context, email string) (User, error) // or ErrNoUser
	// Identity is UserByID for finding out who asks: without the password's digest,
	// and possibly kept for a moment, but never as it was before a change that this
	// store made or was told of.
	Identity(ctx context.Context, id string) (User, error)
	Users(ctx context.Context, f Filter) ([]User, error)
	// UpdateUser replaces name, role, suspended, plan, limits and password of a user
	// by those of u, if the row still says what was does; else ErrEdited: somebody
	// was faster, here or on another instance. It reports ErrLastAdmin when was is
	// an active administrator and the change would leave none.
	UpdateUser(ctx context.Context, was, u User) error
	CountUsers(ctx context.Context) (int64, error)

	CreateKey(ctx context.Context, k Key) error
	KeyByHash(ctx context.Context, hash string) (Key, error) // or ErrNoKey
	Keys(ctx context.Context, user string) ([]Key, error)
	// UpdateKey replaces what c names of a key and gives the changed key, or reports
	// ErrNoKey when it is not the user's.
	UpdateKey(ctx context.Context, user, id string, c KeyChange) (Key, error)
	// DeleteKey reports ErrNoKey when it is not the user's; it gives the deleted key.
	DeleteKey(ctx context.Context, user, id string) (Key, error)
	// Seen notes when keys (by id) and users were last active, in one go.
	Seen(ctx context.Context, keys, users map[string]time.Time) error
}

// Sessions keeps sessions where a sign-out takes effect at once.
type Sessions interface {
	CreateSession(ctx context.Context, s Session) error
	SessionByHash(ctx context.Context, hash string) (Session, error) // or ErrNoSession
	// TouchSession moves SeenAt; the idle time counts from it.
	TouchSession(ctx context.Context, hash string, at time.Time) error
	SessionsOf(ctx context.Context, user string) ([]Session, error)
	// DeleteSession ends one session of the user by its public id and gives it back.
	DeleteSession(ctx context.Context, user, id string) (Session, error)
	// DeleteSessions ends all sessions of a user but the one with hash keep.
	DeleteSessions(ctx context.Context, user, keep string) error
	// DeleteStale removes sessions not seen since idle or created before absolute.
	DeleteStale(ctx context.Context, idle, absolute time.Time) error
}
