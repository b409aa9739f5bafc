package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Changed says what is not as it was: a session that is over, a key that is over or
// changed or, when both are empty, the user's row.
type Changed struct{ User, SessionHash, KeyHash string }

// Accounts is the rules of users, sessions and keys. What it ends is over at
// once on this instance. On every other it is over as soon as that is told (see
// SessionEnded and its neighbours), and within maxAge if it is not.
type Accounts struct {
	store    Store
	sessions Sessions
	mac      func([]byte) [][]byte
	changed  func(Changed)
	fresh    func() time.Duration
	hasher   *hasher

	bySession, byKey *cache
	seen             *sightings

	making  sync.Mutex // of keys: one at a time
	settled atomic.Bool

	setup sync.Mutex
}

// New builds Accounts. mac gives the HMAC-SHA-256 of its argument under every
// key-encryption key, the newest first; changed is told what is over or edited
// and must not block. fresh says how long an identity may be remembered here:
// longer than maxAge only while other instances' changes are told; nil: maxAge.
func New(store Store, sessions Sessions, mac func([]byte) [][]byte, changed func(Changed), fresh func() time.Duration) *Accounts {
	if fresh == nil {
		fresh = func() time.Duration { return maxAge }
	}
	return &Accounts{
		store: store, sessions: sessions, mac: mac, changed: changed, fresh: fresh, hasher: newHasher(),
		bySession: newCache(), byKey: newCache(), seen: newSightings(),
	}
}

// How often Run writes and removes.
const (
	flushEvery = 5 * time.Second
	tidyEvery  = 10 * time.Minute
)

// Run writes who was seen and removes sessions that are over, until ctx ends.
func (a *Accounts) Run(ctx context.Context) error {
	flush, tidy := time.NewTicker(flushEvery), time.NewTicker(tidyEvery)
	defer flush.Stop()
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushEvery)
			defer cancel()
			return a.flush(last)
		case <-flush.C:
			_ = a.flush(ctx) // what could not be written is kept for the next one
		case now := <-tidy.C:
			_ = a.sessions.DeleteStale(ctx, now.Add(-idleTime), now.Add(-absoluteTime)) // the next one does
		}
	}
}

// ForgetAll forgets every identity: what was told of them may have been missed.
func (a *Accounts) ForgetAll() {
	a.byKey.dropIf(func(*entry) bool { return true })
	a.bySession.dropIf(func(*entry) bool { return true })
}

// SessionEnded forgets a session that another instance ended.
func (a *Accounts) SessionEnded(hash string) {
	var key sum
	if n, err := hex.Decode(key[:], []byte(hash)); err == nil && n == len(key) {
		a.bySession.drop(key)
	}
}

// KeyRevoked forgets a key that another instance revoked or changed.
func (a *Accounts) KeyRevoked(hash string) {
	a.byKey.dropIf(func(e *entry) bool { return e.id.Key != nil && e.id.Key.Hash == hash })
}

// UserChanged forgets what was known of a user whom another instance changed.
func (a *Accounts) UserChanged(id string) {
	a.byKey.dropUser(id)
	a.bySession.dropUser(id)
}

func (a *Accounts) flush(ctx context.Context) error {
	keys, users := a.seen.take()
	if len(keys)+len(users) == 0 {
		return nil
	}
	if err := a.store.Seen(ctx, keys, users); err != nil {
		a.seen.merge(keys, users)
		return fmt.Errorf("note who was seen: %w", err)
	}
	return nil
}

// sightings collects when keys and users were last active, for one write every
// few seconds instead of one per request.
type sightings struct {
	mu          sync.Mutex
	keys, users map[string]time.Time
}

func newSightings() *sightings {
	return &sightings{keys: map[string]time.Time{}, users: map[string]time.Time{}}
}

// note remembers an identity as active. Once a second is enough: the lock is on
// the path of every request.
func (s *sightings) note(e *entry, now time.Time) {
	second := now.Unix()
	if e.noted.Load() == second || e.noted.Swap(second) == second {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[e.id.User.ID] = now
	if e.id.Key != nil {
		s.keys[e.id.Key.ID] = now
	}
}

func (s *sightings) take() (keys, users map[string]time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, users = s.keys, s.users
	s.keys, s.users = map[string]time.Time{}, map[string]time.Time{}
	return keys, users
}

// merge takes back what take gave; newer times stay.
func (s *sightings) merge(keys, users map[string]time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range keys {
		if at.After(s.keys[id]) {
			s.keys[id] = at
		}
	}
	for id, at := range users {
		if at.After(s.users[id]) {
			s.users[id] = at
		}
	}
}

// secret makes a 256-bit token and the digest it is kept under.
func secret() (plain, digest string) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	plain = base64.RawURLEncoding.EncodeToString(b[:])
	return plain, digestOf(plain)
}

// digestOf is what a token is stored under: it is random enough that a plain
// SHA-256 cannot be turned back.
func digestOf(plain string) string {
	sum := sha256.Sum256([]byte(plain))
	return hex.EncodeToString(sum[:])
}

// newID makes a public id of 80 random bits.
func newID(prefix string) string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + "_" + hex.EncodeToString(b[:])
}
