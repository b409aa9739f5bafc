package redis

import (
	"context"
	"encoding/json"
	"time"

	"github.com/redis/rueidis"

	"onemind/internal/catalog"
)

// How the copy of the catalog is kept, and how long a starting instance waits for
// another one that is loading it.
const (
	catalogFor  = 5 * time.Minute
	loadLock    = "catalog"
	loadFor     = 2 * time.Second
	loadWait    = 300 * time.Millisecond
	loadLook    = 20 * time.Millisecond
	modelsKey   = "config:ai_models"
	providerKey = "config:provider_config"
	systemKey   = "config:system_config"
)

// Catalog keeps a copy of the newest revision, so that a fleet that starts loads
// it from the database once. Which revision is the newest the database says.
type Catalog struct {
	catalog.Store
	c *Client
}

var _ catalog.Store = (*Catalog)(nil)

// NewCatalog puts Redis in front of under, which has the rows.
func NewCatalog(c *Client, under catalog.Store) *Catalog { return &Catalog{under, c} }

// The three parts of a revision. Each says of which it is: only equal ones fit together.
type (
	modelsPart struct {
		Revision catalog.Revision // without its document
		Models   []catalog.Model
	}
	providersPart struct {
		Number    int64
		Providers []catalog.Provider
		Keys      []catalog.SealedKey
	}
	systemPart struct {
		Number   int64
		Plans    []catalog.Plan
		Settings catalog.Settings
	}
)

// whole is a revision with the keys that belong to it.
type whole struct {
	catalog.Revision
	keys []catalog.SealedKey
}

// Load gives the newest revision; see catalog.Store.
func (s *Catalog) Load(ctx context.Context) (catalog.Revision, error) {
	w, err := s.load(ctx)
	return w.Revision, err
}

// Keys gives the sealed keys of the newest revision; see catalog.Store.
func (s *Catalog) Keys(ctx context.Context) ([]catalog.SealedKey, error) {
	w, err := s.load(ctx)
	return w.keys, err
}

func (s *Catalog) load(ctx context.Context) (whole, error) {
	number, err := s.Store.Newest(ctx)
	if err != nil {
		return whole{}, err
	}
	if w, ok := s.cached(ctx, number); ok {
		return w, nil
	}
	release, ours, err := s.c.Lock(ctx, loadLock, loadFor)
	if err == nil && !ours {
		for end := time.Now().Add(loadWait); time.Now().Before(end); {
			select {
			case <-ctx.Done():
				return whole{}, ctx.Err()
			case <-time.After(loadLook):
			}
			if w, ok := s.cached(ctx, number); ok {
				return w, nil
			}
		}
	}
	if ours {
		defer release()
	}
	return s.fill(ctx)
}

// fill loads from the database and keeps a copy. Revision and keys are read one
// after the other: they fit when no revision came in between.
func (s *Catalog) fill(ctx context.Context) (w whole, err error) {
	if w.Revision, err = s.Store.Load(ctx); err != nil {
		return w, err
	}
	if w.keys, err = s.Store.Keys(ctx); err != nil {
		return w, err
	}
	if after, err := s.Store.Newest(ctx); err == nil && after == w.Number {
		s.keep(ctx, w)
	}
	return w, nil
}

// cached puts a revision together from its copies, if all of them are there.
func (s *Catalog) cached(ctx context.Context, number int64) (w whole, ok bool) {
	var m modelsPart
	var p providersPart
	var sys systemPart
	texts := make([]string, 3)
	err := s.c.do(ctx, func(ctx context.Context) (err error) {
		b := s.c.rc.B
		replies := s.c.rc.DoMulti(ctx, b().Get().Key(modelsKey).Build(), b().Get().Key(providerKey).Build(), b().Get().Key(systemKey).Build())
		for i, r := range replies {
			if texts[i], err = r.ToString(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return whole{}, false
	}
	for i, part := range []any{&m, &p, &sys} {
		if json.Unmarshal([]byte(texts[i]), part) != nil {
			return whole{}, false
		}
	}
	if number == 0 || m.Revision.Number != number || p.Number != number || sys.Number != number {
		return whole{}, false
	}
	w = whole{m.Revision, p.Keys}
	w.Document = catalog.Document{Providers: p.Providers, Models: m.Models, Plans: sys.Plans, Settings: sys.Settings}
	return w, true
}

func (s *Catalog) keep(ctx context.Context, w whole) {
	bare := w.Revision
	bare.Document = catalog.Document{}
	parts := map[string]any{
		modelsKey:   modelsPart{bare, w.Models},
		providerKey: providersPart{w.Number, w.Providers, w.keys},
		systemKey:   systemPart{w.Number, w.Plans, w.Settings},
	}
	var sets rueidis.Commands
	for key, part := range parts {
		text, err := json.Marshal(part)
		if err != nil {
			return
		}
		sets = append(sets, s.c.rc.B().Set().Key(key).Value(string(text)).Px(catalogFor).Build())
	}
	s.multi(ctx, sets)
}

// multi runs commands whose failure costs a load from the database later.
func (s *Catalog) multi(ctx context.Context, commands rueidis.Commands) {
	_ = s.c.do(ctx, func(ctx context.Context) error { return firstError(s.c.rc.DoMulti(ctx, commands...)) })
}

// Save makes the next revision; see catalog.Store. Copies of the last one go.
func (s *Catalog) Save(ctx context.Context, base int64, next catalog.Revision, keys map[string][]catalog.SealedKey, audit []catalog.Audit) error {
	err := s.Store.Save(ctx, base, next, keys, audit)
	if err == nil {
		b := s.c.rc.B
		s.multi(ctx, rueidis.Commands{b().Del().Key(modelsKey).Build(), b().Del().Key(providerKey).Build(), b().Del().Key(systemKey).Build()})
	}
	return err
}
