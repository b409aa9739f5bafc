package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"onemind/internal/llm/sim"
)

// The secrets of the installation under test. Four last letters of a provider's
// key are shown to administrators, and no more.
const (
	canaryKey   = "sk-canary-0123456789abcdefghijklmnopqrstuvwxyz-LAST"
	canaryOther = "sk-canary-second-9876543210zyxwvutsrqponmlkjih-LAST"
)

// leaky is a provider that gives back what it was told, its key included, in
// every place where an answer has room for it. The model's name says where.
func leaky(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") + r.Header.Get("X-Api-Key") + r.Header.Get("X-Goog-Api-Key")
	body, _ := io.ReadAll(r.Body)
	model := "heads" // of a call that no test made
	for name := range leaks() {
		if bytes.Contains(body, []byte(`"model":"`+name+`"`)) || strings.Contains(r.URL.Path, "/"+name+":") {
			model = name
		}
	}
	leaks()[model](leak{w, r, key, bytes.Contains(body, []byte(`"stream":true`)) || strings.Contains(r.URL.Path, ":stream")})
}

// leak is one call to the leaky provider.
type leak struct {
	w      http.ResponseWriter
	r      *http.Request
	key    string
	stream bool
}

// status answers with an error of a status.
func (l leak) status(status int, kind, body string) {
	l.w.Header().Set("Content-Type", kind)
	l.w.WriteHeader(status)
	_, _ = io.WriteString(l.w, body)
}

// refuse answers with an error of OpenAI's shape that names the key.
func (l leak) refuse(status int, code string) {
	l.status(status, "application/json", fmt.Sprintf(`{"error":{"message":"Incorrect API key provided: Bearer %s. Yours is %s.","type":%q,"param":%q,"code":%q}}`, l.key, l.key, code, l.key, code))
}

// headers puts the key where an answer's head has room.
func (l leak) headers() {
	for _, name := range []string{"Authorization", "X-Api-Key", "X-Request-Id", "Openai-Organization", "Www-Authenticate", "Retry-After", "Set-Cookie", "Server", "Location"} {
		l.w.Header().Set(name, "Bearer "+l.key)
	}
}

// begin sends the first words of an answer.
func (l leak) begin() {
	l.w.Header().Set("Content-Type", "text/event-stream")
	for range 3 {
		fmt.Fprint(l.w, `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}`+"\n\n")
	}
	_ = http.NewResponseController(l.w).Flush()
}

// raw answers with bytes that need not be HTTP.
func (l leak) raw(text string) {
	conn, _, err := http.NewResponseController(l.w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, strings.ReplaceAll(text, "KEY", l.key))
}

// answer is a good answer, whole or streamed.
func (l leak) answer() {
	if !l.stream {
		l.status(200, "application/json", `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"word"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}`)
		return
	}
	l.begin()
	fmt.Fprint(l.w, `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}}`+"\n\ndata: [DONE]\n\n")
}

// leaks are the places, by the names of the models.
func leaks() map[string]func(leak) {
	return map[string]func(leak){
		"good":      leak.answer,
		"heads":     func(l leak) { l.headers(); l.answer() },
		"refused":   func(l leak) { l.refuse(401, "invalid_api_key") },
		"forbidden": func(l leak) { l.headers(); l.refuse(403, "permission_error") },
		"bad":       func(l leak) { l.refuse(400, "invalid_request_error") },
		"unpaid":    func(l leak) { l.refuse(402, "insufficient_quota") },
		"limited":   func(l leak) { l.headers(); l.refuse(429, "rate_limit_exceeded") },
		"broken":    func(l leak) { l.headers(); l.refuse(500, "server_error") },
		"overload":  func(l leak) { l.refuse(529, "overloaded_error") },
		"escaped": func(l leak) {
			l.status(400, "application/json", `{"error":{"message":"key `+strings.ReplaceAll(l.key, "-", `\u002d`)+`"}}`)
		},
		"named": func(l leak) {
			l.status(400, "application/json", `{"error":{"message":"x","code":"`+l.key+`","type":"`+l.key+`","status":"`+l.key+`"}}`)
		},
		"detail": func(l leak) {
			l.status(422, "application/json", `{"detail":[{"msg":"`+l.key+`","loc":["`+l.key+`"]}]}`)
		},
		"text": func(l leak) { l.status(502, "text/plain", "no way, "+l.key) },
		"page": func(l leak) { l.status(503, "text/html", "<html><title>"+l.key+"</title><p>"+l.key) },
		"long": func(l leak) { l.status(500, "text/plain", strings.Repeat("x", 2<<10-30)+l.key+" and on") },
		"longer": func(l leak) {
			l.status(500, "application/json", `{"error":{"message":"`+strings.Repeat("x", 64<<10-50)+l.key+` and on"}}`)
		},
		"padded": func(l leak) {
			l.status(500, "application/json", `{"error":{"message":"`+strings.Repeat("y", 2<<10-30)+l.key+`"}}`)
		},
		"headers": func(l leak) { l.status(500, "text/"+l.key, l.key) },
		"moved": func(l leak) {
			l.w.Header().Set("Location", "http://"+l.r.Host+"/?key="+l.key)
			l.status(302, "text/html", l.key)
		},
		"within":  func(l leak) { l.status(200, "application/json", `{"error":{"message":"`+l.key+`","code":500}}`) },
		"typed":   func(l leak) { l.status(200, "text/"+l.key, l.key) },
		"garbage": func(l leak) { l.begin(); fmt.Fprint(l.w, "data: {"+l.key+"\n\n") },
		"midway": func(l leak) {
			l.begin()
			fmt.Fprint(l.w, `data: {"error":{"message":"Bearer `+l.key+`","type":"`+l.key+`"}}`+"\n\n")
		},
		"event":  func(l leak) { l.begin(); fmt.Fprint(l.w, "event: error\ndata: "+l.key+"\n\n") },
		"cut":    func(l leak) { l.begin(); fmt.Fprint(l.w, "data: "+l.key); panic(http.ErrAbortHandler) },
		"line":   func(l leak) { l.raw("HTTP/1.1 500 KEY\r\nContent-Length: 0\r\n\r\n") },
		"status": func(l leak) { l.raw("HTTP/1.1 KEY what\r\n\r\n") },
		"echo":   func(l leak) { l.raw("Authorization: Bearer KEY\r\n\r\n") },
		"colon":  func(l leak) { l.raw("HTTP/1.1 200 OK\r\nAuthorization Bearer KEY\r\n\r\n") },
		"length": func(l leak) { l.raw("HTTP/1.1 200 OK\r\nContent-Length: KEY\r\n\r\n") },
		"coding": func(l leak) { l.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: KEY\r\n\r\n") },
		"chunk": func(l leak) {
			l.raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nKEY\r\n")
		},
	}
}

// hunt collects everything that anybody can see, and the secrets that must not be there.
type hunt struct {
	t       *testing.T
	mu      sync.Mutex
	secrets map[string]string // what it is: the secret
	found   map[string]bool
}

// hide adds a secret, in the forms that it travels in.
func (h *hunt) hide(what, secret string) {
	h.secrets[what] = secret
	h.secrets[what+", begun"] = secret[:min(len(secret), 20)] // part of a key is part of a leak
	h.secrets[what+", in base64"] = base64.StdEncoding.EncodeToString([]byte(secret))[:20]
	if quoted := url.QueryEscape(secret); quoted != secret {
		h.secrets[what+", in a URL"] = quoted
	}
}

// look finds secrets in what somebody can see.
func (h *hunt) look(where string, seen []byte) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for what, secret := range h.secrets {
		if i := bytes.Index(seen, []byte(secret)); i >= 0 && !h.found[where+what] {
			h.found[where+what] = true
			h.t.Errorf("%s is in %s: …%q…", what, where, seen[max(0, i-60):min(len(seen), i+20)])
		}
	}
}

// reply looks through an answer of ours, head and body.
func (h *hunt) reply(r *reply) {
	h.t.Helper()
	var head bytes.Buffer
	_ = r.header.Write(&head)
	h.look("the head of "+r.what, head.Bytes())
	h.look("the body of "+r.what, r.body)
}

// A provider's key, an API key, a session and a password are seen by nobody,
// whatever a provider does with what it was sent: not in answers, headers, logs,
// receipts, the admin's pages, metrics, profiles or the files on disk.
func TestSecretsAppearNowhere(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	upstream := httptest.NewServer(http.HandlerFunc(leaky))
	defer upstream.Close()
	in := stopped(t, sim.New(sim.Options{}))
	ops := in.withOps()
	in.env = append(in.env, "ONEMIND_LOG_LEVEL=debug")
	var models []string
	for _, name := range slices.Sorted(maps.Keys(leaks())) {
		for _, protocol := range []string{"openai", "anthropic", "gemini"} {
			models = append(models, name+"-"+protocol)
		}
	}
	out, errs, code := in.apply(leakyCatalog(upstream.URL, models))
	in.must(out, errs, code)
	if err := os.Remove(filepath.Join(in.dir, "catalog.yaml")); err != nil { // the operator's own file
		t.Fatal(err)
	}
	in.start()
	h := &hunt{t: t, secrets: map[string]string{}, found: map[string]bool{}}
	h.hide("the provider's key", canaryKey)
	h.hide("the provider's second key", canaryOther)
	root, ann := in.user("root", "admin", "0"), in.user("ann", "user", "1000")
	for _, p := range []*person{root, ann} {
		h.hide("the API key of "+p.email, p.key)
		h.hide("the session of "+p.email, p.cookie)
	}
	h.hide("a password", password)
	h.look("what `catalog apply` prints", []byte(out+errs))

	h.calls(ann, models)
	h.strangers(ann)
	h.administration(root, models)
	h.pages(root, ann)
	for _, path := range []string{"/metrics", "/livez", "/readyz", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/trace?seconds=0.2", "/debug/pprof/"} {
		h.outside(ops + path)
	}
	for _, args := range [][]string{{"catalog", "export"}, {"ledger", "check", "--json"}, {"config"}, {"check"}} {
		out, errs, _ := in.cli("", args...)
		h.look("what `"+strings.Join(args, " ")+"` prints", []byte(out+errs))
	}
	h.look("the log", []byte(in.log.String()))
	if !strings.Contains(in.log.String(), "answer failed") {
		t.Error("the log has none of the failures: it was not looked through")
	}
	h.disk(in.dir)
	in.settled(ann)
}

// leakyCatalog has a provider for each model, so that the failures of one do not
// keep calls from another.
func leakyCatalog(upstream string, models []string) string {
	var providers, rows strings.Builder
	for _, m := range models {
		name, protocol, _ := strings.Cut(m, "-")
		fmt.Fprintf(&providers, "  - {id: p-%s, name: Leaky, protocol: %s, base_url: \"%s/v1\", api_keys: [%s], enabled: true, allow_private_address: true, "+
			"timeouts: {connect: 5s, first_token: 20s, idle: 20s}}\n", m, protocol, upstream, canaryKey)
		fmt.Fprintf(&rows, "  - {id: %s, provider: p-%s, upstream_id: %s, name: %s, prices: %s, context_window: 128000, max_output_tokens: 4096, capabilities: [streaming, tools], state: active}\n",
			m, m, name, m, testPrices)
	}
	return "providers:\n" + providers.String() + "models:\n" + rows.String() + noLimits
}

// withOps opens the operators' address and gives its URL.
func (in *instance) withOps() string {
	in.t.Helper()
	l := httptest.NewUnstartedServer(nil)
	addr := l.Listener.Addr().String()
	l.Close()
	in.env = append(in.env, "ONEMIND_OPS_ADDR="+addr)
	return "http://" + addr
}

// calls asks each model, whole and streamed, by key and in the app. They wait for
// providers that are tried again: that is why many go at once.
func (h *hunt) calls(p *person, models []string) {
	h.t.Helper()
	var callers sync.WaitGroup
	places := make(chan struct{}, 16)
	for i, m := range models {
		callers.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			h.ask(p, i, m)
		})
	}
	callers.Wait()
	for i := 0; i < len(models); i += 8 {
		r := p.run(fmt.Sprint("run ", i), 100, models[i:min(i+8, len(models))]...).want(201)
		h.reply(r)
		var v runView
		r.into(&v)
		h.reply(p.app("GET", "/api/runs/"+v.ID+"/events", nil)) // to its end
		h.reply(p.app("GET", "/api/runs/"+v.ID, nil))
	}
}

// ask asks one model by several endpoints.
func (h *hunt) ask(p *person, i int, m string) {
	h.t.Helper()
	message := []any{map[string]any{"role": "user", "content": "x"}}
	prompt := `{"contents":[{"parts":[{"text":"x"}]}]}`
	for _, c := range []struct {
		path string
		body any
	}{
		{"/v1/chat/completions", chatBody(m, true, 100)},
		{"/v1/chat/completions", chatBody(m, false, 100)},
		{"/v1/messages", map[string]any{"model": m, "max_tokens": 9, "messages": message, "stream": i%2 == 0}},
		{"/v1/responses", map[string]any{"model": m, "input": "x", "stream": i%2 == 0}},
		{"/v1beta/models/" + m + ":" + []string{"generateContent", "streamGenerateContent?alt=sse"}[i%2], prompt},
	} {
		r, err := p.in.try(p.in.request(h.t.Context(), "POST", c.path, c.body, "Authorization", "Bearer "+p.key))
		if err != nil {
			h.t.Errorf("%s of %s: %v", c.path, m, err)
			continue
		}
		h.reply(r)
		if m == "good-openai" && r.status != 200 {
			h.t.Errorf("the good model answers %s with %d: %s", c.path, r.status, r.body)
		}
		if id := r.header.Get("X-Request-Id"); id != "" {
			if r, err := p.in.try(p.in.request(h.t.Context(), "GET", "/v1/receipts/"+id, nil, "Authorization", "Bearer "+p.key)); err == nil {
				h.reply(r)
			}
		}
	}
}

// strangers ask with secrets in places where they do not belong, and with wrong ones.
func (h *hunt) strangers(p *person) {
	h.t.Helper()
	const wrong = "om_wrong-canary-AAAABBBBCCCCDDDD"
	h.hide("a wrong key", wrong)
	for _, key := range []string{wrong, p.key} {
		for _, path := range []string{"/v1/models", "/v1beta/models", "/api/me", "/", "/nowhere", "/v1/receipts/req_none"} {
			h.reply(p.in.do("GET", path+"?key="+key+"&api_key="+key, nil))
			h.reply(p.in.do("GET", path, nil, "Authorization", "Bearer "+key+"x"))
			h.reply(p.in.do("GET", path, nil, "X-Api-Key", key+"x", "X-Goog-Api-Key", key+"x"))
			h.reply(p.in.do("GET", path, nil, "Authorization", "Basic "+key, "Cookie", "om_session="+key+"; other="+p.cookie))
		}
		h.reply(p.in.do("POST", "/v1/chat/completions", chatBody("good", false, 5), "Authorization", "Bearer "+key+"x"))
		h.reply(p.in.do("GET", "/v1/models", nil, "Authorization", "Bearer "+key+"x", "X-Request-Id", key, "Traceparent", key))
	}
	h.reply(p.in.do("POST", "/api/auth/login", map[string]any{"email": p.email, "password": password + "!"}))
	h.reply(p.in.do("POST", "/api/auth/login", `{"email":"`+p.email+`","password":"`+password+`"`)) // no JSON
}

// administration changes keys and tests providers, well and badly.
func (h *hunt) administration(root *person, models []string) {
	h.t.Helper()
	provider := root.app("GET", "/api/admin/providers", nil).want(200)
	h.reply(provider)
	tag := func() string { return root.app("GET", "/api/admin/providers", nil).header.Get("ETag") }
	for i, patch := range []map[string]any{
		{"api_keys": []string{canaryKey, canaryOther}},
		{"api_keys": []string{canaryKey, canaryOther}, "base_url": "http://user:" + canaryOther + "@ /" + canaryOther}, // refused
		{"api_keys": canaryOther},                            // of the wrong type
		{"api_keys": []any{canaryOther, map[string]any{}}},   // half of it
		{"api_key": canaryOther, canaryOther: canaryOther},   // unknown members
		{"api_keys": []string{canaryOther + "\n" + "break"}}, // a control character
	} {
		r := root.app("PATCH", "/api/admin/providers/p-good-openai", patch, "If-Match", tag(), "Idempotency-Key", fmt.Sprint("patch ", i))
		h.reply(r)
	}
	for _, m := range models {
		h.reply(root.app("POST", "/api/admin/providers/p-"+m+"/test", map[string]any{"model": m}, "Idempotency-Key", "test "+m))
	}
}

// pages reads every page of the administration and of a person.
func (h *hunt) pages(root, ann *person) {
	h.t.Helper()
	for _, path := range []string{"models", "providers", "plans", "settings", "users?q=ann", "users/" + ann.id, "users/" + ann.id + "/transactions", "revisions", "revisions/1", "revisions/2",
		"revisions/1/diff/2", "audit?limit=200", "usage", "requests?limit=200", "instances", "upstreams", "alerts", "ledger"} {
		h.reply(root.app("GET", "/api/admin/"+path, nil))
	}
	for _, path := range []string{"/api/me", "/api/me/sessions", "/api/keys", "/api/models", "/api/conversations", "/api/credits", "/api/credits/transactions?limit=200", "/", "/health", "/openapi.json"} {
		h.reply(ann.app("GET", path, nil))
	}
	var list struct {
		Items []struct{ ID string }
	}
	ann.app("GET", "/api/conversations", nil).want(200).into(&list)
	for _, c := range list.Items {
		h.reply(ann.app("GET", "/api/conversations/"+c.ID, nil))
	}
}

// outside reads a page of the operators' address.
func (h *hunt) outside(url string) {
	h.t.Helper()
	client := http.Client{Timeout: 20 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		h.t.Error(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusNotFound {
		h.t.Errorf("%s: %d, %v", url, resp.StatusCode, err)
	}
	h.look(url, body)
}

// disk looks through every file of the data directory as bytes: all columns of
// the database, its free pages and its log. Sealed keys are sealed there too.
func (h *hunt) disk(dir string) {
	h.t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		h.look("the file "+d.Name(), data)
		files++
		return err
	})
	if err != nil || files < 2 {
		h.t.Errorf("%d files in the data directory, %v", files, err)
	}
}
