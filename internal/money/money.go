// Package money is exact money: whole nano-dollars in an int64, prices per
// million tokens, and the one place where a charge is rounded. It never uses a
// floating-point number.
package money

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// Amount is a sum of money in nano-dollars (1e-9 US dollars). The range is
// about plus or minus 9.2 billion dollars.
type Amount int64

// The units people use.
const (
	Nano   Amount = 1
	Credit Amount = 10_000_000    // one US cent
	Dollar Amount = 1_000_000_000 // 100 credits
)

// ErrRange reports an amount that an int64 of nano-dollars cannot hold.
var ErrRange = errors.New("amount is out of range")

// ParseDollars reads an exact decimal number of US dollars, such as "0.0375".
// More than nine digits after the point, an exponent, or anything that is not
// a plain decimal is refused.
func ParseDollars(s string) (Amount, error) { return parse(s, 9) }

// ParseCredits reads an exact decimal number of credits, with up to seven
// digits after the point.
func ParseCredits(s string) (Amount, error) { return parse(s, 7) }

func parse(s string, scale int) (Amount, error) {
	body, negative := strings.CutPrefix(s, "-")
	whole, part, dotted := strings.Cut(body, ".")
	if whole == "" || dotted && part == "" {
		return 0, fmt.Errorf("%q is not a decimal number", s)
	}
	if len(part) > scale {
		return 0, fmt.Errorf("%q has more than %d digits after the point", s, scale)
	}
	var n uint64
	for _, c := range []byte(whole + part + strings.Repeat("0", scale-len(part))) {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%q is not a decimal number", s)
		}
		hi, lo := bits.Mul64(n, 10)
		sum, carry := bits.Add64(lo, uint64(c-'0'), 0)
		if hi != 0 || carry != 0 || sum > math.MaxInt64 {
			return 0, fmt.Errorf("%q: %w", s, ErrRange)
		}
		n = sum
	}
	if negative {
		return -Amount(n), nil
	}
	return Amount(n), nil
}

// Dollars writes the amount as an exact decimal of US dollars without
// trailing zeros, such as "0.0375".
func (a Amount) Dollars() string { return a.decimal(9) }

// Credits writes the amount as an exact decimal of credits without trailing
// zeros, such as "3.75".
func (a Amount) Credits() string { return a.decimal(7) }

func (a Amount) decimal(scale int) string {
	sign, n := "", uint64(a)
	if a < 0 {
		sign, n = "-", -uint64(a)
	}
	digits := fmt.Sprintf("%0*d", scale+1, n)
	whole, part := digits[:len(digits)-scale], strings.TrimRight(digits[len(digits)-scale:], "0")
	if part == "" {
		return sign + whole
	}
	return sign + whole + "." + part
}

// String writes the amount in dollars, for logs and errors.
func (a Amount) String() string { return "$" + a.Dollars() }

// Add adds two amounts, or reports ErrRange.
func Add(a, b Amount) (Amount, error) {
	sum := a + b
	if (sum > a) != (b > 0) {
		return 0, ErrRange
	}
	return sum, nil
}
