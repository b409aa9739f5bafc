package anthropic

import (
	"strconv"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// tally is what an answer's usage objects say together. Anthropic counts the
// cache beside input_tokens, so that its classes are disjoint as they come;
// thinking is part of output_tokens.
type tally struct {
	input, read, written int64 // tokens of the prompt: fresh, from the cache, into the cache
	output, thought      int64
	some                 bool // a usage that is not all zeros was read
}

// readTally reads one usage object; anything else is passed.
func readTally(s *scan.Scanner, t *tally) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "input_tokens":
			ok = count(s, &t.input)
		case "cache_read_input_tokens":
			ok = count(s, &t.read)
		case "cache_creation_input_tokens":
			ok = count(s, &t.written)
		case "output_tokens":
			ok = count(s, &t.output)
		case "output_tokens_details":
			ok = readDetails(s, t)
		default: // cache_creation says the same again, by lifetime
			ok = s.Skip()
		}
	}
	t.some = t.input|t.read|t.written|t.output != 0
	return s.Bad == ""
}

func readDetails(s *scan.Scanner, t *tally) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		if string(s.Name) == "thinking_tokens" {
			ok = count(s, &t.thought)
		} else {
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

// count reads a number of tokens. What is no number counts nothing.
func count(s *scan.Scanner, to *int64) bool {
	if c := s.Peek(); c != '-' && (c < '0' || c > '9') {
		return s.Skip()
	}
	raw, ok := s.Number()
	if !ok {
		return false
	}
	*to = scan.Count(raw)
	return true
}

// add takes in a later usage object. Its numbers are totals so far and no
// increments. One that names the prompt again names all of it; most name the
// output only.
func (t *tally) add(later tally) {
	if !later.some {
		return
	}
	if later.input|later.read|later.written != 0 {
		t.input, t.read, t.written = later.input, later.read, later.written
	}
	t.output = max(t.output, later.output)
	t.thought = max(t.thought, later.thought)
	t.some = true
}

// usage gives the neutral classes.
func (t *tally) usage() llm.Usage {
	thought := min(t.thought, t.output)
	return llm.Usage{Input: t.input, CachedInput: t.read, CacheWrite: t.written, Output: t.output - thought, Reasoning: thought}
}

// appendUsage writes a usage as OpenAI does, whose prompt includes the cache and
// whose completion includes the reasoning.
func appendUsage(dst []byte, u llm.Usage) []byte {
	prompt, completion := u.Input+u.CachedInput+u.CacheWrite, u.Output+u.Reasoning
	dst = appendInt(dst, `{"prompt_tokens":`, prompt)
	dst = appendInt(dst, `,"completion_tokens":`, completion)
	dst = appendInt(dst, `,"total_tokens":`, prompt+completion)
	dst = appendInt(dst, `,"prompt_tokens_details":{"cached_tokens":`, u.CachedInput)
	dst = appendInt(dst, `,"cache_write_tokens":`, u.CacheWrite)
	dst = appendInt(dst, `},"completion_tokens_details":{"reasoning_tokens":`, u.Reasoning)
	return append(dst, "}}"...)
}

// appendTally writes a usage as Anthropic does.
func appendTally(dst []byte, u llm.Usage) []byte {
	dst = appendInt(dst, `{"input_tokens":`, u.Input)
	dst = appendInt(dst, `,"cache_creation_input_tokens":`, u.CacheWrite)
	dst = appendInt(dst, `,"cache_read_input_tokens":`, u.CachedInput)
	dst = appendInt(dst, `,"output_tokens":`, u.Output+u.Reasoning)
	if u.Reasoning > 0 {
		dst = append(appendInt(dst, `,"output_tokens_details":{"thinking_tokens":`, u.Reasoning), '}')
	}
	return append(dst, '}')
}

func appendInt(dst []byte, before string, n int64) []byte {
	return strconv.AppendInt(append(dst, before...), n, 10)
}
