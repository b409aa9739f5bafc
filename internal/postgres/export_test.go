package postgres

import (
	"context"

	"onemind/internal/credit"
	"onemind/internal/money"
)

// HoldAlone is Hold in a statement and a commit of its own: what the benchmark
// compares with.
func (db *DB) HoldAlone(ctx context.Context, h credit.Hold) (money.Amount, error) {
	a := holdOf(h)
	if err := db.group.send(ctx, []*act{a}); err != nil {
		return 0, err
	}
	return a.held()
}
