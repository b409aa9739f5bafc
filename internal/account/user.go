package account

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"onemind/internal/fault"
)

// NewUser is what a user is made from.
type NewUser struct {
	Email, Name string
	Role        Role
	Password    string // empty: no password sign-in
}

// Create makes a user; ErrTaken when the address is in use.
func (a *Accounts) Create(ctx context.Context, in NewUser) (User, error) {
	email, err := normal(in.Email)
	if err != nil {
		return User{}, err
	}
	name, err := checkName(in.Name)
	if err != nil {
		return User{}, err
	}
	if err := checkRole(in.Role); err != nil {
		return User{}, err
	}
	u := User{ID: newID("user"), Email: email, Name: name, Role: in.Role, CreatedAt: time.Now()}
	if in.Password != "" {
		if u.Password, err = a.digest(ctx, in.Password, email); err != nil {
			return User{}, err
		}
	}
	if err := a.store.CreateUser(ctx, u); err != nil {
		return User{}, fmt.Errorf("create the user: %w", err)
	}
	return shown(u), nil
}

// Signup makes a member who chose a password.
func (a *Accounts) Signup(ctx context.Context, email, password, name string) (User, error) {
	if password == "" {
		return User{}, fault.Field("password", "is required")
	}
	return a.Create(ctx, NewUser{Email: email, Name: name, Role: Member, Password: password})
}

// shown is a user without the digest of the password: nobody outside needs it,
// and what is not handed out cannot leak.
func shown(u User) User {
	u.Password = ""
	return u
}

// User gives a user, or ErrNoUser.
func (a *Accounts) User(ctx context.Context, id string) (User, error) {
	u, err := a.store.UserByID(ctx, id)
	return shown(u), err
}

// UserByEmail gives a user, or ErrNoUser.
func (a *Accounts) UserByEmail(ctx context.Context, email string) (User, error) {
	address, err := normal(email)
	if err != nil {
		return User{}, err
	}
	u, err := a.store.UserByEmail(ctx, address)
	return shown(u), err
}

// Users lists users, newest first.
func (a *Accounts) Users(ctx context.Context, f Filter) ([]User, error) {
	users, err := a.store.Users(ctx, f)
	for i := range users {
		users[i] = shown(users[i])
	}
	return users, err
}

// Count counts all users.
func (a *Accounts) Count(ctx context.Context) (int64, error) { return a.store.CountUsers(ctx) }

// Change is what Update replaces; nil leaves a field.
type Change struct {
	Name      *string
	Role      *Role
	Plan      *string
	Limits    *Limits
	Suspended *bool
}

// Update changes a user. It takes effect with the next request; a suspended user
// is signed out everywhere and their keys rest. The last active administrator
// stays one.
func (a *Accounts) Update(ctx context.Context, id string, c Change) (User, error) {
	ctx = context.WithoutCancel(ctx) // half a suspension would leave sessions open
	u, err := a.edit(ctx, id, c.apply)
	if err != nil {
		return User{}, err
	}
	if c.Suspended != nil && *c.Suspended {
		if err := a.sessions.DeleteSessions(ctx, id, ""); err != nil {
			return User{}, fmt.Errorf("sign the user out: %w", err)
		}
	}
	return shown(u), nil
}

// editTries bounds how often an edit starts again because another was faster.
const editTries = 20

// edit changes a user's row and gives it back. Rows are replaced whole, so an
// edit that another one overtook starts again: a new password must not bring
// back the role that an administrator took meanwhile.
func (a *Accounts) edit(ctx context.Context, id string, change func(*User) error) (User, error) {
	for try := 1; ; try++ {
		was, err := a.store.UserByID(ctx, id)
		if err != nil {
			return User{}, fmt.Errorf("load the user: %w", err)
		}
		u := was
		if err := change(&u); err != nil {
			return User{}, err
		}
		err = a.rewrite(ctx, was, u)
		if errors.Is(err, ErrEdited) && try < editTries {
			continue
		}
		return u, err
	}
}

// rewrite writes an edited row.
func (a *Accounts) rewrite(ctx context.Context, was, u User) error {
	// After an error too: the row may be written and only the reply lost.
	defer a.changed(Changed{User: u.ID})
	defer a.UserChanged(u.ID)
	if err := a.store.UpdateUser(ctx, was, u); err != nil {
		return fmt.Errorf("change the user: %w", err)
	}
	return nil
}

// anyAdmin tells whether there is an administrator of whom is says yes.
func (a *Accounts) anyAdmin(ctx context.Context, is func(User) bool) (bool, error) {
	const page = 200
	for after := ""; ; {
		users, err := a.store.Users(ctx, Filter{After: after, Limit: page})
		if err != nil {
			return false, fmt.Errorf("look for administrators: %w", err)
		}
		for _, u := range users {
			if u.Role == Admin && is(u) {
				return true, nil
			}
			after = u.ID
		}
		if len(users) < page {
			return false, nil
		}
	}
}

// apply makes the change to a row.
func (c Change) apply(u *User) error {
	if c.Name != nil {
		name, err := checkName(*c.Name)
		if err != nil {
			return err
		}
		u.Name = name
	}
	if c.Role != nil {
		if err := checkRole(*c.Role); err != nil {
			return err
		}
		u.Role = *c.Role
	}
	if c.Plan != nil {
		u.Plan = *c.Plan
	}
	if c.Limits != nil {
		if err := c.Limits.check(); err != nil {
			return err
		}
		u.Limits = *c.Limits
	}
	if c.Suspended != nil {
		u.Suspended = *c.Suspended
	}
	return nil
}

// maxLimit keeps sums of limits far from the end of an int64.
const maxLimit = 1_000_000_000

// maxSpend is the largest cap of a day: a million dollars, in nano-dollars.
const maxSpend = 1_000_000 * 1_000_000_000

func (l Limits) check() error {
	for _, f := range []struct {
		name  string
		value *int64
		most  int64
	}{
		{"requests_per_minute", l.RequestsPerMinute, maxLimit},
		{"requests_per_minute_per_provider", l.RequestsPerMinuteProvider, maxLimit},
		{"concurrent_answers", l.ConcurrentAnswers, maxLimit},
		{"tokens_per_minute", l.TokensPerMinute, maxLimit},
		{"credits_per_day_nano_usd", l.CreditsPerDay, maxSpend},
	} {
		if f.value != nil && (*f.value < 0 || *f.value > f.most) {
			return fault.Field("limits."+f.name, "must be between 0 and %d", f.most)
		}
	}
	return nil
}

func checkRole(r Role) error {
	if r != Member && r != Admin {
		return fault.Field("role", "must be %s or %s", Member, Admin)
	}
	return nil
}

// maxEmail is the longest address a mail server takes, in bytes (RFC 5321).
const maxEmail = 254

// normal brings an e-mail address into the form accounts are found by.
func normal(email string) (string, error) {
	if !utf8.ValidString(email) { // or ToLower would mend it, into an address nobody has
		return "", fault.Field("email", "must be an e-mail address")
	}
	email = strings.ToLower(strings.TrimSpace(email))
	if len(email) > maxEmail {
		return "", fault.Field("email", "must have at most %d characters", maxEmail)
	}
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Address != email { // "Ann <ann@example.org>" is more than an address
		return "", fault.Field("email", "must be an e-mail address")
	}
	return email, nil
}

// maxName is how long the name of a person or a key may be, in characters.
const maxName = 100

func checkName(name string) (string, error) {
	name = strings.Join(strings.Fields(name), " ")
	switch {
	case utf8.RuneCountInString(name) > maxName:
		return "", fault.Field("name", "must have at most %d characters", maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "", fault.Field("name", "must be text")
	}
	return name, nil
}
