package chat

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"onemind/internal/credit"
	"onemind/internal/fault"
	"onemind/internal/gateway"
	"onemind/internal/llm"
	"onemind/internal/replay"
	"onemind/internal/upstream"
)

// liveRun is a run this instance serves.
type liveRun struct {
	chats *Chats
	log   *replay.Log
	done  chan struct{}

	mu      sync.Mutex
	run     Run                           // as of the last event in the log
	pending []Event                       // not in the log yet; deltas of one answer are merged
	wake    chan struct{}                 // buffered 1: pending grew
	stops   map[string]context.CancelFunc // of answers under way
}

// start makes the run live and begins its answers.
func (c *Chats) start(ctx context.Context, run Run, tickets []*gateway.Ticket) (Run, error) {
	l := &liveRun{chats: c, done: make(chan struct{}), run: run, wake: make(chan struct{}, 1), stops: map[string]context.CancelFunc{}}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		cancel(ctx, tickets)
		return Run{}, errors.Join(replay.ErrDraining, c.Store.FinishRun(ctx, run.ID, time.Now()))
	}
	l.log = c.Hub.Open(run.ID, 0)
	c.live[run.ID] = l
	c.runs.Add(1)
	c.mu.Unlock()

	started := Event{Type: runStarted, Run: run.ID, Conversation: run.Conversation}
	for _, a := range run.Answers {
		started.Answers = append(started.Answers, EventAnswer{a.ID, a.Model, a.ModelName})
	}
	l.push(started)
	var answers sync.WaitGroup
	for i, a := range run.Answers {
		if tickets[i] == nil {
			l.push(terminal(a, nil))
			continue
		}
		actx, stop := context.WithCancel(c.base)
		l.mu.Lock()
		l.stops[a.ID] = stop
		l.mu.Unlock()
		l.push(Event{Type: answerStarted, Run: run.ID, Answer: a.ID})
		answers.Go(func() { defer stop(); l.serve(actx, a, tickets[i]) })
	}
	l.flush() // what a reader of this reply follows is in the log already
	go l.keep(&answers)
	return l.snapshot(), nil
}

// serve streams one answer into the run's log.
func (l *liveRun) serve(ctx context.Context, a Answer, ticket *gateway.Ticket) {
	var text, reasoning strings.Builder
	answer, err := ticket.Stream(ctx, gateway.Reader{
		Notice: func(n gateway.Notice) {
			if n.Kind == upstream.Substituted {
				a.SubstituteCode = n.Code
			}
			l.push(news(a, n))
		},
		Event: func(ev *llm.Event) error {
			d := Event{Type: answerDelta, Run: a.Run, Answer: a.ID, Text: llm.Unescape(ev.Content), Reasoning: llm.Unescape(ev.Reasoning)}
			if d.Text != "" || d.Reasoning != "" {
				text.WriteString(d.Text)
				reasoning.WriteString(d.Reasoning)
				l.push(d)
			}
			return ctx.Err()
		}})
	r := answer.Receipt
	if a.ServedBy = r.ServedBy; r.ServedBy == r.Model {
		a.ServedBy, a.SubstituteCode = "", ""
	}
	a.Text, a.Reasoning, a.Tokens, a.Estimated, a.Charge = text.String(), reasoning.String(), r.Tokens, r.Estimated, r.Charge
	a.FinishReason, a.FirstTokenMS, a.TotalMS = r.FinishReason, r.FirstTokenMS, r.TotalMS
	switch {
	case r.Outcome == credit.Stopped:
		a.State = Stopped
	case err != nil:
		a.fail(err)
	default:
		a.State = Done
	}
	l.persist("an answer could not be stored", func(ctx context.Context) error { return l.chats.Store.FinishAnswer(ctx, a) })
	l.mu.Lock()
	delete(l.stops, a.ID)
	l.mu.Unlock()
	l.finish(a, &r)
}

// finish puts an answer's terminal event behind its deltas and, with it, the
// answer's final state into the run.
func (l *liveRun) finish(a Answer, r *credit.Receipt) {
	l.push(terminal(a, r))
	l.mu.Lock()
	defer l.mu.Unlock()
	if have := l.run.answer(a.ID); have != nil {
		text, reasoning := have.Text, have.Reasoning // what is in the log so far
		*have = a
		have.Text, have.Reasoning = text, reasoning
		have.State = Streaming
		if a.State == Failed || a.State == Stopped || a.State == Done {
			have.State = a.State
		}
	}
}

// push adds an event to what goes into the log next. Deltas of one answer that
// wait together become one.
func (l *liveRun) push(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Type == answerDelta {
		if i := slices.IndexFunc(l.pending, func(p Event) bool { return p.Type == answerDelta && p.Answer == e.Answer }); i >= 0 {
			l.pending[i].Text += e.Text
			l.pending[i].Reasoning += e.Reasoning
			return
		}
	}
	l.pending = append(l.pending, e)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// keep writes pending events to the log until all answers are over, then ends the run.
func (l *liveRun) keep(answers *sync.WaitGroup) {
	c := l.chats
	defer c.runs.Done()
	over := make(chan struct{})
	go func() { answers.Wait(); close(over) }()
	replay.Paced(l.wake, over, l.flush)
	// The log ends first: a crash in between leaves a run that recovery ends, not
	// an ended run whose readers wait for a tail that never comes.
	l.push(Event{Type: runFinished, Run: l.run.ID})
	l.flush()
	l.persist("a run could not be ended", func(ctx context.Context) error { return c.Store.FinishRun(ctx, l.run.ID, time.Now()) })
	c.mu.Lock()
	delete(c.live, l.run.ID)
	c.mu.Unlock()
	l.log.Close()
	close(l.done)
}

// persist repeats an act of the store until it is done: a database that is away
// comes back, and what it missed would otherwise show as interrupted. It gives
// up when the instance has to stop; then another one ends the run.
func (l *liveRun) persist(failed string, act func(context.Context) error) {
	c := l.chats
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := act(context.WithoutCancel(c.base))
		if err == nil || fault.Is(err, fault.NotFound) { // or its conversation was deleted meanwhile
			return
		}
		c.Log.Error(failed, "run", l.run.ID, "err", err)
		select {
		case <-time.After(pause):
		case <-c.base.Done():
			return
		}
	}
}

// flush makes what is pending durable and shows it. A log that cannot be
// written ends the run's answers: nobody could see what they are charged for.
func (l *liveRun) flush() {
	l.mu.Lock()
	events := l.pending
	l.pending = nil
	l.mu.Unlock()
	if len(events) == 0 {
		return
	}
	number := make([]func(int64) replay.Event, len(events))
	for i, e := range events {
		number[i] = e.numbered()
	}
	if err := l.log.Persist(context.WithoutCancel(l.chats.base), number); err != nil {
		l.chats.Log.Error("a run's log could not be written", "run", l.run.ID, "err", err)
		l.stop("")
	}
	seq := l.log.Seq() - int64(len(events))
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, e := range events {
		e.Seq = seq + int64(i) + 1
		l.run.apply(e, time.Now())
	}
}

// stop ends one answer, or all.
func (l *liveRun) stop(answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, stop := range l.stops {
		if answer == "" || id == answer {
			stop()
		}
	}
}

// choose notes which answers feed the next run.
func (l *liveRun) choose(answers []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.run.Selected = answers
}

// snapshot is the run as of its last event: a reader that goes on from its Seq
// misses nothing and sees nothing twice.
func (l *liveRun) snapshot() Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	run := l.run
	run.Answers = slices.Clone(l.run.Answers)
	return run
}
