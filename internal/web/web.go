// Package web serves the single-page app that is built into the binary: hashed
// assets that never change, and one page for every address of the app. It knows
// nothing of the API.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// missingPage is shown by a binary that was built without the app.
const missingPage = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>OneMind</title></head>
<body><h1>OneMind is running</h1><p>This binary was built without the web app. Run <code>make ui</code> and build again.
The API is at <code>/v1</code>; its description is at <a href="/docs">/docs</a>.</p></body></html>`

// file is one file with the encodings it was built in.
type file struct {
	plain, br, gz []byte
	kind, tag     string
}

// Handler serves the app.
type Handler struct {
	files map[string]*file // by path, such as "/assets/index-abc.js"
	index *file
}

// New reads the embedded files.
func New() (*Handler, error) {
	h := &Handler{files: map[string]*file{}}
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, ".br") || strings.HasSuffix(name, ".gz") || d.Name() == ".gitkeep" {
			return err
		}
		f, err := read(name)
		if err == nil {
			h.files[strings.TrimPrefix(name, "dist")] = f
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the embedded page: %w", err)
	}
	h.index = h.files["/index.html"]
	if h.index == nil {
		h.index = newFile([]byte(missingPage), "text/html; charset=utf-8")
	}
	return h, nil
}

func newFile(data []byte, kind string) *file {
	sum := sha256.Sum256(data)
	return &file{plain: data, kind: kind, tag: hex.EncodeToString(sum[:12])}
}

func read(name string) (*file, error) {
	data, err := dist.ReadFile(name)
	if err != nil {
		return nil, err
	}
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // the system's table may lack or differ in these
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".webmanifest":
		kind = "application/manifest+json"
	case ".svg":
		kind = "image/svg+xml"
	}
	f := newFile(data, kind)
	f.br, _ = dist.ReadFile(name + ".br") // not every file is worth compressing
	f.gz, _ = dist.ReadFile(name + ".gz")
	return f, nil
}

// ServeHTTP answers with a file, or with the page for every other address.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f, found := h.files[r.URL.Path]
	switch {
	case found && strings.HasPrefix(r.URL.Path, "/assets/"):
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	case found && r.URL.Path != "/index.html":
		w.Header().Set("Cache-Control", "public, max-age=3600")
	case strings.HasPrefix(r.URL.Path, "/assets/"):
		w.Header().Set("Cache-Control", "no-store")
		http.NotFound(w, r)
		return
	default: // an address of the app: it finds its own way
		f = h.index
		w.Header().Set("Cache-Control", "public, max-age=0, s-maxage=3600, must-revalidate")
	}
	f.serve(w, r)
}

// serve answers with the best encoding the reader takes.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	data, encoding := f.plain, ""
	accepted := r.Header.Get("Accept-Encoding")
	switch {
	case f.br != nil && strings.Contains(accepted, "br"):
		data, encoding = f.br, "br"
	case f.gz != nil && strings.Contains(accepted, "gzip"):
		data, encoding = f.gz, "gzip"
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Vary", "Accept-Encoding")
	tag := `"` + f.tag + `"`
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
		tag = `"` + f.tag + "-" + encoding + `"`
	}
	h.Set("ETag", tag)
	if match := r.Header.Get("If-None-Match"); match != "" && strings.Contains(match, tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", fmt.Sprint(len(data)))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = bytes.NewReader(data).WriteTo(w) // the reader may be gone
}
