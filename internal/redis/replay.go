package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"onemind/internal/replay"
)

// How long the events of a run live: of an open one longer than any run takes.
const (
	openFor  = replay.Silence
	endedFor = replay.Keep
)

// appendScript adds events where the log ends. The same events again change
// nothing. Readers on other instances are woken by the message.
// KEYS: stream. ARGV: first number, how many, milliseconds to live; then for each
// event its data and whether it is the last one.
// Answer: 1, or 0 when the numbers do not go on where the log ends.
const appendScript = `
local first, n = tonumber(ARGV[1]), tonumber(ARGV[2])
local tail = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local have = 0
if tail[1] then have = tonumber(string.match(tail[1][1], '^%d+')) end
if first > have + 1 then return 0 end
if first <= have then
	local old = redis.call('XRANGE', KEYS[1], first .. '-0', (first + n - 1) .. '-0')
	if #old ~= math.min(n, have - first + 1) then return 0 end
	for i, e in ipairs(old) do
		if e[2][2] ~= ARGV[2 + 2 * i] then return 0 end
	end
end
for i = math.max(1, have - first + 2), n do
	redis.call('XADD', KEYS[1], (first + i - 1) .. '-0', 'd', ARGV[2 + 2 * i], 'l', ARGV[3 + 2 * i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', KEYS[1], first + n - 1)
return 1`

// Replay keeps the events of runs in streams, one for each run, and wakes who
// follows them on other instances.
type Replay struct {
	c     *Client
	watch *watcher
}

var _ replay.Store = (*Replay)(nil)

// NewReplay builds a Replay. Run it, so that Watch wakes anybody.
func NewReplay(c *Client) *Replay { return &Replay{c: c, watch: newWatcher(c)} }

func streamKey(run string) string { return "stream:{" + run + "}" }

// endedKey lists the logs that have ended, by the time of it.
const endedKey = "streams:ended"

// AppendEvents adds to a log; see replay.Store.
func (r *Replay) AppendEvents(ctx context.Context, run string, events []replay.Event) error {
	if len(events) == 0 {
		return nil
	}
	last := events[len(events)-1].Last
	ttl := openFor
	if last {
		ttl = endedFor
	}
	args := []string{itoa(events[0].Seq), itoa(int64(len(events))), milliseconds(ttl)}
	for i, e := range events {
		if e.Seq != events[0].Seq+int64(i) {
			return replay.ErrGap(run, e.Seq)
		}
		ended := "0"
		if e.Last {
			ended = "1"
		}
		args = append(args, rueidis.BinaryString(e.Data), ended)
	}
	var done int64
	err := r.c.do(context.WithoutCancel(ctx), func(ctx context.Context) (err error) {
		done, err = r.c.scripts.append.Exec(ctx, r.c.rc, []string{streamKey(run)}, args).AsInt64()
		return err
	})
	if err != nil {
		return fmt.Errorf("append to the stream of run %s: %w", run, err)
	}
	if done == 0 {
		return replay.ErrGap(run, events[0].Seq)
	}
	if last {
		_ = r.c.do(ctx, func(ctx context.Context) error { // it expires by itself, only later
			return r.c.rc.Do(ctx, r.c.rc.B().Zadd().Key(endedKey).ScoreMember().ScoreMember(float64(time.Now().UnixMilli()), run).Build()).Error()
		})
	}
	return nil
}

// EventsAfter reads a log; see replay.Store.
func (r *Replay) EventsAfter(ctx context.Context, run string, after int64, limit int) (events []replay.Event, err error) {
	err = r.c.do(ctx, func(ctx context.Context) error {
		entries, err := r.c.rc.Do(ctx, r.c.rc.B().Xrange().Key(streamKey(run)).Start("("+itoa(after)+"-0").End("+").Count(int64(max(limit, 1))).Build()).AsXRange()
		if err != nil {
			return err
		}
		for _, e := range entries {
			number, _, _ := strings.Cut(e.ID, "-")
			seq, err := strconv.ParseInt(number, 10, 64)
			if err != nil {
				return fmt.Errorf("the stream has an entry %s: %w", e.ID, err)
			}
			events = append(events, replay.Event{Seq: seq, Data: []byte(e.FieldValues["d"]), Last: e.FieldValues["l"] == "1"})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the stream of run %s: %w", run, err)
	}
	if len(events) > 0 && events[0].Seq != after+1 {
		return nil, nil // its beginning is lost: what is left would be a gap
	}
	return events, nil
}

// trimAtOnce is how many logs are forgotten in one go.
const trimAtOnce = 500

// TrimEvents forgets old logs; see replay.Store. They expire by themselves as
// well: this is for those who want it sooner.
func (r *Replay) TrimEvents(ctx context.Context, before time.Time) error {
	for {
		var runs []string
		err := r.c.do(ctx, func(ctx context.Context) (err error) {
			runs, err = r.c.rc.Do(ctx, r.c.rc.B().Zrangebyscore().Key(endedKey).Min("-inf").Max(itoa(before.UnixMilli())).Limit(0, trimAtOnce).Build()).AsStrSlice()
			return err
		})
		if err != nil || len(runs) == 0 {
			return err
		}
		for _, run := range runs {
			if err := r.c.do(ctx, func(ctx context.Context) error {
				return r.c.rc.Do(ctx, r.c.rc.B().Unlink().Key(streamKey(run)).Build()).Error()
			}); err != nil {
				return err
			}
		}
		if err := r.c.do(ctx, func(ctx context.Context) error {
			return r.c.rc.Do(ctx, r.c.rc.B().Zrem().Key(endedKey).Member(runs...).Build()).Error()
		}); err != nil {
			return err
		}
	}
}

// Watch wakes its caller when somebody adds to a run's log, and once when it
// begins to watch, because something may have been added just before.
func (r *Replay) Watch(run string) (wake <-chan struct{}, stop func()) {
	return r.watch.add(streamKey(run))
}

// Run listens for the messages that wake, until ctx ends.
func (r *Replay) Run(ctx context.Context) error { return r.watch.run(ctx) }
