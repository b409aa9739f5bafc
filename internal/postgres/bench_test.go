package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/credit"
	"onemind/internal/money"
)

// Holds of 1 to 512 users at once, gathered and each with a commit of its own,
// through PgBouncer on a Postgres with fsync on:
//
//	go test ./internal/postgres -run '^$' -bench GroupCommit -benchtime 2s -count 3
func BenchmarkGroupCommit(b *testing.B) {
	db := open(b)
	for u := range 512 {
		give(b, db, fmt.Sprint("user", u), 1_000_000*money.Dollar)
	}
	var refs atomic.Int64
	for _, users := range []int{1, 8, 64, 512} {
		for _, mode := range []struct {
			name string
			hold func(context.Context, credit.Hold) (money.Amount, error)
		}{{"group", db.Hold}, {"alone", db.HoldAlone}} {
			b.Run(fmt.Sprintf("users=%d/%s", users, mode.name), func(b *testing.B) {
				var left atomic.Int64
				left.Store(int64(b.N))
				times := make([][]time.Duration, users)
				var work sync.WaitGroup
				b.ResetTimer()
				for u := range users {
					work.Go(func() {
						user := fmt.Sprint("user", u)
						for left.Add(-1) >= 0 {
							began := time.Now()
							_, err := patient(func() (money.Amount, error) {
								return mode.hold(context.Background(), hold(user, fmt.Sprint("b", refs.Add(1)), 1))
							})
							if err != nil {
								b.Error(err)
								return
							}
							times[u] = append(times[u], time.Since(began))
						}
					})
				}
				work.Wait()
				b.StopTimer()
				all := slices.Concat(times...)
				slices.Sort(all)
				b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "acts/s")
				b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
			})
		}
	}
}
