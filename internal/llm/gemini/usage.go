package gemini

import (
	"strconv"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// reported is a usageMetadata, before its classes are made disjoint.
type reported struct {
	prompt, cached, tools, candidates, thoughts, total int64
}

// readUsage reads a usageMetadata. It reports false for what is no object and
// for one that is all zeros: that is no report, and not a free answer.
func readUsage(s *scan.Scanner) (llm.Usage, bool) {
	if s.Peek() != '{' {
		s.Skip()
		return llm.Usage{}, false
	}
	var r reported
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		switch string(s.Name) {
		case "promptTokenCount":
			ok = count(s, &r.prompt)
		case "cachedContentTokenCount":
			ok = count(s, &r.cached)
		case "toolUsePromptTokenCount":
			ok = count(s, &r.tools)
		case "candidatesTokenCount", "responseTokenCount": // the second is the live API's
			ok = count(s, &r.candidates)
		case "thoughtsTokenCount":
			ok = count(s, &r.thoughts)
		case "totalTokenCount":
			ok = count(s, &r.total)
		default:
			ok = s.Skip()
		}
	}
	u := r.disjoint()
	return u, s.Bad == "" && u != llm.Usage{}
}

// count reads a number of tokens. A 64-bit number may come as a string; what is
// no number counts nothing.
func count(s *scan.Scanner, to *int64) bool {
	var raw []byte
	var ok bool
	switch c := s.Peek(); {
	case c == '"':
		raw, ok = s.Text()
	case c == '-' || '0' <= c && c <= '9':
		raw, ok = s.Number()
	default:
		return s.Skip()
	}
	if !ok {
		return false
	}
	if scan.Digits(raw, 0) == len(raw) && len(raw) <= 12 { // all that anybody reports
		n := int64(0)
		for _, c := range raw {
			n = 10*n + int64(c-'0')
		}
		*to = n
		return true
	}
	*to = scan.Count(raw)
	return true
}

// disjoint takes apart what Google counts twice: the cache is part of the prompt.
// What tools brought into the prompt is counted beside it, and thoughts beside the
// candidates; of servers that count thoughts inside, the total tells.
func (r *reported) disjoint() llm.Usage {
	cached := min(r.cached, r.prompt)
	u := llm.Usage{Input: r.prompt - cached + r.tools, CachedInput: cached, Output: r.candidates, Reasoning: r.thoughts}
	if inside := r.thoughts > 0 && r.thoughts <= r.candidates && r.total == r.prompt+r.tools+r.candidates; inside {
		u.Output -= r.thoughts
	}
	return u
}

// appendUsage appends a usage object of chat completions, where the cache is part
// of the prompt and reasoning part of the completion.
func appendUsage(dst []byte, u llm.Usage) []byte {
	in, out := u.Input+u.CachedInput+u.CacheWrite, u.Output+u.Reasoning
	dst = strconv.AppendInt(append(dst, `{"prompt_tokens":`...), in, 10)
	dst = strconv.AppendInt(append(dst, `,"completion_tokens":`...), out, 10)
	dst = strconv.AppendInt(append(dst, `,"total_tokens":`...), in+out, 10)
	dst = strconv.AppendInt(append(dst, `,"prompt_tokens_details":{"cached_tokens":`...), u.CachedInput, 10)
	dst = strconv.AppendInt(append(dst, `},"completion_tokens_details":{"reasoning_tokens":`...), u.Reasoning, 10)
	return append(dst, "}}"...)
}

// appendMetadata appends a usageMetadata.
func appendMetadata(dst []byte, u llm.Usage) []byte {
	in := u.Input + u.CachedInput + u.CacheWrite
	dst = strconv.AppendInt(append(dst, `{"promptTokenCount":`...), in, 10)
	dst = strconv.AppendInt(append(dst, `,"candidatesTokenCount":`...), u.Output, 10)
	if u.CachedInput > 0 {
		dst = strconv.AppendInt(append(dst, `,"cachedContentTokenCount":`...), u.CachedInput, 10)
	}
	if u.Reasoning > 0 {
		dst = strconv.AppendInt(append(dst, `,"thoughtsTokenCount":`...), u.Reasoning, 10)
	}
	dst = strconv.AppendInt(append(dst, `,"totalTokenCount":`...), in+u.Output+u.Reasoning, 10)
	return append(dst, '}')
}
