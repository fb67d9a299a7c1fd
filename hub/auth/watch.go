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
func (f *file) watch(ctx context.Context, s *Sessions) {
	timer := time.NewTimer(f.opts.PollInterval)
	defer timer.Stop()
	purged, more := time.Now(), true // what ended while no server ran
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		start := time.Now()
		s.guard("while looking at the sessions database", func() { f.poll(ctx, s) })
		if !f.opts.ReadOnly && (more || start.Sub(purged) > purgeInterval) {
			purged, more = start, false
			s.guard("while removing ended sessions", func() { more = f.purge(ctx, start) })
		}
		// With a million sessions cached, going through them takes seconds. A file that
		// changes all the time may then cost a third of a core and no more.
		timer.Reset(max(f.opts.PollInterval, 2*time.Since(start)))
	}
}

// poll looks at the file once.
func (f *file) poll(ctx context.Context, s *Sessions) {
	if f.foreign != nil {
		f.pollForeign(ctx, s)
		return
	}
	db, _ := f.current()
	if db == nil || db.moved() {
		if !f.reopen(ctx, db) {
			return
		}
		db, _ = f.current()
	}
	version, err := db.dataVersion(ctx)
	switch {
	case ctx.Err() != nil:
	case sqlitefile.Code(err) == sqlitefile.CodeBusy:
		// A writer holds it for itself. The next poll will see what it did.
	case err != nil:
		f.reopen(ctx, db)
	case version != db.version || db.unchecked:
		// It counts as dealt with only when it was: after an error the next poll tries again.
		switch err := s.revalidate(ctx); {
		case err == nil:
			db.version, db.unchecked = version, false
		case ctx.Err() == nil && !errors.Is(err, ErrLocked):
			f.reopen(ctx, db)
		}
	}
}

// seen is what the watcher knows of a foreign file.
type seen struct {
	state   sqlitefile.Files
	checked bool // the cached sessions were compared with that, and a change of it shows
	failing bool
}

func (f *file) pollForeign(ctx context.Context, s *Sessions) {
	start := time.Now()
	now := sqlitefile.FilesAt(f.path)
	if f.seen.checked && f.seen.state == now {
		return
	}
	err := inspect(f.path, true)
	if err == nil && f.seen.failing {
		err = f.query(ctx, "open", func(querier) error { return nil }) // also with an empty cache
	}
	if err == nil {
		err = s.revalidate(ctx)
	}
	f.seen.state, f.seen.checked = now, err == nil && now.Settled(start)
	if errors.Is(err, ErrLocked) { // the next poll will see what was done meanwhile
		return
	}
	if failing := err != nil; failing != f.seen.failing {
		f.noteUse(ctx, err, failing)
		f.seen.failing = failing
	}
}

// purge removes up to purgeBatch of the sessions that ended over an hour ago, so that guests
// don't fill the disk, and reports whether there may be more. The hour is for clocks that
// differ. What fails is tried again next time.
func (f *file) purge(ctx context.Context, now time.Time) (more bool) {
	db, err := f.current()
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
			f.opts.Log.Warn("remove ended sessions", "error", explain("write", f.path, err))
		}
		return false
	}
	n, err := result.RowsAffected()
	return err == nil && n == int64(purgeBatch)
}
