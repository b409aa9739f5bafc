package catalog_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/money"
)

// spec is the example of product.md section 7, word for word.
const spec = `providers:
  - id: local
    name: Local server
    protocol: openai            # openai | anthropic | gemini | demo
    base_url: http://127.0.0.1:9999/v1
    api_keys: [sk-test]         # or api_key_env: LOCAL_API_KEY; written only, never exported
    enabled: true
    allow_private_address: true # outbound to non-public addresses; off unless set
    max_concurrency: 200
    timeouts: {connect: 5s, first_token: 30s, idle: 60s}
models:
  - id: local-small
    provider: local
    upstream_id: gpt-4o-mini
    name: Local small
    prices: {input: 0.15, cached_input: 0.075, output: 0.60}  # US dollars per million tokens, exact decimals
    context_window: 128000
    max_output_tokens: 4096
    capabilities: [streaming, tools, images, json]
    state: active               # active | hidden | disabled
plans:
  - {id: default, requests_per_minute: 30, requests_per_minute_per_provider: 10, concurrent_answers: 15}
settings:
  markup_percent: 30
  default_plan: default
  signup_credits: 100
  global_requests_per_minute: 10000
  response_cache: false
`

func parse(t testing.TB, text string) *catalog.File {
	t.Helper()
	f, err := catalog.ParseYAML("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// apply gives a document with a file on top, checked.
func apply(t testing.TB, doc catalog.Document, text string) catalog.Document {
	t.Helper()
	d := catalog.NewDraft(doc, "tester", time.Now())
	if err := parse(t, text).Apply(d, false); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	return d.Document
}

func TestSpecExample(t *testing.T) {
	doc := apply(t, catalog.Document{}, spec)
	want := catalog.Provider{ID: "local", Name: "Local server", Protocol: "openai", BaseURL: "http://127.0.0.1:9999/v1", Enabled: true, AllowPrivate: true,
		MaxConcurrency: 200, Timeouts: catalog.Timeouts{ConnectMS: 5000, FirstTokenMS: 30_000, IdleMS: 60_000}}
	if got := doc.Providers[0]; got != want {
		t.Errorf("provider = %+v", got)
	}
	m := doc.Models[0]
	if want := []string{"streaming", "tools", "images", "json"}; !reflect.DeepEqual(m.Capabilities, want) {
		t.Errorf("capabilities = %v", m.Capabilities)
	}
	rates := money.Rates{Input: 150_000_000, CachedInput: 75_000_000, CacheWrite: 150_000_000, Output: 600_000_000, Reasoning: 600_000_000}
	if p := m.Prices[0]; p.Rates != rates || p.Source != "file test.yaml" || p.Version != "local-small@1" || p.Author != "tester" {
		t.Errorf("price = %+v", p)
	}
	if got := doc.Plans[0]; got.RequestsPerMinute != 30 || got.RequestsPerMinuteProvider != 10 || got.ConcurrentAnswers != 15 {
		t.Errorf("plan = %+v", got)
	}
	if s := doc.Settings; s.Markup != 3000 || s.DefaultPlan != "default" || s.SignupCredits != money.Dollar || s.GlobalRequestsPerMinute != 10_000 {
		t.Errorf("settings = %+v", s)
	}
	if out, err := catalog.ExportYAML(doc); err != nil || strings.Contains(string(out), "sk-test") || strings.Contains(string(out), "api_keys:") {
		t.Errorf("the export shows keys (%v):\n%s", err, out)
	}
}

// What a provider, a model and a plan may have besides, and what leaving it out means.
func TestFurtherFields(t *testing.T) {
	const more = `providers: [{id: local, max_waiting: 4000, max_wait: 1.5s, timeouts: {whole: 5m}}]
models:
  - id: other
    provider: local
    prices: {input: 1, output: 2}
    context_window: 1000
    max_output_tokens: 100
    capabilities: [embeddings, image_generation, transcription]
  - id: local-small
    substitutes: [other]
    retires_on: 2027-03-31
    parameter_rules: {clamp: {temperature: {min: 0.01, max: 1}}, reasoning: budget, cancel_bills: true}
plans: [{id: default, response_cache: true, credits_per_day: 50}]
`
	doc := apply(t, apply(t, catalog.Document{}, spec), more)
	if p := doc.Providers[0]; p.MaxWaiting != 4000 || p.MaxWaitMS != 1500 || p.MaxConcurrency != 200 ||
		p.Timeouts != (catalog.Timeouts{ConnectMS: 5000, FirstTokenMS: 30_000, IdleMS: 60_000, WholeMS: 300_000}) {
		t.Errorf("provider = %+v", p)
	}
	m := doc.Models[0]
	want := llm.Rules{Clamp: map[string]llm.Range{"temperature": {Min: 0.01, Max: 1}}, Reasoning: "budget", CancelBills: true}
	if m.ID != "local-small" || !slices.Equal(m.Substitutes, []string{"other"}) || m.RetiresOn != "2027-03-31" || !reflect.DeepEqual(m.Rules, want) {
		t.Errorf("model = %+v", m)
	}
	if got := doc.Models[1].Capabilities; len(got) != 3 {
		t.Errorf("capabilities = %v", got)
	}
	if p := doc.Plans[0]; !p.ResponseCache || p.CreditsPerDay != 50*money.Credit || p.RequestsPerMinute != 30 {
		t.Errorf("plan = %+v", p)
	}
	again := apply(t, doc, "providers: [{id: local, max_wait: 0s}]\nmodels: [{id: local-small, substitutes: [], retires_on: '', parameter_rules: {cancel_bills: true}}]\n")
	changed := []string{}
	for _, c := range catalog.Diff(doc, again) {
		for _, f := range c.Fields {
			changed = append(changed, f.Field+" "+f.Before+" "+f.After)
		}
	}
	if want := []string{"max_wait_ms 1500 0", "parameter_rules.clamp.temperature.max 1 ", "parameter_rules.clamp.temperature.min 0.01 ",
		`parameter_rules.reasoning "budget" `, `retires_on "2027-03-31" `, `substitutes ["other"] `}; !slices.Equal(changed, want) {
		t.Errorf("changed %q, want %q", changed, want)
	}
	// Removing a model that another names is refused, as it is for plans.
	d := catalog.NewDraft(doc, "tester", time.Now())
	d.RemoveModel("other")
	if f := fault.From(d.Check()); f.Field != "models[local-small].substitutes" {
		t.Errorf("removing a substitute: %+v", f)
	}
}

func TestApplyLeavesTheRest(t *testing.T) {
	before := apply(t, catalog.Document{}, spec)
	after := apply(t, before, "models:\n  - id: local-small\n    name: Renamed\nsettings: {markup_percent: 12.5}\n")
	changes := catalog.Diff(before, after)
	want := []catalog.Change{
		{Kind: "settings", Op: "change", Fields: []catalog.FieldChange{{Field: "markup_basis_points", Before: "3000", After: "1250"}}},
		{Kind: "model", ID: "local-small", Op: "change", Fields: []catalog.FieldChange{{Field: "name", Before: `"Local small"`, After: `"Renamed"`}}},
	}
	if !reflect.DeepEqual(changes, want) {
		t.Errorf("changes = %v", changes)
	}
	if again := catalog.Diff(before, apply(t, before, spec)); len(again) != 0 {
		t.Errorf("the same file again changes %v", again)
	}
}

func TestApplyPrice(t *testing.T) {
	before := apply(t, catalog.Document{}, spec)
	after := apply(t, before, "models:\n  - id: local-small\n    prices: {input: 0.000000001, output: 100000}\n")
	prices := after.Models[0].Prices
	if len(prices) != 2 || prices[0] != before.Models[0].Prices[0] {
		t.Fatalf("the old version changed: %+v", prices)
	}
	want := money.Rates{Input: 1, CachedInput: 1, CacheWrite: 1, Output: money.MaxPrice, Reasoning: money.MaxPrice}
	if prices[1].Rates != want {
		t.Errorf("new price = %+v", prices[1].Rates)
	}
	// The same price at another revision is no new version.
	if again := apply(t, after, "models:\n  - id: local-small\n    prices: {input: 0.000000001, output: 100000}\n"); len(again.Models[0].Prices) != 2 {
		t.Errorf("an equal price made a version: %+v", again.Models[0].Prices)
	}
}

func TestApplyScheduledPrice(t *testing.T) {
	at := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	text := "models:\n  - id: local-small\n    scheduled_prices:\n      - {input: 1, output: 2, effective_at: " + at.Format(time.RFC3339) + "}\n"
	doc := apply(t, apply(t, catalog.Document{}, spec), text)
	m := doc.Models[0]
	if now, _ := m.PriceAt(time.Now()); now.Rates.Output != 600_000_000 {
		t.Errorf("the price changed too early: %+v", now)
	}
	if then, _ := m.PriceAt(at); then.Rates.Output != 2*money.Dollar {
		t.Errorf("the price did not change: %+v", then)
	}
	out, err := catalog.ExportYAML(doc)
	if err != nil {
		t.Fatal(err)
	}
	if again := catalog.Diff(doc, apply(t, doc, string(out))); len(again) != 0 {
		t.Errorf("the export changes %v\n%s", again, out)
	}
}

func TestPrune(t *testing.T) {
	before := apply(t, catalog.Document{}, spec)
	d := catalog.NewDraft(before, "tester", time.Now())
	file := parse(t, "models:\n  - {id: other, provider: local, prices: {input: 1, output: 2}, context_window: 10, max_output_tokens: 10}\n")
	if err := file.Apply(d, true); err != nil {
		t.Fatal(err)
	}
	if d.Model("local-small") != nil || d.Model("other") == nil || d.Provider("local") == nil || d.Plan("default") == nil {
		t.Errorf("prune kept or removed the wrong rows: %+v", d.Document)
	}
}

func TestRefusedFiles(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"empty":             {"", "test.yaml:1: file is empty"},
		"comment":           {"# nothing\n", "is empty"},
		"no sections":       {"{}", "names nothing"},
		"list":              {"- a\n", "test.yaml:1: file must be a mapping"},
		"not yaml":          {"models: [", "is not YAML"},
		"two documents":     {"models: []\n---\nmodels: []\n", "must hold one document"},
		"unknown section":   {"engines: []\n", "test.yaml:1: engines is not a known field"},
		"unknown field":     {"models:\n  - id: a\n    colour: red\n", "test.yaml:3: models[a].colour is not a known field"},
		"no id":             {"models:\n  - name: a\n", "test.yaml:2: models must be a list of entries with an id"},
		"bad id":            {"models:\n  - id: GPT 4\n", "test.yaml:2: models.id must be"},
		"number as id":      {"models:\n  - id: 4\n", "test.yaml:2: models.id must be text"},
		"twice":             {"models:\n  - id: a\n  - id: a\n", "test.yaml:3: models[a] must not be named twice: it is at test.yaml:2"},
		"field twice":       {"models:\n  - id: a\n    name: b\n    name: c\n", "test.yaml:4: models[a].name must not be given twice"},
		"exponent":          {"models:\n  - id: a\n    prices: {input: 1e-3, output: 2}\n", "test.yaml:3: models[a].prices.input must be a plain decimal"},
		"hexadecimal":       {"models:\n  - id: a\n    prices: {input: 0x10, output: 2}\n", "models[a].prices.input must be a plain decimal"},
		"too fine":          {"models:\n  - id: a\n    prices: {input: 0.0000000001, output: 2}\n", "more than 9 digits"},
		"too large":         {"models:\n  - id: a\n    prices: {input: 1, output: 99999999999}\n", "out of range"},
		"not a number":      {"models:\n  - id: a\n    prices: {input: .nan, output: 2}\n", "models[a].prices.input must be a plain decimal"},
		"words":             {"models:\n  - id: a\n    prices: {input: cheap, output: 2}\n", "models[a].prices.input must be a plain decimal"},
		"empty price":       {"models:\n  - id: a\n    prices: {input: '', output: 2}\n", "models[a].prices.input must be a plain decimal"},
		"null price":        {"models:\n  - id: a\n    prices: {input: , output: 2}\n", "models[a].prices.input must be a decimal number"},
		"no output":         {"models:\n  - id: a\n    prices: {input: 1}\n", "test.yaml:3: models[a].prices.output is required"},
		"price as list":     {"models:\n  - id: a\n    prices: [1, 2]\n", "models[a].prices must be a mapping"},
		"text for a count":  {"models:\n  - id: a\n    context_window: lots\n", "models[a].context_window must be a whole number"},
		"fraction":          {"models:\n  - id: a\n    context_window: 1.5\n", "models[a].context_window must be a whole number"},
		"huge count":        {"models:\n  - id: a\n    context_window: 99999999999999999999\n", "models[a].context_window must be a whole number"},
		"number as text":    {"models:\n  - id: a\n    name: 4\n", "models[a].name must be text; put quotes around it"},
		"text for a flag":   {"providers:\n  - id: a\n    enabled: 'yes'\n", "providers[a].enabled must be true or false"},
		"bare seconds":      {"providers:\n  - id: a\n    timeouts: {idle: 5}\n", "providers[a].timeouts.idle must be text"},
		"bad duration":      {"providers:\n  - id: a\n    timeouts: {idle: soon}\n", "providers[a].timeouts.idle must be a duration"},
		"negative duration": {"providers:\n  - id: a\n    timeouts: {idle: -5s}\n", "providers[a].timeouts.idle must be a duration"},
		"fine duration":     {"providers:\n  - id: a\n    timeouts: {idle: 5us}\n", "providers[a].timeouts.idle must be a duration"},
		"fine percent":      {"settings: {markup_percent: 0.001}\n", "settings.markup_percent must have at most two digits"},
		"merge":             {"models:\n  - &a {id: a}\n  - {<<: *a, name: b}\n", "test.yaml:3"},
		"bad day":           {"models:\n  - id: a\n    prices: {input: 1, output: 2, as_of: yesterday}\n", "models[a].prices.as_of must be a day"},
		"bad moment":        {"models:\n  - id: a\n    scheduled_prices: [{input: 1, output: 2, effective_at: 2026-12-01}]\n", "effective_at must be a time"},
		"no moment":         {"models:\n  - id: a\n    scheduled_prices: [{input: 1, output: 2}]\n", "effective_at is required"},
		"moment of now":     {"models:\n  - id: a\n    prices: {input: 1, output: 2, effective_at: 2026-12-01T00:00:00Z}\n", "effective_at is not a known field"},
		"bad retirement":    {"models:\n  - id: a\n    retires_on: soon\n", "test.yaml:3: models[a].retires_on must be a day"},
		"bare wait":         {"providers:\n  - id: a\n    max_wait: 5\n", "providers[a].max_wait must be text"},
		"half a clamp":      {"models:\n  - id: a\n    parameter_rules: {clamp: {top_p: {min: 0}}}\n", "models[a].parameter_rules.clamp.top_p must have a min and a max"},
		"endless clamp":     {"models:\n  - id: a\n    parameter_rules: {clamp: {top_p: {min: 0, max: .inf}}}\n", "clamp.top_p.max must be a plain number"},
		"clamp in words":    {"models:\n  - id: a\n    parameter_rules: {clamp: {top_p: {min: low, max: 1}}}\n", "clamp.top_p.min must be a plain number"},
		"anchor in itself":  {"models: &a\n  - id: b\n    aliases: *a\n", "test.yaml:2"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := catalog.ParseYAML("dir/test.yaml", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error = %v, want %q", err, tt.want)
			}
			if f := fault.From(err); f.Kind != fault.Unprocessable || f.Field == "" {
				t.Errorf("answered as %+v", f)
			}
		})
	}
}

func TestAliasBomb(t *testing.T) {
	text := "models:\n  - id: a\n    aliases: &l [" + strings.Repeat("x,", 5000) + "x]\n"
	for i := range 2000 {
		text += "  - {id: m" + strings.Repeat("0", i%50) + string(rune('a'+i%26)) + ", aliases: *l}\n"
	}
	if _, err := catalog.ParseYAML("bomb.yaml", []byte(text)); err == nil {
		t.Error("a file of millions of values by aliases was read")
	}
	if _, err := catalog.ParseYAML("big.yaml", make([]byte, 5<<20)); err == nil || !strings.Contains(err.Error(), "must be at most") {
		t.Errorf("a file of 5 MB: %v", err)
	}
}

func TestBrokenRuleNamesTheLine(t *testing.T) {
	text := strings.Replace(spec, "max_output_tokens: 4096", "max_output_tokens: 999999", 1)
	text = strings.Replace(text, "output: 0.60", "output: -0.60", 1)
	d := catalog.NewDraft(catalog.Document{}, "tester", time.Now())
	if err := parse(t, text).Apply(d, false); err != nil {
		t.Fatal(err)
	}
	err := d.Check()
	for _, want := range []string{
		"test.yaml:16: models[local-small].prices.output must not be negative",
		"test.yaml:18: models[local-small].max_output_tokens must not be above context_window (128000)",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v\nwant %s", err, want)
		}
	}
}

func FuzzParseYAML(f *testing.F) {
	f.Add([]byte(spec))
	f.Add([]byte("models: &a\n  - id: b\n    aliases: *a\n"))
	f.Add([]byte("settings: {markup_percent: 12.5, signup_credits: 0.1}"))
	f.Add([]byte("models:\n  - {id: a, parameter_rules: {set: {reasoning_effort: '\"low\"'}}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := catalog.ParseYAML("fuzz.yaml", data)
		if err != nil {
			if file != nil || fault.From(err).Kind == fault.Internal {
				t.Fatalf("refused as %v with %v", err, file)
			}
			return
		}
		d := catalog.NewDraft(catalog.Document{}, "fuzz", time.Now())
		if err := file.Apply(d, false); err != nil {
			t.Fatalf("read but not applied: %v", err)
		}
		if d.Check() != nil {
			return
		}
		out, err := catalog.ExportYAML(d.Document)
		if err != nil {
			t.Fatal(err)
		}
		again := catalog.NewDraft(d.Document, "fuzz", time.Now())
		back, err := catalog.ParseYAML("export.yaml", out)
		if err != nil {
			t.Fatalf("the export cannot be read: %v\n%s", err, out)
		}
		if err := back.Apply(again, true); err != nil {
			t.Fatal(err)
		}
		if changes := catalog.Diff(d.Document, again.Document); len(changes) > 0 {
			t.Fatalf("the export changes %v\n%s", changes, out)
		}
	})
}
