package account

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Identity is who asks. Key and the limits are shared with other requests:
// nobody changes them.
type Identity struct {
	User        User
	Key         *Key   // when an API key was used
	SessionHash string // when a session was
}

// active loads a user who may act.
func (a *Accounts) active(ctx context.Context, id string) (User, error) {
	u, err := a.store.Identity(ctx, id)
	if err != nil {
		return User{}, fmt.Errorf("load the user: %w", err)
	}
	if u.Suspended {
		return User{}, ErrSuspended
	}
	return shown(u), nil
}

// sum is the SHA-256 of a whole credential. A part of it would let one person
// in as another whose credential begins alike.
type sum = [sha256.Size]byte

// entry is one identity that was found in the store.
type entry struct {
	id      Identity
	created time.Time // of the session
	loaded  time.Time
	touched atomic.Int64 // when the session was last seen, in milliseconds since 1970
	noted   atomic.Int64 // second of the last note to sightings
}

// Bounds of a cache. An entry is loaded anew after maxAge, so that what another
// instance, a command beside the server or plain SQL changed counts as well.
const (
	maxEntries = 20_000 // about 15 MB
	maxAge     = time.Second
)

// cache holds identities by the sum of their credential; only what the store
// knows is in it, so that guessing fills nothing. What is over is dropped at
// once, and the epoch keeps a look-up that was under way meanwhile from putting
// it back.
type cache struct {
	mu      sync.RWMutex
	entries map[sum]*entry
	epoch   uint64
}

func newCache() *cache { return &cache{entries: map[sum]*entry{}} }

// get finds a fresh entry, or nil and the epoch that put asks for.
func (c *cache) get(key sum, now time.Time, fresh time.Duration) (*entry, uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e := c.entries[key]; e != nil && now.Sub(e.loaded) < fresh {
		return e, c.epoch
	}
	return nil, c.epoch
}

// put adds what was looked up since get, unless something was dropped meanwhile.
func (c *cache) put(key sum, e *entry, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != epoch {
		return
	}
	if _, known := c.entries[key]; !known && len(c.entries) >= maxEntries {
		for other := range c.entries { // whichever: its next request loads it again
			delete(c.entries, other)
			break
		}
	}
	c.entries[key] = e
}

func (c *cache) drop(key sum) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	delete(c.entries, key)
}

// dropUser drops all of a user's entries. It reads every entry, which is rare
// enough: it follows edits and revoked keys, not log-outs.
func (c *cache) dropUser(user string) {
	c.dropIf(func(e *entry) bool { return e.id.User.ID == user })
}

func (c *cache) dropIf(over func(*entry) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	for key, e := range c.entries {
		if over(e) {
			delete(c.entries, key)
		}
	}
}
