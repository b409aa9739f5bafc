package openai

import (
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// reported is what a usage object says, before its classes are made disjoint.
type reported struct {
	prompt, completion, total, cached, written, reasoning int64
}

// readUsage reads a usage object. It reports false for null, for what is no
// object, and for one that is all zeros, which some providers send with every
// chunk before they know better: that is no report, and not a free answer.
func readUsage(s *scan.Scanner) (llm.Usage, bool) {
	if s.Peek() != '{' {
		s.Skip()
		return llm.Usage{}, false
	}
	var r reported
	for ok := s.Enter(); ok; {
		if ok = s.Member(); ok {
			ok = r.member(s)
		}
	}
	u := r.disjoint()
	return u, s.Bad == "" && u != llm.Usage{}
}

func (r *reported) member(s *scan.Scanner) bool {
	switch string(s.Name) {
	case "prompt_tokens":
		return count(s, &r.prompt)
	case "completion_tokens":
		return count(s, &r.completion)
	case "total_tokens":
		return count(s, &r.total)
	case "prompt_cache_hit_tokens", "cached_tokens": // DeepSeek; Moonshot
		return count(s, &r.cached)
	case "reasoning_tokens": // Perplexity
		return count(s, &r.reasoning)
	case "prompt_tokens_details", "completion_tokens_details":
		return r.details(s)
	}
	return s.Skip()
}

func (r *reported) details(s *scan.Scanner) bool {
	if s.Peek() != '{' {
		return s.Skip()
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "cached_tokens":
			ok = count(s, &r.cached)
		case "cache_write_tokens", "cache_creation_tokens": // OpenRouter; LiteLLM
			ok = count(s, &r.written)
		case "reasoning_tokens":
			ok = count(s, &r.reasoning)
		default:
			ok = s.Skip()
		}
	}
	return s.Bad == ""
}

// count reads a number of tokens, the larger one if it is said twice. What is
// no number counts nothing.
func count(s *scan.Scanner, to *int64) bool {
	c := s.Peek()
	if c != '-' && (c < '0' || c > '9') {
		return s.Skip()
	}
	raw, ok := s.Number()
	if !ok {
		return false
	}
	*to = max(*to, scan.Count(raw))
	return true
}

// disjoint takes apart what providers count twice: the cache is part of the
// prompt and reasoning part of the completion. xAI counts reasoning beside it,
// which shows in the total.
func (r *reported) disjoint() llm.Usage {
	cached := min(r.cached, r.prompt)
	written := min(r.written, r.prompt-cached)
	u := llm.Usage{Input: r.prompt - cached - written, CachedInput: cached, CacheWrite: written, Output: r.completion, Reasoning: r.reasoning}
	if beside := r.reasoning > 0 && r.total == r.prompt+r.completion+r.reasoning; !beside {
		u.Reasoning = min(r.reasoning, r.completion)
		u.Output = r.completion - u.Reasoning
	}
	return u
}
