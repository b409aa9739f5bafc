package credit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"onemind/internal/fault"
)

// The refusals of a check of a receipt that callers can tell apart. What the
// verifier says of a signature comes back as it is.
var (
	// ErrNotReceipt reports what has no canonical form: no JSON, or JSON of a kind
	// that no receipt has.
	ErrNotReceipt = fault.New(fault.Invalid, "receipt_unreadable", "This is not a receipt.")
	// ErrUnsigned reports a receipt without a signature that can be checked.
	ErrUnsigned = fault.New(fault.Invalid, "receipt_unsigned", "This receipt has no signature that can be checked.")
)

// signatureName is the member of a receipt that holds its signature, algorithm the
// one that is used, after RFC 8032.
const (
	signatureName = "signature"
	algorithm     = "Ed25519"
)

// Signed gives a receipt as its user sees it, as JSON, with a signature of its
// canonical form. sign gives the id of the key and the signature.
func Signed(r Receipt, sign func(payload []byte) (keyID string, signature []byte)) ([]byte, error) {
	doc, err := json.Marshal(r.Public())
	if err != nil {
		return nil, fmt.Errorf("write the receipt: %w", err)
	}
	payload, err := Canonical(doc)
	if err != nil {
		return nil, fmt.Errorf("sign the receipt: %w", err)
	}
	id, signature := sign(payload)
	member, err := json.Marshal(struct {
		Algorithm string `json:"algorithm"`
		KeyID     string `json:"key_id"`
		Value     string `json:"value"`
	}{algorithm, id, base64.RawURLEncoding.EncodeToString(signature)})
	if err != nil {
		return nil, fmt.Errorf("write the signature: %w", err)
	}
	doc = append(doc[:len(doc)-1], `,"`+signatureName+`":`...)
	return append(append(doc, member...), '}'), nil
}

// CheckSigned checks a receipt that Signed made, whatever became of its space, the
// order of its members and the spelling of its strings since. It gives the receipt,
// ErrNotReceipt, ErrUnsigned, or what verify says.
func CheckSigned(doc []byte, verify func(keyID string, payload, signature []byte) error) (Receipt, error) {
	root, err := parseCanonical(doc)
	if err != nil {
		return Receipt{}, err
	}
	object, ok := root.(members)
	if !ok {
		return Receipt{}, ErrNotReceipt.Because(errors.New("it is no object"))
	}
	at := slices.IndexFunc(object, func(m member) bool { return m.name == signatureName })
	if at < 0 {
		return Receipt{}, ErrUnsigned
	}
	id, signature, err := readSignature(object[at].value)
	if err != nil {
		return Receipt{}, err
	}
	payload := appendJCS(nil, slices.Delete(object, at, at+1))
	if err := verify(id, payload, signature); err != nil {
		return Receipt{}, fmt.Errorf("check the receipt's signature: %w", err)
	}
	var r Receipt
	if err := json.Unmarshal(payload, &r); err != nil {
		return Receipt{}, ErrNotReceipt.Because(err)
	}
	return r, nil
}

// readSignature reads the signature member. It has three members and no other: what
// is not signed itself must not carry anything.
func readSignature(value any) (keyID string, signature []byte, err error) {
	object, _ := value.(members)
	texts := map[string]string{}
	for _, m := range object {
		if text, ok := m.value.(string); ok {
			texts[m.name] = text
		}
	}
	switch {
	case texts["value"] == "" || texts["key_id"] == "" || len(object) != 3 || len(texts) != 3:
		return "", nil, ErrUnsigned.Because(errors.New("the signature does not have the members algorithm, key_id and value"))
	case texts["algorithm"] != algorithm:
		return "", nil, ErrUnsigned.Because(fmt.Errorf("the algorithm %q is not known", texts["algorithm"]))
	}
	signature, err = base64.RawURLEncoding.Strict().DecodeString(texts["value"])
	if err != nil || strings.ContainsAny(texts["value"], "\r\n") { // which the decoder passes over
		return "", nil, ErrUnsigned.Because(errors.New("the value is not base64url"))
	}
	return texts["key_id"], signature, nil
}

// Canonical gives the canonical form of a JSON text after RFC 8785, of the part of
// JSON that receipts use: objects whose names differ, arrays, strings of whole
// characters, true, false, null, and integers within ±(2^53-1) without point or
// exponent. Anything else is ErrNotReceipt.
func Canonical(doc []byte) ([]byte, error) {
	root, err := parseCanonical(doc)
	if err != nil {
		return nil, err
	}
	return appendJCS(nil, root), nil
}

// A JSON value is nil, bool, int64, string, []any or members.
type (
	members []member
	member  struct {
		name  string
		value any
	}
)

// deepest is how far values may be nested: receipts are by four.
const deepest = 32

func parseCanonical(doc []byte) (any, error) {
	if !utf8.Valid(doc) || !json.Valid(doc) || !wholeCharacters(doc) {
		return nil, ErrNotReceipt.Because(errors.New("it is not JSON in UTF-8"))
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	root, err := parseValue(d, deepest)
	if err != nil {
		return nil, ErrNotReceipt.Because(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, ErrNotReceipt.Because(errors.New("more follows after its end"))
	}
	return root, nil
}

// wholeCharacters tells whether every \u escape of a valid JSON text is a character
// or half of a pair that is one. The decoder makes U+FFFD of a half without a word.
func wholeCharacters(doc []byte) bool {
	for {
		at := bytes.IndexByte(doc, '\\')
		if at < 0 {
			return true
		}
		doc = doc[at:]
		if doc[1] != 'u' {
			doc = doc[2:]
			continue
		}
		unit := unitOf(doc)
		doc = doc[6:]
		if !utf16.IsSurrogate(unit) {
			continue
		}
		if len(doc) < 6 || doc[0] != '\\' || doc[1] != 'u' || utf16.DecodeRune(unit, unitOf(doc)) == utf8.RuneError {
			return false
		}
		doc = doc[6:]
	}
}

func unitOf(escape []byte) rune {
	n, _ := strconv.ParseUint(string(escape[2:6]), 16, 16) // four hex digits, the text is valid
	return rune(n)
}

func parseValue(d *json.Decoder, deep int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Number:
		return parseInteger(v.String())
	case json.Delim:
		if deep == 0 {
			return nil, errors.New("it is nested too deeply")
		}
		if v == '{' {
			return parseObject(d, deep-1)
		}
		list := []any{}
		for d.More() {
			value, err := parseValue(d, deep-1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := d.Token() // the closing bracket
		return list, err
	}
	return token, nil
}

func parseInteger(text string) (any, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n >= 1<<53 || n <= -1<<53 || text == "-0" {
		return nil, fmt.Errorf("%.40s is not an integer within 53 bits", text)
	}
	return n, nil
}

func parseObject(d *json.Decoder, deep int) (any, error) {
	object, seen := members{}, map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok || seen[name] {
			return nil, fmt.Errorf("the member %.40q is there twice", name)
		}
		seen[name] = true
		value, err := parseValue(d, deep)
		if err != nil {
			return nil, err
		}
		object = append(object, member{name, value})
	}
	_, err := d.Token() // the closing brace
	return object, err
}

// appendJCS appends a value in its canonical form.
func appendJCS(dst []byte, value any) []byte {
	switch v := value.(type) {
	case members:
		slices.SortFunc(v, func(a, b member) int {
			return slices.Compare(utf16.Encode([]rune(a.name)), utf16.Encode([]rune(b.name)))
		})
		dst = append(dst, '{')
		for i, m := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJCS(append(appendText(dst, m.name), ':'), m.value)
		}
		return append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJCS(dst, e)
		}
		return append(dst, ']')
	case string:
		return appendText(dst, v)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case bool:
		return strconv.AppendBool(dst, v)
	}
	return append(dst, "null"...)
}

// appendText writes a string after RFC 8785, 3.2.2.2: what has to be escaped and
// nothing else.
func appendText(dst []byte, s string) []byte {
	const short = "btn\x00fr" // behind the backslash for U+0008 to U+000D
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
		case c >= '\b' && c <= '\r' && c != '\v':
			dst = append(dst, '\\', short[c-'\b'])
		default:
			dst = fmt.Appendf(dst, `\u%04x`, c)
		}
	}
	return append(dst, '"')
}
