package account_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"onemind/internal/account"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	f, ctx, now := open(t), t.Context(), time.Now()
	u, err := f.Signup(ctx, "ann@example.org", password, "Ann")
	check(t, err)
	off, err := f.Signup(ctx, "off@example.org", password, "")
	check(t, err)
	_, err = f.Update(ctx, off.ID, account.Change{Suspended: ptr(true)})
	check(t, err)
	f.user(t, "keys-only", account.Member)
	for _, tt := range []struct {
		what, email, password string
		want                  error
	}{
		{"the wrong password", "ann@example.org", "wrong horse battery", account.ErrCredentials},
		{"an endless password", "ann@example.org", strings.Repeat(password, 1000), account.ErrCredentials},
		{"nobody's address", "bob@example.org", password, account.ErrCredentials},
		{"no address", "'; DROP TABLE users", password, account.ErrCredentials},
		{"a user without a password", "keys-only@example.org", "", account.ErrCredentials},
		{"suspended, wrong password", "off@example.org", "wrong horse battery", account.ErrCredentials},
		{"suspended", "off@example.org", password, account.ErrSuspended},
	} {
		token, _, _, err := f.Login(ctx, tt.email, tt.password, account.Device{}, now)
		fails(t, tt.what, err, tt.want)
		if token != "" {
			t.Errorf("%s: signed in", tt.what)
		}
	}
	agent := strings.Repeat("é", 200)
	token, s, who, err := f.Login(ctx, " ANN@example.org", password, account.Device{UserAgent: agent, Address: "192.0.2.1"}, now)
	check(t, err)
	if raw, err := base64.RawURLEncoding.DecodeString(token); err != nil || len(raw) != 32 {
		t.Errorf("the token is %q", token)
	}
	if who.ID != u.ID || who.Password != "" || s.User != u.ID || s.Address != "192.0.2.1" || s.UserAgent != agent[:300] {
		t.Errorf("signed in %+v with %+v", who, s)
	}
	id, err := f.Identify(ctx, token, now)
	check(t, err)
	if id.User.ID != u.ID || id.User.Password != "" || id.SessionHash != s.Hash || id.Key != nil || strings.Contains(s.Hash, token) {
		t.Errorf("identified %+v", id)
	}
	list, err := f.Sessions(ctx, u.ID)
	if err != nil || len(list) != 1 || list[0].ID != s.ID {
		t.Errorf("sessions %+v, %v", list, err)
	}
}

// A digest under old parameters is replaced by the login that proves the password.
func TestRehash(t *testing.T) {
	t.Parallel()
	f, ctx := open(t), t.Context()
	u := f.user(t, "ann", account.Member)
	salt := []byte("0123456789abcdef")
	sum := argon2.IDKey([]byte(password), salt, 2, 1<<10, 1, 32)
	u.Password = fmt.Sprintf("$argon2id$v=19$m=1024,t=2,p=1$%s$%s", base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
	was := u
	was.Password = ""
	check(t, f.store.UpdateUser(ctx, was, u))
	_, _, _, err := f.Login(ctx, u.Email, "wrong horse battery", account.Device{}, time.Now())
	fails(t, "the wrong password", err, account.ErrCredentials)
	for range 2 {
		_, _, _, err := f.Login(ctx, u.Email, password, account.Device{}, time.Now())
		check(t, err)
		stored, err := f.store.DB.UserByID(ctx, u.ID)
		check(t, err)
		if !strings.HasPrefix(stored.Password, "$argon2id$v=19$m=47104,t=1,p=1$") {
			t.Fatalf("stored as %q", stored.Password)
		}
	}
}

// Two logins at once may both find an old digest. The second meets the first's
// new one, which is of the same password.
func TestRehashAtOnce(t *testing.T) {
	t.Parallel()
	f, ctx := open(t), t.Context()
	u, err := f.Signup(ctx, "ann@example.org", password, "")
	check(t, err)
	twin, err := f.Signup(ctx, "twin@example.org", password, "")
	check(t, err)
	twin, err = f.store.DB.UserByID(ctx, twin.ID)
	check(t, err)
	u.Password = twin.Password
	was, err := f.store.DB.UserByID(ctx, u.ID)
	check(t, err)
	f.store.afterCreate = func() { check(t, f.store.UpdateUser(ctx, was, u)) }
	token, _, _, err := f.Login(ctx, u.Email, password, account.Device{}, time.Now())
	check(t, err)
	_, err = f.Identify(ctx, token, time.Now())
	check(t, err)
}

// A login that began before the password changed must not outlive the change.
func TestLoginDuringChange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		what  string
		want  error
		event func(*fixture, account.User) error
	}{
		{"a new password", account.ErrCredentials, func(f *fixture, u account.User) error {
			return f.SetPassword(t.Context(), u.ID, "another horse battery")
		}},
		{"a suspension", account.ErrSuspended, func(f *fixture, u account.User) error {
			_, err := f.Update(t.Context(), u.ID, account.Change{Suspended: ptr(true)})
			return err
		}},
	} {
		for _, after := range []bool{false, true} { // the session is there, or not yet
			f, ctx := open(t), t.Context()
			u, err := f.Signup(ctx, "ann@example.org", password, "")
			check(t, err)
			hook := func() { check(t, tt.event(f, u)) }
			if after {
				f.store.afterCreate = hook
			} else {
				f.store.afterEmail = hook
			}
			_, _, _, err = f.Login(ctx, u.Email, password, account.Device{}, time.Now())
			fails(t, tt.what, err, tt.want)
			if list, err := f.Sessions(ctx, u.ID); err != nil || len(list) != 0 {
				t.Errorf("%s left %+v, %v", tt.what, list, err)
			}
		}
	}
}

func TestSessionTimes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		what  string
		steps []time.Duration // from one request to the next
		good  bool            // the last one
	}{
		{"at once", []time.Duration{0}, true},
		{"almost an hour idle", []time.Duration{0, time.Hour - time.Second}, true},
		{"an hour idle", []time.Duration{0, time.Hour + time.Second}, false},
		{"an hour idle, never used", []time.Duration{time.Hour + time.Second}, false},
		{"used every 50 minutes", repeat(50*time.Minute, 28), true},
		{"used for more than a day", repeat(50*time.Minute, 29), false},
		{"idle within the cache", []time.Duration{time.Hour - time.Second, 0}, true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			f, now := open(t), time.Now()
			token, _ := f.signedIn(t, f.user(t, "ann", account.Member).ID, now)
			for i, step := range tt.steps {
				now = now.Add(step)
				_, err := f.Identify(t.Context(), token, now)
				if last := i == len(tt.steps)-1; last && !tt.good {
					fails(t, tt.what, err, account.ErrSignedOut)
				} else {
					fails(t, fmt.Sprint("request ", i), err, nil)
				}
			}
		})
	}
}

func repeat(d time.Duration, n int) (all []time.Duration) {
	for range n {
		all = append(all, d)
	}
	return all
}

// The store hears of an active session at most once a minute.
func TestTouch(t *testing.T) {
	t.Parallel()
	f, now := open(t), time.Now()
	token, s := f.signedIn(t, f.user(t, "ann", account.Member).ID, now)
	for second := range 150 {
		_, err := f.Identify(t.Context(), token, now.Add(time.Duration(second)*time.Second))
		check(t, err)
	}
	if n := f.store.touches.Load(); n != 2 {
		t.Errorf("%d touches in 150 s, want 2", n)
	}
	stored, err := f.store.DB.SessionByHash(t.Context(), s.Hash)
	if want := now.Add(2 * time.Minute).Truncate(time.Second); err != nil || stored.SeenAt.Before(want) {
		t.Errorf("seen at %v, %v; want %v", stored.SeenAt, err, want)
	}
}

// What ends a session ends it for the very next request, though it is cached.
func TestEnd(t *testing.T) {
	t.Parallel()
	type state struct {
		*fixture
		user        account.User
		token       string
		mine, other account.Session
	}
	for _, tt := range []struct {
		what  string
		ends  bool // the other session as well
		stays bool // this one does
		end   func(context.Context, state) error
	}{
		{"log-out", false, false, func(ctx context.Context, s state) error { return s.Logout(ctx, s.token) }},
		{"revoke", false, false, func(ctx context.Context, s state) error { return s.Revoke(ctx, s.user.ID, s.mine.ID) }},
		{"revoke others", true, true, func(ctx context.Context, s state) error { return s.RevokeOthers(ctx, s.user.ID, s.mine.Hash) }},
		{"revoke all", true, false, func(ctx context.Context, s state) error { return s.RevokeOthers(ctx, s.user.ID, "") }},
		{"change of password", true, true, func(ctx context.Context, s state) error {
			return s.ChangePassword(ctx, s.user.ID, password, "another horse battery", s.mine.Hash)
		}},
		{"set of password", true, false, func(ctx context.Context, s state) error {
			return s.SetPassword(ctx, s.user.ID, "another horse battery")
		}},
		{"revoke by a client that left", false, false, func(ctx context.Context, s state) error {
			ctx, leave := context.WithCancel(ctx)
			leave()
			return s.Revoke(ctx, s.user.ID, s.mine.ID)
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			f, ctx, now := open(t), t.Context(), time.Now()
			u, err := f.Signup(ctx, "ann@example.org", password, "")
			check(t, err)
			token, mine := f.signedIn(t, u.ID, now)
			elsewhere, other := f.signedIn(t, u.ID, now)
			for _, x := range []string{token, elsewhere} {
				_, err := f.Identify(ctx, x, now)
				check(t, err)
			}
			check(t, tt.end(ctx, state{f, u, token, mine, other}))
			for _, x := range []struct {
				token string
				s     account.Session
				good  bool
			}{{token, mine, tt.stays}, {elsewhere, other, !tt.ends}} {
				_, err := f.Identify(ctx, x.token, now)
				if x.good {
					check(t, err)
					continue
				}
				fails(t, tt.what, err, account.ErrSignedOut)
				if !f.told(account.Changed{User: u.ID, SessionHash: x.s.Hash}) {
					t.Error("nobody was told that a session ended")
				}
			}
		})
	}
}

func TestSuspend(t *testing.T) {
	t.Parallel()
	f, ctx, now := open(t), t.Context(), time.Now()
	u := f.user(t, "ann", account.Member)
	token, _ := f.signedIn(t, u.ID, now)
	_, plain, err := f.CreateKey(ctx, u.ID, account.NewKey{Name: "laptop"})
	check(t, err)
	identify := func() (session, key error) {
		_, session = f.Identify(ctx, token, now)
		_, key = f.IdentifyKey(ctx, plain, now)
		return session, key
	}
	session, key := identify()
	check(t, session)
	check(t, key)
	left, leave := context.WithCancel(ctx)
	leave() // an administrator who closes the page does not stop half-way
	_, err = f.Update(left, u.ID, account.Change{Suspended: ptr(true)})
	check(t, err)
	if !f.told(account.Changed{User: u.ID}) {
		t.Error("nobody was told of the suspension")
	}
	session, key = identify()
	fails(t, "the session of a suspended user", session, account.ErrSignedOut)
	fails(t, "the key of a suspended user", key, account.ErrSuspended)
	late, _ := f.signedIn(t, u.ID, now)
	_, err = f.Identify(ctx, late, now)
	fails(t, "a session that came after", err, account.ErrSuspended)

	_, err = f.Update(ctx, u.ID, account.Change{Suspended: ptr(false)})
	check(t, err)
	session, key = identify()
	fails(t, "the old session", session, account.ErrSignedOut)
	fails(t, "the key", key, nil)
}

// A change of role, plan or limits counts from the next request on.
func TestChangeCountsAtOnce(t *testing.T) {
	t.Parallel()
	f, ctx, now := open(t), t.Context(), time.Now()
	u := f.user(t, "ann", account.Member)
	token, _ := f.signedIn(t, u.ID, now)
	_, plain, err := f.CreateKey(ctx, u.ID, account.NewKey{Name: "laptop"})
	check(t, err)
	for _, role := range []account.Role{account.Member, account.Admin} {
		_, err := f.Update(ctx, u.ID, account.Change{Role: &role, Plan: ptr("plan of " + string(role))})
		if role == account.Member {
			f.user(t, "bob", account.Admin)
		}
		check(t, err)
		session, err := f.Identify(ctx, token, now)
		check(t, err)
		key, err := f.IdentifyKey(ctx, plain, now)
		check(t, err)
		if session.User.Role != role || key.User.Role != role || key.User.Plan != "plan of "+string(role) {
			t.Errorf("after the change to %s: %+v and %+v", role, session.User, key.User)
		}
	}
}

func TestSignedOut(t *testing.T) {
	t.Parallel()
	f, ctx, now := open(t), t.Context(), time.Now()
	u := f.user(t, "ann", account.Member)
	token, s := f.signedIn(t, u.ID, now)
	_, key, err := f.CreateKey(ctx, u.ID, account.NewKey{Name: "laptop"})
	check(t, err)
	_, err = f.IdentifyKey(ctx, key, now)
	check(t, err)
	for what, x := range map[string]string{"nothing": "", "the hash of a session": s.Hash, "a key": key, "half a token": token[:20],
		"a longer token": token + "A", "another token": strings.Repeat("A", 43)} {
		_, err := f.Identify(ctx, x, now)
		fails(t, what, err, account.ErrSignedOut)
		fails(t, what, f.Logout(ctx, x), nil)
	}
	fails(t, "somebody else's session", f.Revoke(ctx, "user_0", s.ID), account.ErrNoSession)
	_, err = f.Identify(ctx, token, now)
	check(t, err)
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	f, ctx := open(t), t.Context()
	u, err := f.Signup(ctx, "ann@example.org", password, "")
	check(t, err)
	const next = "another horse battery"
	field(t, "the wrong password", f.ChangePassword(ctx, u.ID, next, next, ""), "current_password")
	field(t, "a weak password", f.ChangePassword(ctx, u.ID, password, "12345678", ""), "password")
	field(t, "the address", f.SetPassword(ctx, u.ID, u.Email), "password")
	fails(t, "nobody", f.SetPassword(ctx, "user_0", next), account.ErrNoUser)
	check(t, f.ChangePassword(ctx, u.ID, password, next, ""))
	_, _, _, err = f.Login(ctx, u.Email, password, account.Device{}, time.Now())
	fails(t, "the old password", err, account.ErrCredentials)
	_, _, _, err = f.Login(ctx, u.Email, next, account.Device{}, time.Now())
	check(t, err)
}
