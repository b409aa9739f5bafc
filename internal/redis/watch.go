package redis

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// retryEvery is the pause before a lost line is connected again.
const retryEvery = 100 * time.Millisecond

// watcher wakes many waiters by messages on many channels, over one connection.
type watcher struct {
	c *Client

	mu      sync.Mutex
	waiting map[string]map[chan struct{}]struct{} // by channel
	line    rueidis.DedicatedClient               // nil: no connection stands
}

func newWatcher(c *Client) *watcher {
	return &watcher{c: c, waiting: map[string]map[chan struct{}]struct{}{}}
}

// add waits for messages on a channel until stop.
func (w *watcher) add(channel string) (wake <-chan struct{}, stop func()) {
	waiter := make(chan struct{}, 1)
	w.mu.Lock()
	first := w.waiting[channel] == nil
	if first {
		w.waiting[channel] = map[chan struct{}]struct{}{}
	}
	w.waiting[channel][waiter] = struct{}{}
	line := w.line
	w.mu.Unlock()
	if first && line != nil {
		w.tell(line, line.B().Subscribe().Channel(channel).Build())
	}
	if !first {
		nudge(waiter) // the channel is subscribed: look once
	}
	return waiter, sync.OnceFunc(func() { w.remove(channel, waiter) })
}

func (w *watcher) remove(channel string, waiter chan struct{}) {
	w.mu.Lock()
	delete(w.waiting[channel], waiter)
	last := len(w.waiting[channel]) == 0
	if last {
		delete(w.waiting, channel)
	}
	line := w.line
	w.mu.Unlock()
	if last && line != nil {
		w.tell(line, line.B().Unsubscribe().Channel(channel).Build())
	}
}

// tell sends a command on the line. If it is lost, everything is subscribed again
// on the next one.
func (w *watcher) tell(line rueidis.DedicatedClient, cmd rueidis.Completed) {
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	_ = line.Do(ctx, cmd).Error()
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
	w.line = line
	channels := make([]string, 0, len(w.waiting)+1)
	for channel := range w.waiting {
		channels = append(channels, channel)
	}
	w.mu.Unlock()
	channels = append(channels, "stream:none") // so that the line is tried, and pinged, at once
	w.tell(line, line.B().Subscribe().Channel(channels...).Build())
	select {
	case <-ctx.Done():
	case <-ended:
	}
	w.mu.Lock()
	w.line = nil
	w.mu.Unlock()
}
