package responses

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// The codes of refusals, OpenAI's.
const (
	invalidValue = "invalid_value"
	invalidType  = "invalid_type"
	missing      = "missing_required_parameter"
	unknown      = "unknown_parameter"
	unsupported  = "unsupported_parameter"
)

// refuse says that a parameter breaks a rule.
func refuse(path, code, format string, args ...any) *fault.Error {
	f := fault.New(fault.Invalid, code, "%s", "'"+path+"' "+fmt.Sprintf(format, args...))
	f.Field = path
	return f
}

// wrongType refuses a value for its type, in OpenAI's words.
func wrongType(path, want string, raw []byte) *fault.Error {
	got := "a number"
	switch raw[0] {
	case '"':
		got = "a string"
	case '{':
		got = "an object"
	case '[':
		got = "an array"
	case 't', 'f':
		got = "a boolean"
	case 'n':
		got = "null"
	}
	return refuse(path, invalidType, "has the wrong type: expected %s, but got %s.", want, got)
}

// object is a JSON object that was read: its members that are not null. The
// body was checked as a whole before: all values are valid JSON.
type object struct {
	path    string
	members []member
}

type member struct {
	name  string
	value []byte
}

// readObject reads an object whose members have to be among known; with none
// named any are.
func readObject(path string, raw []byte, known ...string) (object, error) {
	o := object{path: path}
	if raw[0] != '{' && scanFirst(raw) != '{' {
		return o, wrongType(path, "an object", raw)
	}
	o.members = []member{}
	var names []string
	s := scan.New(raw, depth)
	s.Peek()
	for ok := s.Enter(); ok && s.Member(); {
		name := string(s.Name)
		value := s.Value()
		if ok = value != nil; !ok {
			break
		}
		if len(known) > 0 && !slices.Contains(known, name) {
			return o, refuse(o.at(clip(name)), unknown, "is not a parameter of responses.")
		}
		if len(names) == maxMembers {
			return o, refuse(o.at(clip(name)), invalidValue, "is one member too many: there can be %d at most.", maxMembers)
		}
		if slices.Contains(names, name) {
			return o, refuse(o.at(clip(name)), invalidValue, "is given twice.")
		}
		names = append(names, name)
		if string(value) != "null" {
			o.members = append(o.members, member{name, value})
		}
	}
	return o, nil
}

// scanFirst gives the first byte of a value behind space.
func scanFirst(raw []byte) byte {
	s := scan.New(raw, depth)
	return s.Peek()
}

// at is the path of a member.
func (o *object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

// get gives a member's value, nil if it is not there or null.
func (o *object) get(name string) []byte {
	for _, m := range o.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// sub reads a member that is an object; without it the result has no members.
func (o *object) sub(name string, known ...string) (object, error) {
	if raw := o.get(name); raw != nil {
		return readObject(o.at(name), raw, known...)
	}
	return object{path: o.at(name)}, nil
}

// only writes the object again with these members, as far as they are there.
func (o *object) only(names ...string) []byte {
	dst := []byte{'{'}
	for _, name := range names {
		if value := o.get(name); value != nil {
			if len(dst) > 1 {
				dst = append(dst, ',')
			}
			dst = append(append(llm.AppendQuoted(dst, name), ':'), value...)
		}
	}
	return append(dst, '}')
}

// array gives the elements of a member.
func (o *object) array(name string) ([][]byte, error) {
	raw := o.get(name)
	if raw == nil {
		return nil, nil
	}
	if raw[0] != '[' {
		return nil, wrongType(o.at(name), "an array", raw)
	}
	return elements(raw), nil
}

// elements gives the elements of an array.
func elements(raw []byte) [][]byte {
	var list [][]byte
	s := scan.New(raw, depth)
	s.Peek()
	for ok := s.Enter(); ok && s.Element(); {
		value := s.Value()
		if ok = value != nil; ok {
			list = append(list, value)
		}
	}
	return list
}

// string gives a member that is a string with its quotes, nil if it is not there.
func (o *object) string(name string) ([]byte, error) {
	raw := o.get(name)
	if raw != nil && raw[0] != '"' {
		return nil, wrongType(o.at(name), "a string", raw)
	}
	return raw, nil
}

// needText gives a string that has to be there and to hold something, with its quotes.
func (o *object) needText(name string) ([]byte, error) {
	raw, err := o.need(name)
	if err == nil && len(raw) == 2 {
		return nil, refuse(o.at(name), invalidValue, "is empty.")
	}
	return raw, err
}

// need gives a string that has to be there, with its quotes.
func (o *object) need(name string) ([]byte, error) {
	raw, err := o.string(name)
	if err == nil && raw == nil {
		return nil, refuse(o.at(name), missing, "is missing.")
	}
	return raw, err
}

// word gives a string that is one of words, with its quotes; nil if it is not there.
func (o *object) word(name string, words ...string) ([]byte, error) {
	raw, err := o.string(name)
	if err != nil || raw == nil {
		return nil, err
	}
	text := llm.Unescape(raw[1 : len(raw)-1])
	for _, w := range words {
		if text == w {
			return strconv.AppendQuote(nil, w), nil
		}
	}
	if len(words) == 1 {
		return nil, refuse(o.at(name), invalidValue, "can be '%s' only, but is '%s'.", words[0], clip(text))
	}
	return nil, refuse(o.at(name), invalidValue, "has to be one of '%s', but is '%s'.", strings.Join(words, "', '"), clip(text))
}

// needWord is word for a member that has to be there.
func (o *object) needWord(name string, words ...string) ([]byte, error) {
	if _, err := o.need(name); err != nil {
		return nil, err
	}
	return o.word(name, words...)
}

// boolean gives a member that is true or false; false if it is not there.
func (o *object) boolean(name string) (bool, error) {
	raw := o.get(name)
	if raw != nil && raw[0] != 't' && raw[0] != 'f' {
		return false, wrongType(o.at(name), "a boolean", raw)
	}
	return raw != nil && raw[0] == 't', nil
}

// plain refuses a member that has no meaning in chat completions unless they have
// the value that is meant without it.
func (o *object) plain(name string, means ...string) error {
	raw := o.get(name)
	if raw == nil {
		return nil
	}
	for _, m := range means {
		if string(raw) == m {
			return nil
		}
	}
	return refuse(o.at(name), unsupported, "is not supported here.")
}

// readText gives the text of a string.
func readText(path string, raw []byte) (string, error) {
	if raw[0] != '"' {
		return "", wrongType(path, "a string", raw)
	}
	return llm.Unescape(raw[1 : len(raw)-1]), nil
}
