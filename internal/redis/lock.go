package redis

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// Lock takes a lock that is over by itself after ttl. ok is false when somebody
// else has it.
func (c *Client) Lock(ctx context.Context, name string, ttl time.Duration) (release func(), ok bool, err error) {
	key, token := "lock:{"+name+"}", random()
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
