package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"onemind/internal/fault"
)

var (
	// ErrNewer reports a schema of a newer OneMind.
	ErrNewer = errors.New("the database is newer than this program")
	// ErrOld reports a schema that has to be migrated.
	ErrOld = errors.New("the database has an old schema")

	errBusy = fault.New(fault.Unavailable, "database_busy", "The server is very busy. Try again in a moment.").After(time.Second)
	errAway = fault.New(fault.Unavailable, "database_unavailable", "The database does not answer right now. Try again in a moment.").After(2 * time.Second)
)

func unavailable(err error) error { return errAway.Because(err) }

// translate turns what went wrong with the database, and not with the
// statement, into a fault that may be tried again.
func translate(err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) || errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if away(err) {
		return unavailable(err)
	}
	return err
}

// away tells whether an error means that the database is not there: the
// connection broke, the server goes down or comes up, or nobody answered in time.
func away(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "57P01", "57P02", "57P03", // going down, crashed, starting up
			"57014", // the server's own timeout
			"53300", // too many connections
			"25P03": // idle in a transaction for too long
			return true
		}
		return strings.HasPrefix(pg.Code, "08") // connection lost; PgBouncer's word for its own troubles
	}
	var network net.Error
	var failed *pgconn.ConnectError
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) || errors.As(err, &failed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgconn.ErrConnClosed) || pgconn.SafeToRetry(err)
}

// lostRace tells whether a transaction only has to start again.
func lostRace(err error) bool { return isCode(err, "40001", "40P01", "55P03") }

func isCode(err error, codes ...string) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	for _, code := range codes {
		if pg.Code == code {
			return true
		}
	}
	return false
}

// parse reads a connection string. What the parser says of a bad one may hold
// the password, and one with special characters is taken apart in wrong places.
func parse(setting, dsn string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(dsn)
	u, broken := url.Parse(dsn)
	isURL := strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
	if isURL && (broken != nil || u.User == nil && strings.Contains(dsn, "@")) || err != nil && !isURL {
		return nil, fmt.Errorf("%s: is not a Postgres connection string; it has a form like postgres://user:password@host:5432/database, with %%XX for special characters", setting)
	}
	if inner := errors.Unwrap(err); inner != nil {
		return nil, fmt.Errorf("%s: one of its parameters is wrong: %w", setting, inner)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: one of its parameters is wrong", setting)
	}
	return config, nil
}

// refused says in one line why a connection failed, and never the password.
func refused(setting, dsn string, err error) error {
	host := "the server"
	if u, parsed := url.Parse(dsn); parsed == nil && u.Host != "" {
		host = u.Host
	}
	var pg *pgconn.PgError
	var dns *net.DNSError
	var reason string
	switch {
	case errors.As(err, &pg):
		reason = host + " says: " + pg.Message
	case errors.As(err, &dns):
		reason = "there is no host " + dns.Name
	case errors.Is(err, syscall.ECONNREFUSED):
		reason = "nobody listens at " + host
	case pgconn.Timeout(err), errors.Is(err, context.DeadlineExceeded):
		reason = host + " does not answer"
	default:
		reason = host + ": " + root(err).Error()
	}
	return &startError{setting + ": " + strings.Join(strings.Fields(reason), " "), err}
}

// startError is a refusal to start; its text is for an operator.
type startError struct {
	text  string
	cause error
}

func (e *startError) Error() string { return e.text }
func (e *startError) Unwrap() error { return e.cause }

// root is the innermost cause of an error.
func root(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// hasParameter tells whether a connection string sets a parameter.
func hasParameter(dsn, name string) bool { return strings.Contains(dsn, name+"=") }
