package account_test

import (
	"testing"
	"time"

	"onemind/internal/account"
)

// On the path of every call; 0.25 us and one allocation.
func BenchmarkIdentifyKey(b *testing.B) {
	f := open(b)
	_, plain, err := f.CreateKey(b.Context(), f.user(b, "ann", account.Member).ID, account.NewKey{Name: "laptop"})
	check(b, err)
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := f.IdentifyKey(b.Context(), plain, now); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkIdentify(b *testing.B) {
	f := open(b)
	now := time.Now()
	token, _ := f.signedIn(b, f.user(b, "ann", account.Member).ID, now)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Identify(b.Context(), token, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLogin(b *testing.B) {
	f := open(b)
	_, err := f.Signup(b.Context(), "ann@example.org", password, "")
	check(b, err)
	for b.Loop() {
		if _, _, _, err := f.Login(b.Context(), "ann@example.org", password, account.Device{}, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}

func TestIdentifyAllocates(t *testing.T) {
	f, ctx, now := open(t), t.Context(), time.Now()
	u := f.user(t, "ann", account.Member)
	_, plain, err := f.CreateKey(ctx, u.ID, account.NewKey{Name: "laptop"})
	check(t, err)
	token, _ := f.signedIn(t, u.ID, now)
	for what, identify := range map[string]func() error{
		"key":     func() error { _, err := f.IdentifyKey(ctx, plain, now); return err },
		"session": func() error { _, err := f.Identify(ctx, token, now); return err },
	} {
		check(t, identify())
		if n := testing.AllocsPerRun(100, func() { check(t, identify()) }); n > 2 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
