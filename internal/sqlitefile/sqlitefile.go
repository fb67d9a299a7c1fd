// Package sqlitefile is what SQLite files of Busbar's have in common: how they are made and opened, and
// what its errors mean.
package sqlitefile

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"modernc.org/sqlite" // the driver "sqlite"
)

// Causes of a file that can't be used, besides fs.ErrNotExist and fs.ErrPermission.
var (
	ErrNotDatabase = errors.New("not an SQLite database")
	ErrDamaged     = errors.New("the database is damaged")
	ErrLocked      = errors.New("locked by another process")
	ErrMoved       = errors.New("it or its -wal was removed or replaced while it was open")
)

// Primary result codes, https://www.sqlite.org/rescode.html.
const (
	CodeBusy     = 5
	codeLocked   = 6
	codeReadOnly = 8
	codeIO       = 10
	codeCorrupt  = 11
	codeFull     = 13
	codeNotADB   = 26
)

// CodeRollback is SQLITE_READONLY_ROLLBACK: a journal is left over, and reading would
// have to begin with writing.
const CodeRollback = codeReadOnly | 3<<8

// Code is an error's primary result code, or 0 if it isn't SQLite's.
func Code(err error) int { return Extended(err) & 0xff }

// Extended is an error's extended result code, or 0 if it isn't SQLite's.
func Extended(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// Cause is what SQLite's error about the file at path means: one of the above, fs.ErrPermission, or the error.
func Cause(err error, path string) error {
	if NoRoom(err, path) {
		return fmt.Errorf("no room on its disk: %w", err)
	}
	switch Code(err) {
	case CodeBusy, codeLocked:
		return ErrLocked
	case codeNotADB:
		return ErrNotDatabase
	case codeCorrupt:
		return ErrDamaged
	case codeReadOnly:
		return fmt.Errorf("no permission to write: %w", fs.ErrPermission)
	case codeIO:
		return fmt.Errorf("input/output error: %w", err)
	}
	return err
}

// NoRoom is whether the error came about because the file system of the file at path is full. SQLite
// says so of a write that failed alone, and not where it was a quota, or its shared memory.
func NoRoom(err error, path string) bool {
	switch Code(err) {
	case codeFull:
		return true
	case codeIO:
		var s syscall.Statfs_t
		return syscall.Statfs(filepath.Dir(path), &s) == nil && s.Bavail == 0
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Source is the file's data source name; mode is "mode=ro" or "mode=rw", and more parameters.
func Source(path, mode string, busy time.Duration) string {
	query := fmt.Sprintf("%s&_error_rc=1&_busy_timeout=%d&_pragma=trusted_schema(0)", mode, busy.Milliseconds())
	return (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.Clean(path), RawQuery: query}).String()
}

// Create makes the file with narrow permissions before SQLite would make it with
// wide ones; its -wal and -shm get the same. An existing file is never opened here:
// closing any descriptor of it drops every POSIX lock that this process holds on it
// (fcntl(2)), SQLite's included.
func Create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// Access modes of access(2).
const (
	canRead  = 4
	canWrite = 2
	canEnter = 1
)

// Inspect finds what SQLite would only call "unable to open the database file".
func Inspect(path string, readOnly bool) error {
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("directory %s: %w", dir, Errno(err))
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a directory: %w", dir, fs.ErrNotExist)
	}
	if !may(dir, canEnter) || !readOnly && !may(dir, canWrite) {
		return fmt.Errorf("directory %s: %w", dir, fs.ErrPermission)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !readOnly:
		return nil
	case err != nil:
		return Errno(err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("not a regular file: %w", ErrNotDatabase)
	case !may(path, canRead) || !readOnly && !may(path, canWrite):
		return fs.ErrPermission
	}
	return nil
}

// may asks for the effective user, as open(2) would.
func may(path string, mode uint32) bool {
	const atFDCWD, atEAccess = -100, 0x200
	return syscall.Faccessat(atFDCWD, path, mode, atEAccess) == nil
}

// Errno drops the path from an error that already stands beside it.
func Errno(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
