package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"onemind/internal/llm/sim"
)

// Whatever comes in, the answer is a 4xx that says what is wrong.
func TestBadInput(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"m": {Pieces: 5}}}, "m")
	root, ann, bob := in.user("root", "admin", "0"), in.user("ann", "user", "100"), in.user("bob", "user", "100")
	var theirs runView
	bob.run("theirs", 10, "m").want(201).into(&theirs)
	var conv struct {
		Conversation string `json:"conversation_id"`
	}
	bob.app("GET", "/api/runs/"+theirs.ID, nil).into(&conv)
	answer := theirs.Answers[0].ID

	var key struct{ ID, Key string }
	ann.app("POST", "/api/keys", map[string]any{"name": "gone"}).want(201).into(&key)
	ann.app("DELETE", "/api/keys/"+key.ID, nil).want(204)

	const chat, runs = "/v1/chat/completions", "/api/runs"
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	deepObject := strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)
	big := bytes.Repeat([]byte("a"), 26<<20)
	bigChat := append(append([]byte(`{"model":"m","messages":[{"role":"user","content":"`), big...), `"}]}`...)
	message := `"messages":[{"role":"user","content":"hi"}]`
	sdk := []string{"Authorization", "Bearer " + ann.key}
	app := []string{"Cookie", "om_session=" + ann.cookie}
	keyed := append([]string{"Idempotency-Key", "k"}, app...)
	adminApp := []string{"Cookie", "om_session=" + root.cookie}
	with := func(base []string, more ...string) []string { return append(append([]string{}, base...), more...) }
	socket := func(origin string) []string {
		return with(app, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Origin", origin)
	}

	for _, tt := range []struct {
		name, method, path string
		body               any
		headers            []string
		status             int // 0: any 4xx
		code               string
	}{
		{"chat: malformed", "POST", chat, `{"model":`, sdk, 400, "invalid_json"},
		{"chat: empty", "POST", chat, ``, sdk, 400, "invalid_json"},
		{"chat: not an object", "POST", chat, `[1]`, sdk, 400, "invalid_type"},
		{"chat: two values", "POST", chat, `{"model":"m",` + message + `}{}`, sdk, 400, "invalid_json"},
		{"chat: wrong type", "POST", chat, `{"model":7,` + message + `}`, sdk, 400, "invalid_type"},
		{"chat: wrong messages", "POST", chat, `{"model":"m","messages":"hi"}`, sdk, 400, ""},
		{"chat: no messages", "POST", chat, `{"model":"m","messages":[]}`, sdk, 400, ""},
		{"chat: unknown field", "POST", chat, `{"model":"m","nonsense":1,` + message + `}`, sdk, 400, "unknown_parameter"},
		{"chat: 26 MB", "POST", chat, bigChat, sdk, 413, "request_too_large"},
		{"chat: deep array", "POST", chat, `{"model":"m","messages":` + deep + `}`, sdk, 400, ""},
		{"chat: deep object", "POST", chat, deepObject, sdk, 400, ""},
		{"chat: deep unclosed", "POST", chat, strings.Repeat("[", 100_000), sdk, 400, ""},
		{"chat: null byte", "POST", chat, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\x00b\"}]}", sdk, 400, ""},
		{"chat: escaped null", "POST", chat, `{"model":"m","messages":[{"role":"user","content":"a\u0000b"}]}`, sdk, 400, ""},
		{"chat: no UTF-8", "POST", chat, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}", sdk, 400, "invalid_json"},
		{"chat: negative max_tokens", "POST", chat, `{"model":"m","max_tokens":-1,` + message + `}`, sdk, 400, ""},
		{"chat: zero max_tokens", "POST", chat, `{"model":"m","max_tokens":0,` + message + `}`, sdk, 400, ""},
		{"chat: huge max_tokens", "POST", chat, `{"model":"m","max_tokens":9223372036854775807,` + message + `}`, sdk, 400, ""},
		{"chat: beyond int64", "POST", chat, `{"model":"m","max_tokens":1e400,` + message + `}`, sdk, 400, ""},
		{"chat: max_cost", "POST", chat, `{"model":"m","max_cost":"-1",` + message + `}`, sdk, 0, ""},
		{"chat: unknown model", "POST", chat, `{"model":"nobody",` + message + `}`, sdk, 404, "model_not_found"},
		{"chat: GET", "GET", chat, nil, sdk, 0, ""},
		{"chat: no key", "POST", chat, `{"model":"m",` + message + `}`, nil, 401, ""},
		{"chat: garbage key", "POST", chat, `{"model":"m",` + message + `}`, []string{"Authorization", "Bearer om_garbage"}, 401, ""},
		{"chat: other scheme", "POST", chat, `{"model":"m",` + message + `}`, []string{"Authorization", "Basic YTpi"}, 401, ""},
		{"chat: huge key", "POST", chat, `{"model":"m",` + message + `}`, []string{"Authorization", "Bearer om_" + strings.Repeat("a", 30_000)}, 401, ""},
		{"chat: revoked key", "POST", chat, `{"model":"m",` + message + `}`, []string{"Authorization", "Bearer " + key.Key}, 401, ""},
		{"chat: a session is no key", "POST", chat, `{"model":"m",` + message + `}`, app, 401, ""},
		{"receipt of another", "GET", "/v1/receipts/" + answer, nil, sdk, 404, ""},
		{"unknown /v1 route", "GET", "/v1/nothing", nil, sdk, 404, ""},

		{"run: malformed", "POST", runs, `{"prompt":`, keyed, 400, "invalid_json"},
		{"run: empty", "POST", runs, ``, keyed, 400, ""},
		{"run: not an object", "POST", runs, `"x"`, keyed, 0, ""},
		{"run: two values", "POST", runs, `{"prompt":"a","models":["m"]} 1`, keyed, 400, ""},
		{"run: bracket behind", "POST", runs, `{"prompt":"a","models":["m"]}}`, keyed, 400, ""},
		{"run: wrong type", "POST", runs, `{"prompt":7,"models":["m"]}`, keyed, 422, "invalid_field"},
		{"run: unknown field", "POST", runs, `{"prompt":"a","models":["m"],"nonsense":1}`, keyed, 422, "invalid_field"},
		{"run: 26 MB", "POST", runs, bigChat, keyed, 413, "request_too_large"},
		{"run: deep", "POST", runs, deep, keyed, 400, ""},
		{"run: null byte", "POST", runs, "{\"prompt\":\"a\x00\",\"models\":[\"m\"]}", keyed, 400, ""},
		{"run: escaped null", "POST", runs, `{"prompt":"a\u0000","models":["m"]}`, keyed, 400, ""},
		{"run: negative max_tokens", "POST", runs, `{"prompt":"a","models":["m"],"max_tokens":-1}`, keyed, 422, "invalid_field"},
		{"run: beyond int64", "POST", runs, `{"prompt":"a","models":["m"],"max_tokens":1e30}`, keyed, 0, ""},
		{"run: negative max_cost", "POST", runs, `{"prompt":"a","models":["m"],"max_cost_nano_usd":-1}`, keyed, 422, ""},
		{"run: tiny max_cost", "POST", runs, `{"prompt":"a","models":["m"],"max_cost_nano_usd":1}`, keyed, 422, ""},
		{"run: no prompt", "POST", runs, `{"prompt":"  ","models":["m"]}`, keyed, 422, ""},
		{"run: no models", "POST", runs, `{"prompt":"a","models":[]}`, keyed, 422, ""},
		{"run: 16 models", "POST", runs, `{"prompt":"a","models":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16"]}`, keyed, 422, ""},
		{"run: a model twice", "POST", runs, `{"prompt":"a","models":["m","m"]}`, keyed, 422, ""},
		{"run: unknown model", "POST", runs, `{"prompt":"a","models":["nobody"]}`, keyed, 404, "model_not_found"},
		{"run: temperature", "POST", runs, `{"prompt":"a","models":["m"],"temperature":9}`, keyed, 422, ""},
		{"run: image", "POST", runs, `{"prompt":"a","models":["m"],"images":["http://127.0.0.1/x.png"]}`, keyed, 422, ""},
		{"run: image without data", "POST", runs, `{"prompt":"a","models":["m"],"images":["data:image/png"]}`, keyed, 0, ""},
		{"run: no idempotency key", "POST", runs, `{"prompt":"a","models":["m"]}`, app, 428, "idempotency_key_required"},
		{"run: long idempotency key", "POST", runs, `{"prompt":"a","models":["m"]}`, with(app, "Idempotency-Key", strings.Repeat("k", 300)), 422, ""},
		{"run: another content type", "POST", runs, `{"prompt":"a","models":["m"]}`, with(keyed, "Content-Type", "text/plain"), 400, "content_type"},
		{"run: in another's conversation", "POST", runs, map[string]any{"prompt": "a", "models": []string{"m"}, "conversation_id": conv.Conversation}, with(app, "Idempotency-Key", "z"), 404, ""},
		{"estimate: in another's conversation", "POST", runs + "/estimate", map[string]any{"prompt": "a", "models": []string{"m"}, "conversation_id": conv.Conversation}, app, 404, ""},
		{"estimate: no prompt, no models", "POST", runs + "/estimate", `{"prompt":"","models":[]}`, app, 422, ""},
		{"estimate: no prompt, negative", "POST", runs + "/estimate", `{"prompt":"","models":["m"],"max_tokens":-5}`, app, 422, ""},
		{"run of another", "GET", "/api/runs/" + theirs.ID, nil, app, 404, ""},
		{"events of another", "GET", "/api/runs/" + theirs.ID + "/events", nil, app, 404, ""},
		{"stop another's run", "POST", "/api/runs/" + theirs.ID + "/stop", `{}`, app, 404, ""},
		{"retry another's answer", "POST", "/api/runs/" + theirs.ID + "/retry", `{"answer":"` + answer + `"}`, keyed, 404, ""},
		{"another's conversation", "GET", "/api/conversations/" + conv.Conversation, nil, app, 404, ""},
		{"rename another's conversation", "PATCH", "/api/conversations/" + conv.Conversation, `{"title":"mine"}`, app, 404, ""},
		{"delete another's conversation", "DELETE", "/api/conversations/" + conv.Conversation, nil, app, 404, ""},
		{"select in another's run", "PUT", "/api/conversations/" + conv.Conversation + "/runs/" + theirs.ID + "/selection", `{"answers":[]}`, app, 404, ""},
		{"receipt of another in the app", "GET", "/api/receipts/" + answer, nil, app, 404, ""},
		{"an unknown run", "GET", "/api/runs/run_%00%ff", nil, app, 404, ""},
		{"events: bad number", "GET", "/api/runs/" + theirs.ID + "/events?after=x", nil, app, 0, ""},
		{"a long id", "GET", "/api/runs/" + strings.Repeat("x", 20_000), nil, app, 404, ""},
		{"bad limit", "GET", "/api/conversations?limit=x", nil, app, 422, ""},
		{"bad cursor", "GET", "/api/conversations?cursor=%00garbage", nil, app, 0, ""},
		{"bad transactions cursor", "GET", "/api/credits/transactions?cursor=-5", nil, app, 0, ""},
		{"title too long", "POST", "/api/conversations", map[string]any{"title": strings.Repeat("x", 500)}, app, 422, ""},
		{"no session", "GET", "/api/me", nil, nil, 401, ""},
		{"garbage session", "GET", "/api/me", nil, []string{"Cookie", "om_session=garbage"}, 401, ""},
		{"forged session", "GET", "/api/me", nil, []string{"Cookie", "om_session=" + ann.cookie + "x"}, 401, ""},
		{"a key is no session", "GET", "/api/me", nil, sdk, 401, ""},
		{"cross-site post", "POST", runs, `{"prompt":"a","models":["m"]}`, with(keyed, "Sec-Fetch-Site", "cross-site"), 403, "cross_site"},
		{"foreign origin", "POST", runs, `{"prompt":"a","models":["m"]}`, with(keyed, "Origin", "https://evil.example"), 403, "cross_site"},
		{"cross-site login", "POST", "/api/auth/login", `{"email":"a@example.org","password":"x"}`, []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross_site"},
		{"cross-site delete", "DELETE", "/api/keys/x", nil, with(app, "Sec-Fetch-Site", "cross-site"), 403, "cross_site"},
		{"foreign socket", "GET", "/api/ws", nil, socket("https://evil.example"), 403, ""},
		{"no socket", "GET", "/api/ws", nil, app, 426, ""},
		{"wrong password", "POST", "/api/auth/login", map[string]any{"email": ann.email, "password": "wrong wrong wrong"}, nil, 401, "bad_credentials"},
		{"set-up with a wrong token", "POST", "/api/setup", map[string]any{"token": "x", "email": "x@example.org", "password": password}, nil, 0, ""},
		{"wrong method", "PUT", "/api/me", `{}`, app, 0, ""},
		{"unknown route", "GET", "/api/nothing", nil, app, 404, ""},

		{"admin: no If-Match", "PATCH", "/api/admin/models/m", `{"name":"M"}`, adminApp, 428, "if_match_required"},
		{"admin: stale If-Match", "PATCH", "/api/admin/models/m", `{"name":"M"}`, with(adminApp, "If-Match", `"1"`), 412, "revision_stale"},
		{"admin: garbage If-Match", "PATCH", "/api/admin/models/m", `{"name":"M"}`, with(adminApp, "If-Match", `"x"`), 0, ""},
		{"admin: unknown model", "PATCH", "/api/admin/models/nobody", `{"name":"M"}`, with(adminApp, "If-Match", `*`), 0, ""},
		{"admin: negative price", "POST", "/api/admin/models/m/prices", `{"prices":{"input_nano_usd":-1}}`, adminApp, 422, ""},
		{"admin: price beyond int64", "POST", "/api/admin/models/m/prices", `{"prices":{"input_nano_usd":1e40}}`, adminApp, 0, ""},
		{"admin: price in the past", "POST", "/api/admin/models/m/prices", `{"prices":{"input_nano_usd":1},"effective_at":"2001-01-01T00:00:00Z"}`, adminApp, 422, ""},
		{"admin: no such plan", "PATCH", "/api/admin/users/" + ann.id, `{"plan":"nope"}`, adminApp, 422, ""},
		{"admin: no such state", "PATCH", "/api/admin/users/" + ann.id, `{"state":"gone"}`, adminApp, 422, ""},
		{"admin: no such role", "PATCH", "/api/admin/users/" + ann.id, `{"role":"god"}`, adminApp, 422, ""},
		{"admin: no such user", "GET", "/api/admin/users/nobody", nil, adminApp, 404, ""},
		{"admin: credits as words", "POST", "/api/admin/users/" + ann.id + "/credits", `{"credits":"many","reason":"x"}`, with(adminApp, "Idempotency-Key", "a"), 422, ""},
		{"admin: no credits", "POST", "/api/admin/users/" + ann.id + "/credits", `{"reason":"x"}`, with(adminApp, "Idempotency-Key", "a"), 422, ""},
		{"admin: credits beyond bounds", "POST", "/api/admin/users/" + ann.id + "/credits", `{"credits":99999999999999999999,"reason":"x"}`, with(adminApp, "Idempotency-Key", "b"), 422, ""},
		{"admin: credits without a key", "POST", "/api/admin/users/" + ann.id + "/credits", `{"credits":1,"reason":"x"}`, adminApp, 428, ""},
		{"admin: more back than there is", "POST", "/api/admin/users/" + ann.id + "/credits", `{"credits":-1000,"reason":"x"}`, with(adminApp, "Idempotency-Key", "c"), 0, ""},
		{"admin: provider in a private network", "POST", "/api/admin/providers", `{"id":"p","protocol":"openai","base_url":"http://169.254.169.254/v1","enabled":true}`, adminApp, 0, ""},
		{"admin: revision", "GET", "/api/admin/revisions/x", nil, adminApp, 422, ""},
		{"admin: unknown revision", "GET", "/api/admin/revisions/999999", nil, adminApp, 404, ""},
		{"admin: roll back to nowhere", "POST", "/api/admin/revisions/999999/rollback", `{}`, adminApp, 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := in.try(in.request(t.Context(), tt.method, tt.path, tt.body, tt.headers...))
			if err != nil {
				t.Fatal(err)
			}
			if tt.status != 0 && r.status != tt.status || r.status < 400 || r.status > 499 || tt.code != "" && r.code() != tt.code {
				t.Errorf("%d, want %d %s: %.300s", r.status, tt.status, tt.code, r.body)
			}
			if r.header.Get("X-Request-Id") == "" {
				t.Error("no request id")
			}
		})
	}
	in.settled(ann, bob, root)
	if text := in.log.String(); strings.Contains(text, "panic") || strings.Contains(text, "request failed") {
		t.Error("the server blames itself")
	}
}

// What is searched for is bounded before a database sees it.
func TestSearchIsBounded(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"m": {Pieces: 5}}}, "m")
	root := in.user("root", "admin", "0")
	for _, path := range []string{"/api/admin/users", "/api/conversations"} {
		for _, letter := range []string{"a", "%25", "%F0%9F%98%80"} { // 1 byte, one that a pattern escapes, 4 bytes
			root.app("GET", path+"?q="+strings.Repeat(letter, 200), nil).want(200)
			for _, n := range []int{201, 60_000 / len(letter)} {
				r := root.app("GET", path+"?q="+strings.Repeat(letter, n), nil).want(422)
				if text := string(r.body); r.code() != "invalid_field" || !strings.Contains(text, `"field":"q"`) || !strings.Contains(text, "200 characters") {
					t.Errorf("%s with %d: %s", path, n, text)
				}
			}
		}
	}
	if text := in.log.String(); strings.Contains(text, "request failed") {
		t.Error("the server blames itself")
	}
}

// A broken file changes nothing and says where it is broken.
func TestBrokenCatalogFile(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"m": {Pieces: 5}}}, "m")
	p := in.user("ann", "user", "100")
	revision := func() int64 {
		var v struct{ Revision int64 }
		in.do("GET", "/api/config", nil).want(200).into(&v)
		return v.Revision
	}
	before := revision()
	for _, tt := range []struct{ name, yaml, at, field string }{
		{"syntax", "models:\n  - id: m\n   name: [\n", "catalog.yaml:", ""},
		{"wrong type", "models:\n  - id: m\n    context_window: big\n", "catalog.yaml:3", "context_window"},
		{"unknown field", "models:\n  - id: m\n    nonsense: 1\n", "catalog.yaml:3", "nonsense"},
		{"negative price", "models:\n  - id: m\n    prices: {input: -1, output: 1}\n", "catalog.yaml:3", "prices.input"},
		{"unknown provider", "models:\n  - id: new\n    provider: nobody\n    upstream_id: x\n    name: X\n    prices: {input: 1, output: 1}\n    context_window: 1000\n    max_output_tokens: 10\n    state: active\n", "catalog.yaml:", "provider"},
		{"bad settings", "settings:\n  markup_percent: -3\n", "catalog.yaml:2", "markup_percent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, errs, code := in.apply(tt.yaml)
			if code == 0 || !strings.Contains(errs, tt.at) || !strings.Contains(errs, tt.field) {
				t.Errorf("exit code %d: %s%s", code, out, errs)
			}
		})
	}
	if got := revision(); got != before {
		t.Errorf("revision %d is served after %d", got, before)
	}
	p.sdk("POST", "/v1/chat/completions", chatBody("m", false, 10)).want(200)
}

// A price that an administrator changes counts from the next request on; what was
// charged stays, and a rollback brings the old price back.
func TestPriceChange(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"m": {Pieces: 50}}}, "m")
	root, p := in.user("root", "admin", "0"), in.user("ann", "user", "1000")
	call := func() receipt {
		t.Helper()
		return p.receipt(p.sdk("POST", "/v1/chat/completions", chatBody("m", false, 100)).want(200).header.Get("X-Request-Id"))
	}
	list := root.app("GET", "/api/admin/models", nil).want(200)
	first := call()
	if first.Charge <= 50*1300 || first.Charge > 50*1300+1000 {
		t.Errorf("50 tokens at $1 a million and 30%% cost %d", first.Charge)
	}
	changed := root.app("PATCH", "/api/admin/models/m", `{"prices":{"output_nano_usd":2000000000}}`, "If-Match", list.header.Get("ETag")).want(200)
	second := call()
	if second.Charge-50*1300 != first.Charge || second.Version == first.Version || second.Revision != first.Revision+1 {
		t.Errorf("before %+v, after %+v", first, second)
	}
	if again := p.receipt(first.ID); again != first {
		t.Errorf("the receipt was %+v and is %+v", first, again)
	}
	root.app("PATCH", "/api/admin/models/m", `{"name":"late"}`, "If-Match", list.header.Get("ETag")).want(412)
	root.app("PATCH", "/api/admin/models/m", `{"name":"in time"}`, "If-Match", changed.header.Get("ETag")).want(200)
	root.app("POST", fmt.Sprintf("/api/admin/revisions/%d/rollback", first.Revision), `{}`).want(201)
	third := call()
	if third.Charge != first.Charge || third.Revision <= second.Revision+1 {
		t.Errorf("at first %+v, after the rollback %+v", first, third)
	}
	// A change made beside the server is served soon, too.
	in.must(in.apply("models:\n  - {id: m, prices: {input: 0.01, output: 3}}\n"))
	in.poll("the new price is served", func() bool { return call().Charge == first.Charge+100*1300 })
	in.settled(p)
	sum := int64(0)
	for _, c := range unique(t, p.entries()) {
		sum += c
	}
	if b := p.balance(); b.Total+sum != 1000*10_000_000 {
		t.Errorf("%d left and %d charged", b.Total, sum)
	}
}

// A suspended user is out at once, and so is a revoked key.
func TestSuspendAndRevoke(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"m": {Pieces: 5}}}, "m")
	root, p := in.user("root", "admin", "0"), in.user("ann", "user", "100")
	out := func(r *reply) {
		t.Helper()
		if r.status != 401 && r.status != 403 {
			t.Errorf("%s: %d %s", r.what, r.status, r.body)
		}
	}
	body := chatBody("m", false, 10)
	p.sdk("POST", "/v1/chat/completions", body).want(200)
	var extra struct{ ID, Key string }
	p.app("POST", "/api/keys", map[string]any{"name": "extra"}).want(201).into(&extra)
	in.do("POST", "/v1/chat/completions", body, "Authorization", "Bearer "+extra.Key).want(200)
	p.app("DELETE", "/api/keys/"+extra.ID, nil).want(204)
	out(in.do("POST", "/v1/chat/completions", body, "Authorization", "Bearer "+extra.Key))
	p.sdk("POST", "/v1/chat/completions", body).want(200)

	root.app("PATCH", "/api/admin/users/"+p.id, `{"state":"suspended"}`).want(200)
	out(p.sdk("POST", "/v1/chat/completions", body))
	out(p.sdk("GET", "/v1/models", nil))
	out(p.app("GET", "/api/me", nil))
	out(p.run("suspended", 10, "m"))
	out(in.do("POST", "/api/auth/login", map[string]any{"email": p.email, "password": password}))

	root.app("PATCH", "/api/admin/users/"+p.id, `{"state":"active"}`).want(200)
	p.sdk("POST", "/v1/chat/completions", body).want(200)
	out(p.app("GET", "/api/me", nil)) // the old session stays ended
	p.login()
	p.app("GET", "/api/me", nil).want(200)
	p.app("POST", "/api/auth/logout", map[string]any{}).want(204)
	out(p.app("GET", "/api/me", nil))

	// The last administrator cannot lock everybody out.
	if r := root.app("PATCH", "/api/admin/users/"+root.id, `{"state":"suspended"}`); r.status < 400 || r.status > 499 {
		t.Errorf("the last administrator was suspended: %d %s", r.status, r.body)
	}
}

// Every route of the description has its guard: nobody gets in without
// credentials, and no member gets into administration.
func TestGuards(t *testing.T) {
	in := newInstance(t, sim.Options{}, "m")
	p := in.user("ann", "user", "0")
	var doc struct {
		Paths map[string]map[string]struct {
			Security []map[string]any `json:"security"`
		} `json:"paths"`
	}
	in.do("GET", "/openapi.json", nil).want(200).into(&doc)
	public := map[string]bool{"GET /api/config": true, "POST /api/setup": true, "POST /api/auth/signup": true, "POST /api/auth/login": true,
		"POST /api/auth/logout": true, "GET /openapi.json": true, "GET /docs": true, "GET /.well-known/onemind-receipt-keys.json": true}
	n := 0
	for path, methods := range doc.Paths {
		for method := range methods {
			n++
			method = strings.ToUpper(method)
			name := method + " " + path
			at := strings.NewReplacer("{id}", "x", "{call}", "x:generateContent", "{run}", "x", "{n}", "1", "{a}", "1", "{b}", "1").Replace(path)
			if strings.Contains(at, "{") {
				t.Errorf("%s: what is in the path?", name)
			}
			var body any
			if method != http.MethodGet && method != http.MethodDelete {
				body = `{}`
			}
			if public[name] {
				if r := in.do(method, at, body); r.status >= 500 {
					t.Errorf("%s: %d %s", name, r.status, r.body)
				}
				continue
			}
			if r := in.do(method, at, body, "Idempotency-Key", "x", "If-Match", `"1"`); r.status != 401 {
				t.Errorf("%s without credentials: %d %.200s", name, r.status, r.body)
			}
			if r := in.do(method, at, body, "Cookie", "om_session=x", "Authorization", "Bearer om_x"); r.status != 401 {
				t.Errorf("%s with forged credentials: %d %.200s", name, r.status, r.body)
			}
			if !strings.HasPrefix(path, "/api/admin/") {
				continue
			}
			if r := p.app(method, at, body, "Idempotency-Key", "x", "If-Match", `"1"`); r.status != 403 {
				t.Errorf("%s as a member: %d %.200s", name, r.status, r.body)
			}
			if r := p.sdk(method, at, body); r.status != 401 {
				t.Errorf("%s with an API key: %d %.200s", name, r.status, r.body)
			}
		}
	}
	if n < 60 {
		t.Errorf("%d routes are described", n)
	}
}

// A start is quick and needs nothing.
func TestStartIsQuick(t *testing.T) {
	in := newInstance(t, sim.Options{}, "m")
	in.kill()
	began := time.Now()
	in.start()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the start took %s s", strconv.FormatFloat(took.Seconds(), 'f', 1, 64))
	}
}
