package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"onemind/internal/fault"
)

const (
	// unwatchedFor is how long a stream runs on without a reader; see product.md, section 8.
	unwatchedFor = 60 * time.Second
	// sayEvery is how often the instance that writes a stream is told that somebody
	// reads it elsewhere: several times before it would give up.
	sayEvery = unwatchedFor / 4
)

// StreamsConfig is what Streams need.
type StreamsConfig struct {
	Hub   *Hub
	Owner string // boot id of this instance
	// Alive tells whether an instance may still write what it began.
	Alive func(owner string) bool
	// Watched tells whichever instance writes a stream that somebody reads it; nil:
	// there is no other instance.
	Watched func(name string)
	Log     *slog.Logger
}

// Streams are answers that outlive the request that asked for them: whoever was cut
// off comes back, to any instance, and reads on. The log of one begins with a
// head, which says who writes it, and ends with an empty last event; what is
// between are the frames its readers get, which it does not look into.
type Streams struct {
	StreamsConfig
	base   context.Context // ends when streams have to give up
	giveUp context.CancelFunc

	mu     sync.Mutex
	live   map[string]*Stream // those this instance writes
	closed bool
	open   sync.WaitGroup
}

// NewStreams builds Streams.
func NewStreams(c StreamsConfig) *Streams {
	base, giveUp := context.WithCancel(context.Background())
	return &Streams{StreamsConfig: c, base: base, giveUp: giveUp, live: map[string]*Stream{}}
}

// head is the first event of a stream's log. No reader gets it.
type head struct {
	Owner string `json:"owner"`
	About string `json:"about"`
}

// Stream is one answer being written.
type Stream struct {
	streams *Streams
	name    string
	log     *Log
	cancel  context.CancelFunc
	wake    chan struct{} // buffered 1: pending grew

	mu      sync.Mutex
	pending [][]byte // frames that are not in the log yet
	readers int      // on this instance
	lonely  *time.Timer
}

// Start begins a stream under a name nobody used before, and calls serve beside
// the caller, once. serve writes the frames; its context ends when nobody has
// read the stream for a minute or the instance has to go. about is given back to
// whoever follows it later. When Start fails, serve is not called.
func (s *Streams) Start(ctx context.Context, name, about string, serve func(context.Context, *Stream)) error {
	first, err := json.Marshal(head{s.Owner, about})
	if err != nil {
		return fmt.Errorf("write the head of stream %s: %w", name, err)
	}
	w := &Stream{streams: s, name: name, wake: make(chan struct{}, 1)}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrDraining
	}
	s.open.Add(1)
	s.live[name] = w
	s.mu.Unlock()
	w.log = s.Hub.Open(name, 0)
	if err := w.log.Append(ctx, []func(int64) Event{frame(first)}); err != nil {
		w.close()
		return err
	}
	serving, cancel := context.WithCancel(s.base)
	w.cancel = cancel
	w.mu.Lock()
	w.lonely = time.AfterFunc(unwatchedFor, w.abandoned)
	w.mu.Unlock()
	served := make(chan struct{})
	go func() {
		defer close(served)
		defer cancel()
		serve(serving, w)
	}()
	go w.keep(served)
	return nil
}

// Shutdown refuses new streams and waits for those under way until ctx ends; what
// is left then is stopped.
func (s *Streams) Shutdown(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	Drain(ctx, &s.open, s.giveUp)
}

// Here tells whether this instance writes a stream.
func (s *Streams) Here(name string) bool { return s.stream(name) != nil }

func (s *Streams) stream(name string) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[name]
}

// ReadElsewhere notes that another instance has a reader of a stream.
func (s *Streams) ReadElsewhere(name string) {
	if w := s.stream(name); w != nil {
		w.read(0)
	}
}

// About gives what Start was told about a stream; ErrGone when it is not kept any more.
func (s *Streams) About(ctx context.Context, name string) (string, error) {
	h, err := s.head(ctx, name)
	return h.About, err
}

func (s *Streams) head(ctx context.Context, name string) (h head, err error) {
	events, err := s.Hub.EventsAfter(ctx, name, 0, 1)
	if err != nil {
		return h, fault.New(fault.Unavailable, "stream_unavailable", "This stream cannot be read at the moment. Try again.").After(time.Second).Because(err)
	}
	if len(events) == 0 {
		return h, ErrGone
	}
	if err := json.Unmarshal(events[0].Data, &h); err != nil {
		return h, fmt.Errorf("read the head of stream %s: %w", name, err)
	}
	return h, nil
}

// Follow passes the frames above a number to the reader until the stream's end;
// the reader's Running is not used. The caller has checked that the name is the
// reader's own. It reports ErrGone when the stream is not kept any more, and
// ErrInterrupted after all that an instance wrote that died.
func (s *Streams) Follow(ctx context.Context, name string, r Reader) error {
	h := head{Owner: s.Owner}
	if w := s.stream(name); w != nil {
		w.read(1)
		defer w.read(-1)
	} else if found, err := s.head(ctx, name); err != nil {
		return err
	} else {
		h = found
	}
	r.Running = func(context.Context) (bool, error) {
		return s.Here(name) || h.Owner != s.Owner && s.Alive(h.Owner), nil
	}
	seen := &watching{Reader: r, streams: s, name: name}
	seen.say()
	r.Emit, r.Idle = seen.emit, seen.idle
	err := s.Hub.Follow(ctx, name, r)
	if errors.Is(err, ErrGone) && seen.atTheEnd(ctx) {
		return ErrInterrupted
	}
	return err
}

// watching is a reader whose instance tells the writer's that it is there.
type watching struct {
	Reader
	streams *Streams
	name    string
	said    time.Time
}

// emit passes the frames on, without the head and the end.
func (w *watching) emit(events []Event) error {
	w.say()
	w.After = events[len(events)-1].Seq
	if events[0].Seq == 1 {
		events = events[1:]
	}
	if n := len(events); n > 0 && events[n-1].Last {
		events = events[:n-1]
	}
	if len(events) == 0 {
		return nil
	}
	return w.Emit(events)
}

func (w *watching) idle() error {
	w.say()
	return w.Idle()
}

func (w *watching) say() {
	if now := time.Now(); w.streams.Watched != nil && now.Sub(w.said) >= sayEvery && !w.streams.Here(w.name) {
		w.said = now
		w.streams.Watched(w.name)
	}
}

// atTheEnd tells whether what the reader saw last is where the log ends, open.
func (w *watching) atTheEnd(ctx context.Context) bool {
	tail, err := w.streams.Hub.EventsAfter(ctx, w.name, max(w.After, 1)-1, 2)
	return err == nil && len(tail) == 1 && tail[0].Seq == max(w.After, 1) && !tail[0].Last
}

// Write adds whole server-sent events to the stream; each gets a number.
func (w *Stream) Write(frames []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(frames) > 0 {
		n := len(frames)
		if i := bytes.Index(frames, []byte("\n\n")); i >= 0 {
			n = i + 2
		}
		w.pending = append(w.pending, bytes.Clone(frames[:n]))
		frames = frames[n:]
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// frame gives an event its number.
func frame(data []byte) func(int64) Event {
	return func(seq int64) Event { return Event{Seq: seq, Data: data} }
}

// keep writes what is pending to the log until the answer is over, then ends it.
func (w *Stream) keep(served <-chan struct{}) {
	Paced(w.wake, served, w.flush)
	w.flush()
	last := []func(int64) Event{func(seq int64) Event { return Event{Seq: seq, Data: []byte{}, Last: true} }}
	for w.log.Persist(context.WithoutCancel(w.streams.base), last) != nil && w.streams.base.Err() == nil {
		continue // readers elsewhere wait for it
	}
	w.close()
}

// flush makes what is pending durable and shows it. A log that cannot be written ends
// the answer: nobody could see what they are charged for.
func (w *Stream) flush() {
	w.mu.Lock()
	frames := w.pending
	w.pending = nil
	w.mu.Unlock()
	if len(frames) == 0 {
		return
	}
	number := make([]func(int64) Event, len(frames))
	for i, data := range frames {
		number[i] = frame(data)
	}
	if err := w.log.Persist(context.WithoutCancel(w.streams.base), number); err != nil {
		w.streams.Log.Error("a stream's log could not be written", "stream", w.name, "err", err)
		w.cancel()
	}
}

// read notes that a reader came (1), left (-1) or reads elsewhere (0), each of
// which begins the wait for the next one anew.
func (w *Stream) read(more int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readers += more
	if w.lonely == nil {
		return // it is only just starting
	}
	w.lonely.Stop()
	if w.readers == 0 {
		w.lonely.Reset(unwatchedFor)
	}
}

// abandoned ends an answer that nobody reads.
func (w *Stream) abandoned() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.readers == 0 {
		w.cancel()
	}
}

func (w *Stream) close() {
	w.mu.Lock()
	if w.lonely != nil {
		w.lonely.Stop()
		w.lonely = nil
	}
	w.mu.Unlock()
	w.streams.mu.Lock()
	delete(w.streams.live, w.name)
	w.streams.mu.Unlock()
	w.log.Close()
	w.streams.open.Done()
}
