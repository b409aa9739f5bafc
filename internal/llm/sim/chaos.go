package sim

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
)

// Chaos draws what happens to each call: one of nine troubles or a good answer.
// Its Choose is made for Options. The n-th call's draw depends on Seed and n
// alone, so that the draws of many calls at once are the same in every run, in
// whichever order the calls come. A Chaos must not be copied.
type Chaos struct {
	Seed uint64
	// Rate is how likely each single trouble is, from 0 to 1/9; more is taken as 1/9.
	Rate float64
	// Good is how an answer is given that nothing happens to; the calls that break
	// midway begin like it. Its Pieces are drawn when it says neither Text nor Pieces.
	Good Script
	// Header names the header by which ReportedTo tells calls apart; empty: none.
	Header string

	mu     sync.Mutex
	calls  uint64
	drawn  map[string]int
	total  tokens
	byCall map[string]tokens
}

type tokens struct{ input, output int64 }

// The troubles by the names under which Drawn counts them. A stall comes before
// the first event or in the middle, half of them each.
const (
	ChaosGood        = "good"
	ChaosLimited     = "429"
	ChaosLimitedWait = "429_retry_after"
	ChaosFailed      = "500"
	ChaosReset       = "reset"
	ChaosStallFirst  = "stall_first"
	ChaosStallMidway = "stall_midway"
	ChaosCut         = "cut"
	ChaosGarbage     = "garbage"
	ChaosNoUsage     = "no_usage"
	ChaosErrorIn200  = "error_in_200"
)

// troubles are equally likely.
func troubles() [9]string {
	return [...]string{ChaosLimited, ChaosLimitedWait, ChaosFailed, ChaosReset, ChaosStallFirst, ChaosCut, ChaosGarbage, ChaosNoUsage, ChaosErrorIn200}
}

// Choose draws the next call's Script.
func (c *Chaos) Choose(r *Request) Script {
	c.mu.Lock()
	defer c.mu.Unlock()
	rng := rand.New(rand.NewPCG(c.Seed, c.calls))
	c.calls++
	script, trouble := c.good(rng, r), ChaosGood
	kinds := troubles()
	rate := min(c.Rate, 1/float64(len(kinds)))
	if at := rng.Float64(); at < rate*float64(len(kinds)) {
		trouble = kinds[min(int(at/rate), len(kinds)-1)]
	}
	trouble = afflict(&script, trouble, rng)
	if c.drawn == nil {
		c.drawn = map[string]int{}
	}
	c.drawn[trouble]++
	return script
}

// good is the answer that nothing happens to.
func (c *Chaos) good(rng *rand.Rand, r *Request) Script {
	script := c.Good
	if pieces := 4 + rng.IntN(29); script.Text == "" && script.Pieces == 0 && len(script.Calls) == 0 && !script.Echo {
		script.Pieces = pieces
	}
	id := ""
	if c.Header != "" && r.Header != nil {
		id = r.Header.Get(c.Header)
	}
	told := script.Told
	script.Told = func(input, output int) {
		c.report(id, int64(input), int64(output))
		if told != nil {
			told(input, output)
		}
	}
	return script
}

// afflict turns a good answer into a trouble, and gives its name.
func afflict(s *Script, trouble string, rng *rand.Rand) string {
	midway := 2 + rng.IntN(max(s.Pieces, len(Pieces(s.Text)), 1)) // events: behind the first with text or later
	switch trouble {
	case ChaosLimited:
		s.Status, s.Body = http.StatusTooManyRequests, `{"error":{"message":"Slow down.","type":"requests","param":null,"code":"rate_limit_exceeded"}}`
	case ChaosLimitedWait:
		s.Status, s.RetryAfter = http.StatusTooManyRequests, "1"
		s.Body = `{"error":{"message":"Slow down; try again in a second.","type":"requests","param":null,"code":"rate_limit_exceeded"}}`
	case ChaosFailed:
		s.Status, s.Body = http.StatusInternalServerError, `{"error":{"message":"The server had an error.","type":"server_error","param":null,"code":null}}`
	case ChaosReset:
		s.Break, s.After = Reset, 0
	case ChaosStallFirst:
		s.Break, s.After = Stall, 0
		if rng.IntN(2) == 1 {
			s.After, trouble = midway, ChaosStallMidway
		}
	case ChaosCut:
		s.Break, s.After = Cut, midway
	case ChaosGarbage:
		s.Break, s.After = Noise, midway
	case ChaosNoUsage:
		s.Usage = Never
	case ChaosErrorIn200:
		s.Break, s.After = Fails, rng.IntN(2)*midway
		s.Error = `{"message":"The server had an error while answering.","type":"server_error","param":null,"code":null}`
	}
	return trouble
}

func (c *Chaos) report(id string, input, output int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total.input += input
	c.total.output += output
	if id == "" {
		return
	}
	if c.byCall == nil {
		c.byCall = map[string]tokens{}
	}
	t := c.byCall[id]
	c.byCall[id] = tokens{t.input + input, t.output + output}
}

// Drawn tells how many calls had which trouble, and how many were good.
func (c *Chaos) Drawn() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.drawn)
}

// Reported sums the usage of all answers that told one: what the upstream would
// put on its bill.
func (c *Chaos) Reported() (input, output int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total.input, c.total.output
}

// ReportedTo is Reported for the calls whose Header had the value id. ok is
// false when none of them was told its usage.
func (c *Chaos) ReportedTo(id string) (input, output int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.byCall[id]
	return t.input, t.output, ok
}
