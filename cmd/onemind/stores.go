package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"onemind/internal/account"
	"onemind/internal/catalog"
	"onemind/internal/chat"
	"onemind/internal/credit"
	"onemind/internal/fleet"
	"onemind/internal/gateway"
	"onemind/internal/limit"
	"onemind/internal/memory"
	"onemind/internal/postgres"
	"onemind/internal/redis"
	"onemind/internal/replay"
	"onemind/internal/sqlite"
)

// database is what one installation's tables remember.
type database interface {
	account.Store
	account.Sessions
	credit.Store
	chat.Store
	replay.Store
	Close() error
}

// migration is one step of a schema, whichever database it is of.
type migration struct {
	Version   int64     `json:"version"`
	Name      string    `json:"name"`
	AppliedAt time.Time `json:"applied_at,omitzero"` // zero: not yet
}

// migrations lists the steps of the schema. It changes nothing in a Postgres; an
// embedded database is made if there is none.
func migrations(ctx context.Context, c *config) ([]migration, error) {
	var list []migration
	if c.postgres() {
		steps, err := postgres.Status(ctx, c.get("DATABASE_URL"))
		for _, m := range steps {
			list = append(list, migration{m.Version, m.Name, m.AppliedAt})
		}
		return list, err
	}
	db, err := sqlite.OpenBeside(ctx, c.database())
	if err != nil {
		return nil, err
	}
	steps, err := db.Migrations(ctx)
	for _, m := range steps {
		list = append(list, migration{m.Version, m.Name, m.AppliedAt})
	}
	return list, errors.Join(err, db.Close())
}

// stores is every store of an instance, each the one that its settings choose.
// Nothing above this file knows which.
type stores struct {
	database
	catalog  catalog.Store
	accounts account.Store
	sessions account.Sessions
	display  credit.Display // nil: balances are read where they are kept
	replay   replay.Config
	limits   limit.Limiter
	replies  gateway.Replies // answers to give again

	presences []fleet.Presence
	buses     []fleet.Bus
	lines     int // buses that can be listened to

	file   *sqlite.DB                    // with SQLite
	pg     *postgres.DB                  // with Postgres
	shared *shared                       // with Redis
	closes []func() error                // in the order of opening
	keeps  []func(context.Context) error // run as long as the instance does
}

// shared is what is in Redis.
type shared struct {
	client   *redis.Client
	limiter  *redis.Limiter
	degrades *limit.Shared
	sessions *redis.Sessions
	users    *redis.Users
	balances *redis.Balances
}

// openStores opens what the settings name. live gives the number of instances
// that share the limits.
func openStores(ctx context.Context, c *config, serving bool, live func() int, log *slog.Logger) (*stores, error) {
	s, err := openDatabase(ctx, c, serving, live, log)
	if err == nil && c.get("ONEMIND_STREAM_BUFFER") == "memory" {
		s.replay = replay.Config{Store: memory.NewReplay()}
	}
	return s, err
}

// openDatabase opens the database and what is shared beside it.
func openDatabase(ctx context.Context, c *config, serving bool, live func() int, log *slog.Logger) (*stores, error) {
	if !c.postgres() {
		return openFile(ctx, c, serving)
	}
	db, err := postgres.Open(ctx, postgres.Config{URL: c.get("DATABASE_URL"), Direct: c.get("DATABASE_DIRECT_URL"),
		Replica: c.get("DATABASE_REPLICA_URL"), Migrate: !serving || c.get("ONEMIND_MIGRATE") == "true", Log: log})
	if err != nil {
		return nil, err
	}
	s := &stores{database: db, pg: db, catalog: db.Catalog(), accounts: db, sessions: db, replay: replay.Config{Store: db},
		limits: memory.NewLimiter(), replies: memory.NewReplies(memory.RepliesSize), presences: []fleet.Presence{db.Presence()}, buses: []fleet.Bus{db.Bus()}, closes: []func() error{db.Close}}
	if db.Bus().Hears() {
		s.lines = 1
	}
	if c.alone() {
		return s, nil
	}
	if err := s.share(ctx, c.get("REDIS_URL"), live, log); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// openFile opens the embedded database. Only a server holds the data directory
// alone; commands work beside it.
func openFile(ctx context.Context, c *config, serving bool) (*stores, error) {
	opener := sqlite.OpenBeside
	if serving {
		opener = sqlite.Open
	}
	db, err := opener(ctx, c.database())
	if err != nil {
		return nil, err
	}
	return &stores{database: db, file: db, catalog: db.Catalog(), accounts: db, sessions: db, replay: replay.Config{Store: db},
		limits: memory.NewLimiter(), replies: memory.NewReplies(memory.RepliesSize), closes: []func() error{db.Close}}, nil
}

// share puts Redis in front of the database, for what instances share.
func (s *stores) share(ctx context.Context, url string, live func() int, log *slog.Logger) error {
	client, err := redis.Open(ctx, url, redis.Options{Log: log})
	if err != nil {
		return err
	}
	s.closes = append(s.closes, client.Close)
	r := &shared{client: client, limiter: redis.NewLimiter(client, redis.LimiterOptions{}), sessions: redis.NewSessions(client, s.sessions),
		users: redis.NewUsers(client, s.accounts), balances: redis.NewBalances(client)}
	r.degrades = limit.NewShared(r.limiter, memory.NewLimiter(), live)
	events := redis.NewReplay(client)
	s.shared, s.limits, s.sessions, s.accounts, s.display = r, r.degrades, r.sessions, r.users, r.balances
	s.catalog, s.replies = redis.NewCatalog(client, s.catalog), redis.NewReplies(client)
	s.replay = replay.Config{Store: events, Spare: s.database, Watch: events.Watch}
	s.presences = append([]fleet.Presence{redis.NewPresence(client)}, s.presences...)
	s.buses = append([]fleet.Bus{redis.NewBus(client)}, s.buses...)
	s.lines++
	s.keeps = append(s.keeps, client.Run, r.limiter.Run, events.Run)
	return nil
}

func (s *stores) close() error {
	var errs []error
	for i := len(s.closes) - 1; i >= 0; i-- {
		errs = append(errs, s.closes[i]())
	}
	return errors.Join(errs...)
}
