package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"onemind/internal/account"
	"onemind/internal/credit"
	"onemind/internal/secret"
)

// command runs one command line as a shell does.
func command(t *testing.T, in string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(in), &o, &e)
	return code, o.String(), e.String()
}

// paid makes a user with a settled answer in the books.
func paid(t *testing.T, b *books) credit.Receipt {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Millisecond)
	u, err := b.accounts.Create(ctx, account.NewUser{Email: "ann@example.org", Role: "user"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.ledger.Grant(ctx, credit.Entry{User: u.ID, Kind: credit.Grant, Amount: 1_000_000_000, Ref: "r", Reason: "test", Actor: "test", At: now}); err != nil {
		t.Fatal(err)
	}
	hold, err := b.ledger.Hold(ctx, credit.Hold{Ref: "ans_1", User: u.ID, Owner: "boot", AtLeast: 1, AtMost: 50_000_000, Terms: []byte("{}"), At: now})
	if err != nil {
		t.Fatal(err)
	}
	r := credit.Receipt{ID: "ans_1", RequestID: "req_<1>", User: u.ID, Model: "gpt-4o", ServedBy: "gpt-4o", Provider: "openai", Outcome: credit.Finished, FinishReason: "stop",
		CountedBy: "provider", PriceVersion: "gpt-4o@1", Charge: 12_300_000, Hold: hold, Released: hold - 12_300_000, Revision: 1, StartedAt: now, FinishedAt: now,
		Attempts: []credit.Attempt{{Model: "gpt-4o", Provider: "openai", Outcome: "ok", Detail: "what the provider said"}}}
	if _, _, err := b.ledger.Settle(ctx, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// A receipt that is printed can be checked by whoever has the public keys, and by
// this installation without them.
func TestReceiptShowAndVerify(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ONEMIND_DATA_DIR", dir)
	b := booksOf(t)
	r := paid(t, b)
	code, doc, errs := command(t, "", "receipt", "show", r.ID)
	if code != 0 || strings.Contains(doc, "what the provider said") || strings.Contains(doc, r.User) {
		t.Fatalf("show: %d, %s%s", code, doc, errs)
	}
	keys, err := existingKeys(b.config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signer(keys)
	if err != nil {
		t.Fatal(err)
	}
	public := s.PublicKeys()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(public.JWKS()) }))
	defer site.Close()
	file := written(t, "receipt.json", doc)
	for what, from := range map[string]string{
		"the local key": "",
		"a key set":     written(t, "keys.json", string(public.JWKS())),
		"base64":        base64.StdEncoding.EncodeToString(public[0].Key),
		"base64url":     base64.RawURLEncoding.EncodeToString(public[0].Key),
		"an address":    site.URL + "/.well-known/onemind-receipt-keys.json",
	} {
		args := []string{"receipt", "verify", file}
		if from != "" {
			args = append(args, "--keys", from)
			t.Setenv("ONEMIND_DATA_DIR", filepath.Join(dir, "none")) // nothing else is needed
		} else {
			t.Setenv("ONEMIND_DATA_DIR", dir)
		}
		code, out, errs := command(t, "", args...)
		if code != 0 || errs != "" || !strings.HasPrefix(out, "receipt ans_1 is genuine: 1.23 credits for gpt-4o on 20") || strings.Count(out, "\n") != 1 || !strings.Contains(out, public[0].ID) {
			t.Errorf("with %s: %d, %s%s", what, code, out, errs)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("checking made a data directory")
	}
	t.Setenv("ONEMIND_DATA_DIR", dir)
	if code, _, errs := command(t, doc, "receipt", "verify", "-"); code != 0 {
		t.Errorf("from standard input: %d, %s", code, errs)
	}
	var v verdict
	if code, out, _ := command(t, doc, "receipt", "verify", "-", "--json"); code != 0 || json.Unmarshal([]byte(out), &v) != nil || !v.Valid || v.Receipt != "ans_1" || v.KeyID != public[0].ID {
		t.Errorf("as JSON: %d, %s", code, out)
	}
	if code, _, errs := command(t, "", "receipt", "show", "ans_2"); code != exitFailed || !strings.Contains(errs, "There is no such receipt.") {
		t.Errorf("a receipt that is not there: %d, %s", code, errs)
	}
}

// What is wrong with a receipt is said in one line, with exit code 1.
func TestReceiptVerifyRefuses(t *testing.T) {
	t.Setenv("ONEMIND_DATA_DIR", t.TempDir())
	box, err := secret.New(secret.Generate())
	if err != nil {
		t.Fatal(err)
	}
	s, err := box.Signer(receiptUse)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := credit.Signed(credit.Receipt{ID: "ans_1", Charge: 5}, s.Sign)
	if err != nil {
		t.Fatal(err)
	}
	doc, keys := string(signed), written(t, "keys.json", string(s.PublicKeys().JWKS()))
	other, err := secret.New(secret.Generate())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := other.Signer(receiptUse)
	if err != nil {
		t.Fatal(err)
	}
	for what, tt := range map[string]struct{ doc, keys, code, says string }{
		"changed":     {strings.Replace(doc, `"charge_nano_usd":5`, `"charge_nano_usd":4`, 1), keys, "receipt_forged", "The signature is false"},
		"a stranger":  {doc, base64.StdEncoding.EncodeToString(stranger.PublicKeys()[0].Key), "receipt_key_unknown", "not among the keys given"},
		"not signed":  {`{"id":"ans_1"}`, keys, "receipt_unsigned", "no signature"},
		"half signed": {`{"id":"ans_1","signature":{"algorithm":"none"}}`, keys, "receipt_unsigned", "key_id"},
		"no JSON":     {"hello", keys, "receipt_unreadable", "not a receipt"},
		"empty":       {"", keys, "receipt_unreadable", "not a receipt"},
	} {
		code, out, errs := command(t, tt.doc, "receipt", "verify", "-", "--keys", tt.keys)
		if code != exitFailed || out != "" || !strings.Contains(errs, tt.says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: %d, %q, %q", what, code, out, errs)
		}
		var v verdict
		if code, out, _ := command(t, tt.doc, "receipt", "verify", "-", "--json", "--keys", tt.keys); code != exitFailed || json.Unmarshal([]byte(out), &v) != nil || v.Valid || v.Code != tt.code {
			t.Errorf("%s as JSON: %d, %s", what, code, out)
		}
	}
	for what, tt := range map[string]struct{ keys, says string }{
		"no key here":    {"", "there is no secret key here"},
		"a false key":    {"nothing", "--keys: must be"},
		"without TLS":    {"http://keys.example.org/k.json", "https"},
		"not answering":  {"https://127.0.0.1:1/k.json", "read the keys"},
		"an empty set":   {written(t, "empty.json", `{"keys":[]}`), "no Ed25519 key"},
		"a false option": {"--x", "--keys"},
	} {
		args := []string{"receipt", "verify", "-"}
		if tt.keys != "" {
			args = append(args, "--keys", tt.keys)
		}
		if code, _, errs := command(t, doc, args...); code != exitFailed || !strings.Contains(errs, tt.says) {
			t.Errorf("%s: %d, %s", what, code, errs)
		}
	}
	if code, _, errs := command(t, "", "receipt", "verify", "/nonexistent/receipt.json", "--keys", keys); code != exitFailed || !strings.Contains(errs, "read the receipt") {
		t.Errorf("no such file: %d, %s", code, errs)
	}
	if code, _, _ := command(t, "", "receipt", "verify"); code != exitUsage {
		t.Errorf("no file: %d", code)
	}
}

// The receipt in the documentation is right, and so is what is said beside it.
func TestReceiptOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/receipts.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "```json\n")
	if len(parts) != 3 {
		t.Fatalf("%d examples", len(parts)-1)
	}
	doc, _, _ := strings.Cut(parts[1], "```")
	keys, _, _ := strings.Cut(parts[2], "```")
	code, out, errs := command(t, doc, "receipt", "verify", "-", "--keys", written(t, "keys.json", keys))
	if code != 0 || !strings.Contains(out, "is genuine") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	for _, said := range []string{"receipt_forged", "receipt_key_unknown", "receipt_unsigned", "receipt_unreadable"} {
		if !strings.Contains(string(text), said) {
			t.Errorf("%s is not explained", said)
		}
	}
}
