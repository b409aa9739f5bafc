package api

import (
	"net/http"
	"time"

	"onemind/internal/fleet"
	"onemind/internal/upstream"
)

// upstreamOf is how a provider does, as this instance finds it.
type upstreamOf struct {
	Provider string         `json:"provider"`
	Running  int            `json:"running"`
	Waiting  int            `json:"waiting"`
	Places   int            `json:"places"` // 0: no bound
	Targets  []targetHealth `json:"targets"`
}

// targetHealth is how a model does by one of its provider's keys.
type targetHealth struct {
	Model    string     `json:"model"`
	Key      int        `json:"key"`   // from 1; 0: the provider needs none
	State    string     `json:"state"` // closed, open, half_open
	Cooling  *time.Time `json:"cooling_until,omitempty"`
	Fault    string     `json:"fault,omitempty"`
	Since    *time.Time `json:"since,omitempty"`
	Calls    int        `json:"calls"`    // of the last 30 s
	Failures int        `json:"failures"` // of them
	Detail   string     `json:"detail,omitempty"`
}

// listUpstreams shows queues, keys and breakers.
func (s *Server) listUpstreams(w http.ResponseWriter, _ *http.Request) error {
	out := page[upstreamOf]{Items: []upstreamOf{}}
	for _, h := range s.Engine.Health() {
		u := upstreamOf{Provider: h.Provider, Running: h.Running, Waiting: h.Waiting, Places: h.Places, Targets: []targetHealth{}}
		for _, lane := range h.Lanes {
			u.Targets = append(u.Targets, targetOf(lane))
		}
		out.Items = append(out.Items, u)
	}
	return send(w, http.StatusOK, out)
}

func targetOf(lane upstream.Lane) targetHealth {
	t := targetHealth{Model: lane.Model, Key: lane.Key, State: lane.Breaker.String(), Calls: lane.Calls, Failures: lane.Failed, Detail: lane.LastFailure}
	if !lane.Cooling.IsZero() {
		t.Cooling = &lane.Cooling
	}
	if f := lane.Fault; f != nil {
		t.Fault, t.Since, t.Detail = f.Class.String(), &f.Since, f.Words
	}
	return t
}

// alert is something an operator has to mend, and the instance that met it.
type alert struct {
	fleet.Alert
	Instance string `json:"instance"`
}

// listAlerts shows what the instances met that only an operator can mend: this
// one as it is now, the others as they last said.
func (s *Server) listAlerts(w http.ResponseWriter, r *http.Request) error {
	out := page[alert]{Items: []alert{}}
	for _, a := range s.Engine.Alerts() {
		out.Items = append(out.Items, alert{a, s.Instance})
	}
	for _, i := range s.Instances(r.Context()) {
		if i.Boot == s.Boot {
			continue
		}
		for _, a := range i.Alerts {
			out.Items = append(out.Items, alert{a, i.Name})
		}
	}
	return send(w, http.StatusOK, out)
}
