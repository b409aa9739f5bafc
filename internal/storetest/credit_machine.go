package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"onemind/internal/credit"
	"onemind/internal/money"
)

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// books is the naive model: maps, one act after another.
type books struct {
	total, held map[string]money.Amount
	holds       map[string]credit.Hold // by ref, open and closed
	charges     map[string]money.Amount
	entries     map[string]credit.Entry // by user and ref
}

func newBooks() *books {
	return &books{total: map[string]money.Amount{}, held: map[string]money.Amount{}, holds: map[string]credit.Hold{},
		charges: map[string]money.Amount{}, entries: map[string]credit.Entry{}}
}

func (b *books) hold(h credit.Hold) (money.Amount, error) {
	if was, ok := b.holds[h.Ref]; ok {
		if was.User != h.User {
			return 0, credit.ErrReused
		}
		return was.Amount, nil
	}
	if _, ok := b.entries[h.User+"/"+h.Ref]; ok {
		return 0, credit.ErrReused
	}
	most := h.AtMost
	if h.DayCap > 0 {
		most = min(most, max(0, h.DayCap-b.spent(h, "")))
	}
	if h.KeyCap > 0 && h.Key != "" {
		most = min(most, max(0, h.KeyCap-b.spent(h, h.Key)))
	}
	if most < h.AtLeast {
		return 0, credit.ErrDayCap
	}
	free := b.total[h.User] - b.held[h.User]
	if free < h.AtLeast {
		return 0, credit.ErrShort
	}
	h.Amount = min(most, free)
	b.holds[h.Ref] = h
	b.held[h.User] += h.Amount
	return h.Amount, nil
}

// spent is what counts against a hold's cap: what was charged for holds of its day,
// or of its day and key, and what those that are open hold.
func (b *books) spent(h credit.Hold, key string) (sum money.Amount) {
	for ref, other := range b.holds {
		if other.User != h.User || !other.At.Truncate(24*time.Hour).Equal(h.At.Truncate(24*time.Hour)) || key != "" && other.Key != key {
			continue
		}
		if charge, closed := b.charges[ref]; closed {
			sum += charge
		} else {
			sum += other.Amount
		}
	}
	return sum
}

func (b *books) settle(ref string, charge money.Amount) (money.Amount, bool, error) {
	h, ok := b.holds[ref]
	if !ok {
		return 0, false, credit.ErrNoHold
	}
	if first, ok := b.charges[ref]; ok {
		return first, false, nil
	}
	b.charges[ref] = charge
	b.held[h.User] -= h.Amount
	b.total[h.User] -= charge
	return charge, true, nil
}

func (b *books) post(e credit.Entry) error {
	if was, ok := b.entries[e.User+"/"+e.Ref]; ok {
		if was.Amount != e.Amount {
			return credit.ErrReused
		}
		return nil
	}
	if h, ok := b.holds[e.Ref]; ok && h.User == e.User {
		return credit.ErrReused
	}
	if e.Amount < 0 && b.total[e.User]-b.held[e.User]+e.Amount < 0 {
		return credit.ErrShort
	}
	b.entries[e.User+"/"+e.Ref] = e
	b.total[e.User] += e.Amount
	return nil
}

// creditMachine runs random acts, with repeats and out of order, against a
// store and the naive model: every answer and every balance must be the same.
func creditMachine(t *testing.T, open func(*testing.T) credit.Store) {
	s, round := open(t), 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		m := newBooks()
		name := func(kind string, n int) string { return fmt.Sprintf("%s%d.%d", kind, round, n) }
		user := rapid.Custom(func(t *rapid.T) string { return name("user", rapid.IntRange(0, 2).Draw(t, "user")) })
		ref := rapid.Custom(func(t *rapid.T) string { return name("ref", rapid.IntRange(0, 9).Draw(t, "ref")) })
		amount := rapid.Int64Range(0, 60)
		t.Repeat(map[string]func(*rapid.T){
			"hold": func(t *rapid.T) {
				h := holdOf(user.Draw(t, "user"), ref.Draw(t, "ref"), 0, 0)
				h.AtLeast = money.Amount(amount.Draw(t, "at least"))
				h.AtMost = h.AtLeast + money.Amount(amount.Draw(t, "more"))
				h.At = h.At.AddDate(0, 0, rapid.IntRange(0, 1).Draw(t, "day"))
				h.Key = rapid.SampledFrom([]string{"", "k1", "k2"}).Draw(t, "key")
				h.DayCap = money.Amount(rapid.SampledFrom([]int64{0, 0, 50, 120}).Draw(t, "cap"))
				h.KeyCap = money.Amount(rapid.SampledFrom([]int64{0, 0, 40, 90}).Draw(t, "key's cap"))
				got, err := s.Hold(context.Background(), h)
				want, wantErr := m.hold(h)
				agree(t, "hold", got, want, err, wantErr)
			},
			"settle": func(t *rapid.T) {
				r := receiptOf("", ref.Draw(t, "ref"), 0)
				if h, ok := m.holds[r.ID]; ok {
					r.FinishedAt = h.At.Add(time.Second)
					r.User, r.Charge = h.User, min(h.Amount, money.Amount(amount.Draw(t, "charge")))
				}
				first, closed, err := s.Settle(context.Background(), r)
				want, wantClosed, wantErr := m.settle(r.ID, r.Charge)
				agree(t, "settle", first.Charge, want, err, wantErr)
				if closed != wantClosed {
					t.Fatalf("settle closed %v, want %v", closed, wantClosed)
				}
			},
			"post": func(t *rapid.T) {
				e := credit.Entry{User: user.Draw(t, "user"), Kind: credit.Adjustment, Ref: ref.Draw(t, "ref"), Amount: money.Amount(rapid.Int64Range(-80, 120).Draw(t, "amount")), At: epoch()}
				_, err := s.Post(context.Background(), e)
				agree(t, "post", 0, 0, err, m.post(e))
			},
			"": func(t *rapid.T) {
				for user, total := range m.total {
					b, err := s.Balance(context.Background(), user)
					if err != nil || b.Total != total || b.Held != m.held[user] {
						t.Fatalf("%s: %+v, %v, want %d with %d held", user, b, err, total, m.held[user])
					}
				}
			},
		})
	})
	cleanBooks(t, s)
	creditStorm(t, s)
}

func agree(t *rapid.T, act string, got, want money.Amount, err, wantErr error) {
	if got != want || !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
		t.Fatalf("%s: %d, %v, want %d, %v", act, got, err, want, wantErr)
	}
}

// creditStorm does everything at once, each act several times; who wins is
// chance, but the books must add up.
func creditStorm(t *testing.T, s credit.Store) {
	ctx := context.Background()
	var storm sync.WaitGroup
	for user := range 4 {
		name := fmt.Sprint("storm", user)
		grant(t, s, name, 500)
		for i := range 60 {
			storm.Go(func() {
				ref := fmt.Sprint(name, "-", i/3) // three do the same
				_, err := s.Hold(ctx, holdOf(name, ref, 20, 40))
				if err == nil {
					_, _, err = s.Settle(ctx, receiptOf(name, ref, money.Amount(i/3)))
				}
				if err != nil && !errors.Is(err, credit.ErrShort) {
					t.Error(err)
				}
				if i%6 == 0 {
					e := credit.Entry{User: name, Kind: credit.Adjustment, Ref: fmt.Sprint("post", i/12), Amount: money.Amount(i%5 - 20), At: epoch()}
					if _, err := s.Post(ctx, e); err != nil && !errors.Is(err, credit.ErrShort) && !errors.Is(err, credit.ErrReused) {
						t.Error(err)
					}
				}
			})
		}
	}
	storm.Wait()
	if sums := cleanBooks(t, s); sums.OpenHolds == 0 && sums.Transactions == 0 {
		t.Error("nothing happened")
	}
}
