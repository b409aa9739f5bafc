package redis_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"onemind/internal/gateway"
	"onemind/internal/redis"
	"onemind/internal/storetest"
)

func TestReplies(t *testing.T) {
	storetest.Replies(t, func(t *testing.T) gateway.Replies { return redis.NewReplies(empty(t)) })
	t.Run("cluster", func(t *testing.T) {
		storetest.Replies(t, func(t *testing.T) gateway.Replies {
			replies := redis.NewReplies(emptyCluster(t))
			for _, key := range []string{"a", "b", "c"} { // in the slots of each node
				until(t, "the cluster answers", func() bool { _, _, err := replies.Get(t.Context(), key); return err == nil })
			}
			return replies
		})
	})
}

// The key is the one of the product's contract, its braces included, and it expires.
func TestReplyKey(t *testing.T) {
	replies, digest := redis.NewReplies(empty(t)), strings.Repeat("ab", 32)
	if err := replies.Put(t.Context(), digest, []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	keys, err := command(t, single.Addr(), "KEYS", "*").AsStrSlice()
	if err != nil || len(keys) != 1 || keys[0] != "response:{"+digest+"}" {
		t.Errorf("keys %v, %v", keys, err)
	}
	if ms, err := command(t, single.Addr(), "PTTL", keys[0]).AsInt64(); err != nil || ms < 3_590_000 || ms > 3_600_000 {
		t.Errorf("it lives for %d ms, %v", ms, err)
	}
	for size, want := range map[int]bool{1 << 20: true, 1<<20 + 1: false} {
		if err := replies.Put(t.Context(), digest, bytes.Repeat([]byte("x"), size), time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := replies.Get(t.Context(), digest); err != nil || ok != want {
			t.Errorf("%d bytes: kept %v, %v", size, ok, err)
		}
	}
}

// A dead Redis is told at once, and after a few tries without asking it.
func TestRepliesOfADeadRedis(t *testing.T) {
	r := own(t)
	replies := redis.NewReplies(open(t, r.URL(), redis.Options{}))
	r.Kill()
	started := time.Now()
	for range 100 {
		if _, ok, err := replies.Get(t.Context(), "k"); ok || !errors.Is(err, redis.ErrDown) {
			t.Fatalf("get: %v, %v", ok, err)
		}
		if err := replies.Put(t.Context(), "k", nil, time.Hour); !errors.Is(err, redis.ErrDown) {
			t.Fatalf("put: %v", err)
		}
	}
	if took := time.Since(started); took > 5*time.Second { // 5 calls of 50 ms, and one each second
		t.Errorf("200 calls take %s", took)
	}
}

// Answers leave the last quarter of the memory to what matters more: a full Redis
// would refuse limits and sessions too.
func TestRepliesLeaveRoom(t *testing.T) {
	r := own(t, "--maxmemory", "32mb", "--maxmemory-policy", "noeviction")
	patient := redis.Options{Call: 5 * time.Second}
	mib := bytes.Repeat([]byte("x"), 1<<20)
	for n := range 60 {
		// Another instance each time: each asks for itself how much there is.
		replies := redis.NewReplies(open(t, r.URL(), patient))
		if err := replies.Put(t.Context(), fmt.Sprint("k", n), mib, time.Hour); err != nil {
			t.Fatalf("answer %d: %v", n, err)
		}
		if _, ok, err := replies.Get(t.Context(), fmt.Sprint("k", n)); err != nil {
			t.Fatal(err)
		} else if !ok {
			if n < 4 { // each takes more than its own size on the way
				t.Errorf("only %d answers are kept", n)
			}
			if err := command(t, r.Addr(), "SET", "limit", string(mib)).Error(); err != nil {
				t.Errorf("there is no room for anything else: %v", err)
			}
			return
		}
	}
	t.Error("it was never full")
}
