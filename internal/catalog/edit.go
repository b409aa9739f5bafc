package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"onemind/internal/fault"
)

// maxTries is how often an edit without a base starts over because another
// instance saved first. Each failure means that somebody else succeeded.
const maxTries = 20

// maxNote bounds a revision's note, in bytes.
const maxNote = 500

// Editor is who changes the catalog, and why.
type Editor struct {
	Actor   string // user id, "cli" or "startup"
	Address string // where the request came from; empty on the command line
	Note    string
}

// Edit makes the next revision: change gets a draft of the newest one, and the
// whole draft is checked, saved with its audit rows, and served. base is the
// revision the change was made for: ErrStale when it is not the newest any more.
// With base 0 the change is made to whatever is newest, and change may be called more
// than once. A change of nothing gives the newest revision and saves none. What breaks a
// rule comes back as Invalid.
func (c *Catalog) Edit(ctx context.Context, by Editor, base int64, change func(*Draft) error) (Revision, error) {
	return c.edit(ctx, by, base, change)
}

// Preview says what an edit would change and saves nothing.
func (c *Catalog) Preview(change func(*Draft) error) ([]Change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	plan, err := c.plan(Editor{Actor: "preview"}, change)
	return plan.next.Changes, err
}

// Rollback makes a revision with the content of an old one. Price versions are
// history and stay: where another price is in force now, the old one is added as
// a new version. Provider keys are no part of a revision; those of a provider
// that the old revision does not have are deleted with it.
func (c *Catalog) Rollback(ctx context.Context, by Editor, number int64) (Revision, error) {
	old, err := c.Revision(ctx, number)
	if err != nil {
		return Revision{}, err
	}
	if by.Note == "" {
		by.Note = fmt.Sprintf("roll back to revision %d", number)
	}
	return c.edit(ctx, by, 0, func(d *Draft) error {
		current := d.Document
		d.Document = old.Document.clone()
		for i := range old.Models {
			var versions []Price
			if m := find(current.Models, old.Models[i].ID); m != nil {
				versions = m.Prices
			}
			if err := d.restore(&old.Models[i], versions); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Catalog) edit(ctx context.Context, by Editor, base int64, change func(*Draft) error) (Revision, error) {
	if c.config.Builtin {
		return Revision{}, ErrReadOnly
	}
	by.Note = clip(strings.TrimSpace(by.Note), maxNote)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.catchUp(ctx); err != nil { // else a change back to what is here would look like none
		return Revision{}, err
	}
	for try := 1; ; try++ {
		if base > 0 && base != c.newest.Number {
			return Revision{}, ErrStale
		}
		rev, err := c.attempt(ctx, by, change)
		if !errors.Is(err, ErrStale) || base > 0 || try == maxTries {
			return rev, err
		}
		if err := pause(ctx, try); err != nil {
			return Revision{}, err
		}
		if err := c.load(ctx); err != nil {
			return Revision{}, err
		}
	}
}

// catchUp loads the newest revision if this instance is behind. The caller holds mu.
func (c *Catalog) catchUp(ctx context.Context) error {
	number, err := c.config.Store.Newest(ctx)
	if err != nil {
		return fmt.Errorf("look for a new revision: %w", err)
	}
	if number == c.newest.Number {
		return nil
	}
	return c.load(ctx)
}

// pause waits a little longer after each lost race, at random, so that
// instances do not meet again.
func pause(ctx context.Context, try int) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(rand.N(time.Duration(try) * 2 * time.Millisecond)):
		return nil
	}
}

// attempt makes one revision on top of the newest that is known here. The
// caller holds mu.
func (c *Catalog) attempt(ctx context.Context, by Editor, change func(*Draft) error) (Revision, error) {
	plan, err := c.plan(by, change)
	if err != nil {
		return Revision{}, err
	}
	if len(plan.next.Changes) == 0 {
		return c.newest, nil
	}
	if err := c.config.Store.Save(ctx, c.newest.Number, plan.next, plan.keys, plan.audit(by)); err != nil {
		return Revision{}, err
	}
	if c.config.Saved != nil {
		c.config.Saved(plan.next.Number)
	}
	c.newest = plan.next
	c.sealed = slices.DeleteFunc(slices.Clone(c.sealed), func(k SealedKey) bool { _, replaced := plan.keys[k.Provider]; return replaced })
	for _, provider := range slices.Sorted(maps.Keys(plan.keys)) {
		c.sealed = append(c.sealed, plan.keys[provider]...)
	}
	return plan.next, c.serve()
}

// plan is an edit worked out, ready to be saved.
type plan struct {
	next Revision
	keys map[string][]SealedKey
}

// plan applies change to a draft and checks the whole of it. The caller holds mu.
func (c *Catalog) plan(by Editor, change func(*Draft) error) (plan, error) {
	d := newDraft(c.newest, by, time.Now())
	if err := change(d); err != nil {
		return plan{}, err
	}
	d.tidy()
	problems := check(d.Document)
	if f := sameHistory(c.newest.Models, d.Models); f != nil {
		problems = append(problems, f)
	}
	for _, provider := range slices.Sorted(maps.Keys(d.keys)) {
		if f := c.checkKeys(d, provider); f != nil {
			problems = append(problems, f)
		}
	}
	if len(problems) > 0 {
		return plan{}, d.locate(problems)
	}
	p := plan{keys: map[string][]SealedKey{}, next: Revision{Number: c.newest.Number + 1, Author: by.Actor, Note: by.Note, At: d.now,
		Changes: Diff(c.newest.Document, d.Document), Document: d.Document}}
	c.replaceKeys(d, &p)
	return p, nil
}

func (c *Catalog) checkKeys(d *Draft, provider string) *fault.Error {
	switch p := d.Provider(provider); {
	case p == nil:
		return fault.Field("providers["+clip(provider, 80)+"].api_keys", "belong to no provider")
	case p.Keyless && len(d.keys[provider]) > 0:
		return fault.Field("providers["+provider+"].api_keys", "must not be given to a provider that works without a key")
	}
	return checkKeys(provider, d.keys[provider])
}

// replaceKeys seals what changed and notes it as changes of the providers. Keys
// of a provider that is gone are deleted.
func (c *Catalog) replaceKeys(d *Draft, p *plan) {
	rings, _ := openKeys(c.config.Sealer, c.sealed) // an unreadable key equals no new one
	for provider, ring := range rings {
		if d.Provider(provider) == nil && len(ring.info) > 0 {
			p.keys[provider] = nil
		}
	}
	for _, provider := range slices.Sorted(maps.Keys(d.keys)) {
		ring := rings[provider]
		if ring.equal(d.keys[provider]) {
			continue
		}
		rows := sealKeys(c.config.Sealer, provider, d.keys[provider], d.now)
		p.keys[provider] = rows
		var after []KeyInfo
		for _, row := range rows {
			after = append(after, KeyInfo{Last4: row.Last4})
		}
		p.note(provider, FieldChange{Field: "api_keys", Before: masked(ring.info), After: masked(after)})
	}
}

// note adds a field to the change of a provider, making one if there is none.
func (p *plan) note(provider string, f FieldChange) {
	i := slices.IndexFunc(p.next.Changes, func(ch Change) bool { return ch.Kind == "provider" && ch.ID == provider })
	if i < 0 {
		p.next.Changes = append(p.next.Changes, Change{Kind: "provider", ID: provider, Op: "change", Fields: []FieldChange{f}})
		return
	}
	p.next.Changes[i].Fields = append(p.next.Changes[i].Fields, f)
}

// masked shows keys as people may see them, as JSON; empty for none.
func masked(keys []KeyInfo) string {
	if len(keys) == 0 {
		return ""
	}
	shown := make([]string, 0, len(keys))
	for _, k := range keys {
		shown = append(shown, "…"+k.Last4)
	}
	return string(rowJSON(shown))
}

// audit makes one row per changed row of the catalog.
func (p *plan) audit(by Editor) []Audit {
	rows := make([]Audit, 0, len(p.next.Changes))
	for _, ch := range p.next.Changes {
		before, after := map[string]json.RawMessage{}, map[string]json.RawMessage{}
		for _, f := range ch.Fields {
			if f.Before != "" {
				before[f.Field] = json.RawMessage(f.Before)
			}
			if f.After != "" {
				after[f.Field] = json.RawMessage(f.After)
			}
		}
		a := Audit{Actor: by.Actor, Action: ch.Kind + "." + ch.Op, Object: strings.TrimSpace(ch.Kind + " " + ch.ID), Address: by.Address, At: p.next.At}
		if len(before) > 0 {
			a.Before = string(rowJSON(before))
		}
		if len(after) > 0 {
			a.After = string(rowJSON(after))
		}
		rows = append(rows, a)
	}
	return rows
}

// clip cuts s to at most n bytes without cutting a letter in two.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
