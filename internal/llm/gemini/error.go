package gemini

import (
	"encoding/json"
	"strconv"
	"time"

	"onemind/internal/fault"
)

// detail is one of an error's details: which of its members are set depends on its type.
type detail struct {
	Type       string            `json:"@type"`
	Reason     string            `json:"reason,omitempty"`
	Domain     string            `json:"domain,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	Violations []violation       `json:"fieldViolations,omitempty"`
	RetryDelay string            `json:"retryDelay,omitempty"`
}

type violation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

// Error writes the body of an error response: Google's status, our sentence, and
// as details our stable code, the field at fault and when to come back.
func (e *Encoder) Error(f *fault.Error, status int) []byte { return ErrorBody(f, status) }

// ErrorBody is Error for answers that have no Encoder, such as an unknown model.
func ErrorBody(f *fault.Error, status int) []byte {
	const types = "type.googleapis.com/google.rpc."
	details := []detail{{Type: types + "ErrorInfo", Reason: f.Code, Domain: "onemind"}}
	if field := f.Parameter(); field != "" {
		details[0].Metadata = map[string]string{"field": field}
		details = append(details, detail{Type: types + "BadRequest", Violations: []violation{{field, f.Text}}})
	}
	if f.Retry > 0 {
		seconds := (f.Retry + time.Second - 1) / time.Second
		details = append(details, detail{Type: types + "RetryInfo", RetryDelay: strconv.FormatInt(int64(seconds), 10) + "s"})
	}
	body, _ := json.Marshal(map[string]any{"error": struct { //nolint:errchkjson // plain values
		Code    int      `json:"code"`
		Message string   `json:"message"`
		Status  string   `json:"status"`
		Details []detail `json:"details"`
	}{status, f.Text, statusWord(status), details}})
	return body
}

// statusWord gives Google's status of an HTTP status (google/rpc/code.proto).
func statusWord(status int) string {
	switch status {
	case 400, 413, 415, 422:
		return "INVALID_ARGUMENT"
	case 401:
		return "UNAUTHENTICATED"
	case 402, 412, 428:
		return "FAILED_PRECONDITION"
	case 403:
		return "PERMISSION_DENIED"
	case 404:
		return "NOT_FOUND"
	case 405, 501:
		return "UNIMPLEMENTED"
	case 409:
		return "ABORTED"
	case 429:
		return "RESOURCE_EXHAUSTED"
	case 499:
		return "CANCELLED"
	case 502, 503:
		return "UNAVAILABLE"
	case 408, 504:
		return "DEADLINE_EXCEEDED"
	}
	return "INTERNAL"
}

// statusOf is the HTTP status of a kind, for an error within a stream that began
// with 200: clients read it as the error's code.
func statusOf(k fault.Kind) int {
	switch k {
	case fault.Invalid, fault.Unprocessable, fault.TooLarge:
		return 400
	case fault.Unauthenticated:
		return 401
	case fault.Short:
		return 402
	case fault.Forbidden:
		return 403
	case fault.NotFound:
		return 404
	case fault.Conflict:
		return 409
	case fault.Limited:
		return 429
	case fault.Upstream:
		return 502
	case fault.Unavailable:
		return 503
	case fault.Timeout:
		return 504
	}
	return 500
}
