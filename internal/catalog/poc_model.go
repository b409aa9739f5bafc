package catalog

import (
	"slices"
	"strings"

	"onemind/internal/llm"
	"onemind/internal/money"
)

// ids gives every model its id here, empty when it is left out. It is the model's
// name at the provider, with the provider before it where that name is taken.
func (e *pocEdit) ids(rows []pocModel) []string {
	ids, sharing := make([]string, len(rows)), map[string]int{}
	for i, row := range rows {
		switch {
		case e.skipped[row.provider]:
			e.note("model %s: left out, as its provider %s", shown(row.upstream), row.provider)
		case e.draft.Provider(row.provider) == nil:
			e.bad(row.at, "provider", "must be one that is known here or in provider_config; there is none called %s", row.provider)
		case !e.once(row.at, "model_id", "model of "+row.provider, row.upstream):
		default:
			if ids[i] = e.known(row); ids[i] == "" {
				sharing[plainID(row.upstream)]++
			}
		}
	}
	for i, row := range rows {
		if ids[i] != "" || sharing[plainID(row.upstream)] == 0 || e.seen["model of "+row.provider+"\x00"+row.upstream] != row.at {
			continue
		}
		ids[i] = plainID(row.upstream)
		if sharing[ids[i]] > 1 || e.taken(ids[i], row.provider) {
			ids[i] = clip(row.provider+"/"+ids[i], 128)
		}
		if ids[i] != row.upstream {
			e.note("model %s of %s: is called %s here", shown(row.upstream), row.provider, ids[i])
		}
	}
	for i, row := range rows {
		if ids[i] != "" && !e.once(row.at, "model_id", "id", ids[i]) {
			ids[i] = ""
		}
	}
	return ids
}

// known finds the id of the draft's own row of a model.
func (e *pocEdit) known(row pocModel) string {
	if m := e.draft.Model(row.upstream); m != nil && m.Provider == row.provider {
		return m.ID
	}
	for _, m := range e.draft.Models {
		if m.Provider == row.provider && m.Upstream == row.upstream {
			return m.ID
		}
	}
	return ""
}

// plainID makes an id of whatever a model is called.
func plainID(name string) string {
	id := strings.Map(func(r rune) rune {
		if r < 128 && validID("a"+string(r), 2, true) {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	if id = strings.TrimLeft(id, "._:/-"); id == "" {
		id = "model"
	}
	return clip(id, 128)
}

// taken tells whether an id is another model's name, or looks like another provider's.
func (e *pocEdit) taken(id, provider string) bool {
	before, _, slashed := strings.Cut(id, "/")
	return slashed && before != provider && e.draft.Provider(before) != nil ||
		slices.ContainsFunc(e.draft.Models, func(m Model) bool { return m.ID == id || slices.Contains(m.Aliases, id) })
}

// reasons tells whether a model of OpenAI's takes max_completion_tokens, and no
// temperature.
func reasons(row pocModel) bool {
	return row.provider == "openai" && slices.ContainsFunc([]string{"gpt-5", "o1", "o3", "o4"}, func(family string) bool { return strings.HasPrefix(row.upstream, family) })
}

func (e *pocEdit) model(row pocModel, id string) {
	v := Model{ID: id, Provider: row.provider, Upstream: row.upstream, State: Active, Capabilities: []string{"streaming"}}
	if old := e.draft.Model(id); old != nil {
		v = *old
	} else if reasons(row) {
		v.Rules = llm.Rules{CapParameter: "max_completion_tokens", Refuse: []string{"temperature", "top_p", "presence_penalty", "frequency_penalty"}}
	}
	if row.name != "" {
		v.Name = row.name
	}
	if row.active != nil {
		v.State = Disabled
		if *row.active {
			v.State = Active
		}
	}
	v.Capabilities = append(slices.Clone(v.Capabilities), row.capabilities...) // what is known here stays
	e.sizes(row, &v)
	if row.preset {
		e.note("model %s: was the default of %s; people choose models here", id, row.provider)
	}
	if len(row.unknown) > 0 {
		e.note("model %s: capabilities %s mean nothing here", id, strings.Join(row.unknown, ", "))
	}
	price := e.price(row, &v)
	e.draft.PutModel(v)
	e.draft.lines["models["+id+"]"] = row.at
	if price != nil {
		if err := e.draft.addPrice(id, *price); err != nil {
			e.bad(row.at, "input_price_per_million", "cannot be set: %v", err)
		}
	}
}

// What a model gets that brings no sizes. Both are low: a provider refuses a cap
// that is too high, and a window that is too small only refuses long prompts.
const (
	unknownOutput = 4096
	unknownWindow = 32_000
)

// sizes sets context window and output cap. The earlier system gave the provider
// the smaller one of the model's and the provider's cap.
func (e *pocEdit) sizes(row pocModel, v *Model) {
	if row.window > 0 {
		v.ContextWindow = row.window
	}
	if row.most > 0 {
		v.MaxOutput = row.most
	}
	if v.MaxOutput == 0 {
		v.MaxOutput = unknownOutput
		e.note("model %s: has no max_output_tokens; %d until somebody sets it", v.ID, unknownOutput)
	}
	if v.ContextWindow == 0 {
		v.ContextWindow = max(v.MaxOutput, unknownWindow)
		e.note("model %s: has no context_window; %d until somebody sets it", v.ID, v.ContextWindow)
	}
	for _, bound := range []struct {
		tokens int64
		name   string
	}{{e.most[row.provider], "the max_output_cap of its provider"}, {v.ContextWindow, "its context_window"}} {
		if bound.tokens > 0 && v.MaxOutput > bound.tokens {
			e.note("model %s: max_output_tokens is %d instead of %d, because of %s", v.ID, bound.tokens, v.MaxOutput, bound.name)
			v.MaxOutput = bound.tokens
		}
	}
}

// price gives the price version a model needs, nil when the one in force is
// right. A model that never had a price cannot be called.
func (e *pocEdit) price(row pocModel, v *Model) *Price {
	current, priced := v.PriceAt(e.draft.now)
	provider := e.draft.Provider(row.provider)
	free := provider.Keyless || provider.AllowPrivate
	usable := row.input != nil && row.output != nil && (free || *row.input > 0 && *row.output > 0)
	switch {
	case !usable && priced:
		e.note("model %s: has no price of its own, the one of the catalog stays", v.ID)
		return nil
	case !usable:
		v.State = Disabled
		e.note("model %s: disabled, because it has no price above 0 for input and output", v.ID)
		return nil
	case priced && current.Rates.Input == *row.input && current.Rates.Output == *row.output:
		return nil // the classes that the earlier system did not know stay
	case priced:
		e.note("model %s: costs %s and %s dollars per million tokens of input and output instead of %s and %s; which is right says the provider",
			v.ID, row.input.Dollars(), row.output.Dollars(), current.Rates.Input.Dollars(), current.Rates.Output.Dollars())
	}
	rates := money.Rates{Input: *row.input, Output: *row.output, Request: current.Rates.Request, Image: current.Rates.Image}
	return &Price{Rates: rates, Source: "file " + row.file}
}
