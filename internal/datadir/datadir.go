// Package datadir is the directory that holds what Busbar keeps.
package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Dir is the path of a data directory, which may not exist. Several processes may use it, one of which may serve from it.
type Dir string

// Open makes the directory at path (mode 0700, parents too) when there is none, and checks that files can be made in
// it. The error is one line which names the directory and what is wrong with it.
func Open(path string) (Dir, error) {
	if path == "" {
		return "", errors.New(`data directory: "" isn't a path; the default is ./busbar-data`)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", Unusable(path, "make", err)
	}
	// Permission bits don't tell about ACLs, read-only mounts and full disks. A file does.
	probe, err := os.CreateTemp(path, ".busbar-probe-*")
	if err != nil {
		return "", Unusable(path, "write to", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return "", Unusable(path, "write to", err)
	}
	return Dir(path), nil
}

// Database is the path of the session store and whatever else is kept in SQLite.
func (d Dir) Database() string { return filepath.Join(string(d), "busbar.db") }

// ChangeLog is the path of the change log, as -log disk keeps it.
func (d Dir) ChangeLog() string { return filepath.Join(string(d), "changes.db") }

// NATS is the folder of the NATS inside of the server.
func (d Dir) NATS() string { return filepath.Join(string(d), "nats") }

// AdminToken is the path of the file whose one line is the admin token.
func (d Dir) AdminToken() string { return filepath.Join(string(d), "admin-token") }

// LockFile is the path of the file that a server has locked.
func (d Dir) LockFile() string { return filepath.Join(string(d), "busbar.lock") }

// Unusable says why a directory can't be used; doing is "make" or "write to".
func Unusable(path, doing string, err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err // without the operation and path, which the message has already
	}
	remedy := ""
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		remedy = " (a file has that name, or one of its parents'); name another with -data"
	case errors.Is(err, fs.ErrPermission):
		remedy = fmt.Sprintf("; let user %d write there, or name another with -data", os.Geteuid())
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOENT):
		remedy = "; name another with -data"
	}
	return fmt.Errorf("data directory %q: can't %s it: %w%s", path, doing, err, remedy)
}

// ErrServing is what Lock wraps when another process holds the lock.
var ErrServing = errors.New("another busbar serves from")

// Lock says that this process serves from a data directory. It belongs to whoever took it, and lasts until Close or the
// end of the process, however it ends. The file stays: removing it would let two processes lock two files of one name.
type Lock struct{ *os.File }

// Lock takes the lock that keeps a second server off the directory. Commands that work beside a server don't take it.
func (d Dir) Lock() (Lock, error) {
	file, err := os.OpenFile(d.LockFile(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return Lock{}, fmt.Errorf("lock data directory: %w", err)
	}
	// flock(2) locks go with the open file, so that a second server in the same process is kept off as well, and no
	// child inherits this one (O_CLOEXEC).
	if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		return Lock{file}, file.Truncate(0) // what the last holder left there
	}
	file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return Lock{}, fmt.Errorf("%w %q; stop it, or name another directory with -data", ErrServing, string(d))
	}
	return Lock{}, fmt.Errorf("lock data directory %q: %w", string(d), err)
}

// lockPoll is how often a lock is tried for that somebody else has: flock(2) has no deadline.
const lockPoll = 10 * time.Millisecond

// WaitLock is Lock, and waits for so long while another process has the lock, and in any case while that one drains.
// waiting is called once, before it does.
func (d Dir) WaitLock(patience time.Duration, waiting func()) (Lock, error) {
	began := time.Now()
	for {
		lock, err := d.Lock()
		if !errors.Is(err, ErrServing) || time.Since(began) >= patience && !d.isDraining() {
			return lock, err
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		time.Sleep(lockPoll)
	}
}

// draining is what the lock's file holds once its holder drains.
const draining = "draining\n"

// Drain tells whoever waits for the lock that it will be free soon.
func (l Lock) Drain() error {
	_, err := l.WriteAt([]byte(draining), 0)
	return err
}

func (d Dir) isDraining() bool {
	text, err := os.ReadFile(d.LockFile())
	return err == nil && strings.HasPrefix(string(text), draining)
}

// serving stands where draining will.
const serving = "serving \n"

// Note has the lock's file say how clients sign in to the server, in a line. That stays until another has the lock.
func (l Lock) Note(auth string) error {
	_, err := l.WriteAt([]byte(serving+auth+"\n"), 0)
	return err
}

// Noted is what the last server has noted; empty: nothing.
func (d Dir) Noted() string {
	text, _ := os.ReadFile(d.LockFile()) // where there is none nobody has noted anything
	_, auth, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(auth)
}
