package gemini

import (
	"bytes"
	"strconv"
	"strings"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// turn is one content: what one side says.
type turn struct {
	*inward
	model bool

	results   []byte // messages of tools, each behind a comma
	parts     []byte // parts of the user's message, each behind a comma
	texts     int    // of them, how many are text; more are something else
	others    int
	said      []byte // the model's text, still escaped
	hasSaid   bool
	thoughts  []byte
	calls     []byte
	images    []byte
	signature []byte
}

// content reads one content.
func (in *inward) content(path string, value []byte) error {
	in.said = true
	t := turn{inward: in}
	var parts []byte
	partsPath := path + ".parts"
	err := in.object(path, value, func(name, path string, value []byte) error {
		switch name {
		case "role":
			role, err := oneOf(path, value, "user", "model", "function", "tool")
			t.model = role == "model"
			return err
		case "parts":
			parts, partsPath = value, path
			return nil
		}
		return refuse(path, "unknown_parameter", "is not a member of a content.")
	})
	if err != nil {
		return err
	}
	if parts == nil {
		return refuse(partsPath, "missing_required_parameter", "is missing.")
	}
	n := 0
	err = in.list(partsPath, parts, maxContents, func(path string, value []byte) error {
		n++
		return t.part(path, value)
	})
	if err != nil {
		return err
	}
	if n == 0 {
		return refuse(partsPath, "invalid_value", "is empty.")
	}
	t.end()
	return nil
}

// end writes the messages that the turn stands for.
func (t *turn) end() {
	if t.model {
		t.spoken()
		return
	}
	t.messages = append(t.messages, t.results...)
	switch parts := bytes.TrimPrefix(t.parts, []byte{','}); {
	case len(parts) == 0:
	case t.texts == 1 && t.others == 0:
		t.messages = append(append(append(t.messages, `,{"role":"user","content":`...), scan.Find(parts, "text")...), '}')
	default:
		t.messages = append(append(append(t.messages, `,{"role":"user","content":[`...), parts...), "]}"...)
	}
}

// spoken writes the assistant's message.
func (t *turn) spoken() {
	dst := append(t.messages, `,{"role":"assistant","content":`...)
	if t.hasSaid || len(t.calls) == 0 {
		dst = append(append(append(dst, '"'), t.said...), '"')
	} else {
		dst = append(dst, "null"...)
	}
	if len(t.thoughts) > 0 {
		dst = append(append(append(dst, `,"reasoning_content":"`...), t.thoughts...), '"')
	}
	if len(t.calls) > 0 {
		dst = append(append(append(dst, `,"tool_calls":[`...), t.calls[1:]...), ']')
	}
	if len(t.images) > 0 {
		dst = append(append(append(dst, `,"images":[`...), t.images[1:]...), ']')
	}
	if len(t.signature) > 0 {
		dst = appendExtra(append(dst, ','), t.signature)
	}
	t.messages = append(dst, '}')
}

func appendExtra(dst, signature []byte) []byte {
	return append(append(append(dst, `"extra_content":{"google":{"thought_signature":"`...), signature...), `"}}`...)
}

// partIn is one part, as its members say.
type partIn struct {
	kind, path string
	value      []byte
	thought    bool
	signature  []byte
}

// part reads one part of a content: it has one payload.
func (t *turn) part(path string, value []byte) error {
	var p partIn
	err := t.object(path, value, func(name, path string, value []byte) error {
		switch name {
		case "text", "inlineData", "fileData", "functionCall", "functionResponse":
			if p.kind != "" {
				return refuse(path, "invalid_value", "does not belong here: a part has one content.")
			}
			p.kind, p.path, p.value = name, path, value
			return nil
		case "thought":
			p.thought = string(value) == "true"
			return boolean(path, value)
		case "thoughtSignature":
			p.signature = str(value)
			return isText(path, value)
		case "videoMetadata", "mediaResolution", "partMetadata":
			t.native(path)
			return nil
		case "executableCode", "codeExecutionResult", "toolCall", "toolResponse":
			return refuse(path, "unsupported_parameter", "is not supported here: tools are functions of the caller's.")
		}
		return refuse(path, "unknown_parameter", "is not a member of a part.")
	})
	if err != nil {
		return err
	}
	switch p.kind {
	case "text":
		return t.text(&p)
	case "inlineData":
		return t.inlineData(&p)
	case "fileData":
		return t.fileData(&p)
	case "functionCall":
		return t.call(&p)
	case "functionResponse":
		return t.result(&p)
	}
	if len(p.signature) > 0 && t.model {
		t.signature = p.signature
		return nil
	}
	return refuse(path, "missing_required_parameter", "has to hold text, inlineData, fileData, functionCall or functionResponse.")
}

func (t *turn) text(p *partIn) error {
	raw := str(p.value)
	switch {
	case raw == nil:
		return wrongType(p.path, "a string", p.value)
	case !t.model:
		t.texts++
		t.parts = append(append(append(t.parts, `,{"type":"text","text":"`...), raw...), `"}`...)
		return nil
	case p.thought:
		t.thoughts = append(t.thoughts, raw...)
		return nil
	}
	t.said, t.hasSaid = append(t.said, raw...), true
	if len(p.signature) > 0 {
		t.signature = p.signature
	}
	return nil
}

// blob reads inlineData and fileData: a media type and one more member.
func (t *turn) blob(p *partIn, payload string) (mime string, data []byte, err error) {
	err = t.object(p.path, p.value, func(name, path string, value []byte) error {
		switch name {
		case "mimeType":
			mime = strings.ToLower(llm.Unescape(str(value)))
			if strings.ContainsFunc(mime, notMIME) {
				return refuse(path, "invalid_value", "has to be a media type.")
			}
		case payload:
			data = str(value)
		case "displayName":
			t.native(path)
		default:
			return refuse(path, "unknown_parameter", "is not a member of %s.", p.kind)
		}
		return isText(path, value)
	})
	if err == nil && len(data) == 0 {
		err = refuse(p.path+"."+payload, "missing_required_parameter", "is missing.")
	}
	return mime, data, err
}

// inlineData carries an image, a recording or a document.
func (t *turn) inlineData(p *partIn) error {
	mime, data, err := t.blob(p, "data")
	switch {
	case err != nil:
		return err
	case mime == "":
		return refuse(p.path+".mimeType", "missing_required_parameter", "is missing.")
	case bytes.ContainsFunc(data[:min(len(data), 128)], notBase64):
		return refuse(p.path+".data", "invalid_value", "has to be base64.")
	}
	family, format, _ := strings.Cut(mime, "/")
	url := func(dst []byte) []byte {
		return append(append(append(append(append(dst, `"data:`...), mime...), ";base64,"...), data...), '"')
	}
	if t.model { // an image that was made in an earlier turn: no other dialect takes one back
		if family != "image" {
			return refuse(p.path+".mimeType", "unsupported_parameter", "can be an image only in a turn of the model.")
		}
		t.native(p.path)
		t.images = append(url(append(t.images, `,{"type":"image_url","image_url":{"url":`...)), "}}"...)
		if len(p.signature) > 0 {
			t.signature = p.signature
		}
		return nil
	}
	t.others++
	switch family {
	case "image":
		t.parts = append(url(append(t.parts, `,{"type":"image_url","image_url":{"url":`...)), "}}"...)
	case "audio":
		switch format {
		case "mpeg", "mpga":
			format = "mp3"
		case "x-wav", "wave":
			format = "wav"
		case "wav", "mp3":
		default:
			t.native(p.path)
		}
		t.parts = append(append(append(t.parts, `,{"type":"input_audio","input_audio":{"format":"`...), format...), `","data":"`...)
		t.parts = append(append(t.parts, data...), `"}}`...)
	default: // a document; of a video nobody else knows what to do with it
		if family != "text" && mime != "application/pdf" {
			t.native(p.path)
		}
		t.parts = append(url(append(t.parts, `,{"type":"file","file":{"file_data":`...)), `,"filename":"file.`...)
		t.parts = append(append(t.parts, extension(mime)...), `"}}`...)
	}
	return nil
}

// extension is what a file of a media type is called.
func extension(mime string) string {
	switch mime {
	case "text/plain":
		return "txt"
	case "text/markdown":
		return "md"
	}
	_, format, _ := strings.Cut(mime, "/")
	return format
}

// fileData carries the address of an image. What else an address may lead to, a
// video of an hour for one, has a cost that cannot be estimated.
func (t *turn) fileData(p *partIn) error {
	mime, raw, err := t.blob(p, "fileUri")
	if err != nil {
		return err
	}
	uri := plain(raw)
	switch {
	case t.model:
		return refuse(p.path, "unsupported_parameter", "is not supported in a turn of the model.")
	case !public(string(uri)):
		return refuse(p.path+".fileUri", "unsupported_parameter", "has to be a public https: address; of anything else send the data itself as inlineData.")
	}
	if mime == "" {
		address, _, _ := strings.Cut(string(uri), "?")
		mime = mimeOf(address)
	}
	if !strings.HasPrefix(mime, "image/") {
		return refuse(p.path, "unsupported_parameter", "can be an image only; of anything else send the data itself as inlineData.")
	}
	t.others++
	t.parts = append(append(append(t.parts, `,{"type":"image_url","image_url":{"url":"`...), raw...), `"}}`...)
	return nil
}

// call carries a call that the model made.
func (t *turn) call(p *partIn) error {
	if !t.model {
		return refuse(p.path, "invalid_value", "is for turns of the model only.")
	}
	var name, id []byte
	args := []byte("{}")
	err := t.object(p.path, p.value, func(member, path string, value []byte) error {
		switch member {
		case "name":
			name = str(value)
			return isText(path, value)
		case "id":
			id = str(value)
			return isText(path, value)
		case "args":
			if args = value; value[0] != '{' {
				return wrongType(path, "an object", value)
			}
			return nil
		}
		return refuse(path, "unknown_parameter", "is not a member of a function call.")
	})
	switch {
	case err != nil:
		return err
	case len(name) == 0:
		return refuse(p.path+".name", "missing_required_parameter", "is missing.")
	}
	if len(id) == 0 {
		id = strconv.AppendInt([]byte("call_om_"), int64(len(t.ids)), 10)
	}
	t.make(name, id)
	dst := append(append(t.calls, `,{"id":"`...), id...)
	dst = append(append(dst, `","type":"function","function":{"name":"`...), name...)
	dst = append(appendArguments(append(dst, `","arguments":`...), args), '}')
	if len(p.signature) > 0 {
		dst = appendExtra(append(dst, ','), p.signature)
	}
	t.calls = append(dst, '}')
	return nil
}

// make remembers a call for the result that is to come.
func (t *turn) make(name, id []byte) {
	if t.ids == nil {
		t.ids, t.waiting = map[string]*callMade{}, map[string][]*callMade{}
	}
	made := &callMade{id: id}
	t.ids[string(id)] = made
	t.waiting[string(name)] = append(t.waiting[string(name)], made)
}

// result carries what a function gave back.
func (t *turn) result(p *partIn) error {
	if t.model {
		return refuse(p.path, "invalid_value", "is for turns of the user only.")
	}
	var name, id, response []byte
	err := t.object(p.path, p.value, func(member, path string, value []byte) error {
		switch member {
		case "name":
			name = str(value)
			return isText(path, value)
		case "id":
			id = str(value)
			return isText(path, value)
		case "response":
			if response = value; value[0] != '{' {
				return wrongType(path, "an object", value)
			}
			return nil
		case "willContinue", "scheduling", "parts":
			t.native(path)
			return nil
		}
		return refuse(path, "unknown_parameter", "is not a member of a function response.")
	})
	switch {
	case err != nil:
		return err
	case len(name) == 0:
		return refuse(p.path+".name", "missing_required_parameter", "is missing.")
	}
	made := t.made(name, id)
	if made == nil {
		return refuse(p.path+".name", "invalid_value", "answers no functionCall before it.")
	}
	dst := append(append(t.results, `,{"role":"tool","tool_call_id":"`...), made...)
	t.results = append(appendResponse(append(dst, `","content":`...), response), '}')
	return nil
}

// made finds the call that a result is of, and gives its id: the one that the
// result names, else the first of its function's name that has no result yet. nil
// if there is none.
func (t *turn) made(name, id []byte) []byte {
	if made, ok := t.ids[string(id)]; ok {
		made.answered = true
		return made.id
	}
	waiting := t.waiting[string(name)]
	for len(waiting) > 0 && waiting[0].answered {
		waiting = waiting[1:]
	}
	if len(waiting) == 0 {
		return nil
	}
	t.waiting[string(name)] = waiting[1:]
	return waiting[0].id
}

// appendResponse appends a function's response as the content of a tool's message:
// a text that was put into an object for want of another place, or the object.
func appendResponse(dst, response []byte) []byte {
	only := 0
	var inner []byte
	s := scan.New(response, scan.ClientDepth)
	if s.Peek() == '{' {
		for ok := s.Enter(); ok && s.Member(); only++ {
			wraps := string(s.Name) == "result" || string(s.Name) == "output"
			value := s.Value()
			if ok = value != nil; wraps {
				inner = value
			}
		}
	}
	if only == 1 && str(inner) != nil {
		return append(dst, inner...)
	}
	return appendArguments(dst, response)
}
