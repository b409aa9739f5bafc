package storetest

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"onemind/internal/credit"
	"onemind/internal/money"
)

func creditProgress(t *testing.T, s credit.Store) {
	ctx := context.Background()
	grant(t, s, "u", 100)
	for _, ref := range []string{"a", "b", "c"} {
		_, err := s.Hold(ctx, holdOf("u", ref, 10, 10))
		check(t, err)
	}
	_, _, err := s.Settle(ctx, receiptOf("u", "c", 1))
	check(t, err)
	check(t, s.Progress(ctx, map[string]int64{"a": 5, "b": 7, "c": 9, "unknown": 1}))
	check(t, s.Progress(ctx, map[string]int64{"a": 3, "b": 8}))
	check(t, s.Progress(ctx, nil))
	holds, err := s.Open(ctx, epoch().Add(time.Hour))
	check(t, err)
	got := map[string]int64{}
	for _, h := range holds {
		got[h.Ref] = h.Progress
	}
	if want := map[string]int64{"a": 5, "b": 8}; !reflect.DeepEqual(got, want) {
		t.Errorf("progress %v, want %v", got, want)
	}
}

func creditOpen(t *testing.T, s credit.Store) {
	ctx := context.Background()
	grant(t, s, "u", 100)
	for i, ref := range []string{"third", "first", "second", "young", "closed"} {
		h := holdOf("u", ref, 10, 15)
		h.At = epoch().Add(time.Duration([]int{3, 1, 2, 60, 0}[i]) * time.Minute)
		_, err := s.Hold(ctx, h)
		check(t, err)
	}
	_, _, err := s.Settle(ctx, receiptOf("u", "closed", 1))
	check(t, err)
	holds, err := s.Open(ctx, epoch().Add(time.Hour))
	check(t, err)
	if len(holds) != 3 || holds[0].Ref != "first" || holds[1].Ref != "second" || holds[2].Ref != "third" {
		t.Fatalf("open holds %+v, want first, second, third", holds)
	}
	want := credit.Hold{Ref: "first", User: "u", Owner: "boot1", Terms: []byte(`{"model":"m"}`), At: epoch().Add(time.Minute), Amount: 15}
	got := holds[0]
	got.AtLeast, got.AtMost = 0, 0 // what was asked need not be kept
	if !sameJSON(got.Terms, want.Terms) {
		t.Errorf("terms %s", got.Terms)
	}
	got.Terms = want.Terms
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	sums := cleanBooks(t, s)
	if sums.OpenHolds != 4 || sums.Open != 60 || !sums.OldestHold.Equal(epoch().Add(time.Minute)) || sums.Accounts != 1 || sums.Transactions != 2 {
		t.Errorf("sums %+v", sums)
	}
}

func creditLists(t *testing.T, s credit.Store) {
	ctx := context.Background()
	for _, user := range []string{"u", "v"} {
		grant(t, s, user, 1000)
		for i := range 5 {
			ref := fmt.Sprint(user, i)
			_, err := s.Hold(ctx, holdOf(user, ref, 10, 10))
			check(t, err)
			_, _, err = s.Settle(ctx, receiptOf(user, ref, money.Amount(i+1)))
			check(t, err)
		}
	}
	var amounts []money.Amount
	page := credit.Page{Limit: 4}
	for {
		entries, err := s.Entries(ctx, "u", page)
		check(t, err)
		for _, e := range entries {
			amounts = append(amounts, e.Amount)
			page.Before = e.ID
		}
		if len(entries) < 4 {
			break
		}
	}
	if want := []money.Amount{-5, -4, -3, -2, -1, 1000}; !reflect.DeepEqual(amounts, want) {
		t.Errorf("entries %v, want %v", amounts, want)
	}
	for user, want := range map[string][]string{"u": {"u4", "u3", "u2", "u1", "u0"}, "": {"v4", "v3", "v2", "v1", "v0", "u4", "u3", "u2", "u1", "u0"}, "w": nil} {
		var refs []string
		page := credit.Page{Limit: 2}
		for {
			receipts, last, err := s.Receipts(ctx, user, page)
			check(t, err)
			for _, r := range receipts {
				refs = append(refs, r.ID)
			}
			if len(receipts) < 2 {
				break
			}
			page.Before = last
		}
		if !reflect.DeepEqual(refs, want) {
			t.Errorf("receipts of %q: %v, want %v", user, refs, want)
		}
	}
	want := receiptOf("u", "u2", 3)
	for _, ask := range [][2]string{{"u", "u2"}, {"u", "req_u2"}, {"", "u2"}, {"", "req_u2"}} {
		if got, err := s.Receipt(ctx, ask[0], ask[1]); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("receipt %q: %v:\n%+v, want\n%+v", ask, err, got, want)
		}
	}
	for _, ask := range [][2]string{{"v", "u2"}, {"v", "req_u2"}, {"u", ""}, {"", "none"}} {
		_, err := s.Receipt(ctx, ask[0], ask[1])
		fails(t, fmt.Sprintf("receipt %q", ask), err, credit.ErrNoReceipt)
	}
}

func creditUsage(t *testing.T, s credit.Store) {
	ctx := context.Background()
	day := time.Date(2026, 11, 24, 23, 59, 59, 999_000_000, time.UTC)
	for _, user := range []string{"u", "v"} {
		grant(t, s, user, 1000)
		for i, model := range []string{"b", "a", "b", "b"} {
			ref := fmt.Sprint(user, i)
			_, err := s.Hold(ctx, holdOf(user, ref, 100, 100))
			check(t, err)
			r := receiptOf(user, ref, money.Amount(i))
			r.Model, r.FinishedAt = model, day
			if i == 3 {
				r.FinishedAt = day.Add(time.Millisecond)
			}
			_, _, err = s.Settle(ctx, r)
			check(t, err)
		}
	}
	rows, err := s.Usage(ctx, "u", day)
	check(t, err)
	want := []credit.UsageRow{
		{Day: "2026-11-24", Model: "a", Requests: 1, Input: 12, Output: 6, Charge: 1},
		{Day: "2026-11-24", Model: "b", Requests: 2, Input: 24, Output: 12, Charge: 2},
		{Day: "2026-11-25", Model: "b", Requests: 1, Input: 12, Output: 6, Charge: 3},
	}
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("usage %+v, want %+v", rows, want)
	}
	rows, err = s.Usage(ctx, "", day.Add(time.Millisecond))
	check(t, err)
	if want := []credit.UsageRow{{Day: "2026-11-25", Model: "b", Requests: 2, Input: 24, Output: 12, Charge: 6}}; !reflect.DeepEqual(rows, want) {
		t.Errorf("usage of all %+v, want %+v", rows, want)
	}
}
