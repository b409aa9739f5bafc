package account

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// How long a session lasts, and how exactly that is known (product.md section 5).
const (
	idleTime     = time.Hour
	absoluteTime = 24 * time.Hour
	touchEvery   = time.Minute
)

func over(created, seen, now time.Time) bool {
	return now.Sub(seen) > idleTime || now.Sub(created) > absoluteTime
}

// Device is where somebody signs in from.
type Device struct{ UserAgent, Address string }

// maxDevice is how much of a browser's description is kept, in bytes.
const maxDevice = 300

// Login checks a password and starts a session. It takes as long for an address
// without an account, and says the same. Only the right password learns that an
// account is suspended.
func (a *Accounts) Login(ctx context.Context, email, password string, d Device, now time.Time) (string, Session, User, error) {
	fail := func(err error) (string, Session, User, error) { return "", Session{}, User{}, err }
	u, err := a.authenticate(ctx, email, password)
	if err != nil {
		return fail(err)
	}
	token, s, err := a.StartSession(ctx, u.ID, d, now)
	if err != nil {
		return fail(err)
	}
	// Whoever changes a password or suspends somebody ends the sessions after it.
	// This one may have begun in between: look again.
	after, err := a.store.UserByID(ctx, u.ID)
	if err == nil {
		err = a.stands(ctx, u, after, password)
	}
	if err != nil {
		if left := a.Revoke(ctx, u.ID, s.ID); !errors.Is(left, ErrNoSession) {
			err = errors.Join(err, left)
		}
		return fail(err)
	}
	return token, s, shown(after), nil
}

// authenticate finds the user of an address and a password.
func (a *Accounts) authenticate(ctx context.Context, email, password string) (User, error) {
	var u User
	address, err := normal(email)
	if err == nil {
		if u, err = a.store.UserByEmail(ctx, address); err != nil && !errors.Is(err, ErrNoUser) {
			return User{}, fmt.Errorf("load the user: %w", err)
		}
	}
	ok, err := a.hasher.verify(ctx, password, u.Password) // for nobody as well
	switch {
	case err != nil:
		return User{}, err
	case !ok:
		return User{}, ErrCredentials
	case u.Suspended:
		return User{}, ErrSuspended
	}
	if outdated(u.Password) {
		return a.rehash(ctx, u, password)
	}
	return u, nil
}

// rehash stores a password that was right under today's parameters.
func (a *Accounts) rehash(ctx context.Context, u User, password string) (User, error) {
	digest, err := a.hasher.hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	return a.edit(ctx, u.ID, func(row *User) error {
		if row.Password == u.Password {
			row.Password = digest
		}
		return nil
	})
}

// stands tells whether a password that was right before is right after.
func (a *Accounts) stands(ctx context.Context, before, after User, password string) error {
	if after.Suspended {
		return ErrSuspended
	}
	if after.Password == before.Password {
		return nil
	}
	ok, err := a.hasher.verify(ctx, password, after.Password)
	if err == nil && !ok {
		return ErrCredentials
	}
	return err
}

// StartSession signs a user in without a password: right after sign-up.
func (a *Accounts) StartSession(ctx context.Context, user string, d Device, now time.Time) (string, Session, error) {
	plain, digest := secret()
	agent := strings.ToValidUTF8(d.UserAgent[:min(len(d.UserAgent), maxDevice)], "")
	s := Session{Hash: digest, ID: newID("sess"), User: user, UserAgent: agent, Address: d.Address, CreatedAt: now, SeenAt: now}
	if err := a.sessions.CreateSession(ctx, s); err != nil {
		return "", Session{}, fmt.Errorf("start the session: %w", err)
	}
	return plain, s, nil
}

// tokenLength is what 32 bytes take in base64.
const tokenLength = 43

// Identify gives the user of a session token, or ErrSignedOut.
func (a *Accounts) Identify(ctx context.Context, plain string, now time.Time) (Identity, error) {
	if len(plain) != tokenLength {
		return Identity{}, ErrSignedOut
	}
	digest := sha256.Sum256([]byte(plain))
	e, epoch := a.bySession.get(digest, now, a.fresh())
	if e == nil {
		var err error
		if e, err = a.loadSession(ctx, hex.EncodeToString(digest[:]), now); err != nil {
			return Identity{}, err
		}
		a.bySession.put(digest, e, epoch)
	}
	last := e.touched.Load()
	if over(e.created, time.UnixMilli(last), now) {
		a.bySession.drop(digest)
		return Identity{}, ErrSignedOut
	}
	if at := now.UnixMilli(); at-last >= touchEvery.Milliseconds() && e.touched.CompareAndSwap(last, at) {
		if err := a.sessions.TouchSession(ctx, e.id.SessionHash, now); err != nil {
			e.touched.CompareAndSwap(at, last) // the next request tries again; at worst the session ends early
		}
	}
	a.seen.note(e, now)
	return e.id, nil
}

func (a *Accounts) loadSession(ctx context.Context, digest string, now time.Time) (*entry, error) {
	s, err := a.sessions.SessionByHash(ctx, digest)
	if errors.Is(err, ErrNoSession) {
		return nil, ErrSignedOut
	}
	if err != nil {
		return nil, fmt.Errorf("look up the session: %w", err)
	}
	u, err := a.active(ctx, s.User)
	if errors.Is(err, ErrNoUser) {
		return nil, ErrSignedOut
	}
	if err != nil {
		return nil, err
	}
	e := &entry{id: Identity{User: u, SessionHash: digest}, created: s.CreatedAt, loaded: now}
	e.touched.Store(s.SeenAt.UnixMilli())
	return e, nil
}

// Logout ends the session of a token. A token that is good for nothing any more
// is no error.
func (a *Accounts) Logout(ctx context.Context, plain string) error {
	s, err := a.sessions.SessionByHash(ctx, digestOf(plain))
	if err == nil {
		err = a.Revoke(ctx, s.User, s.ID)
	}
	if errors.Is(err, ErrNoSession) {
		return nil
	}
	return err
}

// Sessions lists a user's sessions that are still good.
func (a *Accounts) Sessions(ctx context.Context, user string) ([]Session, error) {
	list, err := a.sessions.SessionsOf(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	now, good := time.Now(), list[:0]
	for _, s := range list {
		if !over(s.CreatedAt, s.SeenAt, now) {
			good = append(good, s)
		}
	}
	return good, nil
}

// Revoke ends one session of a user by its public id, or reports ErrNoSession.
func (a *Accounts) Revoke(ctx context.Context, user, id string) error {
	s, err := a.sessions.DeleteSession(context.WithoutCancel(ctx), user, id)
	if err != nil {
		return fmt.Errorf("end the session: %w", err)
	}
	a.SessionEnded(s.Hash)
	a.changed(Changed{User: user, SessionHash: s.Hash})
	return nil
}

// RevokeOthers ends all sessions of a user but the one with hash keep; empty
// keeps none.
func (a *Accounts) RevokeOthers(ctx context.Context, user, keep string) error {
	ctx = context.WithoutCancel(ctx)
	list, err := a.sessions.SessionsOf(ctx, user) // only to name them: the deletion does not depend on it
	err = errors.Join(err, a.sessions.DeleteSessions(ctx, user, keep))
	a.bySession.dropUser(user)
	for _, s := range list {
		if s.Hash != keep {
			a.changed(Changed{User: user, SessionHash: s.Hash})
		}
	}
	if err != nil {
		return fmt.Errorf("end the other sessions: %w", err)
	}
	return nil
}
