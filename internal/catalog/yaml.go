package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"onemind/internal/fault"
)

// maxFile bounds a YAML file: 2,000 models with everything take about 1 MB.
const maxFile = 4 << 20

// maxNodes bounds how many values are read, so that aliases of aliases cannot
// make a small file a large one.
const maxNodes = 400_000

// File is a catalog file, read and checked as far as it can be on its own.
type File struct {
	name      string
	providers section
	models    section
	plans     section
	settings  *yaml.Node
	lines     map[string]string // entry or field -> "file:line"
}

// section is a list of rows of one kind.
type section struct {
	named bool // the file has it, maybe empty
	rows  []row
}

type row struct {
	id   string
	node *yaml.Node
}

// ParseYAML reads a catalog file. It is strict: an unknown field, a value of
// another type, a name used twice or a number that is no plain decimal is
// refused with "file:line: field: rule". Prices are US dollars per million
// tokens and read from their digits, never through a float.
func ParseYAML(name string, data []byte) (*File, error) {
	r := &reader{file: filepath.Base(name), lines: map[string]string{}}
	f := &File{name: r.file, lines: r.lines}
	root := r.document(data)
	if root != nil {
		decode(r, root, "", fileFields(), f)
		if !f.providers.named && !f.models.named && !f.plans.named && f.settings == nil && len(r.problems) == 0 {
			r.bad(root, "file", "names nothing: it needs providers, models, plans or settings")
		}
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return f, nil
}

// document gives the file's one document, nil if there is none.
func (r *reader) document(data []byte) *yaml.Node {
	top := &yaml.Node{Line: 1}
	if len(data) > maxFile {
		r.bad(top, "file", "must be at most %d bytes", maxFile)
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		r.bad(top, "file", "is empty")
		return nil
	} else if err != nil {
		r.problems = append(r.problems, &fault.Error{Kind: fault.Unprocessable, Code: "invalid_file", Field: "file",
			Text: r.file + ": is not YAML: " + clip(err.Error(), 300)})
		return nil
	}
	var more yaml.Node
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		r.bad(&more, "file", "must hold one document")
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		r.bad(top, "file", "is empty")
		return nil
	}
	return doc.Content[0]
}

// fileFields are the sections of a file.
func fileFields() map[string]field[File] {
	return map[string]field[File]{
		"providers": func(r *reader, n *yaml.Node, path string, f *File) {
			f.providers = rowsOf(r, n, path, func() *providerIn { return &providerIn{} }, providerFields())
		},
		"models": func(r *reader, n *yaml.Node, path string, f *File) {
			f.models = rowsOf(r, n, path, func() *modelIn { return &modelIn{} }, modelFields())
		},
		"plans": func(r *reader, n *yaml.Node, path string, f *File) {
			f.plans = rowsOf(r, n, path, func() *Plan { return &Plan{} }, planFields())
		},
		"settings": func(r *reader, n *yaml.Node, path string, f *File) {
			decode(r, n, path, settingsFields(), &Settings{})
			f.settings = n
		},
	}
}

// rowsOf reads a list of rows once onto scratch rows, which finds everything
// that is wrong with them on their own.
func rowsOf[T any](r *reader, n *yaml.Node, path string, scratch func() *T, fields map[string]field[T]) section {
	s := section{named: true}
	seen := map[string]string{}
	for _, item := range r.items(n, path) {
		id := r.idOf(item, path)
		if id == "" {
			continue
		}
		at := path + "[" + id + "]"
		if first, twice := seen[id]; twice {
			r.bad(item, at, "must not be named twice: it is at %s already", first)
			continue
		}
		seen[id] = r.at(item)
		r.lines[at] = r.at(item)
		decode(r, item, at, fields, scratch())
		s.rows = append(s.rows, row{id, item})
	}
	return s
}

// Apply changes what the file names, field by field, and leaves the rest. With
// prune, rows that the file does not name go, in the sections that it has. A price
// that differs from the one in force becomes a new version.
func (f *File) Apply(d *Draft, prune bool) error {
	r := &reader{file: f.name, lines: map[string]string{}}
	for path, line := range f.lines {
		d.lines[path] = line
	}
	if prune {
		d.Providers = keepNamed(d.Providers, f.providers)
		d.Models = keepNamed(d.Models, f.models)
		d.Plans = keepNamed(d.Plans, f.plans)
	}
	for _, row := range f.providers.rows {
		f.applyProvider(r, d, row)
	}
	for _, row := range f.models.rows {
		if err := f.applyModel(r, d, row); err != nil {
			return err
		}
	}
	for _, row := range f.plans.rows {
		plan := Plan{ID: row.id}
		if old := d.Plan(row.id); old != nil {
			plan = *old
		}
		decode(r, row.node, "plans["+row.id+"]", planFields(), &plan)
		d.PutPlan(plan)
	}
	if f.settings != nil {
		decode(r, f.settings, "settings", settingsFields(), &d.Settings)
	}
	if len(r.problems) > 0 { // ParseYAML read the same values without one
		return r.problems
	}
	return nil
}

func (f *File) applyProvider(r *reader, d *Draft, row row) {
	in := providerIn{Provider: Provider{ID: row.id, Enabled: true}}
	if old := d.Provider(row.id); old != nil {
		in.Provider = *old
	}
	decode(r, row.node, "providers["+row.id+"]", providerFields(), &in)
	d.PutProvider(in.Provider)
	if in.keys != nil {
		d.SetKeys(row.id, *in.keys)
	}
}

func (f *File) applyModel(r *reader, d *Draft, row row) error {
	in := modelIn{Model: Model{ID: row.id, State: Active}}
	if old := d.Model(row.id); old != nil {
		in.Model = *old
	}
	decode(r, row.node, "models["+row.id+"]", modelFields(), &in)
	d.PutModel(in.Model)
	for _, p := range in.prices {
		if p.Source == "" {
			p.Source = "file " + f.name
		}
		if err := d.addPrice(row.id, p); err != nil {
			return fmt.Errorf("price of %s: %w", row.id, err)
		}
	}
	return nil
}

// keepNamed drops the rows a section does not name.
func keepNamed[T identified](rows []T, s section) []T {
	if !s.named {
		return rows
	}
	named := map[string]bool{}
	for _, row := range s.rows {
		named[row.id] = true
	}
	kept := rows[:0]
	for _, r := range rows {
		if named[r.id()] {
			kept = append(kept, r)
		}
	}
	return kept
}
