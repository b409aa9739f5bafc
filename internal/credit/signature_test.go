package credit_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"onemind/internal/credit"
	"onemind/internal/money"
)

var errForged = errors.New("forged")

// notary signs with a key of its own.
type notary struct{ key ed25519.PrivateKey }

func newNotary() notary { return notary{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))} }

func (n notary) sign(payload []byte) (string, []byte) { return "k1", ed25519.Sign(n.key, payload) }

func (n notary) verify(id string, payload, signature []byte) error {
	if id != "k1" || !ed25519.Verify(n.key.Public().(ed25519.PublicKey), payload, signature) {
		return errForged
	}
	return nil
}

func fullReceipt() credit.Receipt {
	at := time.Date(2026, 11, 26, 10, 30, 0, 123_000_000, time.UTC)
	return credit.Receipt{ID: "ans_1", RequestID: "req_<&>\u2028é😀", User: "usr_1", Run: "run_1", Model: "gpt-4o", ServedBy: "claude", Provider: "anthropic",
		Outcome: credit.Finished, FinishReason: "stop", Tokens: money.Tokens{Input: 1200, Output: 340}, CountedBy: "provider", PriceVersion: "claude@3",
		Rates: money.Rates{Input: 2_500_000_000, Output: 10_000_000_000}, Markup: 3000, Charge: 8_320_000, Hold: 90_000_000, Released: 81_680_000, Revision: 42,
		StartedAt: at, FinishedAt: at.Add(3 * time.Second), FirstTokenMS: 412, TotalMS: 3000, Key: "key_1", QueueMS: 3,
		Attempts: []credit.Attempt{{Model: "gpt-4o", Provider: "openai", Key: 1, Outcome: "provider_overloaded", Status: 503, TookMS: 80, Detail: "their words"},
			{Model: "claude", Provider: "anthropic", Outcome: "ok", StartMS: 90, TookMS: 2900}},
		Parameters: []credit.Parameter{{Name: "temperature", Asked: "1.7", Sent: "1", Rule: "clamp"}}}
}

func signed(t testing.TB, n notary) []byte {
	t.Helper()
	doc, err := credit.Signed(fullReceipt(), n.sign)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestSignedReceipt(t *testing.T) {
	n := newNotary()
	doc := signed(t, n)
	got, err := credit.CheckSigned(doc, n.verify)
	if err != nil {
		t.Fatal(err)
	}
	want := fullReceipt().Public()
	if want.User = ""; !reflect.DeepEqual(got, want) {
		t.Errorf("it is read as %+v, want %+v", got, want)
	}
	if bytes.Contains(doc, []byte("their words")) || bytes.Contains(doc, []byte("usr_1")) {
		t.Errorf("it tells what is not public: %s", doc)
	}
	var tree map[string]any
	if err := json.Unmarshal(doc, &tree); err != nil {
		t.Fatal(err)
	}
	signature := tree["signature"].(map[string]any)
	if len(signature) != 3 || signature["algorithm"] != "Ed25519" || signature["key_id"] != "k1" || len(signature["value"].(string)) != 86 {
		t.Errorf("signature: %v", signature)
	}
}

// Space, the order of members and the spelling of strings make no difference.
func TestSignedReceiptWrittenAnew(t *testing.T) {
	n := newNotary()
	doc := signed(t, n)
	var tree map[string]any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	indented, err := json.MarshalIndent(tree, " ", "\t") // sorted, too
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	if err := e.Encode(tree); err != nil {
		t.Fatal(err)
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for what, text := range map[string]string{"indented": string(indented), "not escaped": plain.String(), "line ends": strings.ReplaceAll(string(indented), "\n", "\r\n"),
		"all escaped": strings.ReplaceAll(string(doc), "ans_1", `\u0061\u006E\u0073_1`), "a pair": strings.ReplaceAll(string(doc), "😀", `\ud83d\ude00`)} {
		if _, err := credit.CheckSigned([]byte(text), n.verify); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for range 50 {
		if text := anyOrder(t, doc, dice); !bytes.Equal(text, doc) {
			if _, err := credit.CheckSigned(text, n.verify); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
	}
}

// anyOrder writes an object's members, and those of the objects in it, in another order.
func anyOrder(t *testing.T, doc []byte, dice *rand.Rand) []byte {
	var object map[string]json.RawMessage
	if len(doc) == 0 || doc[0] != '{' || json.Unmarshal(doc, &object) != nil {
		return doc
	}
	var parts []string
	for name, value := range object {
		quoted, _ := json.Marshal(name)
		parts = append(parts, string(quoted)+": "+string(anyOrder(t, value, dice)))
	}
	dice.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return []byte("{" + strings.Join(parts, " ,") + "}")
}

// Whichever byte is changed, to whatever: it is not right any more.
func TestSignedReceiptChanged(t *testing.T) {
	n := newNotary()
	doc, err := credit.Canonical(signed(t, n)) // without escapes, which have two spellings
	if err != nil {
		t.Fatal(err)
	}
	for i := range doc {
		for _, flip := range []byte{1, 32} {
			changed := bytes.Clone(doc)
			changed[i] ^= flip
			if _, err := credit.CheckSigned(changed, n.verify); err == nil {
				t.Fatalf("byte %d of %s: %q for %q is right too", i, doc, changed[i], doc[i])
			}
		}
		cut := append(bytes.Clone(doc[:i]), doc[i+1:]...)
		if _, err := credit.CheckSigned(cut, n.verify); err == nil {
			t.Fatalf("without byte %d of %s it is right too", i, doc)
		}
	}
}

func TestSignedReceiptRefused(t *testing.T) {
	n := newNotary()
	doc := string(signed(t, n))
	change := func(old, now string) string {
		t.Helper()
		if strings.Count(doc, old) < 1 {
			t.Fatalf("there is no %s in %s", old, doc)
		}
		return strings.Replace(doc, old, now, 1)
	}
	at := strings.Index(doc, `,"signature"`)
	for what, tt := range map[string]struct {
		text string
		want error
	}{
		"a member more":           {change(`"markup_basis_points"`, `"refunded":true,"markup_basis_points"`), errForged},
		"a member more, null":     {change(`{"id"`, `{"x":null,"id"`), errForged},
		"a member more, inside":   {change(`"tokens":{`, `"tokens":{"x":0,`), errForged},
		"a member less":           {change(`"revision":42,`, ``), errForged},
		"a member twice":          {change(`{"id"`, `{"charge_nano_usd":1,"id"`), credit.ErrNotReceipt},
		"the same twice":          {change(`"revision":42,`, `"revision":42,"revision":42,`), credit.ErrNotReceipt},
		"a false number":          {change(`"revision":42`, `"revision":43`), errForged},
		"a number with a point":   {change(`"revision":42`, `"revision":42.0`), credit.ErrNotReceipt},
		"a number with an e":      {change(`"revision":42`, `"revision":42e0`), credit.ErrNotReceipt},
		"a zero below zero":       {change(`"estimated":false`, `"estimated":-0`), credit.ErrNotReceipt},
		"a number as text":        {change(`"revision":42`, `"revision":"42"`), errForged},
		"attempts in other order": {change(`"attempts":[`, `"attempts":[{},`), errForged},
		"half a character":        {change(`ans_1`, `ans_\ud800`), credit.ErrNotReceipt},
		"a character for another": {change(`é`, `e`+"\u0301"), errForged},
		"no signature":            {doc[:at] + "}", credit.ErrUnsigned},
		"an empty signature":      {doc[:at] + `,"signature":{}}`, credit.ErrUnsigned},
		"a signature null":        {doc[:at] + `,"signature":null}`, credit.ErrUnsigned},
		"a signature as text":     {doc[:at] + `,"signature":"x"}`, credit.ErrUnsigned},
		"more in the signature":   {change(`"algorithm"`, `"note":"x","algorithm"`), credit.ErrUnsigned},
		"another algorithm":       {change(`"Ed25519"`, `"none"`), credit.ErrUnsigned},
		"the name in capitals":    {change(`"algorithm"`, `"Algorithm"`), credit.ErrUnsigned},
		"another key":             {change(`"k1"`, `"k2"`), errForged},
		"no base64":               {change(`"value":"`, `"value":"!`), credit.ErrUnsigned},
		"a line in the base64":    {change(`"value":"`, `"value":"\n`), credit.ErrUnsigned},
		"a longer value":          {change(`"value":"`, `"value":"AAAA`), errForged},
		"no object":               {`[` + doc + `]`, credit.ErrNotReceipt},
		"more behind it":          {doc + `{}`, credit.ErrNotReceipt},
		"no JSON":                 {`hello`, credit.ErrNotReceipt},
		"nothing":                 {``, credit.ErrNotReceipt},
		"no UTF-8":                {change(`ans_1`, "ans_\xff"), credit.ErrNotReceipt},
		"a deep one":              {`{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, credit.ErrNotReceipt},
	} {
		if _, err := credit.CheckSigned([]byte(tt.text), n.verify); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", what, err, tt.want)
		}
	}
}

// A receipt that has no canonical form is not signed.
func TestSignedRefuses(t *testing.T) {
	r := fullReceipt()
	r.Hold = 1 << 53
	if doc, err := credit.Signed(r, newNotary().sign); !errors.Is(err, credit.ErrNotReceipt) {
		t.Errorf("%s, %v", doc, err)
	}
}

// The examples of RFC 8785 that are within the subset.
func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		`{ }`:                               `{}`,
		` [ 1 , -2,true,false , null,"" ] `: `[1,-2,true,false,null,""]`,
		`{"b":2,"a":{"d":[],"c":1}}`:        `{"a":{"c":1,"d":[]},"b":2}`,
		`"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/"`: "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"",
		`"\u0008\u0009\u000a\u000b\u000c\u000d\u007f"`:    `"\b\t\n\u000b\f\r` + "\x7f\"",
		`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`:// RFC 8785, 3.2.3
		"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}",
		`9007199254740991`:        `9007199254740991`,
		`"<script>&\u003c\u2028"`: "\"<script>&<\u2028\"",
	} {
		if got, err := credit.Canonical([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{`9007199254740992`, `-9007199254740992`, `1.5`, `1e3`, `-0`, `99999999999999999999`, `"\ud83d"`, `"\ude00\ud83d"`, `"\ud83d\u0041"`, `{"a":1,"\u0061":2}`, "\"\xff\"", `nul`, `[1,]`, `1 2`} {
		if got, err := credit.Canonical([]byte(in)); !errors.Is(err, credit.ErrNotReceipt) {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}

// The canonical form is JSON, says the same, and is its own canonical form.
func FuzzCanonical(f *testing.F) {
	f.Add(signed(f, newNotary()))
	for _, seed := range []string{`{"b":[1,"\ud83d\ude00",null],"a":{}}`, `"\u0000\u001f\\u"`, `{"\u0061":1,"a":1}`, `-1`, `"\\ud800"`, `{"` + "\u2028" + `":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		once, err := credit.Canonical(doc)
		if err != nil {
			return
		}
		if twice, err := credit.Canonical(once); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q became %q and then %q, %v", doc, once, twice, err)
		}
		read := func(text []byte) (v any) {
			d := json.NewDecoder(bytes.NewReader(text))
			d.UseNumber()
			if err := d.Decode(&v); err != nil {
				t.Fatalf("%q is no JSON: %v", text, err)
			}
			return v
		}
		if !reflect.DeepEqual(read(doc), read(once)) {
			t.Fatalf("%q became %q", doc, once)
		}
	})
}
