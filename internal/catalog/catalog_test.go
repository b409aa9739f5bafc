package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/fault"
	"onemind/internal/money"
	"onemind/internal/secret"
	"onemind/internal/sqlite"
)

// system is a catalog over a real store.
type system struct {
	*catalog.Catalog
	db     *sqlite.DB
	config catalog.Config
}

func start(t testing.TB, env map[string]string) system {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "onemind.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	box, err := secret.New(secret.Generate())
	if err != nil {
		t.Fatal(err)
	}
	s := system{db: db, config: catalog.Config{Store: db.Catalog(), Sealer: box, Env: func(name string) string { return env[name] }, Poll: 10 * time.Millisecond}}
	s.Catalog = s.second(t)
	return s
}

// second starts another instance over the same store.
func (s system) second(t testing.TB) *catalog.Catalog {
	t.Helper()
	c := catalog.New(s.config)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func admin(note string) catalog.Editor {
	return catalog.Editor{Actor: "admin", Address: "203.0.113.7", Note: note}
}

func edit(t testing.TB, c *catalog.Catalog, change func(*catalog.Draft) error) catalog.Revision {
	t.Helper()
	rev, err := c.Edit(t.Context(), admin("test"), 0, change)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func price(t testing.TB, c *catalog.Catalog, output money.Amount) catalog.Revision {
	t.Helper()
	return edit(t, c, func(d *catalog.Draft) error {
		return d.SetPrice("demo", money.Rates{Input: 1, Output: output}, time.Time{}, "test")
	})
}

func route(t testing.TB, c *catalog.Catalog, model string) *catalog.Route {
	t.Helper()
	r, err := c.Snapshot().Route(model)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestStart(t *testing.T) {
	s := start(t, map[string]string{"OPENAI_API_KEY": "sk-from-the-environment"})
	snap := s.Snapshot()
	if snap.Revision != 1 || s.LastError() != nil {
		t.Errorf("revision %d, %v", snap.Revision, s.LastError())
	}
	if r := route(t, s.Catalog, "openai/gpt-4o"); r.Keys()[0].Reveal() != "sk-from-the-environment" || r.Version != "gpt-4o@1" || r.Revision != 1 {
		t.Errorf("route %+v", r)
	}
	_, err := snap.Route("claude-opus-5-5")
	if f := fault.From(err); f.Kind != fault.Unavailable || f.Code != "provider_not_configured" {
		t.Errorf("a provider without a key: %v", err)
	}
	if other := s.second(t); other.Snapshot().Revision != 1 {
		t.Errorf("a second start made revision %d", other.Snapshot().Revision)
	}
	log, err := s.AuditLog(t.Context(), 0, 10)
	if err != nil || len(log) != 1 || log[0].Actor != "startup" {
		t.Errorf("audit %v, %v", log, err)
	}
}

func TestEditPrice(t *testing.T) {
	s := start(t, nil)
	before := route(t, s.Catalog, "demo")
	rev := price(t, s.Catalog, money.Dollar)
	if rev.Number != 2 || rev.Author != "admin" || len(rev.Changes) != 1 || rev.Changes[0].Kind != "price" || rev.Changes[0].ID != "demo@2" {
		t.Fatalf("revision %+v", rev)
	}
	after := route(t, s.Catalog, "demo")
	if after.Version != "demo@2" || after.Rates.Reasoning != money.Dollar || after.Rates.CachedInput != 1 || before.Version != "demo@1" {
		t.Errorf("from %+v to %+v", before, after)
	}
	if same := price(t, s.Catalog, money.Dollar); same.Number != 2 {
		t.Errorf("a change of nothing made revision %d", same.Number)
	}
	log, err := s.AuditLog(t.Context(), 0, 1)
	if err != nil || len(log) != 1 || log[0].Action != "price.add" || log[0].Object != "price demo@2" || log[0].Address != "203.0.113.7" ||
		!strings.Contains(log[0].After, `"rates.output_nano_usd":1000000000`) {
		t.Errorf("audit %+v, %v", log, err)
	}
	loaded := s.second(t)
	if r := route(t, loaded, "demo"); r.Version != "demo@2" || r.Rates != after.Rates {
		t.Errorf("another instance has %+v", r)
	}
	if d := catalog.Diff(loaded.Snapshot().Document(), s.Snapshot().Document()); len(d) != 0 {
		t.Errorf("stored and served differ: %v", d)
	}
}

func TestEditRefuses(t *testing.T) {
	s := start(t, nil)
	for name, tt := range map[string]struct {
		change func(*catalog.Draft) error
		field  string
	}{
		"negative price": {func(d *catalog.Draft) error {
			return d.SetPrice("demo", money.Rates{Input: 1, Output: -1}, time.Time{}, "")
		}, "models[demo].prices.output"},
		"absurd price": {func(d *catalog.Draft) error {
			return d.SetPrice("gpt-4o", money.Rates{Input: 1, Output: money.MaxPrice + 1}, time.Time{}, "")
		}, "models[gpt-4o].prices.output"},
		"free model of a provider with a key": {func(d *catalog.Draft) error { return d.SetPrice("gpt-4o", money.Rates{}, time.Time{}, "") }, "models[gpt-4o].prices.input"},
		"changed version":                     {func(d *catalog.Draft) error { d.Model("demo").Prices[0].Rates.Input++; return nil }, "models[demo].prices"},
		"dropped version": {func(d *catalog.Draft) error {
			if err := d.SetPrice("demo", money.Rates{Input: 7, Output: 7}, time.Time{}, ""); err != nil {
				return err
			}
			d.Model("demo").Prices = d.Model("demo").Prices[1:]
			return nil
		}, "models[demo].prices"},
		"model without a price": {func(d *catalog.Draft) error {
			d.PutModel(catalog.Model{ID: "new", Provider: "demo", ContextWindow: 10, MaxOutput: 10})
			return nil
		}, "models[new].prices"},
		"provider with models": {func(d *catalog.Draft) error { d.RemoveProvider("openai"); return nil }, "models[gpt-4o].provider"},
		"default plan":         {func(d *catalog.Draft) error { d.RemovePlan("default"); return nil }, "settings.default_plan"},
		"model of a plan": {func(d *catalog.Draft) error {
			d.PutPlan(catalog.Plan{ID: "p", Models: []string{"nothing"}})
			return nil
		}, "plans[p].models"},
		"keys of nobody":  {func(d *catalog.Draft) error { d.SetKeys("nobody", []string{"sk-1"}); return nil }, "providers[nobody].api_keys"},
		"key with spaces": {func(d *catalog.Draft) error { d.SetKeys("openai", []string{"sk 1"}); return nil }, "providers[openai].api_keys[0]"},
		"key twice":       {func(d *catalog.Draft) error { d.SetKeys("openai", []string{"sk-1", "sk-1"}); return nil }, "providers[openai].api_keys[1]"},
	} {
		_, err := s.Edit(t.Context(), admin(""), 0, tt.change)
		var all catalog.Invalid
		if !errors.As(err, &all) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		found := false
		for _, f := range all {
			found = found || f.Field == tt.field && strings.HasPrefix(f.Text, tt.field)
		}
		if !found {
			t.Errorf("%s: %v, want a word on %s", name, err, tt.field)
		}
	}
	if s.Snapshot().Revision != 1 {
		t.Errorf("refused edits made revision %d", s.Snapshot().Revision)
	}
}

func TestEditStale(t *testing.T) {
	s := start(t, nil)
	other := s.second(t)
	price(t, s.Catalog, 100)
	if _, err := other.Edit(t.Context(), admin(""), 1, func(*catalog.Draft) error { return nil }); !errors.Is(err, catalog.ErrStale) {
		t.Errorf("an edit of revision 1 after 2: %v", err)
	}
	if rev, err := other.Edit(t.Context(), admin(""), 2, func(d *catalog.Draft) error { d.Settings.Markup = 1; return nil }); err != nil || rev.Number != 3 {
		t.Errorf("an edit of 2 by an instance that was behind: %d, %v", rev.Number, err)
	}
	if rev := price(t, s.Catalog, 200); rev.Number != 4 || rev.Settings.Markup != 1 {
		t.Errorf("an edit of whatever is newest: revision %d with markup %d", rev.Number, rev.Settings.Markup)
	}
}

// An instance that is behind does not take a change for none because it is what
// it still has itself.
func TestEditBehind(t *testing.T) {
	s := start(t, nil)
	price(t, s.Catalog, 100)
	other := s.second(t)
	price(t, s.Catalog, 200)
	if rev := price(t, other, 100); rev.Number != 4 || route(t, other, "demo").Rates.Output != 100 {
		t.Errorf("revision %d", rev.Number)
	}
}

// Instances that start together on an empty store agree on one revision 1.
func TestStartTogether(t *testing.T) {
	s := start(t, nil)
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "empty.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s.config.Store = db.Catalog()
	var starts sync.WaitGroup
	for range 4 {
		starts.Go(func() {
			c := catalog.New(s.config)
			if err := c.Start(t.Context()); err != nil || c.Snapshot().Revision != 1 {
				t.Errorf("revision %d, %v", c.Snapshot().Revision, err)
			}
		})
	}
	starts.Wait()
}

// However many editors race on two instances, nobody's change is lost, and
// readers always see one whole revision.
func TestEditorsRace(t *testing.T) {
	s := start(t, nil)
	edit(t, s.Catalog, func(d *catalog.Draft) error {
		return d.SetPrice("demo", money.Rates{Input: 5, Output: 5}, time.Time{}, "")
	})
	instances := []*catalog.Catalog{s.Catalog, s.second(t)}
	ctx, cancel := context.WithCancel(t.Context())
	var all, editors sync.WaitGroup
	for _, c := range instances {
		all.Go(func() { _ = c.Watch(ctx) })
		all.Go(func() {
			for last := int64(0); ctx.Err() == nil; time.Sleep(50 * time.Microsecond) {
				snap := c.Snapshot()
				if snap.Revision < last {
					t.Errorf("revision %d after %d", snap.Revision, last)
				}
				last = snap.Revision
				if r, err := snap.Route("demo"); err != nil || r.Revision != snap.Revision || r.Rates.Input != r.Rates.Output {
					t.Errorf("route %+v, %v", r, err)
				}
			}
		})
	}
	for i := range 12 {
		editors.Go(func() {
			_, err := instances[i%2].Edit(ctx, admin(""), 0, func(d *catalog.Draft) error {
				d.PutPlan(catalog.Plan{ID: fmt.Sprint("plan-", i)})
				n := money.Amount(i + 10)
				return d.SetPrice("demo", money.Rates{Input: n, Output: n}, time.Time{}, "")
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	editors.Wait()
	for deadline := time.Now().Add(5 * time.Second); instances[0].Snapshot().Revision != 14 || instances[1].Snapshot().Revision != 14; {
		if time.Now().After(deadline) {
			t.Fatalf("revisions %d and %d, want 14", instances[0].Snapshot().Revision, instances[1].Snapshot().Revision)
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	all.Wait()
	if plans := len(instances[1].Snapshot().Document().Plans); plans != 13 {
		t.Errorf("%d plans, want 13", plans)
	}
}

func TestKeys(t *testing.T) {
	s := start(t, map[string]string{"GROQ_API_KEY": "gsk-from-env"})
	rev := edit(t, s.Catalog, func(d *catalog.Draft) error { d.SetKeys("openai", []string{"sk-first-00001111", "short"}); return nil })
	if len(rev.Changes) != 1 || rev.Changes[0].Fields[0].After != `["…1111","…"]` {
		t.Errorf("changes %+v", rev.Changes)
	}
	if same := edit(t, s.Catalog, func(d *catalog.Draft) error { d.SetKeys("openai", []string{"sk-first-00001111", "short"}); return nil }); same.Number != rev.Number {
		t.Errorf("the same keys made revision %d", same.Number)
	}
	for name, c := range map[string]*catalog.Catalog{"this": s.Catalog, "another": s.second(t)} {
		info := c.Snapshot().Keys("openai")
		if len(info) != 2 || info[0].Last4 != "1111" || info[1].Last4 != "" || c.Snapshot().NeedsKey("openai") || !c.Snapshot().NeedsKey("xai") || c.Snapshot().NeedsKey("groq") {
			t.Errorf("%s instance: keys %+v", name, info)
		}
		if key := route(t, c, "gpt-4o").Keys()[0]; key.Reveal() != "sk-first-00001111" || fmt.Sprintf("%v%+v%#v", key, key, key) != strings.Repeat("[secret]", 3) {
			t.Errorf("%s instance: wrong or naked key", name)
		}
	}
	all, err := s.AuditLog(t.Context(), 0, 100)
	if err != nil || strings.Contains(fmt.Sprint(all), "sk-first") {
		t.Errorf("the audit log shows a key, or %v", err)
	}
	edit(t, s.Catalog, func(d *catalog.Draft) error { d.SetKeys("openai", nil); return nil })
	if !s.Snapshot().NeedsKey("openai") {
		t.Error("a deleted key is still there")
	}
}

// A provider that goes takes its keys with it: one of the same id that comes
// later, perhaps at another address, must not get them.
func TestKeysGoWithTheirProvider(t *testing.T) {
	s := start(t, nil)
	put := func(d *catalog.Draft) error {
		d.PutProvider(catalog.Provider{ID: "p", Protocol: "openai", BaseURL: "https://example.com/v1", Enabled: true})
		return nil
	}
	edit(t, s.Catalog, put)
	edit(t, s.Catalog, func(d *catalog.Draft) error { d.SetKeys("p", []string{"sk-secret"}); return nil })
	edit(t, s.Catalog, func(d *catalog.Draft) error { d.RemoveProvider("p"); return nil })
	edit(t, s.Catalog, put)
	if keys := s.Snapshot().Keys("p"); len(keys) != 0 || len(s.second(t).Snapshot().Keys("p")) != 0 {
		t.Errorf("keys %+v", keys)
	}
}

// Keys sealed under a lost secret key count as none, loudly, and can be given anew.
func TestLostSecretKey(t *testing.T) {
	s := start(t, nil)
	edit(t, s.Catalog, func(d *catalog.Draft) error { d.SetKeys("openai", []string{"sk-1"}); return nil })
	box, err := secret.New(secret.Generate())
	if err != nil {
		t.Fatal(err)
	}
	s.config.Sealer = box
	c := s.second(t)
	if !c.Snapshot().NeedsKey("openai") || !errors.Is(c.LastError(), secret.ErrUnknownKey) {
		t.Errorf("error %v", c.LastError())
	}
	edit(t, c, func(d *catalog.Draft) error { d.SetKeys("openai", []string{"sk-1"}); return nil })
	if c.Snapshot().NeedsKey("openai") || c.LastError() != nil {
		t.Errorf("after giving the key anew: %v", c.LastError())
	}
}

func TestRollback(t *testing.T) {
	s := start(t, nil)
	edit(t, s.Catalog, func(d *catalog.Draft) error { d.SetKeys("openai", []string{"sk-1"}); return nil })
	old := price(t, s.Catalog, 100)
	later := time.Now().Add(time.Hour)
	edit(t, s.Catalog, func(d *catalog.Draft) error {
		d.Settings.Markup = 1
		d.RemoveModel("gpt-4o")
		if err := d.SetPrice("demo", money.Rates{Input: 1, Output: 300}, later, ""); err != nil {
			return err
		}
		return d.SetPrice("demo", money.Rates{Input: 1, Output: 200}, time.Time{}, "")
	})
	rev, err := s.Rollback(t.Context(), admin(""), old.Number)
	if err != nil {
		t.Fatal(err)
	}
	if rev.Number != 5 || rev.Note != "roll back to revision 3" || rev.Settings.Markup != 3000 {
		t.Errorf("revision %+v", rev)
	}
	m := rev.Models[0]
	for i := range rev.Models {
		if rev.Models[i].ID == "demo" {
			m = rev.Models[i]
		}
	}
	now, _ := m.PriceAt(time.Now())
	then, _ := m.PriceAt(later)
	if now.Rates.Output != 100 || now.Version != "demo@5" || then.Rates.Output != 100 || len(m.Prices) != 6 {
		t.Errorf("price now %+v, later %+v, of %d versions", now, then, len(m.Prices))
	}
	if r := route(t, s.Catalog, "gpt-4o"); r.Version != "gpt-4o@1" || r.Keys()[0].Reveal() != "sk-1" {
		t.Errorf("route %+v", r)
	}
	if again, err := s.Rollback(t.Context(), admin(""), rev.Number); err != nil || again.Number != rev.Number {
		t.Errorf("a roll back to the newest: %d, %v", again.Number, err)
	}
	if _, err := s.Rollback(t.Context(), admin(""), 99); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("a roll back to nothing: %v", err)
	}
	if d := catalog.Diff(s.second(t).Snapshot().Document(), rev.Document); len(d) != 0 {
		t.Errorf("stored and served differ: %v", d)
	}
}

// A price version's name is never used twice, whatever becomes of its model.
func TestVersionsAreUnique(t *testing.T) {
	s := start(t, nil)
	add := func(d *catalog.Draft) error {
		d.PutModel(catalog.Model{ID: "m", Provider: "demo", ContextWindow: 10, MaxOutput: 10})
		return d.SetPrice("m", money.Rates{Input: money.Amount(s.Snapshot().Revision), Output: 1}, time.Time{}, "")
	}
	for range 3 {
		edit(t, s.Catalog, add)
		edit(t, s.Catalog, func(d *catalog.Draft) error { d.RemoveModel("m"); return nil })
	}
	rev := edit(t, s.Catalog, add)
	if r := route(t, s.Catalog, "m"); r.Version != fmt.Sprintf("m@%d", rev.Number) || r.Rates.Input != money.Amount(rev.Number-1) {
		t.Errorf("route %+v", r)
	}
	if r := route(t, s.second(t), "m"); r.Version != fmt.Sprintf("m@%d", rev.Number) {
		t.Errorf("another instance charges %+v", r)
	}
}

// A revision that breaks a rule, as an edit in SQL can, is not served: the old
// one stays, the failure is told, and a good edit puts things right.
func TestBadRevisionIsNotServed(t *testing.T) {
	s := start(t, nil)
	price(t, s.Catalog, 100)
	bad := s.Snapshot().Document()
	bad.Plans = nil
	if err := s.config.Store.Save(t.Context(), 2, catalog.Revision{Author: "sql", At: time.Now(), Document: bad}, nil, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() { _ = s.Watch(ctx) })
	for s.LastError() == nil {
		time.Sleep(time.Millisecond)
	}
	cancel()
	watch.Wait()
	if s.Snapshot().Revision != 2 || !strings.Contains(s.LastError().Error(), "settings.default_plan") {
		t.Errorf("serving %d: %v", s.Snapshot().Revision, s.LastError())
	}
	fresh := s.second(t) // an instance that starts now serves the last good one
	if fresh.Snapshot().Revision != 2 || fresh.LastError() == nil {
		t.Errorf("a new instance serves %d: %v", fresh.Snapshot().Revision, fresh.LastError())
	}
	rev := edit(t, fresh, func(d *catalog.Draft) error { d.PutPlan(catalog.Plan{ID: "default"}); return nil })
	if rev.Number != 4 || fresh.Snapshot().Revision != 4 || fresh.LastError() != nil {
		t.Errorf("after the repair: revision %d, serving %d, %v", rev.Number, fresh.Snapshot().Revision, fresh.LastError())
	}
}

func TestBuiltinMode(t *testing.T) {
	s := start(t, nil)
	edit(t, s.Catalog, func(d *catalog.Draft) error {
		d.SetKeys("openai", []string{"sk-stored"})
		d.Settings.Markup = 1
		return nil
	})
	s.config.Builtin = true
	c := s.second(t)
	if c.Snapshot().Settings.Markup != 3000 || route(t, c, "gpt-4o").Keys()[0].Reveal() != "sk-stored" {
		t.Error("the built-in catalog is not served with the stored keys")
	}
	if _, err := c.Edit(t.Context(), admin(""), 0, func(*catalog.Draft) error { return nil }); !errors.Is(err, catalog.ErrReadOnly) {
		t.Errorf("edit: %v", err)
	}
	if _, err := c.Rollback(t.Context(), admin(""), 1); !errors.Is(err, catalog.ErrReadOnly) {
		t.Errorf("rollback: %v", err)
	}
}

func TestPreviewSavesNothing(t *testing.T) {
	s := start(t, nil)
	file := parse(t, spec)
	changes, err := s.Preview(func(d *catalog.Draft) error { return file.Apply(d, false) })
	if err != nil || len(changes) != 3 || s.Snapshot().Revision != 1 {
		t.Errorf("changes %v, %v", changes, err)
	}
	rev := edit(t, s.Catalog, func(d *catalog.Draft) error { return file.Apply(d, false) })
	if r := route(t, s.Catalog, "local/gpt-4o-mini"); rev.Number != 2 || r.Keys()[0].Reveal() != "sk-test" || r.Model.ID != "local-small" {
		t.Errorf("route %+v", r)
	}
	if changes, err := s.Preview(func(d *catalog.Draft) error { return file.Apply(d, false) }); err != nil || len(changes) != 0 {
		t.Errorf("the same file again changes %v, %v", changes, err)
	}
}

func TestOnChange(t *testing.T) {
	s := start(t, nil)
	var seen []int64
	s.config.OnChange = func(snap *catalog.Snapshot) { seen = append(seen, snap.Revision) }
	c := s.second(t)
	price(t, c, 100)
	price(t, c, 100)
	price(t, c, 101)
	if fmt.Sprint(seen) != "[1 2 3]" {
		t.Errorf("told of %v", seen)
	}
}
