package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"onemind/internal/fault"
)

// maxGroup bounds how many acts share a commit, so that the first of them does
// not wait for more than about 15 ms of others' work.
const maxGroup = 512

// act is one unit of work for the writer. It can run more than once: when a
// neighbour breaks the group's transaction, the rest start again.
type act struct {
	ctx     context.Context //nolint:containedctx // the call itself, handed to another goroutine
	run     func(*conn) error
	guarded bool
	err     error
	done    chan struct{}
}

// change makes an act durable: all of it, or on an error nothing.
func (db *DB) change(ctx context.Context, run func(*conn) error) error {
	return db.submit(&act{ctx: ctx, run: run, guarded: true, done: make(chan struct{})})
}

// changeIf is change for an act that refuses, with a fault, before it has
// changed anything. It saves the savepoint: two statements, where a hold and
// its charge are six.
func (db *DB) changeIf(ctx context.Context, run func(*conn) error) error {
	return db.submit(&act{ctx: ctx, run: run, done: make(chan struct{})})
}

// submit hands an act to the writer and waits for the outcome, even if the
// context ends meanwhile: a caller that gave up would not know it.
func (db *DB) submit(a *act) error {
	db.gate.RLock()
	if db.closed {
		db.gate.RUnlock()
		return ErrClosed
	}
	select {
	case db.queue <- a:
		db.gate.RUnlock()
	case <-a.ctx.Done():
		db.gate.RUnlock()
		return a.ctx.Err()
	}
	<-a.done
	return a.err
}

// write commits acts in groups until the queue is closed: whatever waits while
// a commit is under way goes into the next one together, and a lone act is
// committed at once.
func (db *DB) write(c *conn) error {
	group := make([]*act, 0, maxGroup)
	for first := range db.queue {
		group = db.group(c, first, group[:0])
		for i, a := range group {
			close(a.done)
			group[i] = nil
		}
	}
	return c.close()
}

// group runs the first act and every other that waits in one transaction.
func (db *DB) group(c *conn, first *act, group []*act) []*act {
	if _, err := c.exec("BEGIN IMMEDIATE"); err != nil {
		first.err = fmt.Errorf("begin: %w", err)
		return append(group, first)
	}
	for a := first; a != nil; a = db.next(len(group)) {
		group = append(group, a)
		if a.err = a.ctx.Err(); a.err != nil {
			continue // nobody waits for it any more
		}
		if broken := a.attempt(c); broken {
			return db.apart(c, group)
		}
	}
	if _, err := c.exec("COMMIT"); err != nil {
		err = c.rollback(fmt.Errorf("commit: %w", err))
		for _, a := range group {
			a.err = err
		}
		return group
	}
	db.groups.Add(1)
	db.acts.Add(int64(len(group)))
	return group
}

// next gives an act that waits already, or nil. It lets the others run once
// before it says that there is none: whoever was answered a moment ago may be
// about to ask again.
func (db *DB) next(have int) *act {
	if have == maxGroup {
		return nil
	}
	select {
	case a := <-db.queue:
		return a // nil when the queue is closed
	default:
	}
	runtime.Gosched()
	select {
	case a := <-db.queue:
		return a
	default:
		return nil
	}
}

// attempt runs an act inside the group's transaction and notes its error. It
// reports broken when the error may have left half of the act behind or has
// ended the transaction.
func (a *act) attempt(c *conn) (broken bool) {
	if !a.guarded {
		a.err = a.run(c)
		var refusal *fault.Error
		return a.err != nil && !errors.As(a.err, &refusal)
	}
	if _, a.err = c.exec("SAVEPOINT act"); a.err != nil {
		return true
	}
	a.err = a.run(c)
	if a.err != nil {
		if c.db.GetAutocommit() {
			return true
		}
		if _, err := c.exec("ROLLBACK TO act"); err != nil {
			return true
		}
	}
	_, err := c.exec("RELEASE act")
	return err != nil
}

// apart undoes a broken group and gives each of its acts a transaction of its
// own, so that one that fails takes no other with it.
func (db *DB) apart(c *conn, group []*act) []*act {
	if err := c.rollback(nil); err != nil {
		for _, a := range group {
			a.err = err
		}
		return group
	}
	for _, a := range group {
		if a.err = a.ctx.Err(); a.err != nil {
			continue
		}
		if a.err = c.transaction("BEGIN IMMEDIATE", func() error { return a.run(c) }); a.err == nil {
			db.groups.Add(1)
			db.acts.Add(1)
		}
	}
	return group
}
