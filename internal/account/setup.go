package account

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
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

// SetupToken is the token that opens Setup until there is an administrator. It
// is the same on every instance, because any of them may be asked, and only who
// has the secret key can know it.
func (a *Accounts) SetupToken() string {
	return base64.RawURLEncoding.EncodeToString(a.mac([]byte("the first administrator"))[0])
}

// Setup makes the first administrator, once. Members who signed up before do
// not keep the operator out.
func (a *Accounts) Setup(ctx context.Context, plain, email, password, name string) (User, error) {
	a.setup.Lock() // to the end: of two who hold the link one gets in
	defer a.setup.Unlock()
	if subtle.ConstantTimeCompare([]byte(a.SetupToken()), []byte(plain)) != 1 {
		return User{}, fault.New(fault.Forbidden, "setup_token", "This set-up link is not valid. The server prints the right one at its start.")
	}
	if password == "" {
		return User{}, fault.Field("password", "is required")
	}
	exists, err := a.anyAdmin(ctx, func(User) bool { return true }) // a suspended one too: the link is for the first
	if err != nil {
		return User{}, err
	}
	if exists {
		return User{}, fault.New(fault.Conflict, "setup_done", "There is an administrator already. Sign in.")
	}
	return a.Create(ctx, NewUser{Email: email, Name: name, Role: Admin, Password: password})
}
