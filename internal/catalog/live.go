package catalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"onemind/internal/fault"
)

// pollEvery is how often other instances' edits are looked for when nobody
// tells of them. The look is one indexed read of a number.
const pollEvery = 5 * time.Second

// Config is what a Catalog is built from.
type Config struct {
	Store  Store
	Sealer Sealer
	// Env looks up the variables that providers' api_key_env names; nil finds none.
	Env func(string) string
	// Builtin serves the built-in catalog whatever the store holds; edits are refused.
	Builtin bool
	// OnChange is called after a new snapshot is served, one call at a time. It
	// must not edit the catalog.
	OnChange func(*Snapshot)
	// Saved is told of every revision that is made here, right after its commit. It
	// must not block.
	Saved func(number int64)
	// Poll is how often Watch looks for a new revision; 0 means 5 s.
	Poll time.Duration
}

// Catalog serves the newest good revision and makes new ones.
type Catalog struct {
	config   Config
	snapshot atomic.Pointer[Snapshot]
	failure  atomic.Pointer[error] // of following the store
	locked   atomic.Pointer[error] // of opening keys
	nudge    chan struct{}

	mu     sync.Mutex // one edit or load at a time on this instance
	newest Revision   // as stored, good or not: what the next edit starts from
	sealed []SealedKey
}

// New builds a Catalog that serves an empty snapshot until Start.
func New(config Config) *Catalog {
	if config.Poll <= 0 {
		config.Poll = pollEvery
	}
	c := &Catalog{config: config, nudge: make(chan struct{}, 1)}
	c.snapshot.Store(build(0, Document{Plans: []Plan{{}}}, nil))
	return c
}

// Start loads the newest revision. A store that never held one gets the built-in
// document as revision 1.
func (c *Catalog) Start(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.config.Builtin {
		return c.startBuiltin(ctx)
	}
	if err := c.load(ctx); err != nil {
		return err
	}
	if c.newest.Number == 0 {
		if err := c.first(ctx); err != nil && !errors.Is(err, ErrStale) {
			return fmt.Errorf("save the built-in catalog: %w", err)
		}
		if err := c.load(ctx); err != nil { // another instance may have been first
			return err
		}
	}
	err := c.serve()
	if err != nil {
		return c.earlier(ctx, err)
	}
	return nil
}

// earlier serves the newest valid revision before one that is not, because an
// instance that does not start cannot be used to repair it. It gives err back
// when there is none among the last maxPage.
func (c *Catalog) earlier(ctx context.Context, err error) error {
	list, failed := c.config.Store.Revisions(ctx, c.newest.Number, maxPage)
	if failed != nil {
		return errors.Join(err, failed)
	}
	for _, r := range list {
		old, failed := c.config.Store.Revision(ctx, r.Number)
		if failed != nil {
			continue // revisions made in SQL may have no document of their own
		}
		old.Document = old.Document.clone()
		old.tidy()
		if len(check(old.Document)) == 0 {
			c.show(old)
			return nil
		}
	}
	return err
}

// startBuiltin serves the built-in document. Stored keys still count: this is
// the switch for the day the stored catalog is unusable.
func (c *Catalog) startBuiltin(ctx context.Context) error {
	doc, err := Builtin(time.Now())
	if err != nil {
		return err
	}
	c.newest = Revision{Author: "startup", Note: "built-in catalog", At: time.Now(), Document: doc}
	if c.config.Store != nil {
		sealed, err := c.config.Store.Keys(ctx)
		if err != nil {
			c.fail(fmt.Errorf("load the provider keys: %w", err))
		}
		c.sealed = sealed
	}
	return c.serve()
}

// first saves the built-in document as revision 1.
func (c *Catalog) first(ctx context.Context) error {
	now := time.Now()
	doc, err := Builtin(now)
	if err != nil {
		return err
	}
	next := Revision{Number: 1, Author: "startup", Note: "built-in catalog", At: instant(now), Changes: Diff(Document{}, doc), Document: doc}
	audit := Audit{Actor: "startup", Action: "catalog.built_in", Object: "catalog", After: `{"revision":1}`, At: next.At}
	return c.config.Store.Save(ctx, 0, next, nil, []Audit{audit})
}

// load reads the newest revision and the keys. The caller holds mu.
func (c *Catalog) load(ctx context.Context) error {
	newest, err := c.config.Store.Load(ctx)
	if err != nil {
		return fmt.Errorf("load the newest revision: %w", err)
	}
	sealed, err := c.config.Store.Keys(ctx)
	if err != nil {
		return fmt.Errorf("load the provider keys: %w", err)
	}
	newest.Document = newest.Document.clone()
	newest.tidy()
	c.newest, c.sealed = newest, sealed
	return nil
}

// serve makes the newest revision the one that is served, or leaves the old one
// in place and reports why. The caller holds mu.
func (c *Catalog) serve() error {
	if problems := check(c.newest.Document); len(problems) > 0 {
		err := fmt.Errorf("revision %d is not valid, still serving %d: %w", c.newest.Number, c.Snapshot().Revision, problems)
		c.fail(err)
		return err
	}
	c.fail(nil)
	c.show(c.newest)
	return nil
}

// show swaps the snapshot for that of a valid revision. The caller holds mu.
func (c *Catalog) show(rev Revision) {
	rings, locked := openKeys(c.config.Sealer, c.sealed)
	keep(&c.locked, locked)
	fill(rings, rev.Providers, c.config.Env)
	snap := build(rev.Number, rev.Document, rings)
	c.snapshot.Store(snap)
	if c.config.OnChange != nil {
		c.config.OnChange(snap)
	}
}

func (c *Catalog) fail(err error) { keep(&c.failure, err) }

func keep(to *atomic.Pointer[error], err error) {
	if err == nil {
		to.Store(nil)
		return
	}
	to.Store(&err)
}

// Snapshot gives the revision that is served now. It costs one atomic read.
func (c *Catalog) Snapshot() *Snapshot { return c.snapshot.Load() }

// LastError is why the newest revision is not served, or which keys cannot be
// opened; nil when all is well.
func (c *Catalog) LastError() error {
	var all []error
	for _, p := range []*atomic.Pointer[error]{&c.failure, &c.locked} {
		if err := p.Load(); err != nil {
			all = append(all, *err)
		}
	}
	return errors.Join(all...)
}

// Nudge makes Watch look at once. It never waits.
func (c *Catalog) Nudge() {
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}

// Watch serves what other instances save, until ctx ends. A revision that fails
// to load or to validate leaves the old one in place and is reported by LastError.
func (c *Catalog) Watch(ctx context.Context) error {
	ticker := time.NewTicker(c.config.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-c.nudge:
		}
		if err := c.follow(ctx); err != nil && ctx.Err() == nil {
			c.fail(err)
		}
	}
}

// follow serves the store's newest revision if it is not served yet.
func (c *Catalog) follow(ctx context.Context) error {
	if c.config.Builtin {
		return nil
	}
	number, err := c.config.Store.Newest(ctx)
	if err != nil {
		return fmt.Errorf("look for a new revision: %w", err)
	}
	if number == c.Snapshot().Revision {
		c.fail(nil)
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx); err != nil {
		return err
	}
	if c.newest.Number <= c.Snapshot().Revision { // an edit here was faster
		return nil
	}
	return c.serve()
}

// maxPage bounds a list.
const maxPage = 200

// Revisions lists revisions newest first without documents, below a number (0: all).
func (c *Catalog) Revisions(ctx context.Context, below int64, limit int) ([]Revision, error) {
	return c.config.Store.Revisions(ctx, below, min(max(limit, 1), maxPage))
}

// Revision gives one revision with its document, or ErrNotFound.
func (c *Catalog) Revision(ctx context.Context, number int64) (Revision, error) {
	return c.config.Store.Revision(ctx, number)
}

// Audit records an act of an operator that is no catalog change, such as
// "user.suspend".
func (c *Catalog) Audit(ctx context.Context, a Audit) error {
	if a.Actor == "" || a.Action == "" {
		return fault.New(fault.Internal, "audit_incomplete", "An audit row needs an actor and an action.")
	}
	if a.At.IsZero() {
		a.At = time.Now()
	}
	return c.config.Store.Record(ctx, a)
}

// AuditLog lists audit rows newest first, below an id (0: all).
func (c *Catalog) AuditLog(ctx context.Context, below int64, limit int) ([]Audit, error) {
	return c.config.Store.AuditLog(ctx, below, min(max(limit, 1), maxPage))
}
