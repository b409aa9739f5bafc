package catalog

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"onemind/internal/money"
)

// ExportYAML writes a document as ParseYAML reads it, without keys. Applied to
// the document it came from, it changes nothing. Of the prices it has the one in
// force now and those that are scheduled; past ones stay in the revisions.
func ExportYAML(d Document) ([]byte, error) {
	d = d.clone()
	d.tidy()
	now := time.Now()
	root := mapping(false,
		pair{"providers", listOf(d.Providers, exportProvider)},
		pair{"models", listOf(d.Models, func(m Model) *yaml.Node { return exportModel(m, now) })},
		pair{"plans", listOf(d.Plans, exportPlan)},
		pair{"settings", exportSettings(d.Settings)},
	)
	var out bytes.Buffer
	out.WriteString("# OneMind catalog. Prices are US dollars per million tokens, without markup; API keys are never exported.\n")
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("write the catalog as YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("write the catalog as YAML: %w", err)
	}
	return out.Bytes(), nil
}

func exportProvider(p Provider) *yaml.Node {
	t := mapping(true,
		pair{"connect", duration(p.Timeouts.ConnectMS)},
		pair{"first_token", duration(p.Timeouts.FirstTokenMS)},
		pair{"idle", duration(p.Timeouts.IdleMS)},
		pair{"whole", duration(p.Timeouts.WholeMS)},
	)
	return mapping(false,
		pair{"id", text(p.ID)},
		pair{"name", text(p.Name)},
		pair{"protocol", text(p.Protocol)},
		pair{"base_url", text(p.BaseURL)},
		pair{"api_key_env", text(p.KeyEnv)},
		pair{"keyless", flag(p.Keyless)},
		pair{"enabled", flag(p.Enabled)},
		pair{"allow_private_address", flag(p.AllowPrivate)},
		pair{"max_concurrency", plain(strconv.Itoa(p.MaxConcurrency))},
		pair{"max_waiting", plain(strconv.Itoa(p.MaxWaiting))},
		pair{"max_wait", duration(p.MaxWaitMS)},
		pair{"timeouts", t},
	)
}

func exportModel(m Model, now time.Time) *yaml.Node {
	var current *yaml.Node
	scheduled := &yaml.Node{Kind: yaml.SequenceNode}
	if i := priceAt(m.Prices, now); i >= 0 {
		current = exportPrice(m.Prices[i], false)
	}
	for i, p := range m.Prices {
		overridden := priceAt(m.Prices, p.EffectiveAt) != i
		if p.EffectiveAt.After(now) && !immediate(p) && !overridden {
			scheduled.Content = append(scheduled.Content, exportPrice(p, true))
		}
	}
	if len(scheduled.Content) == 0 {
		scheduled = nil
	}
	return mapping(false,
		pair{"id", text(m.ID)},
		pair{"provider", text(m.Provider)},
		pair{"upstream_id", text(m.Upstream)},
		pair{"name", text(m.Name)},
		pair{"prices", current},
		pair{"scheduled_prices", scheduled},
		pair{"context_window", count(m.ContextWindow)},
		pair{"max_output_tokens", count(m.MaxOutput)},
		pair{"capabilities", texts(m.Capabilities)},
		pair{"aliases", texts(m.Aliases)},
		pair{"substitutes", texts(m.Substitutes)},
		pair{"retires_on", text(m.RetiresOn)},
		pair{"parameter_rules", exportRules(m)},
		pair{"state", text(string(m.State))},
	)
}

func exportPrice(p Price, scheduled bool) *yaml.Node {
	r := Complete(p.Rates)
	n := mapping(true,
		pair{"input", plain(r.Input.Dollars())},
		pair{"cached_input", unless(r.CachedInput, r.Input)},
		pair{"cache_write", unless(r.CacheWrite, r.Input)},
		pair{"output", plain(r.Output.Dollars())},
		pair{"reasoning", unless(r.Reasoning, r.Output)},
		pair{"per_request", unless(r.Request, 0)},
		pair{"per_image", unless(r.Image, 0)},
	)
	if scheduled {
		n.Content = append(n.Content, text("effective_at"), text(p.EffectiveAt.Format(time.RFC3339Nano)))
	}
	for _, f := range []pair{{"source", text(p.Source)}, {"as_of", text(p.AsOf)}} {
		if f.value.Value != "" {
			n.Content = append(n.Content, text(f.name), f.value)
		}
	}
	return n
}

func exportRules(m Model) *yaml.Node {
	r := m.Rules
	set := mapping(true)
	for _, name := range slices.Sorted(maps.Keys(r.Set)) {
		set.Content = append(set.Content, text(name), text(r.Set[name]))
	}
	clamp := mapping(true)
	for _, name := range slices.Sorted(maps.Keys(r.Clamp)) {
		bounds := r.Clamp[name]
		clamp.Content = append(clamp.Content, text(name), mapping(true, pair{"min", number(bounds.Min)}, pair{"max", number(bounds.Max)}))
	}
	rules := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for _, f := range []struct {
		pair
		empty bool
	}{
		{pair{"cap_parameter", text(r.CapParameter)}, r.CapParameter == ""},
		{pair{"refuse", texts(r.Refuse)}, len(r.Refuse) == 0},
		{pair{"drop", texts(r.Drop)}, len(r.Drop) == 0},
		{pair{"no_stream_options", flag(r.NoStreamOptions)}, !r.NoStreamOptions},
		{pair{"set", set}, len(r.Set) == 0},
		{pair{"clamp", clamp}, len(r.Clamp) == 0},
		{pair{"reasoning", text(r.Reasoning)}, r.Reasoning == ""},
		{pair{"cancel_bills", flag(r.CancelBills)}, !r.CancelBills},
	} {
		if !f.empty {
			rules.Content = append(rules.Content, text(f.name), f.value)
		}
	}
	return rules
}

func exportPlan(p Plan) *yaml.Node {
	return mapping(false,
		pair{"id", text(p.ID)},
		pair{"requests_per_minute", count(p.RequestsPerMinute)},
		pair{"requests_per_minute_per_provider", count(p.RequestsPerMinuteProvider)},
		pair{"concurrent_answers", count(p.ConcurrentAnswers)},
		pair{"tokens_per_minute", count(p.TokensPerMinute)},
		pair{"credits_per_day", plain(p.CreditsPerDay.Credits())},
		pair{"response_cache", flag(p.ResponseCache)},
		pair{"models", texts(p.Models)},
	)
}

func exportSettings(s Settings) *yaml.Node {
	return mapping(false,
		pair{"markup_percent", plain((money.Amount(s.Markup) * basisPoint).Dollars())},
		pair{"default_plan", text(s.DefaultPlan)},
		pair{"signup_credits", plain(s.SignupCredits.Credits())},
		pair{"signup_enabled", flag(s.SignupEnabled)},
		pair{"global_requests_per_minute", count(s.GlobalRequestsPerMinute)},
		pair{"response_cache", flag(s.ResponseCache)},
	)
}

// pair is a member of a mapping; one without a value is left out.
type pair struct {
	name  string
	value *yaml.Node
}

func mapping(flow bool, pairs ...pair) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	if flow {
		n.Style = yaml.FlowStyle
	}
	for _, p := range pairs {
		if p.value != nil {
			n.Content = append(n.Content, text(p.name), p.value)
		}
	}
	return n
}

func listOf[T any](rows []T, export func(T) *yaml.Node) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, row := range rows {
		n.Content = append(n.Content, export(row))
	}
	return n
}

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// plain writes digits as they are.
func plain(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

func flag(b bool) *yaml.Node { return plain(strconv.FormatBool(b)) }

func count(n int64) *yaml.Node { return plain(strconv.FormatInt(n, 10)) }

func number(f float64) *yaml.Node { return plain(strconv.FormatFloat(f, 'f', -1, 64)) }

func texts(list []string) *yaml.Node {
	n := listOf(list, text)
	n.Style = yaml.FlowStyle
	return n
}

// duration writes 0, which means the default, as 0s: applied to a row that has
// another value the file must set it back.
func duration(ms int64) *yaml.Node {
	return text((time.Duration(ms) * time.Millisecond).String())
}

// unless leaves out a price that follows from another.
func unless(a, implied money.Amount) *yaml.Node {
	if a == implied {
		return nil
	}
	return plain(a.Dollars())
}
