package openai

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// Bounds of the operations that are no chat, from OpenAI's reference.
const (
	maxInputs     = 2048   // texts in one request for embeddings
	maxDimensions = 65_536 // of a vector; no model has more than 16,384
	maxImages     = 10
	maxPixels     = 16_384 // of an image's side
	maxSteps      = 1000
)

// What an operation costs where that is no text, in tokens. All are upper
// estimates, for the hold.
const (
	perInput = 2 // what tokenizers of embedding models put around each text

	// Tokens of one image of imagePixels by quality. gpt-image-1 takes 408, 1,584 and
	// 6,240 for it, gpt-image-2.6-flare about 300, 2,700 and 10,500. Larger images
	// take more in proportion.
	imageLow    = 512
	imageMedium = 3072
	imageHigh   = 12_288
	imagePixels = 1536 * 1024
)

// ParseEmbeddings validates the body of POST /v1/embeddings. Every member is
// understood or refused by name; those of Mistral and Voyage are passed on.
// Tokens of token arrays are counted exactly. Errors are *fault.Error of kind
// Invalid. The request keeps body.
func ParseEmbeddings(body []byte) (Request, error) {
	o := operation{parser: newParser(body), op: llm.Embeddings}
	o.req.Cap = 1 // nothing is written
	return o.parse((*operation).embedding, "input")
}

// ParseImages validates the body of POST /v1/images/generations, as
// ParseEmbeddings does. N is the number of images and Cap the tokens that one
// may take; members of Together are passed on.
func ParseImages(body []byte) (Request, error) {
	o := operation{parser: newParser(body), op: llm.Images}
	o.perImage = imageHigh
	return o.parse((*operation).image, "prompt")
}

func newParser(body []byte) parser {
	p := parser{s: scan.New(body, scan.ClientDepth)}
	p.req.Body, p.req.N = body, 1
	return p
}

// operation reads the request of an operation.
type operation struct {
	parser
	op     llm.Operation
	tokens int64 // counted, beside the estimate

	perImage      int64 // tokens of one image of imagePixels
	width, height int64 // pixels; 0 when the request leaves them open
}

// parse reads the body with a function for one member, which reports false with
// no error for a member that the operation does not have.
func (o *operation) parse(member func(*operation, string) (known, ok bool), required string) (Request, error) {
	if !utf8.Valid(o.s.Data) {
		return Request{}, fault.New(fault.Invalid, "invalid_json", "The body is not valid UTF-8.")
	}
	if o.s.Peek() != '{' {
		if o.s.Skip() && o.s.End() {
			return Request{}, fault.New(fault.Invalid, "invalid_type", "The body has to be a JSON object.")
		}
		return Request{}, o.broken()
	}
	seen := map[string]bool{}
	for ok := o.s.Enter(); ok; {
		if ok = o.s.Member(); !ok {
			break
		}
		name := string(o.s.Name)
		if seen[name] {
			o.refuse(clip(name), "invalid_value", "is given twice.")
			break
		}
		seen[name] = true
		ok = o.member(name, required, member)
	}
	switch {
	case o.err != nil:
	case !o.s.End():
		return Request{}, o.broken()
	case !seen["model"]:
		o.refuse("model", "missing_required_parameter", "is missing.")
	case !seen[required]:
		o.refuse(required, "missing_required_parameter", "is missing.")
	case o.req.MaxCost != "" && o.req.MaxCostNanoUSD != 0:
		o.refuse("max_cost", "invalid_value", "and 'max_cost_nano_usd' are both given; give one.")
	}
	if o.err != nil {
		return Request{}, o.err
	}
	return o.request(), nil
}

// request fills in what the members add up to.
func (o *operation) request() Request {
	o.req.Op, o.req.Needs = o.op, o.op.Needed()
	o.req.InputTokens = o.tokens + o.weight.whole + (o.weight.halves+1)/2
	if o.op == llm.Images {
		o.req.Cap = (o.perImage*max(o.width*o.height, imagePixels) + imagePixels - 1) / imagePixels
	}
	return o.req
}

func (o *operation) member(name, required string, member func(*operation, string) (known, ok bool)) bool {
	if name != "model" && name != required && o.s.Null() { // SDKs send null for what was not set
		return true
	}
	known, ok := member(o, name)
	if !known {
		known, ok = o.shared(name)
	}
	if !known {
		if o.s.Skip() {
			o.refuse(clip(name), "unknown_parameter", "is not a parameter of %s.", o.op)
		}
		return false
	}
	if o.s.Nul {
		return o.refuse(name, "invalid_value", `holds a null character (\u0000).`)
	}
	return ok && o.err == nil
}

// shared reads the members that all operations have.
func (o *operation) shared(name string) (known, ok bool) {
	switch name {
	case "model":
		return true, o.model(name, &o.req.Model)
	case "user":
		return true, o.text(name, &o.req.User)
	case "max_cost", "max_cost_nano_usd", "models":
		id, _ := param([]byte(name))
		return true, o.extension(id, name)
	}
	return false, false
}

// embedding reads a member of a request for embeddings.
func (o *operation) embedding(name string) (known, ok bool) {
	switch name {
	case "input":
		return true, o.inputs()
	case "dimensions", "output_dimension": // OpenAI; Mistral, Voyage
		return true, o.integer(name, 1, maxDimensions, nil)
	case "encoding_format":
		return true, o.oneOf(name, "float", "base64")
	case "output_dtype": // Mistral, Voyage
		return true, o.oneOf(name, "float", "int8", "uint8", "binary", "ubinary")
	case "input_type": // Voyage; others have words of their own
		return true, o.text(name, nil)
	case "truncation": // Voyage
		return true, o.boolean(name, nil)
	}
	return false, false
}

// inputs reads what is to be embedded: a text, texts, tokens, or lists of tokens.
func (o *operation) inputs() bool {
	switch o.s.Peek() {
	case '"':
		return o.input("input")
	case '[':
	default:
		return o.wrongType("input", "a string or an array")
	}
	var kind byte // of the first element; all are alike
	n := 0
	for ok := o.s.Enter(); ok; n++ {
		if ok = o.s.Element(); !ok {
			break
		}
		next := o.s.Peek()
		if next == '-' || '0' <= next && next <= '9' {
			next = '0'
		}
		if n == 0 {
			kind = next
		}
		path := ""
		if kind != '0' || next != kind {
			path = "input[" + strconv.Itoa(n) + "]"
		}
		switch {
		case next != kind:
			return o.wrongType(path, "what the first element is")
		case n == maxInputs && kind != '0':
			return o.refuse("input", "invalid_value", "can hold %d inputs at most.", maxInputs)
		case kind == '"':
			ok = o.input(path)
		case kind == '0':
			ok = o.token("input", int64(n))
		case kind == '[':
			ok = o.list(path)
		default:
			return o.wrongType(path, "a string, a token or an array of tokens")
		}
	}
	if o.done() && n == 0 {
		return o.refuse("input", "invalid_value", "is empty.")
	}
	return o.done()
}

// input reads one text.
func (o *operation) input(path string) bool {
	raw, ok := o.raw(path)
	if ok && len(raw) == 0 {
		return o.refuse(path, "invalid_value", "is empty.")
	}
	o.weight.text(raw)
	o.weight.whole += perInput
	return ok
}

// token reads the number of one token, the n-th of the array at path. Paths are
// built for errors only: there may be hundreds of thousands of tokens.
func (o *operation) token(path string, n int64) bool {
	o.tokens++
	before := o.s
	if o.integer("", 0, 1<<31-1, nil) {
		return true
	}
	o.s, o.err = before, nil
	return o.integer(path+"["+strconv.FormatInt(n, 10)+"]", 0, 1<<31-1, nil)
}

// list reads the tokens of one text.
func (o *operation) list(path string) bool {
	before := o.tokens
	for ok := o.s.Enter(); ok; {
		if ok = o.s.Element(); ok {
			ok = o.token(path, o.tokens-before)
		}
	}
	if o.done() && o.tokens == before {
		return o.refuse(path, "invalid_value", "is empty.")
	}
	return o.done()
}

// image reads a member of a request for images.
func (o *operation) image(name string) (known, ok bool) {
	switch name {
	case "prompt":
		raw, ok := o.raw(name)
		if ok && len(raw) == 0 {
			return true, o.refuse(name, "invalid_value", "is empty.")
		}
		o.weight.text(raw)
		o.weight.whole += perRequest
		return true, ok
	case "n":
		return true, o.integer(name, 1, maxImages, &o.req.N)
	case "quality":
		return true, o.quality()
	case "response_format":
		return true, o.oneOf(name, "url", "b64_json", "base64")
	case "size":
		return true, o.size()
	case "style", "background", "output_format":
		return true, o.text(name, nil)
	case "moderation":
		return true, o.oneOf(name, "auto", "low")
	case "output_compression":
		return true, o.integer(name, 0, 100, nil)
	case "negative_prompt": // Together
		raw, ok := o.raw(name)
		o.weight.text(raw)
		return true, ok
	case "width":
		return true, o.integer(name, 1, maxPixels, &o.width)
	case "height":
		return true, o.integer(name, 1, maxPixels, &o.height)
	case "steps":
		return true, o.integer(name, 1, maxSteps, nil)
	case "seed":
		return true, o.integer(name, -1<<63, 1<<63-1, nil)
	case "guidance", "guidance_scale":
		return true, o.number(name, 0, 100)
	case "stream":
		var stream bool
		if o.boolean(name, &stream) && stream {
			return true, o.refuse(name, "unsupported_parameter", "cannot be true: images are not streamed.")
		}
		return true, o.err == nil
	case "partial_images":
		return true, o.refuse(name, "unsupported_parameter", "is not supported here: images are not streamed.")
	}
	return false, false
}

// quality reads the quality, which decides about the tokens of an image.
func (o *operation) quality() bool {
	var quality string
	if !o.text("quality", &quality) {
		return false
	}
	switch quality {
	case "low":
		o.perImage = imageLow
	case "medium":
		o.perImage = imageMedium
	}
	return true
}

// size reads a size such as "1024x1536". What else it may say, such as "auto", is
// the provider's to understand.
func (o *operation) size() bool {
	var size string
	if !o.text("size", &size) {
		return false
	}
	w, h, _ := strings.Cut(size, "x")
	width, err := strconv.ParseInt(w, 10, 64)
	height, failed := strconv.ParseInt(h, 10, 64)
	if err == nil && failed == nil && 0 < width && width <= maxPixels && 0 < height && height <= maxPixels {
		o.width, o.height = width, height
	}
	return true
}
