package auth

import (
	"errors"
	"fmt"

	"github.com/busbar-ws/busbar/internal/sqlitefile"
)

// Causes of a session store that can't be used, besides fs.ErrNotExist and fs.ErrPermission.
var (
	ErrNotDatabase = sqlitefile.ErrNotDatabase
	ErrDamaged     = sqlitefile.ErrDamaged
	ErrLocked      = sqlitefile.ErrLocked
	ErrSchema      = errors.New("table _pylon_sessions is not as expected")
	ErrReadOnly    = errors.New("the session store is open read-only")
)

// explain turns what SQLite says into one line that names the file and the cause.
func explain(doing, path string, err error) error {
	if sqlitefile.Extended(err) == sqlitefile.CodeRollback {
		return fmt.Errorf("%s sessions database %s: its last writer died; open it once with the program that owns it: %w", doing, path, ErrDamaged)
	}
	return fmt.Errorf("%s sessions database %s: %w", doing, path, sqlitefile.Cause(err, path))
}

// inspect finds what SQLite would only call "unable to open the database file".
func inspect(path string, readOnly bool) error {
	if err := sqlitefile.Inspect(path, readOnly); err != nil {
		return fmt.Errorf("open sessions database %s: %w", path, err)
	}
	return nil
}
