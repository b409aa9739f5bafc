package account_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/account"
	"onemind/internal/fault"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	f, ctx, now := open(t), t.Context(), time.Now()
	ann, bob := f.user(t, "ann", account.Member), f.user(t, "bob", account.Member)
	_, _, err := f.CreateKey(ctx, ann.ID, account.NewKey{Name: " "})
	field(t, "no name", err, "name")
	_, _, err = f.CreateKey(ctx, "user_0", account.NewKey{Name: "laptop"})
	fails(t, "nobody's key", err, account.ErrNoUser)
	k, plain, err := f.CreateKey(ctx, ann.ID, account.NewKey{Name: " my  laptop "})
	check(t, err)
	if k.Name != "my laptop" || k.Prefix != plain[:11] || k.User != ann.ID || k.Hash == "" {
		t.Errorf("made %+v", k)
	}
	other, second, err := f.CreateKey(ctx, ann.ID, account.NewKey{Name: "ci"})
	check(t, err)
	id, err := f.IdentifyKey(ctx, plain, now)
	check(t, err)
	if id.User.ID != ann.ID || id.Key == nil || id.Key.ID != k.ID || id.SessionHash != "" {
		t.Errorf("identified %+v", id)
	}
	list, err := f.Keys(ctx, ann.ID)
	if err != nil || len(list) != 2 {
		t.Errorf("keys %+v, %v", list, err)
	}
	fails(t, "somebody else's key", f.DeleteKey(ctx, bob.ID, k.ID), account.ErrNoKey)
	check(t, f.DeleteKey(ctx, ann.ID, k.ID))
	if !f.told(account.Changed{User: ann.ID, KeyHash: k.Hash}) {
		t.Error("nobody was told that a key ended")
	}
	_, err = f.IdentifyKey(ctx, plain, now)
	fails(t, "a revoked key", err, account.ErrBadKey)
	fails(t, "a revoked key, again", f.DeleteKey(ctx, ann.ID, k.ID), account.ErrNoKey)
	id, err = f.IdentifyKey(ctx, second, now)
	if err != nil || id.Key.ID != other.ID {
		t.Errorf("the other key: %+v, %v", id, err)
	}
}

func TestTooManyKeys(t *testing.T) {
	t.Parallel()
	f := open(t)
	u := f.user(t, "ann", account.Member)
	var made atomic.Int32
	var all sync.WaitGroup
	for i := range 110 {
		all.Go(func() {
			_, _, err := f.CreateKey(t.Context(), u.ID, account.NewKey{Name: fmt.Sprint("key ", i)})
			if err == nil {
				made.Add(1)
			} else {
				fails(t, "one key more", err, coded("too_many_keys"))
			}
		})
	}
	all.Wait()
	if made.Load() != 100 {
		t.Errorf("made %d keys, want 100", made.Load())
	}
}

// A key made before a key-encryption key was added is still good, until the old
// one is taken away.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	f, ctx, now := open(t), t.Context(), time.Now()
	u := f.user(t, "ann", account.Member)
	_, plain, err := f.CreateKey(ctx, u.ID, account.NewKey{Name: "laptop"})
	check(t, err)
	for _, tt := range []struct {
		keys []string
		want error
	}{{[]string{"two", "one"}, nil}, {[]string{"two"}, account.ErrBadKey}} {
		rotated := account.New(f.store, f.store, macs(tt.keys...), func(account.Changed) {}, nil)
		_, err := rotated.IdentifyKey(ctx, plain, now)
		fails(t, fmt.Sprint(tt.keys), err, tt.want)
	}
}

// A key is looked up once in three seconds; nonsense not at all, and a key that
// does not exist every time: remembering it would let strangers fill the memory.
func TestKeyLookups(t *testing.T) {
	t.Parallel()
	f, ctx, now := open(t), t.Context(), time.Now()
	u := f.user(t, "ann", account.Member)
	k, plain, err := f.CreateKey(ctx, u.ID, account.NewKey{Name: "laptop"})
	check(t, err)
	lookups := func(what, plain string, at time.Time, n, want int64, fail error) {
		t.Helper()
		f.store.keyReads.Store(0)
		for range n {
			_, err := f.IdentifyKey(ctx, plain, at)
			fails(t, what, err, fail)
		}
		if got := f.store.keyReads.Load(); got != want {
			t.Errorf("%s: %d look-ups for %d requests, want %d", what, got, n, want)
		}
	}
	lookups("a key", plain, now, 50, 1, nil)
	lookups("a mistyped key", plain[:30]+"-"+plain[31:], now, 10, 0, account.ErrBadKey)
	lookups("no key", "sk-1234", now, 10, 0, account.ErrBadKey)
	lookups("a key three seconds later", plain, now.Add(3*time.Second), 50, 1, nil)

	// What a command beside the server did counts then too.
	_, err = f.store.DeleteKey(ctx, u.ID, k.ID)
	check(t, err)
	lookups("a key that is gone", plain, now.Add(6*time.Second), 10, 10, account.ErrBadKey)
}

// A change of a key counts from the next request on, here and where it is told.
func TestUpdateKey(t *testing.T) {
	t.Parallel()
	f, ctx, now := open(t), t.Context(), time.Now()
	ann, bob := f.user(t, "ann", account.Member), f.user(t, "bob", account.Member)
	k, plain, err := f.CreateKey(ctx, ann.ID, account.NewKey{Name: "laptop", CreditsPerDay: 5_000_000_000, ResponseCache: true})
	check(t, err)
	uses := func(name string, day int64, cache bool) {
		t.Helper()
		id, err := f.IdentifyKey(ctx, plain, now)
		check(t, err)
		if got := id.Key; got.Name != name || got.CreditsPerDay != day || got.ResponseCache != cache || got.ID != k.ID {
			t.Errorf("the key is %+v", got)
		}
	}
	uses("laptop", 5_000_000_000, true)
	changed, err := f.UpdateKey(ctx, ann.ID, k.ID, account.KeyChange{CreditsPerDay: ptr(int64(1))})
	check(t, err)
	if changed.CreditsPerDay != 1 || changed.Name != "laptop" || !changed.ResponseCache {
		t.Errorf("changed %+v", changed)
	}
	uses("laptop", 1, true)
	_, err = f.UpdateKey(ctx, ann.ID, k.ID, account.KeyChange{Name: ptr(" the  desk "), CreditsPerDay: ptr(int64(0)), ResponseCache: ptr(false)})
	check(t, err)
	uses("the desk", 0, false)
	_, err = f.UpdateKey(ctx, bob.ID, k.ID, account.KeyChange{Name: ptr("mine")})
	fails(t, "another user's key", err, account.ErrNoKey)
	for field, c := range map[string]account.KeyChange{
		"name":                     {Name: ptr(" ")},
		"credits_per_day_nano_usd": {CreditsPerDay: ptr(int64(-1))},
	} {
		_, err := f.UpdateKey(ctx, ann.ID, k.ID, c)
		if f := fault.From(err); f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	_, _, err = f.CreateKey(ctx, ann.ID, account.NewKey{Name: "big", CreditsPerDay: 1 << 60})
	if f := fault.From(err); f.Field != "credits_per_day_nano_usd" {
		t.Errorf("a cap above a million dollars: %v", err)
	}
	uses("the desk", 0, false)
}

// A look-up that is under way while its key or session is revoked answers its
// own request, and must not leave what it found behind.
func TestNoResurrection(t *testing.T) {
	t.Parallel()
	f, ctx, now := open(t), t.Context(), time.Now()
	u := f.user(t, "ann", account.Member)
	k, plain, err := f.CreateKey(ctx, u.ID, account.NewKey{Name: "laptop"})
	check(t, err)
	f.store.afterKey = func() { check(t, f.DeleteKey(ctx, u.ID, k.ID)) }
	_, err = f.IdentifyKey(ctx, plain, now)
	check(t, err)
	_, err = f.IdentifyKey(ctx, plain, now)
	fails(t, "a key revoked during the look-up", err, account.ErrBadKey)

	token, s := f.signedIn(t, u.ID, now)
	f.store.afterSession = func() { check(t, f.Revoke(ctx, u.ID, s.ID)) }
	_, err = f.Identify(ctx, token, now)
	check(t, err)
	_, err = f.Identify(ctx, token, now)
	fails(t, "a session revoked during the look-up", err, account.ErrSignedOut)

	_, plain, err = f.CreateKey(ctx, u.ID, account.NewKey{Name: "ci"})
	check(t, err)
	f.store.afterUser = func() {
		_, err := f.Update(ctx, u.ID, account.Change{Suspended: ptr(true)})
		check(t, err)
	}
	_, err = f.IdentifyKey(ctx, plain, now)
	check(t, err)
	_, err = f.IdentifyKey(ctx, plain, now)
	fails(t, "a user suspended during the look-up", err, account.ErrSuspended)
}

// However requests and revocations race: after DeleteKey has answered, no
// request that begins gets in.
func TestRevokeRace(t *testing.T) {
	t.Parallel()
	f, ctx := open(t), t.Context()
	u := f.user(t, "ann", account.Member)
	for range 10 {
		k, plain, err := f.CreateKey(ctx, u.ID, account.NewKey{Name: "laptop"})
		check(t, err)
		var gone atomic.Bool
		var racers sync.WaitGroup
		for range 4 {
			racers.Go(func() {
				for {
					before := gone.Load()
					_, err := f.IdentifyKey(ctx, plain, time.Now())
					switch {
					case err == nil && before:
						t.Error("a revoked key got in")
					case err != nil && !errors.Is(err, account.ErrBadKey):
						t.Error(err)
					}
					if before {
						return
					}
				}
			})
		}
		check(t, f.DeleteKey(ctx, u.ID, k.ID))
		gone.Store(true)
		racers.Wait()
	}
}

// Run writes who was seen every five seconds and when it ends; what could not
// be written comes with the next.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, ctx := open(t), t.Context()
		ann, bob := f.user(t, "ann", account.Member), f.user(t, "bob", account.Member)
		_, plain, err := f.CreateKey(ctx, ann.ID, account.NewKey{Name: "laptop"})
		check(t, err)
		token, _ := f.signedIn(t, bob.ID, time.Now())
		seen := func() (key, annAt, bobAt time.Time) {
			keys, err := f.store.Keys(ctx, ann.ID)
			check(t, err)
			a, err := f.store.DB.UserByID(ctx, ann.ID)
			check(t, err)
			b, err := f.store.DB.UserByID(ctx, bob.ID)
			check(t, err)
			return keys[0].UsedAt, a.SeenAt, b.SeenAt
		}
		ran := make(chan error, 1)
		end := start(f, ran)
		time.Sleep(time.Second)
		at := time.Now()
		for range 3 {
			_, err = f.IdentifyKey(ctx, plain, time.Now())
			check(t, err)
		}
		_, err = f.Identify(ctx, token, time.Now())
		check(t, err)
		if key, _, _ := seen(); !key.IsZero() {
			t.Errorf("written at once: %v", key)
		}
		f.store.failSeen.Store(true)
		time.Sleep(5 * time.Second)
		f.store.failSeen.Store(false)
		time.Sleep(5 * time.Second)
		if key, a, b := seen(); !key.Equal(at) || !a.Equal(at) || !b.Equal(at) {
			t.Errorf("seen at %v, %v and %v, want %v", key, a, b, at)
		}
		_, err = f.IdentifyKey(ctx, plain, time.Now())
		check(t, err)
		at = time.Now()
		end()
		check(t, <-ran)
		if key, _, _ := seen(); !key.Equal(at) {
			t.Errorf("at the end: %v, want %v", key, at)
		}
	})
}

// Run removes the sessions that are over every ten minutes.
func TestRunTidies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t)
		u := f.user(t, "ann", account.Member)
		f.signedIn(t, u.ID, time.Now().Add(-55*time.Minute))
		_, fresh := f.signedIn(t, u.ID, time.Now())
		ran := make(chan error, 1)
		end := start(f, ran)
		time.Sleep(10*time.Minute + time.Second)
		end()
		check(t, <-ran)
		left, err := f.store.SessionsOf(t.Context(), u.ID)
		if err != nil || len(left) != 1 || left[0].ID != fresh.ID {
			t.Errorf("left %+v, %v", left, err)
		}
	})
}
