package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

// database is the session file as it was found. It is immutable but for who waits and whether it
// is closed, and for version and unchecked, which belong to the watcher. Otherwise it is safe from
// any goroutine.
type database struct {
	path string
	pool *sql.DB

	// Of our own file, which stays open.
	one  *sql.Stmt
	many *sql.Stmt
	conn *sql.Conn // the watcher's: data_version only means something on one connection

	foreign   *foreign // nil: it is our own
	opened    state
	immutable bool

	mu      sync.Mutex
	waiting []*sought // for a look at this opening of a foreign file

	closed atomic.Bool

	version version
	// unchecked is true until the cached sessions were compared with this opening.
	unchecked bool
}

const (
	selectSessions = `SELECT token, user_id, tenant_id, expires_at FROM _pylon_sessions WHERE token `
	selectOne      = selectSessions + `= ?`                                 // a session by its token
	selectMany     = selectSessions + `IN (SELECT value FROM json_each(?))` // sessions by a JSON array of tokens
)

// openDatabase opens and checks the file. A file replaced while it was being opened is
// an error: another attempt will do. Nothing of a foreign file is open when it returns.
func openDatabase(ctx context.Context, path string, opts *SessionOptions, shared *foreign) (*database, error) {
	if err := inspect(path, opts.ReadOnly); err != nil {
		return nil, err
	}
	if !opts.ReadOnly {
		if err := createFile(path); err != nil {
			return nil, err
		}
	}
	if opts.ReadOnly {
		shared.looking.Lock()
		defer shared.looking.Unlock()
		defer shared.begin(path)(ctx)
	}
	before := stateOf(path)
	db, err := connect(ctx, path, opts, before)
	if err != nil {
		return nil, explain("open", path, err)
	}
	if opts.ReadOnly {
		db.foreign, db.version = shared, before.version()
	}
	// The state is taken before the first read, so that a later change is always seen
	// as one. A -wal and -shm that this very opening made are the exception.
	if !opts.ReadOnly {
		before.live = stateOf(path).live
	}
	db.opened = before
	if !db.opened.sameFile(stateOf(path)) {
		db.close()
		return nil, fmt.Errorf("open sessions database %s: replaced meanwhile: %w", path, ErrLocked)
	}
	return db, nil
}

// createFile makes the file with narrow permissions before SQLite would make it with
// wide ones; its -wal and -shm get the same. An existing file is never opened here:
// closing any descriptor of it drops every POSIX lock that this process holds on it
// (fcntl(2)), SQLite's included.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create sessions database: %w", err)
	}
	return f.Close()
}

func (db *database) prepare(ctx context.Context, opts *SessionOptions) (err error) {
	if err = prepareSchema(ctx, db.pool, opts); err != nil || opts.ReadOnly {
		return err
	}
	if db.one, err = db.pool.PrepareContext(ctx, selectOne); err != nil {
		return err
	}
	if db.many, err = db.pool.PrepareContext(ctx, selectMany); err != nil {
		return err
	}
	if db.conn, err = db.pool.Conn(ctx); err != nil {
		return err
	}
	db.version.data, err = db.dataVersion(ctx)
	return err
}

func (db *database) close() error {
	db.closed.Store(true)
	if db.conn != nil {
		db.conn.Close()
	}
	return db.pool.Close()
}

// dataVersion is a number that differs from the last one when another connection, of
// any process, has changed the file.
func (db *database) dataVersion(ctx context.Context) (v int64, err error) {
	err = db.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&v)
	return v, err
}

// find reads one session; hub.ErrUnauthorized when there is none, errMoved when it should be
// looked for in the next opening.
func (db *database) find(ctx context.Context, token string) (id *hub.Identity, err error) {
	if db.foreign == nil {
		_, id, err = scanSession(db.one.QueryRowContext(ctx, token))
	} else {
		id, err = db.findTogether(token)
	}
	switch {
	case errors.Is(err, errMoved):
		return nil, err
	case err != nil && db.closed.Load(): // somebody has opened it anew
		return nil, errMoved
	case errors.Is(err, sql.ErrNoRows):
		return nil, &hub.Refusal{Cause: hub.CauseUnknownSession}
	case err != nil:
		return nil, explain("read session from", db.path, err)
	}
	return id, nil
}

func scanSession(row interface{ Scan(...any) error }) (token string, id *hub.Identity, err error) {
	var tenant sql.NullString
	var expires any
	id = new(hub.Identity)
	if err = row.Scan(&token, &id.UserID, &tenant, &expires); err != nil {
		return "", nil, err
	}
	id.Tenant, id.Expires = tenant.String, expiry(expires)
	return token, id, nil
}

// expiry turns the column into a time: Unix seconds, 0 = never (docs/protocol.md section 4). SQLite
// enforces no column types; what isn't an integer is a session that ended long ago.
func expiry(column any) time.Time {
	sec, ok := column.(int64)
	switch {
	case !ok:
		return time.Unix(1, 0)
	case sec == 0:
		return time.Time{}
	default:
		return time.Unix(sec, 0)
	}
}
