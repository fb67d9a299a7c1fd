package auth

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"sync"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/sqlitefile"
)

// file is a store in SQLite (docs/protocol.md section 4), our own or another program's. Several processes may use it at
// the same time.
type file struct {
	path string
	opts *SessionOptions

	foreign *foreign // nil: the file is our own
	seen    seen     // of a foreign file; the watcher's

	opening sync.Mutex   // held while our own file is opened anew
	mu      sync.RWMutex // guards db and err, never held while something blocks
	db      *database    // nil while the file can't be used
	err     error        // why db is nil
}

// OpenSessions opens the session store at path, and creates it when absent unless
// opts.ReadOnly is set. Errors are one line that names the file and what is wrong with
// it; they wrap fs.ErrNotExist, fs.ErrPermission, ErrLocked, ErrNotDatabase or
// ErrSchema where that is the cause. The caller closes the store.
func OpenSessions(path string, opts SessionOptions) (*Sessions, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sessions database: %w", err)
	}
	return openSessions(opts, func(ctx context.Context, o *SessionOptions) (store, error) {
		f := &file{path: path, opts: o}
		return f, f.open(ctx)
	})
}

func (f *file) open(ctx context.Context) (err error) {
	if !f.opts.ReadOnly {
		f.db, err = openDatabase(ctx, f.path, f.opts)
		return err
	}
	f.foreign = &foreign{path: f.path, opts: f.opts, base: ctx}
	start := time.Now()
	f.seen.state = sqlitefile.FilesAt(f.path)
	f.seen.checked = f.seen.state.Settled(start) // nothing is cached yet
	if err = f.query(ctx, "open", func(querier) error { return nil }); err != nil {
		f.foreign.close()
	}
	return err
}

func (f *file) close() error {
	if f.foreign != nil {
		f.foreign.close()
		return nil
	}
	db, _ := f.current()
	f.set(nil, ErrClosed)
	if db == nil {
		return nil
	}
	return db.close()
}

// key is the token: the table is Pylon's.
func (f *file) key(token string) string { return token }

func (f *file) find(ctx context.Context, token string) (id *hub.Identity, err error) {
	const doing = "read session from"
	if f.foreign == nil {
		err = f.queryOwn(doing, func(db *database) error {
			id, err = db.find(ctx, token)
			return err
		})
	} else if id, err = f.foreign.find(token); err != nil {
		err = explain(doing, f.path, err)
	}
	return id, err
}

func (f *file) findAll(ctx context.Context, tokens []string) (found map[string]*hub.Identity, err error) {
	err = f.query(ctx, "read", func(db querier) error {
		found, err = selectSessions(ctx, db, tokens)
		return err
	})
	return found, err
}

func (f *file) add(ctx context.Context, token string, s *Session) error {
	db, err := f.ready()
	if err != nil {
		return err
	}
	_, err = db.pool.ExecContext(ctx,
		`INSERT INTO _pylon_sessions (token, user_id, expires_at, created_at, device, tenant_id) VALUES (?, ?, ?, ?, ?, ?)`,
		token, s.UserID, unixOrZero(s.Expires), s.Created.Unix(), orNull(s.Device), orNull(s.Tenant))
	if err != nil {
		if sqlitefile.NoRoom(err, f.path) {
			err = fmt.Errorf("%w: %w", ErrFull, err)
		}
		return explain("add session to", f.path, err)
	}
	return nil
}

func (f *file) remove(ctx context.Context, token string) error {
	db, err := f.ready()
	if err != nil {
		return err
	}
	result, err := db.pool.ExecContext(ctx, `DELETE FROM _pylon_sessions WHERE token = ?`, token)
	if err != nil {
		return explain("remove session from", f.path, err)
	}
	if n, err := result.RowsAffected(); err != nil {
		return explain("remove session from", f.path, err)
	} else if n == 0 {
		return ErrNoSession
	}
	return nil
}

// listPage is how many sessions are read at once. No statement stays open while the
// caller looks at them: a reader that stands still keeps the -wal file growing.
const listPage = 500

func (f *file) list(ctx context.Context) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		for after := ""; ; {
			page, err := f.page(ctx, after)
			if err != nil {
				yield(listed{}, err)
				return
			}
			for _, found := range page {
				if !yield(found, nil) {
					return
				}
			}
			if len(page) < listPage {
				return
			}
			after = page[len(page)-1].key
		}
	}
}

func (f *file) page(ctx context.Context, after string) (page []listed, err error) {
	err = f.query(ctx, "list sessions of", func(db querier) error {
		page, err = scanPage(db.QueryContext(ctx, selectPage, after, listPage))
		return err
	})
	return page, err
}
