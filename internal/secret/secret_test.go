package secret_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"onemind/internal/secret"
)

func open(t testing.TB, keys ...string) *secret.Box {
	t.Helper()
	box, err := secret.New(strings.Join(keys, ","))
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestSealOpens(t *testing.T) {
	box := open(t, secret.Generate())
	rapid.Check(t, func(t *rapid.T) {
		plain, aad := rapid.SliceOf(rapid.Byte()).Draw(t, "plain"), rapid.String().Draw(t, "aad")
		sealed := box.Seal(plain, aad)
		if len(sealed) != len(plain)+97 {
			t.Fatalf("%d bytes became %d", len(plain), len(sealed))
		}
		got, err := box.Open(sealed, aad)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("opened %q, %v", got, err)
		}
		if _, err := box.Open(sealed, aad+"x"); !errors.Is(err, secret.ErrBroken) {
			t.Fatalf("another row's value opened: %v", err)
		}
		i := rapid.IntRange(0, len(sealed)-1).Draw(t, "i")
		sealed[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		if got, err := box.Open(sealed, aad); err == nil {
			t.Fatalf("a value changed at byte %d opened as %q", i, got)
		}
	})
}

func TestTwoSealsDiffer(t *testing.T) {
	box := open(t, secret.Generate())
	a, b := box.Seal([]byte("sk"), "row 1"), box.Seal([]byte("sk"), "row 1")
	if bytes.Equal(a[9:], b[9:]) || bytes.Equal(a[9:69], b[9:69]) {
		t.Error("two seals share a data key or a nonce")
	}
	// A data key moved under another body must not open it either.
	mixed := append(bytes.Clone(a[:69]), b[69:]...)
	if _, err := box.Open(mixed, "row 1"); !errors.Is(err, secret.ErrBroken) {
		t.Errorf("a swapped body opened: %v", err)
	}
}

func TestOpenCut(t *testing.T) {
	box := open(t, secret.Generate())
	sealed := box.Seal([]byte("sk-1234"), "row")
	for i := range sealed {
		if _, err := box.Open(sealed[:i], "row"); err == nil {
			t.Fatalf("%d of %d bytes opened", i, len(sealed))
		}
	}
}

func TestRotation(t *testing.T) {
	older, newer := secret.Generate(), secret.Generate()
	before, after, lost := open(t, older), open(t, newer, older), open(t, newer)
	sealed, mac := before.Seal([]byte("sk"), "row"), before.MAC([]byte("om_1"))

	if plain, err := after.Open(sealed, "row"); err != nil || string(plain) != "sk" {
		t.Errorf("after rotation: %q, %v", plain, err)
	}
	if _, err := lost.Open(sealed, "row"); !errors.Is(err, secret.ErrUnknownKey) {
		t.Errorf("without the old key: %v", err)
	}
	if _, err := before.Open(after.Seal([]byte("sk"), "row"), "row"); !errors.Is(err, secret.ErrUnknownKey) {
		t.Errorf("the newest key does not seal: %v", err)
	}
	macs := after.MACs([]byte("om_1"))
	if len(macs) != 2 || !bytes.Equal(macs[1], mac) || !bytes.Equal(macs[0], after.MAC([]byte("om_1"))) {
		t.Error("an API key stored before the rotation is not found after it")
	}
	if bytes.Equal(macs[0], macs[1]) || bytes.Equal(mac, before.MAC([]byte("om_2"))) {
		t.Error("digests do not depend on key and data")
	}
}

func TestBadKeys(t *testing.T) {
	good := secret.Generate()
	for name, keys := range map[string]string{
		"none":        "",
		"not base64":  "!!!",
		"too short":   base64.StdEncoding.EncodeToString(make([]byte, 31)),
		"all zero":    base64.StdEncoding.EncodeToString(make([]byte, 32)),
		"empty place": good + ",",
		"twice":       good + "," + good,
		"too many":    many(17),
	} {
		if _, err := secret.New(keys); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), good) {
			t.Errorf("%s: the error shows a key: %v", name, err)
		}
	}
	if _, err := secret.New(" " + good + " , " + secret.Generate() + "\n"); err != nil {
		t.Errorf("spaces around keys: %v", err)
	}
}

func many(n int) string {
	keys := []string{}
	for range n {
		keys = append(keys, secret.Generate())
	}
	return strings.Join(keys, ",")
}

func TestPrintsNothing(t *testing.T) {
	key := secret.Generate()
	box := open(t, key)
	raw, _ := base64.StdEncoding.DecodeString(key)
	for _, text := range []string{fmt.Sprint(box), fmt.Sprintf("%v %+v %#v", box, box, box)} {
		if strings.Contains(text, key) || strings.Contains(text, string(raw)) || !strings.Contains(text, "secret box") {
			t.Errorf("printed as %q", text)
		}
	}
}
