package servers

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"onemind/deploy"
)

// The role that owns everything in a private Postgres, a superuser, and its password.
const (
	Role     = "onemind"
	Password = "onemind-local" //nolint:gosec // of servers that live on this machine for the length of a test
)

// debianPostgres is where Debian keeps each version's binaries.
const debianPostgres = "/usr/lib/postgresql/*/bin"

// Postgres is a private database server with fsync on.
type Postgres struct{ server }

// NewPostgres starts a server whose data is made under dir. Settings are lines of
// postgresql.conf, such as "max_connections=50".
func NewPostgres(ctx context.Context, dir string, settings ...string) (*Postgres, error) {
	home, err := folder(dir, "postgres")
	if err != nil {
		return nil, err
	}
	initdb, err := program("initdb", "postgresql", debianPostgres)
	if err != nil {
		return nil, err
	}
	secret := filepath.Join(home, "password")
	if err := write(secret, Password); err != nil {
		return nil, err
	}
	data := filepath.Join(home, "data")
	// --no-sync: only the making of the cluster is not flushed; the server's own writes are.
	if err := run(ctx, home, initdb, "-D", data, "-U", Role, "--pwfile="+secret, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"); err != nil {
		return nil, err
	}
	return startPostgres(ctx, home, data, settings)
}

func startPostgres(ctx context.Context, home, data string, settings []string) (*Postgres, error) {
	path, err := program("postgres", "postgresql", debianPostgres)
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	p := &Postgres{server{name: "postgres", dir: home, port: port}}
	p.args = []string{path, "-D", data, "-p", fmt.Sprint(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="}
	for _, s := range settings {
		p.args = append(p.args, "-c", s)
	}
	ask, err := program("pg_isready", "postgresql", debianPostgres)
	if err != nil {
		return nil, err
	}
	p.ready = func(ctx context.Context) error {
		return run(ctx, home, ask, "-q", "-h", "127.0.0.1", "-p", fmt.Sprint(port), "-d", "postgres")
	}
	return p, p.Start(ctx)
}

// URL is the connection string of a database on it.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", Role, Password, p.Addr(), database)
}

// CreateDatabase makes an empty database.
func (p *Postgres) CreateDatabase(ctx context.Context, name string) error {
	path, err := program("createdb", "postgresql", debianPostgres)
	if err != nil {
		return err
	}
	return run(ctx, p.dir, path, "--maintenance-db="+p.URL("postgres"), name)
}

// Stop ends it as an operator would who does not wait for clients ("fast").
func (p *Postgres) Stop() { p.end(syscall.SIGINT) }

// NewReplica starts a streaming replica of it. Settings are lines of
// postgresql.conf, such as "recovery_min_apply_delay=10s".
func (p *Postgres) NewReplica(ctx context.Context, dir string, settings ...string) (*Postgres, error) {
	home, err := folder(dir, "replica")
	if err != nil {
		return nil, err
	}
	backup, err := program("pg_basebackup", "postgresql", debianPostgres)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(home, "data")
	if err := run(ctx, home, backup, "-D", data, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync", "-d", p.URL("postgres")); err != nil {
		return nil, err
	}
	return startPostgres(ctx, home, data, settings)
}

// Pooler is a private PgBouncer with the shipped configuration.
type Pooler struct{ server }

// NewPooler starts a PgBouncer in front of every database of a Postgres, with
// deploy/pgbouncer.ini. Settings are further lines of its [pgbouncer] section,
// which win over the file's.
func NewPooler(ctx context.Context, dir string, p *Postgres, settings ...string) (*Pooler, error) {
	home, err := folder(dir, "pgbouncer")
	if err != nil {
		return nil, err
	}
	path, err := program("pgbouncer", "pgbouncer", "/usr/sbin")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	users := filepath.Join(home, "userlist.txt")
	if err := write(users, fmt.Sprintf("%q %q\n", Role, Password)); err != nil {
		return nil, err
	}
	var ini strings.Builder
	ini.WriteString(deploy.PgBouncer)
	fmt.Fprintf(&ini, "\nlisten_port = %d\nauth_file = %s\nunix_socket_dir =\nadmin_users = %s\n", port, users, Role)
	for _, s := range settings {
		fmt.Fprintln(&ini, s)
	}
	fmt.Fprintf(&ini, "\n[databases]\n* = host=127.0.0.1 port=%d\n", p.port)
	file := filepath.Join(home, "pgbouncer.ini")
	if err := write(file, ini.String()); err != nil {
		return nil, err
	}
	b := &Pooler{server{name: "pgbouncer", dir: home, port: port, args: []string{path, file}}}
	return b, b.Start(ctx)
}

// URL is the connection string of a database through it. The database
// "pgbouncer" is its console.
func (b *Pooler) URL(database string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", Role, Password, b.Addr(), database)
}
