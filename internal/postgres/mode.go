package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// chooseMode decides how statements travel. Behind a transaction pooler only
// unnamed ones are safe: a named one may be missing on the next connection or
// belong to somebody else there.
func chooseMode(ctx context.Context, setting, url string, c *pgx.ConnConfig) (pooled bool, err error) {
	if c.DefaultQueryExecMode == pgx.QueryExecModeDescribeExec {
		return false, fmt.Errorf("%s: default_query_exec_mode=describe_exec mixes up answers behind a pooler; leave it out", setting)
	}
	probe := c.Copy()
	probe.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, probe)
	if err != nil {
		return false, fmt.Errorf("%s: %s", setting, reasonOf(err, url))
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost
	if pooled, err = isPooled(ctx, conn); err != nil {
		return false, fmt.Errorf("%s: %s", setting, reasonOf(err, url))
	}
	if !hasParameter(url, "default_query_exec_mode") && pooled {
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
func selfTest(ctx context.Context, pool *pgxpool.Pool) error {
	var work errgroup.Group
	for n := range min(testConns, int(pool.Config().MaxConns)) {
		work.Go(func() error {
			return borrow(ctx, pool, func(ctx context.Context, c *pgx.Conn) error {
				for round := range testRounds {
					if err := echo(ctx, c, n, round); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	err := work.Wait()
	if err == nil {
		return nil
	}
	var mixed *mixedUp
	if errors.As(err, &mixed) || isCode(err, "42P05", "26000", "08P01") {
		return fmt.Errorf("DATABASE_URL: answers of connections get mixed up in mode %s (%v); remove default_query_exec_mode from it",
			pool.Config().ConnConfig.DefaultQueryExecMode, err)
	}
	return fmt.Errorf("DATABASE_URL: the self-test failed: %w", err)
}

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
