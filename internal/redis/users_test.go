package redis_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/account"
	"onemind/internal/redis"
	"onemind/internal/storetest"
)

func TestAccounts(t *testing.T) {
	storetest.Accounts(t, func(t *testing.T) account.Store { return redis.NewUsers(empty(t), database(t)) })
}

// people is a store whose look-ups of identities are counted, and whose
// deletions can lose their answer.
type people struct {
	account.Store
	reads atomic.Int64
	lose  error
}

func (p *people) Identity(ctx context.Context, id string) (account.User, error) {
	p.reads.Add(1)
	return p.Store.Identity(ctx, id)
}

func (p *people) KeyByHash(ctx context.Context, hash string) (account.Key, error) {
	p.reads.Add(1)
	return p.Store.KeyByHash(ctx, hash)
}

func (p *people) DeleteKey(ctx context.Context, user, id string) (account.Key, error) {
	k, err := p.Store.DeleteKey(ctx, user, id)
	return k, errors.Join(err, p.lose)
}

// Who asks is found without the database, and a change counts everywhere at once.
func TestIdentities(t *testing.T) {
	under := &people{Store: database(t)}
	a, b := redis.NewUsers(empty(t), under), redis.NewUsers(dial(t, single.URL()), under)
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Millisecond)
	u := account.User{ID: "u", Email: "u@x.org", Role: account.Member, Password: "$argon2id$digest", CreatedAt: now, SeenAt: now}
	if err := a.CreateUser(ctx, u); err != nil {
		t.Fatal(err)
	}
	if err := a.CreateKey(ctx, account.Key{ID: "k", User: "u", Name: "n", Prefix: "om_", Hash: "h", CreatedAt: now}); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		for _, s := range []*redis.Users{a, b} {
			if got, err := s.Identity(ctx, "u"); err != nil || got.Email != u.Email || got.Password != "" {
				t.Fatalf("%+v, %v", got, err)
			}
			if k, err := s.KeyByHash(ctx, "h"); err != nil || k.User != "u" {
				t.Fatalf("%+v, %v", k, err)
			}
		}
	}
	if n := under.reads.Load(); n > 16 { // each anew for each of two connections that came to stand
		t.Errorf("200 look-ups read the database %d times", n)
	}
	kept, err := command(t, single.Addr(), "HGETALL", "user:{u}:account").AsStrMap()
	if err != nil || kept["v"] == "" || len(kept["v"]) > 1000 {
		t.Errorf("the copy: %v, %v", kept, err)
	}
	for _, v := range kept {
		if strings.Contains(v, "argon2id") {
			t.Errorf("a password's digest is in Redis: %s", v)
		}
	}
	suspended := u
	suspended.Suspended = true
	if err := a.UpdateUser(ctx, u, suspended); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Identity(ctx, "u"); err != nil || !got.Suspended {
		t.Errorf("the other instance does not see the suspension: %+v, %v", got, err)
	}
	day := int64(7)
	if _, err := a.UpdateKey(ctx, "u", "k", account.KeyChange{CreditsPerDay: &day}); err != nil {
		t.Fatal(err)
	}
	if k, err := b.KeyByHash(ctx, "h"); err != nil || k.CreditsPerDay != day {
		t.Errorf("the other instance does not see the key's cap: %+v, %v", k, err)
	}
	under.lose = errors.New("the line is lost")
	if _, err := a.DeleteKey(ctx, "u", "k"); !errors.Is(err, under.lose) {
		t.Errorf("a lost answer: %v", err)
	}
	if k, err := b.KeyByHash(ctx, "h"); !errors.Is(err, account.ErrNoKey) {
		t.Errorf("the revoked key is known: %+v, %v", k, err)
	}
}
