package catalog

import (
	"slices"
	"sort"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/money"
)

// Snapshot is one revision, ready to be asked. It never changes: a request keeps
// the one it began with. Nothing it gives out may be changed either.
type Snapshot struct {
	Revision int64
	Settings Settings

	doc    Document
	rings  map[string]keyring
	plans  map[string]*Plan
	byName map[string]*entry
}

// entry is a model with what a look-up needs, computed beforehand.
type entry struct {
	model    *Model
	provider *Provider
	reason   string  // why no call can be made, apart from the price; empty if one can
	routes   []timed // by the time they begin
}

type timed struct {
	from  time.Time
	route *Route
}

// Reasons why a listed model cannot be called.
const (
	ReasonNeedsKey = "needs_key"
	ReasonDisabled = "provider_disabled"
	ReasonNoPrice  = "no_price"
)

// build makes the snapshot of a valid document.
func build(number int64, doc Document, rings map[string]keyring) *Snapshot {
	s := &Snapshot{Revision: number, Settings: doc.Settings, doc: doc, rings: rings, plans: map[string]*Plan{}, byName: map[string]*entry{}}
	for i := range doc.Plans {
		s.plans[doc.Plans[i].ID] = &doc.Plans[i]
	}
	entries := make([]*entry, len(doc.Models))
	for i := range doc.Models {
		entries[i] = s.entry(&doc.Models[i])
	}
	s.name(entries)
	return s
}

func (s *Snapshot) entry(m *Model) *entry {
	e := &entry{model: m, provider: find(s.doc.Providers, m.Provider)}
	switch {
	case !e.provider.Enabled:
		e.reason = ReasonDisabled
	case s.NeedsKey(m.Provider):
		e.reason = ReasonNeedsKey
	}
	base := Route{Model: m, Provider: e.provider, Markup: s.Settings.Markup, Revision: s.Revision, keys: s.rings[m.Provider].keys}
	for _, name := range m.Capabilities {
		c, _ := llm.ParseCapability(name)
		base.Capabilities |= c
	}
	for i, p := range m.Prices {
		r := base
		r.Version, r.Rates = p.Version, Complete(p.Rates)
		e.routes = append(e.routes, timed{since(m.Prices, i), &r})
	}
	sort.SliceStable(e.routes, func(i, j int) bool { return e.routes[i].from.Before(e.routes[j].from) })
	return e
}

// name enters every name a model can be called by. Ids come before aliases, and
// both before the forms with a provider, where models that can be called win.
func (s *Snapshot) name(entries []*entry) {
	add := func(name string, e *entry) {
		if s.byName[name] == nil {
			s.byName[name] = e
		}
	}
	live := slices.DeleteFunc(slices.Clone(entries), func(e *entry) bool { return e.model.State == Disabled })
	for _, e := range live {
		add(e.model.ID, e)
	}
	for _, e := range live {
		for _, alias := range e.model.Aliases {
			add(alias, e)
		}
	}
	for _, e := range live {
		add(e.model.Provider+"/"+e.model.ID, e)
		for _, alias := range e.model.Aliases {
			add(e.model.Provider+"/"+alias, e)
		}
	}
	for _, e := range live {
		add(e.model.Provider+"/"+e.model.Upstream, e)
	}
}

// at gives the route of the price in force, nil when there is none.
func (e *entry) at(now time.Time) *Route {
	for i := len(e.routes) - 1; i >= 0; i-- {
		if !e.routes[i].from.After(now) {
			return e.routes[i].route
		}
	}
	return nil
}

// Route finds where a call for a model goes and what it costs now. The name is
// an id, an alias, or either or the upstream id behind "provider/". A model that
// is unknown or disabled is model_not_found, one that nothing can be sent to is
// provider_not_configured.
func (s *Snapshot) Route(name string) (*Route, error) {
	e := s.byName[name]
	if e == nil {
		if len(name) > 128 {
			name = name[:128]
		}
		f := fault.New(fault.NotFound, "model_not_found", "There is no model %q here.", name)
		f.Field = "model"
		return nil, f
	}
	r := e.at(time.Now())
	switch {
	case e.reason == ReasonDisabled:
		return nil, notConfigured("The provider of %s is switched off.", e)
	case e.reason == ReasonNeedsKey:
		return nil, notConfigured("The provider of %s has no API key yet.", e)
	case r == nil:
		return nil, notConfigured("The model %s has no price yet.", e)
	}
	return r, nil
}

func notConfigured(text string, e *entry) error {
	f := fault.New(fault.Unavailable, "provider_not_configured", text, e.model.ID)
	f.Field = "model"
	return f
}

// Document gives the revision's rows, to be read only.
func (s *Snapshot) Document() Document { return s.doc }

// Model gives a model's row by its id, whatever its state, to be read only; nil
// if there is none.
func (s *Snapshot) Model(id string) *Model { return find(s.doc.Models, id) }

// Plan gives a plan, the default one for an id that is empty or gone.
func (s *Snapshot) Plan(id string) Plan {
	if p := s.plans[id]; p != nil {
		return *p
	}
	return *s.plans[s.Settings.DefaultPlan]
}

// PlanAllows reports whether a plan includes a model, named by its id.
func (s *Snapshot) PlanAllows(p Plan, model string) bool {
	return len(p.Models) == 0 || slices.Contains(p.Models, model)
}

// Keys lists a provider's stored keys, without the keys.
func (s *Snapshot) Keys(provider string) []KeyInfo { return s.rings[provider].info }

// SameProvider reports whether a provider, its keys and its models' rows are the
// same in another snapshot.
func (s *Snapshot) SameProvider(other *Snapshot, id string) bool {
	a, b := find(s.doc.Providers, id), find(other.doc.Providers, id)
	if a == nil || b == nil || *a != *b || !slices.EqualFunc(s.rings[id].keys, other.rings[id].keys, func(a, b llm.Key) bool { return a == b }) {
		return false
	}
	for _, m := range other.doc.Models {
		if old := find(s.doc.Models, m.ID); m.Provider == id && (old == nil || old.Upstream != m.Upstream) {
			return false
		}
	}
	return true
}

// NeedsKey reports whether a provider waits for a key.
func (s *Snapshot) NeedsKey(provider string) bool {
	p := find(s.doc.Providers, provider)
	return p != nil && !p.Keyless && len(s.rings[provider].keys) == 0
}

// Listed is a model as people choose it. Prices include the markup, per million
// tokens, rounded up to a whole nano-dollar.
type Listed struct {
	ID            string      `json:"id"`
	Name          string      `json:"name"`
	Provider      string      `json:"provider"`
	ProviderName  string      `json:"provider_name"`
	ContextWindow int64       `json:"context_window"`
	MaxOutput     int64       `json:"max_output_tokens"`
	Capabilities  []string    `json:"capabilities"`
	State         State       `json:"state"`
	Available     bool        `json:"available"`
	Reason        string      `json:"unavailable_reason,omitempty"`
	Prices        money.Rates `json:"prices"`
	RetiresOn     string      `json:"retires_on,omitempty"` // day the provider takes it away, such as 2027-03-31
	Since         time.Time   `json:"-"`                    // when it got its first price
}

// Models lists the active models by id, callable or not.
func (s *Snapshot) Models() []Listed {
	list, now := []Listed{}, time.Now()
	for i := range s.doc.Models {
		m := &s.doc.Models[i]
		if m.State != Active {
			continue
		}
		e := s.byName[m.ID]
		l := Listed{ID: m.ID, Name: m.Name, Provider: m.Provider, ProviderName: e.provider.Name, ContextWindow: m.ContextWindow,
			MaxOutput: m.MaxOutput, Capabilities: m.Capabilities, State: m.State, Reason: e.reason, RetiresOn: m.RetiresOn}
		if r := e.at(now); r != nil {
			l.Prices = WithMarkup(r.Rates, r.Markup)
		} else if l.Reason == "" {
			l.Reason = ReasonNoPrice
		}
		if len(m.Prices) > 0 {
			l.Since = m.Prices[0].CreatedAt
		}
		l.Available = l.Reason == ""
		list = append(list, l)
	}
	return list
}

// WithMarkup gives prices as people see them: with the markup (basis points),
// each rounded up to a whole nano-dollar. A charge is computed from the prices
// without markup and rounded once, so it is never above what these say.
func WithMarkup(r money.Rates, markup int64) money.Rates {
	for _, p := range []*money.Amount{&r.Input, &r.CachedInput, &r.CacheWrite, &r.Output, &r.Reasoning, &r.Request, &r.Image} {
		*p = money.Amount((uint64(*p)*uint64(10_000+markup) + 9_999) / 10_000) // at most 1e14 x 110,000: fits 64 bits without a sign
	}
	return r
}
