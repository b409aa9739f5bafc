package redis

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"onemind/internal/fleet"
)

// signals is the channel of everything that instances tell each other.
const signals = "onemind:signals"

// Bus carries signals by publish and subscribe.
type Bus struct{ c *Client }

var _ fleet.Bus = Bus{}

// NewBus builds a Bus.
func NewBus(c *Client) Bus { return Bus{c} }

// Publish sends a signal; see fleet.Bus.
func (b Bus) Publish(ctx context.Context, s fleet.Signal) error {
	return b.c.do(ctx, func(ctx context.Context) error {
		return b.c.rc.Do(ctx, b.c.rc.B().Publish().Channel(signals).Message(s.String()).Build()).Error()
	})
}

// Listen passes signals to hear until ctx ends; see fleet.Bus.
func (b Bus) Listen(ctx context.Context, hear func(fleet.Signal), connected func(bool)) error {
	for ctx.Err() == nil {
		b.once(ctx, hear, connected)
		connected(false)
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
	return nil
}

func (b Bus) once(ctx context.Context, hear func(fleet.Signal), connected func(bool)) {
	line, release := b.c.rc.Dedicate()
	defer release()
	ended := line.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage: func(m rueidis.PubSubMessage) {
			if s, ok := fleet.Parse(m.Message); ok {
				hear(s)
			}
		},
		OnSubscription: func(s rueidis.PubSubSubscription) {
			if s.Kind == "subscribe" {
				connected(true)
			}
		},
	})
	subscribing, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if line.Do(subscribing, line.B().Subscribe().Channel(signals).Build()).Error() != nil {
		return
	}
	select {
	case <-ctx.Done():
	case err := <-ended:
		b.c.options.Log.Debug("the line of signals ended", "err", err)
	}
}
