package catalog_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/fault"
	"onemind/internal/money"
)

// An export of all three tables, with what rows of that system really hold:
// values as numbers and as text, conflicting caps, a key in plain text, retired
// names and models of two providers under one name.
const pocExport = `{
"ai_models": [
  {"id": "7b0c", "provider": "openai", "model_id": "gpt-4o", "display_name": "GPT-4o (old)", "max_output_tokens": 16384, "context_window": 128000,
   "input_price_per_million": 2.50, "output_price_per_million": 10.000000, "is_active": true, "is_default": true, "capabilities": ["text", "vision", "function_calling", "magic"]},
  {"provider": "openai", "model_id": "gpt-4o-mini", "max_output_tokens": "16384", "context_window": "128000", "input_price_per_million": "0.10", "output_price_per_million": "0.40", "is_active": false},
  {"provider": "openai", "model_id": "o4-mini-2025-04-16", "max_output_tokens": 100000, "context_window": 200000, "input_price_per_million": 0.15, "output_price_per_million": 0.6, "capabilities": {"reasoning": true, "vision": false}},
  {"provider": "deepseek", "model_id": "deepseek-chat", "max_output_tokens": 65536, "context_window": 128000.0, "input_price_per_million": 0.0375, "output_price_per_million": 0.28, "is_active": true},
  {"provider": "kimi", "model_id": "moonshot-v1-8k", "max_output_tokens": 8192, "context_window": 8000, "input_cost_per_million": 8, "output_cost_per_million": 16, "input_credits_per_million": 80},
  {"provider": "gemini", "model_id": "gemini-2.0-flash-exp", "max_output_tokens": 8192, "context_window": 1000000, "input_price_per_million": 0, "output_price_per_million": 0, "is_active": true},
  {"provider": "groq", "model_id": "Shared", "max_output_tokens": 8192, "context_window": 128000, "input_price_per_million": 0.59, "output_price_per_million": 0.79},
  {"provider": "acme", "model_id": "shared", "max_tokens": 4096, "input_price_per_million": 1, "output_price_per_million": 2},
  {"provider": "openrouter", "model_id": "openai/gpt-oss-20b", "max_output_tokens": 8192, "context_window": 128000, "input_price_per_million": 1, "output_price_per_million": 2},
  {"provider": "generic", "model_id": "v1", "input_price_per_million": 3, "output_price_per_million": 8}
],
"provider_config": [
  {"provider": "openai", "is_enabled": true, "max_output_cap": 128000, "rate_limit_rpm": 3500, "timeout_seconds": 60, "priority": 10, "api_key_encrypted": "sk-plain-text-of-openai", "api_endpoint": "https://api.openai.com/v1/chat/completions", "custom_headers": {"X-Team": "a"}},
  {"provider": "deepseek", "is_enabled": true, "max_output_cap": 8192, "timeout_seconds": 120},
  {"provider": "kimi", "is_enabled": false, "max_output_cap": 8192, "timeout_seconds": 60, "api_endpoint": "https://api.moonshot.cn/v1/chat/completions", "custom_headers": {}},
  {"provider": "gemini", "api_endpoint": "https://generativelanguage.googleapis.com/v1beta/models/{model}:generateContent?key=AIzaSecret"},
  {"provider": "huggingface", "is_enabled": true, "api_endpoint": "https://api-inference.huggingface.co/models/tiiuae/falcon"},
  {"provider": "acme", "is_enabled": true, "api_endpoint": "https://llm.acme.example/anthropic/v1/messages/"},
  {"provider": "falcon", "is_enabled": true, "api_endpoint": "https://falcon.example/models/180b"},
  {"provider": "generic", "is_enabled": false}
],
"system_config": [
  {"key": "markup_percentage", "value": "\"25\"", "category": "pricing"},
  {"key": "signup_bonus_credits", "value": 150},
  {"key": "debounce_ms", "value": 300}, {"key": "fallback_enabled", "value": true}
],
"profiles": []
}`

func poc(t testing.TB, name, text string) *catalog.POC {
	t.Helper()
	p, err := catalog.ParsePOC(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// move applies exports to a document, checked, and gives the notes.
func move(t testing.TB, before catalog.Document, p *catalog.POC) (catalog.Document, []string) {
	t.Helper()
	d := catalog.NewDraft(before, "tester", time.Now())
	notes, err := p.Apply(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	return d.Document, notes
}

func modelOf(t testing.TB, doc catalog.Document, id string) catalog.Model {
	t.Helper()
	i := slices.IndexFunc(doc.Models, func(m catalog.Model) bool { return m.ID == id })
	if i < 0 {
		t.Fatalf("there is no model %s", id)
	}
	return doc.Models[i]
}

func providerOf(t testing.TB, doc catalog.Document, id string) catalog.Provider {
	t.Helper()
	i := slices.IndexFunc(doc.Providers, func(p catalog.Provider) bool { return p.ID == id })
	if i < 0 {
		t.Fatalf("there is no provider %s", id)
	}
	return doc.Providers[i]
}

func TestPOCModels(t *testing.T) {
	before := builtin(t, time.Now())
	after, _ := move(t, before, poc(t, "export.json", pocExport))
	kept := modelOf(t, after, "gpt-4o")
	if !reflect.DeepEqual(kept.Prices, modelOf(t, before, "gpt-4o").Prices) || kept.Name != "GPT-4o (old)" {
		t.Errorf("an equal price made a version, or the name was lost: %+v", kept)
	}
	if want := []string{"streaming", "tools", "images", "json", "documents"}; !reflect.DeepEqual(kept.Capabilities, want) {
		t.Errorf("capabilities = %v", kept.Capabilities)
	}
	mini := modelOf(t, after, "gpt-4o-mini")
	if len(mini.Prices) != 2 || mini.Prices[1].Rates.Input != 100_000_000 || mini.Prices[1].Source != "file export.json" || mini.State != catalog.Disabled {
		t.Errorf("gpt-4o-mini = %+v", mini)
	}
	if m := modelOf(t, after, "o4-mini-2025-04-16"); m.Rules.CapParameter != "max_completion_tokens" || !slices.Contains(m.Capabilities, "reasoning") || slices.Contains(m.Capabilities, "images") {
		t.Errorf("a reasoning model = %+v", m)
	}
	if m := modelOf(t, after, "deepseek-chat"); m.MaxOutput != 8192 || m.ContextWindow != 128_000 || m.Prices[0].Rates.Input != 37_500_000 || m.State != catalog.Active {
		t.Errorf("deepseek-chat = %+v", m)
	}
	if m := modelOf(t, after, "moonshot-v1-8k"); m.Provider != "moonshot" || m.Prices[0].Rates.Output != 16*money.Dollar || m.MaxOutput != 8000 {
		t.Errorf("moonshot-v1-8k = %+v", m)
	}
	if m := modelOf(t, after, "gemini-2.0-flash-exp"); m.State != catalog.Disabled || len(m.Prices) != 0 {
		t.Errorf("a model without a price = %+v", m)
	}
	if m := modelOf(t, after, "groq/shared"); m.Upstream != "Shared" || m.Provider != "groq" {
		t.Errorf("groq/shared = %+v", m)
	}
	if m := modelOf(t, after, "acme/shared"); m.Upstream != "shared" || m.MaxOutput != 4096 || m.ContextWindow != 32_000 {
		t.Errorf("acme/shared = %+v", m)
	}
	if m := modelOf(t, after, "openrouter/openai/gpt-oss-20b"); m.Upstream != "openai/gpt-oss-20b" {
		t.Errorf("openrouter's model = %+v", m)
	}
	again, _ := move(t, after, poc(t, "export.json", pocExport))
	if changes := catalog.Diff(after, again); len(changes) != 0 {
		t.Errorf("the same export again changes %v", changes)
	}
}

func TestPOCProvidersAndSettings(t *testing.T) {
	before := builtin(t, time.Now())
	after, notes := move(t, before, poc(t, "export.json", pocExport))
	if p := providerOf(t, after, "openai"); p.BaseURL != "https://api.openai.com/v1" || p.Timeouts.FirstTokenMS != 60_000 || p.Timeouts.IdleMS != 60_000 || p.Timeouts.WholeMS != 0 || p.KeyEnv != "OPENAI_API_KEY" {
		t.Errorf("openai = %+v", p)
	}
	if p := providerOf(t, after, "moonshot"); p.BaseURL != "https://api.moonshot.cn/v1" || p.Enabled {
		t.Errorf("moonshot = %+v", p)
	}
	for _, id := range []string{"gemini", "huggingface"} { // their old addresses speak nothing of ours
		if p, was := providerOf(t, after, id), providerOf(t, before, id); p.BaseURL != was.BaseURL || p.Protocol != was.Protocol || !p.Enabled {
			t.Errorf("%s = %+v", id, p)
		}
	}
	if p := providerOf(t, after, "acme"); p.BaseURL != "https://llm.acme.example/anthropic/v1" || p.Protocol != "anthropic" || !p.Enabled {
		t.Errorf("acme = %+v", p)
	}
	if p := providerOf(t, after, "falcon"); p.BaseURL != "https://falcon.example" || p.Enabled {
		t.Errorf("falcon = %+v", p)
	}
	if after.Settings.Markup != 2500 || after.Settings.SignupCredits != 150*money.Credit || after.Settings.GlobalRequestsPerMinute != before.Settings.GlobalRequestsPerMinute {
		t.Errorf("settings = %+v", after.Settings)
	}
	all := strings.Join(notes, "\n")
	for _, want := range []string{
		`export.json: the table "profiles" is not carried over`, "provider generic: left out", "model v1: left out",
		"keys of openai are not imported", "custom_headers of openai are not", "openai 3500", "provider moonshot: is called at https://api.moonshot.cn/v1 instead of",
		"provider huggingface: api-inference.huggingface.co speaks none", "provider falcon: switched off", "gpt-4o: was the default of openai", `capabilities "magic"`,
		"model gpt-4o-mini: costs 0.1 and 0.4 dollars", "instead of 0.15 and 0.6", "deepseek-chat: max_output_tokens is 8192 instead of 65536, because of the max_output_cap", "moonshot-v1-8k: max_output_tokens is 8000 instead of 8192, because of its context_window",
		"gemini-2.0-flash-exp: disabled", "model Shared of groq: is called groq/shared here", "acme/shared: has no context_window; 32000", "not carried over: debounce_ms, fallback_enabled",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the notes do not say %q", want)
		}
	}
	if strings.Contains(all, "sk-plain") || strings.Contains(all, "AIza") || strings.Contains(all, "priority") {
		t.Errorf("the notes say too much:\n%s", all)
	}
	if t.Failed() {
		t.Log(all)
	}
}

func TestPOCFromTables(t *testing.T) {
	p := poc(t, "dir/ai_models_rows.csv", "\ufeffid,provider,model_id,display_name,input_price_per_million,output_price_per_million,capabilities,max_output_tokens,context_window,is_active\r\n"+
		"1,groq,gemma2-9b-it,\"Gemma, second\",0.20000000000,0.2,\"[\"\"json_mode\"\"]\",8192,128000,true\r\n")
	p.Merge(poc(t, "provider_config.json", `[{"provider": "groq", "timeout_seconds": 30}]`))
	p.Merge(poc(t, "system_config_rows.csv", "key,value\nmarkup_percentage,\"\"\"12.5\"\"\"\n"))
	p.Merge(poc(t, "ai_models.json", `{"ai_models": null}`))
	doc, notes := move(t, builtin(t, time.Now()), p)
	m := modelOf(t, doc, "gemma2-9b-it")
	if m.Name != "Gemma, second" || m.Prices[0].Rates.Input != 200_000_000 || !reflect.DeepEqual(m.Capabilities, []string{"streaming", "json"}) {
		t.Errorf("model = %+v", m)
	}
	if doc.Settings.Markup != 1250 || providerOf(t, doc, "groq").Timeouts.IdleMS != 30_000 || len(notes) != 0 {
		t.Errorf("settings = %+v, notes = %q", doc.Settings, notes)
	}
}

// A model that only the catalog has a price for keeps it; one that was switched
// off here comes back when the export says so.
func TestPOCKeepsThePriceOfTheCatalog(t *testing.T) {
	doc, notes := move(t, builtin(t, time.Now()), poc(t, "ai_models.json", `[{"provider": "openai", "model_id": "gpt-4o", "is_active": true, "input_price_per_million": null}]`))
	if m := modelOf(t, doc, "gpt-4o"); m.State != catalog.Active || len(m.Prices) != 1 || len(notes) != 1 || !strings.Contains(notes[0], "the one of the catalog stays") {
		t.Errorf("model = %+v, notes = %q", m, notes)
	}
}

func TestPOCRefuses(t *testing.T) {
	const row = `"provider": "openai", "model_id": "m", "max_output_tokens": 10, "context_window": 100`
	for name, tt := range map[string]struct{ file, text, want string }{
		"empty":             {"ai_models.json", " \n", "ai_models.json: file is empty"},
		"no table":          {"export.json", "[]", "export.json: file must be named after its table"},
		"csv of no table":   {"export.csv", "a,b\n1,2\n", "export.csv: file must be named after its table"},
		"no tables":         {"export.json", `{"users": []}`, "must have ai_models, provider_config or system_config"},
		"not json":          {"ai_models.json", "{", "is neither CSV by its name nor JSON"},
		"two documents":     {"ai_models.json", "[] []", "must be an array of rows"},
		"rows of text":      {"ai_models.json", `["a"]`, "ai_models must be an array of rows"},
		"short line":        {"ai_models.csv", "provider,model_id\nopenai\n", "is not CSV"},
		"no provider":       {"ai_models.json", `[{"model_id": "m", "engine_id": "openai"}]`, "ai_models.json: ai_models row 1: provider is required"},
		"no model":          {"ai_models.json", `[{"provider": "openai"}]`, "row 1: model_id is required"},
		"price in words":    {"ai_models.json", `[{` + row + `, "input_price_per_million": "cheap"}]`, "row 1: input_price_per_million must be a plain decimal number"},
		"price as exponent": {"ai_models.json", `[{` + row + `, "input_price_per_million": 1e-7}]`, "input_price_per_million must be a plain decimal number"},
		"price too fine":    {"ai_models.json", `[{` + row + `, "input_price_per_million": 0.30000000000000004}]`, "more than 9 digits"},
		"negative price":    {"ai_models.json", `[{` + row + `, "output_price_per_million": -1}]`, "row 1: output_price_per_million must be between 0 and 100000 dollars"},
		"absurd price":      {"ai_models.json", `[{` + row + `, "output_price_per_million": 100001}]`, "must be between 0 and 100000 dollars"},
		"fraction":          {"ai_models.json", `[{"provider": "openai", "model_id": "m", "max_output_tokens": 1.5}]`, "row 1: max_output_tokens must be a whole number"},
		"negative count":    {"ai_models.json", `[{"provider": "openai", "model_id": "m", "context_window": -5}]`, "row 1: context_window must be a whole number"},
		"no flag":           {"ai_models.json", `[{` + row + `, "is_active": "maybe"}]`, "row 1: is_active must be true or false"},
		"capabilities":      {"ai_models.json", `[{` + row + `, "capabilities": 5}]`, "row 1: capabilities must be a list of names"},
		"twice":             {"ai_models.json", `[{` + row + `}, {` + row + `}]`, "row 2: model_id must not name m twice: it is ai_models.json: ai_models row 1 already"},
		"two of one id":     {"ai_models.json", `[{` + row + `}, {` + strings.Replace(row, `"m"`, `"M"`, 1) + `}]`, "row 2: model_id must not name openai/m twice"},
		"unknown provider":  {"ai_models.json", `[{` + strings.Replace(row, "openai", "nobody", 1) + `}]`, "row 1: provider must be one that is known here or in provider_config; there is none called nobody"},
		"bad provider":      {"provider_config.json", `[{"provider": "a b"}]`, "provider_config row 1: provider must be 1 to 64 letters"},
		"provider twice":    {"provider_config.json", `[{"provider": "claude"}, {"provider": "anthropic"}]`, "row 2: provider must not name anthropic twice"},
		"bad endpoint":      {"provider_config.json", `[{"provider": "openai", "api_endpoint": "api.openai.com"}]`, "row 1: api_endpoint must be an address"},
		"user in endpoint":  {"provider_config.json", `[{"provider": "openai", "api_endpoint": "https://sk-x@api.openai.com"}]`, "row 1: api_endpoint must be an address"},
		"clear endpoint":    {"provider_config.json", `[{"provider": "acme", "api_endpoint": "http://acme.example/v1"}]`, "provider_config row 1: providers[acme].base_url must be https"},
		"long wait":         {"provider_config.json", `[{"provider": "openai", "timeout_seconds": 100000}]`, "provider_config row 1: providers[openai].timeouts.first_token must be between"},
		"markup in words":   {"system_config.json", `[{"key": "markup_percentage", "value": "much"}]`, "system_config row 1: value must be a percentage"},
		"absurd markup":     {"system_config.json", `[{"key": "markup_percentage", "value": 100000}]`, "system_config row 1: settings.markup_percent must be between"},
		"negative credits":  {"system_config.json", `[{"key": "signup_bonus_credits", "value": -1}]`, "system_config row 1: settings.signup_credits must be between"},
		"setting twice":     {"system_config.json", `[{"key": "a", "value": 1}, {"key": "a", "value": 2}]`, "row 2: key must not name a twice"},
		"control character": {"ai_models.json", `[{` + row + `, "display_name": "a\u0007b"}]`, "ai_models row 1: models[m].name must be at most"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := catalog.ParsePOC(tt.file, []byte(tt.text))
			if err == nil {
				d := catalog.NewDraft(builtin(t, time.Now()), "tester", time.Now())
				if _, err = p.Apply(d); err == nil {
					err = d.Check()
				}
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error = %v, want %q", err, tt.want)
			}
			if f := fault.From(err); f.Kind != fault.Unprocessable || f.Field == "" || strings.Contains(err.Error(), "sk-x") {
				t.Errorf("answered as %+v", f)
			}
		})
	}
	if _, err := catalog.ParsePOC("ai_models.json", make([]byte, 5<<20)); err == nil || !strings.Contains(err.Error(), "must be at most") {
		t.Errorf("a file of 5 MB: %v", err)
	}
}

func FuzzParsePOC(f *testing.F) {
	f.Add("export.json", []byte(pocExport))
	f.Add("ai_models_rows.csv", []byte("provider,model_id,input_price_per_million,output_price_per_million\nopenai,x,1,2\n"))
	f.Add("system_config.csv", []byte("key,value\nmarkup_percentage,\"\"\"30\"\"\"\n"))
	f.Add("provider_config.json", []byte(`[{"provider":"a","api_endpoint":"https://h/models/x:y"}]`))
	doc := builtin(f, time.Now())
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		p, err := catalog.ParsePOC(name, data)
		if err != nil {
			if p != nil || fault.From(err).Kind == fault.Internal {
				t.Fatalf("refused as %v with %v", err, p)
			}
			return
		}
		d := catalog.NewDraft(doc, "fuzz", time.Now())
		notes, err := p.Apply(d)
		if err != nil || d.Check() != nil {
			if err != nil && fault.From(err).Kind == fault.Internal {
				t.Fatal(err)
			}
			return
		}
		for _, note := range notes {
			if strings.ContainsFunc(note, func(r rune) bool { return r < ' ' }) {
				t.Fatalf("a note has control characters: %q", note)
			}
		}
		again := catalog.NewDraft(d.Document, "fuzz", time.Now())
		if _, err := p.Apply(again); err != nil {
			t.Fatal(err)
		}
		if err := again.Check(); err != nil {
			t.Fatal(err)
		}
		if changes := catalog.Diff(d.Document, again.Document); len(changes) > 0 {
			t.Fatalf("the same export again changes %v", changes)
		}
	})
}
