package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"onemind/internal/fleet"
)

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
		b := p.c.rc.B
		return firstError(p.c.rc.DoMulti(ctx, b().Del().Key(instanceKey(boot)).Build(), b().Zrem().Key(instancesKey).Member(boot).Build()))
	})
}

// Instances lists who has beaten within the last minute; see fleet.Presence.
func (p Presence) Instances(ctx context.Context) ([]fleet.Instance, error) {
	list, texts, err := p.heard(ctx)
	if err != nil {
		return nil, err
	}
	var found []fleet.Instance
	for n, text := range texts {
		if text == "" {
			continue // it left in between
		}
		boot, ago := list[2*n], list[2*n+1]
		var i fleet.Instance
		if err := json.Unmarshal([]byte(text), &i); err != nil {
			return nil, fmt.Errorf("read instance %s: %w", boot, err)
		}
		age, err := time.ParseDuration(ago + "ms")
		if err != nil {
			return nil, fmt.Errorf("read the age of instance %s: %w", boot, err)
		}
		i.Age = max(0, age)
		found = append(found, i)
	}
	slices.SortFunc(found, func(a, b fleet.Instance) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Boot, b.Boot))
	})
	return found, nil
}

// heard gives the list of beatScript, and of each instance what it last said.
func (p Presence) heard(ctx context.Context) (list, texts []string, err error) {
	err = p.c.do(ctx, func(ctx context.Context) (err error) {
		list, err = p.c.scripts.beat.Exec(ctx, p.c.rc, []string{instancesKey}, []string{"", milliseconds(instanceFor)}).AsStrSlice()
		if err != nil {
			return err
		}
		asks := make(rueidis.Commands, len(list)/2)
		for n := range asks {
			asks[n] = p.c.rc.B().Get().Key(instanceKey(list[2*n])).Build()
		}
		texts = make([]string, len(asks))
		for n, r := range p.c.rc.DoMulti(ctx, asks...) {
			if texts[n], err = r.ToString(); err != nil && !rueidis.IsRedisNil(err) {
				return err
			}
		}
		return nil
	})
	return list, texts, err
}
