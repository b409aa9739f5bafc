package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"

	"onemind/internal/credit"
	"onemind/internal/sqlite"
)

// A file of the first release is brought up with all that is in it, and what was
// charged and is held that day counts against a cap that is set then.
func TestFirstRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onemind.db")
	schema, err := os.ReadFile("migrations/0001_first.sql")
	if err != nil {
		t.Fatal(err)
	}
	old, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := fts5.Register(old); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		string(schema),
		`INSERT INTO schema_migrations VALUES (1, 'first', 0)`,
		`INSERT INTO credits VALUES ('u', 930, 50)`,
		`INSERT INTO credit_transactions VALUES (1, 'u', 'grant', 1000, 'g', 'r', 'a', '', 0), (2, 'u', 'charge', -70, 'morning', '', '', 'm', 1790000000000)`,
		`INSERT INTO holds VALUES ('open', 'u', 'boot', 50, x'7b7d', 0, 1790000000000)`,
		`INSERT INTO receipts VALUES (1, 'morning', 'u', 'req', '', 'm', 'finished', 1, 1, 90, 70, 1790000000000, '{"id":"morning"}')`,
		`INSERT INTO users VALUES ('u', 'u@example.com', '', 'user', 0, '', '{}', '', 0, NULL)`,
		`INSERT INTO api_keys VALUES ('k', 'u', 'laptop', 'om_', 'h', 0, NULL)`,
		`INSERT INTO provider_config (id, protocol) VALUES ('p', 'demo')`,
		`INSERT INTO ai_models (id, provider_id, upstream_id) VALUES ('m', 'p', 'm')`,
	} {
		if err := old.Exec(sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing is lost
	capped := func(ref string, want error) {
		t.Helper()
		h := credit.Hold{Ref: ref, User: "u", Owner: "boot", AtLeast: 10, AtMost: 10, At: time.UnixMilli(1790000000000), DayCap: 130}
		if _, err := db.Hold(t.Context(), h); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", ref, err, want)
		}
	}
	capped("first", nil) // 70 are charged and 50 held
	capped("second", credit.ErrDayCap)
	if _, _, err := db.Settle(t.Context(), credit.Receipt{ID: "open", Outcome: credit.Finished, Charge: 40, FinishedAt: time.UnixMilli(1790000000000)}); err != nil {
		t.Fatal(err)
	}
	capped("third", nil)
	if k, err := db.KeyByHash(t.Context(), "h"); err != nil || k.CreditsPerDay != 0 || k.ResponseCache {
		t.Errorf("key %+v, %v", k, err)
	}
	doc, err := db.Load(t.Context())
	if err != nil || len(doc.Models) != 1 || len(doc.Models[0].Substitutes) != 0 || doc.Providers[0].MaxWaiting != 0 || doc.Providers[0].Timeouts.WholeMS != 0 {
		t.Errorf("catalog %+v, %v", doc, err)
	}
	cleanBooks(t, db)
}
