package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/credit"
	"onemind/internal/replay"
	"onemind/internal/sqlite"
	"onemind/internal/storetest"
)

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "onemind.db")
	first, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = sqlite.Open(t.Context(), path)
	if !errors.Is(err, sqlite.ErrLocked) || !strings.Contains(err.Error(), filepath.Join("data", "onemind.lock")) {
		t.Errorf("a second process: %v, want ErrLocked with the lock's name", err)
	}
	for name, want := range map[string]os.FileMode{"": 0o700, "onemind.db": 0o600, "onemind.db-wal": 0o600, "onemind.db-shm": 0o600, "onemind.lock": 0o600} {
		info, err := os.Stat(filepath.Join(filepath.Dir(path), name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	again, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatalf("after the first is closed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// Commands work beside a server and beside each other, on a fresh directory too;
// they migrate a file that nobody serves and leave alone one that is served.
func TestBeside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "onemind.db")
	var commands sync.WaitGroup
	for i := range 6 {
		commands.Go(func() {
			db, err := sqlite.OpenBeside(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			grant(t, db, fmt.Sprint("early", i), 5)
		})
	}
	commands.Wait()
	server, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for i := range 4 {
		commands.Go(func() {
			db, err := sqlite.OpenBeside(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			for j := range 50 {
				grant(t, db, fmt.Sprint("command", i, ".", j), 5)
			}
		})
		commands.Go(func() {
			for j := range 50 {
				grant(t, server, fmt.Sprint("server", i, ".", j), 5)
			}
		})
	}
	commands.Wait()
	if s := cleanBooks(t, server); s.Transactions != 406 || s.Balances != 406*5 {
		t.Errorf("sums %+v", s)
	}
	if err := edit(t, path, `DELETE FROM schema_migrations`); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.OpenBeside(t.Context(), path); !errors.Is(err, sqlite.ErrLocked) {
		t.Errorf("migrating under a server: %v, want ErrLocked", err)
	}
}

func TestMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onemind.db")
	for range 2 { // the second time there is nothing to do
		db, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := db.Migrations(t.Context())
		if err != nil || len(steps) == 0 {
			t.Errorf("%v, %v", steps, err)
		}
		for i, m := range steps {
			if m.Version != int64(i+1) || m.Name == "" || m.AppliedAt.IsZero() {
				t.Errorf("step %+v", m)
			}
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := edit(t, path, `INSERT INTO schema_migrations VALUES (999, 'from the future', 1)`); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path); !errors.Is(err, sqlite.ErrNewer) || !strings.Contains(err.Error(), "999") {
		t.Errorf("a newer schema: %v, want ErrNewer with its number", err)
	}
}

func TestNotADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onemind.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("This is a letter. ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path); err == nil {
		t.Error("a file that is no database is opened")
	}
	if b, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(b), "This is a letter.") {
		t.Error("it was written over")
	}
}

// An edit of the rows made directly in SQL is a revision: the poll sees it, and
// an editor who does not know of it is stale.
func TestEditInSQL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onemind.db")
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := t.Context()
	save := func(base int64) error {
		return db.Save(ctx, base, catalog.Revision{Author: "a", At: time.Now(), Document: storetest.Document()}, nil, nil)
	}
	if err := save(0); err != nil {
		t.Fatal(err)
	}
	if err := edit(t, path, `UPDATE ai_models SET state = 'disabled' WHERE id = 'gpt-4o'`); err != nil {
		t.Fatal(err)
	}
	if err := edit(t, path, `UPDATE system_config SET value = '1234' WHERE section = 'settings' AND name = 'markup_basis_points'`); err != nil {
		t.Fatal(err)
	}
	if n, err := db.Newest(ctx); n != 3 || err != nil {
		t.Errorf("newest %d, %v, want 3", n, err)
	}
	r, err := db.Load(ctx)
	if err != nil || r.Number != 3 || r.Author != "sql" || r.Models[0].State != catalog.Disabled || r.Settings.Markup != 1234 {
		t.Errorf("loaded %+v, %v", r, err)
	}
	if err := save(1); !errors.Is(err, catalog.ErrStale) {
		t.Errorf("saving over the edits: %v, want ErrStale", err)
	}
	if err := save(3); err != nil {
		t.Fatal(err)
	}
	if r, err = db.Revision(ctx, 3); err != nil || r.Settings.Markup != 1234 || len(r.Models) != 2 {
		t.Errorf("the edited revision: %+v, %v", r, err)
	}
	if _, err := db.Revision(ctx, 2); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("the edit before it: %v, want ErrNotFound", err)
	}
	if n, err := db.Newest(ctx); n != 4 || err != nil {
		t.Errorf("newest %d, %v: a save counts once", n, err)
	}
}

// childEnv names the file for the process that TestKilled kills.
const childEnv = "ONEMIND_SQLITE_TEST_CHILD"

// TestChild is that process: it acts from 16 goroutines until it is killed, and
// prints what was acknowledged, one line each, written at once.
func TestChild(t *testing.T) {
	path := os.Getenv(childEnv)
	if path == "" {
		t.SkipNow() // it is no test by itself
	}
	db, err := sqlite.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	boot := fmt.Sprint(time.Now().UnixNano())
	var workers sync.WaitGroup
	for w := range 16 {
		workers.Go(func() {
			ctx, user := context.Background(), fmt.Sprint("user", w%3)
			for i := 0; ; i++ {
				ref := fmt.Sprint(boot, "-", w, "-", i)
				if _, err := db.Post(ctx, credit.Entry{User: user, Kind: credit.Grant, Amount: 200, Ref: "post" + ref, At: time.Now()}); err != nil {
					t.Error(err)
					return
				}
				if _, err := db.Hold(ctx, holdOf(user, ref)); err != nil {
					t.Error(err)
					return
				}
				fmt.Println("held", user, ref)
				if err := db.AppendEvents(ctx, ref, []replay.Event{{Seq: 1, Data: []byte(`{}`)}, {Seq: 2, Data: []byte(`{}`)}}); err != nil {
					t.Error(err)
					return
				}
				fmt.Println("logged", user, ref)
				if _, _, err := db.Settle(ctx, receiptOf(user, ref)); err != nil {
					t.Error(err)
					return
				}
				fmt.Println("settled", user, ref)
			}
		})
	}
	workers.Wait()
}

// Whatever was acknowledged before the process was killed is there after it, and
// what was not is there whole or not at all.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	path := filepath.Join(t.TempDir(), "onemind.db")
	acked := map[string][]string{}
	for range 10 {
		killOnce(t, path, acked)
		db, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		cleanBooks(t, db)
		for _, line := range acked["held"] {
			user, ref, _ := strings.Cut(line, " ")
			if got, err := db.Hold(t.Context(), holdOf(user, ref)); err != nil || got != 100 {
				t.Fatalf("hold %s was acknowledged: %d, %v", ref, got, err)
			}
		}
		for _, line := range acked["logged"] {
			_, ref, _ := strings.Cut(line, " ")
			if got, err := db.EventsAfter(t.Context(), ref, 0, 10); err != nil || len(got) != 2 {
				t.Fatalf("events of %s were acknowledged: %+v, %v", ref, got, err)
			}
		}
		for _, line := range acked["settled"] {
			user, ref, _ := strings.Cut(line, " ")
			if _, err := db.Receipt(t.Context(), user, ref); err != nil {
				t.Fatalf("receipt %s was acknowledged: %v", ref, err)
			}
		}
		clear(acked)
		cleanBooks(t, db) // asking again changed nothing
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killOnce runs the child, kills it after some acknowledgements and notes them.
func killOnce(t *testing.T, path string, acked map[string][]string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestChild$") //nolint:gosec // this very program
	child.Env = append(os.Environ(), childEnv+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	enough := 50 + rand.IntN(1500)
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if n == enough {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		kind, rest, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.Count(rest, " ") != 1 {
			if n < enough {
				t.Fatalf("the child says %q", lines.Text())
			}
			continue // cut off by the kill
		}
		acked[kind] = append(acked[kind], rest)
	}
	_ = child.Wait() // it was killed
	if len(acked["settled"]) == 0 {
		t.Fatal("the child acknowledged nothing")
	}
}
