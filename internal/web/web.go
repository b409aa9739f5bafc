// Package web serves the web app. The app is built into dist (see ui/) and
// embedded; a binary built without it serves a small page that says how to
// build it. Files under /assets/ carry a hash of their content in their name
// and never change; every other page of the app is index.html.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed all:dist
var embedded embed.FS

const (
	immutable = "public, max-age=31536000, immutable"
	shared    = "public, s-maxage=3600, max-age=0, must-revalidate"
)

//go:embed missing.html
var missing []byte

// variant is a file in one encoding.
type variant struct {
	body []byte
	etag string
}

// file is what one path serves: as it is, and compressed where the build made that.
type file struct {
	contentType, cache string
	plain              variant
	encoded            map[string]variant // by content coding
}

// Handler serves the embedded app.
type Handler struct {
	files map[string]*file // by URL path, without the index
	index *file
}

// New reads the embedded app.
func New() (*Handler, error) {
	dist, err := fs.Sub(embedded, "dist")
	if err != nil {
		return nil, err
	}
	return open(dist)
}

// codings are the precompressed forms, best first.
func codings() []struct{ name, suffix string } {
	return []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}
}

func open(dist fs.FS) (*Handler, error) {
	h := &Handler{files: map[string]*file{}}
	err := fs.WalkDir(dist, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir // build notes
		case d.IsDir(), strings.HasPrefix(d.Name(), "."), strings.HasSuffix(name, ".br"), strings.HasSuffix(name, ".gz"):
			return nil
		}
		f, err := read(dist, name)
		if err != nil {
			return err
		}
		h.files["/"+name] = f
		return nil
	})
	if err != nil {
		return nil, err
	}
	h.index = h.files["/index.html"]
	delete(h.files, "/index.html")
	if h.index == nil {
		h.index = &file{contentType: "text/html; charset=utf-8", cache: "no-cache", plain: newVariant(missing)}
	}
	return h, nil
}

func read(dist fs.FS, name string) (*file, error) {
	body, err := fs.ReadFile(dist, name)
	if err != nil {
		return nil, err
	}
	f := &file{contentType: contentType(name), cache: shared, plain: newVariant(body), encoded: map[string]variant{}}
	if strings.HasPrefix(name, "assets/") {
		f.cache = immutable
	}
	for _, c := range codings() {
		packed, err := fs.ReadFile(dist, name+c.suffix)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case len(packed) < len(body):
			f.encoded[c.name] = newVariant(packed)
		}
	}
	return f, nil
}

func newVariant(body []byte) variant {
	sum := sha256.Sum256(body)
	return variant{body: body, etag: `"` + hex.EncodeToString(sum[:8]) + `"`}
}

// contentType does not depend on what the machine knows about file names.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".json":
		return "application/json"
	case ".webmanifest":
		return "application/manifest+json"
	case ".woff2":
		return "font/woff2"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// Built tells whether the web app is in this binary.
func (h *Handler) Built() bool { return h.index.cache != "no-cache" }

// ServeHTTP serves a file of the app, or index.html for the app's own pages.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Only GET and HEAD are served here.", http.StatusMethodNotAllowed)
		return
	}
	f := h.files[r.URL.Path]
	if f == nil {
		if strings.HasPrefix(r.URL.Path, "/assets/") {
			w.Header().Set("Cache-Control", "no-store") // it may come with the next deploy
			http.Error(w, "There is no such file.", http.StatusNotFound)
			return
		}
		f = h.index
	}
	f.serve(w, r)
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	v := f.plain
	if len(f.encoded) > 0 {
		head.Set("Vary", "Accept-Encoding")
		for _, c := range codings() {
			if e, ok := f.encoded[c.name]; ok && accepts(r.Header.Get("Accept-Encoding"), c.name) {
				v = e
				head.Set("Content-Encoding", c.name)
				break
			}
		}
	}
	head.Set("Content-Type", f.contentType)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cache-Control", f.cache)
	head.Set("ETag", v.etag)
	if matches(r.Header.Get("If-None-Match"), v.etag) {
		head.Del("Content-Type")
		head.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head.Set("Content-Length", strconv.Itoa(len(v.body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = bytes.NewReader(v.body).WriteTo(w)
	}
}

// accepts reads an Accept-Encoding header: a coding counts unless its weight is zero.
func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(name), coding) {
			continue
		}
		key, value, found := strings.Cut(strings.TrimSpace(params), "=")
		if !found || !strings.EqualFold(strings.TrimSpace(key), "q") {
			return true
		}
		weight, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		return err == nil && weight > 0
	}
	return false
}

func matches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimSpace(part)
		if part == "*" || strings.TrimPrefix(part, "W/") == etag {
			return true
		}
	}
	return false
}
