package openai

import (
	"bufio"
	"bytes"
	"mime"
	"net/textproto"
	"strings"

	"onemind/internal/fault"
)

// Bounds of a form.
const (
	maxFields = 64
	maxValue  = 1 << 20 // bytes of a field that is no file
)

// form is a multipart form as it stands, so that it can be passed on byte for byte.
type form struct {
	boundary string
	fields   []field
}

// field is one part of a form.
type field struct {
	name  string
	file  bool   // it has a file's name
	head  []byte // its header lines, with the empty line behind them
	value []byte
}

// readForm takes a multipart form apart. It is stricter than readers of forms
// have to be: the provider has to see the very fields that were checked here,
// whatever reads them there. So a boundary stands nowhere but between parts, and
// headers have one line each.
func readForm(kind string, body []byte) (form, error) {
	media, params, err := mime.ParseMediaType(kind)
	boundary := params["boundary"]
	if err != nil || media != "multipart/form-data" || boundary == "" || len(boundary) > 70 || strings.ContainsAny(boundary, "\r\n\"\\") {
		return form{}, fault.New(fault.Invalid, "invalid_content_type", "The Content-Type has to be multipart/form-data with a boundary.")
	}
	f := form{boundary: boundary}
	pieces := bytes.SplitN(body, []byte("--"+boundary), maxFields+3) // bounded: a short boundary can stand in a body very often
	if len(pieces) > maxFields+2 {
		return form{}, badForm("it has more than 64 fields, or its boundary stands within one")
	}
	if len(pieces) < 3 || len(pieces[0]) > 0 {
		return form{}, badForm("it does not begin and end with its boundary")
	}
	last := len(pieces) - 1
	if tail := pieces[last]; !bytes.HasPrefix(tail, []byte("--")) || len(bytes.Trim(tail[2:], "\r\n")) > 0 {
		return form{}, badForm("it does not end with its boundary")
	}
	for _, piece := range pieces[1:last] {
		if len(piece) < 4 || !bytes.HasPrefix(piece, []byte("\r\n")) || !bytes.HasSuffix(piece, []byte("\r\n")) {
			return form{}, badForm("its boundary stands within a field")
		}
		one, err := readField(piece[2 : len(piece)-2])
		if err != nil {
			return form{}, err
		}
		f.fields = append(f.fields, one)
	}
	return f, nil
}

func badForm(what string) error {
	return fault.New(fault.Invalid, "invalid_form", "The form cannot be read: %s.", what)
}

// readField reads one part of a form.
func readField(part []byte) (field, error) {
	end := bytes.Index(part, []byte("\r\n\r\n"))
	if end < 0 {
		return field{}, badForm("a field has no header")
	}
	head := part[:end+4]
	for line := range bytes.SplitSeq(part[:end], []byte("\r\n")) {
		if len(line) == 0 || line[0] == ' ' || line[0] == '\t' || bytes.ContainsAny(line, "\r\n") {
			return field{}, badForm("the header of a field cannot be read")
		}
	}
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(head))).ReadMIMEHeader()
	if err != nil {
		return field{}, badForm("the header of a field cannot be read")
	}
	for name, values := range header {
		if len(values) != 1 {
			return field{}, badForm("a field has a header twice")
		}
		switch name {
		case "Content-Disposition", "Content-Type", "Content-Length":
		case "Content-Transfer-Encoding":
			if enc := strings.ToLower(values[0]); enc != "binary" && enc != "8bit" && enc != "7bit" {
				return field{}, badForm("a field has a transfer encoding")
			}
		default:
			return field{}, badForm("a field has the header " + clip(name))
		}
	}
	disposition, params, err := mime.ParseMediaType(header.Get("Content-Disposition"))
	if err != nil || disposition != "form-data" || params["name"] == "" {
		return field{}, badForm("a field has no name")
	}
	_, file := params["filename"]
	return field{name: params["name"], file: file, head: head, value: part[end+4:]}, nil
}

// only gives the value of a field; empty if there is none.
func (f *form) only(name string) string {
	for _, one := range f.fields {
		if one.name == name {
			return string(one.value)
		}
	}
	return ""
}

// kind is the Content-Type of the form.
func (f *form) kind() string {
	return mime.FormatMediaType("multipart/form-data", map[string]string{"boundary": f.boundary})
}

// append writes the form again: its fields as they came, but for those that
// change gives another value or leaves out.
func (f *form) append(dst []byte, change func(field) (value []byte, keep bool)) []byte {
	for _, one := range f.fields {
		value, keep := change(one)
		if !keep {
			continue
		}
		dst = append(append(append(dst, "--"...), f.boundary...), "\r\n"...)
		dst = append(append(append(dst, one.head...), value...), "\r\n"...)
	}
	return append(append(append(dst, "--"...), f.boundary...), "--\r\n"...)
}
