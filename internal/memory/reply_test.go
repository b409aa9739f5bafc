package memory_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/gateway"
	"onemind/internal/memory"
	"onemind/internal/storetest"
)

func TestReplies(t *testing.T) {
	storetest.Replies(t, func(*testing.T) gateway.Replies { return memory.NewReplies(memory.RepliesSize) })
}

// The bound holds, and what was not asked for the longest time goes first.
func TestRepliesAreBounded(t *testing.T) {
	ctx, kib := context.Background(), bytes.Repeat([]byte("x"), 1024)
	r := memory.NewReplies(10 * 1400)
	for i := range 10 {
		if err := r.Put(ctx, fmt.Sprint("k", i), kib, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, _ := r.Get(ctx, "k0"); !ok {
		t.Error("the first one is gone though there is room")
	}
	if err := r.Put(ctx, "big", bytes.Repeat(kib, 2), time.Hour); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"k0": true, "k1": false, "k9": true, "big": true} {
		if _, ok, _ := r.Get(ctx, key); ok != want {
			t.Errorf("%s is there: %v", key, ok)
		}
	}
	if n := r.Size(); n > 10*1400 {
		t.Errorf("%d bytes are held", n)
	}
	if err := r.Put(ctx, "big", bytes.Repeat(kib, 20), time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := r.Get(ctx, "big"); ok {
		t.Error("what is larger than all is kept, or its earlier value")
	}
	if _, ok, _ := r.Get(ctx, "k9"); !ok {
		t.Error("what does not fit has pushed others out")
	}
}

// An answer lives as long as it was put for, and not a moment longer.
func TestRepliesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, r := context.Background(), memory.NewReplies(memory.RepliesSize)
		if err := r.Put(ctx, "k", []byte("v"), time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour - time.Nanosecond)
		if _, ok, _ := r.Get(ctx, "k"); !ok {
			t.Error("it is gone too early")
		}
		time.Sleep(time.Nanosecond)
		if _, ok, _ := r.Get(ctx, "k"); ok || r.Size() != 0 {
			t.Errorf("it outlives its time: %v, %d bytes", ok, r.Size())
		}
	})
}
