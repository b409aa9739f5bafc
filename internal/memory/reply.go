package memory

import (
	"container/list"
	"context"
	"sync"
	"time"

	"onemind/internal/gateway"
)

// RepliesSize is the bytes of answers that one process keeps by default: 64 MiB.
const RepliesSize = 64 << 20

// replyOverhead is about what an entry takes beside its key and value.
const replyOverhead = 256

// Replies keeps answers in this process. It holds a number of bytes at most: what
// was not asked for the longest time goes first.
type Replies struct {
	most    int64
	mu      sync.Mutex
	size    int64
	entries map[string]*list.Element
	order   list.List // of *reply, the one that was asked for last in front
}

type reply struct {
	key   string
	value []byte
	until time.Time
}

var _ gateway.Replies = (*Replies)(nil)

// NewReplies builds an empty Replies for most bytes.
func NewReplies(most int64) *Replies {
	return &Replies{most: most, entries: map[string]*list.Element{}}
}

// Get gives a value; see gateway.Replies.
func (r *Replies) Get(_ context.Context, key string) (value []byte, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[key]
	if !ok {
		return nil, false, nil
	}
	found := e.Value.(*reply)
	if !time.Now().Before(found.until) {
		r.remove(e)
		return nil, false, nil
	}
	r.order.MoveToFront(e)
	return found.value, true, nil
}

// Put keeps a value; see gateway.Replies.
func (r *Replies) Put(_ context.Context, key string, value []byte, ttl time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.entries[key]; ok {
		r.remove(e)
	}
	added := &reply{key: key, value: value, until: time.Now().Add(ttl)}
	if ttl <= 0 || added.size() > r.most {
		return nil
	}
	r.entries[key] = r.order.PushFront(added)
	r.size += added.size()
	for r.size > r.most {
		r.remove(r.order.Back())
	}
	return nil
}

// Size is the bytes that are held.
func (r *Replies) Size() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size
}

func (r *Replies) remove(e *list.Element) {
	gone := r.order.Remove(e).(*reply)
	delete(r.entries, gone.key)
	r.size -= gone.size()
}

func (r *reply) size() int64 { return int64(len(r.key)+len(r.value)) + replyOverhead }
