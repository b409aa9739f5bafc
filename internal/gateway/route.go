package gateway

import (
	"slices"

	"onemind/internal/catalog"
	"onemind/internal/fault"
	"onemind/internal/llm"
)

// route finds where a call goes and whether it may: the model that was asked for
// and those that may stand in for it. A model whose provider is not set up is
// stood in for from the start.
func (e *Engine) route(snap *catalog.Snapshot, c *Call) (*Ticket, error) {
	t := &Ticket{engine: e, call: *c, revision: snap.Revision, started: e.options.Now()}
	asked, err := snap.Route(c.Model)
	if err == nil {
		if err := e.suits(snap, c, asked); err != nil {
			return nil, err
		}
		t.asked, t.routes = asked, []*catalog.Route{asked}
	} else if !fault.Is(err, fault.Unavailable) {
		return nil, err
	}
	others, wrong := e.substitutes(snap, c, asked)
	if wrong != nil {
		return nil, wrong
	}
	t.routes = append(t.routes, others...)
	if len(t.routes) == 0 {
		return nil, err
	}
	t.served = t.routes[0]
	return t, nil
}

// suits tells whether a model may and can take the call.
func (e *Engine) suits(snap *catalog.Snapshot, c *Call, route *catalog.Route) error {
	model := route.Model
	if !snap.PlanAllows(c.Plan, model.ID) {
		return fault.New(fault.Forbidden, "model_not_in_plan", "Your plan does not include the model %s.", model.ID)
	}
	if special := route.Capabilities & llm.Special; special&^c.Request.Op.Needed() != 0 {
		f := fault.New(fault.Invalid, "unsupported_capability", "The model %s cannot do this: it is for %v only.", model.ID, special.Names())
		f.Field = "model"
		return f
	}
	if missing := c.Request.Needs &^ route.Capabilities; missing != 0 {
		f := fault.New(fault.Invalid, "unsupported_capability", "The model %s cannot do what this request needs: %v.", model.ID, missing.Names())
		f.Field = "model"
		return f
	}
	if n := c.Request.Native; n != nil && len(n.Only) > 0 && n.Protocol != route.Provider.Protocol {
		f := fault.New(fault.Invalid, "unsupported_parameter", "'%s' is not supported by the model %s.", n.Only[0], model.ID)
		f.Field = n.Only[0]
		return f
	}
	if input := e.input(c.Request, model.ContextWindow); input > model.ContextWindow {
		return fault.New(fault.TooLarge, "context_length_exceeded", "The request has about %d tokens; %s can read %d.", input, model.ID, model.ContextWindow)
	}
	return nil
}

// input is the request's length in tokens: the high estimate where that fits
// into room, else our count, which costs a tokenizer.
func (e *Engine) input(req *llm.Request, room int64) int64 {
	if req.InputTokens <= room || req.Op != llm.Chat || e.options.Counter == nil {
		return req.InputTokens
	}
	return min(req.InputTokens, e.options.Counter.Input(req.Body))
}

// substitutes lists what may answer in place of the model that was asked for:
// what the caller names, else what the catalog does. A name of the caller's that
// is not known is an error; a model that cannot take the call is left out.
func (e *Engine) substitutes(snap *catalog.Snapshot, c *Call, asked *catalog.Route) ([]*catalog.Route, error) {
	names := c.Substitutes
	if names == nil {
		if asked != nil {
			names = asked.Model.Substitutes
		} else if m := snap.Model(c.Model); m != nil {
			names = m.Substitutes
		}
	}
	var list []*catalog.Route
	for _, name := range names {
		route, err := snap.Route(name)
		if err != nil {
			if c.Substitutes != nil && fault.Is(err, fault.NotFound) {
				f := fault.From(err)
				f.Field = "models"
				return nil, f
			}
			continue
		}
		known := func(r *catalog.Route) bool { return r.Model.ID == route.Model.ID }
		if asked != nil && known(asked) || slices.ContainsFunc(list, known) || e.suits(snap, c, route) != nil {
			continue
		}
		list = append(list, route)
	}
	return list, nil
}
