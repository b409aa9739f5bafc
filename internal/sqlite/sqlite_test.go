package sqlite_test

import (
	"path/filepath"
	"testing"

	"onemind/internal/account"
	"onemind/internal/catalog"
	"onemind/internal/chat"
	"onemind/internal/credit"
	"onemind/internal/replay"
	"onemind/internal/sqlite"
	"onemind/internal/storetest"
)

// open gives an empty database that is closed when the test ends.
func open(t testing.TB) *sqlite.DB {
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
	return db
}

func TestCredits(t *testing.T) {
	storetest.Credits(t, func(t *testing.T) credit.Store { return open(t) })
}

func TestCatalog(t *testing.T) {
	storetest.Catalog(t, func(t *testing.T) catalog.Store { return open(t).Catalog() })
}

func TestAccounts(t *testing.T) {
	storetest.Accounts(t, func(t *testing.T) account.Store { return open(t) })
}

func TestSessions(t *testing.T) {
	storetest.Sessions(t, func(t *testing.T) account.Sessions { return open(t) })
}

func TestChats(t *testing.T) {
	storetest.Chats(t, func(t *testing.T) chat.Store { return open(t) })
}

func TestReplay(t *testing.T) {
	storetest.Replay(t, func(t *testing.T) replay.Store { return open(t) })
	storetest.ReplaySilence(t, open(t))
}
