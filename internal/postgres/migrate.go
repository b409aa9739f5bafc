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
	setting, dsn := "DATABASE_DIRECT_URL", db.config.Direct
	if dsn == "" || dsn == db.config.URL { // pooled alone: every step keeps to one transaction, so that it may go through
		setting, dsn = "DATABASE_URL", db.config.URL
	}
	conn, err := connect(ctx, setting, dsn)
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
		return fmt.Errorf("%s: read the schema's version: %w", setting, err)
	}
	if have > int64(len(all)) {
		return fmt.Errorf("%s: %w: it has schema %d, this program knows %d; run the newer program, or restore a backup", setting, ErrNewer, have, len(all))
	}
	if have < int64(len(all)) && !db.config.Migrate {
		return fmt.Errorf("%s: %w: it has schema %d, this program needs %d; run 'onemind migrate'", setting, ErrOld, have, len(all))
	}
	for _, m := range all[have:] {
		if err := apply(ctx, conn, m); err != nil {
			return fmt.Errorf("%s: migration %d (%s): %w", setting, m.Version, m.Name, err)
		}
	}
	if have == 0 && len(all) > 0 {
		db.setTimeouts(ctx, conn)
	}
	return nil
}

// version is the number of the last step that was applied; 0 for none. It reads the
// catalog's rows: to_regclass may still say what was so before a lock was waited for.
func version(ctx context.Context, q querier) (have int64, err error) {
	var there bool
	if err := q.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'onemind' AND c.relname = 'schema_migrations')`).
		Scan(&there); err != nil || !there {
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

// alone runs fn in a transaction that no other instance's can run beside. It has
// time: the role's own timeouts are for what people wait for.
func alone(ctx context.Context, conn *pgx.Conn, fn func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true)`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock)); err != nil {
			return err
		}
		return fn(tx)
	})
}

// apply applies one step, unless another instance was faster.
func apply(ctx context.Context, conn *pgx.Conn, m Migration) error {
	return alone(ctx, conn, func(tx pgx.Tx) error {
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

// timeouts are what the server keeps when a client is gone that would have kept
// its own deadline.
const timeouts = "statement_timeout = '5s', lock_timeout = '500ms', idle_in_transaction_session_timeout = '10s'"

// setTimeouts gives the role its timeouts in a new database. Where others have
// tables too, or the role may not, that is left to the operator.
func (db *DB) setTimeouts(ctx context.Context, conn *pgx.Conn) {
	shared := false
	err := alone(ctx, conn, func(tx pgx.Tx) error {
		var role string
		if err := tx.QueryRow(ctx, `
			SELECT format('ALTER ROLE CURRENT_USER IN DATABASE %I SET ', current_database()), EXISTS (
				SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
				WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('onemind', 'information_schema') AND n.nspname NOT LIKE 'pg\_%')`).
			Scan(&role, &shared); err != nil || shared {
			return err
		}
		for setting := range strings.SplitSeq(timeouts, ", ") {
			if _, err := tx.Exec(ctx, role+setting, pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
		}
		return nil
	})
	if shared {
		db.log.Info("the database has other tables too, so the role keeps its timeouts; a role of its own should have these", "timeouts", timeouts)
	}
	if err != nil {
		db.log.Warn("the role's timeouts could not be set; set them yourself", "timeouts", timeouts, "err", err)
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
