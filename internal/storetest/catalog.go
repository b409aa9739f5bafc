package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/llm"
	"onemind/internal/money"
)

// Catalog holds a catalog.Store to its words. open gives one in which nothing
// was ever saved.
func Catalog(t *testing.T, open func(*testing.T) catalog.Store) {
	t.Run("empty", func(t *testing.T) { catalogEmpty(t, open(t)) })
	t.Run("round trip", func(t *testing.T) { catalogRoundTrip(t, open(t)) })
	t.Run("stale", func(t *testing.T) { catalogStale(t, open(t)) })
	t.Run("two editors", func(t *testing.T) { catalogRace(t, open(t)) })
	t.Run("prices stay", func(t *testing.T) { catalogPrices(t, open(t)) })
	t.Run("keys", func(t *testing.T) { catalogKeys(t, open(t)) })
	t.Run("history", func(t *testing.T) { catalogHistory(t, open(t)) })
	t.Run("audit", func(t *testing.T) { catalogAudit(t, open(t)) })
	t.Run("odd texts", func(t *testing.T) { catalogText(t, open(t)) })
}

// Document is a catalog with something in every field.
func Document() catalog.Document {
	return catalog.Document{
		Providers: []catalog.Provider{
			{ID: "local", Name: "Local", Protocol: "openai", BaseURL: "http://127.0.0.1:9999/v1", Keyless: true, AllowPrivate: true, MaxConcurrency: 200, MaxWaiting: 4000, MaxWaitMS: 1500,
				Timeouts: catalog.Timeouts{ConnectMS: 5000, FirstTokenMS: 30000, IdleMS: 60000, WholeMS: 300000}},
			{ID: "openai", Name: "OpenAI", Protocol: "openai", BaseURL: "https://api.openai.com/v1", KeyEnv: "OPENAI_API_KEY", Enabled: true},
		},
		Models: []catalog.Model{
			{ID: "gpt-4o", Provider: "openai", Upstream: "gpt-4o-2024-11-20", Name: "GPT-4o", State: catalog.Active, ContextWindow: 128000,
				MaxOutput: 16384, Capabilities: []string{"streaming", "tools"}, Aliases: []string{"4o"}, Substitutes: []string{"small"}, RetiresOn: "2027-03-31",
				Rules: llm.Rules{CapParameter: "max_completion_tokens", Refuse: []string{"logit_bias"}, Drop: []string{"user"}, NoStreamOptions: true, Set: map[string]string{"x": `{"y":1}`},
					Clamp: map[string]llm.Range{"temperature": {Min: 0.01, Max: 1}}, Reasoning: "budget", CancelBills: true},
				Prices: []catalog.Price{priceOf("gpt-4o@1", 2_500_000_000), priceOf("gpt-4o@2", 2_000_000_000)}},
			{ID: "small", Provider: "local", Upstream: "gpt-4o-mini", Name: "Klein – 小", State: catalog.Hidden, Capabilities: []string{},
				Prices: []catalog.Price{priceOf("small@1", 37_500_000)}},
		},
		Plans: []catalog.Plan{
			{ID: "default", RequestsPerMinute: 30, RequestsPerMinuteProvider: 10, ConcurrentAnswers: 15},
			{ID: "pro", RequestsPerMinute: 300, TokensPerMinute: 100000, CreditsPerDay: money.Dollar, ResponseCache: true, Models: []string{"gpt-4o"}},
		},
		Settings: catalog.Settings{Markup: 3000, DefaultPlan: "default", SignupCredits: money.Dollar, SignupEnabled: true, GlobalRequestsPerMinute: 10000, ResponseCache: true},
	}
}

func priceOf(version string, input money.Amount) catalog.Price {
	return catalog.Price{Version: version, EffectiveAt: epoch(), CreatedAt: epoch().Add(time.Millisecond), Source: "https://openai.com/pricing", AsOf: "2026-11-01", Author: "admin",
		Rates: money.Rates{Input: input, CachedInput: 1, CacheWrite: 2, Output: 4 * input, Reasoning: 3, Request: 4, Image: 5}}
}

func revisionOf(note string, d catalog.Document) catalog.Revision {
	return catalog.Revision{Author: "admin", Note: note, At: epoch(), Document: d,
		Changes: []catalog.Change{{Kind: "model", ID: "gpt-4o", Op: "change", Fields: []catalog.FieldChange{{Field: "name", Before: `"a"`, After: `"b"`}}}}}
}

func save(t testing.TB, s catalog.Store, base int64, next catalog.Revision) {
	t.Helper()
	check(t, s.Save(context.Background(), base, next, nil, nil))
}

// sameDocument compares as JSON: an empty list and none are the same there only
// where the document says so.
func sameDocument(t testing.TB, got, want catalog.Document) {
	t.Helper()
	a, err := json.Marshal(got)
	check(t, err)
	b, err := json.Marshal(want)
	check(t, err)
	if string(a) != string(b) {
		t.Errorf("document\n%s, want\n%s", a, b)
	}
}

func catalogEmpty(t *testing.T, s catalog.Store) {
	ctx := context.Background()
	r, err := s.Load(ctx)
	check(t, err)
	if r.Number != 0 || len(r.Providers)+len(r.Models)+len(r.Plans) != 0 || r.Settings != (catalog.Settings{}) {
		t.Errorf("%+v", r)
	}
	if n, err := s.Newest(ctx); err != nil || n != 0 {
		t.Errorf("newest %d, %v", n, err)
	}
	_, err = s.Revision(ctx, 1)
	fails(t, "a revision that was never saved", err, catalog.ErrNotFound)
}

func catalogRoundTrip(t *testing.T, s catalog.Store) {
	ctx := context.Background()
	want := revisionOf("first", Document())
	save(t, s, 0, want)
	want.Number = 1
	for name, load := range map[string]func() (catalog.Revision, error){
		"Load":     func() (catalog.Revision, error) { return s.Load(ctx) },
		"Revision": func() (catalog.Revision, error) { return s.Revision(ctx, 1) },
	} {
		got, err := load()
		check(t, err)
		sameDocument(t, got.Document, want.Document)
		got.Document = want.Document
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	small := Document()
	small.Models, small.Providers, small.Plans = small.Models[:1], small.Providers[1:], small.Plans[:1]
	small.Settings.Markup, small.Models[0].State, small.Providers[0].Enabled = 0, catalog.Disabled, false
	save(t, s, 1, revisionOf("second", small))
	got, err := s.Load(ctx)
	check(t, err)
	sameDocument(t, got.Document, small)
	if n, err := s.Newest(ctx); err != nil || n != 2 || got.Number != 2 {
		t.Errorf("newest %d, %v, loaded %d, want 2", n, err, got.Number)
	}
	old, err := s.Revision(ctx, 1)
	check(t, err)
	sameDocument(t, old.Document, Document())
}

func catalogStale(t *testing.T, s catalog.Store) {
	ctx := context.Background()
	save(t, s, 0, revisionOf("first", Document()))
	changed := Document()
	changed.Settings.Markup = 1
	key := map[string][]catalog.SealedKey{"openai": {{ID: "k", Provider: "openai", Sealed: []byte("x"), CreatedAt: epoch()}}}
	for _, base := range []int64{0, 2} {
		err := s.Save(ctx, base, revisionOf("late", changed), key, []catalog.Audit{{Actor: "a", At: epoch()}})
		fails(t, fmt.Sprintf("saving over %d", base), err, catalog.ErrStale)
	}
	got, err := s.Load(ctx)
	check(t, err)
	sameDocument(t, got.Document, Document())
	keys, err := s.Keys(ctx)
	check(t, err)
	log, err := s.AuditLog(ctx, 0, 10)
	check(t, err)
	if len(keys) != 0 || len(log) != 0 {
		t.Errorf("a refused save left %v and %v", keys, log)
	}
}

// Of editors who start from the same revision one wins; the others are told.
func catalogRace(t *testing.T, s catalog.Store) {
	save(t, s, 0, revisionOf("first", Document()))
	var won atomic.Int64
	var editors sync.WaitGroup
	for i := range 8 {
		editors.Go(func() {
			d := Document()
			d.Settings.Markup = int64(i)
			err := s.Save(context.Background(), 1, revisionOf(fmt.Sprint(i), d), nil, []catalog.Audit{{Actor: fmt.Sprint(i), At: epoch()}})
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, catalog.ErrStale) {
				t.Error(err)
			}
		})
	}
	editors.Wait()
	r, err := s.Load(context.Background())
	check(t, err)
	log, err := s.AuditLog(context.Background(), 0, 10)
	check(t, err)
	if won.Load() != 1 || r.Number != 2 || r.Note != fmt.Sprint(r.Settings.Markup) || len(log) != 1 || log[0].Actor != r.Note {
		t.Errorf("%d editors won; revision %d is %q with markup %d; audit %+v", won.Load(), r.Number, r.Note, r.Settings.Markup, log)
	}
}

// A price version never changes and never goes, not even with its model.
func catalogPrices(t *testing.T, s catalog.Store) {
	ctx := context.Background()
	save(t, s, 0, revisionOf("first", Document()))
	forged := Document()
	forged.Models[0].Prices[0].Rates.Input++
	if err := s.Save(ctx, 1, revisionOf("forged", forged), nil, nil); err == nil {
		t.Error("a stored price version takes another rate")
	}
	gone := Document()
	gone.Models = gone.Models[1:]
	save(t, s, 1, revisionOf("without", gone))
	back := Document()
	back.Models[0].Prices = append(back.Models[0].Prices, priceOf("gpt-4o@3", 1))
	save(t, s, 2, revisionOf("back", back))
	r, err := s.Load(ctx)
	check(t, err)
	sameDocument(t, r.Document, back)
}

func catalogKeys(t *testing.T, s catalog.Store) {
	ctx := context.Background()
	sealed := func(provider string, ids ...string) (keys []catalog.SealedKey) {
		for _, id := range ids {
			keys = append(keys, catalog.SealedKey{ID: id, Provider: provider, Sealed: []byte{0, 1, 255}, Last4: "wxyz", CreatedAt: epoch()})
		}
		return keys
	}
	ids := func() string {
		keys, err := s.Keys(ctx)
		check(t, err)
		list := ""
		for _, k := range keys {
			list += k.Provider + "/" + k.ID + " "
		}
		return list
	}
	check(t, s.Save(ctx, 0, revisionOf("1", Document()), map[string][]catalog.SealedKey{"openai": sealed("openai", "b", "a"), "local": sealed("local", "c")}, nil))
	if got := ids(); got != "local/c openai/b openai/a " {
		t.Errorf("keys %s", got)
	}
	keys, err := s.Keys(ctx)
	check(t, err)
	if want := sealed("local", "c")[0]; !reflect.DeepEqual(keys[0], want) {
		t.Errorf("key %+v, want %+v", keys[0], want)
	}
	save(t, s, 1, revisionOf("2", Document()))
	if got := ids(); got != "local/c openai/b openai/a " {
		t.Errorf("a save that names no keys leaves %s", got)
	}
	check(t, s.Save(ctx, 2, revisionOf("3", Document()), map[string][]catalog.SealedKey{"openai": sealed("openai", "d"), "local": nil}, nil))
	if got := ids(); got != "openai/d " {
		t.Errorf("after replacing one and deleting the other: %s", got)
	}
}

func catalogHistory(t *testing.T, s catalog.Store) {
	ctx := context.Background()
	for i := range int64(5) {
		d := Document()
		d.Settings.Markup = i + 1
		save(t, s, i, revisionOf(fmt.Sprint(i+1), d))
	}
	page, err := s.Revisions(ctx, 0, 2)
	check(t, err)
	if len(page) != 2 || page[0].Number != 5 || page[1].Number != 4 || page[1].Note != "4" || len(page[1].Changes) != 1 || len(page[0].Models) != 0 {
		t.Errorf("first page %+v", page)
	}
	page, err = s.Revisions(ctx, 4, 10)
	check(t, err)
	if len(page) != 3 || page[0].Number != 3 || page[2].Number != 1 {
		t.Errorf("second page %+v", page)
	}
	for i := range int64(5) {
		r, err := s.Revision(ctx, i+1)
		check(t, err)
		if r.Number != i+1 || r.Settings.Markup != i+1 || len(r.Models) != 2 {
			t.Errorf("revision %d: %+v", i+1, r)
		}
	}
}

func catalogAudit(t *testing.T, s catalog.Store) {
	ctx := context.Background()
	want := catalog.Audit{Actor: "admin", Action: "user.suspend", Object: "user u1", Before: `{"suspended":false}`, After: `{"suspended":true}`, Address: "::1", At: epoch()}
	check(t, s.Record(ctx, want))
	check(t, s.Save(ctx, 0, revisionOf("1", Document()), nil, []catalog.Audit{{Actor: "x", Action: "model.change", At: epoch()}, {Actor: "x", Action: "price.add", At: epoch()}}))
	rows, err := s.AuditLog(ctx, 0, 2)
	check(t, err)
	if len(rows) != 2 || rows[0].Action != "price.add" || rows[1].Action != "model.change" {
		t.Fatalf("audit %+v", rows)
	}
	rows, err = s.AuditLog(ctx, rows[1].ID, 10)
	check(t, err)
	if len(rows) != 1 {
		t.Fatalf("audit %+v", rows)
	}
	want.ID = rows[0].ID
	if rows[0] != want {
		t.Errorf("audit %+v, want %+v", rows[0], want)
	}
}
