package redis_test

import (
	"fmt"
	"testing"
	"time"

	"onemind/internal/redis"
	"onemind/internal/replay"
	"onemind/internal/storetest"
)

func TestReplay(t *testing.T) {
	storetest.Replay(t, func(t *testing.T) replay.Store { return redis.NewReplay(empty(t)) })
	t.Run("cluster", func(t *testing.T) {
		storetest.Replay(t, func(t *testing.T) replay.Store { return redis.NewReplay(emptyCluster(t)) })
	})
}

func event(seq int64) []replay.Event { return []replay.Event{{Seq: seq, Data: []byte("{}")}} }

// An open log lives for a day, an ended one for ten minutes; one that was lost is
// not gone on with.
func TestReplayLives(t *testing.T) {
	log, ctx := redis.NewReplay(empty(t)), t.Context()
	lives := func() time.Duration {
		t.Helper()
		ms, err := command(t, single.Addr(), "PTTL", "stream:{r}").AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(ms) * time.Millisecond
	}
	if err := log.AppendEvents(ctx, "r", event(1)); err != nil {
		t.Fatal(err)
	}
	if l := lives(); l < 23*time.Hour || l > 24*time.Hour {
		t.Errorf("an open log lives for %s", l)
	}
	last := event(2)
	last[0].Last = true
	if err := log.AppendEvents(ctx, "r", last); err != nil {
		t.Fatal(err)
	}
	if l := lives(); l < 9*time.Minute || l > 10*time.Minute {
		t.Errorf("an ended log lives for %s", l)
	}
	flush(t)
	if err := log.AppendEvents(ctx, "r", event(3)); err == nil {
		t.Error("a log that was lost is gone on with")
	}
	if got, err := log.EventsAfter(ctx, "r", 0, 10); err != nil || len(got) != 0 {
		t.Errorf("a lost log: %+v, %v", got, err)
	}
}

// An append on one instance wakes who follows the run on another, a thousand
// runs on one connection, and again after the connection was lost.
func TestWatch(t *testing.T) {
	r := own(t)
	patient := redis.Options{Call: 5 * time.Second}
	writer, reader := redis.NewReplay(open(t, r.URL(), patient)), redis.NewReplay(open(t, r.URL(), patient))
	runs(t, reader.Run)
	ctx := t.Context()
	wakes := make([]<-chan struct{}, 1000)
	for i := range wakes {
		wake, stop := reader.Watch(fmt.Sprint("run", i))
		defer stop()
		wakes[i] = wake
	}
	for i := range wakes { // each is woken once when its subscription stands
		soon(t, fmt.Sprintf("run %d to be watched", i), wakes[i])
	}
	for i := range wakes {
		if err := writer.AppendEvents(ctx, fmt.Sprint("run", i), event(1)); err != nil {
			t.Fatal(err)
		}
		soon(t, fmt.Sprintf("an append to run %d", i), wakes[i])
	}
	r.Kill()
	if err := r.Start(ctx); err != nil {
		t.Fatal(err)
	}
	soon(t, "the new subscription", wakes[7])
	until(t, "the writer is back", func() bool { return writer.AppendEvents(ctx, "run7", event(1)) == nil })
	soon(t, "an append after the connection was lost", wakes[7])
}

// Who comes as others go is woken all the same, in a cluster too.
func TestWatchersComeAndGo(t *testing.T) {
	for name, clients := range map[string][2]*redis.Client{
		"single":  {empty(t), dial(t, single.URL())},
		"cluster": {emptyCluster(t), dial(t, clusterURL())},
	} {
		t.Run(name, func(t *testing.T) {
			writer, reader := redis.NewReplay(clients[0]), redis.NewReplay(clients[1])
			runs(t, reader.Run)
			for seq := int64(1); seq <= 100; seq++ {
				_, leave := reader.Watch("r")
				leave()
				wake, stop := reader.Watch("r")
				soon(t, "the subscription", wake)
				if err := writer.AppendEvents(t.Context(), "r", event(seq)); err != nil {
					t.Fatal(err)
				}
				soon(t, "an append", wake)
				stop()
			}
		})
	}
}
