package responses

import (
	"bytes"
	"strconv"
	"strings"
)

// conversation makes the chat's messages of instructions and input.
func (r *request) conversation() error {
	c := conversation{calls: map[string]*asked{}, dst: []byte{'['}}
	instructions, err := r.string("instructions")
	if err != nil {
		return err
	}
	if len(instructions) > 2 { // an empty one, which some engines refuse, says nothing
		c.message("system", instructions)
	}
	switch input := r.get("input"); {
	case input == nil:
		return refuse("input", missing, "is missing.")
	case input[0] == '"':
		c.message("user", input)
	case input[0] == '[':
		if err := c.read(elements(input)); err != nil {
			return err
		}
	default:
		return wrongType("input", "a string or an array of items", input)
	}
	r.member("messages", c.dst, []byte("]"))
	return nil
}

// conversation is the list of messages that items become. Items of the assistant
// that follow each other are one message: reasoning, text and calls.
type conversation struct {
	dst   []byte
	turn  turn
	calls map[string]*asked // by their id
	order []*asked
}

// asked is a call of a tool.
type asked struct {
	path     string // of its item
	custom   bool
	answered bool
}

// message appends a message with a JSON content.
func (c *conversation) message(role string, content []byte, more ...string) {
	if len(c.dst) > 1 {
		c.dst = append(c.dst, ',')
	}
	c.dst = append(append(append(c.dst, `{"role":"`...), role...), `","content":`...)
	c.dst = append(c.dst, content...)
	for _, m := range more {
		c.dst = append(c.dst, m...)
	}
	c.dst = append(c.dst, '}')
}

func (c *conversation) read(items [][]byte) error {
	if len(items) == 0 {
		return refuse("input", invalidValue, "is empty: give at least one item.")
	}
	if len(items) > maxItems {
		return refuse("input", invalidValue, "can hold %d items at most.", maxItems)
	}
	for i, raw := range items {
		item, err := readObject("input["+strconv.Itoa(i)+"]", raw)
		if err != nil {
			return err
		}
		if err := c.item(item); err != nil {
			return err
		}
	}
	if err := c.flush(); err != nil {
		return err
	}
	for _, call := range c.order {
		if !call.answered {
			return refuse(call.path+".call_id", invalidValue, "has no output: an item with the output of each call has to follow it.")
		}
	}
	if len(c.dst) == 1 { // reasoning without text, and nothing else
		return refuse("input", invalidValue, "holds no message.")
	}
	return nil
}

// item reads one item.
func (c *conversation) item(item object) error {
	if _, err := item.string("type"); err != nil {
		return err
	}
	kind := textOf(item.get("type"))
	switch {
	case kind == "message", kind == "" && item.get("role") != nil:
		return c.said(item)
	case kind == "reasoning":
		return c.reasoned(item)
	case kind == "image_generation_call":
		return c.drawn(item)
	case kind == "function_call", kind == "custom_tool_call":
		return c.called(item, kind == "custom_tool_call")
	case kind == "function_call_output", kind == "custom_tool_call_output":
		return c.answered(item, kind == "custom_tool_call_output")
	case kind == "item_reference", kind == "" && item.get("id") != nil:
		return refuse(item.path, unsupported, "refers to a stored item: responses are not stored. Send the item itself, as SDKs do when 'store' is false.")
	case kind == "":
		return refuse(item.at("type"), missing, "is missing.")
	}
	return refuse(item.at("type"), unsupported, "has to be one of 'message', 'reasoning', 'function_call', 'function_call_output', 'custom_tool_call', 'custom_tool_call_output', 'image_generation_call', but is '%s'.", clip(kind))
}

// said reads a message.
func (c *conversation) said(item object) error {
	// id and status come from the response that the message was a part of.
	if err := item.known("type", "role", "content", "id", "status", "phase"); err != nil {
		return err
	}
	if err := item.plain("phase"); err != nil {
		return err
	}
	raw, err := item.needWord("role", "user", "assistant", "system", "developer")
	if err != nil {
		return err
	}
	role := textOf(raw)
	content := item.get("content")
	if content == nil {
		return refuse(item.at("content"), missing, "is missing.")
	}
	if role != "assistant" {
		if err := c.flush(); err != nil {
			return err
		}
		out, err := readContent(item.at("content"), content, role)
		if err == nil {
			c.message(role, out)
		}
		return err
	}
	parts, err := readParts(item.at("content"), content, role)
	if err != nil {
		return err
	}
	if c.turn.last == "message" {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.turn.last = "message"
	c.turn.parts = append(c.turn.parts, parts...)
	return nil
}

// readContent reads a content as chat completions has it: a string if it is one
// text, which every engine understands, or a list of parts.
func readContent(path string, raw []byte, role string) ([]byte, error) {
	parts, err := readParts(path, raw, role)
	if err != nil {
		return nil, err
	}
	return joined(parts), nil
}

// part is one part of a content, in chat's words.
type part struct {
	text []byte // the string, if it is a text
	json []byte
}

func joined(parts []part) []byte {
	if len(parts) == 1 && parts[0].text != nil {
		return parts[0].text
	}
	dst := []byte{'['}
	for i, p := range parts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, p.json...)
	}
	return append(dst, ']')
}

func textPart(raw []byte) part {
	return part{text: raw, json: bytes.Join([][]byte{[]byte(`{"type":"text","text":`), raw, []byte("}")}, nil)}
}

func readParts(path string, raw []byte, role string) ([]part, error) {
	if raw[0] == '"' {
		return []part{textPart(raw)}, nil
	}
	if raw[0] != '[' {
		return nil, wrongType(path, "a string or an array of parts", raw)
	}
	list := elements(raw)
	if len(list) == 0 {
		return nil, refuse(path, invalidValue, "is an empty array.")
	}
	parts := make([]part, 0, len(list))
	for i, raw := range list {
		o, err := readObject(path+"["+strconv.Itoa(i)+"]", raw)
		if err != nil {
			return nil, err
		}
		p, err := readPart(o, role)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// readPart reads one part of the content of a role, or of a tool's output.
func readPart(o object, role string) (part, error) {
	if _, err := o.need("type"); err != nil {
		return part{}, err
	}
	kind := textOf(o.get("type"))
	if err := o.plain("prompt_cache_breakpoint"); err != nil {
		return part{}, err
	}
	allowed := map[string]string{
		"user": "input_text, input_image, input_file", "tool": "input_text, input_image, input_file",
		"assistant": "output_text, input_text, refusal", "system": "input_text", "developer": "input_text",
	}[role]
	if !strings.Contains(", "+allowed+",", ", "+kind+",") || kind == "" {
		return part{}, refuse(o.at("type"), invalidValue, "has to be one of '%s' here, but is '%s'.", strings.ReplaceAll(allowed, ", ", "', '"), clip(kind))
	}
	switch kind {
	case "input_image":
		return readImage(o)
	case "input_file":
		return readFile(o)
	case "refusal":
		if err := o.known("type", "refusal"); err != nil {
			return part{}, err
		}
		raw, err := o.need("refusal")
		return part{json: bytes.Join([][]byte{[]byte(`{"type":"refusal","refusal":`), raw, []byte("}")}, nil)}, err
	}
	members := []string{"type", "text", "prompt_cache_breakpoint"}
	if kind == "output_text" { // what a response says about its own text
		members = append(members, "annotations", "logprobs", "parsed")
	}
	if err := o.known(members...); err != nil {
		return part{}, err
	}
	raw, err := o.need("text")
	if err != nil {
		return part{}, err
	}
	return textPart(raw), nil
}

func readImage(o object) (part, error) {
	if o.get("file_id") != nil {
		return part{}, refuse(o.at("file_id"), unsupported, "is not supported here; give 'image_url'.")
	}
	if err := o.known("type", "image_url", "detail", "prompt_cache_breakpoint"); err != nil {
		return part{}, err
	}
	url, err := o.needText("image_url")
	if err != nil {
		return part{}, err
	}
	if text := textOf(url); !hasPrefixFold(text, "https://") && !hasPrefixFold(text, "data:") {
		return part{}, refuse(o.at("image_url"), invalidValue, "has to be an https: or a data: URL.")
	}
	detail, err := o.word("detail", "auto", "low", "high")
	if err != nil {
		return part{}, err
	}
	out := append([]byte(`{"type":"image_url","image_url":{"url":`), url...)
	if detail != nil {
		out = append(append(out, `,"detail":`...), detail...)
	}
	return part{json: append(out, "}}"...)}, nil
}

func readFile(o object) (part, error) {
	for _, name := range []string{"file_id", "file_url"} {
		if o.get(name) != nil {
			return part{}, refuse(o.at(name), unsupported, "is not supported here; give 'file_data'.")
		}
	}
	if err := o.known("type", "file_data", "filename", "detail", "prompt_cache_breakpoint"); err != nil {
		return part{}, err
	}
	if err := o.plain("detail", `"auto"`); err != nil {
		return part{}, err
	}
	if _, err := o.needText("file_data"); err != nil {
		return part{}, err
	}
	if _, err := o.string("filename"); err != nil {
		return part{}, err
	}
	return part{json: append(append([]byte(`{"type":"file","file":`), o.only("file_data", "filename")...), '}')}, nil
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
