package redis

import (
	"context"
	"encoding/json"
	"time"

	"onemind/internal/account"
)

// identityFor is how long copies of users and API keys live: long enough that
// somebody who asks three times a minute is read from the database seldom. What
// changes drops them at once; see records.
const identityFor = 5 * time.Minute

func userKey(id string) string     { return "user:{" + id + "}:account" }
func apiKeyKey(hash string) string { return "key:{" + hash + "}" }

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
	return copied(ctx, u.c, userKey(id), func() (account.User, error) { return u.Store.Identity(ctx, id) })
}

// KeyByHash finds an API key; see account.Store.
func (u *Users) KeyByHash(ctx context.Context, hash string) (account.Key, error) {
	return copied(ctx, u.c, apiKeyKey(hash), func() (account.Key, error) { return u.Store.KeyByHash(ctx, hash) })
}

// copied reads a copy or, where there is none to believe, the row, and keeps it.
func copied[T any](ctx context.Context, c *Client, key string, load func() (T, error)) (v T, err error) {
	if r, ok := c.get(ctx, key); ok && json.Unmarshal([]byte(r.value), &v) == nil {
		return v, nil
	}
	read := time.Now()
	if v, err = load(); err != nil {
		return v, err
	}
	if text, err := json.Marshal(v); err == nil {
		c.put(ctx, key, record{value: string(text)}, lives{identityFor, identityFor}, read)
	}
	return v, nil
}

// UpdateUser changes a user; see account.Store.
func (u *Users) UpdateUser(ctx context.Context, was, now account.User) error {
	err := u.Store.UpdateUser(ctx, was, now)
	u.ForgetUser(ctx, was.ID) // after an error too: the row may be written and only the reply lost
	return err
}

// UpdateKey changes a key; see account.Store.
func (u *Users) UpdateKey(ctx context.Context, user, id string, c account.KeyChange) (account.Key, error) {
	return u.onKey(ctx, user, id, func() (account.Key, error) { return u.Store.UpdateKey(ctx, user, id, c) })
}

// DeleteKey revokes a key; see account.Store.
func (u *Users) DeleteKey(ctx context.Context, user, id string) (account.Key, error) {
	return u.onKey(ctx, user, id, func() (account.Key, error) { return u.Store.DeleteKey(ctx, user, id) })
}

// onKey writes to a key's row and drops its copy. After an error the row may be
// written and only the reply lost: which key it is, is asked before.
func (u *Users) onKey(ctx context.Context, user, id string, write func() (account.Key, error)) (account.Key, error) {
	list, _ := u.Keys(ctx, user) // without it a lost reply is not covered, all else is
	k, err := write()
	if err == nil {
		u.ForgetKey(ctx, k.Hash)
		return k, nil
	}
	for _, old := range list {
		if old.ID == id {
			u.ForgetKey(ctx, old.Hash)
		}
	}
	return k, err
}

// ForgetUser drops the copy of a user who was changed elsewhere.
func (u *Users) ForgetUser(ctx context.Context, id string) { u.c.drop(ctx, userKey(id)) }

// ForgetKey drops the copy of a key that was revoked or changed elsewhere.
func (u *Users) ForgetKey(ctx context.Context, hash string) { u.c.drop(ctx, apiKeyKey(hash)) }
