package api

import (
	"net/http"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/fault"
	"onemind/internal/money"
)

type adminPlan struct {
	catalog.Plan
	Models   []string `json:"models"`
	Revision int64    `json:"revision,omitempty"`
}

func adminPlanOf(p catalog.Plan, revision int64) adminPlan {
	return adminPlan{p, notNil(p.Models), revision}
}

func (in adminPlan) plan() catalog.Plan {
	p := in.Plan
	p.Models = in.Models
	return p
}

func (s *Server) adminPlans(w http.ResponseWriter, _ *http.Request) error {
	snap := s.Catalog.Snapshot()
	out := page[adminPlan]{Items: []adminPlan{}}
	for _, p := range snap.Document().Plans {
		out.Items = append(out.Items, adminPlanOf(p, snap.Revision))
	}
	tag(w, snap.Revision)
	return send(w, http.StatusOK, out)
}

func (s *Server) sendPlan(w http.ResponseWriter, status int, id string, rev catalog.Revision, err error) error {
	if err != nil {
		return err
	}
	tag(w, rev.Number)
	for _, p := range rev.Plans {
		if p.ID == id {
			return send(w, status, adminPlanOf(p, rev.Number))
		}
	}
	return catalog.ErrNotFound
}

func (s *Server) createPlan(w http.ResponseWriter, r *http.Request) error {
	var in adminPlan
	if err := decode(w, r, &in); err != nil {
		return err
	}
	rev, err := s.Catalog.Edit(r.Context(), s.editor(r, "add plan "+in.ID), 0, func(d *catalog.Draft) error {
		if d.Plan(in.ID) != nil {
			return fault.New(fault.Conflict, "plan_exists", "There is a plan %s already.", in.ID)
		}
		d.PutPlan(in.plan())
		return nil
	})
	return s.sendPlan(w, http.StatusCreated, in.ID, rev, err)
}

func (s *Server) updatePlan(w http.ResponseWriter, r *http.Request) error {
	base, err := baseOf(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	rev, err := s.Catalog.Edit(r.Context(), s.editor(r, "change plan "+id), base, func(d *catalog.Draft) error {
		old := d.Plan(id)
		if old == nil {
			return catalog.ErrNotFound
		}
		in := adminPlanOf(*old, 0)
		if err := decodeBytes(body, &in); err != nil {
			return err
		}
		if in.ID != id {
			return fault.Field("id", "cannot be changed: add a plan and remove this one")
		}
		d.PutPlan(in.plan())
		return nil
	})
	return s.sendPlan(w, http.StatusOK, id, rev, err)
}

func (s *Server) deletePlan(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	_, err := s.Catalog.Edit(r.Context(), s.editor(r, "remove plan "+id), 0, func(d *catalog.Draft) error {
		if d.Plan(id) == nil {
			return catalog.ErrNotFound
		}
		d.RemovePlan(id)
		return nil
	})
	if err != nil {
		return err
	}
	return none(w)
}

// adminSettings are the settings as people say them: percent and credits.
type adminSettings struct {
	MarkupPercent           decimal `json:"markup_percent"`
	DefaultPlan             string  `json:"default_plan"`
	SignupCredits           decimal `json:"signup_credits"`
	SignupEnabled           bool    `json:"signup_enabled"`
	GlobalRequestsPerMinute int64   `json:"global_requests_per_minute"`
	ResponseCache           bool    `json:"response_cache"`
	Revision                int64   `json:"revision,omitempty"`
}

// decimal is an exact decimal number: its JSON text is kept as it is.
type decimal string

// UnmarshalJSON takes a number or a string of one.
func (d *decimal) UnmarshalJSON(b []byte) error {
	text := string(b)
	if len(text) > 1 && text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	if _, err := money.ParseCredits(text); err != nil {
		return fault.New(fault.Unprocessable, "invalid_field", "%s must be a decimal number.", text)
	}
	*d = decimal(text)
	return nil
}

// MarshalJSON writes the number.
func (d decimal) MarshalJSON() ([]byte, error) { return []byte(d), nil }

// percent is a percentage in a decimal's scale: 1 is 10,000,000 units, a basis
// point 100,000 of them.
const basisPoint = money.Credit / 100

func adminSettingsOf(s catalog.Settings, revision int64) adminSettings {
	return adminSettings{decimal((money.Amount(s.Markup) * basisPoint).Credits()), s.DefaultPlan, decimal(s.SignupCredits.Credits()), s.SignupEnabled,
		s.GlobalRequestsPerMinute, s.ResponseCache, revision}
}

func (in adminSettings) settings() (catalog.Settings, error) {
	markup, err := money.ParseCredits(string(in.MarkupPercent))
	if err != nil || markup%basisPoint != 0 {
		return catalog.Settings{}, fault.Field("markup_percent", "must be a percentage with at most two digits after the point")
	}
	signup, err := money.ParseCredits(string(in.SignupCredits))
	if err != nil {
		return catalog.Settings{}, fault.Field("signup_credits", "must be a number of credits")
	}
	return catalog.Settings{Markup: int64(markup / basisPoint), DefaultPlan: in.DefaultPlan, SignupCredits: signup, SignupEnabled: in.SignupEnabled,
		GlobalRequestsPerMinute: in.GlobalRequestsPerMinute, ResponseCache: in.ResponseCache}, nil
}

func (s *Server) getSettings(w http.ResponseWriter, _ *http.Request) error {
	snap := s.Catalog.Snapshot()
	tag(w, snap.Revision)
	return send(w, http.StatusOK, adminSettingsOf(snap.Settings, snap.Revision))
}

func (s *Server) updateSettings(w http.ResponseWriter, r *http.Request) error {
	base, err := baseOf(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	rev, err := s.Catalog.Edit(r.Context(), s.editor(r, "change settings"), base, func(d *catalog.Draft) error {
		in := adminSettingsOf(d.Settings, 0)
		if err := decodeBytes(body, &in); err != nil {
			return err
		}
		d.Settings, err = in.settings()
		return err
	})
	if err != nil {
		return err
	}
	tag(w, rev.Number)
	return send(w, http.StatusOK, adminSettingsOf(rev.Settings, rev.Number))
}

type revision struct {
	Revision  int64            `json:"revision"`
	Author    string           `json:"author"`
	Note      string           `json:"note"`
	CreatedAt time.Time        `json:"created_at"`
	Changes   int              `json:"changes"`
	Current   bool             `json:"current"`
	Detail    []catalog.Change `json:"detail,omitempty"`
	YAML      string           `json:"yaml,omitempty"`
}

func (s *Server) revisionOf(r *http.Request, rev catalog.Revision) revision {
	author := rev.Author
	if u, err := s.Accounts.User(r.Context(), author); err == nil {
		author = u.Email
	}
	return revision{Revision: rev.Number, Author: author, Note: rev.Note, CreatedAt: rev.At, Changes: len(rev.Changes), Current: rev.Number == s.Catalog.Snapshot().Revision}
}

func (s *Server) listRevisions(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	below, err := cursorOf(r)
	if err != nil {
		return err
	}
	list, err := s.Catalog.Revisions(r.Context(), below, limit)
	if err != nil {
		return err
	}
	out := page[revision]{Items: []revision{}}
	for _, rev := range list {
		out.Items = append(out.Items, s.revisionOf(r, rev))
	}
	if len(list) == limit {
		out.Next = itoa(list[len(list)-1].Number)
	}
	return send(w, http.StatusOK, out)
}

// numbered loads the revision a path names.
func (s *Server) numbered(r *http.Request, name string) (catalog.Revision, error) {
	n, ok := atoi(r.PathValue(name))
	if !ok || n < 1 {
		return catalog.Revision{}, fault.Field(name, "must be the number of a revision")
	}
	return s.Catalog.Revision(r.Context(), n)
}

func (s *Server) getRevision(w http.ResponseWriter, r *http.Request) error {
	rev, err := s.numbered(r, "n")
	if err != nil {
		return err
	}
	out := s.revisionOf(r, rev)
	yaml, err := catalog.ExportYAML(rev.Document)
	if err != nil {
		return err
	}
	out.YAML, out.Detail = string(yaml), rev.Changes
	return send(w, http.StatusOK, out)
}

func (s *Server) diffRevisions(w http.ResponseWriter, r *http.Request) error {
	a, err := s.numbered(r, "a")
	if err != nil {
		return err
	}
	b, err := s.numbered(r, "b")
	if err != nil {
		return err
	}
	changes := catalog.Diff(a.Document, b.Document)
	if changes == nil {
		changes = []catalog.Change{}
	}
	return send(w, http.StatusOK, map[string]any{"from": a.Number, "to": b.Number, "changes": changes})
}

func (s *Server) rollback(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Note string `json:"note,omitempty"`
	}
	if r.ContentLength != 0 {
		if err := decode(w, r, &in); err != nil {
			return err
		}
	}
	old, err := s.numbered(r, "n")
	if err != nil {
		return err
	}
	if in.Note == "" {
		in.Note = "roll back to revision " + itoa(old.Number)
	}
	rev, err := s.Catalog.Rollback(r.Context(), s.editor(r, in.Note), old.Number)
	if err != nil {
		return err
	}
	tag(w, rev.Number)
	return send(w, http.StatusCreated, s.revisionOf(r, rev))
}
