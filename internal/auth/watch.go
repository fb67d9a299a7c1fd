package auth

import (
	"context"
	"errors"
	"time"

	"github.com/busbar-ws/busbar/internal/sqlitefile"
)

// purgeInterval is how often sessions that ended are looked for in Busbar's own store. While
// there are more than purgeBatch of them, they are removed at every look at the file: faster
// than anybody can make sessions, each of which is a transaction of its own.
const purgeInterval = time.Minute

var purgeBatch = 10_000 // keeps the write lock short; less in tests

// watch notices what other processes do to the file, until ctx ends.
func (s *Sessions) watch(ctx context.Context) {
	defer close(s.watched)
	timer := time.NewTimer(s.opts.PollInterval)
	defer timer.Stop()
	purged, more := time.Now(), true // what ended while no server ran
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		start := time.Now()
		s.guard("while looking at the sessions database", func() { s.poll(ctx) })
		if !s.opts.ReadOnly && (more || start.Sub(purged) > purgeInterval) {
			purged, more = start, false
			s.guard("while removing ended sessions", func() { more = s.purge(ctx, start) })
		}
		// With a million sessions cached, going through them takes seconds. A file that
		// changes all the time may then cost a third of a core and no more.
		timer.Reset(max(s.opts.PollInterval, 2*time.Since(start)))
	}
}

// guard lets a panic cost one round of the watcher, which has to go on: it is what ends the
// connections of sessions that others revoke. What a round didn't get to the next one does.
func (s *Sessions) guard(doing string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			s.panics.Note(s.opts.Log, doing, r)
		}
	}()
	f()
}

// poll looks at the file once.
func (s *Sessions) poll(ctx context.Context) {
	if s.foreign != nil {
		s.pollForeign(ctx)
		return
	}
	db, _ := s.current()
	if db == nil || db.moved() {
		if !s.reopen(ctx, db) {
			return
		}
		db, _ = s.current()
	}
	version, err := db.dataVersion(ctx)
	switch {
	case ctx.Err() != nil:
	case sqlitefile.Code(err) == sqlitefile.CodeBusy:
		// A writer holds it for itself. The next poll will see what it did.
	case err != nil:
		s.reopen(ctx, db)
	case version != db.version || db.unchecked:
		// It counts as dealt with only when it was: after an error the next poll tries again.
		switch err := s.revalidate(ctx); {
		case err == nil:
			db.version, db.unchecked = version, false
		case ctx.Err() == nil && !errors.Is(err, ErrLocked):
			s.reopen(ctx, db)
		}
	}
}

// seen is what the watcher knows of a foreign file.
type seen struct {
	state   state
	checked bool // the cached sessions were compared with that, and a change of it shows
	failing bool
}

func (s *Sessions) pollForeign(ctx context.Context) {
	start := time.Now()
	now := stateOf(s.path)
	if s.seen.checked && s.seen.state == now {
		return
	}
	err := inspect(s.path, true)
	if err == nil && s.seen.failing {
		err = s.query(ctx, "open", func(querier) error { return nil }) // also with an empty cache
	}
	if err == nil {
		err = s.revalidate(ctx)
	}
	s.seen.state, s.seen.checked = now, err == nil && now.settled(start)
	if errors.Is(err, ErrLocked) { // the next poll will see what was done meanwhile
		return
	}
	if failing := err != nil; failing != s.seen.failing {
		s.noteUse(ctx, err, failing)
		s.seen.failing = failing
	}
}

// purge removes up to purgeBatch of the sessions that ended over an hour ago, so that guests
// don't fill the disk, and reports whether there may be more. The hour is for clocks that
// differ. What fails is tried again next time.
func (s *Sessions) purge(ctx context.Context, now time.Time) (more bool) {
	db, err := s.current()
	if err != nil {
		return false
	}
	result, err := db.pool.ExecContext(ctx, `DELETE FROM _pylon_sessions WHERE rowid IN (
		SELECT rowid FROM _pylon_sessions WHERE expires_at > 0 AND expires_at < ? LIMIT ?)`,
		now.Add(-time.Hour).Unix(), purgeBatch)
	switch {
	case sqlitefile.Code(err) == sqlitefile.CodeBusy: // somebody writes; at the next look
		return true
	case err != nil:
		if ctx.Err() == nil {
			s.opts.Log.Warn("remove ended sessions", "error", explain("write", s.path, err))
		}
		return false
	}
	n, err := result.RowsAffected()
	return err == nil && n == int64(purgeBatch)
}
