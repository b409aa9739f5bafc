package gateway

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/fleet"
	"onemind/internal/llm"
	"onemind/internal/upstream"
)

// Health tells how providers do, as this instance finds them.
func (e *Engine) Health() []upstream.Health { return e.ways.Health() }

// Alerts lists what an operator has to mend, as this instance finds it.
func (e *Engine) Alerts() []fleet.Alert {
	list := e.retiring(e.options.Now())
	for _, h := range e.ways.Health() {
		for _, lane := range h.Lanes {
			if f := lane.Fault; f != nil {
				list = addAlert(list, faultAlert(h.Provider, lane, f))
			}
			if lane.Breaker == upstream.Open {
				list = addAlert(list, fleet.Alert{ID: h.Provider + "/" + lane.Model + "/failing", Severity: "warning", Code: "provider_failing", Provider: h.Provider, Model: lane.Model,
					Text:   fmt.Sprintf("%s of %s fails so often that it is left alone for a while; other models stand in where the catalog names some.", lane.Model, h.Provider),
					Detail: lane.LastFailure, Since: lane.Used, Last: lane.Used, Count: max(lane.Failed, 1)})
			}
		}
	}
	return list
}

// retiringSoon is how long before its last day a model is an operator's business.
const retiringSoon = 30 * 24 * time.Hour

// retiring lists the models in use that their provider takes away.
func (e *Engine) retiring(now time.Time) []fleet.Alert {
	list := []fleet.Alert{}
	snap := e.catalog.Snapshot()
	for _, m := range snap.Document().Models {
		day, err := time.Parse(time.DateOnly, m.RetiresOn)
		if err != nil || snap.NeedsKey(m.Provider) || m.State == catalog.Disabled || day.Sub(now) > retiringSoon {
			continue
		}
		list = append(list, fleet.Alert{ID: m.Provider + "/" + m.ID + "/retiring", Severity: "warning", Code: "model_retiring", Provider: m.Provider, Model: m.ID,
			Text:  fmt.Sprintf("%s takes %s away on %s. Name its successor as a substitute, and disable it.", m.Provider, m.ID, m.RetiresOn),
			Since: day.Add(-retiringSoon), Last: now, Count: 1})
	}
	return list
}

// addAlert adds an alert, or counts it to the one of the same trouble.
func addAlert(list []fleet.Alert, a fleet.Alert) []fleet.Alert {
	i := slices.IndexFunc(list, func(b fleet.Alert) bool { return a.ID == b.ID })
	if i < 0 {
		return append(list, a)
	}
	b := &list[i]
	b.Count = max(b.Count, a.Count)
	if a.Since.Before(b.Since) {
		b.Since = a.Since
	}
	if a.Last.After(b.Last) {
		b.Last, b.Detail = a.Last, a.Detail
	}
	return list
}

// faultAlert says an operator's fault in a sentence.
func faultAlert(provider string, lane upstream.Lane, f *upstream.Fault) fleet.Alert {
	key := "its key"
	if lane.Key > 0 {
		key = "key " + strconv.Itoa(lane.Key)
	}
	a := fleet.Alert{ID: provider + "/" + key + "/" + f.Class.String(), Severity: "error", Code: f.Class.String(), Provider: provider,
		Detail: f.Words, Since: f.Since, Last: f.Last, Count: f.Count}
	switch f.Class {
	case llm.BadKey:
		a.Text = fmt.Sprintf("%s refuses %s. Replace it on the page of providers.", provider, key)
	case llm.NoQuota:
		a.Text = fmt.Sprintf("The account of %s at %s is out of credit, or its billing is off. Top it up there.", key, provider)
	case llm.WrongAddress:
		a.ID = provider + "/" + f.Class.String()
		a.Text = fmt.Sprintf("%s has nothing at the address where it was asked for %s. Correct its base URL or, if that model lacks one capability only, take that away.", provider, lane.Model)
	default:
		a.ID, a.Model = provider+"/"+lane.Model+"/"+f.Class.String(), lane.Model
		a.Text = fmt.Sprintf("%s does not know the model behind %s. Correct its upstream id, or disable the model.", provider, lane.Model)
	}
	return a
}

// Edited clears what is held against providers that a new revision changes: an
// operator who put in a new key need not wait.
func (e *Engine) Edited(before, after *catalog.Snapshot) {
	for _, p := range after.Document().Providers {
		if before == nil || !before.SameProvider(after, p.ID) {
			e.ways.Forget(p.ID)
		}
	}
}
