package sqlite

import (
	"encoding/json"
	"fmt"

	"onemind/internal/catalog"
	"onemind/internal/money"
)

// document puts the rows together, each kind sorted by id.
func document(c *conn) (d catalog.Document, err error) {
	if d.Providers, err = list(c, provider, `
		SELECT id, name, protocol, base_url, api_key_env, keyless, enabled, allow_private_address, max_concurrency,
			connect_timeout_ms, first_token_timeout_ms, idle_timeout_ms, whole_timeout_ms, max_waiting, max_wait_ms
		FROM provider_config ORDER BY id`); err != nil {
		return d, err
	}
	if d.Models, err = list(c, model, `
		SELECT id, provider_id, upstream_id, name, state, context_window, max_output_tokens, capabilities, aliases, parameter_rules, substitutes, retires_on
		FROM ai_models ORDER BY id`); err != nil {
		return d, err
	}
	if err := readPrices(c, d.Models); err != nil {
		return d, err
	}
	if d.Plans, err = list(c, func(r *row) catalog.Plan {
		var p catalog.Plan
		id := r.text()
		r.json(&p)
		p.ID = id
		return p
	}, `SELECT name, value FROM system_config WHERE section = 'plan' ORDER BY name`); err != nil {
		return d, err
	}
	values := map[string]json.RawMessage{}
	if err := c.query(func(r *row) error {
		values[r.text()] = json.RawMessage(r.text())
		return nil
	}, `SELECT name, value FROM system_config WHERE section = 'settings'`); err != nil {
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

const selectPrice = `
	SELECT model_id, version, input_nano_usd, cached_input_nano_usd, cache_write_nano_usd, output_nano_usd, reasoning_nano_usd,
		per_request_nano_usd, per_image_nano_usd, effective_at, source, as_of, author, created_at
	FROM ai_model_prices`

func price(r *row) (model string, p catalog.Price) {
	model = r.text()
	p = catalog.Price{Version: r.text(),
		Rates: money.Rates{Input: r.amount(), CachedInput: r.amount(), CacheWrite: r.amount(), Output: r.amount(), Reasoning: r.amount(),
			Request: r.amount(), Image: r.amount()},
		EffectiveAt: r.time(), Source: r.text(), AsOf: r.text(), Author: r.text(), CreatedAt: r.time()}
	return model, p
}

// readPrices gives each model every price version it ever had, oldest first.
func readPrices(c *conn, models []catalog.Model) error {
	at := make(map[string]int, len(models))
	for i, m := range models {
		at[m.ID] = i
	}
	return c.query(func(r *row) error {
		id, p := price(r)
		if i, ok := at[id]; ok {
			models[i].Prices = append(models[i].Prices, p)
		}
		return nil
	}, selectPrice+` ORDER BY n`)
}

// saveDocument makes the rows what a document says. Providers are changed in
// place, because their keys hang on them.
func saveDocument(c *conn, d catalog.Document) error {
	ids := struct{ providers, models []string }{[]string{}, []string{}}
	for _, p := range d.Providers {
		ids.providers = append(ids.providers, p.ID)
		if _, err := c.exec(`
			INSERT INTO provider_config (id, name, protocol, base_url, api_key_env, keyless, enabled, allow_private_address,
				max_concurrency, connect_timeout_ms, first_token_timeout_ms, idle_timeout_ms, whole_timeout_ms, max_waiting, max_wait_ms)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, protocol = excluded.protocol, base_url = excluded.base_url,
				api_key_env = excluded.api_key_env, keyless = excluded.keyless, enabled = excluded.enabled,
				allow_private_address = excluded.allow_private_address, max_concurrency = excluded.max_concurrency,
				connect_timeout_ms = excluded.connect_timeout_ms, first_token_timeout_ms = excluded.first_token_timeout_ms,
				idle_timeout_ms = excluded.idle_timeout_ms, whole_timeout_ms = excluded.whole_timeout_ms,
				max_waiting = excluded.max_waiting, max_wait_ms = excluded.max_wait_ms`,
			p.ID, p.Name, p.Protocol, p.BaseURL, p.KeyEnv, p.Keyless, p.Enabled, p.AllowPrivate,
			p.MaxConcurrency, p.Timeouts.ConnectMS, p.Timeouts.FirstTokenMS, p.Timeouts.IdleMS, p.Timeouts.WholeMS, p.MaxWaiting, p.MaxWaitMS); err != nil {
			return err
		}
	}
	for _, m := range d.Models {
		ids.models = append(ids.models, m.ID)
		if _, err := c.exec(`
			INSERT OR REPLACE INTO ai_models (id, provider_id, upstream_id, name, state, context_window, max_output_tokens,
				capabilities, aliases, parameter_rules, substitutes, retires_on)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			m.ID, m.Provider, m.Upstream, m.Name, string(m.State), m.ContextWindow, m.MaxOutput, m.Capabilities, m.Aliases, m.Rules,
			m.Substitutes, m.RetiresOn); err != nil {
			return fmt.Errorf("save model %s: %w", m.ID, err)
		}
		for _, p := range m.Prices {
			if err := savePrice(c, m.ID, p); err != nil {
				return err
			}
		}
	}
	if _, err := c.exec(`DELETE FROM ai_models WHERE id NOT IN (SELECT value FROM json_each(?))`, ids.models); err != nil {
		return err
	}
	if _, err := c.exec(`DELETE FROM provider_config WHERE id NOT IN (SELECT value FROM json_each(?))`, ids.providers); err != nil {
		return err
	}
	return saveSystem(c, d)
}

// savePrice adds a price version, or checks that it is the one stored already.
func savePrice(c *conn, model string, p catalog.Price) error {
	var storedModel string
	var stored catalog.Price
	found, err := c.first(func(r *row) { storedModel, stored = price(r) }, selectPrice+` WHERE version = ?`, p.Version)
	if err != nil {
		return err
	}
	if found {
		if storedModel != model || stored.Rates != p.Rates || !stored.EffectiveAt.Equal(instant(p.EffectiveAt)) {
			return fmt.Errorf("price version %s is stored with another content, and immutable", p.Version)
		}
		return nil
	}
	_, err = c.exec(`
		INSERT INTO ai_model_prices (model_id, version, input_nano_usd, cached_input_nano_usd, cache_write_nano_usd, output_nano_usd,
			reasoning_nano_usd, per_request_nano_usd, per_image_nano_usd, effective_at, source, as_of, author, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		model, p.Version, p.Rates.Input, p.Rates.CachedInput, p.Rates.CacheWrite, p.Rates.Output, p.Rates.Reasoning,
		p.Rates.Request, p.Rates.Image, p.EffectiveAt, p.Source, p.AsOf, p.Author, p.CreatedAt)
	return err
}

func saveSystem(c *conn, d catalog.Document) error {
	if _, err := c.exec(`DELETE FROM system_config`); err != nil {
		return err
	}
	const insert = `INSERT INTO system_config (section, name, value) VALUES (?, ?, ?)`
	for _, p := range d.Plans {
		if _, err := c.exec(insert, "plan", p.ID, p); err != nil {
			return err
		}
	}
	values, err := d.Settings.Rows()
	if err != nil {
		return err
	}
	for name, value := range values {
		if _, err := c.exec(insert, "settings", name, string(value)); err != nil {
			return err
		}
	}
	return nil
}
