package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"onemind/internal/fault"
)

// Parameters of argon2id, from OWASP ASVS 5.0 appendix C: 46 MiB, one pass, one
// lane; about 45 ms of a core.
const (
	hashMemory = 46 << 10 // KiB
	hashPasses = 1
	hashLanes  = 1
	hashLength = 32
	saltLength = 16
)

// At most three passwords are hashed at once: each takes 46 MiB, and a burst of
// sign-ins must not take the memory and the cores that answers need.
const (
	hashers  = 3
	hashWait = 10 * time.Second
)

// hasher hashes passwords, a few at a time.
type hasher struct{ slots chan struct{} }

func newHasher() *hasher { return &hasher{make(chan struct{}, hashers)} }

// enter waits for a slot, for hashWait at most.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	wait := time.NewTimer(hashWait)
	defer wait.Stop()
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-wait.C:
		return nil, fault.New(fault.Limited, "busy", "Too many people are signing in right now.").After(hashWait / 2)
	}
}

// hash gives a password's digest in PHC form.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	d := phc{memory: hashMemory, passes: hashPasses, lanes: hashLanes, salt: make([]byte, saltLength)}
	_, _ = rand.Read(d.salt) // never fails
	d.sum = d.of(password, hashLength)
	return d.String(), nil
}

// verify compares a password with a digest. Without one it takes as long, so
// that the time tells nobody which addresses have accounts.
func (h *hasher) verify(ctx context.Context, password, digest string) (bool, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	d, ok := readPHC(digest)
	if !ok {
		d = phc{memory: hashMemory, passes: hashPasses, lanes: hashLanes, salt: make([]byte, saltLength), sum: make([]byte, hashLength)}
	}
	// Nobody's password is longer, and the first step of argon2 reads all of it.
	if len(password) > maxPassword*utf8.UTFMax {
		password, ok = "", false
	}
	same := subtle.ConstantTimeCompare(d.of(password, len(d.sum)), d.sum) == 1
	return same && ok, nil
}

// phc is a digest of argon2id in the form that names its own parameters:
// $argon2id$v=19$m=47104,t=1,p=1$salt$sum.
type phc struct {
	memory, passes uint32
	lanes          uint8
	salt, sum      []byte
}

func (d phc) of(password string, length int) []byte {
	return argon2.IDKey([]byte(password), d.salt, d.passes, d.memory, d.lanes, uint32(length)) //nolint:gosec // maxSum at most
}

func (d phc) String() string {
	return phcStart + d.parameters() + "$" + base64.RawStdEncoding.EncodeToString(d.salt) + "$" + base64.RawStdEncoding.EncodeToString(d.sum)
}

func (d phc) parameters() string { return fmt.Sprintf("m=%d,t=%d,p=%d", d.memory, d.passes, d.lanes) }

// What a digest may ask of us: a row that was tampered with must not take the
// machine's memory or time.
const (
	phcStart  = "$argon2id$v=19$"
	maxMemory = 1 << 20 // KiB
	maxPasses = 64
	maxSum    = 128 // bytes
)

func readPHC(digest string) (d phc, ok bool) {
	rest, ok := strings.CutPrefix(digest, phcStart)
	parts := strings.Split(rest, "$")
	if !ok || len(parts) != 3 {
		return phc{}, false
	}
	if _, err := fmt.Sscanf(parts[0], "m=%d,t=%d,p=%d", &d.memory, &d.passes, &d.lanes); err != nil || parts[0] != d.parameters() {
		return phc{}, false
	}
	var err1, err2 error
	d.salt, err1 = base64.RawStdEncoding.DecodeString(parts[1])
	d.sum, err2 = base64.RawStdEncoding.DecodeString(parts[2])
	ok = err1 == nil && err2 == nil && d.memory <= maxMemory && d.passes > 0 && d.passes <= maxPasses && d.lanes > 0 &&
		len(d.sum) >= saltLength && len(d.sum) <= maxSum
	return d, ok
}

// outdated tells whether a digest was made with other parameters than today's.
func outdated(digest string) bool {
	d, ok := readPHC(digest)
	return !ok || d.memory != hashMemory || d.passes != hashPasses || d.lanes != hashLanes || len(d.sum) != hashLength
}

// digest checks a new password of the account with an address and hashes it.
func (a *Accounts) digest(ctx context.Context, password, email string) (string, error) {
	if err := checkPassword(password, email); err != nil {
		return "", err
	}
	return a.hasher.hash(ctx, password)
}

// ChangePassword replaces a password by one the user chose and ends the user's
// other sessions. keep is the hash of the session that asks.
func (a *Accounts) ChangePassword(ctx context.Context, user, current, password, keep string) error {
	before, err := a.store.UserByID(ctx, user)
	if err != nil {
		return fmt.Errorf("load the user: %w", err)
	}
	ok, err := a.hasher.verify(ctx, current, before.Password)
	if err != nil {
		return err
	}
	if !ok {
		return fault.Field("current_password", "is wrong")
	}
	return a.replace(ctx, before, password, keep)
}

// SetPassword replaces a password, whatever it was, and signs the user out
// everywhere.
func (a *Accounts) SetPassword(ctx context.Context, user, password string) error {
	before, err := a.store.UserByID(ctx, user)
	if err != nil {
		return fmt.Errorf("load the user: %w", err)
	}
	return a.replace(ctx, before, password, "")
}

// replace stores a new password, unless another one came first, and ends every
// session but keep.
func (a *Accounts) replace(ctx context.Context, before User, password, keep string) error {
	digest, err := a.digest(ctx, password, before.Email)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // a new password with the old sessions would be half a change
	_, err = a.edit(ctx, before.ID, func(u *User) error {
		if u.Password != before.Password {
			return fault.New(fault.Conflict, "password_changed", "The password was changed meanwhile. Try again.")
		}
		u.Password = digest
		return nil
	})
	if err != nil {
		return err
	}
	return a.RevokeOthers(ctx, before.ID, keep)
}

// Bounds of a password, in characters.
const (
	minPassword = 8
	maxPassword = 128
)

func checkPassword(password, email string) error {
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return fault.Field("password", "must be text")
	case n < minPassword || n > maxPassword:
		return fault.Field("password", "must have %d to %d characters", minPassword, maxPassword)
	case strings.EqualFold(password, email):
		return fault.Field("password", "must not be the e-mail address")
	case isCommon(password):
		return fault.Field("password", "is one of the most common passwords; choose another")
	}
	return nil
}
