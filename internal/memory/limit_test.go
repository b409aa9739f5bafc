package memory_test

import (
	"fmt"
	"testing"
	"time"

	"onemind/internal/limit"
	"onemind/internal/memory"
	"onemind/internal/storetest"
)

func TestLimiter(t *testing.T) {
	storetest.Limiter(t, func(*testing.T) limit.Limiter { return memory.NewLimiter() })
}

// One Take of the three buckets of a chat request, of 1,000 users.
func BenchmarkTake(b *testing.B) {
	l := memory.NewLimiter()
	calls := make([][]limit.Bucket, 1000)
	for i := range calls {
		calls[i] = []limit.Bucket{
			{Key: fmt.Sprintf("ratelimit:{user%d}", i), Scope: "user", Max: 30, Take: 1},
			{Key: fmt.Sprintf("ratelimit:{user%d}:openai", i), Scope: "user_provider", Max: 10, Take: 1},
			{Key: "ratelimit:global", Scope: "global", Max: 1 << 30, Take: 1},
		}
	}
	now := time.UnixMilli(1_790_000_000_000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i++; i%8000 == 0 {
			now = now.Add(30 * time.Second)
		}
		if _, err := l.Take(b.Context(), now, calls[i%len(calls)], limit.Lease{}); err != nil {
			b.Fatal(err)
		}
	}
}
