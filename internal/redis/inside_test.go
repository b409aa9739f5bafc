package redis

import (
	"testing"
	"time"

	"onemind/internal/servers"
)

func TestBreakerOpens(t *testing.T) {
	for name, tt := range map[string]struct {
		calls []bool // one every millisecond: answered or not
		want  bool
	}{
		"five in a row":             {[]bool{true, false, false, false, false, false}, true},
		"four in a row":             {[]bool{true, false, false, false, false, true}, false},
		"every second of ten":       {[]bool{true, false, true, false, true, false, true, false, true, false}, true},
		"five of a hundred answers": {append(hundred(), false, true, false, true, false, true, false, true, false), false},
	} {
		t.Run(name, func(t *testing.T) {
			var b breaker
			now := time.Now()
			for _, answered := range tt.calls {
				now = now.Add(time.Millisecond)
				probe, ok := b.enter(now)
				if !ok || probe {
					t.Fatalf("a call is not let through: %v, %v", probe, ok)
				}
				if answered {
					b.success(probe, now)
				} else {
					b.failure(probe, now)
				}
			}
			if b.up() == tt.want {
				t.Errorf("open: %v, want %v", !b.up(), tt.want)
			}
		})
	}
}

func hundred() (answers []bool) {
	for range 100 {
		answers = append(answers, true)
	}
	return answers
}

// Open, it lets one probe through at a time, and only the probe decides.
func TestBreakerProbes(t *testing.T) {
	var b breaker
	now := time.Now()
	for range failuresMax {
		b.failure(false, now)
	}
	if _, ok := b.enter(now.Add(restFor - time.Millisecond)); ok {
		t.Error("it does not rest")
	}
	now = now.Add(restFor)
	probe, ok := b.enter(now)
	if !probe || !ok {
		t.Fatal("no probe after the rest")
	}
	if _, ok := b.enter(now); ok {
		t.Error("two probes at once")
	}
	if b.success(false, now) || b.up() {
		t.Error("a call from before the outage ended it")
	}
	b.leave(probe)
	if probe, ok = b.enter(now); !probe || !ok {
		t.Fatal("a probe that left is not replaced")
	}
	b.failure(probe, now)
	if _, ok := b.enter(now); ok {
		t.Error("it does not rest after a failed probe")
	}
	now = now.Add(restFor)
	if probe, ok = b.enter(now); !ok || !b.success(probe, now) || !b.up() {
		t.Error("the probe's success does not end the outage")
	}
	if failures, opens := b.counts(); failures != failuresMax+1 || opens != 1 {
		t.Errorf("%d failures, %d outages", failures, opens)
	}
}

// A fill that was under way for so long that the mark of a change may be gone is
// not taken, wherever it waited.
func TestFillsThatAreTooLate(t *testing.T) {
	dir, remove, err := servers.Dir()
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	r, err := servers.NewRedis(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Kill()
	c, err := Open(t.Context(), r.URL(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	us, err := c.now(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, late := range []int64{us/1000 - 1, us/1000 + 10_000} {
		n, err := c.scripts.fill.Exec(ctx, c.rc, []string{"k", mark("k")}, []string{"v", "60000", "0", "60000", itoa(late)}).AsInt64()
		if err != nil || (n == 1) != (late > us/1000) {
			t.Errorf("%d ms after its time: %d, %v", us/1000-late, n, err)
		}
	}
	// A drop that could not be told hides the copy here, and another drop of the
	// same key that could does not show it again.
	c.put(ctx, "k", record{value: "v"}, lives{time.Minute, time.Minute}, time.Now())
	c.drops.add([]string{"k"})
	c.drop(ctx, "k")
	if !c.drops.has("k") {
		t.Error("a drop that was not told is forgotten")
	}
}
