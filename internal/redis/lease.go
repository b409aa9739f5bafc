package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// Leases. A crashed instance's are over when nobody renews them.
const (
	leaseFor   = time.Minute
	renewEvery = 20 * time.Second
	tellEvery  = 50 * time.Millisecond // released leases are given back together

	// maxOver bounds what is remembered to be given back of an outage; the rest is
	// over by itself.
	maxOver = 100_000
)

// held is a lease as Redis knows it.
type held struct {
	key, name string
	n         int64
}

// random is a name that nobody else has.
func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// keep notes a lease that has to be renewed, and gives what returns it.
func (l *Limiter) keep(h held) (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[h.name] = h
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, h.name)
		l.release(h)
	})
}

// unsure gives back the lease of a call that failed: it may have been taken
// before the answer was lost, or be taken yet.
func (l *Limiter) unsure(c call) {
	if c.lease.N > 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.release(held{c.lease.Key, c.name, c.lease.N})
	}
}

// release queues leases to be given back. l.mu is held.
func (l *Limiter) release(over ...held) {
	l.over = append(l.over, over[:min(len(over), maxOver-len(l.over))]...)
}

// Run renews leases and gives them back, until ctx ends.
func (l *Limiter) Run(ctx context.Context) error {
	renew, tell := time.NewTicker(min(renewEvery, l.options.Lease/3)), time.NewTicker(tellEvery)
	defer renew.Stop()
	defer tell.Stop()
	for {
		select {
		case <-ctx.Done():
			l.giveBack(context.WithoutCancel(ctx), func(held) bool { return true })
			return nil
		case <-renew.C:
			l.renewAll(ctx)
		case <-tell.C:
			l.giveBack(ctx, func(held) bool { return true })
		}
	}
}

func (l *Limiter) renewAll(ctx context.Context) {
	l.mu.Lock()
	calls := make([]rueidis.LuaExec, 0, len(l.held))
	for _, h := range l.held {
		calls = append(calls, rueidis.LuaExec{Keys: []string{l.tagged(h.key)}, Args: []string{milliseconds(l.options.Lease), h.name, itoa(h.n)}})
	}
	l.mu.Unlock()
	_, _ = l.c.each(ctx, l.c.scripts.renew, calls) // the next round does; a lease lives for three
}

// giveBackOf returns at once what was released of a key that is crowded, and
// tells whether there was anything.
func (l *Limiter) giveBackOf(ctx context.Context, key string) bool {
	return l.giveBack(ctx, func(h held) bool { return h.key == key })
}

// giveBack returns some of what was released, and tells whether there was
// anything. What Redis does not hear is tried again, and over by itself in a
// minute.
func (l *Limiter) giveBack(ctx context.Context, which func(held) bool) bool {
	l.mu.Lock()
	var over []held
	l.over = slices.DeleteFunc(l.over, func(h held) bool {
		if which(h) {
			over = append(over, h)
			return true
		}
		return false
	})
	l.mu.Unlock()
	calls := make([]rueidis.LuaExec, len(over))
	for i, h := range over {
		calls[i] = rueidis.LuaExec{Keys: []string{l.tagged(h.key)}, Args: []string{"0", h.name, itoa(h.n)}}
	}
	if done, err := l.c.each(ctx, l.c.scripts.giveBack, calls); err != nil {
		l.mu.Lock()
		l.release(over[done:]...)
		l.mu.Unlock()
	}
	return len(over) > 0
}
