package main

import (
	"testing"

	"onemind/internal/llm/sim"
)

// A key's cap of a day and its use of the response cache are set when it is made
// and changed by its owner alone; an operator caps a user; providers, models and
// plans have the fields that go with it.
func TestCapsAndCatalogFields(t *testing.T) {
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"m": {Pieces: 5}, "n": {Pieces: 5}}}, "m", "n")
	root, ann, bob := in.user("root", "admin", "0"), in.user("ann", "user", "100"), in.user("bob", "user", "100")

	type key struct {
		ID, Key, Name string
		Day           int64 `json:"credits_per_day_nano_usd"`
		Cache         bool  `json:"response_cache"`
	}
	var made, changed key
	ann.app("POST", "/api/keys", map[string]any{"name": "ci", "credits_per_day_nano_usd": 50_000_000, "response_cache": true}).want(201).into(&made)
	if made.Key == "" || made.Day != 50_000_000 || !made.Cache {
		t.Errorf("made %+v", made)
	}
	ann.app("PATCH", "/api/keys/"+made.ID, map[string]any{"credits_per_day_nano_usd": 7}).want(200).into(&changed)
	if changed.Key != "" || changed.Day != 7 || !changed.Cache || changed.Name != "ci" {
		t.Errorf("changed %+v", changed)
	}
	ann.app("PATCH", "/api/keys/"+made.ID, map[string]any{"name": "CI 2", "response_cache": false}).want(200)
	var list struct{ Items []key }
	ann.app("GET", "/api/keys", nil).want(200).into(&list)
	found := false
	for _, k := range list.Items {
		found = found || k.ID == made.ID && k.Name == "CI 2" && k.Day == 7 && !k.Cache && k.Key == ""
	}
	if !found {
		t.Errorf("listed %+v", list.Items)
	}
	bob.app("PATCH", "/api/keys/"+made.ID, map[string]any{"name": "mine"}).want(404)
	ann.app("PATCH", "/api/keys/"+made.ID, map[string]any{"credits_per_day_nano_usd": -1}).want(422)
	ann.app("PATCH", "/api/keys/"+made.ID, map[string]any{"user_id": "x"}).want(422)
	ann.app("POST", "/api/keys", map[string]any{"name": "x", "credits_per_day_nano_usd": 1 << 60}).want(422)

	var user struct{ Limits map[string]int64 }
	root.app("PATCH", "/api/admin/users/"+ann.id, map[string]any{"limits": map[string]any{"credits_per_day_nano_usd": 30_000_000}}).want(200).into(&user)
	if user.Limits["credits_per_day_nano_usd"] != 30_000_000 {
		t.Errorf("limits %+v", user.Limits)
	}
	root.app("PATCH", "/api/admin/users/"+ann.id, map[string]any{"limits": map[string]any{"credits_per_day_nano_usd": -1}}).want(422)

	tag := func() string { return root.app("GET", "/api/admin/plans", nil).header.Get("ETag") }
	patch := func(path string, body map[string]any) *reply { return root.app("PATCH", path, body, "If-Match", tag()) }
	var plan struct {
		Cache bool `json:"response_cache"`
	}
	patch("/api/admin/plans/default", map[string]any{"response_cache": true}).want(200).into(&plan)
	if !plan.Cache {
		t.Error("the plan's response cache is off")
	}
	var providers struct{ Items []struct{ ID string } }
	root.app("GET", "/api/admin/providers", nil).want(200).into(&providers)
	address := "/api/admin/providers/" + providers.Items[0].ID
	var provider struct {
		Waiting int    `json:"max_waiting"`
		Wait    string `json:"max_wait"`
		Waits   struct {
			First string `json:"first_token"`
			Whole string
		} `json:"timeouts"`
	}
	patch(address, map[string]any{"max_waiting": 40, "max_wait": "2.5s"}).want(200)
	patch(address, map[string]any{"max_concurrency": 9}).want(200).into(&provider)
	if provider.Waiting != 40 || provider.Wait != "2.5s" {
		t.Errorf("provider %+v", provider)
	}
	patch(address, map[string]any{"timeouts": map[string]string{"first_token": "20s", "whole": "90s"}}).want(200)
	patch(address, map[string]any{"timeouts": map[string]string{"first_token": "30s"}}).want(200).into(&provider)
	if provider.Waits.First != "30s" || provider.Waits.Whole != "1m30s" {
		t.Errorf("provider %+v", provider)
	}
	patch(address, map[string]any{"timeouts": map[string]string{"whole": ""}}).want(200).into(&provider)
	if provider.Waits.Whole != "" { // the default
		t.Errorf("provider %+v", provider)
	}
	patch(address, map[string]any{"timeouts": map[string]string{"whole": "61m"}}).want(422)
	patch(address, map[string]any{"max_wait": "soon"}).want(422)
	patch(address, map[string]any{"max_waiting": 100_001}).want(422)

	type bounds struct{ Min, Max float64 }
	var model struct {
		Substitutes []string
		Retires     string `json:"retires_on"`
		Rules       struct {
			Clamp     map[string]bounds
			Set       map[string]string
			Reasoning string
			Bills     bool `json:"cancel_bills"`
		} `json:"parameter_rules"`
	}
	patch("/api/admin/models/m", map[string]any{"substitutes": []string{"n"}, "retires_on": "2027-03-31", "parameter_rules": map[string]any{
		"clamp": map[string]any{"temperature": bounds{0, 1}, "top_p": bounds{0.1, 0.9}}, "set": map[string]string{"a": "1", "b": "2"}, "reasoning": "budget", "cancel_bills": true}}).want(200)
	patch("/api/admin/models/m", map[string]any{"name": "M"}).want(200).into(&model)
	if len(model.Substitutes) != 1 || model.Retires != "2027-03-31" || len(model.Rules.Clamp) != 2 || model.Rules.Reasoning != "budget" || !model.Rules.Bills {
		t.Errorf("model %+v", model)
	}
	model.Rules.Clamp, model.Rules.Set = nil, nil
	patch("/api/admin/models/m", map[string]any{"parameter_rules": map[string]any{"clamp": map[string]any{"top_p": bounds{0, 1}}, "set": map[string]string{"b": "2"}}}).want(200).into(&model)
	if len(model.Rules.Clamp) != 1 || len(model.Rules.Set) != 1 {
		t.Errorf("what was left out of the rules stays: %+v", model.Rules)
	}
	patch("/api/admin/models/m", map[string]any{"substitutes": []string{"m"}}).want(422)
	root.app("DELETE", "/api/admin/models/n", nil).want(422) // m names it
	var models struct {
		Items []struct {
			ID      string
			Retires string `json:"retires_on"`
		}
	}
	ann.app("GET", "/api/models", nil).want(200).into(&models)
	for _, m := range models.Items {
		if (m.ID == "m") != (m.Retires == "2027-03-31") {
			t.Errorf("listed %+v", m)
		}
	}
}

// What is refused of a Responses request is named in its own words, wherever it is refused.
func TestResponsesNameTheirParameters(t *testing.T) {
	refusal := `{"error":{"message":"Unsupported value.","type":"invalid_request_error","param":"reasoning_effort","code":"unsupported_value"}}`
	in := newInstance(t, sim.Options{Scripts: map[string]sim.Script{"plain": {Status: 400, Body: refusal}}}, "plain")
	p := in.user("ann", "user", "1000")
	reply := p.sdk("POST", "/v1/responses", map[string]any{"model": "plain", "input": "Hello.", "reasoning": map[string]any{"effort": "high"}})
	var v struct {
		Error struct{ Param, Type, Code string }
	}
	reply.into(&v)
	if reply.status/100 != 4 || v.Error.Param != "reasoning.effort" || v.Error.Type != "invalid_request_error" {
		t.Errorf("%d %s", reply.status, reply.body)
	}
}
