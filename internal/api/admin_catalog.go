package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/fault"
	"onemind/internal/gateway"
	"onemind/internal/llm"
	"onemind/internal/money"
)

// editor says who changes the catalog.
func (s *Server) editor(r *http.Request, note string) catalog.Editor {
	return catalog.Editor{Actor: userOf(r), Address: addressOf(r), Note: note}
}

// baseOf reads the revision an edit was made from: If-Match, as sent in ETag.
func baseOf(r *http.Request) (int64, error) {
	tag := r.Header.Get("If-Match")
	if tag == "" {
		return 0, fault.New(fault.Required, "if_match_required", "Send If-Match with the ETag you read, so that nobody's change is lost.")
	}
	n, ok := atoi(strings.Trim(strings.TrimPrefix(tag, "W/"), `"`))
	if !ok || n < 1 {
		return 0, fault.Field("If-Match", "must be an ETag of this catalog, such as \"412\"")
	}
	return n, nil
}

func tag(w http.ResponseWriter, revision int64) {
	w.Header().Set("ETag", `"`+itoa(revision)+`"`)
	w.Header().Set("X-Onemind-Revision", itoa(revision))
}

type adminModel struct {
	ID            string        `json:"id"`
	Provider      string        `json:"provider"`
	Upstream      string        `json:"upstream_id"`
	Name          string        `json:"name"`
	State         catalog.State `json:"state"`
	ContextWindow int64         `json:"context_window"`
	MaxOutput     int64         `json:"max_output_tokens"`
	Capabilities  []string      `json:"capabilities"`
	Aliases       []string      `json:"aliases"`
	Substitutes   []string      `json:"substitutes"` // ids of models that may answer when this one cannot, in order
	RetiresOn     string        `json:"retires_on"`  // day the provider takes it away, such as 2027-03-31; empty: not announced
	Rules         llm.Rules     `json:"parameter_rules"`
	Prices        *money.Rates  `json:"prices,omitempty"` // the provider's, without markup
	Version       string        `json:"price_version,omitempty"`
	Source        string        `json:"price_source,omitempty"`
	AsOf          string        `json:"price_as_of,omitempty"`
	Revision      int64         `json:"revision,omitempty"`
}

func adminModelOf(m catalog.Model, revision int64) adminModel {
	out := adminModel{ID: m.ID, Provider: m.Provider, Upstream: m.Upstream, Name: m.Name, State: m.State, ContextWindow: m.ContextWindow,
		MaxOutput: m.MaxOutput, Capabilities: notNil(m.Capabilities), Aliases: notNil(m.Aliases), Substitutes: notNil(m.Substitutes),
		RetiresOn: m.RetiresOn, Rules: m.Rules, Revision: revision}
	if p, ok := m.PriceAt(time.Now()); ok {
		out.Prices, out.Version, out.Source, out.AsOf = &p.Rates, p.Version, p.Source, p.AsOf
	}
	return out
}

func (s *Server) adminModels(w http.ResponseWriter, _ *http.Request) error {
	snap := s.Catalog.Snapshot()
	out := page[adminModel]{Items: []adminModel{}}
	for _, m := range snap.Document().Models {
		out.Items = append(out.Items, adminModelOf(m, snap.Revision))
	}
	tag(w, snap.Revision)
	return send(w, http.StatusOK, out)
}

// model puts what was sent over a row. Prices that differ become a new version.
func (in adminModel) model(d *catalog.Draft) error {
	m := catalog.Model{ID: in.ID, Provider: in.Provider, Upstream: in.Upstream, Name: in.Name, State: in.State, ContextWindow: in.ContextWindow,
		MaxOutput: in.MaxOutput, Capabilities: in.Capabilities, Aliases: in.Aliases, Substitutes: in.Substitutes, RetiresOn: in.RetiresOn, Rules: in.Rules}
	if m.State == "" {
		m.State = catalog.Active
	}
	if m.Name == "" {
		m.Name = m.ID
	}
	if m.Upstream == "" {
		m.Upstream = m.ID
	}
	var current money.Rates
	if old := d.Model(in.ID); old != nil {
		m.Prices = old.Prices
		if p, ok := old.PriceAt(time.Now()); ok {
			current = p.Rates
		}
	}
	d.PutModel(m)
	if in.Prices != nil && (len(m.Prices) == 0 || *in.Prices != current) {
		return d.SetPrice(in.ID, *in.Prices, time.Now(), in.Source)
	}
	return nil
}

func (s *Server) createModel(w http.ResponseWriter, r *http.Request) error {
	var in adminModel
	if err := decode(w, r, &in); err != nil {
		return err
	}
	rev, err := s.Catalog.Edit(r.Context(), s.editor(r, "add model "+in.ID), 0, func(d *catalog.Draft) error {
		if d.Model(in.ID) != nil {
			return fault.New(fault.Conflict, "model_exists", "There is a model %s already.", in.ID)
		}
		return in.model(d)
	})
	return s.sendModel(w, http.StatusCreated, in.ID, rev, err)
}

func (s *Server) sendModel(w http.ResponseWriter, status int, id string, rev catalog.Revision, err error) error {
	if err != nil {
		return err
	}
	tag(w, rev.Number)
	for _, m := range rev.Models {
		if m.ID == id {
			return send(w, status, adminModelOf(m, rev.Number))
		}
	}
	return catalog.ErrNotFound
}

func (s *Server) updateModel(w http.ResponseWriter, r *http.Request) error {
	base, err := baseOf(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	rev, err := s.Catalog.Edit(r.Context(), s.editor(r, "change model "+id), base, func(d *catalog.Draft) error {
		old := d.Model(id)
		if old == nil {
			return catalog.ErrNotFound
		}
		in := adminModelOf(*old, 0)
		in.Prices = clone(in.Prices)
		in.Source = ""
		in.Rules = rulesBelow(body, in.Rules)
		if err := decodeBytes(body, &in); err != nil {
			return err
		}
		if in.ID != id {
			return fault.Field("id", "cannot be changed: add a model and remove this one")
		}
		return in.model(d)
	})
	return s.sendModel(w, http.StatusOK, id, rev, err)
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// rulesBelow gives the rules that a body is read over. When it names any they are
// one value: what it leaves out of them, a member of a map too, is gone.
func rulesBelow(body []byte, old llm.Rules) llm.Rules {
	var named struct {
		Rules json.RawMessage `json:"parameter_rules"`
	}
	if json.Unmarshal(body, &named) == nil && named.Rules != nil {
		return llm.Rules{}
	}
	return old
}

func (s *Server) deleteModel(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	_, err := s.Catalog.Edit(r.Context(), s.editor(r, "remove model "+id), 0, func(d *catalog.Draft) error {
		if d.Model(id) == nil {
			return catalog.ErrNotFound
		}
		d.RemoveModel(id)
		return nil
	})
	if err != nil {
		return err
	}
	return none(w)
}

type priceVersion struct {
	Version     string      `json:"version"`
	Prices      money.Rates `json:"prices"`
	EffectiveAt time.Time   `json:"effective_at"`
	Source      string      `json:"source"`
	Author      string      `json:"author"`
	CreatedAt   time.Time   `json:"created_at"`
	Current     bool        `json:"current"`
}

func pricesOf(m catalog.Model) page[priceVersion] {
	out := page[priceVersion]{Items: []priceVersion{}}
	current, _ := m.PriceAt(time.Now())
	for i := len(m.Prices) - 1; i >= 0; i-- {
		p := m.Prices[i]
		out.Items = append(out.Items, priceVersion{p.Version, p.Rates, p.EffectiveAt, p.Source, p.Author, p.CreatedAt, p.Version == current.Version})
	}
	return out
}

func (s *Server) listPrices(w http.ResponseWriter, r *http.Request) error {
	for _, m := range s.Catalog.Snapshot().Document().Models {
		if m.ID == r.PathValue("id") {
			return send(w, http.StatusOK, pricesOf(m))
		}
	}
	return catalog.ErrNotFound
}

func (s *Server) addPrice(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Prices      money.Rates `json:"prices"`
		EffectiveAt *time.Time  `json:"effective_at"`
		Source      string      `json:"source"`
	}
	if err := decode(w, r, &in); err != nil {
		return err
	}
	at := time.Now()
	if in.EffectiveAt != nil {
		if in.EffectiveAt.Before(at.Add(-time.Minute)) {
			return fault.Field("effective_at", "must not be in the past: what was charged stays charged")
		}
		at = *in.EffectiveAt
	}
	id := r.PathValue("id")
	rev, err := s.Catalog.Edit(r.Context(), s.editor(r, "price of "+id), 0, func(d *catalog.Draft) error {
		if d.Model(id) == nil {
			return catalog.ErrNotFound
		}
		return d.SetPrice(id, in.Prices, at, in.Source)
	})
	if err != nil {
		return err
	}
	for _, m := range rev.Models {
		if m.ID == id {
			tag(w, rev.Number)
			return send(w, http.StatusCreated, pricesOf(m).Items[0])
		}
	}
	return catalog.ErrNotFound
}

type adminKey struct {
	ID        string    `json:"id"`
	Last4     string    `json:"last4"`
	CreatedAt time.Time `json:"created_at"`
}

type adminTimeouts struct {
	Connect    string `json:"connect"`
	FirstToken string `json:"first_token"`
	Idle       string `json:"idle"`
	Whole      string `json:"whole"`
}

type adminProvider struct {
	ID             string         `json:"id"`
	Name           string         `json:"name"`
	Protocol       string         `json:"protocol"`
	BaseURL        string         `json:"base_url"`
	Enabled        bool           `json:"enabled"`
	Keyless        bool           `json:"keyless,omitempty"`
	KeyEnv         string         `json:"api_key_env,omitempty"`
	APIKeys        *[]string      `json:"api_keys,omitempty"` // written only
	Keys           []adminKey     `json:"keys,omitempty"`
	NeedsKey       bool           `json:"needs_key,omitempty"`
	AllowPrivate   bool           `json:"allow_private_address"`
	MaxConcurrency int            `json:"max_concurrency"`
	MaxWaiting     int            `json:"max_waiting"` // answers that may wait for a place; 0: the default
	MaxWait        string         `json:"max_wait"`    // how long one waits at most, such as 30s; empty: the default
	Timeouts       *adminTimeouts `json:"timeouts,omitempty"`
	Revision       int64          `json:"revision,omitempty"`
}

func adminProviderOf(snap *catalog.Snapshot, p catalog.Provider) adminProvider {
	text := func(ms int64) string {
		if ms == 0 {
			return ""
		}
		return (time.Duration(ms) * time.Millisecond).String()
	}
	out := adminProvider{ID: p.ID, Name: p.Name, Protocol: p.Protocol, BaseURL: p.BaseURL, Enabled: p.Enabled, Keyless: p.Keyless, KeyEnv: p.KeyEnv,
		AllowPrivate: p.AllowPrivate, MaxConcurrency: p.MaxConcurrency, MaxWaiting: p.MaxWaiting, MaxWait: text(p.MaxWaitMS), Keys: []adminKey{}, Revision: snap.Revision,
		Timeouts: &adminTimeouts{text(p.Timeouts.ConnectMS), text(p.Timeouts.FirstTokenMS), text(p.Timeouts.IdleMS), text(p.Timeouts.WholeMS)},
		NeedsKey: snap.NeedsKey(p.ID)}
	for _, k := range snap.Keys(p.ID) {
		out.Keys = append(out.Keys, adminKey{k.ID, k.Last4, k.CreatedAt})
	}
	return out
}

func (s *Server) adminProviders(w http.ResponseWriter, _ *http.Request) error {
	snap := s.Catalog.Snapshot()
	out := page[adminProvider]{Items: []adminProvider{}}
	for _, p := range snap.Document().Providers {
		out.Items = append(out.Items, adminProviderOf(snap, p))
	}
	tag(w, snap.Revision)
	return send(w, http.StatusOK, out)
}

// provider puts what was sent over a row; keys are replaced when they are named.
func (in adminProvider) provider(d *catalog.Draft) error {
	p := catalog.Provider{ID: in.ID, Name: in.Name, Protocol: in.Protocol, BaseURL: strings.TrimRight(in.BaseURL, "/"), KeyEnv: in.KeyEnv, Keyless: in.Keyless,
		Enabled: in.Enabled, AllowPrivate: in.AllowPrivate, MaxConcurrency: in.MaxConcurrency, MaxWaiting: in.MaxWaiting}
	if p.Name == "" {
		p.Name = p.ID
	}
	t := in.Timeouts
	if t == nil {
		t = &adminTimeouts{}
	}
	for _, v := range []struct {
		field, text string
		to          *int64
	}{{"timeouts.connect", t.Connect, &p.Timeouts.ConnectMS}, {"timeouts.first_token", t.FirstToken, &p.Timeouts.FirstTokenMS},
		{"timeouts.idle", t.Idle, &p.Timeouts.IdleMS}, {"timeouts.whole", t.Whole, &p.Timeouts.WholeMS}, {"max_wait", in.MaxWait, &p.MaxWaitMS}} {
		if v.text == "" {
			continue
		}
		d, err := time.ParseDuration(v.text)
		if err != nil || d <= 0 || d > time.Hour {
			return fault.Field(v.field, "must be a duration above zero, such as 30s, of at most an hour")
		}
		*v.to = d.Milliseconds()
	}
	d.PutProvider(p)
	if in.APIKeys != nil {
		d.SetKeys(p.ID, *in.APIKeys)
	}
	return nil
}

func (s *Server) sendProvider(w http.ResponseWriter, status int, id string, rev catalog.Revision, err error) error {
	if err != nil {
		return err
	}
	tag(w, rev.Number)
	snap := s.Catalog.Snapshot()
	for _, p := range snap.Document().Providers {
		if p.ID == id {
			return send(w, status, adminProviderOf(snap, p))
		}
	}
	return catalog.ErrNotFound
}

func (s *Server) createProvider(w http.ResponseWriter, r *http.Request) error {
	var in adminProvider
	if err := decode(w, r, &in); err != nil {
		return err
	}
	rev, err := s.Catalog.Edit(r.Context(), s.editor(r, "add provider "+in.ID), 0, func(d *catalog.Draft) error {
		if d.Provider(in.ID) != nil {
			return fault.New(fault.Conflict, "provider_exists", "There is a provider %s already.", in.ID)
		}
		return in.provider(d)
	})
	return s.sendProvider(w, http.StatusCreated, in.ID, rev, err)
}

func (s *Server) updateProvider(w http.ResponseWriter, r *http.Request) error {
	base, err := baseOf(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	rev, err := s.Catalog.Edit(r.Context(), s.editor(r, "change provider "+id), base, func(d *catalog.Draft) error {
		old := d.Provider(id)
		if old == nil {
			return catalog.ErrNotFound
		}
		in := adminProviderOf(s.Catalog.Snapshot(), *old)
		if err := decodeBytes(body, &in); err != nil {
			return err
		}
		if in.ID != id {
			return fault.Field("id", "cannot be changed: add a provider and remove this one")
		}
		return in.provider(d)
	})
	return s.sendProvider(w, http.StatusOK, id, rev, err)
}

func (s *Server) deleteProvider(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	_, err := s.Catalog.Edit(r.Context(), s.editor(r, "remove provider "+id), 0, func(d *catalog.Draft) error {
		if d.Provider(id) == nil {
			return catalog.ErrNotFound
		}
		d.RemoveProvider(id)
		return nil
	})
	if err != nil {
		return err
	}
	return none(w)
}

func (s *Server) testProvider(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Model string `json:"model,omitempty"`
	}
	if r.ContentLength != 0 {
		if err := decode(w, r, &in); err != nil {
			return err
		}
	}
	probe, err := s.Engine.Test(r.Context(), r.PathValue("id"), in.Model)
	if err != nil {
		return err
	}
	result := TestResult{OK: probe.Err == nil, Model: probe.Model, LatencyMS: probe.Latency.Milliseconds()}
	if probe.Err != nil {
		result.Code, result.Message = gateway.Words(probe.Err)
	}
	return send(w, http.StatusOK, result)
}
