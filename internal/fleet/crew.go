package fleet

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// How often instances speak up, and when their silence means something.
const (
	beatEvery   = time.Second
	spareEvery  = 5                // beats to one of a presence that is asked second
	lookWithin  = 2 * time.Second  // deadline of one look or beat
	deadAfter   = 30 * time.Second // silence after which another instance settles what it left open
	rolloutMost = 10 * time.Second // how long an edit is watched
)

// CountAfter is the silence after which an instance gets no share of the limits.
const CountAfter = 10 * time.Second

// Config is what a Crew needs. Presences and buses come in the order they are
// asked in; any one of them is enough.
type Config struct {
	Self      func() Instance // describes this instance now
	Boot      string
	Presences []Presence
	Buses     []Bus
	Hear      func(Signal) // is told every signal; it must not block
	Log       *slog.Logger
}

// Crew is this instance's place among the others.
type Crew struct {
	Config
	beatNow chan struct{}
	rollout atomic.Pointer[Rollout]
	// lines counts the buses whose line stands.
	lines atomic.Int64

	mu    sync.Mutex
	known []Instance // as last seen
	// trusted is since when every look has been answered without a break. What was
	// not seen before that may be alive: a store that was away shows everybody as
	// silent for as long.
	trusted time.Time
	seen    map[string]time.Time // boot -> when it was last known to be alive, by this instance's clock
}

// New builds a Crew of one, until Run looks around.
func New(c Config) *Crew {
	return &Crew{Config: c, beatNow: make(chan struct{}, 1), seen: map[string]time.Time{}}
}

// Run beats, looks around and listens until ctx ends; then it says good-bye.
func (c *Crew) Run(ctx context.Context) error {
	var lines sync.WaitGroup
	for _, bus := range c.Buses {
		lines.Go(func() { c.listen(ctx, bus) })
	}
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for n := 0; ; n++ {
		c.beat(ctx, n)
		c.look(ctx)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				lines.Wait()
				c.leave(context.WithoutCancel(ctx))
				return nil
			case <-c.beatNow:
				c.beat(ctx, 1) // to the first presence: somebody waits to see it
			case <-ticker.C:
				waiting = false
			}
		}
	}
}

// listen follows one bus.
func (c *Crew) listen(ctx context.Context, bus Bus) {
	up := false
	err := bus.Listen(ctx, c.Hear, func(connected bool) {
		if connected == up {
			return
		}
		up = connected
		if connected {
			c.lines.Add(1)
			c.Hear(Signal{Kind: Missed})
			return
		}
		c.lines.Add(-1)
		if ctx.Err() != nil {
			return
		}
		c.Log.Warn("a line between the instances is lost; the others and the poll go on")
	})
	if up {
		c.lines.Add(-1)
	}
	if err != nil && ctx.Err() == nil {
		c.Log.Error("listening to the other instances failed", "err", err)
	}
}

// Lines is the number of buses that are listened to right now.
func (c *Crew) Lines() int64 { return c.lines.Load() }

// BeatNow makes Run describe this instance at once. It never waits.
func (c *Crew) BeatNow() {
	select {
	case c.beatNow <- struct{}{}:
	default:
	}
}

func (c *Crew) beat(ctx context.Context, n int) {
	self := c.Self()
	self.Boot, self.Rollout = c.Boot, c.rollout.Load()
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	var all sync.WaitGroup
	for i, p := range c.Presences {
		if i == 0 || n%spareEvery == 0 {
			all.Go(func() { _ = p.Beat(ctx, self) }) // the next beat comes in a second
		}
	}
	all.Wait()
}

func (c *Crew) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	for _, p := range c.Presences {
		_ = p.Leave(ctx, c.Boot) // silence says the same, later
	}
}

// look asks every presence who is there. Whoever any of them knows is alive.
func (c *Crew) look(ctx context.Context) {
	found, err := c.ask(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if err != nil {
		c.trusted = time.Time{}
		return
	}
	if c.trusted.IsZero() {
		c.trusted = now
	}
	c.known = found
	for _, i := range found {
		if at := now.Add(-i.Age); at.After(c.seen[i.Boot]) {
			c.seen[i.Boot] = at
		}
	}
	for boot, at := range c.seen {
		if now.Sub(at) > 2*deadAfter {
			delete(c.seen, boot)
		}
	}
}

// ask merges what the presences say, the freshest word of each instance. It
// fails when none of them answers.
func (c *Crew) ask(ctx context.Context) ([]Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	byBoot := map[string]Instance{}
	var failed []error
	for _, p := range c.Presences {
		list, err := p.Instances(ctx)
		if err != nil {
			failed = append(failed, err)
		}
		for _, i := range list {
			if have, ok := byBoot[i.Boot]; !ok || i.Age < have.Age {
				byBoot[i.Boot] = i
			}
		}
	}
	if len(failed) == len(c.Presences) && len(failed) > 0 {
		return nil, errors.Join(failed...)
	}
	found := make([]Instance, 0, len(byBoot))
	for _, i := range byBoot {
		found = append(found, i)
	}
	return found, nil
}

// Instances lists who is there, this instance included, with the age of their
// last word. When nobody can be asked it is what was known last.
func (c *Crew) Instances(ctx context.Context) []Instance {
	found, err := c.ask(ctx)
	if err != nil {
		c.mu.Lock()
		found = slices.Clone(c.known)
		c.mu.Unlock()
	}
	found = slices.DeleteFunc(found, func(i Instance) bool { return i.Age > deadAfter || i.Boot == c.Boot })
	self := c.Self()
	self.Boot, self.Rollout = c.Boot, c.rollout.Load()
	found = append(found, self)
	slices.SortFunc(found, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.Boot, b.Boot))
	})
	return found
}

// Live is the number of instances that share the limits, never less than one.
func (c *Crew) Live() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 1
	for boot, at := range c.seen {
		if boot != c.Boot && time.Since(at) < CountAfter {
			n++
		}
	}
	// Silence proves nothing while nobody can be asked: those who were there count on.
	if c.trusted.IsZero() {
		others := 1
		for _, i := range c.known {
			if i.Boot != c.Boot {
				others++
			}
		}
		n = max(n, others)
	}
	return n
}

// Alive tells whether an instance may still serve what it began. Only silence
// that was watched for deadAfter, with a store that answered all along, says no.
func (c *Crew) Alive(boot string) bool {
	if boot == c.Boot {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.trusted.IsZero() || now.Sub(c.trusted) < deadAfter {
		return true
	}
	at, known := c.seen[boot]
	return known && now.Sub(at) < deadAfter
}

// Tell sends a signal over the first bus that takes it.
func (c *Crew) Tell(ctx context.Context, s Signal) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	var failed []error
	for _, bus := range c.Buses {
		err := bus.Publish(ctx, s)
		if err == nil {
			return
		}
		failed = append(failed, err)
	}
	if len(failed) > 0 {
		c.Log.Warn("the other instances could not be told; they will see it by themselves", "kind", s.Kind, "err", errors.Join(failed...))
	}
}

// Watch measures how long an edit of this instance takes to reach everybody. It
// returns when all serve the revision, or after rolloutMost.
func (c *Crew) Watch(ctx context.Context, revision int64, since time.Time) (Rollout, bool) {
	ctx, cancel := context.WithTimeout(ctx, rolloutMost)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		list := c.Instances(ctx)
		all := !slices.ContainsFunc(list, func(i Instance) bool { return i.Revision < revision && i.Age < CountAfter })
		if all {
			r := Rollout{Revision: revision, Instances: len(list), MS: time.Since(since).Milliseconds(), At: time.Now()}
			c.rollout.Store(&r)
			c.BeatNow()
			return r, true
		}
		select {
		case <-ctx.Done():
			return Rollout{}, false
		case <-ticker.C:
		}
	}
}
