package upstream

import (
	"container/list"
	"time"
)

const (
	waitDefault     = 30 * time.Second // of Route.Wait
	waitingPerPlace = 20               // of Route.Waiting
	// holdGuess stands for how long a place is held until one was given back.
	holdGuess = time.Second
)

// queue gives out the places of one provider: first come, first served for the
// calls of one user, and turn by turn between users, so that one with hundreds
// of waiting calls delays another by one turn. Its owner locks it.
type queue struct {
	places  int // 0: no bound
	running int
	began   int64 // sum of the times at which those that run began, milliseconds since epoch
	epoch   time.Time
	average time.Duration // how long a place is held, moving; 0: none was given back yet

	waiting int
	lines   map[string]*line
	turns   list.List // of *line; the first one is next
}

// line is the calls of one user that wait.
type line struct {
	user  string
	turn  *list.Element
	calls list.List // of *waiter
	gone  int       // numbers below it are out
}

// waiter is one call that waits.
type waiter struct {
	line  *line
	entry *list.Element
	n     int           // number in its line, without gaps
	ready chan struct{} // closed when the place is given or the wait is over
	given bool
	since time.Time // given when
	full  bool      // pushed out: the queue is full and its user had the longest line
}

// resize takes the newest number of places.
func (q *queue) resize(now time.Time, places int) {
	if q.places != places {
		q.places = places
		q.grant(now)
	}
}

// free says whether a place could be taken at once.
func (q *queue) free() bool { return q.places == 0 || q.running < q.places && q.waiting == 0 }

// enter takes a place. The time has to be given back with it.
func (q *queue) enter(now time.Time) {
	if q.epoch.IsZero() {
		q.epoch = now
	}
	q.running++
	q.began += now.Sub(q.epoch).Milliseconds()
}

// leave gives a place back that was taken at since.
func (q *queue) leave(now, since time.Time) {
	q.running--
	q.began -= since.Sub(q.epoch).Milliseconds()
	if held := now.Sub(since); q.average == 0 {
		q.average = max(held, 1)
	} else {
		q.average += (held - q.average) / 8
	}
	q.grant(now)
}

// grant gives free places to those whose turn it is.
func (q *queue) grant(now time.Time) {
	for q.waiting > 0 && (q.places == 0 || q.running < q.places) {
		l := q.turns.Front().Value.(*line)
		w := l.calls.Front().Value.(*waiter)
		q.remove(w)
		if l.turn != nil {
			q.turns.MoveToBack(l.turn)
		}
		q.enter(now)
		w.given, w.since = true, now
		close(w.ready)
	}
}

// join lets a call wait, if there is room, or if another user's line is longer
// by more than this call makes its own: then the last one of that is pushed
// out, so that one user alone cannot fill the queue.
func (q *queue) join(user string, most int) *waiter {
	own := q.lines[user]
	if q.waiting >= most {
		longest := q.longest()
		if longest == nil || own != nil && longest.calls.Len() <= own.calls.Len()+1 || own == nil && longest.calls.Len() <= 1 {
			return nil
		}
		last := longest.calls.Back().Value.(*waiter)
		q.remove(last)
		last.full = true
		close(last.ready)
	}
	if own == nil {
		if q.lines == nil {
			q.lines = map[string]*line{}
		}
		own = &line{user: user}
		own.turn = q.turns.PushBack(own)
		q.lines[user] = own
	}
	w := &waiter{line: own, n: own.gone + own.calls.Len(), ready: make(chan struct{})}
	w.entry = own.calls.PushBack(w)
	q.waiting++
	return w
}

// remove takes a call out, wherever it stands.
func (q *queue) remove(w *waiter) {
	l := w.line
	if w.n == l.gone {
		l.gone++
	} else {
		for e := w.entry.Next(); e != nil; e = e.Next() {
			e.Value.(*waiter).n--
		}
	}
	l.calls.Remove(w.entry)
	q.waiting--
	if l.calls.Len() == 0 {
		q.turns.Remove(l.turn)
		l.turn = nil
		delete(q.lines, l.user)
	}
}

func (q *queue) longest() *line {
	var longest *line
	for e := q.turns.Front(); e != nil; e = e.Next() {
		if l := e.Value.(*line); longest == nil || l.calls.Len() > longest.calls.Len() {
			longest = l
		}
	}
	return longest
}

// place counts who goes before a call, itself included: 1 is next. A nil w is
// one that user would bring now.
func (q *queue) place(user string, w *waiter) int {
	own := q.lines[user]
	before := 0 // calls of its own user
	switch {
	case w != nil:
		before = w.n - own.gone
	case own != nil:
		before = own.calls.Len()
	}
	n, ahead := before+1, true
	for e := q.turns.Front(); e != nil; e = e.Next() {
		l := e.Value.(*line)
		if l == own {
			ahead = false
			continue
		}
		turns := before
		if ahead {
			turns++
		}
		n += min(turns, l.calls.Len())
	}
	return n
}

// estimate is how long the call at a place will wait. Places that are held for
// longer now than usual count as that long, so that a provider which has just
// become slow does not promise its old speed.
func (q *queue) estimate(now time.Time, place int) time.Duration {
	hold := q.average
	if hold == 0 {
		hold = holdGuess
	}
	if q.running > 0 {
		hold = max(hold, now.Sub(q.epoch)-time.Duration(q.began/int64(q.running))*time.Millisecond)
	}
	return hold * time.Duration(place) / time.Duration(max(q.places, 1))
}
