package account

import (
	"context"
	"crypto/subtle"
	"fmt"

	"onemind/internal/fault"
)

// SetupNeeded tells whether there is no user yet.
func (a *Accounts) SetupNeeded(ctx context.Context) (bool, error) {
	if a.settled.Load() {
		return false, nil // users are never removed, and every visitor's page asks
	}
	n, err := a.store.CountUsers(ctx)
	if err != nil {
		return false, fmt.Errorf("count users: %w", err)
	}
	if n > 0 {
		a.settled.Store(true)
	}
	return n == 0, nil
}

// NewSetupToken makes the one-time token that opens Setup; an earlier one ends.
func (a *Accounts) NewSetupToken() string {
	plain, digest := secret()
	a.setup.Lock()
	defer a.setup.Unlock()
	a.setup.digest = digest
	return plain
}

// Setup makes the first administrator, once. Members who signed up before do
// not keep the operator out.
func (a *Accounts) Setup(ctx context.Context, plain, email, password, name string) (User, error) {
	a.setup.Lock() // to the end: of two who hold the link one gets in
	defer a.setup.Unlock()
	if a.setup.digest == "" || subtle.ConstantTimeCompare([]byte(a.setup.digest), []byte(digestOf(plain))) != 1 {
		return User{}, fault.New(fault.Forbidden, "setup_token", "This set-up link is not valid any more. Start the server again for a new one.")
	}
	if password == "" {
		return User{}, fault.Field("password", "is required")
	}
	exists, err := a.activeAdmin(ctx, "")
	if err != nil {
		return User{}, err
	}
	if exists {
		a.setup.digest = ""
		return User{}, fault.New(fault.Conflict, "setup_done", "There is an administrator already. Sign in.")
	}
	u, err := a.Create(ctx, NewUser{Email: email, Name: name, Role: Admin, Password: password})
	if err == nil {
		a.setup.digest = ""
	}
	return u, err
}
