package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"

	"onemind/internal/fault"
	"onemind/internal/gateway"
	"onemind/internal/llm"
	"onemind/internal/replay"
)

// resumable is an answer that runs on when its caller is cut off: it is written
// into a log, which the caller reads like anybody who comes back for it.
type resumable struct {
	*completion
	cached atomic.Bool                 // it is one that was given before
	failed atomic.Pointer[fault.Error] // it failed before anything came of it
}

// streamOf names the stream of a request. The user is part of it: nobody reads
// another's.
func streamOf(user, request string) string { return user + "/" + request }

// resume answers with server-sent events that are numbered and kept.
func (c *completion) resume(r *http.Request) error {
	if c.sse == nil || c.sse.kind != "" {
		return fault.Field("resumable", "needs a stream of server-sent events: ask for one with stream: true (Gemini: streamGenerateContent?alt=sse)")
	}
	ctx, s := r.Context(), c.server
	ticket, err := c.admit(ctx)
	if err != nil {
		return err
	}
	k := &resumable{completion: c}
	name := streamOf(c.call.User, c.call.RequestID)
	serve := func(ctx context.Context, w *replay.Stream) { k.serve(ctx, ticket, w) }
	if err := s.Streams.Start(ctx, name, r.URL.Path, serve); err != nil {
		ticket.Cancel(context.WithoutCancel(ctx))
		return err
	}
	return s.follow(ctx, c.sse, name, 0, k.first)
}

// first is asked before anything is sent to the caller: a status can still say best
// what went wrong.
func (k *resumable) first() error {
	if f := k.failed.Load(); f != nil {
		return f
	}
	if k.cached.Load() {
		k.sse.header("X-Onemind-Cache", "hit")
	}
	return nil
}

// serve writes the answer into its stream.
func (k *resumable) serve(ctx context.Context, ticket *gateway.Ticket, w *replay.Stream) {
	begun := false
	write := func(frames []byte) {
		if len(frames) > 0 {
			begun = true
			w.Write(frames)
		}
	}
	answer, err := ticket.Stream(ctx, gateway.Reader{
		Hit: func() { k.cached.Store(true) },
		Notice: func(n gateway.Notice) {
			if text := noticeOf(n); text != "" && (begun || waits(n)) {
				write([]byte(": " + text + "\n\n"))
			}
		},
		Event: func(ev *llm.Event) error {
			k.frames = k.encoder.Event(k.frames[:0], ev)
			write(k.frames)
			return ctx.Err()
		}})
	if err == nil {
		write(k.encoder.End(nil, ending(answer)))
		return
	}
	f := fault.From(err)
	if errors.Is(err, context.Canceled) {
		f = replay.ErrInterrupted // the instance goes, or nobody is there to read it
	}
	if !begun {
		k.failed.Store(f)
	}
	write(k.encoder.Trouble(nil, f))
}

// resumeStream goes on with a stream that was cut off, after the event its
// reader saw last.
func (s *Server) resumeStream(w http.ResponseWriter, r *http.Request) error {
	after, err := afterOf(r)
	if err != nil {
		return err
	}
	name := streamOf(userOf(r), r.PathValue("id"))
	ctx := r.Context()
	if !s.Streams.Here(name) { // what another instance writes can be read through another one, too
		var cancel context.CancelFunc
		ctx, cancel = s.untilClose(ctx)
		defer cancel()
	}
	return s.follow(ctx, newEventWriter(w), name, after, func() error { return nil })
}

// follow copies a stream to a reader. first may refuse it while nothing was sent.
func (s *Server) follow(ctx context.Context, sse *eventWriter, name string, after int64, first func() error) error {
	ready := func() error {
		if sse.begun() {
			return nil
		}
		return first()
	}
	err := s.Streams.Follow(ctx, name, replay.Reader{After: after, Every: heartbeat,
		Idle: func() error {
			if err := ready(); err != nil {
				return err
			}
			return sse.comment("keep-alive")
		},
		Emit: func(events []replay.Event) error {
			if err := ready(); err != nil {
				return err
			}
			for i, e := range events {
				if err := sse.numbered(strconv.AppendInt(nil, e.Seq, 10), e.Data, i < len(events)-1); err != nil {
					return err
				}
			}
			return nil
		}})
	switch {
	case err == nil && !sse.begun():
		return sse.comment("nothing new") // the reader had seen everything
	case errors.Is(err, replay.ErrInterrupted):
		return s.interrupted(ctx, sse, name)
	case err != nil && !sse.begun() && ctx.Err() == nil:
		return err
	}
	return nil // the reader is gone, or goes on elsewhere
}

// interrupted ends a stream whose instance died as its own dialect would.
func (s *Server) interrupted(ctx context.Context, sse *eventWriter, name string) error {
	path, err := s.Streams.About(ctx, name)
	if err != nil {
		return nil // its reader sees the end without a reason
	}
	_ = sse.raw(dialectOf(path).Trouble(nil, replay.ErrInterrupted), false) // the reader may be gone
	return nil
}
