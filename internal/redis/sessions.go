package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"onemind/internal/account"
)

// How long sessions live (product.md section 5).
const (
	sessionIdle     = time.Hour
	sessionAbsolute = 24 * time.Hour
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

// CreateSession stores a session; see account.Sessions.
func (s *Sessions) CreateSession(ctx context.Context, v account.Session) error {
	began := time.Now()
	if err := s.Sessions.CreateSession(ctx, v); err != nil {
		return err
	}
	s.keep(ctx, v, began)
	return nil
}

// keep makes a copy of what the database had at read, and adds it to the user's.
func (s *Sessions) keep(ctx context.Context, v account.Session, read time.Time) {
	v.CreatedAt = v.CreatedAt.Truncate(time.Millisecond) // as the row has it
	text, err := json.Marshal(v)
	if err != nil {
		return
	}
	absolute := time.Until(v.CreatedAt.Add(sessionAbsolute))
	l := lives{now: min(time.Until(v.SeenAt.Add(sessionIdle)), absolute), most: absolute}
	if l.now <= 0 {
		return
	}
	s.c.put(ctx, sessionKey(v.Hash), record{string(text), v.SeenAt.UnixMilli()}, l, read)
	_ = s.c.do(ctx, func(ctx context.Context) error { // the list is for people who look; nothing depends on it
		b := s.c.rc.B
		return firstError(s.c.rc.DoMulti(ctx, b().Sadd().Key(sessionsOfKey(v.User)).Member(v.Hash).Build(),
			b().Expire().Key(sessionsOfKey(v.User)).Seconds(int64(sessionAbsolute.Seconds())).Build()))
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
	read := time.Now()
	v, err := s.Sessions.SessionByHash(ctx, hash)
	if err == nil {
		s.keep(ctx, v, read)
	}
	return v, err
}

// TouchSession moves SeenAt; see account.Sessions.
func (s *Sessions) TouchSession(ctx context.Context, hash string, at time.Time) error {
	_ = s.c.do(ctx, func(ctx context.Context) error { // a copy that runs out early is made again
		return s.c.scripts.touch.Exec(ctx, s.c.rc, []string{sessionKey(hash)},
			[]string{itoa(at.UnixMilli()), milliseconds(time.Until(at.Add(sessionIdle)))}).Error()
	})
	return s.Sessions.TouchSession(ctx, hash, at)
}

// DeleteSession ends one session; see account.Sessions. After an error the row may
// be gone and only the reply lost: which session it is, is asked before.
func (s *Sessions) DeleteSession(ctx context.Context, user, id string) (account.Session, error) {
	list, _ := s.SessionsOf(ctx, user) // without it a lost reply is not covered, all else is
	v, err := s.Sessions.DeleteSession(ctx, user, id)
	if err == nil {
		s.ended(ctx, user, v.Hash)
		return v, nil
	}
	for _, old := range list {
		if old.ID == id {
			s.ended(ctx, user, old.Hash)
		}
	}
	return v, err
}

// rounds bounds how often somebody who keeps signing in is signed out.
const rounds = 10

// DeleteSessions ends all of a user's but one; see account.Sessions. It ends them
// one by one: of each that is gone the copy has to go, and a deletion of all
// would not name one that began just before it.
func (s *Sessions) DeleteSessions(ctx context.Context, user, keep string) error {
	for range rounds {
		list, err := s.SessionsOf(ctx, user)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(v account.Session) bool { return v.Hash == keep })
		if len(list) == 0 {
			return nil
		}
		for _, v := range list {
			_, err := s.Sessions.DeleteSession(ctx, user, v.ID)
			s.ended(ctx, user, v.Hash) // after an error too, see DeleteSession
			if err != nil && !errors.Is(err, account.ErrNoSession) {
				return err
			}
		}
	}
	return fmt.Errorf("end the sessions of user %s: new ones keep beginning", user)
}

// Forget drops the copy of a session that was ended elsewhere.
func (s *Sessions) Forget(ctx context.Context, hash string) { s.c.drop(ctx, sessionKey(hash)) }

// ended drops the copy of a session that was ended here.
func (s *Sessions) ended(ctx context.Context, user, hash string) {
	s.Forget(ctx, hash)
	_ = s.c.do(context.WithoutCancel(ctx), func(ctx context.Context) error {
		return s.c.rc.Do(ctx, s.c.rc.B().Srem().Key(sessionsOfKey(user)).Member(hash).Build()).Error()
	})
}
