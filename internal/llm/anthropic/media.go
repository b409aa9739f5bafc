package anthropic

import (
	"encoding/base64"
	"strings"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// source is where an image or a document comes from, its values as JSON.
type source struct {
	kind             string
	media, data, url []byte
}

// source reads the source of a block.
func (t *turn) source(path string, v []byte) (s source, ok bool) {
	path += ".source"
	if v == nil {
		return s, t.refuse(path, "missing_required_parameter", "is missing.")
	}
	s.kind = decoded(scan.Find(v, "type"))
	ok = t.object(path, v, func(name string, v []byte) bool {
		switch name {
		case "type":
		case "media_type":
			s.media = v
			return t.text(path+".media_type", v)
		case "data":
			s.data = v
			return t.text(path+".data", v)
		case "url":
			s.url = v
			return t.text(path+".url", v)
		case "content":
		case "file_id": // it would be a file of our own account, whoever put it there
			return t.unavailable(path + ".file_id")
		default:
			return t.unknown(path + "." + clip(name))
		}
		return true
	})
	if !ok {
		return s, false
	}
	switch {
	case s.kind == "":
		return s, t.refuse(path+".type", "missing_required_parameter", "is missing.")
	case (s.kind == "base64" || s.kind == "text") && s.data == nil:
		return s, t.refuse(path+".data", "missing_required_parameter", "is missing.")
	case s.kind == "base64" && s.media == nil:
		return s, t.refuse(path+".media_type", "missing_required_parameter", "is missing.")
	case s.kind == "url" && s.url == nil:
		return s, t.refuse(path+".url", "missing_required_parameter", "is missing.")
	}
	return s, true
}

// inline makes a data: URL, without its last quote.
func (s *source) inline() []byte {
	url := append([]byte(`"data:`), s.media[1:len(s.media)-1]...)
	url = append(url, ";base64,"...)
	return append(url, s.data[1:len(s.data)-1]...)
}

func (t *turn) image(to *parts, path string, v []byte) bool {
	var from, cache []byte
	ok := t.object(path, v, func(name string, v []byte) bool {
		switch name {
		case "type":
		case "source":
			from = v
		case "cache_control":
			cache = v
			return t.cache(path, v)
		default:
			return t.unknown(path + "." + clip(name))
		}
		return true
	})
	if !ok {
		return false
	}
	s, ok := t.source(path, from)
	if !ok {
		return false
	}
	var url []byte
	switch s.kind {
	case "base64":
		url = append(s.inline(), '"')
	case "url":
		if url = s.url; !strings.HasPrefix(strings.ToLower(decoded(url)), "https://") {
			return t.refuse(path+".source.url", "invalid_value", "has to be an https: URL.")
		}
	default:
		return t.refuse(path+".source.type", "invalid_value", "has to be 'base64' or 'url'.")
	}
	to.add([]byte(`{"type":"image_url","image_url":{"url":`), url, []byte{'}'}, t.hint(nil, cache), []byte{'}'})
	return true
}

// document reads a document. A PDF is a file in the neutral form and text is
// text; the rest only an engine of this dialect can read.
func (t *turn) document(to *parts, path string, v []byte) bool {
	var from, title, cache []byte
	ok := t.object(path, v, func(name string, v []byte) bool {
		switch name {
		case "type":
		case "source":
			from = v
		case "title":
			title = v
			return t.text(path+".title", v)
		case "context":
			return t.text(path+".context", v) && t.native(path+".context")
		case "citations":
			return string(scan.Find(v, "enabled")) != "true" || t.native(path+".citations")
		case "cache_control":
			cache = v
			return t.cache(path, v)
		default:
			return t.unknown(path + "." + clip(name))
		}
		return true
	})
	if !ok {
		return false
	}
	s, ok := t.source(path, from)
	if !ok {
		return false
	}
	switch s.kind {
	case "base64":
		file := s.inline()
		if title == nil && !t.hints { // other engines insist on a name
			title = []byte(`"document.pdf"`)
		}
		t.file(to, title, append(file, '"'), cache)
	case "text":
		t.plain(to, &s, title, cache)
	case "url", "content":
		return t.native(path+".source.type") && t.opaque(to, "", v)
	default:
		return t.refuse(path+".source.type", "invalid_value", "has to be 'base64', 'text', 'content' or 'url'.")
	}
	return true
}

// file adds a file part.
func (t *turn) file(to *parts, title, data, cache []byte) {
	file := []byte(`{"type":"file","file":{`)
	if title != nil {
		file = append(append(append(file, `"filename":`...), title...), ',')
	}
	file = append(append(file, `"file_data":`...), data...)
	to.add(file, []byte{'}'}, t.hint(nil, cache), []byte{'}'})
}

// plain adds a document of text.
func (t *turn) plain(to *parts, s *source, title, cache []byte) {
	if t.hints {
		t.file(to, title, llm.AppendQuoted(nil, "data:text/plain;base64,"+base64.StdEncoding.EncodeToString([]byte(decoded(s.data)))), cache)
		return
	}
	if title != nil {
		to.say(title)
	}
	to.say(s.data)
}

// opaque adds what no other engine can read as the text of its JSON: it is
// weighed, and it goes nowhere else.
func (t *turn) opaque(to *parts, path string, v []byte) bool {
	if path != "" {
		t.native(path + ".type")
	}
	to.say(llm.AppendQuoted(nil, string(v)))
	return true
}
