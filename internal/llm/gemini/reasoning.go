package gemini

import (
	"strconv"

	"onemind/internal/llm/scan"
)

// Thinking budgets in tokens, for the words of reasoning_effort: those of Google's
// own endpoint for chat completions (ai.google.dev/gemini-api/docs/openai).
const (
	lowBudget    = 1024
	mediumBudget = 8192
	highBudget   = 24576
)

// effort sends reasoning_effort as the model takes it.
func (o *outward) effort(value []byte) error {
	word := string(str(value))
	switch o.to.Rules.Reasoning {
	case "budget":
		o.budget(word, value)
		return nil
	case "level", "effort":
		o.level(word, value)
		return nil
	}
	if word != "none" {
		return unsupported("reasoning_effort")
	}
	return nil
}

// budget sends an effort as a number of tokens. Thoughts count against the output
// cap: a quarter of it is kept for the answer. Rules.Clamp of reasoning_effort
// bounds the budget, since models have a least one.
func (o *outward) budget(word string, value []byte) {
	want := int64(0)
	switch word {
	case "minimal", "low":
		want = lowBudget
	case "medium":
		want = mediumBudget
	case "high", "xhigh", "max":
		want = highBudget
	}
	budget := want
	if o.to.Cap > 0 {
		budget = min(budget, o.to.Cap*3/4)
	}
	if budget < want {
		o.change("reasoning_effort", value, strconv.AppendInt(nil, budget, 10), "max_tokens")
	}
	if r, bounded := o.to.Rules.Clamp["reasoning_effort"]; bounded {
		if to := min(max(float64(budget), r.Min), r.Max); to != float64(budget) {
			budget = int64(to)
			o.change("reasoning_effort", value, strconv.AppendInt(nil, budget, 10), "clamp")
		}
	}
	if word == "xhigh" || word == "max" {
		o.change("reasoning_effort", value, strconv.AppendInt(nil, budget, 10), "dialect")
	}
	config := strconv.AppendInt([]byte(`{"thinkingBudget":`), budget, 10)
	if budget > 0 {
		config = append(config, `,"includeThoughts":true`...)
	}
	o.configure("thinkingConfig", append(config, '}'))
}

// level sends an effort as a word. These models always think: the least they do
// is what "none" becomes.
func (o *outward) level(word string, value []byte) {
	level := "HIGH"
	switch word {
	case "none", "minimal":
		level = "MINIMAL"
	case "low":
		level = "LOW"
	case "medium":
		level = "MEDIUM"
	}
	switch word {
	case "none", "xhigh", "max":
		o.change("reasoning_effort", value, []byte(`"`+level+`"`), "dialect")
	}
	config := `{"thinkingLevel":"` + level + `"`
	if word != "none" {
		config += `,"includeThoughts":true`
	}
	o.configure("thinkingConfig", []byte(config+"}"))
}

// format sends response_format.
func (o *outward) format(value []byte) error {
	switch string(str(scan.Find(value, "type"))) {
	case "json_object":
		o.configure("responseMimeType", []byte(`"application/json"`))
	case "json_schema":
		o.configure("responseMimeType", []byte(`"application/json"`))
		return members(scan.Find(value, "json_schema"), func(name, value []byte) error {
			switch string(name) {
			case "schema":
				o.configure("responseJsonSchema", value)
			case "description":
				o.change("response_format.json_schema.description", value, nil, "dialect")
			}
			return nil // a name says nothing, and every schema is strict
		})
	}
	return nil
}
