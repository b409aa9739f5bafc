package money

import "math/bits"

// MaxPrice is the highest price we accept, per million tokens, per request or
// per image: 100,000 dollars. The dearest public price in November 2026 is
// about 600 dollars per million tokens, so anything above this is a slip.
const MaxPrice = 100_000 * Dollar

// Rates are the prices of one price version. Token prices are per million
// tokens, the unit providers print: a single token of a cheap model costs less
// than one nano-dollar can say exactly ($0.0375 per million is 37.5 of them).
type Rates struct {
	Input       Amount `json:"input_nano_usd"`
	CachedInput Amount `json:"cached_input_nano_usd"`
	CacheWrite  Amount `json:"cache_write_nano_usd"`
	Output      Amount `json:"output_nano_usd"`
	Reasoning   Amount `json:"reasoning_nano_usd"`
	Request     Amount `json:"per_request_nano_usd"` // once per call
	Image       Amount `json:"per_image_nano_usd"`   // per image in the answer
}

// Tokens are what one call used. The classes never overlap: a cached input
// token is not counted under Input, a reasoning token not under Output.
type Tokens struct {
	Input       int64 `json:"input"`
	CachedInput int64 `json:"cached_input"`
	CacheWrite  int64 `json:"cache_write"`
	Output      int64 `json:"output"`
	Reasoning   int64 `json:"reasoning"`
	Images      int64 `json:"images,omitempty"`
}

// MaxMarkup is the highest markup in basis points: 100,000 is 1000%.
const MaxMarkup = 100_000

// maxCount bounds every count of one call, so that no product below overflows:
// 2^40 tokens x 1e14 x 1e6 stays under 2^107.
const maxCount = 1 << 40

// Charge is tokens x price x (1 + markup), with the markup in basis points (3000
// is 30%), rounded up once to a whole nano-dollar. It reports ErrRange when the
// result does not fit; a negative count, price or markup is ErrRange too.
func Charge(r Rates, t Tokens, markup int64) (Amount, error) {
	var hi, lo uint64 // the sum in nano-dollars x 1e6, 128 bits
	for _, part := range [...]struct {
		count int64
		price Amount
		scale uint64 // 1 for prices per million tokens, 1e6 for prices per piece
	}{
		{t.Input, r.Input, 1}, {t.CachedInput, r.CachedInput, 1}, {t.CacheWrite, r.CacheWrite, 1},
		{t.Output, r.Output, 1}, {t.Reasoning, r.Reasoning, 1},
		{1, r.Request, 1_000_000}, {t.Images, r.Image, 1_000_000},
	} {
		if part.count < 0 || part.count > maxCount || part.price < 0 || part.price > MaxPrice {
			return 0, ErrRange
		}
		h, l := bits.Mul64(uint64(part.count), uint64(part.price))
		h, l = mul128(h, l, part.scale)
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi, carry = bits.Add64(hi, h, carry)
		if carry != 0 {
			return 0, ErrRange
		}
	}
	if markup < 0 || markup > MaxMarkup || hi >= 1<<40 {
		return 0, ErrRange
	}
	hi, lo = mul128(hi, lo, uint64(10_000+markup))
	const unit = 1_000_000 * 10_000
	lo, carry := bits.Add64(lo, unit-1, 0) // round up
	hi += carry
	if hi >= unit {
		return 0, ErrRange
	}
	n, _ := bits.Div64(hi, lo, unit)
	if n > 1<<63-1 {
		return 0, ErrRange
	}
	return Amount(n), nil
}

// mul128 multiplies a 128-bit number by n. The callers' bounds keep it from
// overflowing: a factor of at most 1e6 on at most 2^107.
func mul128(hi, lo, n uint64) (uint64, uint64) {
	h, l := bits.Mul64(lo, n)
	return hi*n + h, l
}
