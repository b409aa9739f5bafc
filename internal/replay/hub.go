package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Config is what a Hub needs.
type Config struct {
	Store Store
	// Spare takes over the log of a run that Store fails in the middle of; nil: none.
	Spare Store
	// Watch wakes a follower when another instance appends to a run's log; nil: no
	// other instance does.
	Watch func(run string) (wake <-chan struct{}, stop func())
}

// Hub is this instance's live logs: writers append, followers are woken. What
// it wakes them for is read from the log in memory while the run is live, and
// from the Store before and after, or while another instance writes it.
type Hub struct {
	Config
	mu   sync.Mutex
	live map[string]*Log
}

// NewHub builds a Hub.
func NewHub(c Config) *Hub { return &Hub{Config: c, live: map[string]*Log{}} }

// Log is the live log of one run. One goroutine appends; any number follow.
type Log struct {
	hub    *Hub
	run    string
	mu     sync.Mutex
	begin  int64         // number before the first event of this live log
	events []Event       // those from number first+1 on
	first  int64         // number before events[0]: begin, until the log is long
	size   int           // bytes of events
	more   chan struct{} // closed and replaced when events grow
	done   bool
	moved  bool // Spare has the whole log; touched by the writer only
}

// Open starts the live log of a run, after the events the store has already.
func (h *Hub) Open(run string, after int64) *Log {
	l := &Log{hub: h, run: run, begin: after, first: after, more: make(chan struct{})}
	h.mu.Lock()
	h.live[run] = l
	h.mu.Unlock()
	return l
}

// Seq is the number of the last event.
func (l *Log) Seq() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first + int64(len(l.events))
}

// Append makes events durable, numbers them and wakes the followers. number
// writes an event's JSON for the number it gets. Nothing is shown to a reader
// before it is stored: what a reader saw, every later reader sees.
func (l *Log) Append(ctx context.Context, number []func(seq int64) Event) error {
	next := l.Seq() + 1
	events := make([]Event, len(number))
	for i, make := range number {
		events[i] = make(next + int64(i))
	}
	if err := l.store(ctx, events); err != nil {
		return fmt.Errorf("append to the log of run %s: %w", l.run, err)
	}
	l.mu.Lock()
	l.keep(events)
	l.done = events[len(events)-1].Last
	close(l.more)
	l.more = make(chan struct{})
	l.mu.Unlock()
	return nil
}

// liveBytes is how much of a log is kept in memory: much more than nearly every
// run says. Readers that are further behind read from the store.
const liveBytes = 8 << 20

// keep adds events to those in memory, and lets the older half go when they are
// many. mu is held.
func (l *Log) keep(events []Event) {
	l.events = append(l.events, events...)
	for _, e := range events {
		l.size += len(e.Data)
	}
	if l.size <= liveBytes {
		return
	}
	n := 0
	for ; l.size > liveBytes/2 && n < len(l.events); n++ {
		l.size -= len(l.events[n].Data)
	}
	l.events, l.first = slices.Clone(l.events[n:]), l.first+int64(n)
}

const (
	// persistFor is how long a log that cannot be written is tried again. Longer than a
	// restart of the store takes; what is delivered meanwhile waits in memory.
	persistFor = 15 * time.Second
	// paceEvery is the shortest time between two writes to a log: at most 20 a second,
	// however fast an answer comes.
	paceEvery = 50 * time.Millisecond
)

// Persist appends, and tries again for a while when the store is away. The error is
// the last one.
func (l *Log) Persist(ctx context.Context, number []func(seq int64) Event) error {
	err := l.Append(ctx, number)
	for end, pause := time.Now().Add(persistFor), 20*time.Millisecond; err != nil && time.Now().Before(end); pause = min(2*pause, time.Second) {
		time.Sleep(pause)
		err = l.Append(ctx, number)
	}
	return err
}

// store writes events to the Store. When that fails, or has lost what came
// before, the whole log moves to the Spare and stays there, if it is still in memory.
func (l *Log) store(ctx context.Context, events []Event) error {
	if l.moved {
		return l.hub.Spare.AppendEvents(ctx, l.run, events)
	}
	err := l.hub.Store.AppendEvents(ctx, l.run, events)
	if err == nil || l.hub.Spare == nil || l.first > l.begin {
		return err
	}
	whole := append(slices.Clip(l.events), events...)
	if moving := l.hub.Spare.AppendEvents(ctx, l.run, whole); moving != nil {
		return errors.Join(err, moving)
	}
	l.moved = true
	return nil
}

// Paced calls flush after each wake, at most 20 times a second, until over
// closes. What woke it last may not be flushed then.
func Paced(wake, over <-chan struct{}, flush func()) {
	pause := time.NewTimer(paceEvery)
	defer pause.Stop()
	for {
		select {
		case <-wake:
			flush()
			pause.Reset(paceEvery)
			select {
			case <-pause.C:
			case <-over:
			}
		case <-over:
			return
		}
	}
}

// Drain waits for those that write logs until ctx ends; then it makes them give
// up, and waits for that.
func Drain(ctx context.Context, writers *sync.WaitGroup, giveUp context.CancelFunc) {
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		giveUp()
		<-done
	}
	giveUp()
}

// Close ends the live log; the stored one stays readable.
func (l *Log) Close() {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	if l.hub.live[l.run] == l {
		delete(l.hub.live, l.run)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.done {
		l.done = true
		close(l.more)
		l.more = make(chan struct{})
	}
}

// after gives the live events above a number, whether more can come, and a
// channel that closes when they do. ok is false when the number is before what the
// live log holds.
func (l *Log) after(seq int64) (events []Event, done bool, more <-chan struct{}, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq < l.first {
		return nil, false, nil, false
	}
	if from := seq - l.first; from < int64(len(l.events)) {
		events = l.events[from:len(l.events):len(l.events)]
	}
	return events, l.done, l.more, true
}

// batch is how many stored events are read at once.
const batch = 500

// EventsAfter gives the stored events with a number above after, in order, at
// most limit, wherever they are.
func (h *Hub) EventsAfter(ctx context.Context, run string, after int64, limit int) ([]Event, error) {
	events, err := h.Store.EventsAfter(ctx, run, after, limit)
	if len(events) > 0 || h.Spare == nil {
		return events, err
	}
	spare, failed := h.Spare.EventsAfter(ctx, run, after, limit)
	if len(spare) > 0 {
		return spare, nil
	}
	return nil, errors.Join(err, failed)
}

// Reader is who follows a run.
type Reader struct {
	After int64         // the number it saw last
	Every time.Duration // heartbeats
	Emit  func([]Event) error
	// Idle is called when nothing came for Every.
	Idle func() error
	// Running tells whether a run without a live log here is written by another
	// instance, or will be.
	Running func(context.Context) (bool, error)
}

// Follow gives every event above the reader's last to Emit, in order, first what
// is stored, then what comes, until the last event, until ctx ends or until Emit
// fails. The caller has checked that the reader owns the run. It reports ErrGone
// when the log is not kept any more and nobody writes it.
func (h *Hub) Follow(ctx context.Context, run string, r Reader) error {
	f := follower{Reader: r, hub: h, run: run}
	defer f.unwatch()
	for {
		h.mu.Lock()
		l := h.live[run]
		h.mu.Unlock()
		var over bool
		var err error
		if l != nil {
			over, err = f.live(ctx, l)
		} else {
			over, err = f.stored(ctx)
		}
		if over || err != nil {
			return err
		}
	}
}

// follower is one reader on its way through a log.
type follower struct {
	Reader
	hub  *Hub
	run  string
	wake <-chan struct{}
	stop func()
}

// pass hands events on and tells whether the last one is among them.
func (f *follower) pass(events []Event) (over bool, err error) {
	if len(events) == 0 {
		return false, nil
	}
	f.After = events[len(events)-1].Seq
	return events[len(events)-1].Last, f.Emit(events)
}

// live reads on in the log of a run this instance serves.
func (f *follower) live(ctx context.Context, l *Log) (over bool, err error) {
	events, done, more, ok := l.after(f.After)
	if !ok { // before what is in memory
		if events, err = f.hub.EventsAfter(ctx, f.run, f.After, batch); err != nil {
			return false, fmt.Errorf("read the log of run %s: %w", f.run, err)
		}
	}
	if over, err := f.pass(events); over || err != nil || len(events) > 0 {
		return over, err
	}
	if done {
		return true, nil
	}
	return false, wait(ctx, more, f.Every, f.Idle)
}

// lookEvery is how often a follower asks by itself whether a silent run of
// another instance goes on: a wake-up may have been lost, or the instance.
const lookEvery = 5 * time.Second

// stored reads on in the log of a run this instance does not serve.
func (f *follower) stored(ctx context.Context) (over bool, err error) {
	f.watch()
	events, _ := f.hub.EventsAfter(ctx, f.run, f.After, batch) // a store that is away comes back; the reader stays
	if over, err := f.pass(events); over || err != nil || len(events) > 0 {
		return over, err
	}
	running, err := f.Running(ctx)
	if err == nil && !running {
		return f.rest(ctx)
	}
	return false, wait(ctx, f.wake, min(f.Every, lookEvery), f.Idle)
}

// rest reads what came to the log of a run that is over by now: between the last
// look and its end there may have been more.
func (f *follower) rest(ctx context.Context) (over bool, err error) {
	events, err := f.hub.EventsAfter(ctx, f.run, f.After, batch)
	if err != nil {
		return false, fmt.Errorf("read the log of run %s: %w", f.run, err)
	}
	if over, err := f.pass(events); over || err != nil || len(events) > 0 {
		return over, err
	}
	return true, f.hub.ended(ctx, f.run, f.After)
}

func (f *follower) watch() {
	if f.stop == nil && f.hub.Watch != nil {
		f.wake, f.stop = f.hub.Watch(f.run)
	}
}

func (f *follower) unwatch() {
	if f.stop != nil {
		f.stop()
	}
}

// ended tells a reader that has seen everything from one whose log is not kept
// any more.
func (h *Hub) ended(ctx context.Context, run string, seen int64) error {
	if seen == 0 {
		return ErrGone
	}
	last, err := h.EventsAfter(ctx, run, seen-1, 1)
	if err != nil {
		return fmt.Errorf("read the log of run %s: %w", run, err)
	}
	if len(last) == 1 && last[0].Seq == seen && last[0].Last {
		return nil
	}
	return ErrGone
}

// wait blocks until more closes, ctx ends, or one heartbeat interval passed.
func wait(ctx context.Context, more <-chan struct{}, every time.Duration, idle func() error) error {
	timer := time.NewTimer(every)
	defer timer.Stop()
	select {
	case <-more:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return idle()
	}
}

// Keep is how long the events of an ended run are kept.
const Keep = 10 * time.Minute

// Run trims old logs until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			for _, store := range []Store{h.Store, h.Spare} {
				if store != nil {
					_ = store.TrimEvents(ctx, now.Add(-Keep)) // the next minute does
				}
			}
		}
	}
}
