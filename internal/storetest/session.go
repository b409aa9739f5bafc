package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"onemind/internal/account"
)

// Sessions holds an account.Sessions to its words. open gives one without sessions.
func Sessions(t *testing.T, open func(*testing.T) account.Sessions) {
	t.Run("one", func(t *testing.T) { sessionOne(t, open(t)) })
	t.Run("many", func(t *testing.T) { sessionMany(t, open(t)) })
	t.Run("stale", func(t *testing.T) { sessionStale(t, open(t)) })
	t.Run("odd texts", func(t *testing.T) { sessionText(t, open(t)) })
}

func sessionOf(user string, n int) account.Session {
	return account.Session{Hash: fmt.Sprint("hash-", user, n), ID: fmt.Sprint("ses-", user, n), User: user, UserAgent: "Firefox", Address: "::1",
		CreatedAt: epoch().Add(time.Duration(n) * time.Minute), SeenAt: epoch().Add(time.Duration(n) * time.Minute)}
}

func sessionOne(t *testing.T, s account.Sessions) {
	ctx := context.Background()
	want := sessionOf("u", 1)
	check(t, s.CreateSession(ctx, want))
	if got, err := s.SessionByHash(ctx, want.Hash); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	want.SeenAt = want.SeenAt.Add(time.Hour)
	check(t, s.TouchSession(ctx, want.Hash, want.SeenAt))
	if got, err := s.SessionByHash(ctx, want.Hash); err != nil || got != want {
		t.Errorf("touched: %+v, %v, want %+v", got, err, want)
	}
	_, err := s.DeleteSession(ctx, "v", want.ID)
	fails(t, "another user's session", err, account.ErrNoSession)
	if got, err := s.DeleteSession(ctx, "u", want.ID); err != nil || got.Hash != want.Hash {
		t.Errorf("deleted %+v, %v", got, err)
	}
	_, err = s.DeleteSession(ctx, "u", want.ID)
	fails(t, "deleting it again", err, account.ErrNoSession)
	_ = s.TouchSession(ctx, want.Hash, want.SeenAt) // may say that it is gone, may not bring it back
	_, err = s.SessionByHash(ctx, want.Hash)
	fails(t, "a session that was ended", err, account.ErrNoSession)
}

func sessionMany(t *testing.T, s account.Sessions) {
	ctx := context.Background()
	for _, user := range []string{"u", "v"} {
		for i := range 3 {
			check(t, s.CreateSession(ctx, sessionOf(user, i)))
		}
	}
	ids := func(user string) (list string) {
		sessions, err := s.SessionsOf(ctx, user)
		check(t, err)
		for _, v := range sessions {
			list += v.ID + " "
		}
		return list
	}
	if got := ids("u"); got != "ses-u2 ses-u1 ses-u0 " {
		t.Errorf("sessions %s, want the last seen first", got)
	}
	check(t, s.DeleteSessions(ctx, "u", "hash-u1"))
	if got := ids("u"); got != "ses-u1 " {
		t.Errorf("all but one ended, left: %s", got)
	}
	_, err := s.SessionByHash(ctx, "hash-u2")
	fails(t, "an ended session", err, account.ErrNoSession)
	check(t, s.DeleteSessions(ctx, "u", ""))
	if got := ids("u") + ids("v"); got != "ses-v2 ses-v1 ses-v0 " {
		t.Errorf("all of one user ended, left: %s", got)
	}
}

func sessionStale(t *testing.T, s account.Sessions) {
	ctx := context.Background()
	for i := range 4 {
		check(t, s.CreateSession(ctx, sessionOf("u", i)))
	}
	check(t, s.TouchSession(ctx, "hash-u0", epoch().Add(time.Hour)))
	check(t, s.TouchSession(ctx, "hash-u1", epoch().Add(time.Hour)))
	// 0 is too old, though seen; 2 was not seen again; 1 and 3 stay.
	check(t, s.DeleteStale(ctx, epoch().Add(3*time.Minute), epoch().Add(time.Minute)))
	for i, want := range []bool{false, true, false, true} {
		_, err := s.SessionByHash(ctx, fmt.Sprint("hash-u", i))
		if (err == nil) != want {
			t.Errorf("session %d: %v", i, err)
		}
	}
}
