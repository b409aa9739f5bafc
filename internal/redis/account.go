package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"onemind/internal/account"
)

// How long copies live; sessions as long as product.md says.
const (
	sessionIdle     = time.Hour
	sessionAbsolute = 24 * time.Hour
	identityFor     = time.Minute
)

// Sessions keeps copies of sessions in front of their rows.
type Sessions struct {
	account.Sessions
	c *Client
}

var _ account.Sessions = (*Sessions)(nil)

// NewSessions puts Redis in front of under, which has the rows.
func NewSessions(c *Client, under account.Sessions) *Sessions { return &Sessions{under, c} }

func sessionKey(hash string) string    { return "session:{" + hash + "}" }
func sessionsOfKey(user string) string { return "user:{" + user + "}:sessions" }
func userKey(id string) string         { return "user:{" + id + "}:account" }
func apiKeyKey(hash string) string     { return "key:{" + hash + "}" }
func sessionTTL(created, seen time.Time) time.Duration {
	return min(time.Until(seen.Add(sessionIdle)), time.Until(created.Add(sessionAbsolute)))
}

// CreateSession stores a session; see account.Sessions.
func (s *Sessions) CreateSession(ctx context.Context, v account.Session) error {
	if err := s.Sessions.CreateSession(ctx, v); err != nil {
		return err
	}
	s.keep(ctx, v)
	return nil
}

// keep makes a copy and adds it to the user's.
func (s *Sessions) keep(ctx context.Context, v account.Session) {
	v.CreatedAt = v.CreatedAt.Truncate(time.Millisecond) // as the row has it
	text, err := json.Marshal(v)
	if err != nil {
		return
	}
	s.c.put(ctx, sessionKey(v.Hash), string(text), v.SeenAt.UnixMilli(), sessionTTL(v.CreatedAt, v.SeenAt))
	_ = s.c.do(ctx, func(ctx context.Context) error { // the list is for people who look; nothing depends on it
		for _, r := range s.c.rc.DoMulti(ctx, s.c.rc.B().Sadd().Key(sessionsOfKey(v.User)).Member(v.Hash).Build(),
			s.c.rc.B().Expire().Key(sessionsOfKey(v.User)).Seconds(int64(sessionAbsolute.Seconds())).Build()) {
			if err := r.Error(); err != nil {
				return err
			}
		}
		return nil
	})
}

// SessionByHash finds a session; see account.Sessions.
func (s *Sessions) SessionByHash(ctx context.Context, hash string) (account.Session, error) {
	if r, ok := s.c.get(ctx, sessionKey(hash)); ok {
		var v account.Session
		if json.Unmarshal([]byte(r.value), &v) == nil {
			v.CreatedAt, v.SeenAt = v.CreatedAt.UTC(), time.UnixMilli(r.seen).UTC()
			return v, nil
		}
	}
	v, err := s.Sessions.SessionByHash(ctx, hash)
	if err == nil {
		s.keep(ctx, v)
	}
	return v, err
}

// TouchSession moves SeenAt; see account.Sessions.
func (s *Sessions) TouchSession(ctx context.Context, hash string, at time.Time) error {
	_ = s.c.do(ctx, func(ctx context.Context) error { // a copy that runs out early is made again
		return s.c.scripts.touch.Exec(ctx, s.c.rc, []string{sessionKey(hash)},
			[]string{fmt.Sprint(at.UnixMilli()), milliseconds(time.Until(at.Add(sessionIdle)))}).Error()
	})
	return s.Sessions.TouchSession(ctx, hash, at)
}

// DeleteSession ends one session; see account.Sessions.
func (s *Sessions) DeleteSession(ctx context.Context, user, id string) (account.Session, error) {
	v, err := s.Sessions.DeleteSession(ctx, user, id)
	if err == nil {
		s.Forget(ctx, v.Hash)
		s.unlist(ctx, user, v.Hash)
	}
	return v, err
}

// DeleteSessions ends all of a user's but one; see account.Sessions.
func (s *Sessions) DeleteSessions(ctx context.Context, user, keep string) error {
	list, listed := s.SessionsOf(ctx, user)
	if err := s.Sessions.DeleteSessions(ctx, user, keep); err != nil {
		return err
	}
	for _, v := range list {
		if v.Hash != keep {
			s.Forget(ctx, v.Hash)
			s.unlist(ctx, user, v.Hash)
		}
	}
	return listed
}

// Forget drops the copy of a session that was ended elsewhere.
func (s *Sessions) Forget(ctx context.Context, hash string) { s.c.drop(ctx, sessionKey(hash)) }

func (s *Sessions) unlist(ctx context.Context, user, hash string) {
	_ = s.c.do(ctx, func(ctx context.Context) error {
		return s.c.rc.Do(ctx, s.c.rc.B().Srem().Key(sessionsOfKey(user)).Member(hash).Build()).Error()
	})
}

// Users keeps copies of users and API keys in front of their rows, for finding
// out who asks. Digests of passwords are not among them.
type Users struct {
	account.Store
	c *Client
}

var _ account.Store = (*Users)(nil)

// NewUsers puts Redis in front of under, which has the rows.
func NewUsers(c *Client, under account.Store) *Users { return &Users{under, c} }

// Identity finds a user without the password's digest; see account.Store.
func (u *Users) Identity(ctx context.Context, id string) (account.User, error) {
	var v account.User
	return copied(ctx, u.c, userKey(id), &v, func() (account.User, error) { return u.Store.Identity(ctx, id) })
}

// KeyByHash finds an API key; see account.Store.
func (u *Users) KeyByHash(ctx context.Context, hash string) (account.Key, error) {
	var v account.Key
	return copied(ctx, u.c, apiKeyKey(hash), &v, func() (account.Key, error) { return u.Store.KeyByHash(ctx, hash) })
}

// copied reads a copy or, where there is none to believe, the row, and keeps it.
func copied[T any](ctx context.Context, c *Client, key string, v *T, load func() (T, error)) (T, error) {
	if r, ok := c.get(ctx, key); ok && json.Unmarshal([]byte(r.value), v) == nil {
		return *v, nil
	}
	loaded, err := load()
	if err == nil {
		if text, err := json.Marshal(loaded); err == nil {
			c.put(ctx, key, string(text), 0, identityFor)
		}
	}
	return loaded, err
}

// UpdateUser changes a user; see account.Store.
func (u *Users) UpdateUser(ctx context.Context, was, now account.User) error {
	err := u.Store.UpdateUser(ctx, was, now)
	u.ForgetUser(ctx, was.ID) // after an error too: the row may be written and only the reply lost
	return err
}

// DeleteKey revokes a key; see account.Store.
func (u *Users) DeleteKey(ctx context.Context, user, id string) (account.Key, error) {
	k, err := u.Store.DeleteKey(ctx, user, id)
	if err == nil {
		u.ForgetKey(ctx, k.Hash)
	}
	return k, err
}

// ForgetUser drops the copy of a user who was changed elsewhere.
func (u *Users) ForgetUser(ctx context.Context, id string) { u.c.drop(ctx, userKey(id)) }

// ForgetKey drops the copy of a key that was revoked elsewhere.
func (u *Users) ForgetKey(ctx context.Context, hash string) { u.c.drop(ctx, apiKeyKey(hash)) }
