package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func app(t *testing.T) *Handler {
	t.Helper()
	long := strings.Repeat("console.log(1);", 20)
	h, err := open(fstest.MapFS{
		".gitkeep":               {},
		".vite/manifest.json":    {Data: []byte("{}")},
		"index.html":             {Data: []byte("<!doctype html><title>app</title>")},
		"index.html.gz":          {Data: []byte("gzipped")},
		"favicon.svg":            {Data: []byte("<svg/>")},
		"assets/app-12345.js":    {Data: []byte(long)},
		"assets/app-12345.js.br": {Data: []byte("br")},
		"assets/app-12345.js.gz": {Data: []byte("gzip")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPages(t *testing.T) {
	h := app(t)
	for _, path := range []string{"/", "/c/abc", "/admin/models", "/login", "/index.html", "/.vite/manifest.json", "/.gitkeep"} {
		w := get(h, path)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "app") {
			t.Errorf("%s: %d %q, want the app", path, w.Code, w.Body)
		}
		if got := w.Header().Get("Cache-Control"); got != "public, s-maxage=3600, max-age=0, must-revalidate" {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
		if w.Header().Get("ETag") == "" {
			t.Errorf("%s: no ETag", path)
		}
	}
}

func TestAssets(t *testing.T) {
	h := app(t)
	for accept, want := range map[string]struct{ coding, body string }{
		"":                    {"", "console"},
		"gzip, deflate, br":   {"br", "br"},
		"gzip":                {"gzip", "gzip"},
		"br;q=0, gzip;q=0.5":  {"gzip", "gzip"},
		"identity, zstd;q=1.": {"", "console"},
	} {
		w := get(h, "/assets/app-12345.js", "Accept-Encoding", accept)
		if got := w.Header().Get("Content-Encoding"); w.Code != http.StatusOK || got != want.coding || !strings.HasPrefix(w.Body.String(), want.body) {
			t.Errorf("Accept-Encoding %q: %d %q %q", accept, w.Code, got, w.Body)
		}
		if got := w.Header().Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
			t.Errorf("Cache-Control %q", got)
		}
		if got := w.Header().Get("Vary"); got != "Accept-Encoding" {
			t.Errorf("Vary %q", got)
		}
		if got := w.Header().Get("Content-Type"); got != "text/javascript; charset=utf-8" {
			t.Errorf("Content-Type %q", got)
		}
	}
	if w := get(h, "/assets/gone.js"); w.Code != http.StatusNotFound || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("missing asset: %d %v", w.Code, w.Header())
	}
}

func TestNotModified(t *testing.T) {
	h := app(t)
	tag := get(h, "/assets/app-12345.js", "Accept-Encoding", "br").Header().Get("ETag")
	w := get(h, "/assets/app-12345.js", "Accept-Encoding", "br", "If-None-Match", `"other", W/`+tag)
	if w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("%d %q, want 304", w.Code, w.Body)
	}
	if w := get(h, "/assets/app-12345.js", "If-None-Match", tag); w.Code != http.StatusOK {
		t.Errorf("the tag of one coding must not match another: %d", w.Code)
	}
}

func TestMethods(t *testing.T) {
	h := app(t)
	for method, want := range map[string]int{http.MethodHead: 200, http.MethodPost: 405} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/", nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", method, w.Code, want)
		}
		if method == http.MethodHead && w.Body.Len() != 0 {
			t.Error("HEAD has a body")
		}
	}
}

func TestWithoutApp(t *testing.T) {
	h, err := open(fstest.MapFS{".gitkeep": {}})
	if err != nil {
		t.Fatal(err)
	}
	w := get(h, "/c/abc")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "make ui") || w.Header().Get("Cache-Control") != "no-cache" || h.Built() {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestNew(t *testing.T) {
	if _, err := New(); err != nil {
		t.Fatal(err)
	}
}
