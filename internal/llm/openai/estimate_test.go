package openai_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"onemind/internal/llm/count"
	"onemind/internal/llm/openai"
)

// The estimate sizes a hold: it must not be below what a tokenizer counts, also
// for texts that are made to be dear.
func TestEstimateIsAbove(t *testing.T) {
	tokenizer := count.New()
	for name, from := range map[string]string{
		"small letters": "abcdefghijklmnopqrstuvwxyz", "capitals": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "rare letters": "qxzjkv", "rare capitals": "QXZJKVW", "both": "qXzJkVwQ",
		"base64": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/", "hex": "0123456789abcdef", "digits": "0123456789", "signs": `!@#$%^&*()_+-=[]{};:'",.<>/?`,
		"Chinese": "的一是不了人我在有他这为之大来以个中上们", "rare Chinese": "龘靐齉爨癵籲", "emoji": "😀🤖🦄🧿🪐", "Greek": "αβγδεζηθ", "Thai": "กขฃคฅฆงจ", "Amharic": "ሀሁሂሃሄህሆ", "runes": "ᚠᚡᚢᚣᚤ",
		"space": "\n\t ", "single letters": "a b c d e f ", "accents": "a\u0300\u0301\u0302", "short words": "qx zj kv wq", "vowels": "aeiouy ", "code": "{}();=.,\n\tif for x y z",
	} {
		letters, text := []rune(from), strings.Builder{}
		random := rand.New(rand.NewPCG(1, 2))
		for range 4000 {
			text.WriteRune(letters[random.IntN(len(letters))])
		}
		quoted, err := json.Marshal(text.String())
		if err != nil {
			t.Fatal(err)
		}
		req, err := openai.Parse([]byte(`{"model":"m","messages":[{"role":"user","content":` + string(quoted) + `}]}`))
		if err != nil {
			t.Fatal(err)
		}
		counted := tokenizer.Text(text.String())
		t.Logf("%s: %d, counted %d", name, req.InputTokens, counted)
		if req.InputTokens < counted {
			t.Errorf("%s: %d tokens estimated, %d counted", name, req.InputTokens, counted)
		}
	}
}
