package storetest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"onemind/internal/gateway"
)

// Replies holds a gateway.Replies to its words. open gives an empty one with room
// for some megabytes.
func Replies(t *testing.T, open func(*testing.T) gateway.Replies) {
	t.Run("keep", func(t *testing.T) { repliesKeep(t, open(t)) })
	t.Run("expire", func(t *testing.T) { repliesExpire(t, open(t)) })
	t.Run("together", func(t *testing.T) { repliesTogether(t, open(t)) })
}

// replyName is a key as the gateway makes them: 64 hex digits.
func replyName(i int) string { return fmt.Sprintf("%064x", i) }

func replyIs(t *testing.T, s gateway.Replies, key string, want []byte) {
	t.Helper()
	got, ok, err := s.Get(context.Background(), key)
	check(t, err)
	if ok != (want != nil) || !bytes.Equal(got, want) {
		t.Errorf("%.8s: %v, %d bytes, want %d", key, ok, len(got), len(want))
	}
}

// Every byte comes back; the newest value counts; keys have nothing to do with
// each other.
func repliesKeep(t *testing.T, s gateway.Replies) {
	ctx := context.Background()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	values := [][]byte{[]byte("v"), all, bytes.Repeat(all, 4096), {}, []byte(strings.Repeat("\x00", 100))}
	for i, value := range values {
		replyIs(t, s, replyName(i), nil)
		check(t, s.Put(ctx, replyName(i), bytes.Clone(value), time.Hour))
	}
	for i, value := range values {
		replyIs(t, s, replyName(i), value)
		replyIs(t, s, replyName(i), value)
	}
	check(t, s.Put(ctx, replyName(0), []byte("newer"), time.Hour))
	replyIs(t, s, replyName(0), []byte("newer"))
	replyIs(t, s, replyName(len(values)), nil)
	// What is too large is not kept, and what it was to replace is not given any more.
	check(t, s.Put(ctx, replyName(0), bytes.Repeat([]byte("x"), 100<<20), time.Hour))
	replyIs(t, s, replyName(0), nil)
}

// What has no time to live is not there.
func repliesExpire(t *testing.T, s gateway.Replies) {
	ctx := context.Background()
	check(t, s.Put(ctx, replyName(1), []byte("v"), time.Hour))
	check(t, s.Put(ctx, replyName(1), []byte("v"), 0))
	replyIs(t, s, replyName(1), nil)
	check(t, s.Put(ctx, replyName(2), []byte("v"), time.Millisecond))
	for end := time.Now().Add(10 * time.Second); ; {
		_, ok, err := s.Get(ctx, replyName(2))
		check(t, err)
		if !ok {
			return
		}
		if time.Now().After(end) {
			t.Fatal("a value outlives its time")
		}
	}
}

func repliesTogether(t *testing.T, s gateway.Replies) {
	ctx := context.Background()
	var work sync.WaitGroup
	for i := range 16 {
		work.Go(func() {
			for n := range 50 {
				key := n % 5
				value := bytes.Repeat([]byte{byte('a' + key)}, 100)
				if err := s.Put(ctx, replyName(key), value, time.Hour); err != nil {
					t.Error(err)
					return
				}
				got, ok, err := s.Get(ctx, replyName(key))
				if err != nil || !ok || !bytes.Equal(got, value) {
					t.Errorf("writer %d: %v, %v, %.10q", i, ok, err, got)
					return
				}
			}
		})
	}
	work.Wait()
}
