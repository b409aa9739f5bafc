package catalog

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/money"
)

// Bounds of a document. They are far above any real catalog and keep a slip or
// an attack from filling memory on every instance.
const (
	maxModels      = 2000
	maxProviders   = 200
	maxPlans       = 200
	maxVersions    = 1000 // price versions of one model
	maxList        = 50   // aliases, parameters, ...
	maxClamps      = 32   // parameters with a range
	maxSubstitutes = 8
	maxName        = 200  // bytes of a name
	maxText        = 2000 // bytes of a source, a URL, a parameter's value
	maxWindow      = 100_000_000
	maxOutput      = 10_000_000
	maxLimit       = 1_000_000_000
	maxConcurrency = 100_000
	maxSignup      = 1_000_000 * money.Credit
	maxCredits     = 100_000_000 * money.Credit // a plan's bound per day
	maxWait        = int64(time.Hour / time.Millisecond)
	maxProblems    = 50
)

// Invalid is everything that is wrong with a document, at most 50 rules broken.
// It unwraps to the single faults, the first of which is what an API answers.
type Invalid []*fault.Error

// Error lists the broken rules, one per line.
func (v Invalid) Error() string {
	lines := make([]string, 0, len(v))
	for _, f := range v {
		lines = append(lines, f.Text)
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single faults.
func (v Invalid) Unwrap() []error {
	errs := make([]error, 0, len(v))
	for _, f := range v {
		errs = append(errs, f)
	}
	return errs
}

// locate puts file and line before the rules that entries read from a file break.
func (d *Draft) locate(problems Invalid) Invalid {
	for i, f := range problems {
		for path := f.Field; path != ""; {
			if line, ok := d.lines[path]; ok {
				c := *f
				c.Text = line + ": " + f.Text
				problems[i] = &c
				break
			}
			path = path[:max(strings.LastIndexAny(path, ".["), 0)]
		}
	}
	return problems
}

// Validate reports every rule that a document breaks, as Invalid, or nil.
func Validate(d Document) error {
	if problems := check(d); len(problems) > 0 {
		return problems
	}
	return nil
}

// checker collects broken rules.
type checker struct {
	doc      *Document
	problems Invalid
}

func check(d Document) Invalid {
	v := &checker{doc: &d}
	if v.that(len(d.Models) <= maxModels, "models", "must be at most %d", maxModels) &&
		v.that(len(d.Providers) <= maxProviders, "providers", "must be at most %d", maxProviders) &&
		v.that(len(d.Plans) <= maxPlans, "plans", "must be at most %d", maxPlans) {
		v.providers()
		v.models()
		v.names()
		v.plans()
		v.settings()
	}
	return v.problems
}

// that notes a broken rule unless ok, and gives ok back.
func (v *checker) that(ok bool, path, rule string, args ...any) bool {
	if !ok && len(v.problems) < maxProblems {
		v.problems = append(v.problems, fault.Field(path, rule, args...))
	}
	return ok
}

func (v *checker) between(n, low, high int64, path string) {
	v.that(n >= low && n <= high, path, "must be between %d and %d, not %d", low, high, n)
}

func (v *checker) text(s string, most int, path string) {
	v.that(len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl), path,
		"must be at most %d bytes of text without control characters", most)
}

// row gives the path of a row after checking its id.
func (v *checker) row(kind, id string, slash bool, seen map[string]bool) string {
	path := kind + "[" + clip(id, 140) + "]"
	most, letters := 64, "letters a-z, digits and . _ -"
	if slash {
		most, letters = 128, "letters a-z, digits and . _ : / -"
	}
	v.that(validID(id, most, slash), path+".id", "must be 1 to %d small %s, and begin with a letter or a digit", most, letters)
	v.that(!seen[id], path+".id", "must not be used twice")
	seen[id] = true
	return path
}

func validID(id string, most int, slash bool) bool {
	for i, c := range []byte(id) {
		plain := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		mark := c == '.' || c == '_' || c == '-' || slash && (c == ':' || c == '/')
		if !plain && (!mark || i == 0) {
			return false
		}
	}
	return id != "" && len(id) <= most
}

func (v *checker) providers() {
	seen := map[string]bool{}
	env := regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,60}_API_KEY$|^HF_TOKEN$`)
	for i := range v.doc.Providers {
		p := &v.doc.Providers[i]
		path := v.row("providers", p.ID, false, seen)
		v.text(p.Name, maxName, path+".name")
		v.that(slices.Contains([]string{"openai", "anthropic", "gemini", "demo"}, p.Protocol), path+".protocol",
			"must be openai, anthropic, gemini or demo, not %q", clip(p.Protocol, 40))
		if p.BaseURL != "" || p.Protocol != "demo" {
			rule := badURL(p)
			v.that(rule == "", path+".base_url", "%s", rule)
		}
		// Any other variable could be another program's secret, sent to wherever base_url says.
		v.that(p.KeyEnv == "" || env.MatchString(p.KeyEnv) && !strings.HasPrefix(p.KeyEnv, "ONEMIND_"), path+".api_key_env",
			"must be a variable named like EXAMPLE_API_KEY, or HF_TOKEN")
		v.between(int64(p.MaxConcurrency), 0, maxConcurrency, path+".max_concurrency")
		v.between(p.Timeouts.ConnectMS, 0, maxWait, path+".timeouts.connect")
		v.between(p.Timeouts.FirstTokenMS, 0, maxWait, path+".timeouts.first_token")
		v.between(p.Timeouts.IdleMS, 0, maxWait, path+".timeouts.idle")
		v.between(p.Timeouts.WholeMS, 0, maxWait, path+".timeouts.whole")
		v.between(int64(p.MaxWaiting), 0, maxConcurrency, path+".max_waiting")
		v.between(p.MaxWaitMS, 0, maxWait, path+".max_wait")
	}
}

// badURL says what is wrong with a provider's base URL, if anything.
func badURL(p *Provider) string {
	u, err := url.Parse(p.BaseURL)
	switch {
	case p.BaseURL == "":
		return "is required"
	case err != nil || len(p.BaseURL) > maxText || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "must be an address such as https://api.example.com/v1"
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(p.BaseURL, "#"):
		return "must not hold a user, a query or a fragment: keys belong in api_keys"
	case u.Scheme == "http" && !p.AllowPrivate && !loopback(u.Hostname()):
		return "must be https, unless allow_private_address is set: keys would cross the network in the clear"
	}
	return ""
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (v *checker) models() {
	seen, versions := map[string]bool{}, map[string]bool{}
	for i := range v.doc.Models {
		m := &v.doc.Models[i]
		path := v.row("models", m.ID, true, seen)
		v.text(m.Name, maxName, path+".name")
		v.text(m.Upstream, maxName, path+".upstream_id")
		provider := find(v.doc.Providers, m.Provider)
		v.that(provider != nil, path+".provider", "must name a provider; there is none called %q", clip(m.Provider, 80))
		v.that(m.State == Active || m.State == Hidden || m.State == Disabled, path+".state", "must be active, hidden or disabled")
		v.between(m.ContextWindow, 1, maxWindow, path+".context_window")
		v.between(m.MaxOutput, 1, maxOutput, path+".max_output_tokens")
		v.that(m.MaxOutput <= m.ContextWindow, path+".max_output_tokens", "must not be above context_window (%d)", m.ContextWindow)
		for _, name := range m.Capabilities {
			_, known := llm.ParseCapability(name)
			v.that(known, path+".capabilities", "must be of %s; %q is none of them", strings.Join((^llm.Capability(0)).Names(), ", "), clip(name, 40))
		}
		v.substitutes(m, path+".substitutes")
		_, err := time.Parse(time.DateOnly, m.RetiresOn)
		v.that(err == nil || m.RetiresOn == "", path+".retires_on", "must be a day such as 2027-03-31")
		v.prices(m, provider, path+".prices", versions)
		v.rules(&m.Rules, path+".parameter_rules")
	}
}

func (v *checker) substitutes(m *Model, path string) {
	v.that(len(m.Substitutes) <= maxSubstitutes, path, "must be at most %d", maxSubstitutes)
	for i, id := range m.Substitutes {
		v.that(find(v.doc.Models, id) != nil, path, "must be ids of models; there is none called %q", clip(id, 140))
		v.that(id != m.ID, path, "must not name the model itself")
		v.that(!slices.Contains(m.Substitutes[:i], id), path, "must not name %q twice", clip(id, 140))
	}
}

func (v *checker) prices(m *Model, provider *Provider, path string, versions map[string]bool) {
	v.that(len(m.Prices) > 0 || m.State == Disabled, path, "are required: a model without a price cannot be called")
	v.that(len(m.Prices) <= maxVersions, path, "must be at most %d versions", maxVersions)
	free := provider != nil && (provider.Keyless || provider.AllowPrivate)
	for _, p := range m.Prices {
		v.that(p.Version != "" && len(p.Version) <= 200, path+".version", "must be 1 to 200 bytes long")
		v.that(!versions[p.Version], path+".version", "%q must not be used twice", clip(p.Version, 200))
		versions[p.Version] = true
		v.rates(p.Rates, unpaid(m, p.Rates, free), path)
		v.text(p.Source, maxText, path+".source")
		v.text(p.AsOf, 40, path+".as_of")
	}
}

// unpaid tells which prices of a model may be 0: all of a free one; the output's of
// embeddings, which have none; those of tokens where images are paid by the piece.
func unpaid(m *Model, r money.Rates, free bool) (rates struct{ input, output bool }) {
	byPiece := r.Image > 0 && slices.Contains(m.Capabilities, "image_generation")
	rates.input = free || byPiece
	rates.output = rates.input || slices.Contains(m.Capabilities, "embeddings")
	return rates
}

func (v *checker) rates(r money.Rates, may struct{ input, output bool }, path string) {
	for _, f := range []struct {
		name     string
		amount   money.Amount
		required bool
	}{
		{"input", r.Input, !may.input}, {"output", r.Output, !may.output}, {"cached_input", r.CachedInput, false}, {"cache_write", r.CacheWrite, false},
		{"reasoning", r.Reasoning, false}, {"per_request", r.Request, false}, {"per_image", r.Image, false},
	} {
		v.that(f.amount >= 0, path+"."+f.name, "must not be negative")
		v.that(f.amount <= money.MaxPrice, path+"."+f.name, "must be at most %s dollars: %s is surely a slip", money.MaxPrice.Dollars(), f.amount.Dollars())
		v.that(f.amount != 0 || !f.required, path+"."+f.name, "must be above 0: only models of local providers and of those without a key are free")
	}
}

// guarded are members of a request that decide what it costs or what comes
// back; rules must not touch them.
func guarded(name string) bool {
	return slices.Contains([]string{"model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n"}, name)
}

func (v *checker) rules(r *llm.Rules, path string) {
	v.that(slices.Contains([]string{"", "max_tokens", "max_completion_tokens"}, r.CapParameter), path+".cap_parameter",
		"must be max_tokens or max_completion_tokens")
	v.parameters(r.Refuse, path+".refuse")
	v.parameters(r.Drop, path+".drop")
	v.that(slices.Contains([]string{"", "budget", "effort", "level", "content"}, r.Reasoning), path+".reasoning", "must be budget, effort, level or content")
	v.that(len(r.Clamp) <= maxClamps, path+".clamp", "must be at most %d parameters", maxClamps)
	for _, parameter := range slices.Sorted(maps.Keys(r.Clamp)) {
		at := path + ".clamp." + clip(parameter, 64)
		v.parameter(parameter, at)
		bounds := r.Clamp[parameter]
		v.that(finite(bounds.Min) && finite(bounds.Max), at, "must have bounds that are numbers")
		v.that(bounds.Min <= bounds.Max, at, "must have a min that is not above its max")
	}
	v.that(len(r.Set) <= maxList, path+".set", "must be at most %d parameters", maxList)
	for _, parameter := range slices.Sorted(maps.Keys(r.Set)) {
		at := path + ".set." + clip(parameter, 64)
		v.parameter(parameter, at)
		value := r.Set[parameter]
		v.that(len(value) <= maxText && json.Valid([]byte(value)), at, `must be a JSON value in quotes, such as '"low"'`)
	}
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

func (v *checker) parameters(list []string, path string) {
	v.that(len(list) <= maxList, path, "must be at most %d parameters", maxList)
	for _, name := range list {
		v.parameter(name, path)
	}
}

func (v *checker) parameter(name, path string) {
	v.that(validID(name, 64, false), path, "must be names of parameters; %q is none", clip(name, 64))
	v.that(!guarded(name), path, "must not touch %s: limits and charges depend on it", name)
}

// names checks that no two models answer to one name and that no name looks as
// if it were another provider's.
func (v *checker) names() {
	owner := map[string]string{}
	for _, m := range v.doc.Models {
		owner[m.ID] = m.ID
	}
	for _, m := range v.doc.Models {
		path := "models[" + clip(m.ID, 140) + "]"
		v.that(len(m.Aliases) <= maxList, path+".aliases", "must be at most %d", maxList)
		for _, alias := range m.Aliases {
			v.that(validID(alias, 128, true), path+".aliases", "must follow the rules of ids; %q does not", clip(alias, 140))
			v.that(owner[alias] == "", path+".aliases", "must not repeat a name; %q is %s already", clip(alias, 140), owner[alias])
			owner[alias] = m.ID
		}
		for i, name := range append([]string{m.ID}, m.Aliases...) {
			field := path + ".aliases"
			if i == 0 {
				field = path + ".id"
			}
			before, _, slashed := strings.Cut(name, "/")
			v.that(!slashed || before == m.Provider || find(v.doc.Providers, before) == nil, field,
				"must not begin with %s/: that is how models of the provider %s are called", before, before)
		}
	}
}

func (v *checker) plans() {
	seen, models := map[string]bool{}, map[string]bool{}
	for i := range v.doc.Models {
		models[v.doc.Models[i].ID] = true
	}
	for _, p := range v.doc.Plans {
		path := v.row("plans", p.ID, false, seen)
		v.between(p.RequestsPerMinute, 0, maxLimit, path+".requests_per_minute")
		v.between(p.RequestsPerMinuteProvider, 0, maxLimit, path+".requests_per_minute_per_provider")
		v.between(p.ConcurrentAnswers, 0, maxLimit, path+".concurrent_answers")
		v.between(p.TokensPerMinute, 0, maxLimit, path+".tokens_per_minute")
		v.that(p.CreditsPerDay >= 0 && p.CreditsPerDay <= maxCredits, path+".credits_per_day", "must be between 0 and %s credits", maxCredits.Credits())
		v.that(len(p.Models) <= maxModels, path+".models", "must be at most %d", maxModels)
		for _, id := range p.Models {
			v.that(models[id], path+".models", "must be ids of models; there is none called %q", clip(id, 140))
		}
	}
}

func (v *checker) settings() {
	s := v.doc.Settings
	v.that(s.Markup >= 0 && s.Markup <= money.MaxMarkup, "settings.markup_percent", "must be between 0 and %d", money.MaxMarkup/100)
	v.that(find(v.doc.Plans, s.DefaultPlan) != nil, "settings.default_plan", "must name a plan; there is none called %q", clip(s.DefaultPlan, 80))
	v.that(s.SignupCredits >= 0 && s.SignupCredits <= maxSignup, "settings.signup_credits", "must be between 0 and %s credits", maxSignup.Credits())
	v.between(s.GlobalRequestsPerMinute, 0, maxLimit, "settings.global_requests_per_minute")
}

// String names the change for logs, such as "change model gpt-4o".
func (c Change) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", c.Op, c.Kind, c.ID))
}
