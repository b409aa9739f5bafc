package chat

import (
	"context"
	"fmt"
	"strings"

	"onemind/internal/fault"
	"onemind/internal/gateway"
	"onemind/internal/money"
)

// Estimate is what a run would cost.
type Estimate struct {
	Items     []ModelEstimate `json:"items"`
	Min       money.Amount    `json:"min_nano_usd"`
	Max       money.Amount    `json:"max_nano_usd"`
	Available money.Amount    `json:"available_nano_usd"`
}

// ModelEstimate is one model's part.
type ModelEstimate struct {
	Model     string       `json:"model"`
	Min       money.Amount `json:"min_nano_usd"`
	Max       money.Amount `json:"max_nano_usd"`
	Input     int64        `json:"input_tokens"`
	MaxOutput int64        `json:"max_output_tokens"`
	Code      string       `json:"code,omitempty"` // why this model cannot be asked
	Message   string       `json:"message,omitempty"`
}

// Estimate prices a prompt for its models without sending it. A model that
// cannot be asked says so in its part.
func (c *Chats) Estimate(ctx context.Context, p Prompt) (Estimate, error) {
	checked := p
	if strings.TrimSpace(p.Text) == "" {
		p.Text, checked.Text = " ", "?" // nothing is written yet
	}
	if err := checked.check(); err != nil {
		return Estimate{}, err
	}
	var history []Run
	if p.Conversation != "" {
		if _, err := c.Store.Conversation(ctx, p.User, p.Conversation); err != nil {
			return Estimate{}, err
		}
		var err error
		if history, err = c.Store.Runs(ctx, p.User, p.Conversation); err != nil {
			return Estimate{}, err
		}
	}
	balance, err := c.Ledger.Balance(ctx, p.User)
	if err != nil {
		return Estimate{}, fmt.Errorf("read the balance: %w", err)
	}
	out := Estimate{Items: []ModelEstimate{}, Available: balance.Available()}
	for _, model := range p.Models {
		item := ModelEstimate{Model: model}
		req, err := c.Parse(requestBody(p, model, history))
		if err != nil {
			return Estimate{}, err
		}
		e, err := c.Engine.Estimate(gateway.Call{User: p.User, Plan: p.Plan, Model: model, Request: req, MaxCost: p.MaxCost / money.Amount(len(p.Models))})
		if err != nil {
			f := fault.From(err)
			item.Code, item.Message = f.Code, f.Text
		} else {
			item.Min, item.Max, item.Input, item.MaxOutput = e.Min, e.Max, e.Input, e.Output
			out.Min += e.Min
			out.Max += e.Max
		}
		out.Items = append(out.Items, item)
	}
	return out, nil
}
