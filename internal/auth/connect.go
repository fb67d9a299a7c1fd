package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// connect opens a foreign file in the way that makes no file beside it. In WAL mode that
// is through its -wal and -shm while there are both. Without them nobody has it open and
// all of it is in the main file: then it is read as immutable, because the usual way
// would make a -wal and a -shm that the file's owner perhaps could not write.
func connect(ctx context.Context, path string, opts *SessionOptions, s state) (*database, error) {
	if !opts.ReadOnly {
		return dial(ctx, path, opts, "mode=rw")
	}
	if s.live {
		return dial(ctx, path, opts, "mode=ro")
	}
	wal, err := walMode(ctx, path)
	switch {
	case err != nil:
		return nil, err
	case !wal:
		return dial(ctx, path, opts, "mode=ro")
	case s.walSize > 0:
		return nil, fmt.Errorf("it has a -wal file without a -shm file; open it once with the program that owns it: %w", ErrDamaged)
	}
	db, err := dial(ctx, path, opts, "mode=ro&immutable=1")
	if err == nil {
		db.immutable = true
	}
	return db, err
}

// walMode reads the file format version, 2 for WAL: byte 18 of the database header
// (https://www.sqlite.org/fileformat.html). It goes through SQLite for the reason given
// at createFile. An empty file has no header and no mode.
func walMode(ctx context.Context, path string) (bool, error) {
	pool, err := sql.Open("sqlite", source(path, "mode=ro&immutable=1"))
	if err != nil {
		return false, err
	}
	defer pool.Close()
	var header []byte
	err = pool.QueryRowContext(ctx, `SELECT substr(data, 1, 20) FROM sqlite_dbpage WHERE pgno = 1`).Scan(&header)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return len(header) == 20 && header[18] == 2, err
}

func source(path, query string) string {
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query + "&_error_rc=1"}).String()
}

func dial(ctx context.Context, path string, opts *SessionOptions, mode string) (*database, error) {
	query := fmt.Sprintf("%s&_busy_timeout=%d&_pragma=trusted_schema(0)", mode, opts.BusyTimeout.Milliseconds())
	pool, err := sql.Open("sqlite", source(path, query))
	if err != nil {
		return nil, err
	}
	if opts.ReadOnly {
		pool.SetMaxOpenConns(1)
		pool.SetMaxIdleConns(-1) // see database.look
	} else {
		pool.SetMaxOpenConns(opts.Connections + 2) // and the watcher's, and one for writing
		pool.SetMaxIdleConns(opts.Connections + 2)
	}
	db := &database{path: path, pool: pool}
	if err := db.prepare(ctx, opts); err != nil {
		db.close()
		return nil, err
	}
	return db, nil
}
