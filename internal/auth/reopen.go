package auth

import (
	"context"
	"errors"
	"fmt"
)

var errReopening = errors.New("it is being opened anew")

// reopen replaces old, which may be nil. It reports whether there is a usable database now. Only the
// watcher calls it.
func (s *Sessions) reopen(ctx context.Context, old *database) bool {
	s.opening.Lock()
	defer s.opening.Unlock()
	if old != nil {
		s.set(nil, fmt.Errorf("sessions database %s: %w", s.path, errReopening))
		old.close() // statements under way still finish
	}
	db, err := openDatabase(ctx, s.path, &s.opts)
	if err == nil {
		db.unchecked = true
	}
	s.set(db, err)
	s.noteUse(ctx, err, old != nil)
	return err == nil
}

// noteUse says in the log when the file becomes unusable, and when it is back.
func (s *Sessions) noteUse(ctx context.Context, err error, worked bool) {
	switch {
	case ctx.Err() != nil:
	case err != nil && worked:
		s.opts.Log.Warn("session lookups fail until the file is back", "error", err)
	case err == nil && !worked:
		s.opts.Log.Info("session lookups work again", "file", s.path)
	}
}

func (s *Sessions) current() (*database, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db, s.err
}

// query runs f on the table, and again when the file was opened anew meanwhile; doing is what its
// errors say.
func (s *Sessions) query(ctx context.Context, doing string, f func(querier) error) error {
	if s.foreign == nil {
		return s.queryOwn(doing, func(db *database) error { return f(db.pool) })
	}
	if err := s.foreign.read(ctx, f); err != nil {
		return explain(doing, s.path, err)
	}
	return nil
}

func (s *Sessions) queryOwn(doing string, f func(*database) error) error {
	for range 3 {
		db, err := s.ready()
		if err != nil {
			return err
		}
		if err = f(db); err == nil {
			return nil
		}
		if !db.closed.Load() {
			return explain(doing, s.path, err)
		}
	}
	return fmt.Errorf("%s %s: file keeps changing: %w", doing, s.path, ErrLocked)
}

// ready is current, but for a file that is just being opened anew: that is waited for.
func (s *Sessions) ready() (*database, error) {
	db, err := s.current()
	if errors.Is(err, errReopening) {
		s.opening.Lock()
		defer s.opening.Unlock()
		return s.current()
	}
	return db, err
}

func (s *Sessions) set(db *database, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db, s.err = db, err
}
