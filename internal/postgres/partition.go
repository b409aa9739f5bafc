package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// partitionsAhead is how many months after the running one have a partition.
const partitionsAhead = 3

// partitionLock is the key of the lock under which partitions are made.
const partitionLock = migrationLock + 1

// Partitions makes the ledger's partitions of this month and the next three,
// whichever are missing, and gives how many whole months ahead there are. Any
// number of instances may run it at once.
func (db *DB) Partitions(ctx context.Context, now time.Time) (ahead int, err error) {
	err = db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		for n := range partitionsAhead + 1 {
			if err := ensurePartition(ctx, tx, monthOf(now).AddDate(0, n, 0)); err != nil {
				return err
			}
		}
		return nil
	})
	counted := db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		for ahead = 0; ; ahead++ {
			there, err := exists(ctx, c, isPartition, partitionOf(monthOf(now).AddDate(0, ahead+1, 0)))
			if err != nil || !there {
				return err
			}
		}
	})
	return ahead, errors.Join(err, counted)
}

func partitionOf(month time.Time) string {
	return "onemind.credit_transactions_" + month.Format("2006_01")
}

// isPartition tells whether a table is there and attached to the ledger.
const isPartition = `SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass($1) AND inhparent = 'onemind.credit_transactions'::regclass`

// ensurePartition makes the partition of a month if it is missing. It looks
// first, so that the job takes no lock when there is nothing to do.
func ensurePartition(ctx context.Context, tx pgx.Tx, month time.Time) error {
	there, err := exists(ctx, tx, isPartition, partitionOf(month))
	if err != nil || there {
		return err
	}
	if _, err := exec(ctx, tx, `SELECT pg_advisory_xact_lock($1)`, int64(partitionLock)); err != nil {
		return err
	}
	_, err = exec(ctx, tx, `SELECT onemind.make_partition($1::date)`, month)
	return err
}

// makePartition makes the partition of a time's month: for an old entry that is
// brought in, or when the job has not run.
func (db *DB) makePartition(ctx context.Context, at time.Time) error {
	if at.Year() < 2000 || at.Year() > 2200 {
		return fmt.Errorf("an entry of the year %d", at.Year())
	}
	return db.change(ctx, func(ctx context.Context, tx pgx.Tx) error { return ensurePartition(ctx, tx, monthOf(at)) })
}

// noPartition tells whether an error means that an entry's month has no partition.
func noPartition(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23514" && strings.Contains(pg.Message, "no partition")
}
