package redis_test

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/redis"
	"onemind/internal/storetest"
)

func TestCatalog(t *testing.T) {
	storetest.Catalog(t, func(t *testing.T) catalog.Store { return redis.NewCatalog(empty(t), database(t).Catalog()) })
}

// counting is a catalog's store that counts its loads.
type counting struct {
	catalog.Store
	loads atomic.Int64
}

func (c *counting) Load(ctx context.Context) (catalog.Revision, error) {
	c.loads.Add(1)
	return c.Store.Load(ctx)
}

func saved(t *testing.T, s catalog.Store, number int64) {
	t.Helper()
	if err := s.Save(t.Context(), number-1, catalog.Revision{Number: number, Author: "a", At: time.Now(), Document: storetest.Document()}, nil, nil); err != nil {
		t.Fatal(err)
	}
}

// A fleet that starts loads the catalog from the database about once.
func TestFleetLoadsOnce(t *testing.T) {
	for name, c := range map[string]*redis.Client{"single": empty(t), "cluster": emptyCluster(t)} {
		t.Run(name, func(t *testing.T) {
			under := &counting{Store: database(t).Catalog()}
			saved(t, under, 1)
			var fleet sync.WaitGroup
			for range 50 {
				fleet.Go(func() {
					r, err := redis.NewCatalog(c, under).Load(context.Background())
					if err != nil || r.Number != 1 || len(r.Models) != 2 {
						t.Errorf("%+v, %v", r, err)
					}
				})
			}
			fleet.Wait()
			if n := under.loads.Load(); n > 3 {
				t.Errorf("50 instances loaded %d times", n)
			}
		})
	}
}

// A copy is the whole of what the database has, and never of an older revision,
// whoever saved the newer one.
func TestCatalogCopies(t *testing.T) {
	under := &counting{Store: database(t).Catalog()}
	s := redis.NewCatalog(empty(t), under)
	saved(t, s, 1)
	want, err := under.Store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if got, err := s.Load(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v\nwant %+v", got, err, want)
		}
	}
	if n := under.loads.Load(); n != 1 {
		t.Errorf("10 loads read the database %d times", n)
	}
	saved(t, under, 2) // past the copies, as an instance that lost Redis does
	if got, err := s.Load(t.Context()); err != nil || got.Number != 2 {
		t.Errorf("after an edit: revision %d, %v", got.Number, err)
	}
	if err := command(t, single.Addr(), "SET", "config:ai_models", "{").Error(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(t.Context()); err != nil || got.Number != 2 {
		t.Errorf("with a broken copy: revision %d, %v", got.Number, err)
	}
}
