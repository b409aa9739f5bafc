package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"onemind/internal/fault"
	"onemind/internal/money"
)

// reader reads values from a file's nodes and collects what is wrong, each with
// its line.
type reader struct {
	file     string
	nodes    int // read so far
	lines    map[string]string
	problems Invalid
}

// at is where a node stands, as editors understand it.
func (r *reader) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", r.file, n.Line) }

func (r *reader) bad(n *yaml.Node, path, rule string, args ...any) {
	if len(r.problems) >= maxProblems {
		return
	}
	path = clip(path, 200)
	r.problems = append(r.problems, &fault.Error{Kind: fault.Unprocessable, Code: "invalid_field", Field: path,
		Text: r.at(n) + ": " + path + " " + fmt.Sprintf(rule, args...)})
}

// follow gives the node an alias stands for, and counts it.
func (r *reader) follow(n *yaml.Node, path string) *yaml.Node {
	if r.nodes++; r.nodes == maxNodes {
		r.bad(n, path, "is too much: a file may hold %d values, aliases counted each time", maxNodes)
	}
	if r.nodes >= maxNodes {
		return &yaml.Node{Kind: yaml.MappingNode, Line: n.Line} // nothing more is read
	}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// members calls each for every member of a mapping, refusing names used twice.
func (r *reader) members(n *yaml.Node, path string, each func(name string, value *yaml.Node)) {
	n = r.follow(n, path)
	if n.Kind != yaml.MappingNode {
		r.bad(n, named(path), "must be a mapping of names to values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		at := strings.TrimPrefix(path+"."+clip(name.Value, 80), ".")
		switch {
		case name.Kind != yaml.ScalarNode || name.ShortTag() == "!!merge":
			r.bad(name, named(path), "must have plain names")
		case seen[name.Value]:
			r.bad(name, at, "must not be given twice")
		default:
			seen[name.Value] = true
			each(name.Value, value)
		}
	}
}

func named(path string) string {
	if path == "" {
		return "file"
	}
	return path
}

// decode reads a mapping's members into a row, leaving what is not named.
func decode[T any](r *reader, n *yaml.Node, path string, fields map[string]field[T], to *T) {
	r.members(n, path, func(name string, value *yaml.Node) {
		at := strings.TrimPrefix(path+"."+clip(name, 80), ".")
		read, known := fields[name]
		if !known {
			r.bad(value, at, "is not a known field; known are %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
			return
		}
		r.lines[at] = r.at(value)
		read(r, value, at, to)
	})
}

// items gives the items of a list.
func (r *reader) items(n *yaml.Node, path string) []*yaml.Node {
	n = r.follow(n, path)
	if n.Kind != yaml.SequenceNode {
		r.bad(n, path, "must be a list")
		return nil
	}
	return n.Content
}

// idOf finds a row's id, empty when it has none that can be used.
func (r *reader) idOf(n *yaml.Node, path string) string {
	id := ""
	item := r.follow(n, path)
	if item.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(item.Content); i += 2 {
			if item.Content[i].Value == "id" {
				id = r.text(item.Content[i+1], path+".id")
				if !validID(id, 128, true) {
					r.bad(item.Content[i+1], path+".id", "must be 1 to 128 small letters a-z, digits and . _ : / -, and begin with a letter or a digit")
					return ""
				}
				return id
			}
		}
	}
	r.bad(n, path, "must be a list of entries with an id")
	return ""
}

// scalar gives a plain value's digits or letters as they stand in the file, if
// it is of one of the given types.
func (r *reader) scalar(n *yaml.Node, path, rule string, tags ...string) string {
	n = r.follow(n, path)
	if n.Kind != yaml.ScalarNode || !slices.Contains(tags, n.ShortTag()) {
		r.bad(n, path, "%s", rule)
		return ""
	}
	return n.Value
}

func (r *reader) text(n *yaml.Node, path string) string {
	return r.scalar(n, path, "must be text; put quotes around it", "!!str")
}

// written is text or a date, which YAML takes for a type of its own.
func (r *reader) written(n *yaml.Node, path string) string {
	return r.scalar(n, path, "must be text", "!!str", "!!timestamp")
}

func (r *reader) flag(n *yaml.Node, path string) bool {
	switch r.scalar(n, path, "must be true or false", "!!bool") {
	case "true", "True", "TRUE":
		return true
	}
	return false
}

func (r *reader) count(n *yaml.Node, path string) int64 {
	const rule = "must be a whole number in plain digits"
	text := r.scalar(n, path, rule, "!!int")
	if text == "" {
		return 0
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v > maxLimit || v < -maxLimit {
		r.bad(n, path, rule+", at most %d", maxLimit)
		return 0
	}
	return v
}

// amount reads an exact decimal from its digits. Quotes around it are allowed.
func (r *reader) amount(n *yaml.Node, path string, parse func(string) (money.Amount, error)) money.Amount {
	text := r.scalar(n, path, "must be a decimal number such as 0.15", "!!int", "!!float", "!!str")
	if len(r.problems) > 0 && text == "" {
		return 0
	}
	v, err := parse(text)
	if err != nil {
		r.bad(n, path, "must be a plain decimal number such as 0.15: %s", clip(err.Error(), 120))
	}
	return v
}

// number reads a plain decimal number such as 0.5.
func (r *reader) number(n *yaml.Node, path string) float64 {
	const rule = "must be a plain number such as 0.5"
	text := r.scalar(n, path, rule, "!!int", "!!float")
	if text == "" {
		return 0
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "+-.0123456789") != "" {
		r.bad(n, path, rule)
	}
	return v
}

func (r *reader) names(n *yaml.Node, path string) []string {
	var list []string
	for i, item := range r.items(n, path) {
		list = append(list, r.text(item, fmt.Sprintf("%s[%d]", path, i)))
	}
	return list
}

// value reads a parameter's JSON value: JSON in quotes, or a plain number or
// true or false.
func (r *reader) value(n *yaml.Node, path string) string {
	return r.scalar(n, path, `must be a JSON value in quotes, such as '"low"'`, "!!str", "!!int", "!!float", "!!bool")
}
