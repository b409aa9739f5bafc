package gemini

import (
	"bytes"
	"strconv"
	"strings"

	"onemind/internal/fault"
)

// refuse makes the error of a parameter that breaks a rule.
func refuse(path, code, format string, args ...any) *fault.Error {
	err := fault.New(fault.Invalid, code, "'%s' "+format, append([]any{path}, args...)...)
	err.Field = path
	return err
}

// wrongType refuses a value for its type.
func wrongType(path, want string, value []byte) *fault.Error {
	got := "a number"
	switch first := bytes.TrimSpace(value); {
	case len(first) == 0:
		got = "nothing"
	case first[0] == '"':
		got = "a string"
	case first[0] == '{':
		got = "an object"
	case first[0] == '[':
		got = "an array"
	case first[0] == 't' || first[0] == 'f':
		got = "a boolean"
	case first[0] == 'n':
		got = "null"
	}
	return refuse(path, "invalid_type", "has the wrong type: expected %s, but got %s.", want, got)
}

// isText checks that a value is a string.
func isText(path string, value []byte) error {
	if str(value) == nil {
		return wrongType(path, "a string", value)
	}
	return nil
}

// anyObject checks that a value is an object, whatever is in it.
func anyObject(path string, value []byte) error {
	if value[0] != '{' {
		return wrongType(path, "an object", value)
	}
	return nil
}

// boolean checks that a value is true or false.
func boolean(path string, value []byte) error {
	if s := string(value); s != "true" && s != "false" {
		return wrongType(path, "a boolean", value)
	}
	return nil
}

// number checks that a value is a number from low to high.
func number(path string, value []byte, low, high float64) error {
	if c := value[0]; c != '-' && (c < '0' || c > '9') {
		return wrongType(path, "a number", value)
	}
	if f, err := strconv.ParseFloat(string(value), 64); err != nil || f < low || f > high {
		return refuse(path, "invalid_value", "has to be from %v to %v, but is %s.", low, high, clip(string(value)))
	}
	return nil
}

// integer reads a whole number from low to high.
func integer(path string, value []byte, low, high int64) (int64, error) {
	if c := value[0]; c != '-' && (c < '0' || c > '9') || bytes.ContainsAny(value, ".eE") {
		return 0, wrongType(path, "an integer", value)
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < low || n > high {
		return 0, refuse(path, "invalid_value", "has to be from %d to %d, but is %s.", low, high, clip(string(value)))
	}
	return n, nil
}

// oneOf checks that a value is one of words, whatever their case.
func oneOf(path string, value []byte, words ...string) (string, error) {
	if str(value) == nil {
		return "", wrongType(path, "a string", value)
	}
	got := string(str(value))
	for _, w := range words {
		if strings.EqualFold(got, w) {
			return w, nil
		}
	}
	return "", refuse(path, "invalid_value", "has to be one of '%s', but is '%s'.", strings.Join(words, "', '"), clip(got))
}
