package memory_test

import (
	"testing"

	"onemind/internal/memory"
	"onemind/internal/replay"
	"onemind/internal/storetest"
)

func TestReplay(t *testing.T) {
	open := func(*testing.T) replay.Store { return memory.NewReplay() }
	storetest.Replay(t, open)
	storetest.ReplaySilence(t, open(t))
}
