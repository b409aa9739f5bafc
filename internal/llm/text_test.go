package llm

import (
	"encoding/json"
	"testing"
)

func TestUnescape(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{``, ""}, {`plain é`, "plain é"}, {`\"\\\/\n\t\r\b\f`, "\"\\/\n\t\r\b\f"}, {`\u00e9\u4E2d`, "é中"}, {`\ud83d\ude00!`, "😀!"},
		{`\ud83d`, "\uFFFD"}, {`\ud83dx`, "\uFFFDx"}, {`\ud83d\n`, "\uFFFD\n"}, {`\ude00\ud83d`, "\uFFFD\uFFFD"}, {`\ud83d\ud83d\ude00`, "\uFFFD😀"},
		{`\`, `\`}, {`a\`, `a\`}, {`\x`, `\x`}, {`\u12`, `\u12`}, {`\u12g4`, `\u12g4`}, {`\u0000`, "\x00"},
	} {
		if got := Unescape([]byte(tt.raw)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.raw, got, tt.want)
		}
	}
}

// A character that a provider split over two chunks is whole again once the
// pieces are put together.
func TestUnescapeJoinsPieces(t *testing.T) {
	pieces := append([]byte(`a\ud83d`), `\ude00b`...)
	if got := Unescape(pieces); got != "a😀b" {
		t.Errorf("%q", got)
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "a\"\\\n\x00é😀", "\xff\xed\xa0\x80", "\u2028</script>\x7f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		quoted := AppendQuoted(nil, s)
		var want string
		if err := json.Unmarshal(quoted, &want); err != nil {
			t.Fatalf("%q became %q: %v", s, quoted, err)
		}
		if got := Unescape(quoted[1 : len(quoted)-1]); got != want {
			t.Fatalf("%q came back as %q, want %q", s, got, want)
		}
	})
}
