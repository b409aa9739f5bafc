package postgres

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/replay"
)

var _ replay.Store = (*DB)(nil)

// errOverlap ends a transaction that met events which are there already.
var errOverlap = errors.New("the log has these events")

// AppendEvents adds to a log; see replay.Store. The same events a second time
// change nothing: a retry after a lost reply is safe.
func (db *DB) AppendEvents(ctx context.Context, run string, events []replay.Event) error {
	if len(events) == 0 {
		return nil
	}
	seqs, data, last := make([]int64, len(events)), make([][]byte, len(events)), make([]bool, len(events))
	for i, e := range events {
		if e.Seq != events[0].Seq+int64(i) {
			return replay.ErrGap(run, e.Seq)
		}
		seqs[i], data[i], last[i] = e.Seq, e.Data, e.Last
	}
	err := db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		n, err := exec(ctx, tx, `
			INSERT INTO onemind.run_events (run_id, seq, data, last, created_at)
			SELECT $1, e.seq, e.data, e.last, $5 FROM unnest($2::bigint[], $3::bytea[], $4::boolean[]) AS e (seq, data, last)
			WHERE $6 = 1 + coalesce((SELECT max(seq) FROM onemind.run_events WHERE run_id = $1), 0)`,
			run, seqs, data, last, cut(time.Now()), seqs[0])
		if isCode(err, "23505") || err == nil && n == 0 {
			return errOverlap
		}
		return err
	})
	if !errors.Is(err, errOverlap) {
		return err
	}
	return db.overlapping(ctx, run, events)
}

// overlapping appends what of events is new, if the rest is what the log has.
func (db *DB) overlapping(ctx context.Context, run string, events []replay.Event) error {
	have, err := db.EventsAfter(ctx, run, events[0].Seq-1, len(events))
	if err != nil {
		return err
	}
	if len(have) == 0 || have[0].Seq != events[0].Seq {
		return replay.ErrGap(run, events[0].Seq)
	}
	for i, e := range have {
		if !bytes.Equal(e.Data, events[i].Data) {
			return replay.ErrGap(run, e.Seq)
		}
	}
	return db.AppendEvents(ctx, run, events[len(have):])
}

// EventsAfter reads a log; see replay.Store.
func (db *DB) EventsAfter(ctx context.Context, run string, after int64, limit int) (events []replay.Event, err error) {
	err = db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		events, err = list(ctx, c, func(r *row) replay.Event { return replay.Event{Seq: r.int(), Data: r.bytes(), Last: r.bool()} },
			`SELECT seq, data, last FROM onemind.run_events WHERE run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3`, run, after, int64(limit))
		return err
	})
	return events, err
}

// trimAtOnce is how many logs go in one transaction, so that nobody waits for a
// long clean-up.
const trimAtOnce = 200

// TrimEvents forgets old logs; see replay.Store. A log also counts as ended when
// its run does: the crash may have come between the two.
func (db *DB) TrimEvents(ctx context.Context, before time.Time) error {
	var runs []string
	err := db.read(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		// The recursion steps from run to run along the primary key; DISTINCT would
		// read every event.
		runs, err = list(ctx, c, (*row).text, `
			WITH RECURSIVE logs (run_id) AS (
				(SELECT run_id FROM onemind.run_events ORDER BY run_id LIMIT 1)
				UNION ALL
				SELECT (SELECT e.run_id FROM onemind.run_events e WHERE e.run_id > logs.run_id ORDER BY e.run_id LIMIT 1) FROM logs WHERE logs.run_id IS NOT NULL)
			SELECT run_id FROM logs WHERE run_id IS NOT NULL AND (
				EXISTS (SELECT 1 FROM onemind.runs r WHERE r.id = logs.run_id AND r.finished_at < $1)
				OR (SELECT e.created_at < CASE WHEN e.last THEN $1::timestamptz ELSE $2 END AND (e.last OR NOT EXISTS (SELECT 1 FROM onemind.runs r WHERE r.id = logs.run_id))
					FROM onemind.run_events e WHERE e.run_id = logs.run_id ORDER BY e.seq DESC LIMIT 1))`, cut(before), cut(before.Add(-replay.Silence)))
		return err
	})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(runs, trimAtOnce) {
		if err := db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
			_, err := exec(ctx, tx, `DELETE FROM onemind.run_events WHERE run_id = ANY ($1)`, some)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}
