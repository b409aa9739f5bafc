package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"onemind/internal/catalog"
	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/money"
)

func builtin(t testing.TB, now time.Time) catalog.Document {
	t.Helper()
	doc, err := catalog.Builtin(now)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestBuiltin(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	doc := builtin(t, now)
	if len(doc.Providers) != 16 {
		t.Errorf("%d providers, want the 15 and demo", len(doc.Providers))
	}
	served, can := map[string]int{}, map[string]int{}
	for _, m := range doc.Models {
		for _, name := range m.Capabilities {
			can[name]++
		}
		if slices.Contains(m.Capabilities, "streaming") {
			served[m.Provider]++
		}
		if len(m.Substitutes) > 0 {
			t.Errorf("%s names substitutes: that is the operator's to say", m.ID)
		}
		p, ok := m.PriceAt(now)
		if !ok || p.Source == "" || p.Author != "startup" {
			t.Errorf("%s: price %+v", m.ID, p)
		}
		if _, err := time.Parse(time.DateOnly, p.AsOf); err != nil && m.Provider != "demo" && m.Provider != "ollama" {
			t.Errorf("%s: as of %q", m.ID, p.AsOf)
		}
	}
	for _, p := range doc.Providers {
		if n := served[p.ID]; n < 1 || n > 4 {
			t.Errorf("%s has %d models", p.ID, n)
		}
		if p.Enabled == (p.ID == "ollama") || !p.Keyless && p.KeyEnv == "" {
			t.Errorf("provider %+v", p)
		}
	}
	for _, name := range (^llm.Capability(0)).Names() {
		if can[name] == 0 {
			t.Errorf("no model has %s", name)
		}
	}
	for id, want := range map[string]string{"anthropic": "anthropic", "gemini": "gemini", "openai": "openai"} {
		if i := slices.IndexFunc(doc.Providers, func(p catalog.Provider) bool { return p.ID == id }); doc.Providers[i].Protocol != want {
			t.Errorf("provider %+v, want the protocol %s", doc.Providers[i], want)
		}
	}
	if s := doc.Settings; s.Markup != 3000 || s.SignupCredits != 100*money.Credit || !s.SignupEnabled || s.GlobalRequestsPerMinute != 10_000 || s.DefaultPlan != "default" {
		t.Errorf("settings %+v", s)
	}
	for _, tt := range []struct {
		now, at time.Time
		output  money.Amount
	}{
		{now, now, 3_750_000_000},
		{now, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), 7_500_000_000},
		{now.AddDate(1, 0, 0), now.AddDate(1, 0, 0), 7_500_000_000}, // installed after the change
	} {
		for _, m := range builtin(t, tt.now).Models {
			if p, _ := m.PriceAt(tt.at); m.ID == "gemini-3.8-flash" && p.Rates.Output != tt.output {
				t.Errorf("installed %v, at %v: output costs %s", tt.now, tt.at, p.Rates.Output)
			}
		}
	}
}

func TestRoute(t *testing.T) {
	s := start(t, map[string]string{"OPENAI_API_KEY": "sk-1", "HF_TOKEN": "hf_1", "GROQ_API_KEY": "bad key"})
	edit(t, s.Catalog, func(d *catalog.Draft) error {
		d.Model("gpt-4o").Aliases = []string{"best"}
		d.Model("gpt-4o-mini").State = catalog.Hidden
		d.Model("gpt-6-luna").State = catalog.Disabled
		d.PutModel(catalog.Model{ID: "soon", Provider: "demo", ContextWindow: 10, MaxOutput: 10})
		return d.SetPrice("soon", money.Rates{Input: 1, Output: 1}, time.Now().Add(time.Hour), "")
	})
	for name, want := range map[string]string{
		"gpt-4o": "gpt-4o", "best": "gpt-4o", "openai/gpt-4o": "gpt-4o", "openai/best": "gpt-4o", "gpt-4o-mini": "gpt-4o-mini",
		"huggingface/openai/gpt-oss-120b:groq": "hf-gpt-oss-120b", "huggingface/hf-gpt-oss-120b": "hf-gpt-oss-120b",
	} {
		if r, err := s.Snapshot().Route(name); err != nil || r.Model.ID != want {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for name, want := range map[string]string{
		"gpt-6-luna": "model_not_found", "nothing": "model_not_found", "": "model_not_found", "GPT-4o": "model_not_found", "groq/gpt-4o": "model_not_found",
		strings.Repeat("x", 100_000): "model_not_found",
		"claude-opus-5-5":            "provider_not_configured", "gpt-oss-120b": "provider_not_configured",
		"ollama-llama3.2": "provider_not_configured", "soon": "provider_not_configured",
	} {
		r, err := s.Snapshot().Route(name)
		if f := fault.From(err); f.Code != want || f.Field != "model" || r != nil || len(f.Text) > 300 {
			t.Errorf("%.20s: %v", name, err)
		}
	}
	reasons := map[string]string{"gpt-4o": "", "claude-opus-5-5": "needs_key", "ollama-llama3.2": "provider_disabled", "soon": "no_price"}
	for _, l := range s.Snapshot().Models() {
		if want, ok := reasons[l.ID]; ok && (l.Reason != want || l.Available != (want == "") || l.ProviderName == "") {
			t.Errorf("listed %+v", l)
		}
		delete(reasons, l.ID)
		if l.ID == "gpt-4o-mini" || l.ID == "gpt-6-luna" {
			t.Errorf("%s is listed", l.ID)
		}
		if l.ID == "gpt-4o" && (l.Prices.Input != 3_250_000_000 || l.Since.IsZero()) {
			t.Errorf("listed %+v", l)
		}
	}
	if len(reasons) > 0 {
		t.Errorf("not listed: %v", reasons)
	}
}

func TestTarget(t *testing.T) {
	s := start(t, map[string]string{"OPENAI_API_KEY": "sk-1", "DEEPSEEK_API_KEY": "sk-2"})
	to := route(t, s.Catalog, "gpt-6-luna").Target()
	if to.Provider != "openai" || to.BaseURL != "https://api.openai.com/v1" || to.Upstream != "gpt-6-luna" || to.Cap != 128_000 || to.Rules.CapParameter != "max_completion_tokens" ||
		to.Timeouts != (llm.Timeouts{Connect: 5 * time.Second, FirstToken: time.Minute, Idle: time.Minute, Whole: 10 * time.Minute}) {
		t.Errorf("target %+v", to)
	}
	if to := route(t, s.Catalog, "deepseek-flash").Target(); to.Timeouts.FirstToken != 2*time.Minute || to.Timeouts.Whole != 10*time.Minute {
		t.Errorf("target %+v", to)
	}
	for _, tt := range []struct {
		first, whole int64 // ms
		want         time.Duration
	}{{0, 30_000, 30 * time.Second}, {60_000, 0, 10 * time.Minute}, {1_800_000, 0, 30 * time.Minute}} {
		edit(t, s.Catalog, func(d *catalog.Draft) error {
			p := *d.Provider("openai")
			p.Timeouts.FirstTokenMS, p.Timeouts.WholeMS = tt.first, tt.whole
			d.PutProvider(p)
			return nil
		})
		if to := route(t, s.Catalog, "gpt-6-luna").Target(); to.Timeouts.Whole != tt.want {
			t.Errorf("%+v: a whole answer may take %v", tt, to.Timeouts.Whole)
		}
	}
	if r := route(t, s.Catalog, "gpt-6-luna"); r.Capabilities != llm.Streaming|llm.Vision|llm.JSON|llm.Reasoning|llm.Documents {
		t.Errorf("capabilities %v", r.Capabilities.Names())
	}
}

// The worst case is never below any real charge of at most those tokens, and
// displayed prices are never below what is charged.
func TestWorstIsWorst(t *testing.T) {
	amount := rapid.Custom(func(t *rapid.T) money.Amount {
		return money.Amount(rapid.Int64Range(0, int64(money.MaxPrice)).Draw(t, "amount"))
	})
	rapid.Check(t, func(t *rapid.T) {
		r := catalog.Route{Markup: rapid.Int64Range(0, money.MaxMarkup).Draw(t, "markup"), Rates: catalog.Complete(money.Rates{
			Input: amount.Draw(t, "input"), CachedInput: amount.Draw(t, "cached"), CacheWrite: amount.Draw(t, "write"),
			Output: amount.Draw(t, "output"), Reasoning: amount.Draw(t, "reasoning"), Request: amount.Draw(t, "request")})}
		count := rapid.Int64Range(0, 1_000_000)
		used := money.Tokens{Input: count.Draw(t, "i"), CachedInput: count.Draw(t, "c"), CacheWrite: count.Draw(t, "w"), Output: count.Draw(t, "o"), Reasoning: count.Draw(t, "r")}
		charge, err := r.Charge(used)
		worst, err2 := r.Worst(used.Input+used.CachedInput+used.CacheWrite, used.Output+used.Reasoning, used.Images)
		if err2 == nil && (err != nil || charge > worst) {
			t.Fatalf("charge %s (%v) is above the worst case %s", charge, err, worst)
		}
		shown, err := money.Charge(catalog.WithMarkup(r.Rates, r.Markup), used, 0)
		if err == nil && charge > shown {
			t.Fatalf("charge %s is above the displayed prices' %s", charge, shown)
		}
	})
}

func TestPlans(t *testing.T) {
	s := start(t, nil)
	edit(t, s.Catalog, func(d *catalog.Draft) error {
		d.PutPlan(catalog.Plan{ID: "small", RequestsPerMinute: 5, Models: []string{"demo"}})
		return nil
	})
	snap := s.Snapshot()
	if small := snap.Plan("small"); small.RequestsPerMinute != 5 || !snap.PlanAllows(small, "demo") || snap.PlanAllows(small, "gpt-4o") {
		t.Errorf("plan %+v", small)
	}
	for _, id := range []string{"", "default", "gone"} {
		if p := snap.Plan(id); p.ID != "default" || !snap.PlanAllows(p, "gpt-4o") {
			t.Errorf("plan %q is %+v", id, p)
		}
	}
	// A plan's list never becomes empty by accident: empty means all models.
	_, err := s.Edit(t.Context(), admin(""), 0, func(d *catalog.Draft) error { d.RemoveModel("demo"); return nil })
	if f := fault.From(err); f.Field != "plans[small].models" {
		t.Errorf("a plan's only model was removed: %v", err)
	}
}

func TestValidate(t *testing.T) {
	provider := func(change func(*catalog.Provider)) func(*catalog.Document) {
		return func(d *catalog.Document) { change(&d.Providers[0]) }
	}
	model := func(change func(*catalog.Model)) func(*catalog.Document) {
		return func(d *catalog.Document) { change(&d.Models[0]) }
	}
	clamp := func(name string, r llm.Range) func(*catalog.Document) {
		return model(func(m *catalog.Model) { m.Rules.Clamp = map[string]llm.Range{name: r} })
	}
	// paid has a provider that asks money for its model, which can do one thing.
	paid := func(can string, rates money.Rates) func(*catalog.Document) {
		return func(d *catalog.Document) {
			d.Providers[0].AllowPrivate, d.Providers[0].Keyless = false, false
			d.Models[0].Capabilities, d.Models[0].Prices[0].Rates = []string{can}, rates
		}
	}
	// twin adds n more models and gives the first one.
	twin := func(d *catalog.Document, n int) *catalog.Model {
		for i := range n {
			m := d.Models[0]
			m.ID, m.Prices = fmt.Sprint("twin", i), slices.Clone(m.Prices)
			m.Prices[0].Version = m.ID + "@1"
			d.Models = append(d.Models, m)
		}
		return &d.Models[0]
	}
	for _, tt := range []struct {
		field  string // empty: accepted
		change func(*catalog.Document)
	}{
		{"", func(*catalog.Document) {}},
		{"", provider(func(p *catalog.Provider) { p.AllowPrivate = false })}, // loopback may be http
		{"providers[local].base_url", provider(func(p *catalog.Provider) { p.AllowPrivate, p.BaseURL = false, "http://example.com/v1" })},
		{"", provider(func(p *catalog.Provider) { p.BaseURL = "http://10.0.0.7/v1" })},
		{"providers[local].base_url", provider(func(p *catalog.Provider) { p.BaseURL = "https://user:pass@example.com/v1" })},
		{"providers[local].base_url", provider(func(p *catalog.Provider) { p.BaseURL = "https://example.com/v1?key=1" })},
		{"providers[local].base_url", provider(func(p *catalog.Provider) { p.BaseURL = "https://example.com/v1#" })},
		{"providers[local].base_url", provider(func(p *catalog.Provider) { p.BaseURL = "file:///etc/passwd" })},
		{"providers[local].base_url", provider(func(p *catalog.Provider) { p.BaseURL = "https://" })},
		{"providers[local].base_url", provider(func(p *catalog.Provider) { p.BaseURL = "" })},
		{"", provider(func(p *catalog.Provider) { p.Protocol, p.BaseURL = "demo", "" })},
		{"providers[local].protocol", provider(func(p *catalog.Provider) { p.Protocol = "soap" })},
		{"providers[local].api_key_env", provider(func(p *catalog.Provider) { p.KeyEnv = "ONEMIND_SECRET_KEY" })},
		{"providers[local].api_key_env", provider(func(p *catalog.Provider) { p.KeyEnv = "DATABASE_URL" })},
		{"", provider(func(p *catalog.Provider) { p.KeyEnv = "LOCAL_API_KEY" })},
		{"providers[local].timeouts.idle", provider(func(p *catalog.Provider) { p.Timeouts.IdleMS = 3_600_001 })},
		{"providers[local].timeouts.whole", provider(func(p *catalog.Provider) { p.Timeouts.WholeMS = 3_600_001 })},
		{"providers[local].timeouts.whole", provider(func(p *catalog.Provider) { p.Timeouts.WholeMS = -1 })},
		{"providers[local].max_concurrency", provider(func(p *catalog.Provider) { p.MaxConcurrency = -1 })},
		{"providers[local].max_waiting", provider(func(p *catalog.Provider) { p.MaxWaiting = 100_001 })},
		{"providers[local].max_waiting", provider(func(p *catalog.Provider) { p.MaxWaiting = -1 })},
		{"providers[local].max_wait", provider(func(p *catalog.Provider) { p.MaxWaitMS = 3_600_001 })},
		{"", provider(func(p *catalog.Provider) { p.MaxWaiting, p.MaxWaitMS = 100_000, 3_600_000 })},
		{"providers[local].name", provider(func(p *catalog.Provider) { p.Name = "a\nb" })},
		{"models[local-small].provider", model(func(m *catalog.Model) { m.Provider = "gone" })},
		{"models[local-small].state", model(func(m *catalog.Model) { m.State = "off" })},
		{"models[local-small].context_window", model(func(m *catalog.Model) { m.ContextWindow = 0 })},
		{"models[local-small].max_output_tokens", model(func(m *catalog.Model) { m.MaxOutput = 0 })},
		{"models[local-small].max_output_tokens", model(func(m *catalog.Model) { m.MaxOutput = m.ContextWindow + 1 })},
		{"models[local-small].capabilities", model(func(m *catalog.Model) { m.Capabilities = []string{"telepathy"} })},
		{"models[local-small].prices", model(func(m *catalog.Model) { m.Prices = nil })},
		{"", model(func(m *catalog.Model) { m.Prices, m.State = nil, catalog.Disabled })},
		{"models[local-small].prices.reasoning", model(func(m *catalog.Model) { m.Prices[0].Rates.Reasoning = -1 })},
		{"models[local-small].prices.per_image", model(func(m *catalog.Model) { m.Prices[0].Rates.Image = money.MaxPrice + 1 })},
		{"", model(func(m *catalog.Model) { m.Prices[0].Rates = money.Rates{} })}, // a private provider may be free
		{"models[local-small].prices.output", paid("streaming", money.Rates{Input: 1})},
		{"", paid("embeddings", money.Rates{Input: 1})},
		{"models[local-small].prices.input", paid("embeddings", money.Rates{Output: 1})},
		{"models[local-small].prices.input", paid("embeddings", money.Rates{Image: 1})},
		{"", paid("image_generation", money.Rates{Image: 1})},
		{"", paid("image_generation", money.Rates{Input: 1, Output: 1})},
		{"models[local-small].prices.output", paid("image_generation", money.Rates{Input: 1})},
		{"models[local-small].prices.input", paid("streaming", money.Rates{Image: 1})},
		{"models[local-small].prices.output", paid("transcription", money.Rates{Input: 1})},
		{"models[local-small].aliases", model(func(m *catalog.Model) { m.Aliases = []string{"x", "x"} })},
		{"models[local-small].aliases", model(func(m *catalog.Model) { m.Aliases = []string{"local-small"} })},
		{"models[local-small].aliases", model(func(m *catalog.Model) { m.Aliases = []string{"A b"} })},
		{"models[other/x].id", model(func(m *catalog.Model) { m.ID = "other/x" })},
		{"", model(func(m *catalog.Model) { m.ID = "local/x" })},
		{"models[.x].id", model(func(m *catalog.Model) { m.ID = ".x" })},
		{"models[local-small].parameter_rules.cap_parameter", model(func(m *catalog.Model) { m.Rules.CapParameter = "max" })},
		{"models[local-small].parameter_rules.refuse", model(func(m *catalog.Model) { m.Rules.Refuse = []string{"messages"} })},
		{"models[local-small].parameter_rules.drop", model(func(m *catalog.Model) { m.Rules.Drop = []string{"max_tokens"} })},
		{"models[local-small].parameter_rules.set.n", model(func(m *catalog.Model) { m.Rules.Set = map[string]string{"n": "5"} })},
		{"models[local-small].parameter_rules.set.effort", model(func(m *catalog.Model) { m.Rules.Set = map[string]string{"effort": "low"} })},
		{"", model(func(m *catalog.Model) { m.Rules.Set = map[string]string{"effort": `"low"`} })},
		{"models[local-small].parameter_rules.reasoning", model(func(m *catalog.Model) { m.Rules.Reasoning = "hard" })},
		{"models[local-small].parameter_rules.clamp.n", clamp("n", llm.Range{Min: 0, Max: 1})},
		{"models[local-small].parameter_rules.clamp.top_p", clamp("top_p", llm.Range{Min: 1, Max: 0.9})},
		{"models[local-small].parameter_rules.clamp.top_p", clamp("top_p", llm.Range{Min: 0, Max: math.Inf(1)})},
		{"models[local-small].parameter_rules.clamp.top_p", clamp("top_p", llm.Range{Min: math.NaN(), Max: 1})},
		{"models[local-small].parameter_rules.clamp", model(func(m *catalog.Model) {
			m.Rules.Clamp = map[string]llm.Range{}
			for i := range 33 {
				m.Rules.Clamp[fmt.Sprint("p", i)] = llm.Range{}
			}
		})},
		{"", clamp("temperature", llm.Range{Min: 0, Max: 1})},
		{"", model(func(m *catalog.Model) { m.Rules.Reasoning, m.Rules.CancelBills = "budget", true })},
		{"models[local-small].substitutes", model(func(m *catalog.Model) { m.Substitutes = []string{"gone"} })},
		{"models[local-small].substitutes", model(func(m *catalog.Model) { m.Substitutes = []string{"local-small"} })},
		{"models[local-small].substitutes", func(d *catalog.Document) { twin(d, 2).Substitutes = []string{"twin1", "twin1"} }},
		{"models[local-small].substitutes", func(d *catalog.Document) {
			m := twin(d, 9)
			for i := range 9 {
				m.Substitutes = append(m.Substitutes, fmt.Sprint("twin", i))
			}
		}},
		{"", func(d *catalog.Document) { twin(d, 2).Substitutes = []string{"twin1", "twin0"} }},
		{"models[local-small].retires_on", model(func(m *catalog.Model) { m.RetiresOn = "soon" })},
		{"models[local-small].retires_on", model(func(m *catalog.Model) { m.RetiresOn = "2027-02-30" })},
		{"", model(func(m *catalog.Model) { m.RetiresOn = "2027-03-31" })},
		{"models[local-small].id", func(d *catalog.Document) { d.Models = append(d.Models, d.Models[0]) }},
		{"plans[default].requests_per_minute", func(d *catalog.Document) { d.Plans[0].RequestsPerMinute = -1 }},
		{"plans[default].tokens_per_minute", func(d *catalog.Document) { d.Plans[0].TokensPerMinute = 1_000_000_001 }},
		{"plans[default].credits_per_day", func(d *catalog.Document) { d.Plans[0].CreditsPerDay = -1 }},
		{"plans[a/b].id", func(d *catalog.Document) { d.Plans = append(d.Plans, catalog.Plan{ID: "a/b"}) }},
		{"settings.markup_percent", func(d *catalog.Document) { d.Settings.Markup = -1 }},
		{"settings.markup_percent", func(d *catalog.Document) { d.Settings.Markup = money.MaxMarkup + 1 }},
		{"settings.default_plan", func(d *catalog.Document) { d.Settings.DefaultPlan = "" }},
		{"settings.signup_credits", func(d *catalog.Document) { d.Settings.SignupCredits = -1 }},
		{"models", func(d *catalog.Document) { d.Models = make([]catalog.Model, 2001) }},
		{"providers", func(d *catalog.Document) { d.Providers = make([]catalog.Provider, 201) }},
	} {
		doc := apply(t, catalog.Document{}, spec)
		doc.Providers = append(doc.Providers, catalog.Provider{ID: "other", Name: "Other", Protocol: "demo"})
		tt.change(&doc)
		err := catalog.Validate(doc)
		var all catalog.Invalid
		if tt.field == "" {
			if err != nil {
				t.Errorf("refused: %v", err)
			}
			continue
		}
		if !errors.As(err, &all) || all[0].Field != tt.field || all[0].Kind != fault.Unprocessable || !strings.HasPrefix(all[0].Text, tt.field+" ") {
			t.Errorf("%s: %v", tt.field, err)
		}
	}
}

// document draws a valid document from small alphabets, so that rows collide.
func document(t *rapid.T) catalog.Document {
	ids := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	name := rapid.StringOfN(rapid.RuneFrom([]rune("ab: #'\"{}[],&*!|>%@`-?~\u00e9\u4f60\u2028\u0020 0123.eytnofru\ufeff")), 1, 12, -1)
	amount := rapid.Custom(func(t *rapid.T) money.Amount {
		return money.Amount(rapid.Int64Range(1, int64(money.MaxPrice)).Draw(t, "amount"))
	})
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"user", "store", "top_p", "seed"}), 0, 3, rapid.ID[string])
	doc := catalog.Document{Settings: catalog.Settings{Markup: rapid.Int64Range(0, money.MaxMarkup).Draw(t, "markup"), DefaultPlan: "p",
		SignupCredits: money.Amount(rapid.Int64Range(0, int64(money.Dollar)).Draw(t, "signup")), ResponseCache: rapid.Bool().Draw(t, "cache")}}
	for _, id := range rapid.SliceOfNDistinct(ids, 1, 3, rapid.ID[string]).Draw(t, "providers") {
		doc.Providers = append(doc.Providers, catalog.Provider{ID: id, Name: name.Draw(t, "name"), Protocol: "openai", BaseURL: "https://example.com/" + id,
			Enabled: rapid.Bool().Draw(t, "on"), MaxConcurrency: rapid.IntRange(0, 9).Draw(t, "most"), MaxWaiting: rapid.IntRange(0, 9).Draw(t, "waiting"),
			MaxWaitMS: rapid.Int64Range(0, 100_000).Draw(t, "wait"), Timeouts: catalog.Timeouts{IdleMS: rapid.Int64Range(0, 100_000).Draw(t, "idle"), WholeMS: rapid.Int64Range(0, 3_600_000).Draw(t, "whole")}})
	}
	d := catalog.NewDraft(doc, "tester", time.Now())
	for _, id := range rapid.SliceOfNDistinct(ids, 0, 4, rapid.ID[string]).Draw(t, "models") {
		m := catalog.Model{ID: "m" + id, Provider: rapid.SampledFrom(doc.Providers).Draw(t, "of").ID, Upstream: name.Draw(t, "upstream"), Name: name.Draw(t, "model"),
			State: rapid.SampledFrom([]catalog.State{catalog.Active, catalog.Hidden}).Draw(t, "state"), ContextWindow: 100, MaxOutput: rapid.Int64Range(1, 100).Draw(t, "out"),
			Capabilities: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"tools", "json", "streaming"}), 0, 3, rapid.ID[string]).Draw(t, "can"),
			RetiresOn:    rapid.SampledFrom([]string{"", "2027-03-31"}).Draw(t, "retires"),
			Rules: llm.Rules{Refuse: names.Draw(t, "refuse"), Drop: names.Draw(t, "drop"), NoStreamOptions: rapid.Bool().Draw(t, "no"),
				Reasoning: rapid.SampledFrom([]string{"", "budget", "effort", "level", "content"}).Draw(t, "reasoning"), CancelBills: rapid.Bool().Draw(t, "bills")}}
		if len(d.Models) > 0 {
			m.Substitutes = []string{rapid.SampledFrom(d.Models).Draw(t, "substitute").ID}
		}
		if rapid.Bool().Draw(t, "clamp") {
			low := rapid.Float64Range(-1e9, 1e9).Draw(t, "low")
			m.Rules.Clamp = map[string]llm.Range{"temperature": {Min: low, Max: low + rapid.Float64Range(0, 1e12).Draw(t, "range")}}
		}
		if rapid.Bool().Draw(t, "set") {
			m.Rules.Set = map[string]string{"effort": rapid.SampledFrom([]string{`"low"`, "5", "true", `{"a": [1, "b"]}`, "null", "1e3", `"\u2028"`}).Draw(t, "value")}
		}
		d.PutModel(m)
		for range rapid.IntRange(1, 3).Draw(t, "prices") {
			at := time.Now().Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "hours")) * time.Hour)
			r := money.Rates{Input: amount.Draw(t, "in"), Output: amount.Draw(t, "out"), CachedInput: amount.Draw(t, "cached"), Request: amount.Draw(t, "request")}
			if err := d.SetPrice(m.ID, r, at, name.Draw(t, "source")); err != nil {
				t.Fatal(err)
			}
		}
	}
	d.PutPlan(catalog.Plan{ID: "p", ResponseCache: rapid.Bool().Draw(t, "plan's cache"), CreditsPerDay: money.Amount(rapid.Int64Range(0, int64(money.Dollar)).Draw(t, "day"))})
	if err := d.Check(); err != nil {
		t.Fatalf("drew a document that is not valid: %v", err)
	}
	return d.Document
}

func TestDiffAndExport(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := document(t), document(t)
		if d := catalog.Diff(a, a); len(d) != 0 {
			t.Fatalf("a document differs from itself: %v", d)
		}
		there, back := catalog.Diff(a, b), catalog.Diff(b, a)
		for _, ch := range there {
			if len(ch.Fields) == 0 || ch.Op != "add" && ch.Op != "change" && ch.Op != "remove" {
				t.Fatalf("change %+v", ch)
			}
		}
		if (len(there) == 0) != (len(back) == 0) {
			t.Fatalf("there %v, back %v", there, back)
		}
		out, err := catalog.ExportYAML(a)
		if err != nil {
			t.Fatal(err)
		}
		file, err := catalog.ParseYAML("export.yaml", out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		d := catalog.NewDraft(a, "tester", time.Now())
		if err := file.Apply(d, true); err != nil {
			t.Fatal(err)
		}
		if changes := catalog.Diff(a, d.Document); len(changes) != 0 {
			t.Fatalf("the export of a document changes it: %v\n%s", changes, out)
		}
	})
}

// Over random edits no price version ever changes or vanishes while its model stays,
// and the price in force is always the one asked for last.
func TestPricesAreHistory(t *testing.T) {
	s := start(t, nil)
	seen := map[string]catalog.Price{}
	rapid.Check(t, func(t *rapid.T) {
		output := money.Amount(rapid.Int64Range(1, 5).Draw(t, "output"))
		var rev catalog.Revision
		var err error
		switch rapid.IntRange(0, 3).Draw(t, "act") {
		case 0:
			rev, err = s.Rollback(context.Background(), admin(""), rapid.Int64Range(1, s.Snapshot().Revision).Draw(t, "to"))
		case 1:
			rev, err = s.Edit(context.Background(), admin(""), 0, func(d *catalog.Draft) error {
				return d.SetPrice("demo", money.Rates{Input: 1, Output: output}, time.Now().Add(time.Hour), "")
			})
		default:
			rev, err = s.Edit(context.Background(), admin(""), 0, func(d *catalog.Draft) error {
				return d.SetPrice("demo", money.Rates{Input: 1, Output: output}, time.Time{}, "")
			})
			if r, err := s.Snapshot().Route("demo"); err != nil || r.Rates.Output != output {
				t.Fatalf("asked for %s, charged %+v, %v", output, r, err)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		now := map[string]catalog.Price{}
		for _, m := range rev.Models {
			for _, p := range m.Prices {
				now[p.Version] = p
			}
		}
		for version, p := range seen {
			if now[version] != p {
				t.Fatalf("%s was %+v, is %+v", version, p, now[version])
			}
		}
		seen = now
	})
	if fresh := s.second(t); len(catalog.Diff(fresh.Snapshot().Document(), s.Snapshot().Document())) != 0 {
		t.Error(fmt.Sprint(catalog.Diff(fresh.Snapshot().Document(), s.Snapshot().Document())))
	}
}

func BenchmarkSnapshotRoute(b *testing.B) {
	s := start(b, map[string]string{"OPENAI_API_KEY": "sk-1"})
	for b.Loop() {
		if _, err := s.Snapshot().Route("openai/gpt-4o"); err != nil {
			b.Fatal(err)
		}
	}
}
