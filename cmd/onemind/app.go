package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"onemind/internal/account"
	"onemind/internal/api"
	"onemind/internal/catalog"
	"onemind/internal/chat"
	"onemind/internal/credit"
	"onemind/internal/gateway"
	"onemind/internal/llm"
	"onemind/internal/llm/count"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/sim"
	"onemind/internal/memory"
	"onemind/internal/replay"
	"onemind/internal/secret"
	"onemind/internal/sqlite"
)

// watchEvery is how often an instance looks for a revision made beside it: by a
// command, or by hand. In one file the question costs microseconds.
const watchEvery = 200 * time.Millisecond

// books is what every command needs: the stores and the rules over them.
type books struct {
	config   *config
	db       *sqlite.DB
	accounts *account.Accounts
	catalog  *catalog.Catalog
	ledger   *credit.Ledger
	push     *api.Push
}

// open opens the books. Only `serve` holds the data directory alone; the other
// commands work beside it.
func open(ctx context.Context, c *config, serving bool) (*books, error) {
	keys, err := c.secretKey(secret.Generate)
	if err != nil {
		return nil, err
	}
	box, err := secret.New(keys)
	if err != nil {
		return nil, fmt.Errorf("ONEMIND_SECRET_KEY: %w", err)
	}
	opener := sqlite.OpenBeside
	if serving {
		opener = sqlite.Open
	}
	db, err := opener(ctx, c.database())
	if err != nil {
		return nil, err
	}
	b := &books{config: c, db: db, push: api.NewPush()}
	b.ledger = credit.NewLedger(db, b.push.Balance)
	b.catalog = catalog.New(catalog.Config{Store: db.Catalog(), Sealer: box, Poll: watchEvery, Env: os.Getenv, Builtin: c.get("ONEMIND_CONFIG_SOURCE") == "builtin",
		OnChange: func(s *catalog.Snapshot) { b.push.Catalog(s.Revision) }})
	if err := b.catalog.Start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("load the catalog: %w", err), db.Close())
	}
	b.accounts = account.New(db, db, box.MACs, func(e account.Ended) {
		if e.KeyID == "" {
			b.push.End(e.User, e.SessionHash)
		}
	})
	return b, nil
}

func (b *books) close() error { return b.db.Close() }

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
	engine *gateway.Engine
	hub    *replay.Hub
	chats  *chat.Chats
	server *api.Server
	log    *slog.Logger
	boot   string
}

// assemble wires an instance. Every arrow of docs/architecture.md is made here.
func assemble(b *books, log *slog.Logger, started time.Time) (*app, error) {
	page, err := newPage()
	if err != nil {
		return nil, err
	}
	a := &app{books: b, log: log, boot: api.NewID("boot")}
	counter := count.New()
	limits := memory.NewLimiter()
	dialects := llm.Registry{
		"openai": openai.New(openai.Options{UserAgent: "OneMind/" + version}),
		"demo":   openai.New(openai.Options{Transport: sim.Transport(sim.Demo())}),
	}
	a.engine = gateway.New(b.catalog, limits, b.ledger, dialects, gateway.Options{Owner: a.boot, Counter: counter, Observe: a.observe})
	a.hub = replay.NewHub(b.db)
	a.chats = chat.New(chat.Config{Store: b.db, Hub: a.hub, Events: b.db, Engine: a.engine, Catalog: b.catalog, Ledger: b.ledger,
		Counter: counter, Parse: parse, Owner: a.boot, NewID: api.NewID, Log: log,
		Renamed: func(user string, c chat.Conversation) { b.push.Title(user, c.ID, c.Title) }})
	a.server = api.New(api.Config{Accounts: b.accounts, Catalog: b.catalog, Chats: a.chats, Ledger: b.ledger, Engine: a.engine,
		Limits: limits, Web: page, Push: b.push, Log: log, Instance: instanceName(b.config), Version: version,
		Public: b.config.get("ONEMIND_PUBLIC_URL"), Started: started})
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

// recover settles and ends what a process that died left open. The embedded
// store belongs to one process, so every other owner is gone.
func (a *app) recover(ctx context.Context) error {
	gone := func(string) bool { return false }
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
