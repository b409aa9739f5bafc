package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

// operation gives how a path that is no chat is answered; nil for any other path.
func operation(path string) func(*play, *operated) {
	switch path {
	case "/embeddings":
		return (*play).embed
	case "/images/generations":
		return (*play).draw
	case "/audio/transcriptions":
		return (*play).transcribe
	}
	return nil
}

// operated is what a request that is no chat asks for.
type operated struct {
	Model          string          `json:"model"`
	Input          json.RawMessage `json:"input"`
	Dimensions     int             `json:"dimensions"`
	EncodingFormat string          `json:"encoding_format"`
	Prompt         string          `json:"prompt"`
	N              int             `json:"n"`
	ResponseFormat string          `json:"response_format"`
	size           int             // of the file, bytes
	bad            string          // what is wrong with it
}

// operate answers a request that is no chat by script: its FirstDelay, Status,
// Text (of a transcript), Usage (Never or not) and Type count.
func (s *Server) operate(w http.ResponseWriter, r *http.Request, how func(*play, *operated)) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	in := readOperation(r.Header.Get("Content-Type"), body)
	req := Request{Model: in.Model, N: in.N, Body: body, Header: r.Header}
	defer s.begin(r, req)()
	if in.bad != "" || in.Model == "" {
		problem(w, http.StatusBadRequest, "invalid_request_error", "invalid_request", "The request cannot be read: "+in.bad)
		return
	}
	script := s.script(&req)
	p := newPlay(s, w, r, &req, script)
	if s.options.Sleep(r.Context(), script.FirstDelay) != nil {
		return
	}
	switch {
	case script.Status != 0:
		p.refuse()
	case script.Break != None:
		p.cut(script.Break == Reset)
	default:
		how(p, in)
	}
}

// readOperation reads a JSON body or a form.
func readOperation(kind string, body []byte) *operated {
	in := &operated{}
	media, params, _ := mime.ParseMediaType(kind)
	if media != "multipart/form-data" {
		if err := json.Unmarshal(body, in); err != nil {
			in.bad = err.Error()
		}
		return in
	}
	for form := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return in
		}
		if err != nil {
			in.bad = err.Error()
			return in
		}
		value, err := io.ReadAll(part)
		if err != nil {
			in.bad = err.Error()
			return in
		}
		switch part.FormName() {
		case "model":
			in.Model = string(value)
		case "prompt":
			in.Prompt = string(value)
		case "response_format":
			in.ResponseFormat = string(value)
		case "file":
			in.size = len(value)
		}
	}
}

// give answers with JSON of the script's type, with a usage unless the script has none.
func (p *play) give(answered map[string]any, usage map[string]any) {
	if p.Script.Usage != Never {
		answered["usage"] = usage
	}
	p.w.Header().Set("Content-Type", p.kind("application/json"))
	_ = json.NewEncoder(p.w).Encode(answered) // the client may be gone
}

// vectorSize is how long a vector is unless the request says otherwise.
const vectorSize = 8

// embed gives a vector of length 1 for each input, the same for the same input.
func (p *play) embed(in *operated) {
	inputs, tokens := embedded(in.Input)
	if len(inputs) == 0 {
		problem(p.w, http.StatusBadRequest, "invalid_request_error", "invalid_request", "'input' is missing.")
		return
	}
	size := in.Dimensions
	if size < 1 || size > 1<<16 {
		size = vectorSize
	}
	data := []map[string]any{}
	for i, input := range inputs {
		var v any = vector(input, size)
		if in.EncodingFormat == "base64" {
			raw := make([]byte, 0, 4*size)
			for _, f := range vector(input, size) {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
			}
			v = base64.StdEncoding.EncodeToString(raw)
		}
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": v})
	}
	p.give(map[string]any{"object": "list", "data": data, "model": in.Model}, map[string]any{"prompt_tokens": tokens, "total_tokens": tokens})
}

// embedded gives the inputs of a request and how many tokens they have.
func embedded(raw json.RawMessage) (inputs []string, tokens int) {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, len(Pieces(one))
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil, 0
	}
	var alone []int
	if json.Unmarshal(raw, &alone) == nil && len(alone) > 0 {
		return []string{string(raw)}, len(alone)
	}
	for _, entry := range list {
		if json.Unmarshal(entry, &one) == nil {
			inputs, tokens = append(inputs, one), tokens+len(Pieces(one))
		} else if json.Unmarshal(entry, &alone) == nil {
			inputs, tokens = append(inputs, string(entry)), tokens+len(alone)
		}
	}
	return inputs, tokens
}

// vector gives a vector of length 1 that a text decides.
func vector(text string, size int) []float32 {
	h := fnv.New64a()
	h.Write([]byte(text))
	random := rand.New(rand.NewPCG(h.Sum64(), 0)) //nolint:gosec // no secret: the same text has the same vector
	v, sum := make([]float32, size), 0.0
	for i := range v {
		v[i] = float32(random.NormFloat64())
		sum += float64(v[i]) * float64(v[i])
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / math.Sqrt(sum))
	}
	return v
}

// pixel is a PNG of one transparent pixel.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

// drawn is how many tokens an image counts.
const drawn = 272

// draw gives images, all the same.
func (p *play) draw(in *operated) {
	data := []map[string]any{}
	for range max(in.N, 1) {
		if in.ResponseFormat == "url" {
			data = append(data, map[string]any{"url": "https://images.sim.invalid/pixel.png"})
		} else {
			data = append(data, map[string]any{"b64_json": pixel})
		}
	}
	asked := len(Pieces(in.Prompt))
	p.give(map[string]any{"created": p.server.options.Now().Unix(), "data": data}, map[string]any{
		"input_tokens": asked, "output_tokens": drawn * len(data), "total_tokens": asked + drawn*len(data),
		"input_tokens_details": map[string]any{"text_tokens": asked, "image_tokens": 0}})
}

// transcribe gives the script's text. A second of speech is a thousand bytes.
func (p *play) transcribe(in *operated) {
	text := p.Text
	if text == "" {
		text = numbered(max(p.Pieces, 0))
	}
	seconds := (in.size + 999) / 1000
	heard, said := 10*seconds, len(Pieces(text))
	switch in.ResponseFormat {
	case "text", "srt", "vtt":
		p.w.Header().Set("Content-Type", p.kind("text/plain; charset=utf-8"))
		line := text + "\n"
		if in.ResponseFormat != "text" {
			line = fmt.Sprintf("1\n00:00:00,000 --> 00:00:%02d,000\n%s\n\n", min(seconds, 59), text)
		}
		if in.ResponseFormat == "vtt" {
			line = "WEBVTT\n\n" + strings.ReplaceAll(line[2:], ",000", ".000")
		}
		_, _ = io.WriteString(p.w, line) // the client may be gone
	case "verbose_json":
		p.give(map[string]any{"task": "transcribe", "language": "english", "duration": float64(seconds), "text": text,
			"segments": []map[string]any{{"id": 0, "start": 0.0, "end": float64(seconds), "text": text}}},
			map[string]any{"type": "duration", "seconds": seconds})
	default:
		p.give(map[string]any{"text": text}, map[string]any{"type": "tokens", "input_tokens": heard, "output_tokens": said, "total_tokens": heard + said,
			"input_token_details": map[string]any{"text_tokens": 0, "audio_tokens": heard}})
	}
}
