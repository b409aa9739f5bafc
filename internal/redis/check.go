package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrEvicts reports a Redis that may throw away what it was given.
var ErrEvicts = errors.New("REDIS_URL: this Redis may evict sessions and counters; set its maxmemory-policy to noeviction")

// checkPolicy refuses a server that evicts. One that does not say, as managed
// services do not, is taken at its operator's word.
func (c *Client) checkPolicy(ctx context.Context) error {
	for _, node := range c.rc.Nodes() {
		info, err := node.Do(ctx, node.B().Info().Section("memory").Build()).ToString()
		policy := field(info, "maxmemory_policy")
		if err != nil || policy == "" {
			c.options.Log.Warn("REDIS_URL: this Redis does not tell its maxmemory-policy; make sure that it is noeviction", "err", err)
			return nil
		}
		if policy != "noeviction" {
			return fmt.Errorf("%w (it is %s)", ErrEvicts, policy)
		}
	}
	return nil
}

// field finds a value in what INFO answers.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return v
		}
	}
	return ""
}

// Check says what an operator should know of the server: for doctor. What a
// managed service does not tell is left out.
func (c *Client) Check(ctx context.Context) (findings []string, err error) {
	info, err := c.rc.Do(ctx, c.rc.B().Arbitrary("INFO").Build()).ToString()
	if err != nil {
		return nil, fmt.Errorf("ask Redis: %w", err)
	}
	add := func(name, format string, args ...any) {
		if field(info, name) != "" {
			findings = append(findings, fmt.Sprintf(format, args...))
		}
	}
	used, _ := strconv.ParseInt(field(info, "used_memory"), 10, 64) // 0 where it is not told
	most, _ := strconv.ParseInt(field(info, "maxmemory"), 10, 64)
	add("redis_version", "version %s", field(info, "redis_version"))
	add("maxmemory_policy", "maxmemory-policy %s", field(info, "maxmemory_policy"))
	add("used_memory", "%d MB of memory used", used>>20)
	if most > 0 {
		add("maxmemory", "%d %% of its memory used", used*100/most)
	}
	if field(info, "aof_enabled") == "0" {
		add("aof_enabled", "appendonly is off: a restart loses counters and open streams, nothing that lasts")
	}
	if c.cluster {
		findings = append(findings, fmt.Sprintf("a cluster of %d nodes", len(c.rc.Nodes())))
	}
	return findings, nil
}
