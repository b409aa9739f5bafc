package wire

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

const (
	maxRetry     = time.Hour // what a provider may ask us to wait
	maxErrorText = 2 << 10
	maxErrorBody = 64 << 10
	maxDetails   = 16 // of an error's details
)

// complaint is what a provider says went wrong, in whichever shape.
type complaint struct {
	status  int // as the body says it, 0 if it does not
	code    string
	kind    string // the type, or Google's status
	param   string
	message string
	retry   time.Duration // Google's RetryInfo, or how long a model still loads
}

// object is every member that some provider's error has.
type object struct {
	Error   json.RawMessage `json:"error"`
	Code    json.RawMessage `json:"code"`
	Type    json.RawMessage `json:"type"`
	Status  json.RawMessage `json:"status"`
	Param   json.RawMessage `json:"param"`
	Message json.RawMessage `json:"message"`
	Detail  json.RawMessage `json:"detail"`
	Msg     json.RawMessage `json:"msg"` // FastAPI, within detail
	Reason  json.RawMessage `json:"reason"`
	Details json.RawMessage `json:"details"`
	Loading json.RawMessage `json:"estimated_time"` // Hugging Face: seconds until the model is loaded
}

// complaintOf reads an error body: {"error":{...}}, {"error":"..."},
// {"detail":...}, {"message":"..."}, Google's list of one, HTML or plain text.
func complaintOf(body []byte) complaint {
	var c complaint
	if !c.read(body, 0) {
		c.message = plainText(body)
	}
	return c
}

// read takes what it knows from a JSON value; depth bounds how far it goes down.
func (c *complaint) read(raw json.RawMessage, depth int) bool {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || depth > 4 || !scan.Valid(raw, scan.UpstreamDepth) {
		return false
	}
	switch raw[0] {
	case '"':
		c.message = first(c.message, word(raw))
	case '[':
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
			c.read(list[0], depth+1)
		}
	case '{':
		var o object
		if json.Unmarshal(raw, &o) != nil {
			return false
		}
		c.object(&o, depth)
	default:
		return false
	}
	return true
}

func (c *complaint) object(o *object, depth int) {
	c.read(o.Error, depth+1) // the inner one is the more precise: it comes first
	c.code = first(c.code, word(o.Code))
	c.kind = first(c.kind, first(word(o.Type), word(o.Status)))
	c.param = first(c.param, word(o.Param))
	for _, m := range []json.RawMessage{o.Message, o.Msg} {
		if m = bytes.TrimSpace(m); len(m) > 0 && m[0] == '{' { // Mistral: {"message":{"detail":[...]}}
			c.read(m, depth+1)
		} else {
			c.message = first(c.message, word(m))
		}
	}
	c.read(o.Detail, depth+1)
	if reason := word(o.Reason); reason != "" {
		c.code = reason
	}
	c.details(o.Details, depth)
	if seconds, err := strconv.ParseFloat(word(o.Loading), 64); err == nil && c.retry == 0 {
		c.retry = bounded(seconds)
	}
	for _, s := range []string{word(o.Code), word(o.Status)} {
		if n, err := strconv.Atoi(s); err == nil && n >= 400 && n < 600 {
			c.status = n
		}
	}
}

// details reads what Google adds to an error, a list of messages of several types:
// [{"reason":"API_KEY_INVALID"},{"@type":".../google.rpc.RetryInfo","retryDelay":"17s"}].
func (c *complaint) details(raw json.RawMessage, depth int) {
	var list []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		return
	}
	for _, one := range list[:min(len(list), maxDetails)] {
		c.read(one, depth+1)
		if delay := word(scan.Find(one, "retryDelay")); delay != "" && c.retry == 0 {
			if seconds, err := strconv.ParseFloat(strings.TrimSuffix(delay, "s"), 64); err == nil {
				c.retry = bounded(seconds)
			}
		}
	}
}

// word gives a string or number as text; anything else is nothing.
func word(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || raw[0] == 'n' || raw[0] == 't' || raw[0] == 'f' {
		return ""
	}
	if raw[0] == '"' {
		return llm.Unescape(raw[1 : len(raw)-1])
	}
	return string(raw)
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// plainText gives what an HTML or text body says: its title, or its words.
func plainText(body []byte) string {
	s := string(body) // clean shortens it: a key that is cut in two is not found there
	if !strings.HasPrefix(strings.TrimSpace(s), "<") {
		return s
	}
	lower := strings.ToLower(s) // may differ in length for odd letters; then there is no title
	if from, to := strings.Index(lower, "<title>"), strings.Index(lower, "</title>"); from >= 0 && to > from && len(lower) == len(s) {
		return strings.TrimSpace(s[from+len("<title>") : to])
	}
	var b strings.Builder
	tag := false
	for _, r := range s {
		switch {
		case r == '<':
			tag = true
		case r == '>':
			tag = false
			b.WriteByte(' ')
		case !tag:
			b.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// failure makes a Failure of a complaint that came with a status.
func (c complaint) failure(status int, to *llm.Target) *llm.Failure {
	class := c.class(status)
	if status == 0 {
		status = c.status // of an error within an answer that began with 200
	}
	f := &llm.Failure{Class: class, Status: status, Text: clean(c.message, to.Key), Param: clean(c.param, to.Key), Retry: c.retry}
	if class == llm.BadRequest {
		f.Reason = c.reason()
	}
	return f
}

// reason finds why a request was refused. Anthropic, Gemini and most compatible
// servers say it in words only.
func (c complaint) reason() string {
	switch strings.ToLower(c.code) {
	case "context_length_exceeded", "string_above_max_length", "rate_limit_exceeded": // the last with 413: see class
		return llm.TooLong
	case "content_filter", "content_policy_violation", "moderation_blocked":
		return llm.Unwanted
	}
	m := strings.ToLower(c.message)
	for _, words := range [...]string{"prompt is too long", "context length", "context window", "maximum context", "input token count"} {
		if strings.Contains(m, words) {
			return llm.TooLong
		}
	}
	for _, words := range [...]string{"content policy", "content management policy", "safety system"} {
		if strings.Contains(m, words) {
			return llm.Unwanted
		}
	}
	return ""
}

// class decides who has to act. Codes and types decide where there are some;
// the few texts that are read here belong to providers that have no code for it.
func (c complaint) class(status int) llm.Class {
	if status < 400 && c.status != 0 {
		status = c.status
	}
	if status == http.StatusRequestEntityTooLarge { // Groq's has the code of a rate limit, under which it will never be
		return llm.BadRequest
	}
	if class, ok := c.named(status); ok {
		return class
	}
	switch status {
	case 400, 413, 415, 422:
		return llm.BadRequest
	case 401, 403:
		return llm.BadKey
	case 402:
		return llm.NoQuota
	case 404:
		if c.ofModel() {
			return llm.NoModel
		}
		return llm.WrongAddress
	case 408, 504, 522, 524: // 52x: Cloudflare's
		return llm.TimedOut
	case 410:
		return llm.NoModel
	case 429:
		return llm.RateLimited
	case 498, 503, 529: // 498: Groq's flex tier, 529: Anthropic's
		return llm.Overloaded
	}
	return llm.Broken
}

// ofModel tells whether a 404 is about the model, and not about the address.
func (c complaint) ofModel() bool {
	m := strings.ToLower(c.message)
	return strings.Contains(m, "model") || strings.HasPrefix(m, "no endpoints found") // OpenRouter: nobody there serves it
}

// named gives the class that a code or a type stands for.
func (c complaint) named(status int) (llm.Class, bool) {
	for _, name := range [...]string{c.code, c.kind} {
		switch strings.ToLower(name) {
		case "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "exceeded_current_quota_error",
			"insufficient_balance", "insufficient_credits", "credit_balance_too_low", "failed_precondition", "billing_error":
			return llm.NoQuota, true
		case "invalid_api_key", "authentication_error", "permission_error", "permission_denied", "unauthenticated", "api_key_invalid", "account_deactivated", "invalid_authentication_error":
			return llm.BadKey, true
		case "model_not_found", "invalid_model", "model_not_active", "model_decommissioned", "unknown_model":
			return llm.NoModel, true
		case "not_found_error", "not_found":
			if status == 404 && !strings.EqualFold(c.message, "not found") { // Anthropic's, of a path that it has not
				return llm.NoModel, true
			}
		case "rate_limit_exceeded", "rate_limit_error", "rate_limit_reached_error", "resource_exhausted", "too_many_requests":
			return llm.RateLimited, true
		case "overloaded_error", "engine_overloaded", "engine_overloaded_error", "service_unavailable", "unavailable", "capacity_exceeded":
			return llm.Overloaded, true
		case "content_filter", "content_policy_violation", "context_length_exceeded", "request_too_large":
			return llm.BadRequest, true
		case "timeout", "timeout_error", "deadline_exceeded":
			return llm.TimedOut, true
		case "invalid_request_error", "invalid_argument":
			if status < 400 { // with a status the status says more
				return llm.BadRequest, true
			}
		}
	}
	if status == 400 { // xAI and Gemini refuse a key with 400, DeepSeek a model
		m := strings.ToLower(c.message)
		if strings.Contains(m, "incorrect api key") || strings.Contains(m, "api key not valid") {
			return llm.BadKey, true
		}
		if strings.HasPrefix(m, "model not exist") {
			return llm.NoModel, true
		}
		if strings.Contains(m, "credit balance is too low") { // Anthropic's, as an invalid_request_error
			return llm.NoQuota, true
		}
	}
	return llm.Broken, false
}

// clean makes a provider's words fit for the operator: one line, bounded, and
// without our key, which some providers echo.
func clean(s string, key llm.Key) string {
	if secret := key.Reveal(); secret != "" {
		s = strings.ReplaceAll(s, secret, "[secret]")
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if s = strings.TrimSpace(s); len(s) > maxErrorText {
		end := maxErrorText
		for !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end]
	}
	return s
}

// hidden is an error without some of its words.
type hidden struct {
	text string
	err  error
}

func (h *hidden) Error() string { return h.text }

// Unwrap gives the cause, to tell its kind; its words are not for people.
func (h *hidden) Unwrap() error { return h.err }

// hide takes our key out of an error's words: net/http quotes a head that it
// cannot read, and some providers send there what they were sent.
func hide(err error, key llm.Key) error {
	secret, text := key.Reveal(), err.Error()
	if secret == "" {
		return err
	}
	quoted := strconv.Quote(secret)
	if safe := strings.NewReplacer(secret, "[secret]", quoted[1:len(quoted)-1], "[secret]").Replace(text); safe != text {
		return &hidden{safe, err}
	}
	return err
}

// retryAfter reads how long a provider wants to be left alone.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		return bounded(ms / 1e3)
	}
	v := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		return bounded(s)
	}
	if at, err := http.ParseTime(v); err == nil {
		if sent, err := http.ParseTime(h.Get("Date")); err == nil {
			now = sent // its clock, not ours
		}
		return bounded(at.Sub(now).Seconds())
	}
	return 0
}

func bounded(seconds float64) time.Duration {
	if !(seconds > 0) { // NaN too
		return 0
	}
	return time.Duration(min(seconds, maxRetry.Seconds()) * float64(time.Second))
}
