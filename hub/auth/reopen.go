package auth

import (
	"context"
	"errors"
	"fmt"
)

var errReopening = errors.New("it is being opened anew")

// reopen replaces old, which may be nil. It reports whether there is a usable database now. Only the
// watcher calls it.
func (f *file) reopen(ctx context.Context, old *database) bool {
	f.opening.Lock()
	defer f.opening.Unlock()
	if old != nil {
		f.set(nil, fmt.Errorf("sessions database %s: %w", f.path, errReopening))
		old.close() // statements under way still finish
	}
	db, err := openDatabase(ctx, f.path, f.opts)
	if err == nil {
		db.unchecked = true
	}
	f.set(db, err)
	f.noteUse(ctx, err, old != nil)
	return err == nil
}

// noteUse says in the log when the file becomes unusable, and when it is back.
func (f *file) noteUse(ctx context.Context, err error, worked bool) {
	switch {
	case ctx.Err() != nil:
	case err != nil && worked:
		f.opts.Log.Warn("session lookups fail until the file is back", "error", err)
	case err == nil && !worked:
		f.opts.Log.Info("session lookups work again", "file", f.path)
	}
}

func (f *file) current() (*database, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.db, f.err
}

// query runs look on the table, and again when the file was opened anew meanwhile; doing is what its
// errors say.
func (f *file) query(ctx context.Context, doing string, look func(querier) error) error {
	if f.foreign == nil {
		return f.queryOwn(doing, func(db *database) error { return look(db.pool) })
	}
	if err := f.foreign.read(ctx, look); err != nil {
		return explain(doing, f.path, err)
	}
	return nil
}

func (f *file) queryOwn(doing string, look func(*database) error) error {
	for range 3 {
		db, err := f.ready()
		if err != nil {
			return err
		}
		if err = look(db); err == nil {
			return nil
		}
		if !db.closed.Load() {
			return explain(doing, f.path, err)
		}
	}
	return fmt.Errorf("%s %s: file keeps changing: %w", doing, f.path, ErrLocked)
}

// ready is current, but for a file that is just being opened anew: that is waited for.
func (f *file) ready() (*database, error) {
	db, err := f.current()
	if errors.Is(err, errReopening) {
		f.opening.Lock()
		defer f.opening.Unlock()
		return f.current()
	}
	return db, err
}

func (f *file) set(db *database, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.db, f.err = db, err
}
