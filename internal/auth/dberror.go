package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"modernc.org/sqlite"
)

// Causes of a session store that can't be used, besides fs.ErrNotExist and fs.ErrPermission.
var (
	ErrNotDatabase = errors.New("not an SQLite database")
	ErrDamaged     = errors.New("the database is damaged")
	ErrLocked      = errors.New("locked by another process")
	ErrSchema      = errors.New("table _pylon_sessions is not as expected")
	ErrReadOnly    = errors.New("the session store is open read-only")
)

// Primary result codes, https://www.sqlite.org/rescode.html.
const (
	codeBusy     = 5
	codeLocked   = 6
	codeReadOnly = 8
	codeIO       = 10
	codeCorrupt  = 11
	codeCantOpen = 14
	codeNotADB   = 26
)

// codeRollback is SQLITE_READONLY_ROLLBACK: a journal is left over, and reading would
// have to begin with writing.
const codeRollback = codeReadOnly | 3<<8

// code is an error's primary result code, or 0 if it isn't SQLite's.
func code(err error) int { return extended(err) & 0xff }

func extended(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// explain turns what SQLite says into one line that names the file and the cause.
func explain(doing, path string, err error) error {
	cause := err
	if extended(err) == codeRollback {
		return fmt.Errorf("%s sessions database %s: its last writer died; open it once with the program that owns it: %w", doing, path, ErrDamaged)
	}
	switch code(err) {
	case codeBusy, codeLocked:
		cause = ErrLocked
	case codeNotADB:
		cause = ErrNotDatabase
	case codeCorrupt:
		cause = ErrDamaged
	case codeReadOnly:
		cause = fmt.Errorf("no permission to write: %w", fs.ErrPermission)
	case codeIO:
		cause = fmt.Errorf("input/output error: %w", err)
	}
	return fmt.Errorf("%s sessions database %s: %w", doing, path, cause)
}

// Access modes of access(2).
const (
	canRead  = 4
	canWrite = 2
	canEnter = 1
)

// inspect finds what SQLite would only call "unable to open the database file".
func inspect(path string, readOnly bool) error {
	if err := inspectPath(path, readOnly); err != nil {
		return fmt.Errorf("open sessions database %s: %w", path, err)
	}
	return nil
}

func inspectPath(path string, readOnly bool) error {
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("directory %s: %w", dir, errno(err))
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
		return errno(err)
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

// errno drops the path from an error that already stands beside it.
func errno(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
