// Package disklog is a change log that outlives the process: an SQLite file, with the newest entries in
// memory in front of it.
package disklog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/memory"
	"github.com/busbar-ws/busbar/internal/sqlitefile"
)

// Options bound a log; the oldest entries go first. Zero fields take the defaults named beside them.
type Options struct {
	MaxEvents int           // default DefaultEvents
	MaxBytes  int           // of encoded events, names, audiences and a row's overhead; default DefaultBytes
	MaxAge    time.Duration // zero: no bound
	TailBytes int           // of the newest entries, in memory; default what a MemoryLog takes
	Given     bool          // publishers number their changes: a new log begins behind 0 (hub.SeqGiven)
	Logger    *slog.Logger  // default slog.Default
}

// What Open takes zero for.
const (
	DefaultEvents = 1_000_000
	DefaultBytes  = 1 << 30
)

func (o *Options) setDefaults() {
	if o.MaxEvents <= 0 {
		o.MaxEvents = DefaultEvents
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultBytes
	}
	if o.TailBytes <= 0 {
		o.TailBytes = memory.Defaults().Log
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// Log is a hub.ChangeLog in a file. It is safe from any goroutine, and the only one that may have the file
// open for writing.
type Log struct {
	path    string
	opts    Options
	readers *sql.DB
	page    *sql.Stmt

	mu     sync.RWMutex // held for a moment when something has been stored: bounds and tail go together
	bounds hub.Bounds
	tail   *hub.Tail

	preloading sync.WaitGroup
	cancel     context.CancelFunc // of that

	damaged atomic.Bool // and the operator was told

	writer  *writer
	jobs    chan *job
	retain  chan Retention
	closing chan struct{}
	once    sync.Once
	stopped chan struct{}
}

var _ hub.ChangeLog = (*Log)(nil)

// ErrClosed is what a log says that was closed.
var ErrClosed = fmt.Errorf("the change log is closed: %w", hub.ErrLogUnavailable)

// Open opens the log in the file, and makes it when there is none. An error names the file; nothing in it
// is changed then.
func Open(path string, o Options) (*Log, error) {
	o.setDefaults()
	w, err := openWriter(path, o)
	if err != nil {
		return nil, err
	}
	l := &Log{
		path: path, opts: o, writer: w, bounds: w.state.bounds(), tail: hub.NewTail(math.MaxInt, o.TailBytes, w.state.last),
		jobs: make(chan *job), retain: make(chan Retention), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	if l.readers, l.page, err = openReaders(path); err != nil {
		w.close()
		return nil, explain("open", path, err)
	}
	w.committed, w.rows.log = l.committed, l
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	last := l.bounds.Last
	l.preloading.Go(func() { l.preload(ctx, last) })
	go w.run(l.jobs, l.retain, l.closing, l.stopped)
	return l, nil
}

// Retention is what the log keeps at most. Zero is as in Options.
type Retention struct {
	MaxEvents int
	MaxBytes  int
	MaxAge    time.Duration
}

// Retain changes that. What is too much goes within seconds.
func (l *Log) Retain(r Retention) {
	o := Options{MaxEvents: r.MaxEvents, MaxBytes: r.MaxBytes, MaxAge: r.MaxAge}
	o.setDefaults()
	select {
	case l.retain <- Retention{o.MaxEvents, o.MaxBytes, o.MaxAge}:
	case <-l.closing:
	}
}

// Follow has deliver called by the log's writer.
func (l *Log) Follow(deliver func([]hub.Entry)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writer.deliver = deliver
}

// Append returns when the changes are on the disk. They are stored all or none, in a transaction that
// others' changes may share.
func (l *Log) Append(changes []hub.Change) ([]hub.Appended, error) {
	var results []hub.Appended
	var refused error // by a *hub.SeqError, which is no trouble of the log's
	size := 0
	for i := range changes {
		size += len(changes[i].Data) + rowBytes
	}
	err := l.do(&job{bytes: size, write: func(t *transaction) (err error) {
		refused = nil // of an attempt beside others that came to nothing
		results, err = t.append(changes)
		if errors.As(err, new(*hub.SeqError)) {
			refused, err = err, nil
		}
		return err
	}})
	if err != nil {
		return nil, err
	}
	return results, refused
}

// do has the writer do a job.
func (l *Log) do(j *job) error {
	j.done = make(chan error, 1)
	select {
	case l.jobs <- j:
		return <-j.done
	case <-l.closing:
		return ErrClosed
	}
}

// committed has others see what was stored.
func (l *Log) committed(s state, entries []hub.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail.Add(entries...)
	l.bounds = s.bounds()
}

// Bounds are what is in the file.
func (l *Log) Bounds() hub.Bounds {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.bounds
}

// Kept is how many bytes of frames the log keeps in memory, under its own bound.
func (l *Log) Kept() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.tail.Kept()
}

// Range reads from memory what is there, and the rest from the file, up to an entry that is missing there. Whoever
// needs that one is told to resync.
func (l *Log) Range(ctx context.Context, since uint64, limit int) (hub.Page, error) {
	for attempt := range patience {
		p, from, recent, err := l.recent(since, limit)
		if err != nil || recent {
			return p, err
		}
		p.Entries, err = l.read(ctx, from, p.Last, limit)
		if lost(err) {
			return hub.Page{}, l.resync(p.Bounds, err)
		}
		if err != nil || limit <= 0 {
			return p, err
		}
		if p.Entries = untilHole(p.Entries, from); len(p.Entries) > 0 {
			return p, nil
		}
		// What follows the cursor was trimmed just now, which the bounds say in a moment.
		select {
		case <-ctx.Done():
			return hub.Page{}, ctx.Err()
		case <-time.After(time.Duration(attempt) * time.Millisecond):
		}
	}
	missing := fmt.Errorf("no entry follows on %d: %w", since, sqlitefile.ErrDamaged)
	return hub.Page{}, l.resync(l.Bounds(), explain("read", l.path, missing))
}

// lost is whether an error says that entries are gone for good.
func lost(err error) bool {
	return errors.Is(err, sqlitefile.ErrDamaged) || errors.Is(err, sqlitefile.ErrNotDatabase)
}

// resync tells a reader that it can't have what it asked for, and the operator, once, why.
func (l *Log) resync(b hub.Bounds, err error) error {
	if !l.damaged.Swap(true) {
		l.opts.Logger.Error("the change log has lost events: clients that need them are told to resync", "error", err)
	}
	return &hub.ResyncError{OldestSeq: b.Oldest, Seq: b.Last}
}

// untilHole are the first entries that follow on a seq, and on each other.
func untilHole(entries []hub.Entry, from uint64) []hub.Entry {
	for i := range entries {
		if entries[i].Prev > from {
			return entries[:i]
		}
		from = entries[i].Seq
	}
	return entries
}

// patience is how often a page is read that begins later than it should: for a second or two.
const patience = 50

// recent reads from memory; ok is false when it doesn't reach back to the cursor.
func (l *Log) recent(since uint64, limit int) (p hub.Page, from uint64, ok bool, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if from, err = l.bounds.From(since); err != nil {
		return hub.Page{}, 0, false, err
	}
	p, ok = l.tail.Read(from, limit)
	p.Bounds = l.bounds
	return p, from, ok, nil
}

// Close ends the writer when it has done what it was given, and closes the file.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.closing) })
	l.cancel()
	l.preloading.Wait()
	<-l.stopped
	l.page.Close()
	l.readers.Close()
	return l.writer.close()
}

// Bump lets go of all entries of a log that nobody has open, and has seqs go on above the time and all that it
// knows: so that cursors are too old that it can't know of, because it was restored from a backup.
func Bump(path string) (events int64, last uint64, err error) {
	var o Options
	o.setDefaults()
	w, err := openWriter(path, o)
	if err != nil {
		return 0, 0, err
	}
	s := w.state
	if s.first == 0 {
		err = fmt.Errorf("bump change log %s: its publishers number their changes (-seq given); have them publish all above %d again", path, s.last)
		return 0, 0, errors.Join(err, w.close())
	}
	last = max(hub.LogStart(time.Now()), s.last+1)
	_, err = w.conn.ExecContext(context.Background(),
		fmt.Sprintf("BEGIN IMMEDIATE; DELETE FROM changes; UPDATE log SET last = %d, events = 0, bytes = 0; COMMIT", last))
	if err != nil {
		err = explain("bump", path, err)
	}
	return s.events, last, errors.Join(err, w.close())
}
