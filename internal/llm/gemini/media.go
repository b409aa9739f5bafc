package gemini

import (
	"bytes"
	"net/url"
	"path"
	"strconv"
	"strings"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// contentPart is one part of a message's content.
type contentPart struct {
	*outward
	message *message
	number  int
}

func (p *contentPart) path(member string) string {
	return p.message.path("content[" + strconv.Itoa(p.number) + "]." + member)
}

// send sends a part.
func (p *contentPart) send(raw []byte) error {
	kind := string(str(scan.Find(raw, "type")))
	err := members(raw, func(name, value []byte) error {
		switch string(name) {
		case "type", kind:
		default: // such as cache_control
			p.change("messages[].content[]."+clip(string(name)), value, nil, "dialect")
		}
		return nil
	})
	if err != nil {
		return err
	}
	payload := scan.Find(raw, kind)
	switch kind {
	case "text", "refusal":
		p.say(str(payload), nil)
		return nil
	case "image_url":
		if detail := scan.Find(payload, "detail"); str(detail) != nil && string(detail) != `"auto"` {
			p.change("messages[].content[].image_url.detail", detail, nil, "dialect")
		}
		return p.media(scan.Find(payload, "url"), p.path("image_url.url"))
	case "input_audio":
		return p.audio(payload)
	case "file":
		return p.file(payload)
	}
	return unsupported(p.path("type"))
}

// audio sends a recording, in a format that the API reads (ai.google.dev/gemini-api/docs/audio).
func (p *contentPart) audio(payload []byte) error {
	format := string(str(scan.Find(payload, "format")))
	switch format {
	case "wav", "mp3", "aiff", "aac", "ogg", "flac":
	default:
		return unsupported(p.path("input_audio.format"))
	}
	return p.inline([]byte("audio/"+format), str(scan.Find(payload, "data")), p.path("input_audio.data"))
}

// file sends a document.
func (p *contentPart) file(payload []byte) error {
	name := scan.Find(payload, "filename")
	if str(name) != nil {
		p.change("messages[].content[].file.filename", name, nil, "dialect")
	}
	data := scan.Find(payload, "file_data")
	field := p.path("file.file_data")
	if foldPrefix(plain(str(data)[:min(len(str(data)), 16)]), "data:") {
		return p.media(data, field)
	}
	mime := mimeOf(llm.Unescape(str(name)))
	if mime == "" {
		return invalid(field, "has to be a data: URL for this model.")
	}
	return p.inline([]byte(mime), str(data), field)
}

// media sends what a URL stands for: its data, or the address of what Google is
// to fetch itself (ai.google.dev/gemini-api/docs/file-input-methods).
func (o *outward) media(value []byte, field string) error {
	raw := str(value)
	if foldPrefix(plain(raw[:min(len(raw), 16)]), "https:") {
		if !public(llm.Unescape(raw)) {
			return invalid(field, "has to be a public https: address for this model.")
		}
		o.part()
		o.dst = append(append(append(o.dst, `{"fileData":{"fileUri":"`...), raw...), '"')
		address, _, _ := strings.Cut(llm.Unescape(raw), "?")
		if mime := mimeOf(address); mime != "" {
			o.dst = append(append(append(o.dst, `,"mimeType":"`...), mime...), '"')
		}
		o.dst = append(o.dst, "}}"...)
		return nil
	}
	if bytes.IndexByte(raw, '\\') >= 0 {
		raw = plain(raw)
	}
	if !foldPrefix(raw, "data:") {
		return invalid(field, "has to be an https: or a data: URL for this model.")
	}
	head, data, found := bytes.Cut(raw[len("data:"):], []byte{','})
	mime, coded := head, false
	if i := bytes.IndexByte(head, ';'); i >= 0 {
		mime, coded = head[:i], foldSuffix(head, ";base64")
	}
	if !found || !coded || len(mime) == 0 {
		return invalid(field, "has to be a data: URL with a media type and base64 for this model.")
	}
	return o.inline(mime, data, field)
}

// public reports whether an address is one that anybody may read. One of the API's
// own would be a file of our account, whoever put it there.
func public(address string) bool {
	u, err := url.Parse(address)
	if err != nil || !strings.EqualFold(u.Scheme, "https") || u.User != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return host != "" && !strings.Contains(host, "generativelanguage") && !strings.Contains(host, "aiplatform")
}

// inline sends base64 data.
func (o *outward) inline(mime, data []byte, field string) error {
	look := data[:min(len(data), 128)] // what is no base64 shows soon; the provider reads all of it
	if bytes.IndexByte(data, '\\') >= 0 {
		data = bytes.Join(bytes.Fields(plain(data)), nil)
		look = data // it was escaped: none of it may need that again
	}
	if len(data) == 0 || bytes.ContainsFunc(look, notBase64) || bytes.ContainsFunc(mime, notMIME) {
		return invalid(field, "has to hold base64 data.")
	}
	o.part()
	o.dst = append(append(o.dst, `{"inlineData":{"mimeType":"`...), mime...)
	o.dst = append(append(append(o.dst, `","data":"`...), data...), `"}}`...)
	return nil
}

func notBase64(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+/-_= \t\r\n", r))
}

func notMIME(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/.+-_", r))
}

// mimeOf gives the media type of a name by its extension, empty if it is none
// that the API reads.
func mimeOf(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".webp":
		return "image/webp"
	case ".gif":
		return "image/gif"
	case ".heic":
		return "image/heic"
	case ".bmp":
		return "image/bmp"
	case ".pdf":
		return "application/pdf"
	case ".txt", ".md":
		return "text/plain"
	case ".csv":
		return "text/csv"
	case ".html":
		return "text/html"
	}
	return ""
}

func foldPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && strings.EqualFold(string(b[:len(prefix)]), prefix)
}

func foldSuffix(b []byte, suffix string) bool {
	return len(b) >= len(suffix) && strings.EqualFold(string(b[len(b)-len(suffix):]), suffix)
}
