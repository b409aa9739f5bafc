package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNREFUSED) ||
		pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "closed pool")
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

// reasonOf says in one line why a connection failed, without the password.
func reasonOf(err error, dsn string) string {
	text := err.Error()
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		text = pg.Message
	} else if u, parsed := url.Parse(dsn); parsed == nil && u.Host != "" {
		text = u.Host + " does not answer"
		if errors.Is(err, syscall.ECONNREFUSED) {
			text = "nobody listens at " + u.Host
		}
		var dns *net.DNSError
		if errors.As(err, &dns) {
			text = "there is no host " + dns.Name
		}
	} else {
		text = "it has a form like postgres://user:password@host:5432/database"
	}
	return strings.Join(strings.Fields(text), " ")
}

// hasParameter tells whether a connection string sets a parameter.
func hasParameter(dsn, name string) bool { return strings.Contains(dsn, name+"=") }
