package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"onemind/internal/llm"
)

// What net/http or a parser quotes of an answer that it cannot read does not
// carry our key into an error.
func TestKeyIsNotQuoted(t *testing.T) {
	for _, answer := range []string{
		"KEY\r\n\r\n", "HTTP/1.1 KEY\r\n\r\n", "HTTP/1.1 2KEY OK\r\n\r\n", "HTTP/1.1 500 KEY\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nAuthorization Bearer KEY\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: KEY\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: KEY\r\n\r\n",
		"HTTP/1.1 500 no\r\nContent-Length: 4096\r\n\r\n" + strings.Repeat("x", maxErrorText-10) + "KEY",
		"HTTP/1.1 500 no\r\nContent-Length: 9999\r\n\r\n<title>" + strings.Repeat("x", maxErrorText-10) + "KEY</title>",
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			_, _ = io.WriteString(conn, strings.ReplaceAll(answer, "KEY", canary))
		}()
		client := New(Options{})
		err = call(t, client, "http://"+listener.Addr().String(), true)
		listener.Close()
		<-served
		_ = client.Close()
		var f *llm.Failure
		if !errors.As(err, &f) || f.Class != llm.Broken {
			t.Errorf("%.40q: %v", answer, err)
		}
		if said := fmt.Sprintf("%v %s", err, f.Text); strings.Contains(said, canary[:9]) {
			t.Errorf("%.40q: the key is in %s", answer, said)
		}
	}
}
