package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// chooseMode decides how statements travel. Behind a transaction pooler only
// unnamed ones are safe: a named one may be missing on the next connection or
// belong to somebody else there.
func chooseMode(ctx context.Context, setting, dsn string, c *pgx.ConnConfig) (pooled bool, err error) {
	if c.DefaultQueryExecMode == pgx.QueryExecModeDescribeExec {
		return false, fmt.Errorf("%s: default_query_exec_mode=describe_exec mixes up answers behind a pooler; leave it out", setting)
	}
	probe := c.Copy()
	probe.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, probe)
	if err != nil {
		return false, refused(setting, dsn, err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost
	if pooled, err = isPooled(ctx, conn); err != nil {
		return false, refused(setting, dsn, err)
	}
	if !hasParameter(dsn, "default_query_exec_mode") && pooled {
		c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	return pooled, nil
}

// isPooled tells whether a pooler answered: it gives a process number of its own
// where Postgres gives that of the backend.
func isPooled(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var pid uint32
	if err := conn.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		return false, err
	}
	return pid != conn.PgConn().PID(), nil
}

// What the self-test does: more connections than a small pooler has, so that they
// must share, and statements that differ in text, types and values.
const (
	testConns  = 6
	testRounds = 15
)

// selfTest runs many statements on many connections at once and checks that each
// gets its own answer. A mode that does not suit the pooler fails here and not on
// somebody's balance.
func selfTest(ctx context.Context, setting string, pool *pgxpool.Pool) error {
	var work errgroup.Group
	for n := range min(testConns, int(pool.Config().MaxConns)) {
		work.Go(func() error {
			conn, err := pool.Acquire(ctx) // as long as it takes: a new line to a far server is slow
			if err != nil {
				return err
			}
			defer conn.Release()
			for round := range testRounds {
				if err := echo(ctx, conn.Conn(), n, round); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := work.Wait()
	var mixed *mixedUp
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mixed), errors.As(err, &pg) && pg.Severity == "ERROR":
		return fmt.Errorf("%s: answers of connections get mixed up in mode %s (%w); remove default_query_exec_mode from it",
			setting, modeName(pool.Config().ConnConfig.DefaultQueryExecMode), root(err))
	default:
		return refused(setting, pool.Config().ConnString(), err)
	}
}

// modeName is a mode as a connection string says it.
func modeName(m pgx.QueryExecMode) string { return strings.ReplaceAll(m.String(), " ", "_") }

// mixedUp is an answer to another question.
type mixedUp struct{ got, want string }

func (m *mixedUp) Error() string { return fmt.Sprintf("got %s, want %s", m.got, m.want) }

// echo asks for what only this connection and round can mean.
func echo(ctx context.Context, c *pgx.Conn, n, round int) error {
	number := int64(n*1_000_000 + round)
	word := "word " + strconv.FormatInt(number, 10)
	var gotNumber, sum int64
	var gotWord string
	var err error
	switch (n + round) % 3 {
	case 0:
		err = c.QueryRow(ctx, `SELECT $1::bigint, $2::text, $1::bigint + 1`, number, word).Scan(&gotNumber, &gotWord, &sum)
	case 1:
		err = c.QueryRow(ctx, `SELECT length($1::text)::bigint, $1::text, $2::bigint`, word, number+1).Scan(&gotNumber, &gotWord, &sum)
		gotNumber += number - int64(len(word))
	default:
		err = c.QueryRow(ctx, `SELECT $2::bigint, reverse(reverse($1::text)), $3::bigint`, word, number, number+1).Scan(&gotNumber, &gotWord, &sum)
	}
	if err != nil {
		return err
	}
	if gotNumber != number || gotWord != word || sum != number+1 {
		return &mixedUp{fmt.Sprint(gotNumber, gotWord, sum), fmt.Sprint(number, word, number+1)}
	}
	return nil
}
