// Package internal_test holds the architecture of OneMind as a test, so that the
// drawing cannot go stale.
package internal_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "onemind/internal/"

// nouns are the packages of the business. Their rules know no technology.
var nouns = strings.Fields("fault money account limit credit llm upstream catalog gateway replay chat secret fleet")

// technologies each do one thing outside the business. Only main puts one in place.
var technologies = strings.Fields("sqlite memory postgres redis")

// allowed is what each package may import of its siblings, outside of tests.
var allowed = map[string][]string{
	"fault":         {},
	"money":         {"fault"},
	"account":       {"fault"},
	"limit":         {"fault"},
	"credit":        {"fault", "money"},
	"secret":        {"fault"},
	"fleet":         {"fault"},
	"llm":           {"fault"},
	"llm/scan":      {"llm"},
	"llm/wire":      {"fault", "llm", "llm/scan"},
	"llm/count":     {},
	"llm/openai":    {"fault", "llm", "llm/scan", "llm/wire"},
	"llm/responses": {"fault", "llm", "llm/scan"},
	"llm/anthropic": {"fault", "llm", "llm/scan", "llm/wire"},
	"llm/gemini":    {"fault", "llm", "llm/scan", "llm/wire"},
	"llm/sim":       {"fault", "llm"},
	"upstream":      {"fault", "llm"},
	"catalog":       {"fault", "money", "limit", "llm"},
	"gateway":       {"fault", "money", "limit", "credit", "fleet", "llm", "llm/scan", "catalog", "upstream"},
	"replay":        {"fault", "llm"},
	"chat":          {"fault", "money", "limit", "llm", "catalog", "credit", "gateway", "replay", "upstream"},
	"api":           append([]string{"llm/anthropic", "llm/gemini", "llm/openai", "llm/responses", "web"}, nouns...),
	"web":           {},
	"sqlite":        nouns,
	"memory":        nouns,
	"postgres":      nouns,
	"redis":         nouns,
	"servers":       {},
	"storetest":     nouns,
}

// pkg is what the test needs of `go list -json`.
type pkg struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	Imports    []string // of GoFiles: tests may open real stores
}

// packages lists what matches patterns, from the module's root.
func packages(t *testing.T, patterns ...string) []pkg {
	t.Helper()
	args := append([]string{"list", "-e", "-json=ImportPath,Doc,GoFiles,Imports"}, patterns...)
	list := exec.CommandContext(t.Context(), "go", args...) //nolint:gosec // the patterns are in this file
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Fatalf("go list: %s", failed.Stderr)
		}
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// siblings are the packages under internal among imports.
func siblings(imports []string) []string {
	var names []string
	for _, path := range imports {
		if name, ok := strings.CutPrefix(path, root); ok {
			names = append(names, name)
		}
	}
	return names
}

func TestImports(t *testing.T) {
	for _, p := range packages(t, "./internal/...") {
		name, ok := strings.CutPrefix(p.ImportPath, root)
		if !ok || len(p.GoFiles) == 0 {
			continue // this test's own folder
		}
		may, known := allowed[name]
		if !known {
			t.Errorf("internal/%s is not in the table: add it to allowed in internal/deps_test.go, with what it may import", name)
			continue
		}
		for _, other := range siblings(p.Imports) {
			if !slices.Contains(may, other) {
				t.Errorf("internal/%s imports internal/%s; it may import %q only", name, other, may)
			}
			if slices.Contains(technologies, other) {
				t.Errorf("internal/%s imports internal/%s: only cmd puts a technology in place", name, other)
			}
		}
		if strings.TrimSpace(p.Doc) == "" {
			t.Errorf("internal/%s does not open with a package comment: what it owns, what is none of its business", name)
		}
	}
}

// The table itself has to keep the rule it stands for.
func TestTable(t *testing.T) {
	outside := append([]string{"api", "web", "storetest", "servers", "llm/openai", "llm/anthropic", "llm/gemini", "llm/sim", "llm/count"}, technologies...)
	for name, may := range allowed {
		for _, other := range may {
			if _, known := allowed[other]; !known {
				t.Errorf("%s may import %s, which is not in the table", name, other)
			}
			if slices.Contains(nouns, name) && slices.Contains(outside, other) {
				t.Errorf("the noun %s may import %s: a noun knows no technology", name, other)
			}
		}
	}
}

// The nouns know no database either, whoever wrote its driver.
func TestNounsKnowNoTechnology(t *testing.T) {
	for _, p := range packages(t, "./internal/...") {
		if name := strings.TrimPrefix(p.ImportPath, root); !slices.Contains(nouns, name) {
			continue
		}
		for _, path := range p.Imports {
			if path == "database/sql" || strings.Contains(path, "sqlite") || strings.Contains(path, "redis") || strings.Contains(path, "pgx") {
				t.Errorf("%s imports %s: that is a technology's business", p.ImportPath, path)
			}
		}
	}
}

// Outside of tests, commands alone may open a store.
func TestOnlyMainOpensStores(t *testing.T) {
	for _, p := range packages(t, "./...") {
		if strings.HasPrefix(p.ImportPath, "onemind/cmd/") || strings.HasPrefix(p.ImportPath, root) {
			continue // internal is held to the table above
		}
		for _, other := range siblings(p.Imports) {
			if slices.Contains(technologies, other) {
				t.Errorf("%s imports internal/%s: only cmd may", p.ImportPath, other)
			}
		}
	}
}

// Files behind build tags count too, so this one reads the files themselves.
func TestNoUnsafe(t *testing.T) {
	for _, dir := range []string{"../cmd", "../internal", "../bench"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !strings.HasSuffix(path, ".go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			for _, spec := range file.Imports {
				if spec.Path.Value == `"unsafe"` {
					t.Errorf("%s imports unsafe", strings.TrimPrefix(path, "../"))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
