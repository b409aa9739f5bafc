package anthropic

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// parts writes the blocks of a message's content behind those in dst.
func (c *conversation) parts(dst []byte, m *spoken, role string) ([]byte, bool) {
	path := m.path + ".content"
	content := m.content
	switch {
	case content == nil:
		return dst, true
	case content[0] == '"':
		if blank(content) {
			return dst, true
		}
		return c.text(comma(dst), content, m.path, m.cache)
	case content[0] != '[':
		return dst, c.wrong(path, "has to be a string or an array of parts.")
	case m.cache != nil:
		return dst, c.refuse(m.path + ".cache_control") // parts have their own
	}
	s := scan.New(content, scan.ClientDepth)
	s.Peek()
	for ok, n := s.Enter(), 0; ok; n++ {
		if ok = s.Element(); ok {
			dst, ok = c.part(dst, &s, path+"["+strconv.Itoa(n)+"]", role)
		}
	}
	return dst, c.err == nil
}

func (c *conversation) text(dst, quoted []byte, path string, cache []byte) ([]byte, bool) {
	dst = append(append(dst, `{"type":"text","text":`...), quoted...)
	dst, ok := c.cached(dst, path, cache)
	return append(dst, '}'), ok
}

// part writes one part.
func (c *conversation) part(dst []byte, s *scan.Scanner, path, role string) ([]byte, bool) {
	var kind, payload, cache []byte
	var named string
	ok := c.object(s, path, func(name string, value []byte) bool {
		switch name {
		case "type":
			kind = value
		case "text", "image_url", "file", "input_audio", "refusal":
			payload, named = value, name
		case "cache_control":
			cache = value
		case "annotations":
		default:
			return c.refuse(path + "." + name)
		}
		return true
	})
	if !ok {
		return dst, false
	}
	switch string(kind) {
	case `"text"`, `"refusal"`:
		if payload == nil || payload[0] != '"' {
			return dst, c.wrong(path+"."+named, "has to be a string.")
		}
		if blank(payload) {
			return dst, true
		}
		return c.text(comma(dst), payload, path, cache)
	case `"image_url"`:
		if role == "user" || role == "tool" {
			return c.image(dst, path, payload, cache)
		}
	case `"file"`:
		if role == "user" || role == "tool" {
			return c.document(dst, path, payload, cache)
		}
	case `"input_audio"`:
		return dst, c.refuse(path + ".input_audio")
	}
	return dst, c.refuse(path + ".type")
}

// dataURL is a data: URL taken apart: its media type, and its base64, which may
// hold JSON's escapes of a slash.
type dataURL struct {
	media string
	data  []byte
}

// readURL takes a quoted data: URL apart. ok is false if it is none, or not base64.
func readURL(quoted []byte) (u dataURL, ok bool) {
	raw := quoted[1 : len(quoted)-1]
	if len(raw) < 5 || !strings.EqualFold(string(raw[:5]), "data:") {
		return u, false
	}
	head, data, found := bytes.Cut(raw[5:], []byte(","))
	media, parameters, _ := strings.Cut(strings.ToLower(llm.Unescape(head)), ";")
	if !found || parameters != "base64" && !strings.HasSuffix(parameters, ";base64") {
		return u, false
	}
	return dataURL{strings.TrimSpace(media), data}, true
}

func (c *conversation) image(dst []byte, path string, image, cache []byte) ([]byte, bool) {
	url := scan.Find(image, "url")
	if url == nil || url[0] != '"' {
		return dst, c.wrong(path+".image_url.url", "is missing.")
	}
	if detail := scan.Find(image, "detail"); detail != nil && string(detail) != `"auto"` && string(detail) != "null" {
		c.change(path+".image_url.detail", detail, nil, "dialect")
	}
	dst = append(comma(dst), `{"type":"image","source":{`...)
	if u, ok := readURL(url); ok {
		switch u.media {
		case "image/jpg":
			u.media = "image/jpeg"
		case "image/jpeg", "image/png", "image/gif", "image/webp": // all there are, says the reference
		default:
			return dst, c.wrong(path+".image_url.url", "has to be a JPEG, PNG, GIF or WebP image for this model.")
		}
		dst = append(append(append(dst, `"type":"base64","media_type":"`...), u.media...), `","data":"`...)
		dst = append(append(dst, u.data...), `"}`...)
	} else if len(url) > 9 && strings.HasPrefix(strings.ToLower(llm.Unescape(url[1:len(url)-1])), "https:") {
		dst = append(append(append(dst, `"type":"url","url":`...), url...), '}')
	} else {
		return dst, c.wrong(path+".image_url.url", "has to be an https: URL or a data: URL in base64.")
	}
	dst, ok := c.cached(dst, path, cache)
	return append(dst, '}'), ok
}

// document writes a file: a PDF, or text, which goes in as text.
func (c *conversation) document(dst []byte, path string, file, cache []byte) ([]byte, bool) {
	data, name := scan.Find(file, "file_data"), scan.Find(file, "filename")
	if data == nil || data[0] != '"' {
		return dst, c.refuse(path + ".file")
	}
	u, ok := readURL(data)
	if !ok {
		return dst, c.wrong(path+".file.file_data", "has to be a data: URL in base64.")
	}
	dst = append(comma(dst), `{"type":"document","source":{`...)
	switch u.media {
	case "application/pdf":
		dst = append(append(append(dst, `"type":"base64","media_type":"application/pdf","data":"`...), u.data...), '"')
	case "text/plain":
		plain, err := base64.StdEncoding.DecodeString(llm.Unescape(u.data))
		if err != nil || !utf8.Valid(plain) {
			return dst, c.wrong(path+".file.file_data", "is not UTF-8 text in base64.")
		}
		dst = llm.AppendQuoted(append(dst, `"type":"text","media_type":"text/plain","data":`...), string(plain))
	default:
		return dst, c.wrong(path+".file.file_data", "has to be a PDF or plain text for this model.")
	}
	dst = append(dst, '}')
	if name != nil && name[0] == '"' && !blank(name) {
		dst = append(append(dst, `,"title":`...), name...)
	}
	dst, ok = c.cached(dst, path, cache)
	return append(dst, '}'), ok
}
