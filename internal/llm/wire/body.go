package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"

	"onemind/internal/llm"
)

const (
	maxBody  = 64 << 20 // bytes of a whole answer
	readWhen = 1 << 20  // a length that is believed before the bytes are here
)

var errLongBody = errors.New("the answer is larger than 64 MiB")

// Body reads an answer that comes as one body of valid UTF-8, without space
// around it: some providers send blank lines to keep the connection.
func (k *Call) Body() ([]byte, error) {
	body, err := k.Bytes()
	if err != nil {
		return nil, err
	}
	if body = bytes.TrimSpace(body); !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	}
	return body, nil
}

// Bytes reads an answer that comes as one body of any content.
func (k *Call) Bytes() ([]byte, error) {
	body, err := readBody(k.resp)
	if err != nil {
		if ended := k.Ended(); ended != nil {
			return nil, ended
		}
		return nil, &llm.Failure{Class: llm.Broken, Text: "The provider's answer was cut.", Err: hide(fmt.Errorf("read the answer: %w", err), k.to.Key)}
	}
	k.watch.rest()
	return body, nil
}

// readBody reads all of a bounded body, in one piece where its length is known.
func readBody(resp *http.Response) ([]byte, error) {
	if resp.ContentLength > maxBody {
		return nil, errLongBody
	}
	size := min(max(resp.ContentLength, 2<<10), readWhen)
	body := make([]byte, 0, size+1)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := resp.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if len(body) > maxBody {
			return nil, errLongBody
		}
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
