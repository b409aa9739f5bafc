package postgres

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

	"github.com/jackc/pgx/v5"
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

// bringUp migrates the schema or refuses one that does not fit.
func (db *DB) bringUp(ctx context.Context) error {
	setting, url := "DATABASE_DIRECT_URL", db.config.Direct
	if url == "" { // pooled alone: every step keeps to one transaction, so that it may go through
		setting, url = "DATABASE_URL", db.config.URL
	}
	conn, err := connect(ctx, setting, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost
	all, err := steps()
	if err != nil {
		return err
	}
	have, err := version(ctx, conn)
	if err != nil {
		return err
	}
	if have > int64(len(all)) {
		return fmt.Errorf("DATABASE_URL: %w: it has schema %d, this program knows %d; run the newer program, or restore a backup", ErrNewer, have, len(all))
	}
	if have < int64(len(all)) && !db.config.Migrate {
		return fmt.Errorf("DATABASE_URL: %w: it has schema %d, this program needs %d; run 'onemind migrate'", ErrOld, have, len(all))
	}
	for _, m := range all[have:] {
		if err := apply(ctx, conn, m); err != nil {
			return fmt.Errorf("migration %d (%s): %w", m.Version, m.Name, err)
		}
	}
	if have < int64(len(all)) {
		db.setTimeouts(ctx, conn)
	}
	return nil
}

// version is the number of the last step that was applied; 0 for none.
func version(ctx context.Context, q querier) (have int64, err error) {
	var there bool
	if err := q.QueryRow(ctx, `SELECT to_regclass('onemind.schema_migrations') IS NOT NULL`).Scan(&there); err != nil || !there {
		return 0, err
	}
	err = q.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM onemind.schema_migrations`).Scan(&have)
	return have, err
}

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// migrationLock is the key of the lock that lets one instance migrate at a time.
const migrationLock = 0x6f6e656d696e64 // "onemind"

// apply applies one step, unless another instance was faster.
func apply(ctx context.Context, conn *pgx.Conn, m Migration) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock)); err != nil {
			return err
		}
		have, err := version(ctx, tx)
		if err != nil || have >= m.Version {
			return err
		}
		// A step is many statements: the simple protocol takes them as one text.
		if _, err := tx.Exec(ctx, m.sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO onemind.schema_migrations (version, name, applied_at) VALUES ($1, $2, now())`, m.Version, m.Name)
		return err
	})
}

// setTimeouts makes the server keep what the clients' deadlines cannot: a
// statement whose client is gone. A role that may not change itself goes without.
func (db *DB) setTimeouts(ctx context.Context, conn *pgx.Conn) {
	for _, setting := range []string{"statement_timeout = '5s'", "lock_timeout = '500ms'", "idle_in_transaction_session_timeout = '10s'"} {
		var text string
		err := conn.QueryRow(ctx, `SELECT format('ALTER ROLE CURRENT_USER IN DATABASE %I SET ', current_database())`).Scan(&text)
		if err == nil {
			_, err = conn.Exec(ctx, text+setting, pgx.QueryExecModeSimpleProtocol)
		}
		if err != nil {
			db.log.Warn("the role's timeouts could not be set; set them yourself", "setting", setting, "err", err)
			return
		}
	}
}

// Migrations lists the steps this program knows and when each was applied.
func (db *DB) Migrations(ctx context.Context) ([]Migration, error) {
	var all []Migration
	err := db.read(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		all, err = applied(ctx, c)
		return err
	})
	return all, err
}

// Status lists the steps without opening, and so without changing, anything.
func Status(ctx context.Context, url string) ([]Migration, error) {
	conn, err := connect(ctx, "DATABASE_URL", url)
	if err != nil {
		return nil, err
	}
	all, err := applied(ctx, conn)
	return all, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}

func applied(ctx context.Context, c *pgx.Conn) ([]Migration, error) {
	all, err := steps()
	if err != nil {
		return nil, err
	}
	have, err := version(ctx, c)
	if err != nil || have == 0 {
		return all, err
	}
	_, err = list(ctx, c, func(r *row) struct{} {
		if n, at := r.int(), r.time(); n <= int64(len(all)) {
			all[n-1].AppliedAt = at
		}
		return struct{}{}
	}, `SELECT version, applied_at FROM onemind.schema_migrations`)
	return all, err
}
