package api

import "sync"

// Push tells open tabs what changed: balances, the catalog, titles, an end of
// the session. A tab that is not read fast enough is told less often, never
// buffered without bound.
type Push struct {
	mu   sync.Mutex
	tabs map[*tab]struct{}
}

// NewPush builds a Push without tabs.
func NewPush() *Push { return &Push{tabs: map[*tab]struct{}{}} }

// tab is one open WebSocket.
type tab struct {
	user, session string
	wake          chan struct{} // buffered 1: something below changed

	mu       sync.Mutex
	balance  bool              // the balance changed
	revision int64             // newest catalog revision
	titles   map[string]string // conversations whose title changed
	ended    bool              // the session is over
}

func (p *Push) add(t *tab) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tabs[t] = struct{}{}
}

func (p *Push) remove(t *tab) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tabs, t)
}

// each changes the tabs that match and wakes them.
func (p *Push) each(match func(*tab) bool, change func(*tab)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range p.tabs {
		if !match(t) {
			continue
		}
		t.mu.Lock()
		change(t)
		t.mu.Unlock()
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// Balance says that a user's balance changed.
func (p *Push) Balance(user string) {
	p.each(func(t *tab) bool { return t.user == user }, func(t *tab) { t.balance = true })
}

// Catalog says that a new revision is served.
func (p *Push) Catalog(revision int64) {
	p.each(func(*tab) bool { return true }, func(t *tab) { t.revision = revision })
}

// Title says that a conversation has a new title.
func (p *Push) Title(user, conversation, title string) {
	p.each(func(t *tab) bool { return t.user == user }, func(t *tab) {
		if len(t.titles) < 100 {
			t.titles[conversation] = title
		}
	})
}

// End closes the tabs of a session.
func (p *Push) End(session string) {
	p.each(func(t *tab) bool { return t.session == session }, func(t *tab) { t.ended = true })
}

// EndAll closes all tabs of a user.
func (p *Push) EndAll(user string) {
	p.each(func(t *tab) bool { return t.user == user }, func(t *tab) { t.ended = true })
}

// Open tells whether a user has a tab open here.
func (p *Push) Open(user string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range p.tabs {
		if t.user == user {
			return true
		}
	}
	return false
}
