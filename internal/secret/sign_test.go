package secret_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"onemind/internal/secret"
)

func signer(t testing.TB, use string, keys ...string) *secret.Signer {
	t.Helper()
	box, err := secret.New(strings.Join(keys, ","))
	if err != nil {
		t.Fatal(err)
	}
	s, err := box.Signer(use)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSign(t *testing.T) {
	key := secret.Generate()
	s := signer(t, "receipt", key)
	payload := []byte("what is signed")
	id, signature := s.Sign(payload)
	keys := signer(t, "receipt", key).PublicKeys() // made again: the same
	if err := keys.Verify(id, payload, signature); err != nil {
		t.Fatal(err)
	}
	if _, again := s.Sign(payload); !bytes.Equal(signature, again) {
		t.Error("the same has two signatures")
	}
	if len(signature) != ed25519.SignatureSize || len(keys) != 1 {
		t.Errorf("%d bytes, %d keys", len(signature), len(keys))
	}
	if err := keys.Verify(id, []byte("what is signeD"), signature); !errors.Is(err, secret.ErrForged) {
		t.Errorf("another payload: %v", err)
	}
	if err := keys.Verify(id, payload, signature[:63]); !errors.Is(err, secret.ErrForged) {
		t.Errorf("a cut signature: %v", err)
	}
	if err := keys.Verify("x", payload, signature); !errors.Is(err, secret.ErrUnknownSigner) {
		t.Errorf("another key: %v", err)
	}
	if err := signer(t, "other", key).PublicKeys().Verify(id, payload, signature); !errors.Is(err, secret.ErrUnknownSigner) {
		t.Errorf("another use: %v", err)
	}
	if err := signer(t, "receipt", secret.Generate()).PublicKeys().Verify(id, payload, signature); !errors.Is(err, secret.ErrUnknownSigner) {
		t.Errorf("another secret key: %v", err)
	}
}

// The newest key signs, and what older ones signed can still be checked.
func TestSignAfterRotation(t *testing.T) {
	older, newer := secret.Generate(), secret.Generate()
	payload := []byte("p")
	id, signature := signer(t, "receipt", older).Sign(payload)
	s := signer(t, "receipt", newer, older)
	if err := s.PublicKeys().Verify(id, payload, signature); err != nil {
		t.Error(err)
	}
	if newest, _ := s.Sign(payload); newest == id || newest != s.PublicKeys()[0].ID {
		t.Errorf("%s signs", newest)
	}
	if err := signer(t, "receipt", newer).PublicKeys().Verify(id, payload, signature); !errors.Is(err, secret.ErrUnknownSigner) {
		t.Errorf("after the older one is dropped: %v", err)
	}
}

// Public keys come back from every form that is read.
func TestParsePublicKeys(t *testing.T) {
	s := signer(t, "receipt", secret.Generate(), secret.Generate())
	want := s.PublicKeys()
	der, err := x509.MarshalPKIXPublicKey(want[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(want.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	raw := []byte(want[0].Key)
	for what, tt := range map[string]struct {
		text string
		n    int
	}{
		"JWKS":            {string(want.JWKS()), 2},
		"one JWK":         {string(set.Keys[0]), 1},
		"other kinds too": {fmt.Sprintf(`{"keys":[{"kty":"RSA","n":"x"},%s,{"kty":"OKP","crv":"X25519","x":"AA"}]}`, set.Keys[0]), 1},
		"a false kid":     {strings.Replace(string(set.Keys[0]), want[0].ID, "mine", 1), 1},
		"PEM":             {string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), 1},
		"base64":          {base64.StdEncoding.EncodeToString(raw) + "\n", 1},
		"base64url":       {base64.RawURLEncoding.EncodeToString(raw), 1},
	} {
		got, err := secret.ParsePublicKeys([]byte(tt.text))
		if err != nil || len(got) != tt.n || got[0].ID != want[0].ID || !got[0].Key.Equal(want[0].Key) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	for what, text := range map[string]string{"nothing": "", "a word": "hello", "31 bytes": base64.StdEncoding.EncodeToString(raw[1:]), "an empty set": `{"keys":[]}`,
		"half JSON": `{"keys":`, "a short key": `{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`, "half PEM": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"} {
		if got, err := secret.ParsePublicKeys([]byte(text)); err == nil {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// The id of a key is that of RFC 8037, appendix A.3.
func TestKeyIDIsTheThumbprint(t *testing.T) {
	keys, err := secret.ParsePublicKeys([]byte("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))
	if err != nil || keys[0].ID != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("%v, %v", keys, err)
	}
}

// A signer that is printed shows nothing that is secret.
func TestSignerIsNotPrinted(t *testing.T) {
	key := secret.Generate()
	s := signer(t, "receipt", key)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s)} {
		if text != "[signer "+s.PublicKeys()[0].ID+"]" {
			t.Errorf("it prints %s", text)
		}
	}
}

func FuzzParsePublicKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo="))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := secret.ParsePublicKeys(text)
		if err != nil {
			return
		}
		if again, err := secret.ParsePublicKeys(keys.JWKS()); err != nil || len(again) != len(keys) || again[0].ID != keys[0].ID {
			t.Fatalf("%v became %v, %v", keys, again, err)
		}
	})
}
