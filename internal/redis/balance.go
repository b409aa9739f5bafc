package redis

import (
	"context"
	"encoding/json"
	"time"

	"onemind/internal/credit"
)

// balanceFor is how long a balance is shown without asking the database.
const balanceFor = time.Minute

// Balances keeps balances to show. They never authorise anything.
type Balances struct{ c *Client }

var _ credit.Display = (*Balances)(nil)

// NewBalances builds Balances.
func NewBalances(c *Client) *Balances { return &Balances{c} }

func balanceKey(user string) string { return "user:{" + user + "}:credits" }

// Shown gives a kept balance; see credit.Display.
func (b *Balances) Shown(ctx context.Context, user string) (v credit.Balance, ok bool) {
	r, ok := b.c.get(ctx, balanceKey(user))
	if !ok || json.Unmarshal([]byte(r.value), &v) != nil {
		return credit.Balance{}, false
	}
	return v, true
}

// Keep keeps a balance; see credit.Display.
func (b *Balances) Keep(ctx context.Context, user string, v credit.Balance, read time.Time) {
	if text, err := json.Marshal(v); err == nil {
		b.c.put(ctx, balanceKey(user), record{value: string(text)}, lives{balanceFor, balanceFor}, read)
	}
}

// Changed drops the balances of users whose money moved, all in one go.
func (b *Balances) Changed(ctx context.Context, users []string) {
	keys := make([]string, len(users))
	for i, user := range users {
		keys[i] = balanceKey(user)
	}
	b.c.drop(ctx, keys...)
}
