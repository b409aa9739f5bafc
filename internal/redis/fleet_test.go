package redis_test

import (
	"context"
	"testing"
	"time"

	"onemind/internal/fleet"
	"onemind/internal/redis"
)

func TestBus(t *testing.T) {
	for name, clients := range map[string][2]*redis.Client{
		"single":  {empty(t), dial(t, single.URL())},
		"cluster": {emptyCluster(t), dial(t, clusterURL())},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := redis.NewBus(clients[0]), redis.NewBus(clients[1])
			heard, lines := make(chan fleet.Signal, 10), make(chan bool, 10)
			runs(t, func(ctx context.Context) error {
				return b.Listen(ctx, func(s fleet.Signal) { heard <- s }, func(up bool) { lines <- up })
			})
			if !soon(t, "the line", lines) {
				t.Fatal("not connected")
			}
			for _, want := range []fleet.Signal{{Kind: fleet.Session, Arg: "a:b"}, {Kind: fleet.Revision, Arg: "7"}} {
				if err := a.Publish(t.Context(), want); err != nil {
					t.Fatal(err)
				}
				if got := soon(t, "the signal", heard); got != want {
					t.Errorf("heard %+v", got)
				}
			}
		})
	}
}

// A line that is cut, or that stands and says nothing, is noticed and made again.
func TestBusLines(t *testing.T) {
	r := own(t)
	bus := redis.NewBus(dial(t, r.URL()))
	heard, lines := make(chan fleet.Signal, 10), make(chan bool, 1000)
	runs(t, func(ctx context.Context) error {
		return bus.Listen(ctx, func(s fleet.Signal) { heard <- s }, func(up bool) { lines <- up })
	})
	state := func(want bool) {
		t.Helper()
		for soon(t, "the line", lines) != want {
		}
	}
	state(true)
	r.Pause()
	start := time.Now()
	state(false)
	if took := time.Since(start); took > 5*time.Second { // a second of silence, a second for an answer, and a busy machine
		t.Errorf("a silent line was noticed after %s", took)
	}
	r.Resume()
	state(true)
	r.Kill()
	state(false)
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	state(true)
	until(t, "a signal can be sent", func() bool { return bus.Publish(t.Context(), fleet.Signal{Kind: fleet.User, Arg: "u"}) == nil })
	soon(t, "the signal", heard)
}

func TestPresence(t *testing.T) {
	for name, c := range map[string]*redis.Client{"single": empty(t), "cluster": emptyCluster(t)} {
		t.Run(name, func(t *testing.T) {
			p, ctx := redis.NewPresence(c), t.Context()
			for _, name := range []string{"b", "a"} {
				if err := p.Beat(ctx, fleet.Instance{Boot: "boot-" + name, Name: name, Revision: 7}); err != nil {
					t.Fatal(err)
				}
			}
			list, err := p.Instances(ctx)
			if err != nil || len(list) != 2 || list[0].Name != "a" || list[0].Revision != 7 || list[0].Age > 10*time.Second {
				t.Fatalf("%+v, %v", list, err)
			}
			if err := p.Leave(ctx, "boot-a"); err != nil {
				t.Fatal(err)
			}
			if list, err = p.Instances(ctx); err != nil || len(list) != 1 || list[0].Boot != "boot-b" {
				t.Errorf("after one left: %+v, %v", list, err)
			}
		})
	}
}
