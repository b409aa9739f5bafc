package sqlite

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock keeps a second process out of the data directory: two processes would
// each hold balances, limits and live runs in memory that the other does not
// see. The kernel drops the lock when the process ends, however it ends, so
// that the file left behind means nothing.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close() // nothing was written
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: another process holds %s; stop it, or use another data directory", ErrLocked, path)
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}
