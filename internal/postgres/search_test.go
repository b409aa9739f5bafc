package postgres

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// No letter becomes something that Postgres would read as a quote, or nothing.
func TestFold(t *testing.T) {
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) || !unicode.In(r, unicode.L, unicode.N, unicode.M) {
			continue
		}
		got := fold(string(r))
		if got == "" || strings.ContainsAny(got, "'\\\x00") || !utf8.ValidString(got) {
			t.Fatalf("%U becomes %q", r, got)
		}
	}
	for word, want := range map[string]string{"Über": "uber", "É": "e", "e\u0301": "e", "ＡＢＣ": "abc", "上": "上", "Straße": "straße", "ΣΑΣ": "σασ"} {
		if got := fold(word); got != want {
			t.Errorf("%q becomes %q, want %q", word, got, want)
		}
	}
	if long := fold(strings.Repeat("é上", 1000)); len(long) > maxLexeme || !utf8.ValidString(long) {
		t.Errorf("a long word has %d bytes", len(long))
	}
}

func TestVector(t *testing.T) {
	m := ownerMark("u")
	if m == ownerMark("v") || len(m) != 8 {
		t.Errorf("a mark is %q", m)
	}
	for text, want := range map[string]string{
		"":              "",
		"Über, über!":   " '" + m + "uber':1 '" + m + "uber':2",
		"a上海b":          " '" + m + "a':1 '" + m + "上':2 '" + m + "海':3 '" + m + "b':4",
		"\x00\xff' -- ": "",
	} {
		if got := vector("u", text); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	if got, want := match("u", "上海x"), "('"+m+"上' <-> '"+m+"海' <-> '"+m+"x')"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := match("u", "Tra"), "'"+m+"tra':*"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What Postgres refuses in JSON goes, and nothing else changes.
func TestCleanJSON(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`"plain"`, `"plain"`},
		{`"a\u0000b"`, `"ab"`},
		{`"a\\u0000b"`, `"a\\u0000b"`}, // a backslash and letters
		{`"a\\\u0000b"`, `"a\\b"`},
		{`"\ud83d\ude00"`, `"\ud83d\ude00"`},
		{`"\ud83d"`, `"\ufffd"`},
		{`"\ude00\ud83d"`, `"\ufffd\ufffd"`},
		{`"\ud83d\u0041"`, `"\ufffd\u0041"`},
		{`"\ud83d\\u0041"`, `"\ufffd\\u0041"`},
		{`"\n\"\u00e9"`, `"\n\"\u00e9"`},
		{`\u`, `\u`},
		{`\`, `\`},
	} {
		if got := cleanJSON(tt.text); got != tt.want {
			t.Errorf("%s becomes %s, want %s", tt.text, got, tt.want)
		}
	}
}

func FuzzDocument(f *testing.F) {
	for _, s := range []string{"", "\x00", `\u0000`, "\xff", `\ud83d`, "é上😀", `a\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := document([]string{s})
		if err != nil {
			t.Fatal(err)
		}
		var back []string
		if err := json.Unmarshal([]byte(text), &back); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if want := clean(s); len(back) != 1 || strings.ToValidUTF8(want, "") != "" && strings.ReplaceAll(back[0], "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Fatalf("%q came back as %q, want %q", s, back[0], want)
		}
	})
}
