package account_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"onemind/internal/account"
)

func TestSignup(t *testing.T) {
	t.Parallel()
	f, ctx := open(t), t.Context()
	for _, tt := range []struct{ what, email, password, name, field string }{
		{"no address", "", password, "", "email"},
		{"no @", "ann", password, "", "email"},
		{"two addresses", "ann@example.org, bob@example.org", password, "", "email"},
		{"a name with it", "Ann <ann@example.org>", password, "", "email"},
		{"a line break", "ann@example.org\r\nBcc: x@example.org", password, "", "email"},
		{"not UTF-8", "an\xffn@example.org", password, "", "email"},
		{"255 bytes", strings.Repeat("a", 243) + "@example.org", password, "", "email"},
		{"no password", "ann@example.org", "", "", "password"},
		{"seven characters", "ann@example.org", "1éé4567", "", "password"},
		{"129 characters", "ann@example.org", strings.Repeat("ab ", 43), "", "password"},
		{"a common password", "ann@example.org", "Trustno1", "", "password"},
		{"the product's name", "ann@example.org", "OneMind123", "", "password"},
		{"the address", "ann@example.org", "ANN@example.org", "", "password"},
		{"a NUL", "ann@example.org", "correct\x00horse", "", "password"},
		{"a long name", "ann@example.org", password, strings.Repeat("n", 101), "name"},
		{"a bell", "ann@example.org", password, "Ann\a", "name"},
	} {
		_, err := f.Signup(ctx, tt.email, tt.password, tt.name)
		field(t, tt.what, err, tt.field)
	}
	u, err := f.Signup(ctx, " Ann@Example.ORG ", strings.Repeat("é", 128), "  Ann \t Lee ")
	check(t, err)
	if u.Email != "ann@example.org" || u.Name != "Ann Lee" || u.Role != account.Member || u.Password != "" || u.ID == "" {
		t.Errorf("signed up as %+v", u)
	}
	_, err = f.Create(ctx, account.NewUser{Email: "ANN@example.org", Role: account.Member})
	fails(t, "the same address in capitals", err, account.ErrTaken)
	_, err = f.Create(ctx, account.NewUser{Email: "bob@example.org", Role: "root"})
	field(t, "a role that is none", err, "role")
	stored, err := f.store.UserByEmail(ctx, "ann@example.org")
	check(t, err)
	if !strings.HasPrefix(stored.Password, "$argon2id$v=19$m=47104,t=1,p=1$") {
		t.Errorf("the password is stored as %q", stored.Password)
	}
}

// What is handed out never carries the digest of a password.
func TestShown(t *testing.T) {
	t.Parallel()
	f, ctx := open(t), t.Context()
	made, err := f.Signup(ctx, "ann@example.org", password, "Ann")
	check(t, err)
	seen := map[string]account.User{"made": made}
	seen["by id"], err = f.User(ctx, made.ID)
	check(t, err)
	seen["by address"], err = f.UserByEmail(ctx, "ANN@example.org ")
	check(t, err)
	list, err := f.Users(ctx, account.Filter{Limit: 10})
	check(t, err)
	seen["in the list"] = list[0]
	seen["changed"], err = f.Update(ctx, made.ID, account.Change{Name: ptr("Bea")})
	check(t, err)
	for where, u := range seen {
		if u.ID != made.ID || u.Password != "" {
			t.Errorf("%s: %+v", where, u)
		}
	}
	if n, err := f.Count(ctx); err != nil || n != 1 {
		t.Errorf("%d users, %v", n, err)
	}
	_, err = f.User(ctx, "user_0")
	fails(t, "nobody", err, account.ErrNoUser)
	_, err = f.UserByEmail(ctx, "bob@example.org")
	fails(t, "nobody's address", err, account.ErrNoUser)
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	f, ctx := open(t), t.Context()
	u := f.user(t, "ann", account.Member)
	for _, tt := range []struct {
		field  string
		change account.Change
	}{
		{"name", account.Change{Name: ptr(strings.Repeat("n", 101))}},
		{"role", account.Change{Role: ptr(account.Role("root"))}},
		{"limits.tokens_per_minute", account.Change{Limits: &account.Limits{TokensPerMinute: ptr(int64(-1))}}},
		{"limits.credits_per_day_nano_usd", account.Change{Limits: &account.Limits{CreditsPerDay: ptr(int64(-1))}}},
		{"limits.credits_per_day_nano_usd", account.Change{Limits: &account.Limits{CreditsPerDay: ptr(int64(1e15 + 1))}}},
		{"limits.concurrent_answers", account.Change{Limits: &account.Limits{ConcurrentAnswers: ptr(int64(2e9))}}},
	} {
		_, err := f.Update(ctx, u.ID, tt.change)
		field(t, tt.field, err, tt.field)
	}
	_, err := f.Update(ctx, "user_0", account.Change{})
	fails(t, "nobody", err, account.ErrNoUser)

	got, err := f.Update(ctx, u.ID, account.Change{Role: ptr(account.Admin), Plan: ptr("pro"), Limits: &account.Limits{RequestsPerMinute: ptr(int64(0))}})
	check(t, err)
	if got.Name != "ann" || got.Role != account.Admin || got.Plan != "pro" || got.Limits.RequestsPerMinute == nil || got.Suspended {
		t.Errorf("changed to %+v", got)
	}
}

// Rows are replaced whole: of two edits at once neither may undo the other.
func TestUpdatesAtOnce(t *testing.T) {
	t.Parallel()
	f, ctx := open(t), t.Context()
	u := f.user(t, "ann", account.Member)
	for range 20 {
		plan, name := ptr("pro"), ptr("Bea")
		if u.Plan == "pro" {
			plan, name = ptr(""), ptr("Ann")
		}
		var both sync.WaitGroup
		for _, c := range []account.Change{{Plan: plan}, {Name: name}} {
			both.Go(func() {
				if _, err := f.Update(ctx, u.ID, c); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		var err error
		if u, err = f.User(ctx, u.ID); err != nil || u.Plan != *plan || u.Name != *name {
			t.Fatalf("%+v, %v; want plan %q and name %q", u, err, *plan, *name)
		}
	}
}

func TestLastAdmin(t *testing.T) {
	t.Parallel()
	f, ctx := open(t), t.Context()
	ann, bob, off := f.user(t, "ann", account.Admin), f.user(t, "bob", account.Admin), f.user(t, "off", account.Admin)
	_, err := f.Update(ctx, off.ID, account.Change{Suspended: ptr(true)})
	check(t, err)
	var won atomic.Int32
	var both sync.WaitGroup
	for id, c := range map[string]account.Change{ann.ID: {Suspended: ptr(true)}, bob.ID: {Role: ptr(account.Member)}} {
		both.Go(func() {
			_, err := f.Update(ctx, id, c)
			if err == nil {
				won.Add(1)
			} else {
				fails(t, "the last administrator", err, coded("last_admin"))
			}
		})
	}
	both.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of two administrators stepped down, want 1", won.Load())
	}
	_, err = f.Update(ctx, off.ID, account.Change{Suspended: ptr(false)})
	check(t, err)
	for _, id := range []string{ann.ID, bob.ID} { // somebody else is there now
		_, err = f.Update(ctx, id, account.Change{Role: ptr(account.Member)})
		check(t, err)
	}
}

func TestSetup(t *testing.T) {
	t.Parallel()
	f, ctx := open(t), t.Context()
	needed, err := f.SetupNeeded(ctx)
	if err != nil || !needed {
		t.Fatalf("an empty store: %v, %v", needed, err)
	}
	_, err = f.Setup(ctx, "", "ann@example.org", password, "")
	fails(t, "without a token", err, coded("setup_token"))
	token := f.SetupToken()
	if other := account.New(f.store, f.store, macs("one"), nil, nil).SetupToken(); other != token {
		t.Error("another instance has another token")
	}
	_, err = f.Setup(ctx, account.New(nil, nil, macs("two"), nil, nil).SetupToken(), "ann@example.org", password, "")
	fails(t, "the token of another secret key", err, coded("setup_token"))
	_, err = f.Setup(ctx, token, "ann@example.org", "", "")
	field(t, "no password", err, "password")
	f.user(t, "early", account.Member) // signed up before the operator came

	var won atomic.Int32
	var racers sync.WaitGroup
	for _, email := range []string{"a@example.org", "b@example.org", "c@example.org", "d@example.org"} {
		racers.Go(func() {
			u, err := f.Setup(ctx, token, email, password, "")
			if err != nil {
				fails(t, "a second time", err, coded("setup_done"))
			} else if won.Add(1); u.Role != account.Admin {
				t.Errorf("made %+v", u)
			}
		})
	}
	racers.Wait()
	if won.Load() != 1 {
		t.Errorf("%d administrators were made, want 1", won.Load())
	}
	for range 2 { // from the store, then from memory
		if needed, err := f.SetupNeeded(ctx); err != nil || needed {
			t.Errorf("afterwards: %v, %v", needed, err)
		}
	}
	_, err = f.Setup(ctx, token, "e@example.org", password, "")
	fails(t, "with an administrator there", err, coded("setup_done"))
}
