package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/account"
)

// Accounts holds an account.Store to its words. open gives one without users.
func Accounts(t *testing.T, open func(*testing.T) account.Store) {
	t.Run("users", func(t *testing.T) { accountUsers(t, open(t)) })
	t.Run("administrators", func(t *testing.T) { accountAdmins(t, open(t)) })
	t.Run("one address, many sign-ups", func(t *testing.T) { accountRace(t, open(t)) })
	t.Run("list", func(t *testing.T) { accountList(t, open(t)) })
	t.Run("keys", func(t *testing.T) { accountKeys(t, open(t)) })
	t.Run("seen", func(t *testing.T) { accountSeen(t, open(t)) })
	t.Run("odd texts", func(t *testing.T) { accountText(t, open(t)) })
}

func userOf(id string) account.User {
	return account.User{ID: id, Email: id + "@example.com", Name: "Ann " + id, Role: account.Member, Password: "$argon2id$x", CreatedAt: epoch()}
}

func accountUsers(t *testing.T, s account.Store) {
	ctx := context.Background()
	per, day := int64(7), int64(90_000_000_000)
	want := userOf("u1")
	want.Role, want.Plan, want.Limits, want.SeenAt = account.Admin, "pro", account.Limits{RequestsPerMinute: &per, CreditsPerDay: &day}, epoch().Add(time.Second)
	check(t, s.CreateUser(ctx, want))
	for name, find := range map[string]func() (account.User, error){
		"by id":                 func() (account.User, error) { return s.UserByID(ctx, "u1") },
		"by address":            func() (account.User, error) { return s.UserByEmail(ctx, "u1@example.com") },
		"by address in capital": func() (account.User, error) { return s.UserByEmail(ctx, "U1@Example.COM") },
	} {
		if got, err := find(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v:\n%+v, want\n%+v", name, err, got, want)
		}
	}
	nameless := want
	nameless.Password = ""
	if got, err := s.Identity(ctx, "u1"); err != nil || !reflect.DeepEqual(got, nameless) {
		t.Errorf("identity: %v:\n%+v, want it without the password", err, got)
	}
	other := userOf("u2")
	other.Email = "U1@EXAMPLE.com"
	fails(t, "the same address in capitals", s.CreateUser(ctx, other), account.ErrTaken)
	_, err := s.UserByID(ctx, "u2")
	fails(t, "a user by id", err, account.ErrNoUser)
	_, err = s.UserByEmail(ctx, "u2@example.com")
	fails(t, "a user by address", err, account.ErrNoUser)
	was := want
	want.Name, want.Role, want.Suspended, want.Plan, want.Limits, want.Password = "Bea", account.Member, true, "", account.Limits{}, ""
	fails(t, "the last administrator", s.UpdateUser(ctx, was, want), account.ErrLastAdmin)
	boss := userOf("boss")
	boss.Role = account.Admin
	check(t, s.CreateUser(ctx, boss))
	check(t, s.UpdateUser(ctx, was, want))
	fails(t, "an edit of what is not there any more", s.UpdateUser(ctx, was, want), account.ErrEdited)
	if got, err := s.UserByID(ctx, "u1"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("after an update: %v:\n%+v, want\n%+v", err, got, want)
	}
	if got, err := s.Identity(ctx, "u1"); err != nil || !reflect.DeepEqual(got, want) { // it has no password by now
		t.Errorf("identity after an update: %v:\n%+v, want\n%+v", err, got, want)
	}
	_, err = s.Identity(ctx, "u9")
	fails(t, "nobody's identity", err, account.ErrNoUser)
	fails(t, "updating nobody", s.UpdateUser(ctx, userOf("u9"), userOf("u9")), account.ErrNoUser)
	if n, err := s.CountUsers(ctx); err != nil || n != 2 {
		t.Errorf("%d users, %v", n, err)
	}
}

// Of administrators who suspend each other at the same moment one stays.
func accountAdmins(t *testing.T, s account.Store) {
	ctx := context.Background()
	const n = 5
	for i := range n {
		u := userOf(fmt.Sprint("admin", i))
		u.Role = account.Admin
		check(t, s.CreateUser(ctx, u))
	}
	var editors sync.WaitGroup
	for i := range n {
		editors.Go(func() {
			was, err := s.UserByID(ctx, fmt.Sprint("admin", i))
			if err != nil {
				t.Error(err)
				return
			}
			u := was
			u.Suspended = true
			if err := s.UpdateUser(ctx, was, u); err != nil && !errors.Is(err, account.ErrLastAdmin) {
				t.Error(err)
			}
		})
	}
	editors.Wait()
	active := 0
	users, err := s.Users(ctx, account.Filter{Limit: 100})
	check(t, err)
	for _, u := range users {
		if u.ActiveAdmin() {
			active++
		}
	}
	if active != 1 {
		t.Errorf("%d active administrators are left, want 1", active)
	}
}

func accountRace(t *testing.T, s account.Store) {
	var won atomic.Int64
	var racers sync.WaitGroup
	for i := range 20 {
		racers.Go(func() {
			u := userOf(fmt.Sprint("u", i))
			u.Email = []string{"same@example.com", "Same@Example.com"}[i%2]
			if err := s.CreateUser(context.Background(), u); err == nil {
				won.Add(1)
			} else if !errors.Is(err, account.ErrTaken) {
				t.Error(err)
			}
		})
	}
	racers.Wait()
	if n, err := s.CountUsers(context.Background()); won.Load() != 1 || n != 1 || err != nil {
		t.Errorf("%d sign-ups won, %d users, %v", won.Load(), n, err)
	}
}

func accountList(t *testing.T, s account.Store) {
	ctx := context.Background()
	for i := range 6 {
		u := userOf(fmt.Sprint("u", i))
		u.CreatedAt = epoch().Add(time.Duration(i/2) * time.Minute) // two each minute
		if i == 4 {
			u.Name, u.Email = "100% sure", "odd_one@example.com"
		}
		check(t, s.CreateUser(ctx, u))
	}
	ids := func(f account.Filter) (list string) {
		for {
			users, err := s.Users(ctx, f)
			check(t, err)
			for _, u := range users {
				list += u.ID + " "
				f.After = u.ID
			}
			if len(users) < f.Limit {
				return list
			}
		}
	}
	for _, tt := range []struct {
		query string
		limit int
		want  string
	}{
		{"", 10, "u5 u4 u3 u2 u1 u0 "},
		{"", 4, "u5 u4 u3 u2 u1 u0 "},
		{"", 1, "u5 u4 u3 u2 u1 u0 "},
		{"ANN", 2, "u5 u3 u2 u1 u0 "},
		{"u3@", 10, "u3 "},
		{"%", 10, "u4 "},
		{"_", 10, "u4 "},
		{"nobody", 10, ""},
	} {
		if got := ids(account.Filter{Query: tt.query, Limit: tt.limit}); got != tt.want {
			t.Errorf("%q by %d: %s, want %s", tt.query, tt.limit, got, tt.want)
		}
	}
}

func accountKeys(t *testing.T, s account.Store) {
	ctx := context.Background()
	check(t, s.CreateUser(ctx, userOf("u1")))
	check(t, s.CreateUser(ctx, userOf("u2")))
	first := account.Key{ID: "key1", User: "u1", Name: "laptop", Prefix: "om_abcd", Hash: "h1", CreatedAt: epoch()}
	second := account.Key{ID: "key2", User: "u1", Name: "ci", Prefix: "om_efgh", Hash: "h2", CreatedAt: epoch().Add(time.Second), CreditsPerDay: 7_000_000_000, ResponseCache: true}
	check(t, s.CreateKey(ctx, first))
	check(t, s.CreateKey(ctx, second))
	if got, err := s.KeyByHash(ctx, "h1"); err != nil || got != first {
		t.Errorf("%+v, %v, want %+v", got, err, first)
	}
	keys, err := s.Keys(ctx, "u1")
	check(t, err)
	if len(keys) != 2 || keys[0] != second || keys[1] != first {
		t.Errorf("keys %+v, want the newest first", keys)
	}
	name, credits, cache := "desk", int64(5), true
	for _, change := range []account.KeyChange{{Name: &name}, {CreditsPerDay: &credits}, {ResponseCache: &cache}, {}} {
		if change.Name != nil {
			first.Name = name
		}
		if change.CreditsPerDay != nil {
			first.CreditsPerDay = credits
		}
		first.ResponseCache = first.ResponseCache || change.ResponseCache != nil
		if got, err := s.UpdateKey(ctx, "u1", "key1", change); err != nil || got != first {
			t.Errorf("changed %+v, %v, want %+v", got, err, first)
		}
	}
	credits, cache = 0, false
	first.CreditsPerDay, first.ResponseCache = 0, false
	if got, err := s.UpdateKey(ctx, "u1", "key1", account.KeyChange{CreditsPerDay: &credits, ResponseCache: &cache}); err != nil || got != first {
		t.Errorf("changed back %+v, %v, want %+v", got, err, first)
	}
	if got, err := s.KeyByHash(ctx, "h1"); err != nil || got != first {
		t.Errorf("after the changes %+v, %v, want %+v", got, err, first)
	}
	_, err = s.UpdateKey(ctx, "u2", "key1", account.KeyChange{Name: &name})
	fails(t, "changing another user's key", err, account.ErrNoKey)
	_, err = s.UpdateKey(ctx, "u1", "key9", account.KeyChange{})
	fails(t, "changing a key that is not there", err, account.ErrNoKey)
	_, err = s.DeleteKey(ctx, "u2", "key1")
	fails(t, "another user's key", err, account.ErrNoKey)
	if got, err := s.DeleteKey(ctx, "u1", "key1"); err != nil || got != first {
		t.Errorf("deleted %+v, %v", got, err)
	}
	_, err = s.DeleteKey(ctx, "u1", "key1")
	fails(t, "a key that is gone", err, account.ErrNoKey)
	_, err = s.KeyByHash(ctx, "h1")
	fails(t, "a key that is gone, by its hash", err, account.ErrNoKey)
	if _, err := s.KeyByHash(ctx, "h2"); err != nil {
		t.Errorf("the other key: %v", err)
	}
}

func accountSeen(t *testing.T, s account.Store) {
	ctx := context.Background()
	check(t, s.CreateUser(ctx, userOf("u1")))
	check(t, s.CreateKey(ctx, account.Key{ID: "key1", User: "u1", Hash: "h1", CreatedAt: epoch()}))
	at := epoch().Add(5 * time.Minute)
	check(t, s.Seen(ctx, map[string]time.Time{"key1": at, "gone": at}, map[string]time.Time{"u1": at.Add(time.Second), "gone": at}))
	check(t, s.Seen(ctx, map[string]time.Time{"key1": at.Add(-time.Hour)}, nil))
	check(t, s.Seen(ctx, nil, nil))
	k, err := s.KeyByHash(ctx, "h1")
	check(t, err)
	u, err := s.UserByID(ctx, "u1")
	check(t, err)
	if !k.UsedAt.Equal(at) || !u.SeenAt.Equal(at.Add(time.Second)) {
		t.Errorf("key used %s, user seen %s, want %s and a second later", k.UsedAt, u.SeenAt, at)
	}
}
