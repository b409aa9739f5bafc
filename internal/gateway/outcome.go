package gateway

import (
	"onemind/internal/credit"
	"onemind/internal/llm"
	"onemind/internal/money"
)

// rule says what an outcome costs.
type rule struct {
	input    bool // the input is charged
	output   bool // the output is charged
	reported bool // the provider's usage counts when there is one
}

// ruleOf is the table of outcomes: what each costs. Everything that charges reads it.
//
//	finished, length        provider's usage, else our count, marked estimated
//	stopped, client gone    input + output delivered; free while no provider had the question
//	failed before content   free
//	failed midway           input + output delivered
//	empty                   free
//	interrupted             input + output delivered, free if nothing was
func ruleOf(o credit.Outcome) rule {
	switch o {
	case credit.Finished, credit.Length, credit.Stopped, credit.Midway, credit.Interrupted:
		return rule{input: true, output: true, reported: true}
	default:
		return rule{}
	}
}

// ending is what is known when a call is over.
type ending struct {
	stopped   bool   // Stop, or the client is gone
	waiting   bool   // no provider has the question: it was in a queue, or between two attempts
	capped    bool   // we ended it at its hold
	failed    bool   // the provider failed
	delivered bool   // some output reached the reader
	finish    string // the provider's finish reason, empty if none came
}

// rule is what the ending costs.
func (e ending) rule() rule {
	if e.waiting && e.stopped && !e.delivered {
		return rule{}
	}
	return ruleOf(e.outcome())
}

// outcome names how a call ended.
func (e ending) outcome() credit.Outcome {
	switch {
	case e.capped:
		return credit.Length
	case e.stopped:
		return credit.Stopped
	case e.failed && e.delivered:
		return credit.Midway
	case e.failed:
		return credit.Failed
	case !e.delivered && e.finish == "":
		return credit.Empty
	case e.finish == "length":
		return credit.Length
	default:
		return credit.Finished
	}
}

// tokens applies a rule to what was reported and what we counted. What is not
// reported is counted: a question has tokens, and so has an answer that said something.
func (r rule) tokens(usage *llm.Usage, said bool, count func() (input, output int64)) (t money.Tokens, estimated bool) {
	if !r.input && !r.output {
		return money.Tokens{}, false
	}
	if !r.reported || usage == nil {
		t.Input, t.Output = count()
		return t, true
	}
	t = money.Tokens{Input: usage.Input, CachedInput: usage.CachedInput, CacheWrite: usage.CacheWrite,
		Output: usage.Output, Reasoning: usage.Reasoning}
	asked, told := t.Input+t.CachedInput+t.CacheWrite > 0, usage.Answered()
	if asked && (told || !said) {
		return t, false
	}
	input, output := count()
	if !asked {
		t.Input = input
	}
	if !told && said {
		t.Output = output
	}
	return t, true
}
