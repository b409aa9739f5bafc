package catalog

import (
	"maps"
	"slices"
	"strings"
	"time"

	"onemind/internal/llm"
	"onemind/internal/money"
)

// Draft is a copy of the newest document that an edit changes as it likes. It is
// checked as a whole afterwards, so the order of changes does not matter.
type Draft struct {
	Document
	base  int64               // the revision it was copied from
	by    Editor              // author of new price versions
	now   time.Time           // when new price versions are made
	keys  map[string][]string // keys to replace, by provider
	lines map[string]string   // entry or field -> "file:line" it was read from
}

func newDraft(from Revision, by Editor, now time.Time) *Draft {
	return &Draft{Document: from.Document.clone(), base: from.Number, by: by, now: instant(now),
		keys: map[string][]string{}, lines: map[string]string{}}
}

// Model gives the draft's row to change in place, nil if there is none.
func (d *Draft) Model(id string) *Model { return find(d.Models, id) }

// Provider gives the draft's row to change in place, nil if there is none.
func (d *Draft) Provider(id string) *Provider { return find(d.Providers, id) }

// Plan gives the draft's row to change in place, nil if there is none.
func (d *Draft) Plan(id string) *Plan { return find(d.Plans, id) }

// PutModel adds a row or replaces the one of its id. A row without price
// versions keeps those that are there.
func (d *Draft) PutModel(m Model) {
	if old := d.Model(m.ID); old != nil && len(m.Prices) == 0 {
		m.Prices = old.Prices
	}
	d.Models = put(d.Models, m)
}

// PutProvider adds a row or replaces the one of its id. Keys stay.
func (d *Draft) PutProvider(p Provider) { d.Providers = put(d.Providers, p) }

// PutPlan adds a row or replaces the one of its id.
func (d *Draft) PutPlan(p Plan) { d.Plans = put(d.Plans, p) }

// RemoveModel removes a row if it is there.
func (d *Draft) RemoveModel(id string) { d.Models = drop(d.Models, id) }

// RemoveProvider removes a row if it is there, and its keys with it.
func (d *Draft) RemoveProvider(id string) { d.Providers = drop(d.Providers, id) }

// RemovePlan removes a row if it is there.
func (d *Draft) RemovePlan(id string) { d.Plans = drop(d.Plans, id) }

// SetKeys replaces a provider's API keys; an empty list deletes them.
func (d *Draft) SetKeys(provider string, keys []string) { d.keys[provider] = slices.Clone(keys) }

// SetPrice gives a model a new price version from a time on; a time that is not
// in the future means now. Classes left at 0 follow Complete. Nothing is added
// when that price is in force at that time already.
func (d *Draft) SetPrice(model string, rates money.Rates, effectiveAt time.Time, source string) error {
	return d.addPrice(model, Price{Rates: rates, EffectiveAt: effectiveAt, Source: source})
}

// identified is a row of a document.
type identified interface{ id() string }

func (m Model) id() string    { return m.ID }
func (p Provider) id() string { return p.ID }
func (p Plan) id() string     { return p.ID }

func find[T identified](rows []T, id string) *T {
	for i := range rows {
		if rows[i].id() == id {
			return &rows[i]
		}
	}
	return nil
}

func put[T identified](rows []T, row T) []T {
	if old := find(rows, row.id()); old != nil {
		*old = row
		return rows
	}
	return append(rows, row)
}

func drop[T identified](rows []T, id string) []T {
	return slices.DeleteFunc(rows, func(r T) bool { return r.id() == id })
}

func sortRows[T identified](rows []T) {
	slices.SortStableFunc(rows, func(a, b T) int { return strings.Compare(a.id(), b.id()) })
}

// clone copies everything a row edit can reach.
func (d Document) clone() Document {
	d.Providers, d.Plans, d.Models = slices.Clone(d.Providers), slices.Clone(d.Plans), slices.Clone(d.Models)
	for i := range d.Plans {
		d.Plans[i].Models = slices.Clone(d.Plans[i].Models)
	}
	for i := range d.Models {
		m := &d.Models[i]
		m.Capabilities, m.Aliases, m.Prices = slices.Clone(m.Capabilities), slices.Clone(m.Aliases), slices.Clone(m.Prices)
		m.Substitutes = slices.Clone(m.Substitutes)
		m.Rules.Refuse, m.Rules.Drop = slices.Clone(m.Rules.Refuse), slices.Clone(m.Rules.Drop)
		m.Rules.Set, m.Rules.Clamp = maps.Clone(m.Rules.Set), maps.Clone(m.Rules.Clamp)
	}
	return d
}

// tidy brings a document into its one form: rows sorted by id, capabilities in
// their fixed order, what has an obvious default filled in. Two documents that
// mean the same are then equal.
func (d *Document) tidy() {
	for i := range d.Providers {
		p := &d.Providers[i]
		p.BaseURL = strings.TrimRight(p.BaseURL, "/")
		if p.Name == "" {
			p.Name = p.ID
		}
		if p.Protocol == "demo" {
			p.Keyless = true
		}
	}
	for i := range d.Models {
		m := &d.Models[i]
		if m.Name == "" {
			m.Name = m.ID
		}
		if m.Upstream == "" {
			m.Upstream = m.ID
		}
		if m.State == "" {
			m.State = Active
		}
		m.Capabilities = tidyCapabilities(m.Capabilities)
		for j := range m.Prices {
			p := &m.Prices[j]
			p.EffectiveAt, p.CreatedAt = instant(p.EffectiveAt), instant(p.CreatedAt)
		}
	}
	sortRows(d.Providers)
	sortRows(d.Models)
	sortRows(d.Plans)
}

// tidyCapabilities sorts the known names and leaves unknown ones at the end, for
// validation to name them.
func tidyCapabilities(names []string) []string {
	var set llm.Capability
	var unknown []string
	for _, name := range names {
		if c, ok := llm.ParseCapability(name); ok {
			set |= c
		} else {
			unknown = append(unknown, name)
		}
	}
	return append(set.Names(), unknown...)
}
