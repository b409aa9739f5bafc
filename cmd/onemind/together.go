package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"onemind/internal/account"
	"onemind/internal/catalog"
	"onemind/internal/fleet"
)

// together is how an instance tells the others what changed here, and acts on
// what they tell. Every signal is a hint: what it hints at is read from a store.
type together struct {
	boot   string
	stores *stores
	log    *slog.Logger
	crew   *fleet.Crew
	books  *books
	app    *app // nil in a command
	served atomic.Pointer[catalog.Snapshot]

	slow  chan fleet.Signal // what takes a store to act on
	tells chan fleet.Signal // what the others are to be told
	edits chan edit         // the newest edit made here, to be watched

	mu      sync.Mutex
	changed map[string]struct{} // users whose balance changed since the last flush
}

// edit is a revision made here and when it was committed.
type edit struct {
	revision int64
	at       time.Time
}

const (
	slowQueue  = 4096                   // signals waiting for a store; what is lost is repaired by expiry within seconds
	tellEvery  = 100 * time.Millisecond // how often changed balances are told: off the path of every request
	tellAtOnce = 100                    // users in one signal: a notification of Postgres holds 8000 bytes
	freshWhile = 10 * time.Second       // how long an identity is remembered while every line stands
	freshAlone = time.Second            // and while one is lost
)

func newTogether(boot string, log *slog.Logger) *together {
	return &together{boot: boot, log: log, slow: make(chan fleet.Signal, slowQueue), tells: make(chan fleet.Signal, slowQueue), edits: make(chan edit, 1), changed: map[string]struct{}{}}
}

// catalogChanged acts on a revision that is served from now on.
func (t *together) catalogChanged(now *catalog.Snapshot) {
	t.books.push.Catalog(now.Revision)
	t.crew.BeatNow()
	if t.app != nil && t.app.engine != nil {
		t.app.engine.Edited(t.served.Swap(now), now)
	}
}

// live is the number of instances that share the limits.
func (t *together) live() int {
	if t.crew == nil {
		return 1
	}
	return t.crew.Live()
}

// fresh is how long an identity may be remembered here.
func (t *together) fresh() time.Duration {
	if t.crew != nil && t.stores.lines > 0 && t.crew.Lines() == int64(t.stores.lines) {
		return freshWhile
	}
	return freshAlone
}

// hear acts on a signal, this instance's own included. It does not block.
func (t *together) hear(s fleet.Signal) {
	switch s.Kind {
	case fleet.Revision:
		t.books.catalog.Nudge()
	case fleet.Missed:
		t.books.catalog.Nudge()
		t.books.accounts.ForgetAll()
	case fleet.Credits:
		sender, users, _ := strings.Cut(s.Arg, ":")
		if sender == t.boot {
			return // told here at once
		}
		for user := range strings.SplitSeq(users, ",") {
			t.books.push.Balance(user)
			t.wrote(user)
		}
	case fleet.Stop:
		run, answer, _ := strings.Cut(s.Arg, "/")
		if t.app != nil {
			t.app.chats.StopHere(run, answer)
		}
	case fleet.Reader:
		if t.app != nil {
			t.app.streams.ReadElsewhere(s.Arg)
		}
	case fleet.User, fleet.Session, fleet.Key:
		t.forget(s)
		select {
		case t.slow <- s:
		default:
			t.log.Warn("too many changes of users at once; this one counts a moment later", "kind", s.Kind)
		}
	}
}

// forget drops what this process remembers of a user, a session or a key.
func (t *together) forget(s fleet.Signal) {
	switch s.Kind {
	case fleet.User:
		t.books.accounts.UserChanged(s.Arg)
	case fleet.Session:
		t.books.accounts.SessionEnded(s.Arg)
		t.books.push.End(s.Arg)
	case fleet.Key:
		t.books.accounts.KeyRevoked(s.Arg)
	}
}

// forgetShared drops it from what instances share, because a change made
// directly in SQL did not, and then here again: a request may have read the old
// one in between.
func (t *together) forgetShared(ctx context.Context, s fleet.Signal) {
	if r := t.stores.shared; r != nil {
		switch s.Kind {
		case fleet.User:
			r.users.ForgetUser(ctx, s.Arg)
		case fleet.Session:
			r.sessions.Forget(ctx, s.Arg)
		case fleet.Key:
			r.users.ForgetKey(ctx, s.Arg)
		}
		t.forget(s)
	}
	if s.Kind != fleet.User || !t.books.push.Open(s.Arg) {
		return
	}
	if u, err := t.books.accounts.User(ctx, s.Arg); err == nil && u.Suspended || errors.Is(err, account.ErrNoUser) {
		t.books.push.EndAll(s.Arg)
	}
}

// accountChanged tells the others of an ended session, a revoked key or an
// edited user.
func (t *together) accountChanged(c account.Changed) {
	s := fleet.Signal{Kind: fleet.User, Arg: c.User}
	switch {
	case c.SessionHash != "":
		s = fleet.Signal{Kind: fleet.Session, Arg: c.SessionHash}
	case c.KeyHash != "":
		s = fleet.Signal{Kind: fleet.Key, Arg: c.KeyHash}
	}
	t.hear(s)
	t.tell(s)
}

// tell tells the others: off the caller's path in a server, at once in a command.
func (t *together) tell(s fleet.Signal) {
	if t.crew == nil {
		return
	}
	if t.app != nil {
		select {
		case t.tells <- s:
			return
		default:
		}
	}
	t.crew.Tell(context.Background(), s)
}

// balanceChanged notes that a user's money moved. The others are told in a moment.
func (t *together) balanceChanged(user string) {
	t.books.push.Balance(user)
	t.wrote(user)
	if t.stores.shared == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed[user] = struct{}{}
}

// wrote keeps a user who just wrote away from the replica.
func (t *together) wrote(user string) {
	if t.stores.pg != nil {
		t.stores.pg.Wrote(user)
	}
}

// flush tells the others whose balances changed.
func (t *together) flush(ctx context.Context) {
	t.mu.Lock()
	users := slices.Collect(maps.Keys(t.changed))
	clear(t.changed)
	t.mu.Unlock()
	if len(users) == 0 {
		return
	}
	t.stores.shared.balances.Changed(ctx, users)
	for part := range slices.Chunk(users, tellAtOnce) {
		// Over the first bus alone: losing one shows an old balance for a moment, and
		// the database's notifications are not for what happens with every request.
		_ = t.stores.buses[0].Publish(ctx, fleet.Signal{Kind: fleet.Credits, Arg: t.boot + ":" + strings.Join(part, ",")})
	}
}

// saved tells the others of a revision made here.
func (t *together) saved(number int64) {
	at := time.Now()
	select {
	case <-t.edits: // an older one that nobody watches yet
	default:
	}
	select {
	case t.edits <- edit{number, at}:
	default:
	}
	t.tell(fleet.Signal{Kind: fleet.Revision, Arg: strconv.FormatInt(number, 10)})
}

// stopElsewhere asks whichever instance serves a run to stop it.
func (t *together) stopElsewhere(ctx context.Context, run, answer string) {
	arg := run
	if answer != "" {
		arg += "/" + answer
	}
	t.crew.Tell(ctx, fleet.Signal{Kind: fleet.Stop, Arg: arg}) // at once: somebody waits for the end
}

// run does the slow half, until ctx ends.
func (t *together) run(ctx context.Context) error {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			t.last(context.WithoutCancel(ctx))
			return nil
		case s := <-t.slow:
			t.forgetShared(ctx, s)
		case <-ticker.C:
			if t.stores.shared != nil {
				t.flush(ctx)
			}
		}
	}
}

// last flushes what a process that ends has not told yet.
func (t *together) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if t.stores.shared != nil {
		t.flush(ctx)
	}
}

// tellAll tells the others what is queued, until ctx ends.
func (t *together) tellAll(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-t.tells:
			t.crew.Tell(ctx, s)
		}
	}
}

// watch measures how long each edit made here takes to reach everybody.
func (t *together) watch(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-t.edits:
			if r, ok := t.crew.Watch(ctx, e.revision, e.at); ok {
				t.log.Info("a revision is served by all", "revision", r.Revision, "instances", r.Instances, "ms", r.MS)
			} else if ctx.Err() == nil {
				t.log.Warn("a revision is not served by all yet", "revision", e.revision)
			}
		}
	}
}

// self describes this instance for the others.
func (t *together) self() fleet.Instance {
	i := fleet.Instance{Boot: t.boot, Name: instanceName(t.books.config), Version: version, Revision: t.books.catalog.Snapshot().Revision, Problem: t.problem()}
	if a := t.app; a != nil {
		i.StartedAt, i.OpenAnswers, i.Healthy = a.started, a.engine.OpenAnswers(), !a.server.Draining()
		i.Alerts = a.engine.Alerts()
	}
	return i
}

// problem is what this instance works without, in one line for operators; empty
// when all is well.
func (t *together) problem() string {
	var list []string
	if err := t.books.catalog.LastError(); err != nil {
		list = append(list, plain(err))
	}
	if r := t.stores.shared; r != nil {
		if on, _ := r.degrades.Degraded(); on || !r.client.Up() {
			list = append(list, "Redis does not answer: limits hold per instance")
		}
	}
	return strings.Join(list, "; ")
}
