package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"onemind/internal/account"
	"onemind/internal/api"
	"onemind/internal/catalog"
	"onemind/internal/chat"
	"onemind/internal/credit"
	"onemind/internal/fleet"
	"onemind/internal/gateway"
	"onemind/internal/llm"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/count"
	"onemind/internal/llm/gemini"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/sim"
	"onemind/internal/llm/wire"
	"onemind/internal/replay"
	"onemind/internal/secret"
)

// How often an instance looks for a revision that nobody told it of: made by a
// command or by hand. In one file the question costs microseconds.
const (
	watchFile     = 200 * time.Millisecond
	watchPostgres = 5 * time.Second
)

// books is what every command needs: the stores and the rules over them.
type books struct {
	config   *config
	stores   *stores
	together *together
	log      *slog.Logger
	accounts *account.Accounts
	catalog  *catalog.Catalog
	ledger   *credit.Ledger
	push     *api.Push
	signer   *secret.Signer // of receipts
}

// open opens the books. Only `serve` holds an embedded data directory alone; the
// other commands work beside it.
func open(ctx context.Context, c *config, serving bool) (*books, error) {
	keys, err := c.secretKey(secret.Generate)
	if err != nil {
		return nil, err
	}
	box, err := secret.New(keys)
	if err != nil {
		return nil, fmt.Errorf("ONEMIND_SECRET_KEY: %w", err)
	}
	signer, err := box.Signer(receiptUse)
	if err != nil {
		return nil, fmt.Errorf("derive the key that signs receipts: %w", err)
	}
	log := newLog(c)
	t := newTogether(api.NewID("boot"), log)
	s, err := openStores(ctx, c, serving, t.live, log)
	if err != nil {
		return nil, err
	}
	b := &books{config: c, stores: s, together: t, log: log, push: api.NewPush(), signer: signer}
	t.books, t.stores = b, s
	t.crew = fleet.New(fleet.Config{Self: t.self, Boot: t.boot, Presences: s.presences, Buses: s.buses, Hear: t.hear, Log: log})
	b.ledger = credit.NewLedger(s.database, s.display, t.balanceChanged)
	poll := watchFile
	if c.postgres() {
		poll = watchPostgres
	}
	b.catalog = catalog.New(catalog.Config{Store: s.catalog, Sealer: box, Poll: poll, Env: os.Getenv, Builtin: c.get("ONEMIND_CONFIG_SOURCE") == "builtin",
		Saved: t.saved, OnChange: t.catalogChanged})
	b.accounts = account.New(s.accounts, s.sessions, box.MACs, t.accountChanged, t.fresh)
	if err := b.catalog.Start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("load the catalog: %w", err), s.close())
	}
	return b, nil
}

// close tells what is not told yet and closes the stores.
func (b *books) close() error {
	b.together.last(context.Background())
	return b.stores.close()
}

// parse reads a chat request in the neutral form, for package chat.
func parse(body []byte) (*llm.Request, error) {
	in, err := openai.Parse(body)
	if err != nil {
		return nil, err
	}
	return &in.Request, nil
}

// app is a whole instance.
type app struct {
	*books
	engine  *gateway.Engine
	hub     *replay.Hub
	chats   *chat.Chats
	streams *replay.Streams
	server  *api.Server
	started time.Time

	monthsAhead atomic.Int64 // partitions that are there; see partitions
}

// assemble wires an instance. Every arrow of docs/architecture.md is made here.
func assemble(b *books, started time.Time) (*app, error) {
	page, err := newPage()
	if err != nil {
		return nil, err
	}
	a := &app{books: b, started: started}
	b.together.app = a
	counter := count.New()
	calls := wire.New(wire.Options{UserAgent: "OneMind/" + version})
	dialects := llm.Registry{
		"openai":    openai.New(calls),
		"anthropic": anthropic.New(calls),
		"gemini":    gemini.New(calls),
		"demo":      openai.New(wire.New(wire.Options{Transport: sim.Transport(sim.Demo())})),
	}
	a.engine = gateway.New(b.catalog, b.stores.limits, b.ledger, dialects, gateway.Options{Owner: b.together.boot, Counter: counter,
		Observe: a.observe, Instances: b.together.crew.Live, Replies: b.stores.replies})
	a.hub = replay.NewHub(b.stores.replay)
	chats := chat.Config{Store: b.stores.database, Hub: a.hub, Engine: a.engine, Catalog: b.catalog, Ledger: b.ledger,
		Counter: counter, Parse: parse, Owner: b.together.boot, NewID: api.NewID, Log: b.log,
		Renamed: func(user string, c chat.Conversation) { b.push.Title(user, c.ID, c.Title) }}
	if len(b.stores.buses) > 0 {
		chats.Elsewhere = b.together.stopElsewhere
	}
	a.chats = chat.New(chats)
	streams := replay.StreamsConfig{Hub: a.hub, Owner: b.together.boot, Alive: b.together.crew.Alive, Log: b.log}
	if b.config.alone() {
		streams.Alive = gone
	}
	if len(b.stores.buses) > 0 {
		streams.Watched = func(name string) { b.together.tell(fleet.Signal{Kind: fleet.Reader, Arg: name}) }
	}
	a.streams = replay.NewStreams(streams)
	a.server = api.New(api.Config{Accounts: b.accounts, Catalog: b.catalog, Chats: a.chats, Streams: a.streams, Ledger: b.ledger, Engine: a.engine,
		Limits: b.stores.limits, Web: page, Push: b.push, Log: b.log, Instance: instanceName(b.config), Boot: b.together.boot, Version: version,
		Public: b.config.get("ONEMIND_PUBLIC_URL"), Started: started, Sign: b.signer.Sign, Keys: b.signer.PublicKeys().JWKS(),
		Instances: b.together.crew.Instances})
	return a, nil
}

// observe logs what an operator has to see: failures that are not the user's,
// and settlements that the store refused. Prompts and keys are never logged.
func (a *app) observe(o gateway.Observation) {
	r := o.Receipt
	if !o.Settled {
		a.log.Error("an answer could not be settled yet; it will be repeated", "answer", r.ID, "request_id", r.RequestID)
	}
	if o.Err != nil && r.Outcome != credit.Stopped {
		a.log.Warn("answer failed", "request_id", r.RequestID, "provider", r.Provider, "model", r.ServedBy, "outcome", r.Outcome, "err", o.Err)
	}
}

func instanceName(c *config) string {
	if name := c.get("ONEMIND_INSTANCE"); name != "" {
		return name
	}
	if host, err := os.Hostname(); err == nil {
		return host
	}
	return "onemind"
}

// gone is the answer to "does that owner still serve?" where this process is the
// only one there can be.
func gone(string) bool { return false }

// recover settles and ends what a process that died left open, where this is
// the only process: every other owner is gone. Among several instances that
// takes watching them for a while, which sweep does.
func (a *app) recover(ctx context.Context) error {
	for {
		settled, err := a.engine.Abandoned(ctx, time.Now(), gone, a.chats.Delivered)
		if err != nil {
			return fmt.Errorf("settle what the last process left open: %w", err)
		}
		if settled > 0 {
			a.log.Info("settled holds of an earlier process", "holds", settled)
			continue
		}
		break
	}
	ended, err := a.chats.Recover(ctx, gone)
	if err != nil {
		return fmt.Errorf("end what the last process left running: %w", err)
	}
	if ended > 0 {
		a.log.Info("ended runs of an earlier process", "runs", ended)
	}
	return nil
}
