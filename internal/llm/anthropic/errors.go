package anthropic

import (
	"fmt"
	"net/http"
	"strings"

	"onemind/internal/fault"
	"onemind/internal/llm"
)

// invalid builds the error of a field that breaks a rule.
func invalid(path, code, format string, args ...any) *fault.Error {
	err := fault.New(fault.Invalid, code, "%s", "'"+path+"' "+fmt.Sprintf(format, args...))
	err.Field = path
	return err
}

// errorType is Anthropic's word for an HTTP status, from its list of errors.
func errorType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusPaymentRequired:
		return "billing_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusServiceUnavailable, 529: // 529 is Anthropic's own
		return "overloaded_error"
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return "timeout_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

// statusOf is the status that a kind stands for, where the answer has begun and
// none can be sent any more.
func statusOf(kind fault.Kind) int {
	switch kind {
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Short:
		return http.StatusPaymentRequired
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.Limited:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Timeout:
		return http.StatusGatewayTimeout
	case fault.Internal, fault.Upstream:
		return http.StatusInternalServerError
	default:
		return http.StatusBadRequest
	}
}

// Error gives the body of an error response of that status. Beside Anthropic's
// members it has our stable code, and the member at fault as param.
func (e *Encoder) Error(f *fault.Error, status int) []byte {
	param := f.Parameter()
	field := spelled(param)
	text := f.Text
	if field != param {
		text = strings.Replace(text, "'"+param+"'", "'"+field+"'", 1)
	}
	dst := append([]byte(`{"type":"error","error":{"type":"`), errorType(status)...)
	dst = llm.AppendQuoted(append(dst, `","message":`...), text)
	dst = llm.AppendQuoted(append(dst, `,"code":`...), f.Code)
	if field != "" {
		dst = llm.AppendQuoted(append(dst, `,"param":`...), field)
	}
	return append(dst, "}}"...)
}

// spelled gives a neutral member as it is called here: an engine that cannot
// carry one names it in the words of the neutral form.
func spelled(field string) string {
	for _, pair := range [...][2]string{
		{"reasoning_effort", "thinking"}, {"response_format", "output_config.format"}, {"stop", "stop_sequences"},
		{"user", "metadata.user_id"}, {"parallel_tool_calls", "tool_choice.disable_parallel_tool_use"},
	} {
		if field == pair[0] || strings.HasPrefix(field, pair[0]+".") || strings.HasPrefix(field, pair[0]+"[") {
			return pair[1]
		}
	}
	return field
}

// Trouble appends the error of a stream that has begun.
func (e *Encoder) Trouble(dst []byte, f *fault.Error) []byte {
	dst = append(dst, "event: error\ndata: "...)
	return append(append(dst, e.Error(f, statusOf(f.Kind))...), "\n\n"...)
}

// CountTokensResponse gives the body of an answer of /v1/messages/count_tokens.
func CountTokensResponse(n int64) []byte {
	return append(appendInt(nil, `{"input_tokens":`, n), '}')
}
