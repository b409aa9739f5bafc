package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"onemind/internal/fault"
	"onemind/internal/money"
	"onemind/internal/replay"
)

// Bounds of one socket.
const (
	maxFollows   = 64       // runs one tab may follow at once
	maxFrame     = 16 << 10 // bytes of a frame from a tab
	pushEvery    = 100 * time.Millisecond
	outstanding  = 256 // frames waiting for a slow tab before it is let go
	pingInterval = 30 * time.Second
)

// socket is one tab's connection: all answers, the balance and the catalog over one line.
type socket struct {
	server *Server
	conn   *websocket.Conn
	tab    *tab
	out    chan []byte

	mu      sync.Mutex
	follows map[string]context.CancelFunc
	work    sync.WaitGroup
}

// frame is what a tab sends.
type frame struct {
	Type   string `json:"type"`
	Run    string `json:"run,omitempty"`
	After  int64  `json:"after,omitempty"`
	Answer string `json:"answer,omitempty"`
}

// webSocket serves one tab. The library refuses a handshake from another origin.
func (s *Server) webSocket(w http.ResponseWriter, r *http.Request) error {
	id := identityOf(r)
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil // Accept has answered
	}
	defer conn.CloseNow() //nolint:errcheck // closed already in the good case
	conn.SetReadLimit(maxFrame)
	ctx, cancel := s.untilClose(r.Context())
	defer cancel()
	k := &socket{server: s, conn: conn, out: make(chan []byte, outstanding), follows: map[string]context.CancelFunc{},
		tab: &tab{user: id.User.ID, session: id.SessionHash, wake: make(chan struct{}, 1), titles: map[string]string{}, balance: true}}
	k.tab.revision = s.Catalog.Snapshot().Revision
	k.tab.wake <- struct{}{}
	s.Push.add(k.tab)
	defer s.Push.remove(k.tab)
	k.work.Go(func() { defer cancel(); k.write(ctx) })
	k.work.Go(func() { defer cancel(); k.push(ctx) })
	k.read(ctx)
	select {
	case <-s.stop:
		_ = conn.Write(context.WithoutCancel(ctx), websocket.MessageText, []byte(`{"type":"reconnect"}`))
		_ = conn.Close(websocket.StatusServiceRestart, "restarting")
	default:
	}
	cancel()
	k.work.Wait()
	return nil
}

// read takes the tab's frames until it is gone.
func (k *socket) read(ctx context.Context) {
	for {
		kind, data, err := k.conn.Read(ctx)
		if err != nil {
			return
		}
		var f frame
		if kind != websocket.MessageText || decodeBytes(data, &f) != nil {
			k.fail(ctx, "", fault.New(fault.Invalid, "bad_frame", "A frame must be a JSON object with type, run, after and answer."))
			continue
		}
		if err := k.take(ctx, f); err != nil {
			k.fail(ctx, f.Run, err)
		}
	}
}

func (k *socket) take(ctx context.Context, f frame) error {
	switch f.Type {
	case "follow":
		return k.follow(ctx, f)
	case "unfollow":
		k.unfollow(f.Run)
		return nil
	case "stop":
		_, err := k.server.Chats.Stop(ctx, k.tab.user, f.Run, f.Answer)
		return err
	case "ping":
		return k.say(ctx, map[string]any{"type": "pong"})
	}
	return fault.New(fault.Invalid, "bad_frame", "There is no frame type %q.", f.Type)
}

// follow sends a run's events from a number on. Following it anew starts there anew.
func (k *socket) follow(ctx context.Context, f frame) error {
	if f.After < 0 {
		return fault.Field("after", "must be the number of an event")
	}
	k.unfollow(f.Run)
	ctx, cancel := context.WithCancel(ctx)
	k.mu.Lock()
	full := len(k.follows) >= maxFollows
	if !full {
		k.follows[f.Run] = cancel
	}
	k.mu.Unlock()
	if full {
		cancel()
		return fault.New(fault.Limited, "too_many_follows", "One tab can follow %d runs at once.", maxFollows)
	}
	k.work.Go(func() {
		defer k.unfollowIf(f.Run, ctx, cancel)
		err := k.server.Chats.Follow(ctx, k.tab.user, f.Run, replay.Reader{After: f.After, Every: time.Minute, Idle: func() error { return nil },
			Emit: func(events []replay.Event) error {
				for _, e := range events {
					if err := k.frame(ctx, e.Data); err != nil {
						return err
					}
				}
				return nil
			}})
		if err != nil && ctx.Err() == nil {
			k.fail(ctx, f.Run, err)
		}
	})
	return nil
}

func (k *socket) unfollow(run string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if cancel, ok := k.follows[run]; ok {
		cancel()
		delete(k.follows, run)
	}
}

// unfollowIf forgets a follower that ended by itself, unless a newer one took its place.
func (k *socket) unfollowIf(run string, ctx context.Context, cancel context.CancelFunc) { //nolint:revive // the context says whose end it is
	k.mu.Lock()
	if ctx.Err() == nil {
		delete(k.follows, run)
	}
	k.mu.Unlock()
	cancel()
}

// push tells what changed, balances at most ten times a second.
func (k *socket) push(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.tab.wake:
		}
		k.tab.mu.Lock()
		balance, revision, titles, ended := k.tab.balance, k.tab.revision, k.tab.titles, k.tab.ended
		k.tab.balance, k.tab.revision, k.tab.titles = false, 0, map[string]string{}
		k.tab.mu.Unlock()
		if ended {
			_ = k.conn.Close(websocket.StatusPolicyViolation, "signed out")
			return
		}
		for id, title := range titles {
			_ = k.say(ctx, map[string]any{"type": "conversation", "id": id, "title": title})
		}
		if revision > 0 {
			_ = k.say(ctx, map[string]any{"type": "catalog", "revision": revision})
		}
		if balance {
			if b, err := k.server.Ledger.Shown(ctx, k.tab.user); err == nil {
				_ = k.say(ctx, balanceFrame{"balance", b.Total, b.Held, b.Available()})
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pushEvery):
		}
	}
}

type balanceFrame struct {
	Type      string       `json:"type"`
	Balance   money.Amount `json:"balance_nano_usd"`
	Held      money.Amount `json:"held_nano_usd"`
	Available money.Amount `json:"available_nano_usd"`
}

// say queues one message of ours.
func (k *socket) say(ctx context.Context, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return k.frame(ctx, b)
}

// fail tells the tab what went wrong with one of its frames.
func (k *socket) fail(ctx context.Context, run string, err error) {
	f := fault.From(err)
	m := map[string]any{"type": "error", "code": f.Code, "message": f.Text}
	if run != "" {
		m["run"] = run
	}
	_ = k.say(ctx, m)
}

// frame queues one frame. It waits for a slow tab; write lets go of one that
// takes too long.
func (k *socket) frame(ctx context.Context, data []byte) error {
	select {
	case k.out <- data:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write sends the queue, each frame within writeWithin, and pings a silent tab.
func (k *socket) write(ctx context.Context) {
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case data := <-k.out:
			if err := k.within(ctx, func(ctx context.Context) error { return k.conn.Write(ctx, websocket.MessageText, data) }); err != nil {
				return
			}
		case <-ticker.C:
			if err := k.within(ctx, k.conn.Ping); err != nil && !errors.Is(err, context.Canceled) {
				return
			}
		}
	}
}

func (k *socket) within(ctx context.Context, act func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	return act(ctx)
}
