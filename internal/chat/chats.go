package chat

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"onemind/internal/catalog"
	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/gateway"
	"onemind/internal/llm"
	"onemind/internal/replay"
)

// Config is what Chats needs.
type Config struct {
	Store   Store
	Hub     *replay.Hub
	Engine  *gateway.Engine
	Catalog *catalog.Catalog
	Ledger  *credit.Ledger
	Counter gateway.Counter
	Parse   func(body []byte) (*llm.Request, error) // reads a chat request in the neutral form
	Owner   string                                  // boot id of this instance
	NewID   func(prefix string) string
	Log     *slog.Logger
	Renamed func(user string, c Conversation) // a conversation got its title or changed it
	// Elsewhere asks whichever instance serves a run to stop it, or one answer of
	// it; nil: there is no other instance.
	Elsewhere func(ctx context.Context, run, answer string)
}

// Chats is the rules of conversations and runs.
type Chats struct {
	Config
	mu     sync.Mutex
	live   map[string]*liveRun // runs this instance serves
	closed bool
	runs   sync.WaitGroup
	sends  singleflight.Group
	base   context.Context // ends when runs have to give up
	giveUp context.CancelFunc
}

// New builds Chats.
func New(c Config) *Chats {
	base, giveUp := context.WithCancel(context.Background())
	return &Chats{Config: c, live: map[string]*liveRun{}, base: base, giveUp: giveUp}
}

// Shutdown refuses new runs and waits for those under way until ctx ends; what
// is left then is stopped and settled as stopped.
func (c *Chats) Shutdown(ctx context.Context) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	replay.Drain(ctx, &c.runs, c.giveUp)
}

// Title bounds.
const (
	titleRunes    = 50  // of a title made from the first prompt
	maxTitleRunes = 200 // of a title given by a person
)

func titleOf(prompt string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(prompt), "\n")
	line = strings.Join(strings.Fields(line), " ")
	if r := []rune(line); len(r) > titleRunes {
		return strings.TrimSpace(string(r[:titleRunes])) + "…"
	}
	return line
}

// Create starts an empty conversation.
func (c *Chats) Create(ctx context.Context, user, title string, now time.Time) (Conversation, error) {
	title, err := checkTitle(title)
	if err != nil {
		return Conversation{}, err
	}
	conv := Conversation{ID: c.NewID("conv"), User: user, Title: title, CreatedAt: now, UpdatedAt: now}
	return conv, c.Store.CreateConversation(ctx, conv)
}

func checkTitle(title string) (string, error) {
	title = strings.Join(strings.Fields(title), " ")
	if len([]rune(title)) > maxTitleRunes {
		return "", fault.Field("title", "must have at most %d characters", maxTitleRunes)
	}
	return title, nil
}

// Update renames or pins a conversation; nil leaves a field.
func (c *Chats) Update(ctx context.Context, user, id string, title *string, pinned *bool) (Conversation, error) {
	conv, err := c.Store.Conversation(ctx, user, id)
	if err != nil {
		return conv, err
	}
	if title != nil {
		if conv.Title, err = checkTitle(*title); err != nil {
			return conv, err
		}
	}
	if pinned != nil {
		conv.Pinned = *pinned
	}
	if err := c.Store.UpdateConversation(ctx, conv); err != nil {
		return conv, err
	}
	c.Renamed(user, conv)
	return conv, nil
}

// Delete removes a conversation; its runs are stopped first.
func (c *Chats) Delete(ctx context.Context, user, id string) error {
	runs, err := c.Store.Runs(ctx, user, id)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if err := c.end(ctx, user, r); err != nil {
			return err
		}
	}
	return c.Store.DeleteConversation(ctx, user, id)
}

// endWithin is how long another instance may take to end a run.
const endWithin = 5 * time.Second

// end stops a run and waits until it is over.
func (c *Chats) end(ctx context.Context, user string, r Run) error {
	if l := c.liveRun(r.ID); l != nil {
		l.stop("")
		select {
		case <-l.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !r.FinishedAt.IsZero() || c.Elsewhere == nil {
		return nil
	}
	c.Elsewhere(ctx, r.ID, "")
	within, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	err := c.Follow(within, user, r.ID, replay.Reader{Every: endWithin, Emit: func([]replay.Event) error { return nil }, Idle: func() error { return nil }})
	if ctx.Err() == nil && (within.Err() != nil || errors.Is(err, replay.ErrGone)) {
		return nil // it may be an instance that died: nobody writes on
	}
	return err
}

// List gives a page of conversations and the next cursor.
func (c *Chats) List(ctx context.Context, user string, p Page) ([]Conversation, string, error) {
	return c.Store.Conversations(ctx, user, p)
}

// Conversation gives a conversation with its runs, oldest first, live ones with
// what they have delivered until now.
func (c *Chats) Conversation(ctx context.Context, user, id string) (Conversation, []Run, error) {
	conv, err := c.Store.Conversation(ctx, user, id)
	if err != nil {
		return conv, nil, err
	}
	runs, err := c.Store.Runs(ctx, user, id)
	if err != nil {
		return conv, nil, err
	}
	for i := range runs {
		if runs[i], err = c.current(ctx, runs[i]); err != nil {
			return conv, nil, err
		}
	}
	return conv, runs, nil
}

// Run gives one run of the user, live or stored.
func (c *Chats) Run(ctx context.Context, user, id string) (Run, error) {
	if l := c.liveRun(id); l != nil {
		if run := l.snapshot(); run.User == user {
			return run, nil
		}
		return Run{}, ErrNoRun
	}
	run, err := c.Store.Run(ctx, user, id)
	if err != nil {
		return run, err
	}
	return c.current(ctx, run)
}

// current is a stored run with what was delivered until now: one that is still
// written, here or by another instance, has no text in the store yet.
func (c *Chats) current(ctx context.Context, run Run) (Run, error) {
	if l := c.liveRun(run.ID); l != nil {
		return l.snapshot(), nil
	}
	if run.FinishedAt.IsZero() {
		if err := c.replay(ctx, &run); err != nil {
			c.Log.Warn("a run is shown without what was delivered", "run", run.ID, "err", err) // its readers get it from the events
		}
	}
	return run, nil
}

// Follow passes the events of the user's run above a number to the reader; see
// replay.Hub. When the log is not kept any more it reports replay.ErrGone.
func (c *Chats) Follow(ctx context.Context, user, run string, r replay.Reader) error {
	if l := c.liveRun(run); l == nil || l.snapshot().User != user {
		if _, err := c.Store.Run(ctx, user, run); err != nil {
			return err
		}
	}
	r.Running = func(ctx context.Context) (bool, error) {
		if c.liveRun(run) != nil {
			return true, nil
		}
		stored, err := c.Store.Run(ctx, user, run)
		return stored.FinishedAt.IsZero(), err
	}
	return c.Hub.Follow(ctx, run, r)
}

// Stop ends one answer of a run, or all when answer is empty. The provider's
// connection is closed and the unspent hold released. Stopping what has ended changes nothing.
func (c *Chats) Stop(ctx context.Context, user, run, answer string) (Run, error) {
	r, err := c.Run(ctx, user, run)
	if err != nil {
		return r, err
	}
	if answer != "" && r.answer(answer) == nil {
		return r, ErrNoAnswer
	}
	if !c.StopHere(run, answer) && r.FinishedAt.IsZero() && c.Elsewhere != nil {
		c.Elsewhere(ctx, run, answer)
	}
	return c.Run(ctx, user, run)
}

// StopHere stops a run, or one answer of it, if this instance serves it. The
// caller knows that it may be stopped.
func (c *Chats) StopHere(run, answer string) bool {
	l := c.liveRun(run)
	if l == nil {
		return false
	}
	l.stop(answer)
	return true
}

// Select replaces which answers of a run feed the next one.
func (c *Chats) Select(ctx context.Context, user, conversation, run string, answers []string) (Run, error) {
	r, err := c.Run(ctx, user, run)
	if err != nil {
		return r, err
	}
	if r.Conversation != conversation {
		return r, ErrNoRun
	}
	for _, id := range answers {
		if r.answer(id) == nil {
			return r, ErrNoAnswer
		}
	}
	if err := c.Store.Select(ctx, user, run, answers); err != nil {
		return r, err
	}
	if l := c.liveRun(run); l != nil {
		l.choose(answers)
	}
	return c.Run(ctx, user, run)
}

func (r *Run) answer(id string) *Answer {
	for i := range r.Answers {
		if r.Answers[i].ID == id {
			return &r.Answers[i]
		}
	}
	return nil
}

func (c *Chats) liveRun(id string) *liveRun {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live[id]
}
