package anthropic

import (
	"strconv"

	"onemind/internal/llm"
)

// The thinking budgets that stand for OpenAI's words, in tokens. 1024 is the
// least Anthropic takes; the others are steps of four below the 32k above which
// its guide advises batches.
const (
	budgetLow    = 1024
	budgetMedium = 4096
	budgetHigh   = 16384
	budgetMost   = 32000
)

// thinking is what becomes of reasoning_effort.
type thinking struct {
	on     bool
	word   string // for output_config.effort
	member []byte // the value of thinking; nil for none
}

// effort decides how the model thinks, by its rules, and gives the word for
// output_config if it takes one.
func (t *translation) effort() string {
	raw := t.given.effort
	if raw == nil {
		return ""
	}
	asked := string(raw)
	switch t.to.Rules.Reasoning {
	case "budget":
		t.budget(asked)
	case "effort":
		t.think.on = true
		switch asked {
		case `"none"`:
			t.think = thinking{member: []byte(`{"type":"disabled"}`)}
			return ""
		case `"minimal"`:
			t.change("reasoning_effort", raw, []byte(`"low"`), "dialect")
			t.think.word = "low"
		default:
			t.think.word = llm.Unescape(raw[1 : len(raw)-1])
		}
		t.think.member = []byte(`{"type":"adaptive"}`)
	default:
		if asked != `"none"` { // which is what happens anyway
			t.refuse("reasoning_effort")
		}
	}
	return t.think.word
}

// budget turns a word into a number of tokens, which has to leave room for the
// answer.
func (t *translation) budget(asked string) {
	var tokens int64
	switch asked {
	case `"none"`:
		return
	case `"minimal"`, `"low"`:
		tokens = budgetLow
	case `"medium"`:
		tokens = budgetMedium
	case `"high"`:
		tokens = budgetHigh
	default:
		tokens = budgetMost
	}
	tokens = min(tokens, roomy(t.to.Cap))
	switch {
	case tokens >= t.to.Cap: // no room to think at all
		t.change("reasoning_effort", []byte(asked), nil, "hold")
	case t.turns.bare: // refused by Anthropic: a tool's turn has to go on with the thinking that led to it
		t.change("reasoning_effort", []byte(asked), nil, "dialect")
	default:
		t.think.on = true
		t.think.member = append(strconv.AppendInt([]byte(`{"type":"enabled","budget_tokens":`), tokens, 10), '}')
	}
}

// thinks writes thinking and reports whether the model will think.
func (t *translation) thinks(forced bool) bool {
	if t.think.member != nil {
		t.put("thinking", 0, t.think.member, "")
	}
	if t.think.on && forced {
		t.err = unsupported("tool_choice")
		t.err.Text = "'tool_choice' cannot force a tool together with 'reasoning_effort' on this model."
	}
	return t.think.on
}

// leastTopP is the least top_p that goes with thinking.
const leastTopP = 0.95

// thinkingSamples leaves out what Anthropic refuses beside thinking.
func (t *translation) thinkingSamples() {
	g := &t.given
	if f, err := strconv.ParseFloat(string(g.temperature), 64); g.temperature != nil && (err != nil || f != 1) {
		t.change("temperature", g.temperature, nil, "dialect")
		g.temperature = nil
	}
	if g.topK != nil {
		t.change("top_k", g.topK, nil, "dialect")
		g.topK = nil
	}
	if f, err := strconv.ParseFloat(string(g.topP), 64); g.topP != nil && err == nil && f < leastTopP {
		t.change("top_p", g.topP, []byte("0.95"), "dialect")
		g.topP = []byte("0.95")
	}
}
