package wire

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// pieces gives its parts one read at a time.
type pieces [][]byte

func (p *pieces) Read(b []byte) (int, error) {
	for len(*p) > 0 && len((*p)[0]) == 0 {
		*p = (*p)[1:]
	}
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := copy(b, (*p)[0])
	(*p)[0] = (*p)[0][n:]
	return n, nil
}

// events reads all events of a stream, errors marked.
func events(from io.Reader) (all []string, err error) {
	r := &sse{}
	r.reset(from)
	for {
		data, err := r.next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		before, said := string(data), string(data)
		if r.name == "error" {
			said = "!" + said
		}
		r.peek()
		if string(data) != before {
			return all, errors.New("reading ahead disturbed what was given")
		}
		all = append(all, said)
	}
}

func TestSSE(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"data: a\n\ndata: b\n\n", []string{"a", "b"}},
		{"data:a\n\ndata:  b\n\n", []string{"a", " b"}},
		{"data: a\r\n\r\ndata: b\r\n\r\n", []string{"a", "b"}},
		{"data: a\r\rdata: b\r\r", []string{"a", "b"}},
		{"data: a\n\r\ndata: b\r\n\n", []string{"a", "b"}},
		{"\n\n: hello\n\n\ndata: a\n: within\n\n", []string{"a"}},
		{": OPENROUTER PROCESSING\n\ndata: a\n\n", []string{"a"}},
		{"data: {\ndata: \"a\": 1}\n\ndata: b\n\n", []string{`{ "a": 1}`, "b"}},
		{"data: 1\ndata: 2\ndata: 3\n\ndata: 4\ndata: 5\n\n", []string{"1 2 3", "4 5"}},
		{"event: message\nid: 7\nretry: 5\ndata: a\n\n", []string{"a"}},
		{"event: error\ndata: a\n\ndata: b\n\n", []string{"!a", "b"}},
		{"event: error\n\ndata: b\n\n", []string{"b"}},
		{"data\n\ndata:\n\n", []string{"", ""}},
		{"datas: x\nunknown\n\n", nil},
		{"\xef\xbb\xbfdata: a\n\n", []string{"a"}},
		{"data: a\n\ndata: [DONE]", []string{"a", "[DONE]"}},
		{"data: a\n\ndata: [DONE]\n", []string{"a", "[DONE]"}},
		{"data: {\"a\":1}\ndata: {\"b\":2}\ndata: [DONE]\n", []string{`{"a":1}`, `{"b":2}`, "[DONE]"}},
		{"data: {\"a\":1}\ndata: {\"b\":2}", []string{`{"a":1}`, `{"b":2}`}},
		{"data: a\n\n{\"error\":{\"message\":\"x\"}}\n", []string{"a", `{"error":{"message":"x"}}`}},
		{"data: a\n\n{\n  \"error\": {\n    \"code\": 503,\n    \"status\": \"UNAVAILABLE\"\n  }\n}\n", []string{"a", `{   "error": {     "code": 503,     "status": "UNAVAILABLE"   } }`}},
		{"data: a\r\n\r\n[{\r\n  \"error\": {\"code\": 500}\r\n}\r\n]\r\n", []string{"a", `[{   "error": {"code": 500} } ]`}},
		{"{\"error\":1}\ndata: {\"a\":1}\n\n{\"error\":2}\nid: 5\n\n", []string{`{"error":1}`, `{"a":1}`, `{"error":2}`}},
		{"data: {\"a\":1}\n{\"error\":{\n: comment\n\"code\":5}\n}\ndata: b\n\n", []string{`{"a":1}`, `{"error":{ "code":5} }`, "b"}},
		{"data: {\n\"a\n}\n\n{\"cut\": \n", []string{"{", `{"cut": `}},
		{"data: é日本😀\n\n", []string{"é日本😀"}},
		{"data: " + strings.Repeat("long", 20_000) + "\n\ndata: x\n\n", []string{strings.Repeat("long", 20_000), "x"}},
		{"", nil},
	} {
		whole, err := events(strings.NewReader(tt.in))
		if err != nil || !slices.Equal(whole, tt.want) {
			t.Errorf("%.80q: %.200q, %v", tt.in, whole, err)
		}
		if len(tt.in) > 1000 {
			continue
		}
		for i := range len(tt.in) + 1 {
			for j := i; j <= len(tt.in); j++ {
				split := pieces{[]byte(tt.in[:i]), []byte(tt.in[i:j]), []byte(tt.in[j:])}
				if got, err := events(&split); err != nil || !slices.Equal(got, tt.want) {
					t.Fatalf("%q split at %d and %d: %q, %v", tt.in, i, j, got, err)
				}
			}
		}
		if got, err := events(iotest.OneByteReader(strings.NewReader(tt.in))); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q byte by byte: %q, %v", tt.in, got, err)
		}
		if got, err := events(iotest.DataErrReader(strings.NewReader(tt.in))); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q with its end: %q, %v", tt.in, got, err)
		}
	}
}

// An event or a line without end is refused, not kept.
func TestSSEBounds(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("data: "), io.LimitReader(zeros{}, 20<<20))
	if _, err := events(endless); err != errLongEvent {
		t.Errorf("an endless line: %v", err)
	}
	lines := strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 20_000)
	if _, err := events(strings.NewReader(lines)); err != errLongEvent {
		t.Errorf("endless lines: %v", err)
	}
	almost := "data: " + strings.Repeat("x", maxEvent-100) + "\n\n"
	if all, err := events(strings.NewReader(almost)); err != nil || len(all) != 1 {
		t.Errorf("just short enough: %d, %v", len(all), err)
	}
}

// A large event's memory is given back when it is over: a stream may go on for minutes.
func TestSSEGivesMemoryBack(t *testing.T) {
	image := strings.Repeat("x", 5<<20)
	r := &sse{}
	r.reset(&pieces{[]byte("data: a\n\ndata: " + image), []byte("\n\n"), []byte("data: b\n\ndata: c\n"), []byte("data: d\n\n")})
	for i, want := range []string{"a", image, "b", "c d"} {
		data, err := r.next()
		if err != nil || string(data) != want {
			t.Fatalf("event %d: %.40q, %v", i, data, err)
		}
		if i > 1 && len(r.buf) > maxReuse {
			t.Errorf("event %d: a buffer of %d bytes", i, len(r.buf))
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '0'
	}
	return len(b), nil
}

func FuzzSSE(f *testing.F) {
	for _, seed := range []string{"data: a\r\n\r\ndata: b\n\n", "event: error\rdata: x\r\r", ": c\n\ndata: {\"a\":1}\ndata: {\"b\":1}\n", "\xef\xbb\xbfdata\n\n", "data: a\ndata: b\n\ndata: c"} {
		f.Add([]byte(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, at uint8) {
		want, err := events(bytes.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		i := min(int(at), len(in))
		split := pieces{in[:i], in[i:]}
		if got, err := events(&split); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q split at %d: %q, want %q, %v", in, i, got, want, err)
		}
		if got, err := events(iotest.OneByteReader(bytes.NewReader(in))); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q byte by byte: %q, want %q, %v", in, got, want, err)
		}
	})
}
