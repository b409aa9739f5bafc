package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"onemind/internal/catalog"
	"onemind/internal/money"
)

// readDocument puts the rows together, each kind sorted by id. Ids are ordered
// by their bytes, as everywhere else.
func readDocument(ctx context.Context, tx database) (d catalog.Document, err error) {
	if d.Providers, err = list(ctx, tx, provider, `
		SELECT id, name, protocol, base_url, api_key_env, keyless, enabled, allow_private_address, max_concurrency,
			connect_timeout_ms, first_token_timeout_ms, idle_timeout_ms, whole_timeout_ms, max_waiting, max_wait_ms
		FROM onemind.provider_config ORDER BY id COLLATE "C"`); err != nil {
		return d, err
	}
	if d.Models, err = list(ctx, tx, model, `
		SELECT id, provider_id, upstream_id, name, state, context_window, max_output_tokens, capabilities::text, aliases::text, parameter_rules::text,
			substitutes::text, retires_on
		FROM onemind.ai_models ORDER BY id COLLATE "C"`); err != nil {
		return d, err
	}
	if err := readPrices(ctx, tx, d.Models); err != nil {
		return d, err
	}
	if d.Plans, err = list(ctx, tx, func(r *row) catalog.Plan {
		var p catalog.Plan
		id := r.text()
		r.json(&p)
		p.ID = id
		return p
	}, `SELECT name, value::text FROM onemind.system_config WHERE section = 'plan' ORDER BY name COLLATE "C"`); err != nil {
		return d, err
	}
	values := map[string]json.RawMessage{}
	if _, err := list(ctx, tx, func(r *row) struct{} {
		values[r.text()] = json.RawMessage(r.text())
		return struct{}{}
	}, `SELECT name, value::text FROM onemind.system_config WHERE section = 'settings'`); err != nil {
		return d, err
	}
	b, err := json.Marshal(values)
	if err == nil {
		err = json.Unmarshal(b, &d.Settings)
	}
	if err != nil {
		return d, fmt.Errorf("read the settings: %w", err)
	}
	return d, nil
}

func provider(r *row) catalog.Provider {
	return catalog.Provider{ID: r.text(), Name: r.text(), Protocol: r.text(), BaseURL: r.text(), KeyEnv: r.text(), Keyless: r.bool(),
		Enabled: r.bool(), AllowPrivate: r.bool(), MaxConcurrency: int(r.int()),
		Timeouts: catalog.Timeouts{ConnectMS: r.int(), FirstTokenMS: r.int(), IdleMS: r.int(), WholeMS: r.int()}, MaxWaiting: int(r.int()), MaxWaitMS: r.int()}
}

func model(r *row) catalog.Model {
	m := catalog.Model{ID: r.text(), Provider: r.text(), Upstream: r.text(), Name: r.text(), State: catalog.State(r.text()),
		ContextWindow: r.int(), MaxOutput: r.int()}
	r.json(&m.Capabilities)
	r.json(&m.Aliases)
	r.json(&m.Rules)
	r.json(&m.Substitutes)
	m.RetiresOn = r.text()
	return m
}

// pricedModel is a price version and whose it is.
type pricedModel struct {
	model string
	price catalog.Price
}

const selectPrice = `
	SELECT model_id, version, input_nano_usd, cached_input_nano_usd, cache_write_nano_usd, output_nano_usd, reasoning_nano_usd,
		per_request_nano_usd, per_image_nano_usd, effective_at, source, as_of, author, created_at
	FROM onemind.ai_model_prices`

func price(r *row) pricedModel {
	return pricedModel{model: r.text(), price: catalog.Price{Version: r.text(),
		Rates: money.Rates{Input: r.amount(), CachedInput: r.amount(), CacheWrite: r.amount(), Output: r.amount(), Reasoning: r.amount(),
			Request: r.amount(), Image: r.amount()},
		EffectiveAt: r.time(), Source: r.text(), AsOf: r.text(), Author: r.text(), CreatedAt: r.time()}}
}

// readPrices gives each model every price version it ever had, oldest first.
func readPrices(ctx context.Context, tx database, models []catalog.Model) error {
	at := make(map[string]int, len(models))
	for i, m := range models {
		at[m.ID] = i
	}
	all, err := list(ctx, tx, price, selectPrice+` ORDER BY n`)
	for _, p := range all {
		if i, ok := at[p.model]; ok {
			models[i].Prices = append(models[i].Prices, p.price)
		}
	}
	return err
}

// saveDocument makes the rows what a document says. Rows are changed in place
// and only where they differ: keys hang on providers.
func saveDocument(ctx context.Context, tx pgx.Tx, d catalog.Document) error {
	stored, err := list(ctx, tx, price, selectPrice)
	if err != nil {
		return err
	}
	versions := make(map[string]pricedModel, len(stored))
	for _, p := range stored {
		versions[p.price.Version] = p
	}
	providers, models := []string{}, []string{}
	for _, p := range d.Providers {
		providers = append(providers, p.ID)
		if err := saveProvider(ctx, tx, p); err != nil {
			return fmt.Errorf("save provider %s: %w", p.ID, err)
		}
	}
	for _, m := range d.Models {
		models = append(models, m.ID)
		if err := saveModel(ctx, tx, m); err != nil {
			return fmt.Errorf("save model %s: %w", m.ID, err)
		}
		for _, p := range m.Prices {
			if err := savePrice(ctx, tx, versions, m.ID, p); err != nil {
				return err
			}
		}
	}
	if _, err := exec(ctx, tx, `DELETE FROM onemind.ai_models WHERE id <> ALL ($1)`, models); err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `DELETE FROM onemind.provider_config WHERE id <> ALL ($1)`, providers); err != nil {
		return err
	}
	return saveSystem(ctx, tx, d)
}

func saveProvider(ctx context.Context, tx pgx.Tx, p catalog.Provider) error {
	_, err := exec(ctx, tx, `
		INSERT INTO onemind.provider_config (id, name, protocol, base_url, api_key_env, keyless, enabled, allow_private_address,
			max_concurrency, connect_timeout_ms, first_token_timeout_ms, idle_timeout_ms, whole_timeout_ms, max_waiting, max_wait_ms)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, protocol = excluded.protocol, base_url = excluded.base_url,
			api_key_env = excluded.api_key_env, keyless = excluded.keyless, enabled = excluded.enabled,
			allow_private_address = excluded.allow_private_address, max_concurrency = excluded.max_concurrency,
			connect_timeout_ms = excluded.connect_timeout_ms, first_token_timeout_ms = excluded.first_token_timeout_ms,
			idle_timeout_ms = excluded.idle_timeout_ms, whole_timeout_ms = excluded.whole_timeout_ms,
			max_waiting = excluded.max_waiting, max_wait_ms = excluded.max_wait_ms
		WHERE provider_config.* IS DISTINCT FROM excluded.*`,
		p.ID, p.Name, p.Protocol, p.BaseURL, p.KeyEnv, p.Keyless, p.Enabled, p.AllowPrivate,
		int64(p.MaxConcurrency), p.Timeouts.ConnectMS, p.Timeouts.FirstTokenMS, p.Timeouts.IdleMS, p.Timeouts.WholeMS, int64(p.MaxWaiting), p.MaxWaitMS)
	return err
}

func saveModel(ctx context.Context, tx pgx.Tx, m catalog.Model) error {
	texts, err := documents(m.Capabilities, m.Aliases, m.Rules, m.Substitutes)
	if err != nil {
		return err
	}
	_, err = exec(ctx, tx, `
		INSERT INTO onemind.ai_models (id, provider_id, upstream_id, name, state, context_window, max_output_tokens,
			capabilities, aliases, parameter_rules, substitutes, retires_on)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9::text::jsonb, $10::text::jsonb, $11::text::jsonb, $12)
		ON CONFLICT (id) DO UPDATE SET provider_id = excluded.provider_id, upstream_id = excluded.upstream_id, name = excluded.name,
			state = excluded.state, context_window = excluded.context_window, max_output_tokens = excluded.max_output_tokens,
			capabilities = excluded.capabilities, aliases = excluded.aliases, parameter_rules = excluded.parameter_rules,
			substitutes = excluded.substitutes, retires_on = excluded.retires_on
		WHERE ai_models.* IS DISTINCT FROM excluded.*`,
		m.ID, m.Provider, m.Upstream, m.Name, string(m.State), m.ContextWindow, m.MaxOutput, texts[0], texts[1], texts[2], texts[3], m.RetiresOn)
	return err
}

// savePrice adds a price version, or checks that it is the one stored already.
func savePrice(ctx context.Context, tx pgx.Tx, versions map[string]pricedModel, model string, p catalog.Price) error {
	if stored, found := versions[p.Version]; found {
		if stored.model != model || stored.price.Rates != p.Rates || !stored.price.EffectiveAt.Equal(cut(p.EffectiveAt)) {
			return fmt.Errorf("price version %s is stored with another content, and immutable", p.Version)
		}
		return nil
	}
	_, err := exec(ctx, tx, `
		INSERT INTO onemind.ai_model_prices (model_id, version, input_nano_usd, cached_input_nano_usd, cache_write_nano_usd, output_nano_usd,
			reasoning_nano_usd, per_request_nano_usd, per_image_nano_usd, effective_at, source, as_of, author, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		model, p.Version, int64(p.Rates.Input), int64(p.Rates.CachedInput), int64(p.Rates.CacheWrite), int64(p.Rates.Output), int64(p.Rates.Reasoning),
		int64(p.Rates.Request), int64(p.Rates.Image), instant(p.EffectiveAt), p.Source, p.AsOf, p.Author, instant(p.CreatedAt))
	return err
}

func saveSystem(ctx context.Context, tx pgx.Tx, d catalog.Document) error {
	if _, err := exec(ctx, tx, `DELETE FROM onemind.system_config`); err != nil {
		return err
	}
	const insert = `INSERT INTO onemind.system_config (section, name, value) VALUES ($1, $2, $3::text::jsonb)`
	for _, p := range d.Plans {
		text, err := document(p)
		if err != nil {
			return err
		}
		if _, err := exec(ctx, tx, insert, "plan", p.ID, text); err != nil {
			return err
		}
	}
	values, err := d.Settings.Rows()
	if err != nil {
		return err
	}
	for name, value := range values {
		if _, err := exec(ctx, tx, insert, "settings", name, cleanJSON(string(value))); err != nil {
			return err
		}
	}
	return nil
}
