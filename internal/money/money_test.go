package money_test

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"onemind/internal/money"
)

func TestParseDollars(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want money.Amount
		ok   bool
	}{
		{"0", 0, true}, {"1", money.Dollar, true}, {"0.0375", 37_500_000, true}, {"-2.5", -2_500_000_000, true},
		{"0.000000001", 1, true}, {"9223372036.854775807", math.MaxInt64, true}, {"9223372036.854775808", 0, false},
		{"0.0000000001", 0, false}, {"", 0, false}, {".5", 0, false}, {"1.", 0, false}, {"1e3", 0, false}, {"+1", 0, false},
		{"1,5", 0, false}, {"NaN", 0, false}, {"--1", 0, false}, {" 1", 0, false}, {"99999999999999999999999", 0, false},
	} {
		got, err := money.ParseDollars(tt.in)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("ParseDollars(%q) = %d, %v; want %d, ok %t", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

func TestDecimalsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := money.Amount(rapid.Int64Min(math.MinInt64+1).Draw(t, "amount"))
		if b, err := money.ParseDollars(a.Dollars()); err != nil || b != a {
			t.Fatalf("%d as dollars %q reads back as %d, %v", a, a.Dollars(), b, err)
		}
		if b, err := money.ParseCredits(a.Credits()); err != nil || b != a {
			t.Fatalf("%d as credits %q reads back as %d, %v", a, a.Credits(), b, err)
		}
	})
}

// exact computes a charge with numbers of any size.
func exact(r money.Rates, tok money.Tokens, markup int64) *big.Int {
	sum := new(big.Int)
	add := func(n int64, price money.Amount, scale int64) {
		p := new(big.Int).Mul(big.NewInt(n), big.NewInt(int64(price)))
		sum.Add(sum, p.Mul(p, big.NewInt(scale)))
	}
	add(tok.Input, r.Input, 1)
	add(tok.CachedInput, r.CachedInput, 1)
	add(tok.CacheWrite, r.CacheWrite, 1)
	add(tok.Output, r.Output, 1)
	add(tok.Reasoning, r.Reasoning, 1)
	add(1, r.Request, 1_000_000)
	add(tok.Images, r.Image, 1_000_000)
	sum.Mul(sum, big.NewInt(10_000+markup))
	unit := big.NewInt(10_000_000_000)
	sum.Add(sum, new(big.Int).Sub(unit, big.NewInt(1)))
	return sum.Div(sum, unit)
}

func TestChargeIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.OneOf(rapid.Int64Range(0, 10_000), rapid.Int64Range(0, 1<<40))
		price := rapid.Custom(func(t *rapid.T) money.Amount {
			return money.Amount(rapid.OneOf(rapid.Int64Range(0, 1000), rapid.Int64Range(0, int64(money.MaxPrice))).Draw(t, "price"))
		})
		r := money.Rates{Input: price.Draw(t, "in"), CachedInput: price.Draw(t, "cached"), CacheWrite: price.Draw(t, "write"),
			Output: price.Draw(t, "out"), Reasoning: price.Draw(t, "reasoning"), Request: price.Draw(t, "request"), Image: price.Draw(t, "image")}
		tok := money.Tokens{Input: count.Draw(t, "i"), CachedInput: count.Draw(t, "c"), CacheWrite: count.Draw(t, "w"),
			Output: count.Draw(t, "o"), Reasoning: count.Draw(t, "r"), Images: count.Draw(t, "n")}
		markup := rapid.Int64Range(0, money.MaxMarkup).Draw(t, "markup")
		got, err := money.Charge(r, tok, markup)
		want := exact(r, tok, markup)
		if !want.IsInt64() {
			if !errors.Is(err, money.ErrRange) {
				t.Fatalf("%v does not fit, but Charge gave %d, %v", want, got, err)
			}
			return
		}
		if err != nil && want.Cmp(big.NewInt(1<<60)) < 0 || err == nil && want.Int64() != int64(got) {
			t.Fatalf("Charge = %d, %v; exactly %v", got, err, want)
		}
	})
}

func TestChargeRefuses(t *testing.T) {
	for name, call := range map[string]func() (money.Amount, error){
		"a negative count":  func() (money.Amount, error) { return money.Charge(money.Rates{Input: 1}, money.Tokens{Input: -1}, 0) },
		"a negative price":  func() (money.Amount, error) { return money.Charge(money.Rates{Input: -1}, money.Tokens{Input: 1}, 0) },
		"a negative markup": func() (money.Amount, error) { return money.Charge(money.Rates{}, money.Tokens{}, -1) },
		"an absurd price": func() (money.Amount, error) {
			return money.Charge(money.Rates{Input: money.MaxPrice + 1}, money.Tokens{}, 0)
		},
	} {
		if got, err := call(); !errors.Is(err, money.ErrRange) {
			t.Errorf("%s: got %d, %v; want ErrRange", name, got, err)
		}
	}
}

func TestChargeRoundsUpOnce(t *testing.T) {
	// Half a nano-dollar of input and half of output are one nano-dollar, not two.
	r := money.Rates{Input: 500_000, Output: 500_000}
	if got, err := money.Charge(r, money.Tokens{Input: 1, Output: 1}, 0); err != nil || got != 1 {
		t.Errorf("Charge = %d, %v; want 1", got, err)
	}
	if got, err := money.Charge(r, money.Tokens{Input: 1}, 0); err != nil || got != 1 {
		t.Errorf("Charge of half a nano-dollar = %d, %v; want 1", got, err)
	}
}
