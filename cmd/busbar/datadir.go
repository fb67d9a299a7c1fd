package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// dataDir is the directory that holds what Busbar keeps. It is immutable and safe from
// any goroutine; several processes may have it open, one of which may serve from it.
type dataDir struct{ path string }

// openDataDir makes the directory at path (mode 0700, parents too) when there is
// none, and checks that files can be made in it. The error is one line which names
// the directory and what is wrong with it.
func openDataDir(path string) (dataDir, error) {
	if path == "" {
		return dataDir{}, errors.New(`data directory: "" isn't a path; the default is ./busbar-data`)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return dataDir{}, dataDirError(path, "make", err)
	}
	// Permission bits don't tell about ACLs, read-only mounts and full disks. A file does.
	probe, err := os.CreateTemp(path, ".busbar-probe-*")
	if err != nil {
		return dataDir{}, dataDirError(path, "write to", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return dataDir{}, dataDirError(path, "write to", err)
	}
	return dataDir{path}, nil
}

// database is the path of the session store and whatever else is kept in SQLite.
func (d dataDir) database() string { return filepath.Join(d.path, "busbar.db") }

// changeLog is the path of the change log, as -log disk keeps it.
func (d dataDir) changeLog() string { return filepath.Join(d.path, "changes.db") }

// nats is the folder of the NATS inside of this process.
func (d dataDir) nats() string { return filepath.Join(d.path, "nats") }

// adminToken is the path of the file whose one line is the admin token.
func (d dataDir) adminToken() string { return filepath.Join(d.path, "admin-token") }

// dataDirError says why a directory can't be used; doing is "make" or "write to".
func dataDirError(path, doing string, err error) error {
	return fmt.Errorf("data directory %q: can't %s it: %w%s", path, doing, rootCause(err), remedy(err))
}

// rootCause drops the operation and path, which the message has already.
func rootCause(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return " (a file has that name, or one of its parents'); name another with -data"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("; let user %d write there, or name another with -data", os.Geteuid())
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOENT):
		return "; name another with -data"
	}
	return ""
}
