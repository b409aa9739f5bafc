package account

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/fault"
)

func TestKeyForm(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		key := newKey()
		if !wellFormed(key) || len(key) != 61 || seen[key] {
			t.Fatalf("made %q", key)
		}
		seen[key] = true
	}
	key := newKey()
	for i := range len(key) {
		for _, c := range []byte{key[i] ^ 1, '_', '-', ' ', 0, 0xff} {
			if c != key[i] && wellFormed(key[:i]+string([]byte{c})+key[i+1:]) {
				t.Errorf("%q with %q at %d is well formed", key, c, i)
			}
		}
	}
	odd := "om_abcdefg-_" + strings.Repeat("a", keySecret)
	for _, bad := range []string{"", "om_", key[1:], key + "0", strings.ToUpper(key), " " + key[:60], odd + checksum(odd)} {
		if wellFormed(bad) {
			t.Errorf("%q is well formed", bad)
		}
	}
}

// The letters of a key are equally likely: 62,000 of them deviate from 1,000
// each by less than a fifth (six standard deviations).
func TestRandomText(t *testing.T) {
	t.Parallel()
	count := map[rune]int{}
	for _, c := range randomText(62_000) {
		count[c]++
	}
	for _, c := range alphabet62 {
		if count[c] < 800 || count[c] > 1200 {
			t.Errorf("%q came %d times", c, count[c])
		}
	}
}

func TestPHC(t *testing.T) {
	t.Parallel()
	ctx, h := t.Context(), newHasher()
	one, err := h.hash(ctx, "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := readPHC(one); !ok || d.String() != one || len(d.salt) != 16 || len(d.sum) != 32 || outdated(one) {
		t.Errorf("%q reads as %+v", one, d)
	}
	salt, sum := "c2FsdHNhbHRzYWx0c2FsdA", strings.Repeat("QUFB", 8)
	for _, bad := range []string{
		"", "plain", "$argon2id$", "$2a$10$abc", strings.Replace(one, "argon2id", "argon2i", 1), strings.Replace(one, "v=19", "v=16", 1),
		"$argon2id$v=19$m=47104,t=0,p=1$" + salt + "$" + sum, "$argon2id$v=19$m=47104,t=1,p=0$" + salt + "$" + sum,
		"$argon2id$v=19$m=2000000,t=1,p=1$" + salt + "$" + sum, "$argon2id$v=19$m=47104,t=99,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=47104,t=1,p=1x$" + salt + "$" + sum, "$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$",
		"$argon2id$v=19$m=47104,t=1,p=1$?$" + sum, one + "$", one + "!",
	} {
		if _, ok := readPHC(bad); ok || !outdated(bad) {
			t.Errorf("%q is a digest", bad)
		}
		if right, err := h.verify(ctx, "", bad); right || err != nil {
			t.Errorf("%q lets in without a password: %v", bad, err)
		}
	}
}

// Whoever signs in when too many do waits ten seconds at most, and an address
// without an account waits like one with: it is hashed as well.
func TestBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHasher()
		for range hashers {
			h.slots <- struct{}{}
		}
		begin := time.Now()
		for what, call := range map[string]func() error{
			"hash":             func() error { _, err := h.hash(t.Context(), "x"); return err },
			"verify":           func() error { _, err := h.verify(t.Context(), "x", "$argon2id$v=19$"); return err },
			"verify of nobody": func() error { _, err := h.verify(t.Context(), "x", ""); return err },
		} {
			err := call()
			if f := fault.From(err); f.Kind != fault.Limited || f.Code != "busy" || f.Retry <= 0 {
				t.Errorf("%s: %v", what, err)
			}
		}
		if took := time.Since(begin); took != 3*hashWait {
			t.Errorf("waited %v", took)
		}
		go func() {
			time.Sleep(time.Second)
			<-h.slots
		}()
		if ok, err := h.verify(t.Context(), "x", ""); ok || err != nil {
			t.Errorf("a slot came free: %v, %v", ok, err)
		}
	})
}

// Every attempt computes a whole hash, whoever it is for: the memory it takes
// shows that, and the clock would not on a busy machine.
func TestNobodyIsHashedToo(t *testing.T) {
	h := newHasher()
	known, err := h.hash(t.Context(), "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	for what, in := range map[string][2]string{
		"right": {"correct horse battery", known}, "wrong": {"x", known}, "too long": {strings.Repeat("x", 10_000), known},
		"nobody": {"x", ""}, "an unknown scheme": {"x", "$2a$10$abc"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ok, err := h.verify(t.Context(), in[0], in[1])
		runtime.ReadMemStats(&after)
		if err != nil || ok != (what == "right") {
			t.Errorf("%s: %v, %v", what, ok, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took < hashMemory<<10 {
			t.Errorf("%s: took %d bytes, no hash was computed", what, took)
		}
	}
}

func TestCommon(t *testing.T) {
	t.Parallel()
	n := 0
	for known := range strings.FieldsSeq(common) {
		if len(known) < minPassword || known != strings.ToLower(known) {
			t.Errorf("%q is of no use in the list", known)
		}
		n++
	}
	if n < 300 {
		t.Errorf("%d passwords", n)
	}
	for password, want := range map[string]bool{"password": true, "PassWord1": true, "11111111": true, "password iloveyou": false,
		"12345678 123456789": false, "correct horse battery": false} {
		if isCommon(password) != want {
			t.Errorf("%q is common: %v", password, !want)
		}
	}
}

// An address that was accepted is found again under its own form.
func TestNormal(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"ann@example.org", "ANN+x@Example.ORG ", "o'brien@example.org", "ünï@exämple.org", "İ@example.org", "a@[192.0.2.1]"} {
		once, err := normal(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
		}
		if twice, err := normal(once); err != nil || twice != once {
			t.Errorf("%q becomes %q, then %q, %v", in, once, twice, err)
		}
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	c, now := newCache(), time.Now()
	key := func(n int) (k sum) { copy(k[:], fmt.Sprint(n)); return k }
	entryOf := func(user string) *entry { return &entry{id: Identity{User: User{ID: user}}, loaded: now} }
	for n := range maxEntries + 500 {
		_, epoch := c.get(key(n), now, maxAge)
		c.put(key(n), entryOf(fmt.Sprint(n%2)), epoch)
	}
	if len(c.entries) != maxEntries {
		t.Errorf("%d entries, want %d", len(c.entries), maxEntries)
	}
	last := key(maxEntries + 499)
	if e, _ := c.get(last, now, maxAge); e == nil {
		t.Error("the newest entry is gone")
	}
	if e, _ := c.get(last, now.Add(maxAge), maxAge); e != nil {
		t.Error("an entry is good for ever")
	}
	_, epoch := c.get(last, now, maxAge)
	c.dropUser("0")
	c.put(last, entryOf("1"), epoch)
	for k, e := range c.entries {
		if e.id.User.ID != "1" || k == last && e.loaded.IsZero() {
			t.Fatalf("%s is still there", e.id.User.ID)
		}
	}
	_, epoch = c.get(last, now, maxAge)
	c.drop(last)
	c.put(last, entryOf("1"), epoch)
	if e, _ := c.get(last, now, maxAge); e != nil {
		t.Error("a look-up that began before brought back what was dropped")
	}
}

func TestSightings(t *testing.T) {
	t.Parallel()
	s, now := newSightings(), time.Now()
	e := &entry{id: Identity{User: User{ID: "ann"}, Key: &Key{ID: "key"}}}
	s.note(e, now)
	keys, users := s.take()
	s.note(e, now.Add(time.Minute))
	s.merge(keys, users)
	s.merge(map[string]time.Time{"old": now}, nil)
	keys, users = s.take()
	if want := now.Add(time.Minute); !keys["key"].Equal(want) || !users["ann"].Equal(want) || !keys["old"].Equal(now) {
		t.Errorf("noted %v and %v", keys, users)
	}
}

// FuzzIdentifyKey: no text is well formed but the keys we make, and the parser
// takes anything.
func FuzzIdentifyKey(f *testing.F) {
	key := newKey()
	for _, seed := range []string{"", "om_", key, key[:60], key + "0", "sk-1234", strings.Repeat("om_", 21), "om_\x00\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, plain string) {
		ok := wellFormed(plain)
		if ok && (len(plain) != keyLength || checksum(plain[:keyBody]) != plain[keyBody:] || strings.Trim(plain, alphabet62+"_") != "") {
			t.Errorf("%q is well formed", plain)
		}
		if ok {
			i := rand.IntN(len(plain))
			if c := "z"; plain[i] != 'z' && wellFormed(plain[:i]+c+plain[i+1:]) {
				t.Errorf("%q is well formed with z at %d", plain, i)
			}
			return
		}
		// A text that is no key asks nobody: the store is not even there.
		_, err := New(nil, nil, nil, nil, nil).IdentifyKey(t.Context(), plain, time.Now())
		if !errors.Is(err, ErrBadKey) {
			t.Errorf("%q: %v", plain, err)
		}
	})
}
