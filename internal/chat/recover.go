package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"onemind/internal/credit"
	"onemind/internal/replay"
)

// Delivered counts the output tokens of an answer that its run's log holds, for
// settling what a dead instance left open.
func (c *Chats) Delivered(ctx context.Context, h credit.Hold) (int64, error) {
	var terms credit.Terms
	if err := json.Unmarshal(h.Terms, &terms); err != nil {
		return 0, fmt.Errorf("read the terms of hold %s: %w", h.Ref, err)
	}
	if terms.Run == "" {
		return 0, nil
	}
	run, err := c.Store.Run(ctx, "", terms.Run)
	if errors.Is(err, ErrNoRun) {
		return 0, nil // admitted, but the crash came before the run was stored
	}
	if err != nil {
		return 0, err
	}
	if err := c.replay(ctx, &run); err != nil {
		return 0, err
	}
	a := run.answer(h.Ref)
	if a == nil || a.Text == "" && a.Reasoning == "" {
		return 0, nil
	}
	return max(1, c.Counter.Text(a.Text)+c.Counter.Text(a.Reasoning)), nil
}

// replay brings a run that was never finished up to the end of its log.
func (c *Chats) replay(ctx context.Context, run *Run) error {
	fresh := *run
	fresh.Answers = append([]Answer(nil), run.Answers...)
	for i := range fresh.Answers {
		fresh.Answers[i].Text, fresh.Answers[i].Reasoning = "", ""
	}
	for {
		events, err := c.Hub.EventsAfter(ctx, run.ID, fresh.Seq, 500)
		if err != nil {
			return fmt.Errorf("read the log of run %s: %w", run.ID, err)
		}
		if len(events) == 0 {
			break
		}
		for _, ev := range events {
			var e Event
			if err := json.Unmarshal(ev.Data, &e); err != nil {
				return fmt.Errorf("read event %d of run %s: %w", ev.Seq, run.ID, err)
			}
			fresh.apply(e, time.Now())
			fresh.ended(e)
		}
	}
	for i, a := range fresh.Answers {
		have := &run.Answers[i]
		if have.State == Waiting || have.State == Streaming {
			have.Text, have.Reasoning = a.Text, a.Reasoning
		}
		have.logged, have.loggedText, have.loggedReasoning = a.logged, len(a.Text), len(a.Reasoning)
	}
	run.Seq, run.FinishedAt = fresh.Seq, fresh.FinishedAt
	return nil
}

// ended notes that an answer's terminal event is in the log.
func (r *Run) ended(e Event) {
	if a := r.answer(e.Answer); a != nil && (e.Type == answerFinished || e.Type == answerFailed) {
		a.logged = true
	}
}

// Recover ends the runs that a dead instance left: answers keep what was
// delivered and say that they were interrupted. Their holds are settled before.
func (c *Chats) Recover(ctx context.Context, alive func(owner string) bool) (int, error) {
	runs, err := c.Store.Unfinished(ctx, c.Owner)
	if err != nil {
		return 0, fmt.Errorf("list unfinished runs: %w", err)
	}
	n := 0
	for _, run := range runs {
		if alive(run.Owner) {
			continue
		}
		if err := c.conclude(ctx, run); err != nil {
			return n, fmt.Errorf("end run %s: %w", run.ID, err)
		}
		n++
	}
	return n, nil
}

// conclude ends one run: the terminal events its log lacks, then run.finished.
func (c *Chats) conclude(ctx context.Context, run Run) error {
	if err := c.replay(ctx, &run); err != nil {
		return err
	}
	log := c.Hub.Open(run.ID, run.Seq)
	defer log.Close()
	var events []Event
	for _, a := range run.Answers {
		if a.logged {
			continue
		}
		var receipt *credit.Receipt
		if r, err := c.Ledger.Receipt(ctx, run.User, a.ID); err == nil {
			receipt = &r
		} else if !errors.Is(err, credit.ErrNoReceipt) {
			return err
		}
		if a.State == Waiting || a.State == Streaming {
			a.fail(replay.ErrInterrupted)
			if receipt != nil {
				a.Tokens, a.Estimated, a.Charge, a.TotalMS = receipt.Tokens, receipt.Estimated, receipt.Charge, receipt.TotalMS
			}
			if err := c.Store.FinishAnswer(ctx, a); err != nil {
				return err
			}
		}
		if a.loggedText < len(a.Text) || a.loggedReasoning < len(a.Reasoning) {
			// Stored whole, but the crash came before the last deltas were logged.
			events = append(events, Event{Type: answerDelta, Run: run.ID, Answer: a.ID, Text: a.Text[min(a.loggedText, len(a.Text)):],
				Reasoning: a.Reasoning[min(a.loggedReasoning, len(a.Reasoning)):]})
		}
		events = append(events, terminal(a, receipt))
	}
	if run.FinishedAt.IsZero() { // else the log ended before the crash
		number := make([]func(int64) replay.Event, 0, len(events)+1)
		for _, e := range append(events, Event{Type: runFinished, Run: run.ID}) {
			number = append(number, e.numbered())
		}
		if err := log.Append(ctx, number); err != nil {
			return err
		}
	}
	return c.Store.FinishRun(ctx, run.ID, time.Now())
}
