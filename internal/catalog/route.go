package catalog

import (
	"time"

	"onemind/internal/llm"
	"onemind/internal/money"
)

// The waits of a provider that names none: a connection to a healthy provider
// stands in well under a second, a reasoning model may think for a minute. An
// answer that is not streamed may think and write, or draw, for as long as OpenAI's
// own clients wait if they are not told otherwise: 10 minutes.
const (
	defaultConnect    = 5 * time.Second
	defaultFirstToken = 60 * time.Second
	defaultIdle       = 60 * time.Second
	defaultWhole      = 10 * time.Minute
)

// worstImages is how many images an answer is held for when images have a price
// of their own: the most any provider puts into one.
const worstImages = 10

// Route is everything one call needs to know: where it goes and what it costs.
// It is shared and must not be changed.
type Route struct {
	Model        *Model
	Provider     *Provider
	Version      string      // price version in force at the look-up
	Rates        money.Rates // of that version, every class filled in, before markup
	Markup       int64       // basis points
	Capabilities llm.Capability
	Revision     int64

	keys []llm.Key
}

// Target is where the call is sent, without a key, capped at what the model can put out.
func (r *Route) Target() llm.Target {
	p := r.Provider
	first := wait(p.Timeouts.FirstTokenMS, defaultFirstToken)
	return llm.Target{Provider: p.ID, BaseURL: p.BaseURL, Upstream: r.Model.Upstream, Cap: r.Model.MaxOutput, Rules: r.Model.Rules,
		AllowPrivate: p.AllowPrivate, Concurrency: p.MaxConcurrency,
		Timeouts: llm.Timeouts{
			Connect:    wait(p.Timeouts.ConnectMS, defaultConnect),
			FirstToken: first,
			Idle:       wait(p.Timeouts.IdleMS, defaultIdle),
			// Whoever grants the first token more grants it to the whole as well.
			Whole: wait(p.Timeouts.WholeMS, max(defaultWhole, first)),
		}}
}

// Keys are the provider's keys in their order; none if it needs none.
func (r *Route) Keys() []llm.Key { return r.keys }

func wait(ms int64, otherwise time.Duration) time.Duration {
	if ms <= 0 {
		return otherwise
	}
	return time.Duration(ms) * time.Millisecond
}

// Worst is the most a call can cost: all input in its dearest class, all output
// in its dearest class, with markup. images is how many it makes; 0 when nobody
// knows, as of a model that draws while it chats.
func (r *Route) Worst(input, output, images int64) (money.Amount, error) {
	rates := r.Rates
	rates.Input = max(rates.Input, rates.CachedInput, rates.CacheWrite)
	rates.Output = max(rates.Output, rates.Reasoning)
	t := money.Tokens{Input: input, Output: output, Images: images}
	if rates.Image > 0 && images <= 0 {
		t.Images = worstImages
	}
	return money.Charge(rates, t, r.Markup)
}

// Charge is what a call costs that used t.
func (r *Route) Charge(t money.Tokens) (money.Amount, error) {
	return money.Charge(r.Rates, t, r.Markup)
}
