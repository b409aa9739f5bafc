package catalog

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
)

// Sealer keeps provider keys unreadable outside this process; *secret.Box is
// one. What is sealed for one aad does not open for another.
type Sealer interface {
	Seal(plain []byte, aad string) []byte
	Open(sealed []byte, aad string) ([]byte, error)
}

// Bounds of a provider's keys.
const (
	maxKeys    = 20
	maxKeySize = 4096 // bytes; service-account tokens are the longest, about 2 KB
)

// KeyInfo is what may be shown of a provider's key.
type KeyInfo struct {
	ID        string    `json:"id"`
	Last4     string    `json:"last4"` // empty when the key is too short to show a part of it
	CreatedAt time.Time `json:"created_at"`
}

// keyring is a provider's keys, opened.
type keyring struct {
	keys []llm.Key
	info []KeyInfo // of stored keys, readable or not; none for a key from the environment
}

// rowOf binds a sealed key to its row.
func rowOf(provider, id string) string { return "provider_key:" + provider + ":" + id }

// sealKeys makes the rows of a provider's keys.
func sealKeys(s Sealer, provider string, keys []string, now time.Time) []SealedKey {
	rows := make([]SealedKey, 0, len(keys))
	for i, key := range keys {
		id := fmt.Sprintf("key_%02d%s", i, rand.Text()) // the number keeps their order
		rows = append(rows, SealedKey{ID: id, Provider: provider, Sealed: s.Seal([]byte(key), rowOf(provider, id)), Last4: last4(key), CreatedAt: now})
	}
	return rows
}

// last4 is the end of a key by which people tell keys apart. A short key would
// show too much of itself.
func last4(key string) string {
	if len(key) < 12 {
		return ""
	}
	return key[len(key)-4:]
}

// openKeys opens what is stored. A key that cannot be opened counts as none, so
// that the rest goes on; the error says which.
func openKeys(s Sealer, sealed []SealedKey) (map[string]keyring, error) {
	rings := map[string]keyring{}
	var failed []error
	sealed = slices.Clone(sealed)
	slices.SortStableFunc(sealed, func(a, b SealedKey) int { return a.CreatedAt.Compare(b.CreatedAt) })
	for _, row := range sealed {
		ring := rings[row.Provider]
		ring.info = append(ring.info, KeyInfo{ID: row.ID, Last4: row.Last4, CreatedAt: row.CreatedAt})
		if plain, err := s.Open(row.Sealed, rowOf(row.Provider, row.ID)); err == nil {
			ring.keys = append(ring.keys, llm.NewKey(string(plain)))
		} else {
			failed = append(failed, fmt.Errorf("open a key of provider %s: %w", row.Provider, err))
		}
		rings[row.Provider] = ring
	}
	return rings, errors.Join(failed...)
}

// fill takes keys from the environment for providers that have none stored.
func fill(rings map[string]keyring, providers []Provider, env func(string) string) {
	for _, p := range providers {
		if ring := rings[p.ID]; len(ring.keys) == 0 && p.KeyEnv != "" && env != nil {
			if key := env(p.KeyEnv); key != "" && badKey(key) == "" {
				ring.keys = []llm.Key{llm.NewKey(key)}
				rings[p.ID] = ring
			}
		}
	}
}

// equal reports whether the ring holds exactly these keys.
func (r keyring) equal(keys []string) bool {
	return len(r.info) == len(keys) && len(r.keys) == len(keys) &&
		slices.EqualFunc(r.keys, keys, func(a llm.Key, b string) bool { return a.Reveal() == b })
}

// checkKeys refuses keys that no provider gives out. It never repeats one.
func checkKeys(provider string, keys []string) *fault.Error {
	path := "providers[" + provider + "].api_keys"
	if len(keys) > maxKeys {
		return fault.Field(path, "must be at most %d keys", maxKeys)
	}
	for i, key := range keys {
		if rule := badKey(key); rule != "" {
			return fault.Field(fmt.Sprintf("%s[%d]", path, i), "%s", rule)
		}
		if slices.Contains(keys[:i], key) {
			return fault.Field(fmt.Sprintf("%s[%d]", path, i), "must not be given twice")
		}
	}
	return nil
}

// badKey says what is wrong with a key, if anything: it has to fit a header.
func badKey(key string) string {
	if key == "" || len(key) > maxKeySize {
		return fmt.Sprintf("must be 1 to %d characters long", maxKeySize)
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return "must be plain visible characters without spaces"
		}
	}
	return ""
}
