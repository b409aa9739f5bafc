// Package servers starts private Postgres, PgBouncer, Redis and HAProxy servers
// from the binaries that are installed (Debian's packages), on free ports of
// this machine, with data that is thrown away at the end. The tests and
// `make cluster` use it: what they run against is the real thing, with fsync on.
// It knows nothing of OneMind.
package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Timeouts of a start and of a polite stop. A stop that takes longer becomes a kill.
const (
	startWithin = 30 * time.Second
	stopWithin  = 10 * time.Second
	lookEvery   = 10 * time.Millisecond
)

// server is one process in a process group of its own, and how to start it again.
type server struct {
	name string
	dir  string // its own, owned by who runs it
	port int
	args []string // program first
	env  []string
	// ready tells whether it takes requests; nil: once its port takes connections.
	ready func(context.Context) error

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// Port is where it listens on 127.0.0.1.
func (s *server) Port() int { return s.port }

// Addr is host and port.
func (s *server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Start starts the process, again on the same port and data after a Stop or Kill,
// and waits until it takes requests.
func (s *server) Start(ctx context.Context) error {
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // its own folder
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", s.name, err)
	}
	defer log.Close() //nolint:errcheck // the process has its own copy
	// The context of a start must not end the process: Stop does.
	s.cmd = exec.Command(s.args[0], s.args[1:]...) //nolint:gosec,noctx // as said
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, log, log
	s.cmd.Env = append(os.Environ(), s.env...)
	s.cmd.SysProcAttr, err = attributes()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	cmd, done := s.cmd, make(chan struct{})
	s.done = done
	go func() { _ = cmd.Wait(); close(done) }()
	return s.await(ctx)
}

// await waits until the server takes requests.
func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	ready := s.ready
	if ready == nil {
		ready = s.connects
	}
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("%s ended at its start: %w\n%s", s.name, err, s.tail())
		case <-ctx.Done():
			s.Kill()
			return fmt.Errorf("%s does not answer: %w\n%s", s.name, err, s.tail())
		case <-time.After(lookEvery):
		}
	}
}

func (s *server) connects(ctx context.Context) error {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		return err
	}
	return c.Close()
}

func (s *server) logPath() string { return filepath.Join(s.dir, s.name+".log") }

// tail is the end of the log.
func (s *server) tail() string {
	b, err := os.ReadFile(s.logPath())
	if err != nil {
		return err.Error()
	}
	const most = 4000
	return string(b[max(0, len(b)-most):])
}

// end sends a signal to the process and waits for its end, by force after stopWithin.
func (s *server) end(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig) // it may be gone
	select {
	case <-s.done:
	case <-time.After(stopWithin):
		s.Kill()
	}
}

// Stop ends it politely.
func (s *server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends it and its children at once, as a crash would.
func (s *server) Kill() {
	if s.cmd == nil {
		return
	}
	children := childrenOf(s.cmd.Process.Pid)
	s.group(syscall.SIGKILL)
	<-s.done
	for _, pid := range children { // those of Postgres have process groups of their own, and keep its memory
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone
	}
	for end := time.Now().Add(stopWithin); slices.ContainsFunc(children, lives) && time.Now().Before(end); {
		time.Sleep(lookEvery)
	}
}

// lives tells whether a process has not ended, as far as /proc knows.
func lives(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// Pause stops it and its children without closing anything: connections stay
// open and nothing answers.
func (s *server) Pause() {
	s.group(syscall.SIGSTOP)
	s.children(syscall.SIGSTOP) // those of Postgres have process groups of their own
}

// Resume ends a Pause.
func (s *server) Resume() {
	s.children(syscall.SIGCONT)
	s.group(syscall.SIGCONT)
}

func (s *server) children(sig syscall.Signal) {
	for _, pid := range childrenOf(s.cmd.Process.Pid) {
		_ = syscall.Kill(pid, sig) // it may be gone
	}
}

func (s *server) group(sig syscall.Signal) {
	_ = syscall.Kill(-s.cmd.Process.Pid, sig) // it may be gone
}

// account is who runs the servers: Postgres and PgBouncer refuse root.
func account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("read the ids of %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("running as root, and there is neither a user postgres nor a user nobody to run the servers as")
}

func attributes() (*syscall.SysProcAttr, error) {
	who, err := account()
	if err != nil {
		return nil, err
	}
	attr := &syscall.SysProcAttr{Setpgid: true, Credential: who}
	endWithParent(attr)
	return attr, nil
}

// folder makes a folder that belongs to who runs the servers.
func folder(parent, name string) (string, error) {
	dir := filepath.Join(parent, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of %s: %w", name, err)
	}
	return dir, own(dir)
}

// own gives a file or folder to who runs the servers.
func own(path string) error {
	who, err := account()
	if err != nil || who == nil {
		return err
	}
	if err := os.Chown(path, int(who.Uid), int(who.Gid)); err != nil {
		return fmt.Errorf("hand over %s: %w", path, err)
	}
	return nil
}

// write writes a file that belongs to who runs the servers.
func write(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return own(path)
}

// Dir makes a throw-away folder that every server can reach, and gives the
// function that removes it.
func Dir() (path string, remove func(), err error) {
	path, err = os.MkdirTemp("", "onemind-servers-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for the servers: %w", err)
	}
	if err := os.Chmod(path, 0o755); err != nil { //nolint:gosec // others must pass through; what is inside is closed
		return "", nil, fmt.Errorf("open the folder of the servers: %w", err)
	}
	return path, func() { _ = os.RemoveAll(path) }, nil
}

// FreePort gives a port of 127.0.0.1 that nobody listens on.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil || !ok {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return addr.Port, nil
}

// program finds an installed binary, in PATH or where Debian keeps it.
func program(name, pkg string, places ...string) (string, error) {
	for _, pattern := range places {
		found, _ := filepath.Glob(filepath.Join(pattern, name)) // the patterns are constants
		if len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s is not installed: run 'make deps', or install the package %s", name, pkg)
}

// run runs a tool to its end as who runs the servers.
func run(ctx context.Context, dir, path string, args ...string) error {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // the servers' own tools
	cmd.Dir = dir
	attr, err := attributes()
	if err != nil {
		return err
	}
	cmd.SysProcAttr = attr
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(path), err, out)
	}
	return nil
}
