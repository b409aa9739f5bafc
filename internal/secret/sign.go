package secret

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// The failures of a check that callers can tell apart.
var (
	// ErrUnknownSigner reports a signature by a key that is not among those given.
	ErrUnknownSigner = errors.New("secret: signed with a key that is not known")
	// ErrForged reports a signature that is not of what it was given with.
	ErrForged = errors.New("secret: the signature does not fit")
)

// Signer signs with Ed25519. The newest of the secret keys signs; what older ones
// signed can still be checked as long as they stay in the list. It is safe for
// concurrent use.
type Signer struct {
	private ed25519.PrivateKey
	id      string
	public  Verifier
}

// PublicKey is the public half of a signing key.
type PublicKey struct {
	ID  string // its JWK thumbprint (RFC 7638, SHA-256, base64url)
	Key ed25519.PublicKey
}

// Signer derives the keys that sign for one use, such as "receipt". The signature
// for one use is none for another.
func (b *Box) Signer(use string) (*Signer, error) {
	s := &Signer{}
	for i, k := range b.keys {
		seed, err := hkdf.Key(sha256.New, k.sign, nil, "onemind signing v1 "+use, ed25519.SeedSize)
		if err != nil {
			return nil, fmt.Errorf("derive a signing key: %w", err)
		}
		private := ed25519.NewKeyFromSeed(seed)
		public := publicKey(private.Public().(ed25519.PublicKey))
		if i == 0 {
			s.private, s.id = private, public.ID
		}
		s.public = append(s.public, public)
	}
	return s, nil
}

// Sign gives the signature of payload, 64 bytes, and the id of the key that made it.
// The same payload has the same signature.
func (s *Signer) Sign(payload []byte) (keyID string, signature []byte) {
	return s.id, ed25519.Sign(s.private, payload)
}

// PublicKeys are the keys that check what this Signer signs and has signed, the one
// that signs now first.
func (s *Signer) PublicKeys() Verifier { return s.public }

// String hides the key from logs.
func (s *Signer) String() string { return "[signer " + s.id + "]" }

// GoString hides the key from %#v.
func (s *Signer) GoString() string { return s.String() }

// Verifier is a list of public keys.
type Verifier []PublicKey

// Verify checks a signature: ErrUnknownSigner, ErrForged, or nil when it is right.
func (v Verifier) Verify(keyID string, payload, signature []byte) error {
	for _, k := range v {
		if k.ID != keyID {
			continue
		}
		if !ed25519.Verify(k.Key, payload, signature) {
			return ErrForged
		}
		return nil
	}
	return ErrUnknownSigner
}

// jwk is an Ed25519 key as RFC 8037 writes it.
type jwk struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	Alg   string `json:"alg,omitempty"`
	Use   string `json:"use,omitempty"`
	ID    string `json:"kid,omitempty"`
	X     string `json:"x"`
}

// JWKS gives the keys as a JSON Web Key Set (RFC 7517, RFC 8037).
func (v Verifier) JWKS() []byte {
	set := struct {
		Keys []jwk `json:"keys"`
	}{[]jwk{}}
	for _, k := range v {
		set.Keys = append(set.Keys, jwk{Type: "OKP", Curve: "Ed25519", Alg: "EdDSA", Use: "sig", ID: k.ID, X: base64.RawURLEncoding.EncodeToString(k.Key)})
	}
	out, err := json.Marshal(set)
	if err != nil { // strings always can be written
		panic("secret: " + err.Error())
	}
	return append(out, '\n')
}

// ParsePublicKeys reads public keys: a JSON Web Key Set or one JSON Web Key, PEM
// blocks as openssl writes them, or one key of 32 bytes in base64. Of a set the keys
// of other kinds are left out; none at all is an error. A key's id is computed, not
// believed.
func ParsePublicKeys(text []byte) (Verifier, error) {
	plain := strings.TrimSpace(string(text))
	var keys Verifier
	var err error
	switch {
	case strings.HasPrefix(plain, "{"):
		keys, err = parseJWKS([]byte(plain))
	case strings.HasPrefix(plain, "-----BEGIN"):
		keys, err = parsePEM([]byte(plain))
	default:
		raw, ok := unbase64(plain)
		if !ok {
			return nil, errors.New("must be a JSON Web Key Set, a PEM file or base64 of 32 bytes")
		}
		keys = Verifier{publicKey(raw)}
	}
	if err == nil && len(keys) == 0 {
		err = errors.New("has no Ed25519 key in it")
	}
	return keys, err
}

func parseJWKS(text []byte) (keys Verifier, err error) {
	var set struct {
		jwk
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("is not a JSON Web Key Set: %w", err)
	}
	for _, k := range append(set.Keys, set.jwk) {
		if k.Type != "OKP" || k.Curve != "Ed25519" {
			continue
		}
		raw, ok := unbase64(k.X)
		if !ok {
			return nil, errors.New("has an Ed25519 key that is not base64url of 32 bytes")
		}
		keys = append(keys, publicKey(raw))
	}
	return keys, nil
}

func parsePEM(text []byte) (keys Verifier, err error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return keys, nil
		}
		text = rest
		if block.Type != "PUBLIC KEY" {
			continue
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("is not a public key: %w", err)
		}
		if k, ok := key.(ed25519.PublicKey); ok {
			keys = append(keys, publicKey(k))
		}
	}
}

// unbase64 reads 32 bytes in either alphabet, padded or not.
func unbase64(text string) ([]byte, bool) {
	text = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return raw, err == nil && len(raw) == ed25519.PublicKeySize
}

// publicKey computes a key's id: the digest of its JWK's required members in the
// order of their names, without space (RFC 7638).
func publicKey(key ed25519.PublicKey) PublicKey {
	digest := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(key) + `"}`))
	return PublicKey{ID: base64.RawURLEncoding.EncodeToString(digest[:]), Key: key}
}
