// Package secret keeps other people's secrets: it seals provider keys and
// tokens before they reach a database, makes the keyed digests under which
// API keys are looked up, and signs what others shall be able to check. What the
// secrets are for is none of its business.
//
// Every sealed value has a data key of its own (AES-256-GCM), which is wrapped
// by a key-encryption key of ONEMIND_SECRET_KEY. The associated data names the
// row a value belongs to, so that a ciphertext copied to another row does not
// open there.
//
// To rotate, put a new key first and keep the old ones behind it: what they
// sealed still opens, and what they digested is still found through MACs. A key
// can be dropped once nothing sealed or digested by it is left.
package secret

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// The failures callers can tell apart.
var (
	// ErrUnknownKey reports a value sealed by a key that is not given any more.
	ErrUnknownKey = errors.New("secret: sealed with a key that ONEMIND_SECRET_KEY does not hold")
	// ErrBroken reports a value that was changed, cut or belongs to another row.
	ErrBroken = errors.New("secret: the sealed value is damaged or belongs elsewhere")
)

const (
	version  = 1  // first byte of a sealed value
	idSize   = 8  // bytes of a key's id; it says which key, nothing about it
	keySize  = 32 // bytes of an AES-256 key
	maxKeys  = 16
	overhead = 12 + 16 // nonce and tag of one GCM seal
	header   = 1 + idSize
	wrapped  = keySize + overhead
)

// Box seals, opens and digests. It is safe for concurrent use.
type Box struct{ keys []key } // newest first

// key is one key-encryption key with what is derived from it.
type key struct {
	id   []byte
	wrap cipher.AEAD
	mac  []byte
	sign []byte // signing keys are derived from it; see Signer
}

// New builds a Box from base64 keys of 32 bytes each, newest first, with commas
// between them. Its errors name the place of a bad key, never the key.
func New(keys string) (*Box, error) {
	box := &Box{}
	for i, text := range strings.Split(keys, ",") {
		raw, err := decode(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("secret key %d: %w", i+1, err)
		}
		k, err := derive(raw)
		if err != nil {
			return nil, fmt.Errorf("secret key %d: %w", i+1, err)
		}
		for j, other := range box.keys {
			if bytes.Equal(other.id, k.id) {
				return nil, fmt.Errorf("secret key %d is the same as key %d", i+1, j+1)
			}
		}
		box.keys = append(box.keys, k)
	}
	if len(box.keys) > maxKeys {
		return nil, fmt.Errorf("at most %d secret keys are allowed, not %d", maxKeys, len(box.keys))
	}
	return box, nil
}

// Generate makes a new key in the form New reads.
func Generate() string {
	raw := make([]byte, keySize)
	rand.Read(raw) // never fails: crypto/rand ends the program instead
	return base64.StdEncoding.EncodeToString(raw)
}

// decode reads one key. A key that is all one byte is a placeholder somebody
// forgot to replace.
func decode(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != keySize {
		return nil, fmt.Errorf("must be base64 of exactly %d bytes", keySize)
	}
	if bytes.Count(raw, raw[:1]) == keySize {
		return nil, errors.New("is not random")
	}
	return raw, nil
}

// derive gives a key's id, wrapping cipher, digest key and what signs. Each use has its own
// label, so that knowing one tells nothing about another.
func derive(raw []byte) (key, error) {
	id, err := hkdf.Key(sha256.New, raw, nil, "onemind key id v1", idSize)
	if err != nil {
		return key{}, err
	}
	kek, err := hkdf.Key(sha256.New, raw, nil, "onemind key encryption v1", keySize)
	if err != nil {
		return key{}, err
	}
	mac, err := hkdf.Key(sha256.New, raw, nil, "onemind digest v1", keySize)
	if err != nil {
		return key{}, err
	}
	sign, err := hkdf.Key(sha256.New, raw, nil, "onemind signing v1", keySize)
	if err != nil {
		return key{}, err
	}
	wrap, err := newGCM(kek)
	return key{id: id, wrap: wrap, mac: mac, sign: sign}, err
}

func newGCM(raw []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Seal encrypts plain under the newest key and binds it to aad, the name of the
// row it is stored in. The result is one version byte, the key's id, the
// wrapped data key and the ciphertext: 97 bytes more than plain.
func (b *Box) Seal(plain []byte, aad string) []byte {
	k := b.keys[0]
	data := make([]byte, keySize)
	rand.Read(data)
	gcm, err := newGCM(data)
	if err != nil { // a 32-byte key always makes a cipher
		panic("secret: " + err.Error())
	}
	head := append([]byte{version}, k.id...)
	bound := bind(head, aad)
	sealed := k.wrap.Seal(head, nil, data, bound)
	return gcm.Seal(sealed, nil, plain, bound)
}

// Open decrypts what Seal made for the same aad, by whichever key sealed it.
func (b *Box) Open(sealed []byte, aad string) ([]byte, error) {
	if len(sealed) < header+wrapped+overhead || sealed[0] != version {
		return nil, ErrBroken
	}
	head, rest := sealed[:header], sealed[header:]
	for _, k := range b.keys {
		if !bytes.Equal(k.id, head[1:]) {
			continue
		}
		bound := bind(head, aad)
		data, err := k.wrap.Open(nil, nil, rest[:wrapped], bound)
		if err != nil {
			return nil, ErrBroken
		}
		gcm, err := newGCM(data)
		if err != nil {
			return nil, ErrBroken
		}
		plain, err := gcm.Open(nil, nil, rest[wrapped:], bound)
		if err != nil {
			return nil, ErrBroken
		}
		return plain, nil
	}
	return nil, ErrUnknownKey
}

// bind is the associated data of both layers: version and key id are protected too.
func bind(head []byte, aad string) []byte {
	return append(bytes.Clone(head), aad...)
}

// MAC gives the HMAC-SHA-256 of data under the newest key: what a new API key
// is stored as.
func (b *Box) MAC(data []byte) []byte { return b.keys[0].digest(data) }

// MACs gives the digest under every key, newest first: what an API key is
// looked up by, so that it outlives a rotation as long as the key it was stored
// under stays in the list.
func (b *Box) MACs(data []byte) [][]byte {
	macs := make([][]byte, 0, len(b.keys))
	for _, k := range b.keys {
		macs = append(macs, k.digest(data))
	}
	return macs
}

func (k key) digest(data []byte) []byte {
	h := hmac.New(sha256.New, k.mac)
	h.Write(data)
	return h.Sum(nil)
}

// String hides the keys from logs.
func (b *Box) String() string { return fmt.Sprintf("[secret box of %d keys]", len(b.keys)) }

// GoString hides the keys from %#v.
func (b *Box) GoString() string { return b.String() }
