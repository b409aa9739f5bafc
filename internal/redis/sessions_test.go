package redis_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/account"
	"onemind/internal/redis"
	"onemind/internal/sqlite"
	"onemind/internal/storetest"
)

func TestSessions(t *testing.T) {
	storetest.Sessions(t, func(t *testing.T) account.Sessions { return redis.NewSessions(empty(t), database(t)) })
}

func TestSessionsInACluster(t *testing.T) {
	storetest.Sessions(t, func(t *testing.T) account.Sessions { return redis.NewSessions(emptyCluster(t), database(t)) })
}

func session(n int) account.Session {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return account.Session{Hash: fmt.Sprint("hash", n), ID: fmt.Sprint("ses", n), User: "u", CreatedAt: now, SeenAt: now}
}

// watched is a database whose answers about sessions are counted, and can come late.
type watched struct {
	*sqlite.DB
	reads  atomic.Int64
	read   func() // after the row was read, before the answer; nil: nothing
	listed func() // after the list was read; nil: nothing
	lose   error  // the answer of a deletion, which is made all the same
}

func (w *watched) SessionByHash(ctx context.Context, hash string) (account.Session, error) {
	w.reads.Add(1)
	v, err := w.DB.SessionByHash(ctx, hash)
	if w.read != nil {
		w.read()
	}
	return v, err
}

func (w *watched) SessionsOf(ctx context.Context, user string) ([]account.Session, error) {
	list, err := w.DB.SessionsOf(ctx, user)
	if w.listed != nil {
		w.listed()
	}
	return list, err
}

func (w *watched) DeleteSession(ctx context.Context, user, id string) (account.Session, error) {
	v, err := w.DB.DeleteSession(ctx, user, id)
	return v, errors.Join(err, w.lose)
}

// ended checks that nobody lets a session in.
func ended(t *testing.T, when, hash string, all ...*redis.Sessions) {
	t.Helper()
	for i, s := range all {
		if v, err := s.SessionByHash(t.Context(), hash); !errors.Is(err, account.ErrNoSession) {
			t.Errorf("%s, instance %d: %+v, %v", when, i, v, err)
		}
	}
}

// Sessions are read from the database once, by whichever instance, and their
// copies live no longer than they.
func TestSessionsAreReadFromRedis(t *testing.T) {
	db := &watched{DB: database(t)}
	a, b := redis.NewSessions(empty(t), db), redis.NewSessions(dial(t, single.URL()), db)
	v := session(1)
	v.CreatedAt = v.CreatedAt.Add(-23*time.Hour - 30*time.Minute)
	if err := a.CreateSession(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		for _, s := range []*redis.Sessions{a, b} {
			if got, err := s.SessionByHash(t.Context(), v.Hash); err != nil || got != v {
				t.Fatalf("%+v, %v, want %+v", got, err, v)
			}
		}
	}
	if n := db.reads.Load(); n > 8 { // each anew for each of two connections that came to stand
		t.Errorf("200 look-ups read the database %d times", n)
	}
	lives := func() time.Duration {
		ms, err := command(t, single.Addr(), "PTTL", "session:{hash1}").AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(ms) * time.Millisecond
	}
	if l := lives(); l <= 0 || l > 30*time.Minute {
		t.Errorf("half an hour before its end the copy lives for %s", l)
	}
	if err := b.TouchSession(t.Context(), v.Hash, time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if l := lives(); l <= 0 || l > 30*time.Minute {
		t.Errorf("touched, the copy lives for %s", l)
	}
	if hashes, err := command(t, single.Addr(), "SMEMBERS", "user:{u}:sessions").AsStrSlice(); err != nil || len(hashes) != 1 || hashes[0] != v.Hash {
		t.Errorf("the user's sessions: %v, %v", hashes, err)
	}
}

// A session that ended while Redis was away is over when it is back, on the
// instance that ended it and on those that heard nothing of it.
func TestEndedSessionsStayEnded(t *testing.T) {
	r := own(t)
	db, ctx := database(t), t.Context()
	here, there := dial(t, r.URL()), dial(t, r.URL())
	a, b := redis.NewSessions(here, db), redis.NewSessions(there, db)
	for n := range 3 {
		if err := a.CreateSession(ctx, session(n)); err != nil {
			t.Fatal(err)
		}
		if got, err := b.SessionByHash(ctx, session(n).Hash); err != nil || got.User != "u" {
			t.Fatalf("the other instance: %+v, %v", got, err)
		}
	}
	r.Pause()
	if _, err := a.DeleteSession(ctx, "u", "ses0"); err != nil {
		t.Fatal(err)
	}
	until(t, "both know that it is away", func() bool {
		ended(t, "while it is away", "hash0", a, b)
		return !here.Up() && !there.Up()
	})
	r.Resume()
	until(t, "it is back", func() bool {
		for _, s := range []*redis.Sessions{a, b} {
			ended(t, "when it is back", "hash0", s)
			if _, err := s.SessionByHash(ctx, "hash1"); err != nil {
				t.Fatalf("a good session: %v", err)
			}
		}
		return here.Up() && there.Up()
	})
	if err := command(t, r.Addr(), "FLUSHALL").Error(); err != nil {
		t.Fatal(err)
	}
	ended(t, "after everything was lost", "hash0", a, b)
	if got, err := b.SessionByHash(ctx, "hash2"); err != nil || got.ID != "ses2" {
		t.Errorf("after everything was lost: %+v, %v", got, err)
	}
}

// An instance that asked nothing during an outage does not believe copies from
// before it: who ended a session meanwhile may have died before telling. Nor
// does one that started after it.
func TestIdleDuringAnOutage(t *testing.T) {
	r := own(t, "--appendonly", "yes", "--appendfsync", "always")
	db, ctx := database(t), t.Context()
	idle := redis.NewSessions(dial(t, r.URL()), db)
	if err := idle.CreateSession(ctx, session(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.SessionByHash(ctx, "hash0"); err != nil {
		t.Fatal(err)
	}
	r.Kill()
	if _, err := db.DeleteSession(ctx, "u", "ses0"); err != nil { // as an instance did that then died
		t.Fatal(err)
	}
	if err := r.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := command(t, r.Addr(), "EXISTS", "session:{hash0}").AsInt64(); err != nil || n != 1 {
		t.Fatalf("the copy outlived the restart: %d, %v", n, err)
	}
	ended(t, "after a restart", "hash0", idle, redis.NewSessions(dial(t, r.URL()), db))
}

// A copy that was read before its session ended is not kept after.
func TestFillLosesAgainstDrop(t *testing.T) {
	db := &watched{DB: database(t)}
	if err := db.CreateSession(t.Context(), session(1)); err != nil {
		t.Fatal(err)
	}
	reader, ender := redis.NewSessions(empty(t), db), redis.NewSessions(dial(t, single.URL()), db.DB)
	db.read = func() {
		db.read = nil
		if _, err := ender.DeleteSession(t.Context(), "u", "ses1"); err != nil {
			t.Error(err)
		}
	}
	if _, err := reader.SessionByHash(t.Context(), "hash1"); err != nil {
		t.Errorf("it was good when it was read: %v", err)
	}
	ended(t, "afterwards", "hash1", reader, ender)
}

// Signing out everywhere ends a session that begins in the middle of it too.
func TestSessionThatBeginsWhileAllEnd(t *testing.T) {
	db := &watched{DB: database(t)}
	a, b := redis.NewSessions(empty(t), db), redis.NewSessions(dial(t, single.URL()), db.DB)
	for n := range 3 {
		if err := a.CreateSession(t.Context(), session(n)); err != nil {
			t.Fatal(err)
		}
	}
	db.listed = func() {
		db.listed = nil
		if err := b.CreateSession(t.Context(), session(3)); err != nil {
			t.Error(err)
		}
	}
	if err := a.DeleteSessions(t.Context(), "u", "hash1"); err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{"hash0", "hash2", "hash3"} {
		ended(t, "after all ended", hash, a, b)
	}
	if _, err := b.SessionByHash(t.Context(), "hash1"); err != nil {
		t.Errorf("the one that was to be kept: %v", err)
	}
}

// A deletion whose answer got lost counts.
func TestDeletionWithALostAnswer(t *testing.T) {
	lost := errors.New("the line is lost")
	db := &watched{DB: database(t), lose: lost}
	a, b := redis.NewSessions(empty(t), db), redis.NewSessions(dial(t, single.URL()), db)
	for n := range 2 {
		if err := a.CreateSession(t.Context(), session(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.DeleteSession(t.Context(), "u", "ses0"); !errors.Is(err, lost) {
		t.Fatal(err)
	}
	if err := a.DeleteSessions(t.Context(), "u", ""); !errors.Is(err, lost) {
		t.Fatal(err)
	}
	ended(t, "after one ended", "hash0", a, b)
	ended(t, "after all ended", "hash1", a, b)
}
