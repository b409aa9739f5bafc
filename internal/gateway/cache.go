package gateway

import (
	"context"
	"sync"
	"time"

	"onemind/internal/credit"
	"onemind/internal/llm"
)

// cachedFor is how long an answer may be given again (product contract: 1 hour).
const cachedFor = time.Hour

// Replies keeps answers for a while, to give them again. It may forget any of
// them at any time; a failure is the same to callers as not having one.
type Replies interface {
	// Get gives the value of a key, false when there is none or its time is over.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)
	// Put keeps a value for ttl in place of an earlier one. A value it finds too
	// large is not kept, and neither is the earlier one then. The value belongs to
	// it from now on: nobody changes its bytes.
	Put(ctx context.Context, key string, value []byte, ttl time.Duration) error
}

// cache gives whole good answers again to the user who got them before. Requests
// that are the same and come while the first is still being answered wait for
// it; see begin. A nil cache has nothing and keeps nothing.
type cache struct {
	replies Replies
	mu      sync.Mutex
	flights map[string]*flight // requests under way in this process, by key
}

// flight is one request under way. got is written before done is closed: the
// whole answer, or nil when there is none to share.
type flight struct {
	done chan struct{}
	got  *recording
}

// newCache builds a cache over r; nil without one.
func newCache(r Replies) *cache {
	if r == nil {
		return nil
	}
	return &cache{replies: r, flights: map[string]*flight{}}
}

// lookup is what one request has to do with the cache. A nil one has nothing to
// do with it: all its methods can be called all the same.
type lookup struct {
	cache  *cache
	key    string
	reply  *recording // the answer, in the shape that was asked for; nil: ask the provider
	waited bool       // reply was made for another request while this one waited
	flight *flight    // what this request owes to those that wait for it; nil: nothing
	tape   *tape      // records what the provider answers; nil: nobody wants it
}

// begin looks for the answer to a request under its key (see replyKey; an empty
// one has no answer). When it is there the lookup holds it; else the caller asks
// the provider, shows the lookup each event that it delivered (add), and says how it
// ended (keep). drop has to be called in any case when all is over.
//
// A request that is the same as one under way waits for that one and gets its
// answer. It waits and does not follow live, because a stream that was passed on
// and then broke or was stopped by its reader could not be made whole any more.
// When the first one ends without a whole answer the waiter asks the provider
// itself and waits for nobody again. The error is that of ctx, if that ended.
func (c *cache) begin(ctx context.Context, key string, req *llm.Request) (*lookup, error) {
	if c == nil || key == "" {
		return nil, nil
	}
	l := &lookup{cache: c, key: key}
	f, first := c.join(key)
	if !first {
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if l.reply, l.waited = f.got.as(req); l.waited {
			return l, nil
		}
		if f, first = c.join(key); !first {
			return l, nil
		}
	}
	l.flight = f
	if kept := c.get(ctx, key); kept != nil {
		if reply, ok := kept.as(req); ok {
			l.reply = reply
			l.land(kept)
			return l, nil
		}
	}
	if err := ctx.Err(); err != nil {
		l.drop()
		return nil, err
	}
	l.tape = &tape{stream: req.Stream}
	return l, nil
}

// join gives the flight of a key, and whether the caller has just begun it.
func (c *cache) join(key string) (f *flight, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f = c.flights[key]; f != nil {
		return f, false
	}
	f = &flight{done: make(chan struct{})}
	c.flights[key] = f
	return f, true
}

// get reads what is kept under a key. Whatever is wrong with it, it is as if it
// were not there.
func (c *cache) get(ctx context.Context, key string) *recording {
	value, ok, err := c.replies.Get(ctx, key)
	if err != nil || !ok {
		return nil
	}
	r, err := unpack(value)
	if err != nil || r.head.Key != key {
		return nil
	}
	return r
}

// hit is the answer to play; nil: ask the provider.
func (l *lookup) hit() *recording {
	if l == nil {
		return nil
	}
	return l.reply
}

// add notes an event that has reached the reader, before its bytes become invalid.
func (l *lookup) add(ev *llm.Event) {
	if l != nil && l.tape != nil {
		l.tape.add(ev)
	}
}

// keep keeps an answer that is over, if it is a whole and good one, and gives it
// to those that wait. It takes as long as the store's Put; what that says is not
// the user's business.
func (l *lookup) keep(ctx context.Context, r *credit.Receipt, result *llm.Result, model string) {
	if l == nil || l.flight == nil || l.tape == nil {
		return
	}
	if r.Outcome != credit.Finished || r.ServedBy != model || !worth(result) {
		l.drop()
		return
	}
	rec := l.tape.end(recordHead{Key: l.key, Finish: result.Finish, Usage: *result.Usage, Changes: result.Changes, Native: result.Native}, result.Body)
	if rec == nil {
		l.drop()
		return
	}
	f := l.flight
	f.got = rec
	close(f.done) // those that wait need not wait for the store
	if value := rec.pack(); len(value) > 0 && len(value) <= mostKept {
		_ = l.cache.replies.Put(context.WithoutCancel(ctx), l.key, value, cachedFor) // then it is not cached
	}
	l.leave()
}

// worth tells whether an answer ended by itself, as it should, and was counted.
func worth(result *llm.Result) bool {
	switch result.Finish {
	case "stop", "tool_calls":
	case "": // vectors have no such word
		if len(result.Body) == 0 {
			return false
		}
	default:
		return false
	}
	return result.Usage != nil && result.Type == "" && result.Images == 0
}

// drop ends the lookup: those that wait for it go on by themselves. It does
// nothing after keep.
func (l *lookup) drop() {
	if l != nil && l.flight != nil {
		l.land(nil)
	}
}

// land ends the flight with what there is for those that wait.
func (l *lookup) land(got *recording) {
	l.flight.got = got
	close(l.flight.done)
	l.leave()
}

// leave takes the flight off the list: whoever comes now finds the answer in the store.
func (l *lookup) leave() {
	l.cache.mu.Lock()
	delete(l.cache.flights, l.key)
	l.cache.mu.Unlock()
	l.flight = nil
}
