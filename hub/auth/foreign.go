package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/sqlitefile"
)

// foreign reads a database that belongs to another program. Safe from any goroutine.
//
// Invariant: SQLite never opens one in WAL mode at its owner's path. An owner that isn't the last to
// close it leaves a -wal behind, with rows in it that a copy of the main file lacks, and that SQLite
// writes into a backup put in the file's place. So that one is read from a private copy.
type foreign struct {
	path string
	opts *SessionOptions
	base context.Context // of all looks that are for many; ends when the store closes

	looking sync.Mutex // guards copy, and lets one at a time open the file: see sqlitefile.Create
	copy    privateCopy

	mu        sync.Mutex // guards what follows
	waiting   []*sought
	answering bool // one of those who waited answers
}

// sought is a token that is to be looked up. One of those who wait answers all that have come meanwhile.
type sought struct {
	token string
	wake  chan bool // true: it is its turn to answer
	id    *hub.Identity
	err   error
}

// find reads one session; nil when there is none. It may take lookupTimeout, whoever
// waits for it, and longer where a copy does.
func (f *foreign) find(token string) (*hub.Identity, error) {
	q := &sought{token: token, wake: make(chan bool, 1)}
	f.mu.Lock()
	f.waiting = append(f.waiting, q)
	answers := !f.answering
	f.answering = true
	f.mu.Unlock()
	if answers || <-q.wake {
		f.answer()
	}
	return q.id, q.err
}

// answer looks up all that wait, in a time of their own: the caller's may be nearly over.
func (f *foreign) answer() {
	f.looking.Lock()
	defer f.looking.Unlock()
	f.mu.Lock()
	batch := f.waiting
	f.waiting = nil
	f.mu.Unlock()
	tokens := make([]string, len(batch))
	for i, q := range batch {
		tokens[i] = q.token
	}
	var found map[string]*hub.Identity
	err := error(hub.ErrPanicked) // until it is known
	defer func() {
		for _, q := range batch {
			q.id, q.err = found[q.token], err
			q.wake <- false
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.answering = len(f.waiting) > 0; f.answering {
			f.waiting[0].wake <- true
		}
	}()
	err = f.look(f.base, func(db querier) (err error) {
		ctx, cancel := context.WithTimeout(f.base, lookupTimeout) // a copy may have taken longer
		defer cancel()
		found, err = selectSessions(ctx, db, tokens)
		return err
	})
}

// read is look for whoever doesn't hold looking.
func (f *foreign) read(ctx context.Context, query func(querier) error) error {
	f.looking.Lock()
	defer f.looking.Unlock()
	return f.look(ctx, query)
}

// look runs query, perhaps twice, on the database as it is now. It is called by whoever holds looking.
func (f *foreign) look(ctx context.Context, query func(querier) error) error {
	if f.base.Err() != nil {
		return ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if err := sqlitefile.Inspect(f.path, true); err != nil {
		return err
	}
	if f.copy.current(f.path) {
		return query(f.copy.pool)
	}
	wal, err := inWALMode(f.path)
	if err != nil {
		return err
	}
	if !wal {
		f.copy.close()
		err := f.lookDirectly(ctx, query)
		if err == nil {
			return nil
		}
		if wal, _ = inWALMode(f.path); !wal {
			return err
		}
	}
	if err := f.copy.take(ctx, f); err != nil {
		f.copy.close()
		return err
	}
	return query(f.copy.pool)
}

// lookDirectly is for a database in rollback mode: whoever reads it has a lock on it and no file
// beside it. With that locking mode SQLite refuses to read one that its owner has just brought into
// WAL mode: it would need the file for itself, which takes the right to write.
func (f *foreign) lookDirectly(ctx context.Context, query func(querier) error) error {
	pool, err := f.dial(f.path, "&_pragma=locking_mode(exclusive)")
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := prepareSchema(ctx, pool, f.opts); err != nil {
		return err
	}
	return query(pool)
}

func (f *foreign) dial(path, more string) (*sql.DB, error) {
	pool, err := sql.Open("sqlite", sqlitefile.Source(path, "mode=ro", f.opts.BusyTimeout)+more)
	if err == nil {
		pool.SetMaxOpenConns(1)
	}
	return pool, err
}

func (f *foreign) close() {
	f.looking.Lock()
	defer f.looking.Unlock()
	f.copy.close()
}

// inWALMode reports whether SQLite would read a -wal, which it does where there is one, whatever the
// file format version says: 2 for WAL, for writing in byte 18 of the main file and for reading in 19
// (https://www.sqlite.org/fileformat.html).
func inWALMode(path string) (bool, error) {
	file, err := openPlain(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	var header [20]byte
	if _, err := file.ReadAt(header[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return header[18] == 2 || header[19] == 2 || sqlitefile.FileAt(path+"-wal") != sqlitefile.File{}, nil
}

// openPlain opens a file of the owner's for reading, and nothing that reading would hang on.
func openPlain(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		file.Close()
		return nil, fmt.Errorf("%s: not a regular file: %w", path, ErrNotDatabase)
	}
	return file, nil
}
