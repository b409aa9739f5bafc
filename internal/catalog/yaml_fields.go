package catalog

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"onemind/internal/llm"
	"onemind/internal/money"
)

// field reads one named value of a row from its node.
type field[T any] func(r *reader, n *yaml.Node, path string, to *T)

// providerIn is a provider as a file gives it.
type providerIn struct {
	Provider
	keys *[]string
}

// modelIn is a model as a file gives it: its price now, and those to come.
type modelIn struct {
	Model
	prices []Price
}

func skip[T any](*reader, *yaml.Node, string, *T) {}

// Each of these makes a field that is kept where get points to.

func textField[T any](get func(*T) *string) field[T] {
	return func(r *reader, n *yaml.Node, path string, to *T) { *get(to) = r.text(n, path) }
}

func flagField[T any](get func(*T) *bool) field[T] {
	return func(r *reader, n *yaml.Node, path string, to *T) { *get(to) = r.flag(n, path) }
}

func countField[T any](get func(*T) *int64) field[T] {
	return func(r *reader, n *yaml.Node, path string, to *T) { *get(to) = r.count(n, path) }
}

func namesField[T any](get func(*T) *[]string) field[T] {
	return func(r *reader, n *yaml.Node, path string, to *T) { *get(to) = r.names(n, path) }
}

func amountField[T any](parse func(string) (money.Amount, error), get func(*T) *money.Amount) field[T] {
	return func(r *reader, n *yaml.Node, path string, to *T) { *get(to) = r.amount(n, path, parse) }
}

func waitField(get func(*Timeouts) *int64) field[Timeouts] {
	return func(r *reader, n *yaml.Node, path string, to *Timeouts) { *get(to) = r.milliseconds(n, path) }
}

func providerFields() map[string]field[providerIn] {
	timeouts := map[string]field[Timeouts]{
		"connect":     waitField(func(t *Timeouts) *int64 { return &t.ConnectMS }),
		"first_token": waitField(func(t *Timeouts) *int64 { return &t.FirstTokenMS }),
		"idle":        waitField(func(t *Timeouts) *int64 { return &t.IdleMS }),
		"whole":       waitField(func(t *Timeouts) *int64 { return &t.WholeMS }),
	}
	return map[string]field[providerIn]{
		"id":          skip[providerIn],
		"name":        textField(func(p *providerIn) *string { return &p.Name }),
		"protocol":    textField(func(p *providerIn) *string { return &p.Protocol }),
		"base_url":    textField(func(p *providerIn) *string { return &p.BaseURL }),
		"api_key_env": textField(func(p *providerIn) *string { return &p.KeyEnv }),
		"api_keys": func(r *reader, n *yaml.Node, path string, p *providerIn) {
			keys := r.names(n, path)
			p.keys = &keys
		},
		"keyless":               flagField(func(p *providerIn) *bool { return &p.Keyless }),
		"enabled":               flagField(func(p *providerIn) *bool { return &p.Enabled }),
		"allow_private_address": flagField(func(p *providerIn) *bool { return &p.AllowPrivate }),
		"max_concurrency": func(r *reader, n *yaml.Node, path string, p *providerIn) {
			p.MaxConcurrency = int(r.count(n, path))
		},
		"max_waiting": func(r *reader, n *yaml.Node, path string, p *providerIn) {
			p.MaxWaiting = int(r.count(n, path))
		},
		"max_wait": func(r *reader, n *yaml.Node, path string, p *providerIn) {
			p.MaxWaitMS = r.milliseconds(n, path)
		},
		"timeouts": func(r *reader, n *yaml.Node, path string, p *providerIn) {
			decode(r, n, path, timeouts, &p.Timeouts)
		},
	}
}

func modelFields() map[string]field[modelIn] {
	rules := rulesFields()
	return map[string]field[modelIn]{
		"id":                skip[modelIn],
		"provider":          textField(func(m *modelIn) *string { return &m.Provider }),
		"upstream_id":       textField(func(m *modelIn) *string { return &m.Upstream }),
		"name":              textField(func(m *modelIn) *string { return &m.Name }),
		"state":             textField(func(m *modelIn) *string { return (*string)(&m.State) }),
		"context_window":    countField(func(m *modelIn) *int64 { return &m.ContextWindow }),
		"max_output_tokens": countField(func(m *modelIn) *int64 { return &m.MaxOutput }),
		"capabilities":      namesField(func(m *modelIn) *[]string { return &m.Capabilities }),
		"aliases":           namesField(func(m *modelIn) *[]string { return &m.Aliases }),
		"substitutes":       namesField(func(m *modelIn) *[]string { return &m.Substitutes }),
		"retires_on":        func(r *reader, n *yaml.Node, path string, m *modelIn) { m.RetiresOn = r.day(n, path) },
		"parameter_rules": func(r *reader, n *yaml.Node, path string, m *modelIn) {
			m.Rules = llm.Rules{} // one value: what is left out does not apply
			decode(r, n, path, rules, &m.Rules)
		},
		"prices": func(r *reader, n *yaml.Node, path string, m *modelIn) {
			m.prices = append([]Price{r.price(n, path, false)}, m.prices...)
		},
		"scheduled_prices": func(r *reader, n *yaml.Node, path string, m *modelIn) {
			for _, item := range r.items(n, path) {
				m.prices = append(m.prices, r.price(item, path, true))
			}
		},
	}
}

func rulesFields() map[string]field[llm.Rules] {
	return map[string]field[llm.Rules]{
		"cap_parameter":     textField(func(l *llm.Rules) *string { return &l.CapParameter }),
		"refuse":            namesField(func(l *llm.Rules) *[]string { return &l.Refuse }),
		"drop":              namesField(func(l *llm.Rules) *[]string { return &l.Drop }),
		"no_stream_options": flagField(func(l *llm.Rules) *bool { return &l.NoStreamOptions }),
		"reasoning":         textField(func(l *llm.Rules) *string { return &l.Reasoning }),
		"cancel_bills":      flagField(func(l *llm.Rules) *bool { return &l.CancelBills }),
		"clamp": func(r *reader, n *yaml.Node, path string, l *llm.Rules) {
			l.Clamp = map[string]llm.Range{}
			r.members(n, path, func(name string, value *yaml.Node) { l.Clamp[name] = r.bounds(value, path+"."+name) })
		},
		"set": func(r *reader, n *yaml.Node, path string, l *llm.Rules) {
			l.Set = map[string]string{}
			r.members(n, path, func(name string, value *yaml.Node) { l.Set[name] = r.value(value, path+"."+name) })
		},
	}
}

func planFields() map[string]field[Plan] {
	return map[string]field[Plan]{
		"id":                               skip[Plan],
		"requests_per_minute":              countField(func(p *Plan) *int64 { return &p.RequestsPerMinute }),
		"requests_per_minute_per_provider": countField(func(p *Plan) *int64 { return &p.RequestsPerMinuteProvider }),
		"concurrent_answers":               countField(func(p *Plan) *int64 { return &p.ConcurrentAnswers }),
		"tokens_per_minute":                countField(func(p *Plan) *int64 { return &p.TokensPerMinute }),
		"credits_per_day":                  amountField(money.ParseCredits, func(p *Plan) *money.Amount { return &p.CreditsPerDay }),
		"response_cache":                   flagField(func(p *Plan) *bool { return &p.ResponseCache }),
		"models":                           namesField(func(p *Plan) *[]string { return &p.Models }),
	}
}

func settingsFields() map[string]field[Settings] {
	return map[string]field[Settings]{
		"markup_percent": func(r *reader, n *yaml.Node, path string, s *Settings) {
			percent := r.amount(n, path, money.ParseDollars)
			if percent%basisPoint != 0 {
				r.bad(n, path, "must have at most two digits after the point")
			}
			s.Markup = int64(percent / basisPoint)
		},
		"default_plan":               textField(func(s *Settings) *string { return &s.DefaultPlan }),
		"signup_credits":             amountField(money.ParseCredits, func(s *Settings) *money.Amount { return &s.SignupCredits }),
		"signup_enabled":             flagField(func(s *Settings) *bool { return &s.SignupEnabled }),
		"global_requests_per_minute": countField(func(s *Settings) *int64 { return &s.GlobalRequestsPerMinute }),
		"response_cache":             flagField(func(s *Settings) *bool { return &s.ResponseCache }),
	}
}

// basisPoint is a hundredth of a percent, where a percent is read as if it were
// a dollar.
const basisPoint = money.Dollar / 100

// price reads the one value "prices": classes left out follow Complete, so that
// naming prices always gives the whole price.
func (r *reader) price(n *yaml.Node, path string, scheduled bool) Price {
	var p Price
	given := map[string]bool{}
	dollars := func(name string, get func(*Price) *money.Amount) field[Price] {
		return func(r *reader, n *yaml.Node, path string, p *Price) {
			given[name] = true
			*get(p) = r.amount(n, path, money.ParseDollars)
		}
	}
	fields := map[string]field[Price]{
		"input":        dollars("input", func(p *Price) *money.Amount { return &p.Rates.Input }),
		"cached_input": dollars("cached_input", func(p *Price) *money.Amount { return &p.Rates.CachedInput }),
		"cache_write":  dollars("cache_write", func(p *Price) *money.Amount { return &p.Rates.CacheWrite }),
		"output":       dollars("output", func(p *Price) *money.Amount { return &p.Rates.Output }),
		"reasoning":    dollars("reasoning", func(p *Price) *money.Amount { return &p.Rates.Reasoning }),
		"per_request":  dollars("per_request", func(p *Price) *money.Amount { return &p.Rates.Request }),
		"per_image":    dollars("per_image", func(p *Price) *money.Amount { return &p.Rates.Image }),
		"source":       textField(func(p *Price) *string { return &p.Source }),
		"as_of":        func(r *reader, n *yaml.Node, path string, p *Price) { p.AsOf = r.day(n, path) },
	}
	if scheduled {
		fields["effective_at"] = func(r *reader, n *yaml.Node, path string, p *Price) { p.EffectiveAt = r.moment(n, path) }
	}
	decode(r, n, path, fields, &p)
	for _, name := range []string{"input", "output"} {
		if !given[name] {
			r.bad(n, path+"."+name, "is required: write 0 for a model that is free")
		}
	}
	if scheduled && p.EffectiveAt.IsZero() {
		r.bad(n, path+".effective_at", "is required")
	}
	return p
}

// bounds reads a range such as {min: 0, max: 1}; both ends must be given.
func (r *reader) bounds(n *yaml.Node, path string) (bounds llm.Range) {
	given := 0
	end := func(get func(*llm.Range) *float64) field[llm.Range] {
		return func(r *reader, n *yaml.Node, path string, to *llm.Range) {
			given++
			*get(to) = r.number(n, path)
		}
	}
	decode(r, n, path, map[string]field[llm.Range]{
		"min": end(func(b *llm.Range) *float64 { return &b.Min }),
		"max": end(func(b *llm.Range) *float64 { return &b.Max }),
	}, &bounds)
	if given < 2 {
		r.bad(n, path, "must have a min and a max")
	}
	return bounds
}

// day reads a date such as 2026-11-24.
func (r *reader) day(n *yaml.Node, path string) string {
	text := r.written(n, path)
	if _, err := time.Parse(time.DateOnly, text); err != nil && text != "" {
		r.bad(n, path, "must be a day such as 2026-11-24")
	}
	return text
}

// moment reads a time such as 2026-12-01T00:00:00Z.
func (r *reader) moment(n *yaml.Node, path string) time.Time {
	text := r.written(n, path)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Year() < 2000 || at.Year() > 2200 {
		r.bad(n, path, "must be a time such as 2026-12-01T00:00:00Z")
	}
	return at
}

// milliseconds reads a duration such as 30s.
func (r *reader) milliseconds(n *yaml.Node, path string) int64 {
	text := r.written(n, path)
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d%time.Millisecond != 0 || !strings.ContainsAny(text, "smh") {
		r.bad(n, path, "must be a duration in whole milliseconds, such as 30s or 500ms")
		return 0
	}
	return d.Milliseconds()
}
