// Package api is OneMind over HTTP: routes, who may use them, and how results
// and failures are put on the wire. It decides nothing about money, limits or
// models; every rule is in the noun it calls.
package api

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"onemind/internal/account"
	"onemind/internal/catalog"
	"onemind/internal/chat"
	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/fleet"
	"onemind/internal/gateway"
	"onemind/internal/limit"
	"onemind/internal/replay"
)

// Config is what a Server needs.
type Config struct {
	Accounts *account.Accounts
	Catalog  *catalog.Catalog
	Chats    *chat.Chats
	Streams  *replay.Streams // answers to SDKs that can be picked up again
	Ledger   *credit.Ledger
	Engine   *gateway.Engine
	Limits   limit.Limiter
	Web      http.Handler // the page
	Push     *Push        // what open tabs are told
	Log      *slog.Logger
	Instance string // its name in admin's list
	Boot     string // id of this start
	Version  string
	Public   string // public URL, empty: taken from the request
	Started  time.Time
	// Sign signs receipts, and Keys is the JWKS of the keys that check them.
	Sign func(payload []byte) (keyID string, signature []byte)
	Keys []byte
	// Instances lists who serves, this instance included.
	Instances func(context.Context) []fleet.Instance
}

// TestResult is what a provider's test found.
type TestResult struct {
	OK        bool   `json:"ok"`
	Model     string `json:"model"`
	LatencyMS int64  `json:"latency_ms"`
	Code      string `json:"code,omitempty"`
	Message   string `json:"message,omitempty"`
}

// Server answers HTTP.
type Server struct {
	Config
	handler  http.Handler
	draining atomic.Bool
	stop     chan struct{} // closed when streams and sockets have to end
}

// New builds a Server.
func New(c Config) *Server {
	s := &Server{Config: c, stop: make(chan struct{})}
	mux := http.NewServeMux()
	for _, rt := range s.routes() {
		mux.Handle(rt.method+" "+rt.path, s.guarded(rt))
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, unknownRoute(mux, w, r)) })
	for _, path := range []string{"/v1/", "/v1/messages/", "/v1beta/"} {
		fail := s.failIn(dialectOf(path))
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { fail(w, r, unknownRoute(mux, w, r)) })
	}
	mux.HandleFunc("GET /health", s.health)
	mux.Handle("/", c.Web)
	s.handler = s.outer(mux)
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Draining tells whether Drain was called.
func (s *Server) Draining() bool { return s.draining.Load() }

// Drain makes /health say 503, so that load balancers look elsewhere.
func (s *Server) Drain() { s.draining.Store(true) }

// Close ends open streams and sockets: their readers go on elsewhere.
func (s *Server) Close() { close(s.stop) }

// guard is who may use a route.
type guard int

const (
	anyone guard = iota
	member       // a signed-in user
	admin        // a signed-in administrator
	bearer       // an API key; errors have the shape of the address's dialect
	either       // an API key or a session
)

// route is one line of the list of routes.
type route struct {
	method, path string
	guard        guard
	handle       func(http.ResponseWriter, *http.Request) error
	summary      string
	in, out      any // example values: what /openapi.json describes
}

type contextKey int

const (
	identityKey contextKey = iota
	requestIDKey
)

func identityOf(r *http.Request) *account.Identity {
	id, _ := r.Context().Value(identityKey).(*account.Identity)
	return id
}

// userOf is the id of the user who asks; the guard made sure there is one.
func userOf(r *http.Request) string { return identityOf(r).User.ID }

func requestID(r *http.Request) string {
	id, _ := r.Context().Value(requestIDKey).(string)
	return id
}

// NewID makes an id of 100 random bits behind a prefix.
func NewID(prefix string) string {
	var b [13]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return prefix + "_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))[:20]
}

// outer is what every request passes first: an id, a recover, safe headers, no
// cross-site writes.
func (s *Server) outer(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := NewID("req")
		r = r.WithContext(context.WithValue(r.Context(), requestIDKey, id))
		h := w.Header()
		h["X-Request-Id"] = []string{id}
		inTime(w, r)
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
				s.Log.Error("handler panicked", "route", r.Pattern, "request_id", id, "panic", v, "stack", string(debug.Stack()))
				s.fail(w, r, fmt.Errorf("panic: %v", v))
			}
		}()
		if !forSDKs(r.URL.Path) {
			secure(h)
			if err := origin.Check(r); err != nil {
				s.fail(w, r, fault.New(fault.Forbidden, "cross_site", "This request came from another site and was refused."))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// forSDKs tells the addresses that programs call with an API key.
func forSDKs(path string) bool {
	return strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v1beta/")
}

// policy allows the page its own files and nothing else. Inline styles are
// allowed because the components position pop-ups with them.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

// guarded wraps a route's handler: who asks is found once, here.
func (s *Server) guarded(rt route) http.Handler {
	fail := s.fail
	if forSDKs(rt.path) {
		fail = s.failIn(dialectOf(rt.path))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rt.guard != anyone {
			id, err := s.identify(r, rt.guard)
			if err != nil {
				fail(w, r, err)
				return
			}
			r = r.WithContext(context.WithValue(r.Context(), identityKey, &id))
		}
		if err := rt.handle(w, r); err != nil && !left(r, err) {
			fail(w, r, err)
		}
	})
}

// left tells whether a request failed only because who made it is gone: nobody
// reads what is answered, and nothing is wrong.
func left(r *http.Request, err error) bool {
	return r.Context().Err() != nil && errors.Is(err, context.Canceled)
}

func (s *Server) identify(r *http.Request, g guard) (account.Identity, error) {
	key, given := apiKeyIn(r)
	if g == bearer || g == either && given {
		if key == "" {
			return account.Identity{}, account.ErrBadKey
		}
		return s.Accounts.IdentifyKey(r.Context(), key, time.Now())
	}
	cookie, err := r.Cookie(cookieName(r, s.Public))
	if err != nil {
		return account.Identity{}, account.ErrSignedOut
	}
	id, err := s.Accounts.Identify(r.Context(), cookie.Value, time.Now())
	if err == nil && g == admin && id.User.Role != account.Admin {
		return id, fault.New(fault.Forbidden, "admin_only", "Only administrators may do this.")
	}
	return id, err
}

// apiKeyIn finds the API key of a request where OpenAI's, Anthropic's and
// Google's clients put it, and tells whether there was anything. A key in the
// address is not taken: addresses are logged.
func apiKeyIn(r *http.Request) (key string, given bool) {
	if header := r.Header.Get("Authorization"); header != "" {
		key, _ = strings.CutPrefix(header, "Bearer ")
		if key == header {
			key = ""
		}
		return key, true
	}
	for _, name := range [...]string{"X-Api-Key", "X-Goog-Api-Key"} {
		if key := r.Header.Get(name); key != "" {
			return key, true
		}
	}
	return "", false
}

// unknownRoute tells a wrong method from a path that does not exist.
func unknownRoute(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) error {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		probe := &http.Request{Method: method, URL: &url.URL{Path: r.URL.Path}, Host: r.Host}
		if _, pattern := mux.Handler(probe); strings.Contains(pattern, " ") {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return fault.New(fault.NotAllowed, "method_not_allowed", "This address takes %s only.", strings.Join(allowed, ", "))
	}
	return fault.New(fault.NotFound, "route_unknown", "There is nothing at %s %s.", r.Method, r.URL.Path)
}

// health says whether this instance should get traffic. It asks nobody.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	status, word := http.StatusOK, "ok"
	if s.draining.Load() {
		status, word = http.StatusServiceUnavailable, "draining"
	}
	_ = send(w, status, map[string]any{"status": word, "instance": s.Instance, "version": s.Version, "revision": s.Catalog.Snapshot().Revision})
}

// planOf merges a user's own limits into the plan that applies.
func (s *Server) planOf(u account.User) catalog.Plan {
	snap := s.Catalog.Snapshot()
	plan := snap.Plan(u.Plan)
	for _, own := range []struct {
		to   *int64
		from *int64
	}{
		{&plan.RequestsPerMinute, u.Limits.RequestsPerMinute},
		{&plan.RequestsPerMinuteProvider, u.Limits.RequestsPerMinuteProvider},
		{&plan.ConcurrentAnswers, u.Limits.ConcurrentAnswers},
		{&plan.TokensPerMinute, u.Limits.TokensPerMinute},
		{(*int64)(&plan.CreditsPerDay), u.Limits.CreditsPerDay},
	} {
		if own.from != nil {
			*own.to = *own.from
		}
	}
	return plan
}

// rateHeaders writes what is left of each limit, as the IETF draft "RateLimit
// header fields for HTTP" has it.
func rateHeaders(h http.Header, v limit.Verdict) {
	if v.Degraded {
		// This instance decides alone, with its share of each limit.
		h["X-Onemind-Limits"] = []string{"degraded"}
	}
	if len(v.States) == 0 {
		return
	}
	var policy, left []byte
	for i, st := range v.States {
		if i > 0 {
			policy, left = append(policy, ", "...), append(left, ", "...)
		}
		policy = append(append(append(policy, '"'), st.Scope...), `";q=`...)
		policy = append(strconv.AppendInt(policy, st.Max, 10), ";w=60"...)
		left = append(append(append(left, '"'), st.Scope...), `";r=`...)
		left = strconv.AppendInt(left, max(0, st.Remaining), 10)
		left = strconv.AppendInt(append(left, ";t="...), seconds(st.Reset), 10)
	}
	h["Ratelimit-Policy"] = []string{string(policy)}
	h["Ratelimit"] = []string{string(left)}
}

// slow limits sign-in, sign-up and set-up by address and account.
func (s *Server) slow(r *http.Request, name string) error {
	v, err := s.Limits.Take(r.Context(), time.Now(), []limit.Bucket{
		{Key: "signin:address:" + addressOf(r), Scope: "address", Max: 60, Take: 1},
		{Key: "signin:account:" + strings.ToLower(name), Scope: "account", Max: 10, Take: 1},
	}, limit.Lease{})
	if err != nil {
		return err
	}
	return v.Err()
}
