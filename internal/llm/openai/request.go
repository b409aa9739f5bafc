package openai

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// Request is a validated call of /v1/chat/completions: what every provider
// understands, and OneMind's own members, which no provider sees.
type Request struct {
	llm.Request
	MaxCost        string   // max_cost, dollars, as it was written; empty if not given
	MaxCostNanoUSD int64    // max_cost_nano_usd; 0 if not given
	Fallbacks      []string // models: further ones to try, in this order; nil if not given, empty for none
	Resumable      bool     // the answer runs on when the caller leaves
	User           string   // the caller's own name for its user
}

// Bounds of a request, from OpenAI's reference where it names one.
const (
	maxCap       = 10_000_000 // output tokens; ten times what any model can do today
	maxN         = 8
	maxMessages  = 10_000
	maxTools     = 1024 // OpenAI takes 128, others more: each says no itself
	maxStops     = 4
	maxFallbacks = 15
	maxName      = 256 // bytes of a model's name
)

// Parse validates the body of a chat request in one pass and without decoding
// it: every member is either understood or refused by name, so that nothing a
// caller asked for is lost silently. Errors are *fault.Error of kind Invalid.
// The request keeps body.
func Parse(body []byte) (Request, error) {
	if !utf8.Valid(body) {
		return Request{}, fault.New(fault.Invalid, "invalid_json", "The body is not valid UTF-8.")
	}
	p := parser{s: scan.New(body, scan.ClientDepth)}
	p.req.Body, p.req.N = body, 1
	if p.s.Peek() != '{' {
		if p.s.Skip() && p.s.End() {
			return Request{}, fault.New(fault.Invalid, "invalid_type", "The body has to be a JSON object.")
		}
		return Request{}, p.broken()
	}
	for ok := p.s.Enter(); ok; {
		if ok = p.s.Member(); ok {
			ok = p.top()
		}
	}
	if p.err == nil && p.s.End() {
		p.across()
	}
	if p.err != nil {
		return Request{}, p.err
	}
	if p.s.Bad != "" {
		return Request{}, p.broken()
	}
	p.req.InputTokens = p.weight.tokens()
	return p.req, nil
}

// parser holds what the members of one request add up to. Its check methods
// read one value each; the first thing wrong ends up in err.
type parser struct {
	s      scan.Scanner
	req    Request
	err    *fault.Error
	weight weight
	seen   uint64 // one bit per top-level member

	maxTokens, maxCompletion, topLogprobs int64

	options, logprobs   bool // stream_options are there; logprobs is true
	choosing, hasChoice bool // tool_choice or function_call asks for tools; there are some
}

// broken is the error of a body that is no JSON.
func (p *parser) broken() error {
	what := p.s.Bad
	if p.s.Pos >= len(p.s.Data) && !strings.HasPrefix(what, "more") {
		what = "it ends too early"
	}
	return fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON: %s (byte %d).", what, p.s.Pos)
}

// refuse notes that a parameter breaks a rule, unless something did before.
func (p *parser) refuse(path, code, format string, args ...any) bool {
	if p.err == nil && p.s.Bad == "" {
		p.err = fault.New(fault.Invalid, code, "%s", "'"+path+"' "+fmt.Sprintf(format, args...))
		p.err.Field = path
	}
	return false
}

// The known members, each a bit in parser.seen. Any other is refused.
const (
	paramUnknown = iota
	paramMessages
	paramModel
	paramStream
	paramStreamOptions
	paramMaxTokens
	paramMaxCompletionTokens
	paramN
	paramStop
	paramTemperature
	paramTopP
	paramPresencePenalty
	paramFrequencyPenalty
	paramSeed
	paramLogprobs
	paramTopLogprobs
	paramLogitBias
	paramResponseFormat
	paramTools
	paramToolChoice
	paramParallelToolCalls
	paramFunctions
	paramFunctionCall
	paramUser
	paramMetadata
	paramStore
	paramReasoningEffort
	paramVerbosity
	paramModalities
	paramAudio
	paramPrediction
	paramServiceTier
	paramWebSearchOptions
	paramPromptCacheKey
	paramPromptCacheRetention
	paramSafetyIdentifier
	paramMaxCost
	paramMaxCostNano
	paramModels
	paramResumable
)

// top reads one member of the request.
func (p *parser) top() bool {
	id, name := param(p.s.Name)
	if id == paramUnknown {
		name = string(p.s.Name)
		if p.s.Skip() {
			p.refuse(clip(name), "unknown_parameter", "is not a parameter of chat completions.")
		}
		return false
	}
	if p.seen&(1<<id) != 0 {
		return p.refuse(name, "invalid_value", "is given twice.")
	}
	p.seen |= 1 << id
	// SDKs send null for what was not set. A message list or a model cannot be unset.
	if id != paramMessages && id != paramModel && p.s.Peek() == 'n' {
		return p.s.Skip()
	}
	ok := p.param(id, name)
	if p.s.Nul {
		return p.refuse(name, "invalid_value", `holds a null character (\u0000).`)
	}
	return ok && p.err == nil
}

// param reads the value of one known member.
func (p *parser) param(id int, name string) bool {
	switch id {
	case paramMessages:
		return p.readMessages()
	case paramModel:
		return p.model(name, &p.req.Model)
	case paramN:
		return p.integer(name, 1, maxN, &p.req.N)
	case paramMaxTokens:
		return p.integer(name, 1, maxCap, &p.maxTokens)
	case paramMaxCompletionTokens:
		return p.integer(name, 1, maxCap, &p.maxCompletion)
	case paramStream:
		return p.boolean(name, &p.req.Stream)
	case paramStreamOptions:
		return p.streamOptions()
	case paramTemperature:
		return p.number(name, 0, 2)
	case paramTopP:
		return p.number(name, 0, 1)
	case paramPresencePenalty, paramFrequencyPenalty:
		return p.number(name, -2, 2)
	case paramSeed:
		return p.integer(name, -1<<63, 1<<63-1, nil)
	case paramStop:
		return p.stop()
	case paramTools:
		return p.tools("tools")
	case paramFunctions:
		return p.functions()
	case paramToolChoice, paramFunctionCall:
		return p.choice(name)
	case paramResponseFormat:
		return p.responseFormat()
	case paramMaxCost, paramMaxCostNano, paramModels, paramResumable:
		return p.extension(id, name)
	}
	return p.rare(id, name)
}

// rare reads the members that few requests have.
func (p *parser) rare(id int, name string) bool {
	switch id {
	case paramLogprobs:
		return p.boolean(name, &p.logprobs)
	case paramTopLogprobs:
		return p.integer(name, 0, 20, &p.topLogprobs)
	case paramLogitBias:
		return p.logitBias()
	case paramParallelToolCalls:
		return p.boolean(name, nil)
	case paramUser:
		return p.text(name, &p.req.User)
	case paramMetadata, paramPrediction:
		return p.object(name)
	case paramStore:
		var store bool
		if p.boolean(name, &store) && store {
			return p.refuse(name, "unsupported_parameter", "cannot be true: completions are not stored.")
		}
		return p.err == nil
	case paramReasoningEffort:
		return p.oneOf(name, "none", "minimal", "low", "medium", "high", "xhigh", "max")
	case paramVerbosity:
		return p.oneOf(name, "low", "medium", "high")
	case paramServiceTier:
		var tier string
		if p.text(name, &tier) && tier != "auto" && tier != "default" {
			return p.refuse(name, "unsupported_parameter", "can be 'auto' or 'default' only.")
		}
		return p.err == nil
	case paramModalities:
		return p.modalities()
	case paramAudio, paramWebSearchOptions:
		return p.refuse(name, "unsupported_parameter", "is not supported here.")
	}
	return p.text(name, nil) // prompt_cache_key, prompt_cache_retention, safety_identifier
}

// across checks what members say about each other.
func (p *parser) across() {
	switch {
	case p.seen&(1<<paramModel) == 0:
		p.refuse("model", "missing_required_parameter", "is missing.")
	case p.seen&(1<<paramMessages) == 0:
		p.refuse("messages", "missing_required_parameter", "is missing.")
	case p.maxTokens > 0 && p.maxCompletion > 0 && p.maxTokens != p.maxCompletion:
		p.refuse("max_completion_tokens", "invalid_value", "and 'max_tokens' are both given and differ; give one.")
	case p.options && !p.req.Stream:
		p.refuse("stream_options", "invalid_value", "is only allowed when 'stream' is true.")
	case p.topLogprobs > 0 && !p.logprobs:
		p.refuse("top_logprobs", "invalid_value", "needs 'logprobs' to be true.")
	case p.choosing && !p.hasChoice:
		p.refuse("tool_choice", "invalid_value", "is only allowed when 'tools' are given.")
	case p.req.MaxCost != "" && p.req.MaxCostNanoUSD != 0:
		p.refuse("max_cost", "invalid_value", "and 'max_cost_nano_usd' are both given; give one.")
	}
	p.req.Cap = max(p.maxTokens, p.maxCompletion)
}

// clip bounds a caller's text that is said back to it.
func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "..."
	}
	return s
}
