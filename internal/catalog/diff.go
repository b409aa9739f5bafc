package catalog

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Diff lists what is different in after, row by row and field by field: an empty
// list when the two mean the same. Nested fields are named with dots, such as
// "timeouts.idle_ms"; a price version is a row of its own.
func Diff(before, after Document) []Change {
	a, b := before.clone(), after.clone()
	a.tidy()
	b.tidy()
	rowsA, rowsB := a.rows(), b.rows()
	var changes []Change
	for _, key := range allNames(rowsA, rowsB) {
		fields := compare(rowsA[key], rowsB[key])
		op := "change"
		switch {
		case rowsA[key] == nil:
			op = "add"
		case rowsB[key] == nil && key.model() != "" && find(b.Models, key.model()) == nil:
			continue // the price went with its model
		case rowsB[key] == nil:
			op = "remove"
		case len(fields) == 0:
			continue
		}
		changes = append(changes, Change{Kind: key.kind(), ID: key.id(), Op: op, Fields: fields})
	}
	return changes
}

// rowKey is order, kind and id of a row, and the model of a price, with NULs
// between: it sorts settings and providers before the models that need them.
type rowKey string

func (k rowKey) kind() string { return strings.Split(string(k), "\x00")[1] }
func (k rowKey) id() string   { return strings.Split(string(k), "\x00")[2] }

// model is the model of a price, empty for other rows.
func (k rowKey) model() string {
	if parts := strings.Split(string(k), "\x00"); len(parts) == 4 {
		return parts[3]
	}
	return ""
}

// rows takes a document apart into flat rows of JSON text.
func (d *Document) rows() map[rowKey]map[string]string {
	rows := map[rowKey]map[string]string{"0\x00settings\x00": flat(d.Settings)}
	for _, p := range d.Providers {
		rows[rowKey("1\x00provider\x00"+p.ID)] = flat(p)
	}
	for _, p := range d.Plans {
		rows[rowKey("4\x00plan\x00"+p.ID)] = flat(p)
	}
	for _, m := range d.Models {
		for _, p := range m.Prices {
			rows[rowKey("3\x00price\x00"+p.Version+"\x00"+m.ID)] = flat(p)
		}
		m.Prices = nil
		rows[rowKey("2\x00model\x00"+m.ID)] = flat(m)
	}
	return rows
}

// compare lists the fields that differ between two rows, either of which may be nil.
func compare(a, b map[string]string) []FieldChange {
	fields := []FieldChange{}
	for _, name := range allNames(a, b) {
		if a[name] != b[name] {
			fields = append(fields, FieldChange{Field: name, Before: a[name], After: b[name]})
		}
	}
	return fields
}

// allNames gives the keys of both maps, sorted.
func allNames[K ~string, V any](a, b map[K]V) []K {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}

// flat gives a row's fields as JSON text. Empty lists, maps and nulls are left
// out: to a catalog they are the same as nothing.
func flat(row any) map[string]string {
	fields := map[string]string{}
	flatten(fields, "", rowJSON(row))
	return fields
}

// rowJSON is a row as JSON. Rows are plain structs, which always have one.
func rowJSON(row any) []byte {
	b, err := json.Marshal(row)
	if err != nil {
		panic("catalog: a row without JSON: " + err.Error())
	}
	return b
}

func flatten(fields map[string]string, prefix string, value []byte) {
	switch string(value) {
	case "null", "[]", "{}":
		return
	}
	var members map[string]json.RawMessage
	if !bytes.HasPrefix(value, []byte("{")) || json.Unmarshal(value, &members) != nil {
		fields[strings.TrimSuffix(prefix, ".")] = string(value)
		return
	}
	for name, member := range members {
		flatten(fields, prefix+name+".", member)
	}
}
