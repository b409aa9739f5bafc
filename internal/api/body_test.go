package api

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"onemind/internal/account"
	"onemind/internal/sqlite"
)

// lines is a listener whose connections are in memory, so that a test's clock
// rules their deadlines.
type lines struct {
	opened chan net.Conn
	closed chan struct{}
}

func (l *lines) Accept() (net.Conn, error) {
	select {
	case c := <-l.opened:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *lines) Close() error   { close(l.closed); return nil }
func (l *lines) Addr() net.Addr { return &net.TCPAddr{} }

// line is a client's end of a connection.
type line struct {
	net.Conn
	answers *bufio.Reader
	talk    sync.WaitGroup
}

// say begins to send a text, then one piece more after each pause, until the other
// end has enough.
func (l *line) say(text string, pause time.Duration, pieces ...string) {
	l.talk.Go(func() {
		_, err := io.WriteString(l, text)
		for i := 0; i < len(pieces) && err == nil; i++ {
			time.Sleep(pause)
			_, err = io.WriteString(l, pieces[i])
		}
	})
}

// hear reads one answer.
func (l *line) hear(t *testing.T) (*http.Response, string) {
	t.Helper()
	r, err := http.ReadResponse(l.answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(body)
}

// closed tells whether the other end has hung up.
func (l *line) closed() bool {
	_, err := l.answers.ReadByte()
	return errors.Is(err, io.EOF)
}

// serveLines serves page and the API as the program does, but to connections in
// memory; dial opens one. key is a member's.
func serveLines(t *testing.T, page http.HandlerFunc) (dial func() *line, key string) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "onemind.db"))
	if err != nil {
		t.Fatal(err)
	}
	mac := func(data []byte) [][]byte {
		h := hmac.New(sha256.New, []byte("test"))
		h.Write(data)
		return [][]byte{h.Sum(nil)}
	}
	accounts := account.New(db, db, mac, func(account.Changed) {}, nil)
	u, err := accounts.Create(t.Context(), account.NewUser{Email: "a@example.com", Role: account.Member, Password: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	_, key, err = accounts.CreateKey(t.Context(), u.ID, account.NewKey{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	l := &lines{opened: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: New(Config{Accounts: accounts, Web: page, Log: slog.New(slog.DiscardHandler)}), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return func() *line {
		here, there := net.Pipe()
		l.opened <- there
		k := &line{Conn: here, answers: bufio.NewReader(here)}
		t.Cleanup(func() {
			_ = here.Close()
			k.talk.Wait()
		})
		return k
	}, key
}

// TestSlowBody: a client that sends its body a byte at a time is told to go away,
// in the words of the address, and does not keep its connection.
func TestSlowBody(t *testing.T) {
	sized, chunked := "Content-Length: 100000", "Transfer-Encoding: chunked"
	for _, tt := range []struct {
		path, framing string
		pause, took   time.Duration
		want          string
	}{
		{"/v1/chat/completions", sized, time.Minute, bodyWait, `"code":"body_timeout"`},
		{"/v1/chat/completions", chunked, time.Minute, bodyWait, `"code":"body_timeout"`},
		{"/v1/chat/completions", sized, 20 * time.Second, bodyWithin, `"code":"body_timeout"`},
		{"/v1/chat/completions", chunked, 20 * time.Second, bodyWithin, `"code":"body_timeout"`},
		{"/v1/responses", sized, time.Minute, bodyWait, `"code":"body_timeout"`},
		{"/v1/messages", sized, time.Minute, bodyWait, `"type":"timeout_error"`},
		{"/v1/messages/count_tokens", sized, time.Minute, bodyWait, `"type":"timeout_error"`},
		{"/v1beta/models/m:generateContent", sized, time.Minute, bodyWait, `"status":"DEADLINE_EXCEEDED"`},
		{"/v1/embeddings", sized, time.Minute, bodyWait, `"code":"body_timeout"`},
		{"/v1/images/generations", sized, time.Minute, bodyWait, `"code":"body_timeout"`},
		{"/v1/audio/transcriptions", sized, time.Minute, bodyWait, `"code":"body_timeout"`},
		{"/api/auth/login", sized, time.Minute, bodyWait, `"status":408,"code":"body_timeout"`},
	} {
		synctest.Test(t, func(t *testing.T) {
			dial, key := serveLines(t, http.NotFound)
			l, start := dial(), time.Now()
			piece := " "
			if tt.framing == chunked {
				piece = "1\r\n \r\n"
			}
			l.say("POST "+tt.path+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+key+"\r\nContent-Type: application/json\r\n"+tt.framing+"\r\n\r\n",
				tt.pause, slices.Repeat([]string{piece}, 1000)...)
			r, body := l.hear(t)
			if r.StatusCode != http.StatusRequestTimeout || !r.Close || !strings.Contains(body, tt.want) || !strings.Contains(body, `"body_timeout"`) {
				t.Errorf("%s: %d %v: %s", tt.path, r.StatusCode, r.Header, body)
			}
			if took := time.Since(start); took != tt.took {
				t.Errorf("%s, %s, a byte every %v: answered after %v, want %v", tt.path, tt.framing, tt.pause, took, tt.took)
			}
			if !l.closed() {
				t.Errorf("%s: the connection was kept", tt.path)
			}
		})
	}
}

// TestUnwantedBody: a body that nobody reads does not hold a connection either.
func TestUnwantedBody(t *testing.T) {
	for _, head := range []string{"POST /v1/chat/completions", "POST /api/auth/logout", "GET /nothing", "GET /api/nothing", "POST /v1/nothing"} {
		synctest.Test(t, func(t *testing.T) {
			dial, _ := serveLines(t, http.NotFound)
			l, start := dial(), time.Now()
			l.say(head+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", time.Second, slices.Repeat([]string{" "}, 1000)...)
			r, _ := l.hear(t)
			if took := time.Since(start); took > bodyWait || !r.Close || !l.closed() {
				t.Errorf("%s: %d after %v: %v", head, r.StatusCode, took, r.Header)
			}
		})
	}
}

// TestPatientBody: a body that comes slowly, but in time, is taken, and its bounds
// are none of what comes after it: a long answer, the next request, another protocol.
func TestPatientBody(t *testing.T) {
	page := func(w http.ResponseWriter, r *http.Request) {
		body, err := readBody(w, r, maxBody)
		if err != nil {
			t.Error(err)
		}
		select {
		case <-r.Context().Done():
			t.Error("the request was given up: ", context.Cause(r.Context()))
		case <-time.After(3 * bodyWithin):
		}
		if r.Header.Get("Upgrade") == "" {
			_, _ = w.Write(body)
			return
		}
		conn, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		word, err := both.ReadString('\n')
		_, _ = io.WriteString(conn, word)
		if err := errors.Join(err, conn.Close()); err != nil {
			t.Error(err)
		}
	}
	for _, framing := range []string{"Content-Length: 9", "Transfer-Encoding: chunked", "Expect: 100-continue\r\nContent-Length: 9"} {
		synctest.Test(t, func(t *testing.T) {
			dial, _ := serveLines(t, page)
			l := dial()
			body := slices.Repeat([]string{" "}, 9)
			if strings.Contains(framing, "chunked") {
				body = append(slices.Repeat([]string{"1\r\n \r\n"}, 9), "0\r\n\r\n")
			}
			for range 2 {
				l.say("POST / HTTP/1.1\r\nHost: x\r\n"+framing+"\r\n\r\n", 25*time.Second, body...)
				r, got := l.hear(t)
				if r.StatusCode == http.StatusContinue {
					r, got = l.hear(t)
				}
				if r.StatusCode != http.StatusOK || r.Close || got != "         " {
					t.Errorf("%s: %d %v %q", framing, r.StatusCode, r.Header, got)
				}
				time.Sleep(90 * time.Second)
			}
			l.say("POST / HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: Upgrade\r\n"+framing+"\r\n\r\n", 25*time.Second, body...)
			if strings.HasPrefix(framing, "Expect") {
				l.hear(t)
			}
			time.Sleep(4 * bodyWithin)
			l.say("hello\n", 0)
			if word, err := l.answers.ReadString('\n'); word != "hello\n" {
				t.Errorf("%s: another protocol was cut: %q, %v", framing, word, err)
			}
		})
	}
}
