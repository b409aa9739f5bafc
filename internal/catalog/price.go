package catalog

import (
	"fmt"
	"slices"
	"time"

	"onemind/internal/fault"
	"onemind/internal/money"
)

// Complete fills the token classes that a price leaves out. A paid model has no
// free class: cached input and cache writes cost what input costs, reasoning
// what output costs, unless they have a price of their own. Without this a
// forgotten field would give tokens away.
func Complete(r money.Rates) money.Rates {
	for _, class := range []struct{ own, from *money.Amount }{
		{&r.CachedInput, &r.Input}, {&r.CacheWrite, &r.Input}, {&r.Reasoning, &r.Output},
	} {
		if *class.own == 0 {
			*class.own = *class.from
		}
	}
	return r
}

// PriceAt gives the price version in force at a time, or false when none is.
func (m *Model) PriceAt(at time.Time) (Price, bool) {
	i := priceAt(m.Prices, at)
	if i < 0 {
		return Price{}, false
	}
	return m.Prices[i], true
}

// priceAt gives the index of the version in force: the last to take effect, and
// among versions of one moment the last added. -1 when there is none.
func priceAt(versions []Price, at time.Time) int {
	best := -1
	for i := range versions {
		from := since(versions, i)
		if !from.After(at) && (best < 0 || !from.Before(since(versions, best))) {
			best = i
		}
	}
	return best
}

// since is when version i takes effect. A model's first price counts from ever
// if it was not scheduled: the clock of the instance that serves may be a little
// behind that of the one that saved it.
func since(versions []Price, i int) time.Time {
	if i == 0 && immediate(versions[i]) {
		return time.Time{}
	}
	return versions[i].EffectiveAt
}

// immediate reports whether a version took effect when it was made.
func immediate(p Price) bool { return !p.EffectiveAt.After(p.CreatedAt) }

// instant is the precision that stores keep.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// addPrice appends p to a model's versions under the next version name. It adds
// nothing when p is what would be in force at its time anyway. A time that is not
// in the future means now: what was charged stays charged.
func (d *Draft) addPrice(id string, p Price) error {
	m := d.Model(id)
	if m == nil {
		return ErrNotFound
	}
	p.Rates = Complete(p.Rates)
	p.CreatedAt, p.EffectiveAt = d.now, instant(p.EffectiveAt)
	if !p.EffectiveAt.After(d.now) {
		p.EffectiveAt = d.now
		for _, v := range m.Prices { // an instance with a faster clock may have made the last one
			if immediate(v) && v.EffectiveAt.After(p.EffectiveAt) {
				p.EffectiveAt, p.CreatedAt = v.EffectiveAt, v.EffectiveAt
			}
		}
	}
	if i := priceAt(m.Prices, p.EffectiveAt); i >= 0 && m.Prices[i].Rates == p.Rates {
		return nil
	}
	p.Version, p.Author = d.version(m), d.by.Actor
	m.Prices = append(m.Prices, p)
	return nil
}

// version names the next price version after the revision that brings it, such
// as "gpt-4o@412", and "gpt-4o@412.2" for a second one in the same revision. No
// revision comes twice, so no name does, not even when a model is removed and
// another of its id is added later.
func (d *Draft) version(m *Model) string {
	taken := func(name string) bool {
		return slices.ContainsFunc(m.Prices, func(p Price) bool { return p.Version == name })
	}
	name := fmt.Sprintf("%s@%d", m.ID, d.base+1)
	for n := 2; taken(name); n++ {
		name = fmt.Sprintf("%s@%d.%d", m.ID, d.base+1, n)
	}
	return name
}

// sameHistory refuses a draft that changes or drops a price version of a model
// that stays.
func sameHistory(before, after []Model) *fault.Error {
	for i := range after {
		m := &after[i]
		old := find(before, m.ID)
		if old == nil {
			continue
		}
		for _, p := range old.Prices {
			j := slices.IndexFunc(m.Prices, func(q Price) bool { return q.Version == p.Version })
			if j < 0 || !samePrice(m.Prices[j], p) {
				return fault.Field("models["+m.ID+"].prices", "must keep version %s as it is: a price version is never changed or removed, add a new one", p.Version)
			}
		}
	}
	return nil
}

func samePrice(a, b Price) bool {
	return a.Version == b.Version && a.Rates == b.Rates && instant(a.EffectiveAt).Equal(instant(b.EffectiveAt)) &&
		a.Source == b.Source && a.AsOf == b.AsOf && a.Author == b.Author && instant(a.CreatedAt).Equal(instant(b.CreatedAt))
}

// restore gives a model of an old revision back its price without rewriting
// history: every version of both stays, the old price is added as a new version if
// another is in force, and price changes scheduled since are overridden.
func (d *Draft) restore(old *Model, current []Price) error {
	then := slices.Clone(old.Prices)
	m := d.Model(old.ID)
	m.Prices = slices.Clone(current)
	for _, p := range then {
		if !slices.ContainsFunc(current, func(q Price) bool { return q.Version == p.Version }) {
			m.Prices = append(m.Prices, p)
		}
	}
	moments := []time.Time{d.now}
	for _, p := range m.Prices {
		if p.EffectiveAt.After(d.now) && !immediate(p) {
			moments = append(moments, p.EffectiveAt)
		}
	}
	for _, at := range moments {
		i := priceAt(then, at)
		if i < 0 {
			continue
		}
		p := then[i]
		p.EffectiveAt = at
		if err := d.addPrice(old.ID, p); err != nil {
			return err
		}
	}
	return nil
}
