package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"onemind/internal/fault"
)

// statusOf maps each kind of failure to its HTTP status.
func statusOf(k fault.Kind) int {
	switch k {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Short:
		return http.StatusPaymentRequired
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.NotAllowed:
		return http.StatusMethodNotAllowed
	case fault.TooSlow:
		return http.StatusRequestTimeout
	case fault.Conflict:
		return http.StatusConflict
	case fault.Stale:
		return http.StatusPreconditionFailed
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.Unprocessable:
		return http.StatusUnprocessableEntity
	case fault.Required:
		return http.StatusPreconditionRequired
	case fault.Limited:
		return http.StatusTooManyRequests
	case fault.Upstream:
		return http.StatusBadGateway
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Timeout:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// problem is the RFC 9457 body of an error.
type problem struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Code       string `json:"code"`
	Field      string `json:"field,omitempty"`
	RequestID  string `json:"request_id"`
	RetryAfter int64  `json:"retry_after,omitempty"` // seconds
}

// seconds rounds a delay up to whole seconds, for Retry-After.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// fail answers an app request with a problem.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	status := s.report(w, r, f)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{"about:blank", f.Text, status, f.Code, f.Field, requestID(r), seconds(f.Retry)}) //nolint:errchkjson // the reader may be gone
}

// report logs what is ours and sets the headers every error has.
func (s *Server) report(w http.ResponseWriter, r *http.Request, f *fault.Error) int {
	if f.Kind == fault.Internal {
		s.Log.ErrorContext(r.Context(), "request failed", "route", r.Pattern, "request_id", requestID(r), "err", f.Err)
	}
	w.Header().Del("ETag")
	w.Header().Set("Cache-Control", "no-store")
	if f.Retry > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(seconds(f.Retry), 10))
	}
	return statusOf(f.Kind)
}

// send answers with JSON.
func send(w http.ResponseWriter, status int, body any) error {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(body); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader may be gone
	return nil
}

// sendJSON answers with JSON that is written already.
func sendJSON(w http.ResponseWriter, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // the reader may be gone
	return nil
}

// none answers with nothing.
func none(w http.ResponseWriter) error {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// maxBody bounds an app request: a run may carry images.
const maxBody = 20 << 20

// errTooLarge is what a body over its bound gets.
func errTooLarge(limit int64) error {
	return fault.New(fault.TooLarge, "request_too_large", "The request is larger than %d MB.", limit>>20)
}

// errTooSlow is what a body that does not come in time gets.
var errTooSlow = &fault.Error{Kind: fault.TooSlow, Code: "body_timeout", Text: "The request's body came too slowly, and was waited for no longer."}

// bodyAtOnce is the most memory, in bytes, that the length of a body gets before the
// body itself is there: anybody can promise a long one and send nothing.
const bodyAtOnce = 256 << 10

// readBody reads a request's whole body within a bound.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errTooLarge(limit)
	}
	b := bytes.NewBuffer(make([]byte, 0, min(max(512, r.ContentLength+1), bodyAtOnce)))
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, errTooLarge(limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.Header().Set("Connection", "close")
		return nil, errTooSlow.Because(err)
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "body_unreadable", "The request's body could not be read.").Because(err)
	}
	return b.Bytes(), nil
}

// maxDepth bounds nesting: encoding/json itself allows 10,000.
const maxDepth = 64

// decode reads a JSON body into v. A field that v does not have, a wrong type
// or anything after the value is refused by name.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return fault.New(fault.Invalid, "content_type", "Send the body as application/json.")
	}
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	return decodeBytes(body, v)
}

func decodeBytes(body []byte, v any) error {
	if deep(body) {
		return fault.New(fault.Invalid, "invalid_json", "The body is nested deeper than %d levels.", maxDepth)
	}
	if bytes.Contains(body, []byte(`\u0000`)) || bytes.IndexByte(body, 0) >= 0 {
		return fault.New(fault.Invalid, "invalid_json", "The body contains a null character.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var wrong *json.UnmarshalTypeError
	var broken *json.SyntaxError
	switch {
	case errors.As(err, &wrong):
		return fault.Field(wrong.Field, "must be of type %s, not %s", plainType(wrong.Type.String()), wrong.Value)
	case errors.As(err, &broken):
		return fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON (at byte %d).", broken.Offset)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.Invalid, "invalid_json", "The body is not complete JSON.")
	case err != nil && strings.HasPrefix(err.Error(), "json: unknown field "):
		name := strings.Trim(strings.TrimPrefix(err.Error(), "json: unknown field "), `"`)
		return fault.Field(name, "is not a field of this request")
	case err != nil:
		var f *fault.Error
		if errors.As(err, &f) {
			return f
		}
		return fault.New(fault.Invalid, "invalid_json", "The body cannot be read: %s.", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) { // More would overlook a closing bracket
		return fault.New(fault.Invalid, "invalid_json", "There is something after the JSON value.")
	}
	return nil
}

// plainType says a Go type in JSON's words.
func plainType(t string) string {
	switch {
	case strings.HasPrefix(t, "[]"):
		return "array"
	case strings.HasPrefix(t, "int"), t == "money.Amount":
		return "whole number"
	case t == "bool":
		return "true or false"
	case t == "string", strings.HasPrefix(t, "*string"):
		return "string"
	case strings.HasPrefix(t, "float"):
		return "number"
	}
	return "object"
}

// deep tells whether a JSON text nests too deep, without building anything.
func deep(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// page is one part of a list.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next_cursor,omitempty"`
}

// limitOf reads ?limit=, 1 to 200.
func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 50, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 200 {
		return 0, fault.Field("limit", "must be a whole number from 1 to 200")
	}
	return n, nil
}

// maxQuery is how long a search may be, in characters. SQLite compares no pattern
// of 50,000 bytes.
const maxQuery = 200

// queryOf reads ?q=, what to search for.
func queryOf(r *http.Request) (string, error) {
	text := r.URL.Query().Get("q")
	if utf8.RuneCountInString(text) > maxQuery {
		return "", fault.Field("q", "must have at most %d characters", maxQuery)
	}
	return text, nil
}

// cursorOf reads a numeric ?cursor=.
func cursorOf(r *http.Request) (int64, error) {
	text := r.URL.Query().Get("cursor")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, fault.Field("cursor", "must come from the next_cursor of the page before")
	}
	return n, nil
}
