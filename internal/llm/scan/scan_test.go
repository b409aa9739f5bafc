package scan

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// deep reports whether data nests deeper than limit outside its strings.
func deep(data []byte, limit int) bool {
	depth, text := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

func FuzzScan(f *testing.F) {
	for _, seed := range []string{``, `null`, ` true `, `-0.5e+10`, `01`, `1.`, `-`, `"a\u00e9\n"`, `"\ud800"`, "\"\x01\"", `"\x"`, `"\u12g4"`,
		`{"a":[1,2,{"b":null}],"c":"d"}`, `[1,]`, `{"a":1,}`, `{,}`, `[}`, `{"a"}`, `[1 2]`, `"unfinished`, `{} {}`, `nul`, "\"\xff\"", "\xef\xbb\xbf1",
		`"0123456789abcdef\"0123456789"`, "\"01234567\x1f\"", `[[[[[[]]]]]]`, `{"a":{"a":{}}}`, `1e5`, `1E-5`, `.5`, `+1`, "\"\u2028\"", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, want := Valid(data, ClientDepth), json.Valid(data); got != want && !deep(data, ClientDepth) {
			t.Fatalf("valid(%q) = %v, want %v", data, got, want)
		}
	})
}

func TestScanDepth(t *testing.T) {
	for _, tt := range []struct {
		levels int
		want   bool
	}{{1, true}, {64, true}, {65, false}, {100_000, false}} {
		for _, pair := range []string{"[]", `{"a":}`} {
			open, closing := pair[:len(pair)-1], pair[len(pair)-1:]
			data := strings.Repeat(open, tt.levels) + "1" + strings.Repeat(closing, tt.levels)
			if got := Valid([]byte(data), ClientDepth); got != tt.want {
				t.Errorf("%d levels of %s: %v, want %v", tt.levels, pair, got, tt.want)
			}
		}
	}
}

// Every position of a special byte is found, whatever the alignment.
func TestScanStringEnds(t *testing.T) {
	for n := range 40 {
		for _, special := range []struct {
			in string
			ok bool
		}{{`"`, true}, {`\n"`, true}, {`\"x"`, true}, {"\x1f\"", false}, {`\`, false}, {"é\"", true}, {"\x7f\"", true}, {"\xa2\xdc\"", true}} {
			in := `"` + strings.Repeat("x", n) + special.in
			if got := Valid([]byte(in), 1); got != special.ok || got != json.Valid([]byte(in)) {
				t.Errorf("%q: %v, want %v", in, got, special.ok)
			}
		}
	}
}

// A member's escaped name is the name: no rule can be slipped past by spelling.
func TestScanEscapedName(t *testing.T) {
	s := New([]byte(`{"max_t\u006fkens": 5, "b":[1,2]}`), 9)
	s.Enter()
	if !s.Member() || string(s.Name) != "max_tokens" {
		t.Errorf("name %q", s.Name)
	}
	if v := s.Value(); string(v) != "5" {
		t.Errorf("value %q", v)
	}
	if !s.Member() || string(s.Name) != "b" || s.Data[s.At] != '"' {
		t.Errorf("name %q", s.Name)
	}
	if v := s.Value(); string(v) != "[1,2]" || s.Member() || !s.End() {
		t.Errorf("value %q, bad %q", v, s.Bad)
	}
}

func BenchmarkScan(b *testing.B) {
	for _, size := range []int{400, 58_000} {
		b.Run(strings.ToUpper(map[int]string{400: "small", 58_000: "large"}[size]), func(b *testing.B) {
			text := "What is the capital of France, and why? It is a long story. \\n"
			data := []byte(`{"model":"gpt-4o","stream":true,"max_tokens":100,"messages":[{"role":"user","content":"` + strings.Repeat(text, size/len(text)) + `"}]}`)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if !Valid(data, ClientDepth) {
					b.Fatal("invalid")
				}
			}
		})
	}
}

func BenchmarkScanDense(b *testing.B) {
	data := append(bytes.Repeat([]byte(`{"type":"object","properties":{"a":{"type":"string"},"n":[1,2.5,true,null]}},`), 0), '[')
	for range 500 {
		data = append(data, `{"type":"object","properties":{"a":{"type":"string"},"n":[1,2.5,true,null]}},`...)
	}
	data = append(data[:len(data)-1], ']')
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if !Valid(data, ClientDepth) {
			b.Fatal("invalid")
		}
	}
}
