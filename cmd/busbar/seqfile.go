package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/busbar-ws/busbar/hub"
)

// seqBlock is how many sequence numbers are reserved with one write of the file. A crash
// leaves a gap of at most that many; an orderly end leaves none.
const seqBlock = 10_000

// seqLog is the change log in memory, and a file that remembers which sequence numbers
// were given out. Without it a restarted server would start at 1 again, and a client
// that comes back with an old cursor would take other events for those that it has had.
//
// Safe from any goroutine but Append, which the hub calls under its own lock.
type seqLog struct {
	*hub.MemoryLog
	path     string
	reserved uint64 // numbers up to this one may have been given out, says the file
	log      *slog.Logger
	failing  bool // the last write failed, and has been logged
}

// openSeqLog reads the file in the directory, which may be absent, and reserves numbers: while
// the server runs there may come to be no room for a file, and its first event is to survive a
// crash too.
func openSeqLog(dir dataDir, memory *hub.MemoryLog, log *slog.Logger) (*seqLog, error) {
	l := &seqLog{MemoryLog: memory, path: filepath.Join(dir.path, "last-seq"), log: log}
	b, err := os.ReadFile(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("last sequence number: %w", err)
	default:
		last, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 53)
		if err != nil {
			return nil, fmt.Errorf("last sequence number: %s holds no number; remove it to start at 1 (clients that reconnect may then miss events)", l.path)
		}
		memory.Resume(last)
	}
	l.reserved = memory.Last() + seqBlock
	if err := l.write(l.reserved); err != nil {
		return nil, fmt.Errorf("reserving sequence numbers: %w", err)
	}
	return l, nil
}

// Append reserves numbers before they run out. A disk that can't be written to doesn't
// stop events: it is logged once, and tried again with each event.
func (l *seqLog) Append(e hub.Event, a hub.Audience) (hub.Entry, error) {
	if next := l.Last() + 1; next > l.reserved {
		l.reserve(next + seqBlock - 1)
	}
	return l.MemoryLog.Append(e, a)
}

func (l *seqLog) reserve(upTo uint64) {
	if err := l.write(upTo); err != nil {
		if !l.failing {
			l.log.Error("sequence numbers can't be reserved; after a crash clients may miss events", "error", err)
		}
		l.failing = true
		return
	}
	l.failing, l.reserved = false, upTo
}

// write replaces the file, so that a crash leaves the old number or the new one. A disk
// without room for another file has some for the few bytes that are there.
func (l *seqLog) write(n uint64) error {
	err := l.replace(n)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return l.overwrite(n)
	}
	return err
}

func (l *seqLog) replace(n uint64) error {
	f, err := os.CreateTemp(filepath.Dir(l.path), ".last-seq-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintln(f, n)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), l.path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(l.path))
}

// syncDirectory makes a rename last: fsync of the file says nothing about its name (fsync(2)).
// A file system that can't do that answers EINVAL.
func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// overwrite puts a number in the place of the one that the file holds. Zeros in front keep a
// shorter one from leaving the end of a longer one. It is one write within one block: a process
// that is killed has written it or not.
func (l *seqLog) overwrite(n uint64) error {
	f, err := os.OpenFile(l.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(fmt.Appendf(nil, "%0*d\n", seqDigits, n))
	return errors.Join(err, f.Sync(), f.Close())
}

// seqDigits is as long as a seq gets (2^53).
const seqDigits = 16

// Close gives back what was reserved and not used.
func (l *seqLog) Close() error {
	if err := l.write(l.Last()); err != nil {
		return fmt.Errorf("last sequence number: %w", err)
	}
	return nil
}
