// Package fault is the one error type that reaches people: a kind that decides
// the HTTP status, a stable code for programs, one sentence for people, and a
// cause that is logged and never sent. It knows nothing of HTTP or storage.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind is the class of a failure. The zero value is Internal, so an error that
// nobody classified is never shown to anyone.
type Kind int

// The kinds, with the HTTP status each is answered with in package api.
const (
	Internal        Kind = iota // 500: ours; logged with its cause
	Invalid                     // 400: the request cannot be read
	Unauthenticated             // 401: nobody, or not any more
	Short                       // 402: not enough credits
	Forbidden                   // 403: known, but not allowed
	NotFound                    // 404: not there, or not yours
	NotAllowed                  // 405: the address takes other methods
	TooSlow                     // 408: the request's body did not come in time
	Conflict                    // 409: another act won, or a key was used for another request
	Stale                       // 412: the row changed since it was read
	TooLarge                    // 413: more bytes than a request may have
	Unprocessable               // 422: readable, but a field breaks a rule
	Required                    // 428: If-Match or Idempotency-Key is missing
	Limited                     // 429: too many
	Upstream                    // 502: a provider failed
	Unavailable                 // 503: a part that is needed is not there now
	Timeout                     // 504: a provider did not answer in time
)

// Error is a failure that can be answered. Build one where the failure happens.
type Error struct {
	Kind  Kind
	Code  string        // stable and documented, such as "credit_short"
	Text  string        // one sentence, safe to show to anyone
	Field string        // the field or parameter at fault, such as "messages[0].role"; empty if none
	Retry time.Duration // when trying again makes sense; 0 if it never does
	Err   error         // the cause; logged, never sent
}

// Error names the code, the sentence and the cause, for logs.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Code + ": " + e.Text + ": " + e.Err.Error()
	}
	return e.Code + ": " + e.Text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Parameter is the Field where that is a parameter of the request: of a request
// that is wrong or names what is not there. Of a limit it is the limit's scope.
func (e *Error) Parameter() string {
	switch e.Kind {
	case Invalid, TooLarge, Unprocessable, NotFound:
		return e.Field
	}
	return ""
}

// Is reports whether target is an Error of the same code, so that a sentinel
// and a copy of it with a field, a cause or a delay are the same failure.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// New builds an error of a kind with a code and a formatted sentence.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Text: fmt.Sprintf(format, args...)}
}

// Field builds the error of a field that breaks a rule: it names both.
func Field(field, format string, args ...any) *Error {
	return &Error{Kind: Unprocessable, Code: "invalid_field", Field: field, Text: field + " " + fmt.Sprintf(format, args...)}
}

// Because returns a copy of e with a cause for the log.
func (e *Error) Because(err error) *Error {
	c := *e
	c.Err = err
	return &c
}

// After returns a copy of e that says when to try again.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.Retry = d
	return &c
}

// From finds the Error in err's chain, or wraps err as an Internal one with a
// neutral text. It never returns nil for a non-nil err.
func From(err error) *Error {
	var f *Error
	if errors.As(err, &f) {
		return f
	}
	return &Error{Kind: Internal, Code: "internal", Text: "Something went wrong on our side.", Err: err}
}

// Is reports whether err carries an Error of the given kind.
func Is(err error, kind Kind) bool {
	var f *Error
	return errors.As(err, &f) && f.Kind == kind
}
