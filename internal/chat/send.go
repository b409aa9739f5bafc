package chat

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"onemind/internal/catalog"
	"onemind/internal/fault"
	"onemind/internal/gateway"
	"onemind/internal/limit"
	"onemind/internal/money"
)

// Prompt is what a person sends to some models.
type Prompt struct {
	User         string
	Plan         catalog.Plan // what applies to the user
	RequestID    string
	Key          string // idempotency key
	Conversation string // empty: a new one
	Text         string
	Models       []string
	Images       []string // data URLs
	System       string
	MaxTokens    int64
	MaxCost      money.Amount // for all models together
	Temperature  *float64
	RetryOf      string
	Substitutes  []string // models that may answer when one of Models cannot; nil: the catalog's, empty: none
}

// Bounds of a prompt.
const (
	MaxPrompt = 1 << 20 // bytes of text
	MaxImages = 20
	maxKey    = 255 // bytes of an idempotency key
)

func (p *Prompt) check() error {
	switch {
	case strings.TrimSpace(p.Text) == "" && len(p.Images) == 0:
		return fault.Field("prompt", "must not be empty")
	case len(p.Text) > MaxPrompt:
		return fault.Field("prompt", "must be at most %d bytes", MaxPrompt)
	case strings.ContainsRune(p.Text, 0):
		return fault.Field("prompt", "must not contain a null character")
	case len(p.Models) == 0 || len(p.Models) > MaxModels:
		return fault.Field("models", "must name 1 to %d models", MaxModels)
	case len(p.Images) > MaxImages:
		return fault.Field("images", "must be at most %d", MaxImages)
	case p.MaxTokens < 0:
		return fault.Field("max_tokens", "must not be negative")
	case p.MaxCost < 0:
		return fault.Field("max_cost_nano_usd", "must not be negative")
	case p.Temperature != nil && (*p.Temperature < 0 || *p.Temperature > 2):
		return fault.Field("temperature", "must be between 0 and 2")
	case len(p.Key) > maxKey:
		return fault.Field("Idempotency-Key", "must have at most %d bytes", maxKey)
	}
	for i, image := range p.Images {
		head, data, _ := strings.Cut(image, ",")
		if !strings.HasPrefix(head, "data:image/") || !strings.HasSuffix(head, ";base64") || data == "" {
			return fault.Field(fmt.Sprintf("images[%d]", i), "must be a data:image/…;base64,… URL")
		}
	}
	if len(p.Substitutes) > MaxModels {
		return fault.Field("substitutes", "must name at most %d models", MaxModels)
	}
	for i, m := range p.Models {
		if slices.Index(p.Models, m) != i {
			return fault.Field(fmt.Sprintf("models[%d]", i), "names %s a second time", m)
		}
	}
	return nil
}

// digest tells one request from another under the same idempotency key.
func (p *Prompt) digest() string {
	said := []any{p.Conversation, p.Text, p.Models, p.Images, p.System, p.MaxTokens, p.MaxCost, p.Temperature, p.RetryOf}
	if p.Substitutes != nil { // newer than stored digests: what does not name it keeps its own
		said = append(said, p.Substitutes)
	}
	b, _ := json.Marshal(said) //nolint:errchkjson // strings and numbers only
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Sent is what became of a prompt.
type Sent struct {
	Run     Run
	Created bool          // false: the idempotency key had made this run before
	Verdict limit.Verdict // for rate-limit headers
}

// Send puts a prompt to its models. It returns once the run is stored and its
// answers are admitted; they stream on whether anybody watches or not. The same
// idempotency key gives the same run, however many devices send it at once. A run of
// which no answer could be admitted is not stored: the error says why.
func (c *Chats) Send(ctx context.Context, p Prompt) (Sent, error) {
	if err := p.check(); err != nil {
		return Sent{}, err
	}
	if p.Key == "" {
		return c.send(ctx, p)
	}
	first := false
	sent, err, _ := c.sends.Do(p.User+"\x00"+p.Key, func() (any, error) {
		first = true
		return c.send(context.WithoutCancel(ctx), p)
	})
	if err != nil {
		return Sent{}, err
	}
	s, _ := sent.(Sent)
	s.Created = s.Created && first
	if s.Run.Digest != p.digest() {
		return Sent{}, ErrReused
	}
	return s, nil
}

func (c *Chats) send(ctx context.Context, p Prompt) (Sent, error) {
	if p.Key != "" {
		run, err := c.Store.RunByKey(ctx, p.User, p.Key)
		if err == nil {
			live, err := c.Run(ctx, p.User, run.ID)
			return Sent{Run: live}, err
		}
		if !errors.Is(err, ErrNoRun) {
			return Sent{}, fmt.Errorf("look up the idempotency key: %w", err)
		}
	}
	run, fresh, err := c.draft(ctx, p)
	if err != nil {
		return Sent{}, err
	}
	calls, err := c.calls(ctx, p, run)
	if err != nil {
		return Sent{}, err
	}
	adm, err := c.Engine.Admit(ctx, calls...)
	if err == nil && len(adm.Refused) == len(calls) {
		err = adm.Refused[0].Err
	}
	if err != nil {
		return Sent{}, err
	}
	for _, refusal := range adm.Refused {
		run.Answers[refusal.Index].fail(refusal.Err)
	}
	stored, created, err := c.Store.CreateRun(ctx, run, fresh)
	if err != nil || !created {
		cancel(ctx, adm.Tickets)
		return Sent{Run: stored, Verdict: adm.Verdict}, err
	}
	live, err := c.start(ctx, stored, adm.Tickets)
	if err != nil {
		return Sent{}, err
	}
	if fresh != nil {
		c.Renamed(p.User, *fresh)
	}
	return Sent{Run: live, Created: true, Verdict: adm.Verdict}, nil
}

func cancel(ctx context.Context, tickets []*gateway.Ticket) {
	for _, t := range tickets {
		if t != nil {
			t.Cancel(ctx)
		}
	}
}

// draft makes the run and, for a first prompt, its conversation; nothing is stored.
func (c *Chats) draft(ctx context.Context, p Prompt) (Run, *Conversation, error) {
	now := time.Now()
	run := Run{ID: c.NewID("run"), Conversation: p.Conversation, User: p.User, Key: p.Key, Digest: p.digest(), Owner: c.Owner,
		Prompt: p.Text, Images: p.Images, System: p.System, MaxTokens: p.MaxTokens, MaxCost: p.MaxCost, Temperature: p.Temperature,
		RetryOf: p.RetryOf, CreatedAt: now}
	snap := c.Catalog.Snapshot()
	for _, model := range p.Models {
		name := model
		if route, err := snap.Route(model); err == nil {
			name = route.Model.Name
		} else if m := snap.Model(model); m != nil {
			name = m.Name
		}
		run.Answers = append(run.Answers, Answer{ID: c.NewID("ans"), Run: run.ID, Model: model, ModelName: name, State: Waiting, CreatedAt: now})
	}
	if p.Conversation != "" {
		_, err := c.Store.Conversation(ctx, p.User, p.Conversation)
		return run, nil, err
	}
	fresh := &Conversation{ID: c.NewID("conv"), User: p.User, Title: titleOf(p.Text), CreatedAt: now, UpdatedAt: now, Models: p.Models}
	run.Conversation = fresh.ID
	return run, fresh, nil
}

// calls makes one gateway call per answer, each with the history its model sees.
func (c *Chats) calls(ctx context.Context, p Prompt, run Run) ([]gateway.Call, error) {
	var history []Run
	if p.Conversation != "" {
		var err error
		if history, err = c.Store.Runs(ctx, p.User, p.Conversation); err != nil {
			return nil, err
		}
	}
	share := money.Amount(0)
	if p.MaxTokens == 0 && len(run.Answers) > 1 {
		b, err := c.Ledger.Balance(ctx, p.User)
		if err != nil {
			return nil, fmt.Errorf("read the balance: %w", err)
		}
		share = max(0, b.Available()) / money.Amount(len(run.Answers))
	}
	cache := p.Plan.ResponseCache || c.Catalog.Snapshot().Settings.ResponseCache
	calls := make([]gateway.Call, len(run.Answers))
	for i, a := range run.Answers {
		substitutes := c.substitutes(p, a.Model)
		req, err := c.Parse(requestBody(p, a.Model, history))
		if err != nil {
			return nil, fmt.Errorf("build the request for %s: %w", a.Model, err)
		}
		calls[i] = gateway.Call{ID: a.ID, RequestID: p.RequestID, User: p.User, Run: run.ID, Plan: p.Plan, Model: a.Model,
			Substitutes: substitutes, Cache: cache, Request: req, MaxCost: p.MaxCost / money.Amount(len(run.Answers)), Share: share}
	}
	return calls, nil
}

// substitutes orders what may stand in for a model: those the run does not ask
// anyway come first, because people want answers that differ.
func (c *Chats) substitutes(p Prompt, model string) []string {
	list := p.Substitutes
	if list == nil {
		m := c.Catalog.Snapshot().Model(model)
		if m == nil || len(m.Substitutes) == 0 {
			return nil
		}
		list = m.Substitutes
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b string) int {
		asked := func(m string) int {
			if slices.Contains(p.Models, m) {
				return 1
			}
			return 0
		}
		return asked(a) - asked(b)
	})
	return list
}

// Retry asks one answer's model again, as a run of its own in the same conversation.
func (c *Chats) Retry(ctx context.Context, p Prompt, runID, answerID string) (Sent, error) {
	run, err := c.Run(ctx, p.User, runID)
	if err != nil {
		return Sent{}, err
	}
	a := run.answer(answerID)
	if a == nil {
		return Sent{}, ErrNoAnswer
	}
	p.Conversation, p.Text, p.Images, p.System = run.Conversation, run.Prompt, run.Images, run.System
	p.MaxTokens, p.Temperature, p.RetryOf = run.MaxTokens, run.Temperature, answerID
	if len(p.Models) == 0 {
		p.Models = []string{a.Model}
	}
	return c.Send(ctx, p)
}

// fail marks an answer as refused or failed.
func (a *Answer) fail(err error) {
	f := fault.From(err)
	a.State, a.ErrorCode, a.ErrorText, a.RetryAfter = Failed, f.Code, f.Text, int64((f.Retry+time.Second-1)/time.Second)
	switch f.Kind {
	case fault.Limited, fault.Upstream, fault.Unavailable, fault.Timeout, fault.Internal:
		a.Retryable = true
	}
}
