package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// errServing is what lockForServing wraps when another process holds the lock.
var errServing = errors.New("another busbar serves from")

// servingLock says that this process serves from a data directory. It belongs to
// whoever took it, and lasts until Close or the end of the process, however it ends.
type servingLock struct{ file *os.File }

// lockForServing takes the lock that keeps a second server off the directory. Commands
// that work beside a server don't take it.
func (d dataDir) lockForServing() (*servingLock, error) {
	path := filepath.Join(d.path, "busbar.lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	// flock(2) locks go with the open file, so that a second server in the same
	// process is kept off as well, and no child inherits this one (O_CLOEXEC).
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return &servingLock{file}, nil
	}
	file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w %q; stop it, or name another directory with -data", errServing, d.path)
	}
	return nil, fmt.Errorf("lock data directory %q: %w", d.path, err)
}

// Close lets another process serve from the directory. The file stays: removing it
// would let two processes lock two files of the same name.
func (l *servingLock) Close() error { return l.file.Close() }
