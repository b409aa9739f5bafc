package openai

import (
	"net/url"

	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// beside is a set of members that messages carry beside what was said. Other
// dialects, and some engines of this one, put them there; whoever does not know
// them refuses the request.
type beside uint8

const (
	thinkingBlocks   beside = 1 << iota // what only Anthropic can read: sealed thinking
	reasoningContent                    // an engine's reasoning in words
	extraContent                        // Gemini's signatures
	images                              // what an engine drew
	isError                             // Anthropic: the tool failed
	cacheControl                        // Anthropic: keep the input up to here
)

func besideNames() [6]string {
	return [...]string{"thinking_blocks", "reasoning_content", "extra_content", "images", "is_error", "cache_control"}
}

// besideOf tells which of them a member is; 0 for any other.
func besideOf(name []byte) beside {
	switch string(name) {
	case "thinking_blocks":
		return thinkingBlocks
	case "reasoning_content":
		return reasoningContent
	case "extra_content":
		return extraContent
	case "images":
		return images
	case "is_error":
		return isError
	case "cache_control":
		return cacheControl
	}
	return 0
}

// changes lists them as what a receipt tells.
func (b beside) changes() []llm.Change {
	var list []llm.Change
	for i, name := range besideNames() {
		if b&(1<<i) != 0 {
			list = append(list, llm.Change{Name: "messages[]." + name, Rule: "dialect"})
		}
	}
	return list
}

// Hosts that know more than OpenAI does.
const (
	googleHost = "generativelanguage.googleapis.com" // wants its signatures back (ai.google.dev/gemini-api/docs/openai)
	routerHost = "openrouter.ai"                     // passes cache_control on (openrouter.ai/docs/features/prompt-caching)
)

// wanted is what the target knows of them, of those that there are.
func wanted(to *llm.Target, found beside) beside {
	var known beside
	if to.Rules.Reasoning == "content" {
		known = reasoningContent | extraContent
	}
	if found&(extraContent|cacheControl)&^known == 0 {
		return known
	}
	if u, err := url.Parse(to.BaseURL); err == nil {
		switch u.Hostname() {
		case googleHost:
			known |= extraContent
		case routerHost:
			known |= cacheControl
		}
	}
	return known
}

// within tells whether such members may stand in a member's value, which is a list.
func within(name []byte, s *scan.Scanner) bool {
	return (string(name) == "messages" || string(name) == "content" || string(name) == "tool_calls") && s.Peek() == '['
}

// valueOf passes the value of the member that comes next, and tells what its
// messages have, if it is them.
func valueOf(s *scan.Scanner) (value []byte, found beside) {
	if string(s.Name) != "messages" || s.Peek() != '[' {
		return s.Value(), 0
	}
	start := s.Pos
	if found = look(s); s.Bad != "" {
		return nil, 0
	}
	return s.Data[start:s.Pos], found
}

// look passes the value that comes next, a list of messages, parts or calls, and
// tells which members its elements have.
func look(s *scan.Scanner) (found beside) {
	for ok := s.Enter(); ok; {
		if ok = s.Element(); !ok {
			break
		}
		if s.Peek() != '{' {
			ok = s.Skip()
			continue
		}
		for ok = s.Enter(); ok; {
			if ok = s.Member(); !ok {
				break
			}
			if within(s.Name, s) {
				found |= look(s)
				ok = s.Bad == ""
				continue
			}
			found |= besideOf(s.Name)
			ok = s.Skip()
		}
		ok = s.Bad == ""
	}
	return found
}

// appendWithout appends a list that look has passed, without some members.
func appendWithout(dst []byte, s *scan.Scanner, out beside) []byte {
	dst = append(dst, '[')
	for ok, n := s.Enter(), 0; ok && s.Element(); n++ {
		if n > 0 {
			dst = append(dst, ',')
		}
		if s.Peek() != '{' {
			dst = append(dst, s.Value()...)
			continue
		}
		dst = append(dst, '{')
		for ok, first := s.Enter(), true; ok && s.Member(); {
			if besideOf(s.Name)&out != 0 {
				ok = s.Skip()
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			start := s.At
			if within(s.Name, s) {
				dst = appendWithout(append(dst, s.Data[start:s.Pos]...), s, out)
				continue
			}
			ok = s.Skip()
			dst = append(dst, s.Data[start:s.Pos]...)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
