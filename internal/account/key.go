package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"onemind/internal/fault"
)

// A key looks like om_<id>_<secret><sum>: letters and digits only between the
// underscores, so that a double click selects it whole and scanners for leaked
// secrets find it. The sum refuses a mistyped key without asking the store.
const (
	keyStart   = "om_"
	keyID      = 8  // characters that people see of a key
	keySecret  = 43 // characters; 256 bits
	keySum     = 6  // characters; the CRC-32 of all before it
	keyPrefix  = len(keyStart) + keyID
	keyBody    = keyPrefix + 1 + keySecret
	keyLength  = keyBody + keySum
	alphabet62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// newKey makes a key at random.
func newKey() string {
	body := keyStart + randomText(keyID) + "_" + randomText(keySecret)
	return body + checksum(body)
}

// randomText gives n letters and digits, each as likely as the others.
func randomText(n int) string {
	const fair = 256 - 256%len(alphabet62) // bytes from here on would favour the first letters
	text := make([]byte, 0, n)
	for len(text) < n {
		var b [64]byte
		_, _ = rand.Read(b[:]) // never fails
		for _, c := range b {
			if int(c) < fair && len(text) < n {
				text = append(text, alphabet62[int(c)%len(alphabet62)])
			}
		}
	}
	return string(text)
}

func checksum(body string) string {
	var text [keySum]byte
	rest := crc32.ChecksumIEEE([]byte(body))
	for i := range text {
		text[keySum-1-i] = alphabet62[rest%uint32(len(alphabet62))]
		rest /= uint32(len(alphabet62))
	}
	return string(text[:])
}

// keyShaped tells whether a text can be a key, but for its sum.
func keyShaped(plain string) bool {
	return len(plain) == keyLength && strings.HasPrefix(plain, keyStart) && plain[keyPrefix] == '_'
}

// wellFormed tells whether a text can be a key.
func wellFormed(plain string) bool {
	if !keyShaped(plain) || checksum(plain[:keyBody]) != plain[keyBody:] {
		return false
	}
	for _, part := range []string{plain[len(keyStart):keyPrefix], plain[keyPrefix+1:]} {
		for i := range len(part) {
			if strings.IndexByte(alphabet62, part[i]) < 0 {
				return false
			}
		}
	}
	return true
}

// maxKeys is how many keys one user may have.
const maxKeys = 100

// NewKey is what an API key is made from.
type NewKey struct {
	Name          string
	CreditsPerDay int64 // nano-dollars it may spend in one day (UTC); 0: no cap of its own
	ResponseCache bool  // its repeated requests are answered from the response cache
}

// KeyChange is what UpdateKey replaces; nil leaves a field.
type KeyChange struct {
	Name          *string
	CreditsPerDay *int64
	ResponseCache *bool
}

// check brings the name into the form it is kept in and refuses what makes no sense.
func (c *KeyChange) check() error {
	if c.Name != nil {
		name, err := checkName(*c.Name)
		if err != nil {
			return err
		}
		if name == "" {
			return fault.Field("name", "is required")
		}
		c.Name = &name
	}
	if c.CreditsPerDay != nil && (*c.CreditsPerDay < 0 || *c.CreditsPerDay > maxSpend) {
		return fault.Field("credits_per_day_nano_usd", "must be between 0 and %d", int64(maxSpend))
	}
	return nil
}

// CreateKey makes an API key. The plain key exists in the reply only.
func (a *Accounts) CreateKey(ctx context.Context, user string, in NewKey) (Key, string, error) {
	fail := func(err error) (Key, string, error) { return Key{}, "", err }
	checked := KeyChange{Name: &in.Name, CreditsPerDay: &in.CreditsPerDay}
	if err := checked.check(); err != nil {
		return fail(err)
	}
	a.making.Lock() // two at once could otherwise both take the last place
	defer a.making.Unlock()
	have, err := a.store.Keys(ctx, user)
	if err != nil {
		return fail(fmt.Errorf("list the keys: %w", err))
	}
	if len(have) >= maxKeys {
		return fail(fault.New(fault.Conflict, "too_many_keys", "There are %d keys already. Revoke one first.", maxKeys))
	}
	plain := newKey()
	k := Key{ID: newID("key"), User: user, Name: *checked.Name, Prefix: plain[:keyPrefix],
		Hash: hex.EncodeToString(a.mac([]byte(plain))[0]), CreatedAt: time.Now(),
		CreditsPerDay: in.CreditsPerDay, ResponseCache: in.ResponseCache}
	if err := a.store.CreateKey(ctx, k); err != nil {
		return fail(fmt.Errorf("create the key: %w", err))
	}
	return k, plain, nil
}

// Keys lists a user's keys.
func (a *Accounts) Keys(ctx context.Context, user string) ([]Key, error) {
	return a.store.Keys(ctx, user)
}

// UpdateKey changes a key of the user and gives it back, or reports ErrNoKey. It
// takes effect with the next request.
func (a *Accounts) UpdateKey(ctx context.Context, user, id string, c KeyChange) (Key, error) {
	if err := c.check(); err != nil {
		return Key{}, err
	}
	k, err := a.store.UpdateKey(context.WithoutCancel(ctx), user, id, c)
	if err != nil {
		return Key{}, fmt.Errorf("change the key: %w", err)
	}
	a.KeyRevoked(k.Hash) // what is remembered of it is loaded anew
	a.changed(Changed{User: user, KeyHash: k.Hash})
	return k, nil
}

// DeleteKey revokes a key of the user, or reports ErrNoKey.
func (a *Accounts) DeleteKey(ctx context.Context, user, id string) error {
	k, err := a.store.DeleteKey(context.WithoutCancel(ctx), user, id)
	if err != nil {
		return fmt.Errorf("revoke the key: %w", err)
	}
	a.KeyRevoked(k.Hash)
	a.changed(Changed{User: user, KeyHash: k.Hash})
	return nil
}

// IdentifyKey gives the user of an API key, or ErrBadKey. It is on the path of
// every call: a key that was seen within maxAge is known by its sum alone, and
// no store is asked.
func (a *Accounts) IdentifyKey(ctx context.Context, plain string, now time.Time) (Identity, error) {
	if !keyShaped(plain) {
		return Identity{}, ErrBadKey
	}
	digest := sha256.Sum256([]byte(plain))
	e, epoch := a.byKey.get(digest, now, a.fresh())
	if e == nil {
		if !wellFormed(plain) {
			return Identity{}, ErrBadKey
		}
		var err error
		if e, err = a.loadKey(ctx, plain, now); err != nil {
			return Identity{}, err
		}
		a.byKey.put(digest, e, epoch)
	}
	a.seen.note(e, now)
	return e.id, nil
}

func (a *Accounts) loadKey(ctx context.Context, plain string, now time.Time) (*entry, error) {
	k, err := a.storedKey(ctx, plain)
	if err != nil {
		return nil, err
	}
	u, err := a.active(ctx, k.User)
	if errors.Is(err, ErrNoUser) {
		return nil, ErrBadKey
	}
	if err != nil {
		return nil, err
	}
	return &entry{id: Identity{User: u, Key: &k}, loaded: now}, nil
}

// storedKey looks a key up under each key-encryption key's HMAC: it may have
// been made before the newest one.
func (a *Accounts) storedKey(ctx context.Context, plain string) (Key, error) {
	for _, mac := range a.mac([]byte(plain)) {
		k, err := a.store.KeyByHash(ctx, hex.EncodeToString(mac))
		if err == nil {
			return k, nil
		}
		if !errors.Is(err, ErrNoKey) {
			return Key{}, fmt.Errorf("look up the key: %w", err)
		}
	}
	return Key{}, ErrBadKey
}
