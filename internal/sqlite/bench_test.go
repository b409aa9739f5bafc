package sqlite_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"onemind/internal/money"
	"onemind/internal/replay"
)

// A hold and its charge, each durable, of 100 users by so many callers at once.
func BenchmarkHoldSettle(b *testing.B) {
	for _, callers := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			db := open(b)
			for i := range 100 {
				grant(b, db, fmt.Sprint("user", i), money.Amount(1e15))
			}
			before := db.Stats()
			var next atomic.Int64
			var group sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range callers {
				group.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						ctx, user, ref := context.Background(), fmt.Sprint("user", i%100), fmt.Sprintf("ans_%020d", i)
						if _, err := db.Hold(ctx, holdOf(user, ref)); err != nil {
							b.Error(err)
							return
						}
						if _, _, err := db.Settle(ctx, receiptOf(user, ref)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.StopTimer()
			after := db.Stats()
			b.ReportMetric(float64(after.Acts-before.Acts)/float64(after.Groups-before.Groups), "acts/commit")
			cleanBooks(b, db)
		})
	}
}

// One write of a run's deltas, by 64 runs at once.
func BenchmarkAppendEvents(b *testing.B) {
	db := open(b)
	data := make([]byte, 400)
	var next atomic.Int64
	var group sync.WaitGroup
	b.ResetTimer()
	for run := range 64 {
		group.Go(func() {
			for seq := int64(1); next.Add(1) <= int64(b.N); seq++ {
				if err := db.AppendEvents(context.Background(), fmt.Sprint("run", run), []replay.Event{{Seq: seq, Data: data}}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkBalance(b *testing.B) {
	db := open(b)
	grant(b, db, "u", 1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := db.Balance(context.Background(), "u"); err != nil {
			b.Fatal(err)
		}
	}
}
