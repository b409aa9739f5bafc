package redis

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// How lines that listen are kept.
const (
	retryEvery      = 100 * time.Millisecond // the pause before a lost one is connected again
	subscribeWithin = time.Second            // a line that does not take a subscription is given up
)

// noChannel is subscribed always, so that a line is tried, and pinged, at once.
const noChannel = "stream:none"

// watcher wakes many waiters by messages on many channels, over one connection.
// Run alone speaks on it, so that subscriptions come in the order in which they
// were wanted.
type watcher struct {
	c       *Client
	changed chan struct{} // a channel has its first waiter, or lost its last

	mu      sync.Mutex
	waiting map[string]map[chan struct{}]struct{} // by channel
	asked   map[string]struct{}                   // channels subscribed on the line that stands
}

func newWatcher(c *Client) *watcher {
	return &watcher{c: c, changed: make(chan struct{}, 1), waiting: map[string]map[chan struct{}]struct{}{}}
}

// add waits for messages on a channel until stop. It is woken once as soon as
// the channel is subscribed.
func (w *watcher) add(channel string) (wake <-chan struct{}, stop func()) {
	waiter := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting[channel] == nil {
		w.waiting[channel] = map[chan struct{}]struct{}{}
	}
	w.waiting[channel][waiter] = struct{}{}
	if _, stands := w.asked[channel]; stands {
		nudge(waiter)
	} else {
		nudge(w.changed)
	}
	return waiter, sync.OnceFunc(func() { w.remove(channel, waiter) })
}

func (w *watcher) remove(channel string, waiter chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting[channel], waiter)
	if len(w.waiting[channel]) == 0 {
		delete(w.waiting, channel)
		nudge(w.changed)
	}
}

func nudge(waiter chan struct{}) {
	select {
	case waiter <- struct{}{}:
	default:
	}
}

// wakeAll wakes who waits on a channel.
func (w *watcher) wakeAll(channel string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for waiter := range w.waiting[channel] {
		nudge(waiter)
	}
}

// run keeps a connection, until ctx ends.
func (w *watcher) run(ctx context.Context) error {
	for ctx.Err() == nil {
		w.once(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
	return nil
}

// once serves one connection to its end.
func (w *watcher) once(ctx context.Context) {
	line, release := w.c.rc.Dedicate()
	defer release()
	ended := line.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage: func(m rueidis.PubSubMessage) { w.wakeAll(m.Channel) },
		OnSubscription: func(s rueidis.PubSubSubscription) {
			if s.Kind == "subscribe" {
				w.wakeAll(s.Channel) // what came before the subscription stood
			}
		},
	})
	w.mu.Lock()
	w.asked = map[string]struct{}{}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = nil
	}()
	for w.follow(ctx, line) {
		select {
		case <-ctx.Done():
			return
		case err := <-ended:
			w.c.options.Log.Debug("the line that wakes readers ended", "err", err)
			return
		case <-w.changed:
		}
	}
}

// follow makes the line's subscriptions those that are waited for.
func (w *watcher) follow(ctx context.Context, line rueidis.DedicatedClient) (ok bool) {
	more, less := w.difference()
	ctx, cancel := context.WithTimeout(ctx, subscribeWithin)
	defer cancel()
	if len(more) > 0 && line.Do(ctx, line.B().Subscribe().Channel(more...).Build()).Error() != nil {
		return false
	}
	return len(less) == 0 || line.Do(ctx, line.B().Unsubscribe().Channel(less...).Build()).Error() == nil
}

// difference gives what is to be subscribed and what not any more, and notes both as done.
func (w *watcher) difference() (more, less []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.asked) == 0 {
		w.asked[noChannel] = struct{}{}
		more = append(more, noChannel)
	}
	for channel := range w.waiting {
		if _, stands := w.asked[channel]; !stands {
			w.asked[channel] = struct{}{}
			more = append(more, channel)
		}
	}
	for channel := range w.asked {
		if _, wanted := w.waiting[channel]; !wanted && channel != noChannel {
			delete(w.asked, channel)
			less = append(less, channel)
		}
	}
	return more, less
}
