package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"onemind/internal/credit"
	"onemind/internal/replay"
)

// bound sets how many pages the file may have: SQLite then reports a full disk.
func (db *DB) bound(t *testing.T, pages func(now int64) int64) {
	t.Helper()
	err := db.change(t.Context(), func(c *conn) error {
		var now int64
		if _, err := c.first(func(r *row) { now = r.int() }, `PRAGMA page_count`); err != nil {
			return err
		}
		return c.db.Exec(fmt.Sprint(`PRAGMA max_page_count = `, pages(now)))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A full disk fails the acts that need room, changes nothing, and is over when
// there is room again.
func TestDiskFull(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "onemind.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	if _, err := db.Post(ctx, credit.Entry{User: "u", Amount: 1000, Ref: "grant", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	db.bound(t, func(now int64) int64 { return now + 4 })
	var full, done atomic.Int64
	var callers sync.WaitGroup
	big := []byte(strings.Repeat("x", 50_000)) // more than four pages
	for i := range 60 {
		callers.Go(func() {
			if i%3 == 0 {
				err := db.AppendEvents(ctx, fmt.Sprint("run", i), []replay.Event{{Seq: 1, Data: []byte("small")}, {Seq: 2, Data: big}})
				if errors.Is(err, sqlite3.FULL) {
					full.Add(1)
				}
				return
			}
			if _, err := db.Hold(ctx, credit.Hold{Ref: fmt.Sprint(i), User: "u", AtLeast: 1, AtMost: 1, At: time.Now()}); err == nil {
				done.Add(1)
			} else {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if full.Load() != 20 || done.Load() != 40 {
		t.Errorf("%d acts found the disk full and %d were done, want 20 and 40", full.Load(), done.Load())
	}
	if b, err := db.Balance(ctx, "u"); err != nil || b.Held != 40 {
		t.Errorf("%+v, %v", b, err)
	}
	if got, err := db.EventsAfter(ctx, "run0", 0, 10); err != nil || len(got) != 0 {
		t.Errorf("half an act is left: %d events, %v", len(got), err)
	}
	db.bound(t, func(now int64) int64 { return now + 10_000 })
	if err := db.AppendEvents(ctx, "run0", []replay.Event{{Seq: 1, Data: big}}); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
