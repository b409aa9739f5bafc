package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration is one step of the schema. Steps only go forward.
type Migration struct {
	Version   int64
	Name      string
	AppliedAt time.Time // zero: not yet

	sql string
}

// steps reads the embedded migrations, named such as 0001_first.sql, in order.
func steps() ([]Migration, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql") // sorted by name
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	all := make([]Migration, 0, len(files))
	for i, file := range files {
		number, name, _ := strings.Cut(strings.TrimSuffix(path.Base(file), ".sql"), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil || version != int64(i+1) {
			return nil, fmt.Errorf("migration %s is not number %d", file, i+1)
		}
		sql, err := migrations.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", file, err)
		}
		all = append(all, Migration{Version: version, Name: name, sql: string(sql)})
	}
	return all, nil
}

// pending lists the steps that the file lacks.
func pending(c *conn) ([]Migration, error) {
	all, err := steps()
	if err != nil {
		return nil, err
	}
	fresh, have := true, int64(0)
	if _, err := c.first(func(*row) { fresh = false }, `SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'`); err != nil || fresh {
		return all, err
	}
	if _, err := c.first(func(r *row) { have = r.int() }, `SELECT coalesce(max(version), 0) FROM schema_migrations`); err != nil {
		return nil, err
	}
	if have > int64(len(all)) {
		return nil, fmt.Errorf("%w: it has schema %d, this program knows %d; run the newer program, or restore a backup", ErrNewer, have, len(all))
	}
	return all[have:], nil
}

// migrate applies the steps that the file lacks, each in a transaction of its
// own. The caller holds the lock of the data directory.
func migrate(ctx context.Context, c *conn) error {
	lacking, err := pending(c)
	if err != nil {
		return err
	}
	for _, m := range lacking {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := c.transaction("BEGIN IMMEDIATE", func() error {
			if err := c.db.Exec(m.sql); err != nil {
				return err
			}
			_, err := c.exec(`INSERT INTO schema_migrations (version, name, applied_at) VALUES (?, ?, ?)`, m.Version, m.Name, time.Now())
			return err
		})
		if err != nil {
			return fmt.Errorf("migration %d (%s): %w", m.Version, m.Name, err)
		}
	}
	return nil
}

// migrateBeside is migrate for a process that does not keep the lock. It takes
// it for as long as there are steps to apply: under a program that runs with
// another schema nothing is changed, but one that is applying them is waited for.
func migrateBeside(ctx context.Context, c *conn, lockPath string) error {
	for try := 0; ; try++ {
		lacking, err := pending(c)
		if err != nil || len(lacking) == 0 {
			return err
		}
		held, err := lock(lockPath)
		if err == nil {
			return errors.Join(migrate(ctx, c), held.Close())
		}
		if !errors.Is(err, ErrLocked) || try == 50 {
			return fmt.Errorf("the database needs %d migrations: %w", len(lacking), err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Migrations lists the steps this program knows and when each was applied.
func (db *DB) Migrations(ctx context.Context) ([]Migration, error) {
	all, err := steps()
	if err != nil {
		return nil, err
	}
	err = db.read(ctx, func(c *conn) error {
		return c.query(func(r *row) error {
			if version := r.int(); version <= int64(len(all)) {
				all[version-1].AppliedAt = r.time()
			}
			return nil
		}, `SELECT version, applied_at FROM schema_migrations`)
	})
	return all, err
}
