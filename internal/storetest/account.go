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
	t.Run("one address, many sign-ups", func(t *testing.T) { accountRace(t, open(t)) })
	t.Run("list", func(t *testing.T) { accountList(t, open(t)) })
	t.Run("keys", func(t *testing.T) { accountKeys(t, open(t)) })
	t.Run("seen", func(t *testing.T) { accountSeen(t, open(t)) })
}

func userOf(id string) account.User {
	return account.User{ID: id, Email: id + "@example.com", Name: "Ann " + id, Role: account.Member, Password: "$argon2id$x", CreatedAt: epoch()}
}

func accountUsers(t *testing.T, s account.Store) {
	ctx := context.Background()
	per := int64(7)
	want := userOf("u1")
	want.Role, want.Plan, want.Limits, want.SeenAt = account.Admin, "pro", account.Limits{RequestsPerMinute: &per}, epoch().Add(time.Second)
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
	other := userOf("u2")
	other.Email = "U1@EXAMPLE.com"
	fails(t, "the same address in capitals", s.CreateUser(ctx, other), account.ErrTaken)
	_, err := s.UserByID(ctx, "u2")
	fails(t, "a user by id", err, account.ErrNoUser)
	_, err = s.UserByEmail(ctx, "u2@example.com")
	fails(t, "a user by address", err, account.ErrNoUser)
	want.Name, want.Role, want.Suspended, want.Plan, want.Limits, want.Password = "Bea", account.Member, true, "", account.Limits{}, ""
	check(t, s.UpdateUser(ctx, want))
	if got, err := s.UserByID(ctx, "u1"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("after an update: %v:\n%+v, want\n%+v", err, got, want)
	}
	fails(t, "updating nobody", s.UpdateUser(ctx, userOf("u9")), account.ErrNoUser)
	if n, err := s.CountUsers(ctx); err != nil || n != 1 {
		t.Errorf("%d users, %v", n, err)
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
	second := account.Key{ID: "key2", User: "u1", Name: "ci", Prefix: "om_efgh", Hash: "h2", CreatedAt: epoch().Add(time.Second)}
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
