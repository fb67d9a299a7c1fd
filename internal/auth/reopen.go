package auth

import (
	"context"
	"errors"
	"fmt"
)

var errReopening = errors.New("it is being opened anew")

// reopen replaces old, unless someone else has done so already. It reports whether
// there is a usable database now.
func (s *Sessions) reopen(ctx context.Context, old *database) bool {
	s.opening.Lock()
	defer s.opening.Unlock()
	if now, _ := s.current(); now != old {
		return now != nil
	}
	if old != nil {
		s.set(nil, fmt.Errorf("sessions database %s: %w", s.path, errReopening))
		// Closed first: one SQLite database must not be open under different modes.
		// Statements under way still finish.
		old.close()
	}
	db, err := openDatabase(ctx, s.path, &s.opts, &s.foreign)
	if err != nil {
		s.set(nil, err)
	} else {
		db.unchecked = true
		s.set(db, nil)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil && old != nil:
		s.opts.Log.Warn("session lookups fail until the file is back", "error", err)
	case err == nil && old == nil:
		s.opts.Log.Info("session lookups work again", "file", s.path)
	}
	return err == nil
}

func (s *Sessions) current() (*database, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db, s.err
}

// reading runs f on the database, and again when that turns out to have moved meanwhile.
func (s *Sessions) reading(ctx context.Context, f func(*database) error) error {
	for range 3 {
		db, err := s.ready()
		if err != nil {
			return err
		}
		if err = f(db); !errors.Is(err, errMoved) {
			return err
		}
		s.reopen(ctx, db)
	}
	return fmt.Errorf("read session from %s: file keeps changing: %w", s.path, ErrLocked)
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
