package redis

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"onemind/internal/gateway"
)

// replyMost is the largest answer that is kept: 1 MiB. A larger one would hold up
// the connection that everything else here needs too.
const replyMost = 1 << 20

// Answers may not push out what matters more: this Redis refuses writes when it is
// full, limits and sessions too. Above replyFull percent of its memory none is kept;
// it is asked every roomEvery at most.
const (
	replyFull = 75
	roomEvery = 2 * time.Second
)

// Replies keeps answers for all instances. A Redis that does not answer keeps
// none, which costs its callers a deadline at most; see Client.
type Replies struct {
	c     *Client
	asked atomic.Int64 // when it was last asked for its memory, Unix milliseconds
	full  atomic.Bool
}

var _ gateway.Replies = (*Replies)(nil)

// NewReplies builds a Replies.
func NewReplies(c *Client) *Replies { return &Replies{c: c} }

// replyKey is response:{sha256}; the digest is that of the gateway.
func replyKey(key string) string { return "response:{" + key + "}" }

// Get gives a value; see gateway.Replies.
func (r *Replies) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	err = r.c.do(ctx, func(ctx context.Context) error {
		value, err = r.c.rc.Do(ctx, r.c.rc.B().Get().Key(replyKey(key)).Build()).AsBytes()
		return err
	})
	switch {
	case rueidis.IsRedisNil(err):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("get a kept answer: %w", err)
	}
	return value, true, nil
}

// Put keeps a value; see gateway.Replies.
func (r *Replies) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	room := r.room(ctx)
	err := r.c.do(ctx, func(ctx context.Context) error {
		if !room || ttl < time.Millisecond || len(value) > replyMost {
			return r.c.rc.Do(ctx, r.c.rc.B().Unlink().Key(replyKey(key)).Build()).Error()
		}
		return r.c.rc.Do(ctx, r.c.rc.B().Set().Key(replyKey(key)).Value(rueidis.BinaryString(value)).Px(ttl).Build()).Error()
	})
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	return nil
}

// room tells whether there is memory for answers. One that does not tell how much it
// has, or has no bound, has room.
func (r *Replies) room(ctx context.Context) bool {
	now, last := time.Now().UnixMilli(), r.asked.Load()
	if now-last < roomEvery.Milliseconds() || !r.asked.CompareAndSwap(last, now) {
		return !r.full.Load()
	}
	full := false
	err := r.c.do(ctx, func(ctx context.Context) error {
		for _, node := range r.c.rc.Nodes() {
			info, err := node.Do(ctx, node.B().Info().Section("memory").Build()).ToString()
			if err != nil {
				return err
			}
			used, _ := strconv.ParseInt(field(info, "used_memory"), 10, 64) // 0 where it is not told
			most, _ := strconv.ParseInt(field(info, "maxmemory"), 10, 64)
			full = full || most > 0 && used > most/100*replyFull
		}
		return nil
	})
	if err == nil {
		r.full.Store(full)
	}
	return !r.full.Load()
}
