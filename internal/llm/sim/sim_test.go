package sim_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/llm/sim"
)

// chunk is what tests read of an event or a whole answer.
type chunk struct {
	Choices []struct {
		Delta        struct{ Content string }
		Message      struct{ Content string }
		FinishReason *string `json:"finish_reason"`
	}
	Usage *struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
	}
	Error json.RawMessage
}

func post(t *testing.T, trips http.RoundTripper, url, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := trips.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// read gives the text, the pieces reported and the finish reason of a stream.
func read(t *testing.T, body io.Reader) (text string, used int, finish string, done bool) {
	t.Helper()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			done = true
			continue
		}
		var c chunk
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if c.Usage != nil {
			used = c.Usage.CompletionTokens
		}
		for _, choice := range c.Choices {
			text += choice.Delta.Content
			if choice.FinishReason != nil {
				finish = *choice.FinishReason
			}
		}
	}
	return text, used, finish, done
}

func TestPieces(t *testing.T) {
	for _, text := range []string{"", "a", " ", "  a", "one two", "Hello, world!\n\n  - x", "日本語テキスト", "\xff\xfe", "internationalisation of everything", "a\n b"} {
		pieces := sim.Pieces(text)
		if got := strings.Join(pieces, ""); got != text {
			t.Errorf("%q became %q", text, got)
		}
		for _, p := range pieces {
			if p == "" {
				t.Errorf("%q has an empty piece", text)
			}
		}
	}
	if got := len(sim.Pieces("one two, three")); got != 4 {
		t.Errorf("%d pieces", got)
	}
}

// The demo model says what it is, at its pace, and counts right. Time is the
// bubble's, so that nothing waits.
func TestDemo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		resp := post(t, sim.Transport(sim.Demo()), "http://demo", `{"model":"demo","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"What is <b>love</b>?"}]}`)
		if first := time.Since(began); first != 150*time.Millisecond {
			t.Errorf("the first byte came after %v", first)
		}
		text, used, finish, done := read(t, resp.Body)
		for _, want := range []string{"offline demo model", "> What is &lt;b>love&lt;/b>?", "|---|---|", "```"} {
			if !strings.Contains(text, want) {
				t.Errorf("the answer lacks %q:\n%s", want, text)
			}
		}
		if got := len(sim.Pieces(text)); used != got || finish != "stop" || !done {
			t.Errorf("used %d of %d, finish %q, done %v", used, got, finish, done)
		}
		if pace := float64(used) / time.Since(began).Seconds(); pace < 35 || pace > 45 {
			t.Errorf("%.1f pieces a second", pace)
		}
	})
}

func TestDemoBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			more, finish string
			used         int
		}{
			{`"max_tokens":7`, "length", 7},
			{`"max_completion_tokens":5`, "length", 5},
			{`"stop":["offline"]`, "stop", -1},
			{`"stop":"offline"`, "stop", -1},
		} {
			resp := post(t, sim.Transport(sim.Demo()), "http://demo", `{"model":"demo",`+tt.more+`,"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}`)
			var c chunk
			if err := json.NewDecoder(resp.Body).Decode(&c); err != nil {
				t.Fatal(err)
			}
			text := c.Choices[0].Message.Content
			if got := len(sim.Pieces(text)); c.Usage.CompletionTokens != got || tt.used >= 0 && got != tt.used || *c.Choices[0].FinishReason != tt.finish || strings.Contains(text, "offline") {
				t.Errorf("%s: %d pieces of %q, usage %v, finish %v", tt.more, got, text, c.Usage, *c.Choices[0].FinishReason)
			}
		}
		if resp := post(t, sim.Transport(sim.Demo()), "http://demo", `{"model":"demo","n":2,"messages":[{"role":"user","content":"x"}]}`); resp.StatusCode != 400 {
			t.Errorf("n=2: status %d", resp.StatusCode)
		}
	})
}

// Both ways of calling give the same bytes.
func TestTransportIsLikeASocket(t *testing.T) {
	s := sim.New(sim.Options{Now: func() time.Time { return time.Unix(1, 0) }})
	server := httptest.NewServer(s)
	defer server.Close()
	for _, body := range []string{
		`{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}`,
		`{"model":"m","n":2,"messages":[{"role":"user","content":"x"}]}`,
		`{"model":"m"}`,
	} {
		over := post(t, http.DefaultTransport, server.URL, body)
		within := post(t, sim.Transport(s), "http://sim", body)
		a, _ := io.ReadAll(over.Body)
		b, _ := io.ReadAll(within.Body)
		if !bytes.Equal(a, b) || over.StatusCode != within.StatusCode || over.Header.Get("Content-Type") != within.Header.Get("Content-Type") {
			t.Errorf("%d %q\n%d %q", over.StatusCode, a, within.StatusCode, b)
		}
	}
}

// A caller that goes away ends the handler, over a socket and within the process.
func TestClientGone(t *testing.T) {
	s := sim.New(sim.Options{Scripts: map[string]sim.Script{"stall": {Break: sim.Stall, After: 2}}})
	server := httptest.NewServer(s)
	defer server.Close()
	for i, trips := range []http.RoundTripper{http.DefaultTransport, sim.Transport(s)} {
		resp := post(t, trips, server.URL, `{"model":"stall","stream":true,"messages":[{"role":"user","content":"x"}]}`)
		if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := s.Wait(ctx, func(c sim.Counts) bool { return c.Cancelled == i+1 && c.Open == 0 }); err != nil {
			t.Errorf("transport %d: %+v", i, s.Counts())
		}
		cancel()
	}
}

func TestModels(t *testing.T) {
	w := httptest.NewRecorder()
	sim.New(sim.Options{Models: []string{"b"}, Scripts: map[string]sim.Script{"a": {}}}).ServeHTTP(w, httptest.NewRequest("GET", "/v1/models", nil))
	if got := w.Body.String(); !strings.Contains(got, `"id":"a"`) || !strings.Contains(got, `"id":"b"`) {
		t.Error(got)
	}
	w = httptest.NewRecorder()
	sim.New(sim.Options{}).ServeHTTP(w, httptest.NewRequest("GET", "/v1/other", nil))
	if w.Code != 404 {
		t.Error(w.Code)
	}
}

// A handler that panics breaks its own call and nothing else.
func TestTransportPanic(t *testing.T) {
	trips := sim.Transport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { panic("bug") }))
	r, _ := http.NewRequest("POST", "http://sim/", nil)
	if _, err := trips.RoundTrip(r); err == nil {
		t.Error("no error")
	}
	trips = sim.Transport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("half"))
		panic(http.ErrAbortHandler)
	}))
	resp, err := trips.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); string(got) != "half" || err != io.ErrUnexpectedEOF {
		t.Errorf("%q, %v", got, err)
	}
}
