package catalog

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"onemind/internal/money"
)

// POC is what exports of the earlier system's tables ai_models, provider_config
// and system_config hold. Its prices are US dollars per million tokens, its
// credits are cents as ours, and one of its columns that is called encrypted
// holds keys in plain text.
type POC struct {
	// WithKeys takes over the providers' keys. They are never shown, noted or
	// part of an error.
	WithKeys bool

	models    []pocModel
	providers []pocProvider
	settings  []pocSetting
	notes     []string // of reading
}

// pocModel is a row of ai_models.
type pocModel struct {
	at, file      string // where it was read
	provider      string // as it is called here
	upstream      string // model_id
	name          string
	input, output *money.Amount // nil when there is none
	window, most  int64         // tokens; 0 when not given
	active        *bool
	preset        bool // is_default
	capabilities  []string
	unknown       []string // capabilities that have no name here
}

// pocProvider is a row of provider_config.
type pocProvider struct {
	at, id    string
	enabled   *bool
	base      string // empty when it has no endpoint
	protocol  string
	foreign   bool  // the endpoint speaks none of our dialects
	wait      int64 // seconds
	most      int64 // output tokens of any model of it
	perMinute int64
	key       string
	headers   bool
}

// pocSetting is a row of system_config.
type pocSetting struct{ at, key, value string }

// Merge adds what another file holds. Rows that are in both are refused by Apply.
func (p *POC) Merge(other *POC) {
	p.models = append(p.models, other.models...)
	p.providers = append(p.providers, other.providers...)
	p.settings = append(p.settings, other.settings...)
	p.notes = append(p.notes, other.notes...)
}

// Apply changes a draft to what the earlier system had. Providers and models that
// are there are changed in place, a price that differs becomes a new version, and
// what only the draft has stays. The notes say what is not as it was.
func (p *POC) Apply(d *Draft) (notes []string, err error) {
	e := &pocEdit{draft: d, withKeys: p.WithKeys, notes: slices.Clone(p.notes), seen: map[string]string{}, most: map[string]int64{}, skipped: map[string]bool{}}
	for _, row := range p.providers {
		e.provider(row)
	}
	e.providerNotes(p.providers)
	ids := e.ids(p.models)
	for i, row := range p.models {
		if ids[i] != "" {
			e.model(row, ids[i])
		}
	}
	e.settings(p.settings)
	if len(e.problems) > 0 {
		return nil, e.problems
	}
	return e.notes, nil
}

// pocEdit is one application.
type pocEdit struct {
	draft    *Draft
	withKeys bool
	notes    []string
	problems Invalid
	seen     map[string]string // kind and name of a row -> where it is
	most     map[string]int64  // a provider's cap on output tokens
	skipped  map[string]bool   // providers that cannot be called at all
}

func (e *pocEdit) note(format string, args ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, args...))
}

func (e *pocEdit) bad(at, field, rule string, args ...any) {
	e.problems = broken(e.problems, at, field, rule, args...)
}

// once refuses the second row of a name.
func (e *pocEdit) once(at, field, kind, name string) bool {
	first, twice := e.seen[kind+"\x00"+name]
	if twice {
		e.bad(at, field, "must not name %s twice: it is %s already", shown(name), first)
		return false
	}
	e.seen[kind+"\x00"+name] = at
	return true
}

func (e *pocEdit) provider(row pocProvider) {
	if !e.once(row.at, "provider", "provider", row.id) {
		return
	}
	e.most[row.id] = row.most
	known := e.draft.Provider(row.id)
	if known == nil && row.base == "" {
		e.skipped[row.id] = true
		e.note("provider %s: left out with its models, because it has no api_endpoint and is not known here", row.id)
		return
	}
	v := Provider{ID: row.id, Enabled: true}
	if known != nil {
		v = *known
	}
	if row.enabled != nil {
		v.Enabled = *row.enabled && (v.Enabled || !row.foreign)
	}
	e.address(&v, row, known != nil)
	if row.wait > 0 { // there, nothing was bounded by it; a whole answer keeps its default, which is longer
		v.Timeouts.FirstTokenMS, v.Timeouts.IdleMS = row.wait*1000, row.wait*1000
	}
	e.draft.PutProvider(v)
	e.draft.lines["providers["+row.id+"]"] = row.at
	if row.key != "" && e.withKeys {
		e.draft.SetKeys(row.id, []string{row.key})
	}
}

// address sets where a provider is called. An address at the host that is known
// already says nothing new: the base of the catalog speaks our dialect.
func (e *pocEdit) address(v *Provider, row pocProvider, known bool) {
	switch {
	case row.base == "" || known && host(row.base) == host(v.BaseURL):
	case row.foreign && known:
		e.note("provider %s: %s speaks none of our protocols; it is called at %s", v.ID, host(row.base), v.BaseURL)
	case row.foreign:
		v.BaseURL, v.Protocol, v.Enabled = row.base, "openai", false
		e.note("provider %s: switched off, because %s speaks none of our protocols", v.ID, host(row.base))
	default:
		if known {
			e.note("provider %s: is called at %s instead of %s", v.ID, row.base, v.BaseURL)
		}
		v.BaseURL, v.Protocol = row.base, row.protocol
		if private(host(row.base)) && !v.AllowPrivate {
			e.note("provider %s: cannot be reached at %s until allow_private_address is set", v.ID, host(row.base))
		}
	}
}

// shown is a name from a file as it may be printed.
func shown(name string) string {
	return clip(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, name), 140)
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// private tells whether a host is surely not public.
func private(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	addr, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && (addr.IsPrivate() || addr.IsLoopback())
}

// providerNotes says once for all providers what is not carried over.
func (e *pocEdit) providerNotes(rows []pocProvider) {
	var keys, headers, limits []string
	for _, row := range rows {
		if e.skipped[row.id] {
			continue
		}
		if row.key != "" {
			keys = append(keys, row.id)
		}
		if row.headers {
			headers = append(headers, row.id)
		}
		if row.perMinute > 0 {
			limits = append(limits, fmt.Sprintf("%s %d", row.id, row.perMinute))
		}
	}
	if len(keys) > 0 && !e.withKeys {
		e.note("the keys of %s are not imported: they lie in the export in plain text, so better make new ones, or give --with-keys", strings.Join(keys, ", "))
	}
	if len(headers) > 0 {
		e.note("custom_headers of %s are not carried over", strings.Join(headers, ", "))
	}
	if len(limits) > 0 {
		e.note("rate_limit_rpm is not carried over, limits here are per user, in the plans (%s)", strings.Join(limits, ", "))
	}
}

func (e *pocEdit) settings(rows []pocSetting) {
	var others []string
	for _, row := range rows {
		if !e.once(row.at, "key", "setting", row.key) {
			continue
		}
		switch row.key {
		case "markup_percentage":
			percent, err := money.ParseDollars(row.value)
			if err != nil || percent%basisPoint != 0 {
				e.bad(row.at, "value", "must be a percentage with at most two digits after the point, such as 30")
				continue
			}
			if percent > 0 && percent < money.Dollar {
				e.note("markup_percentage is %s percent; if it means a share of the price, set markup_percent to 100 times that", percent.Dollars())
			}
			e.draft.Settings.Markup = int64(percent / basisPoint)
			e.draft.lines["settings.markup_percent"] = row.at
		case "signup_bonus_credits":
			credits, err := money.ParseCredits(row.value)
			if err != nil {
				e.bad(row.at, "value", "must be a plain decimal number of credits, such as 100")
				continue
			}
			e.draft.Settings.SignupCredits = credits
			e.draft.lines["settings.signup_credits"] = row.at
		default:
			others = append(others, shown(row.key))
		}
	}
	if len(others) > 0 {
		e.note("settings that are not carried over: %s", strings.Join(others, ", "))
	}
}
