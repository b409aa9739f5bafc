package openai

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf8"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// Speech in tokens. OpenAI's transcribing models make ten tokens of a second,
// and 10 dollars for a million of them are the 0.006 dollars that a minute costs
// with models that are paid by time: those are counted alike.
const (
	perSecond      = 10
	bytesPerSecond = 750    // compressed speech at 6 kbit/s, the lowest that Opus is used at
	maxSpeech      = 25     // MB of a file; OpenAI's bound
	sampleRateLow  = 8000   // Hz; below it nobody records speech
	maxTranscript  = 16_384 // tokens; above what any model writes
)

// ParseTranscription validates the form of POST /v1/audio/transcriptions. Every
// field is understood or refused by name. InputTokens estimates from the size of
// the file how long it can be at most; Cap is as much, for speech has fewer
// tokens as text. Errors are *fault.Error of kind Invalid. The request keeps
// body, and Type is its Content-Type.
func ParseTranscription(contentType string, body []byte) (Request, error) {
	f, err := readForm(contentType, body)
	if err != nil {
		return Request{}, err
	}
	var t transcription
	t.req.Body, t.req.Type, t.req.N = body, f.kind(), 1
	t.req.Op, t.req.Needs = llm.Transcripts, llm.Transcripts.Needed()
	seen := map[string]bool{}
	for _, one := range f.fields {
		name := strings.TrimSuffix(one.name, "[]")
		list := name == "timestamp_granularities" || name == "include" || name == "known_speaker_names" || name == "known_speaker_references" || name == "models"
		if name != one.name && !list {
			return Request{}, refusal(clip(one.name), "unknown_parameter", "is not a parameter of transcriptions.")
		}
		if seen[name] && !list {
			return Request{}, refusal(name, "invalid_value", "is given twice.")
		}
		seen[name] = true
		if err := t.field(name, one); err != nil {
			return Request{}, err
		}
	}
	switch {
	case !seen["file"]:
		return Request{}, refusal("file", "missing_required_parameter", "is missing.")
	case !seen["model"]:
		return Request{}, refusal("model", "missing_required_parameter", "is missing.")
	case t.req.MaxCost != "" && t.req.MaxCostNanoUSD != 0:
		return Request{}, refusal("max_cost", "invalid_value", "and 'max_cost_nano_usd' are both given; give one.")
	}
	t.req.InputTokens += perRequest + (t.weight.halves+1)/2
	return t.req, nil
}

// transcription reads the fields of a form.
type transcription struct {
	req    Request
	weight weight
}

func refusal(path, code, text string) *fault.Error {
	f := fault.New(fault.Invalid, code, "'%s' %s", path, text)
	f.Field = path
	return f
}

func (t *transcription) field(name string, one field) error {
	if one.file != (name == "file") {
		if one.file {
			return refusal(clip(name), "invalid_type", "has the wrong type: it is a file.")
		}
		return refusal(name, "invalid_type", "has the wrong type: expected a file with a name.")
	}
	if one.file {
		return t.file(one.value)
	}
	if len(one.value) > maxValue || !utf8.Valid(one.value) || bytes.IndexByte(one.value, 0) >= 0 {
		return refusal(clip(name), "invalid_value", "has to be a text.")
	}
	value := string(one.value)
	switch name {
	case "model", "max_cost", "max_cost_nano_usd", "models":
		return t.own(name, value)
	case "prompt":
		t.weight.text(one.value)
	case "language":
		if len(value) > 35 { // a language tag
			return refusal(name, "invalid_value", "has to be the code of a language, such as 'en'.")
		}
	case "response_format":
		return among(name, value, "json", "text", "srt", "verbose_json", "vtt", "diarized_json")
	case "temperature":
		if n, err := strconv.ParseFloat(value, 64); err != nil || !(n >= 0 && n <= 1) {
			return refusal(name, "invalid_value", "has to be a number from 0 to 1.")
		}
	case "timestamp_granularities":
		return among(name, value, "word", "segment")
	case "include":
		return among(name, value, "logprobs")
	case "known_speaker_names", "known_speaker_references", "user":
	case "stream":
		if value != "false" {
			return refusal(name, "unsupported_parameter", "can be 'false' only: transcriptions are not streamed.")
		}
	default:
		if name != "chunking_strategy" && !strings.HasPrefix(name, "chunking_strategy[") {
			return refusal(clip(name), "unknown_parameter", "is not a parameter of transcriptions.")
		}
	}
	return nil
}

// own reads the model and OneMind's own fields, with the words of JSON requests.
func (t *transcription) own(name, value string) error {
	p := newParser(llm.AppendQuoted(nil, value))
	switch name {
	case "model":
		p.model(name, &t.req.Model)
	case "models":
		if len(t.req.Fallbacks) == maxFallbacks {
			return refusal(name, "invalid_value", "can name "+strconv.Itoa(maxFallbacks)+" models at most.")
		}
		var model string
		p.model(name, &model)
		t.req.Fallbacks = append(t.req.Fallbacks, model)
	case "max_cost":
		p.maxCost()
		t.req.MaxCost = p.req.MaxCost
	default:
		if p = newParser([]byte(value)); !scan.Valid([]byte(value), 1) {
			return refusal(name, "invalid_type", "has the wrong type: expected an integer.")
		}
		p.integer(name, 1, 1<<62, &t.req.MaxCostNanoUSD)
	}
	if p.err != nil {
		return p.err
	}
	return nil
}

func among(name, value string, words ...string) error {
	for _, w := range words {
		if value == w {
			return nil
		}
	}
	return refusal(name, "invalid_value", "has to be one of '"+strings.Join(words, "', '")+"', but is '"+clip(value)+"'.")
}

// file estimates how long a recording can be at most.
func (t *transcription) file(data []byte) error {
	if len(data) == 0 {
		return refusal("file", "invalid_value", "is empty.")
	}
	if len(data) > maxSpeech<<20 {
		return refusal("file", "invalid_value", "is larger than "+strconv.Itoa(maxSpeech)+" MB.")
	}
	tokens := int64(len(data))*perSecond/byteRate(data) + perSecond
	t.req.InputTokens += tokens
	t.req.Cap = min(tokens, maxTranscript)
	return nil
}

// byteRate is how few bytes a second of a recording can have. A WAV file of plain
// samples says it, to us as to whoever decodes it.
func byteRate(data []byte) int64 {
	if len(data) < 36 || string(data[:4]) != "RIFF" || string(data[8:16]) != "WAVEfmt " || binary.LittleEndian.Uint16(data[20:]) != 1 {
		return bytesPerSecond
	}
	channels, rate, bits := int64(binary.LittleEndian.Uint16(data[22:])), int64(binary.LittleEndian.Uint32(data[24:])), int64(binary.LittleEndian.Uint16(data[34:]))
	if channels < 1 || channels > 8 || rate < sampleRateLow || rate > 384_000 || bits < 8 || bits > 32 {
		return bytesPerSecond
	}
	return channels * rate * bits / 8
}
