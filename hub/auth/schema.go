package auth

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/internal/sqlitefile"
)

// createTable is Pylon's table (docs/protocol.md section 4).
const createTable = `CREATE TABLE IF NOT EXISTS _pylon_sessions (
	token      TEXT PRIMARY KEY,
	user_id    TEXT NOT NULL,
	expires_at INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	device     TEXT,
	tenant_id  TEXT)`

var (
	readColumns  = []string{"token", "user_id", "expires_at", "tenant_id"}
	writeColumns = []string{"token", "user_id", "expires_at", "tenant_id", "created_at", "device"}
)

// prepareSchema checks that the table has the columns needed, and makes it when absent
// unless the file is a foreign one.
func prepareSchema(ctx context.Context, pool *sql.DB, opts *SessionOptions) error {
	need := readColumns
	if !opts.ReadOnly {
		need = writeColumns
		if err := migrate(ctx, pool, opts.BusyTimeout); err != nil {
			return err
		}
	}
	have, err := columns(ctx, pool)
	if err != nil {
		return err
	}
	if len(have) == 0 {
		return fmt.Errorf("%w: it doesn't exist", ErrSchema)
	}
	missing := slices.DeleteFunc(slices.Clone(need), func(c string) bool { return slices.Contains(have, c) })
	if len(missing) > 0 {
		return fmt.Errorf("%w: it lacks %s", ErrSchema, strings.Join(missing, ", "))
	}
	return nil
}

func columns(ctx context.Context, pool *sql.DB) (names []string, err error) {
	rows, err := pool.QueryContext(ctx, `SELECT lower(name) FROM pragma_table_info('_pylon_sessions')`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// migrate sets WAL mode and makes the table. SQLite doesn't call its busy handler for
// every step of a change of journal mode, so processes that start together have to try
// again here.
func migrate(ctx context.Context, pool *sql.DB, patience time.Duration) error {
	for start := time.Now(); ; {
		err := migrateOnce(ctx, pool)
		if sqlitefile.Code(err) != sqlitefile.CodeBusy || time.Since(start) > patience {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func migrateOnce(ctx context.Context, pool *sql.DB) error {
	var mode string
	if err := pool.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		if _, err := pool.ExecContext(ctx, `PRAGMA journal_mode = WAL`); err != nil {
			return err
		}
	}
	_, err := pool.ExecContext(ctx, createTable)
	return err
}
