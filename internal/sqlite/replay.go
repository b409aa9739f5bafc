package sqlite

import (
	"bytes"
	"context"
	"time"

	"onemind/internal/replay"
)

var _ replay.Store = (*DB)(nil)

// AppendEvents adds to a log; see replay.Store. The same events a second time
// change nothing: a retry after a lost reply is safe.
func (db *DB) AppendEvents(ctx context.Context, run string, events []replay.Event) error {
	for i, e := range events {
		if e.Seq != events[0].Seq+int64(i) {
			return replay.ErrGap(run, e.Seq)
		}
	}
	now := time.Now()
	return db.changeIf(ctx, func(c *conn) error {
		for i, e := range events {
			n, err := c.exec(`
				INSERT INTO run_events (run_id, seq, data, last, created_at) SELECT ?1, ?2, ?3, ?4, ?5
				WHERE ?2 = 1 + coalesce((SELECT max(seq) FROM run_events WHERE run_id = ?1), 0)`, run, e.Seq, e.Data, e.Last, now)
			if err != nil {
				return err
			}
			if n == 0 {
				return appendedBefore(c, run, events[i:])
			}
		}
		return nil
	})
}

// appendedBefore is nil when the log has just these events already.
func appendedBefore(c *conn, run string, events []replay.Event) error {
	for _, e := range events {
		same := false
		if _, err := c.first(func(r *row) { same = bytes.Equal(r.bytes(), e.Data) },
			`SELECT data FROM run_events WHERE run_id = ? AND seq = ?`, run, e.Seq); err != nil {
			return err
		}
		if !same {
			return replay.ErrGap(run, e.Seq)
		}
	}
	return nil
}

// EventsAfter reads a log; see replay.Store.
func (db *DB) EventsAfter(ctx context.Context, run string, after int64, limit int) (events []replay.Event, err error) {
	err = db.read(ctx, func(c *conn) error {
		events, err = list(c, func(r *row) replay.Event { return replay.Event{Seq: r.int(), Data: r.bytes(), Last: r.bool()} },
			`SELECT seq, data, last FROM run_events WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?`, run, after, limit)
		return err
	})
	return events, err
}

// TrimEvents forgets old logs; see replay.Store. It goes run by run, so that no
// hold waits for a long clean-up. A log also counts as ended when its run does:
// the crash may have come between the two.
func (db *DB) TrimEvents(ctx context.Context, before time.Time) error {
	var runs []string
	err := db.read(ctx, func(c *conn) (err error) {
		// The recursion steps from run to run along the primary key; DISTINCT would
		// read every event.
		runs, err = list(c, (*row).text, `
			WITH RECURSIVE logs (run_id) AS (
				SELECT min(run_id) FROM run_events
				UNION ALL
				SELECT (SELECT min(run_id) FROM run_events e WHERE e.run_id > logs.run_id) FROM logs WHERE logs.run_id IS NOT NULL)
			SELECT run_id FROM logs WHERE run_id IS NOT NULL AND (
				EXISTS (SELECT 1 FROM runs r WHERE r.id = logs.run_id AND r.finished_at < ?1)
				OR (SELECT created_at < CASE WHEN last = 1 THEN ?1 ELSE ?2 END AND (last = 1 OR NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = logs.run_id))
					FROM run_events e WHERE e.run_id = logs.run_id ORDER BY seq DESC LIMIT 1))`, before, before.Add(-replay.Silence))
		return err
	})
	if err != nil {
		return err
	}
	for _, run := range runs {
		if err := db.change(ctx, func(c *conn) error {
			_, err := c.exec(`DELETE FROM run_events WHERE run_id = ?`, run)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}
