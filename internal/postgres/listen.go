package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"onemind/internal/fleet"
)

// channel is the one that everything is told on; see migrations.
const channel = "onemind"

// How a listener keeps its line.
const (
	quietFor   = 5 * time.Second // silence after which the line is tried
	tryWithin  = 2 * time.Second
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// Bus carries signals as notifications of the database. They are sent through the
// pool and heard on a direct connection.
type Bus struct{ db *DB }

var _ fleet.Bus = Bus{}

// Bus gives the database as a bus.
func (db *DB) Bus() Bus { return Bus{db} }

// Hears tells whether there is a direct connection to listen on.
func (b Bus) Hears() bool { return b.db.config.Direct != "" }

// Publish sends a signal; see fleet.Bus.
func (b Bus) Publish(ctx context.Context, s fleet.Signal) error {
	return b.db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, `SELECT pg_notify($1, $2)`, channel, s.String())
		return err
	})
}

// Listen passes signals to hear until ctx ends; see fleet.Bus. Without a direct
// connection it hears nothing.
func (b Bus) Listen(ctx context.Context, hear func(fleet.Signal), connected func(bool)) error {
	if !b.Hears() {
		<-ctx.Done()
		return nil
	}
	pause := retryFirst
	for ctx.Err() == nil {
		began := time.Now()
		err := b.listenOnce(ctx, hear, connected)
		connected(false)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > retryMost {
			pause = retryFirst
		}
		b.db.log.Debug("listening to the database ended", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // spacing, not a secret
		}
		pause = min(2*pause, retryMost)
	}
	return nil
}

func (b Bus) listenOnce(ctx context.Context, hear func(fleet.Signal), connected func(bool)) error {
	conn, err := connect(ctx, "DATABASE_DIRECT_URL", b.db.config.Direct)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	connected(true)
	for {
		note, err := waitFor(ctx, conn)
		if err != nil {
			return err
		}
		if note == nil {
			continue
		}
		if s, ok := fleet.Parse(note.Payload); ok {
			hear(s)
		}
	}
}

// waitFor waits for a notification. After a while of silence it asks the server
// something: a line can be dead without a word.
func waitFor(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	quiet, cancel := context.WithTimeout(ctx, quietFor)
	note, err := conn.WaitForNotification(quiet)
	cancel()
	if err == nil || ctx.Err() != nil || !errors.Is(quiet.Err(), context.DeadlineExceeded) {
		return note, err
	}
	trying, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	_, err = conn.Exec(trying, `SELECT 1`)
	return nil, err
}
