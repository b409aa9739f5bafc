package account_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/account"
	"onemind/internal/fault"
	"onemind/internal/sqlite"
)

const password = "correct horse battery"

// fixture is Accounts on a real store, with hooks into it.
type fixture struct {
	*account.Accounts
	store *store
	mu    sync.Mutex
	over  []account.Changed
}

// store is the real one; a hook runs after the method it is named for has read
// or written, and before its caller hears of it.
type store struct {
	*sqlite.DB
	afterKey, afterSession, afterUser, afterEmail, afterCreate func()

	failSeen          atomic.Bool
	keyReads, touches atomic.Int64
}

func run(hook *func()) {
	if f := *hook; f != nil {
		*hook = nil
		f()
	}
}

func (s *store) KeyByHash(ctx context.Context, hash string) (account.Key, error) {
	k, err := s.DB.KeyByHash(ctx, hash)
	s.keyReads.Add(1)
	run(&s.afterKey)
	return k, err
}

func (s *store) SessionByHash(ctx context.Context, hash string) (account.Session, error) {
	x, err := s.DB.SessionByHash(ctx, hash)
	run(&s.afterSession)
	return x, err
}

func (s *store) UserByID(ctx context.Context, id string) (account.User, error) {
	u, err := s.DB.UserByID(ctx, id)
	run(&s.afterUser)
	return u, err
}

func (s *store) Identity(ctx context.Context, id string) (account.User, error) {
	u, err := s.DB.Identity(ctx, id)
	run(&s.afterUser)
	return u, err
}

func (s *store) UserByEmail(ctx context.Context, email string) (account.User, error) {
	u, err := s.DB.UserByEmail(ctx, email)
	run(&s.afterEmail)
	return u, err
}

func (s *store) CreateSession(ctx context.Context, x account.Session) error {
	err := s.DB.CreateSession(ctx, x)
	run(&s.afterCreate)
	return err
}

func (s *store) TouchSession(ctx context.Context, hash string, at time.Time) error {
	s.touches.Add(1)
	return s.DB.TouchSession(ctx, hash, at)
}

func (s *store) Seen(ctx context.Context, keys, users map[string]time.Time) error {
	if s.failSeen.Load() {
		return errors.New("no disk")
	}
	return s.DB.Seen(ctx, keys, users)
}

// macs gives HMACs under keys, as package secret does.
func macs(keys ...string) func([]byte) [][]byte {
	return func(data []byte) (all [][]byte) {
		for _, k := range keys {
			h := hmac.New(sha256.New, []byte(k))
			h.Write(data)
			all = append(all, h.Sum(nil))
		}
		return all
	}
}

func open(t testing.TB) *fixture {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "onemind.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fixture{store: &store{DB: db}}
	f.Accounts = account.New(f.store, f.store, macs("one"), func(c account.Changed) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.over = append(f.over, c)
	}, nil)
	return f
}

// told tells whether somebody was told of c.
func (f *fixture) told(c account.Changed) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.over, c)
}

// user makes a user without a password: that costs no hash.
func (f *fixture) user(t testing.TB, name string, role account.Role) account.User {
	t.Helper()
	u, err := f.Create(t.Context(), account.NewUser{Email: name + "@example.org", Name: name, Role: role})
	check(t, err)
	return u
}

// signedIn starts a session.
func (f *fixture) signedIn(t testing.TB, user string, now time.Time) (string, account.Session) {
	t.Helper()
	token, s, err := f.StartSession(t.Context(), user, account.Device{UserAgent: "Firefox", Address: "::1"}, now)
	check(t, err)
	return token, s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fails wants an error of a code; want nil wants none.
func fails(t testing.TB, what string, err, want error) {
	t.Helper()
	if want == nil && err != nil || !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// field wants a refusal that names a field.
func field(t testing.TB, what string, err error, name string) {
	t.Helper()
	if f := fault.From(err); err == nil || f.Kind != fault.Unprocessable || f.Field != name {
		t.Errorf("%s: %v, want a refusal of %q", what, err, name)
	}
}

func coded(code string) error { return &fault.Error{Code: code} }

func ptr[T any](v T) *T { return &v }

// start starts Run; end stops it, and ran has what it returned.
func start(f *fixture, ran chan<- error) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ran <- f.Run(ctx) }()
	return cancel
}
