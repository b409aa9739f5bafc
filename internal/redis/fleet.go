package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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
	case <-ended:
	}
}

// Presence keeps who is alive, by Redis's clock.
type Presence struct{ c *Client }

var _ fleet.Presence = Presence{}

// NewPresence builds a Presence.
func NewPresence(c *Client) Presence { return Presence{c} }

const (
	instancesKey = "instances"
	instanceFor  = time.Minute
)

func instanceKey(boot string) string { return "instance:{" + boot + "}" }

// beatScript notes in the list when an instance was heard of, and forgets who was
// silent for a minute. KEYS: list. ARGV: boot, empty to look only; milliseconds.
// Answer: boots and how many milliseconds ago each was heard of.
const beatScript = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
if ARGV[1] ~= '' then redis.call('ZADD', KEYS[1], now, ARGV[1]) end
local all = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 2, #all, 2 do all[i] = tostring(now - all[i]) end
return all`

// Beat replaces what is known of an instance; see fleet.Presence.
func (p Presence) Beat(ctx context.Context, i fleet.Instance) error {
	text, err := json.Marshal(i)
	if err != nil {
		return fmt.Errorf("write the instance: %w", err)
	}
	return p.c.do(ctx, func(ctx context.Context) error {
		if err := p.c.rc.Do(ctx, p.c.rc.B().Set().Key(instanceKey(i.Boot)).Value(string(text)).Px(instanceFor).Build()).Error(); err != nil {
			return err
		}
		return p.c.scripts.beat.Exec(ctx, p.c.rc, []string{instancesKey}, []string{i.Boot, milliseconds(instanceFor)}).Error()
	})
}

// Leave forgets an instance; see fleet.Presence.
func (p Presence) Leave(ctx context.Context, boot string) error {
	return p.c.do(ctx, func(ctx context.Context) error {
		for _, r := range p.c.rc.DoMulti(ctx, p.c.rc.B().Del().Key(instanceKey(boot)).Build(), p.c.rc.B().Zrem().Key(instancesKey).Member(boot).Build()) {
			if err := r.Error(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Instances lists who has beaten within the last minute; see fleet.Presence.
func (p Presence) Instances(ctx context.Context) (found []fleet.Instance, err error) {
	err = p.c.do(ctx, func(ctx context.Context) error {
		list, err := p.c.scripts.beat.Exec(ctx, p.c.rc, []string{instancesKey}, []string{"", milliseconds(instanceFor)}).AsStrSlice()
		if err != nil {
			return err
		}
		var asks rueidis.Commands
		for i := 0; i+1 < len(list); i += 2 {
			asks = append(asks, p.c.rc.B().Get().Key(instanceKey(list[i])).Build())
		}
		for n, r := range p.c.rc.DoMulti(ctx, asks...) {
			text, err := r.ToString()
			if rueidis.IsRedisNil(err) {
				continue
			}
			if err != nil {
				return err
			}
			var i fleet.Instance
			if err := json.Unmarshal([]byte(text), &i); err != nil {
				return fmt.Errorf("read instance %s: %w", list[2*n], err)
			}
			ago, err := time.ParseDuration(list[2*n+1] + "ms")
			if err != nil {
				return fmt.Errorf("read the age of instance %s: %w", list[2*n], err)
			}
			i.Age = max(0, ago)
			found = append(found, i)
		}
		return nil
	})
	slices.SortFunc(found, func(a, b fleet.Instance) int {
		return strings.Compare(a.Name+"\x00"+a.Boot, b.Name+"\x00"+b.Boot)
	})
	return found, err
}

// Lock takes a lock that is over by itself after ttl. ok is false when somebody
// else has it.
func (c *Client) Lock(ctx context.Context, name string, ttl time.Duration) (release func(), ok bool, err error) {
	key, token := "lock:{"+name+"}", leaseName()
	err = c.do(ctx, func(ctx context.Context) error {
		err := c.rc.Do(ctx, c.rc.B().Set().Key(key).Value(token).Nx().Px(ttl).Build()).Error()
		ok = err == nil
		if rueidis.IsRedisNil(err) {
			return nil
		}
		return err
	})
	return func() {
		_ = c.do(context.WithoutCancel(ctx), func(ctx context.Context) error { // it is over by itself
			return c.scripts.unlock.Exec(ctx, c.rc, []string{key}, []string{token}).Error()
		})
	}, ok, err
}
