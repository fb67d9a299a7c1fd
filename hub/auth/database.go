package auth

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/sqlitefile"
)

// database is Busbar's own session file as it was found. It is immutable but for whether it is closed,
// and for version and unchecked, which belong to the watcher. Otherwise it is safe from any goroutine.
type database struct {
	path string
	pool *sql.DB
	one  *sql.Stmt
	conn *sql.Conn // the watcher's: data_version only means something on one connection

	opened sqlitefile.Files
	closed atomic.Bool

	version int64 // PRAGMA data_version
	// unchecked is true until the cached sessions were compared with this opening.
	unchecked bool
}

// querier is a database, wherever it is open.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

const (
	selectToken = `SELECT token, user_id, tenant_id, expires_at FROM _pylon_sessions WHERE token `
	selectOne   = selectToken + `= ?`                                 // a session by its token
	selectMany  = selectToken + `IN (SELECT value FROM json_each(?))` // sessions by a JSON array of tokens
)

// openDatabase opens and checks the file, and makes it when there is none. A file replaced while it was
// being opened is an error: another attempt will do.
func openDatabase(ctx context.Context, path string, opts *SessionOptions) (*database, error) {
	if err := inspect(path, false); err != nil {
		return nil, err
	}
	if err := sqlitefile.Create(path); err != nil {
		return nil, fmt.Errorf("create sessions database: %w", err)
	}
	before := sqlitefile.FilesAt(path)
	pool, err := sql.Open("sqlite", sqlitefile.Source(path, "mode=rw", opts.BusyTimeout))
	if err != nil {
		return nil, explain("open", path, err)
	}
	pool.SetMaxOpenConns(opts.Connections + 2) // and the watcher's, and one for writing
	pool.SetMaxIdleConns(opts.Connections + 2)
	db := &database{path: path, pool: pool}
	if err := db.prepare(ctx, opts); err != nil {
		db.close()
		return nil, explain("open", path, err)
	}
	if db.opened, err = sqlitefile.Opened(path, before); err != nil {
		db.close()
		return nil, fmt.Errorf("open sessions database %s: %w", path, err)
	}
	return db, nil
}

// moved reports whether the file has to be opened anew: it, or its -wal, is gone or another.
func (db *database) moved() bool {
	return db.opened.MovedFrom(sqlitefile.FilesAt(db.path))
}

func (db *database) prepare(ctx context.Context, opts *SessionOptions) (err error) {
	if err = prepareSchema(ctx, db.pool, opts); err != nil {
		return err
	}
	if db.one, err = db.pool.PrepareContext(ctx, selectOne); err != nil {
		return err
	}
	if db.conn, err = db.pool.Conn(ctx); err != nil {
		return err
	}
	db.version, err = db.dataVersion(ctx)
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

// find reads one session; nil when there is none.
func (db *database) find(ctx context.Context, token string) (id *hub.Identity, err error) {
	_, id, err = scanSession(db.one.QueryRowContext(ctx, token))
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return id, err
}

// selectSessions reads the sessions that there are of the tokens.
func selectSessions(ctx context.Context, db querier, tokens []string) (map[string]*hub.Identity, error) {
	list, err := json.Marshal(tokens)
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, selectMany, string(list))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[string]*hub.Identity, len(tokens))
	for rows.Next() {
		token, id, err := scanSession(rows)
		if err != nil {
			return nil, err
		}
		found[token] = id
	}
	return found, rows.Err()
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

func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func orNull(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }
