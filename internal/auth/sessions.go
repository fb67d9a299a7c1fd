package auth

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/panics"
)

// SessionOptions says how a session store is opened. The zero value is Busbar's own
// store with defaults.
type SessionOptions struct {
	// ReadOnly is for a file that belongs to someone else (Pylon): it is neither
	// written nor created, and nothing of it is open between two looks at it. A database
	// in WAL mode is read from a copy.
	ReadOnly bool
	// CopyDir is where that copy is (default the directory for temporary files), in a
	// directory of its own with mode 0700.
	CopyDir string
	// CacheEntries bounds the sessions kept in memory, about (default 1,000,000, or fewer where
	// a 32nd of the memory is full). Of those above it that have connections a weak pointer is
	// kept, so that they can be revoked.
	CacheEntries int
	// Connections bounds the database connections used for lookups (default 4).
	Connections int
	// BusyTimeout is how long a statement waits for a lock (default 2 s).
	BusyTimeout time.Duration
	// PollInterval is how often the file is looked at for changes (default 1 s).
	PollInterval time.Duration
	// GuestTTL is how long a guest's session lasts (default 24 h).
	GuestTTL time.Duration
	// OnRevoked is told which identities are sessions no more: revoked, gone, given to
	// another user or tenant, or cut short. It is called from any goroutine, without
	// locks, and should return soon. The slice is the callee's.
	OnRevoked func(ids []*hub.Identity)
	// Log takes a line when the file becomes unusable and when it is back (default
	// slog.Default()).
	Log *slog.Logger
}

func (o *SessionOptions) setDefaults() {
	setDefault(&o.Connections, 4)
	setDefault(&o.BusyTimeout, 2*time.Second)
	setDefault(&o.PollInterval, time.Second)
	setDefault(&o.GuestTTL, 24*time.Hour)
	if o.OnRevoked == nil {
		o.OnRevoked = func([]*hub.Identity) {}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

func setDefault[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// lookupTimeout ends a lookup that nobody waits for any more.
var lookupTimeout = 10 * time.Second // more in tests

// Sessions is the session table in SQLite (docs/protocol.md section 4) with a cache in front. Safe from
// any goroutine; several processes may use the file at the same time.
type Sessions struct {
	path string
	opts SessionOptions
	memo memo

	panics panics.Log // of the watcher

	foreign *foreign // nil: the file is our own
	seen    seen     // of a foreign file

	opening sync.Mutex   // held while our own file is opened anew
	mu      sync.RWMutex // guards db and err, never held while something blocks
	db      *database    // nil while the file can't be used
	err     error        // why db is nil

	stop    context.CancelFunc
	watched chan struct{} // closed when the watcher has ended
}

var _ hub.Authenticator = (*Sessions)(nil)

// OpenSessions opens the session store at path, and creates it when absent unless
// opts.ReadOnly is set. Errors are one line that names the file and what is wrong with
// it; they wrap fs.ErrNotExist, fs.ErrPermission, ErrLocked, ErrNotDatabase or
// ErrSchema where that is the cause. The caller closes the store.
func OpenSessions(path string, opts SessionOptions) (*Sessions, error) {
	opts.setDefaults()
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sessions database: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Sessions{path: path, opts: opts, stop: stop, watched: make(chan struct{})}
	if opts.ReadOnly {
		s.foreign = &foreign{path: path, opts: &s.opts, base: ctx}
		start := time.Now()
		s.seen.state = stateOf(path)
		s.seen.checked = s.seen.state.settled(start) // nothing is cached yet
		if err = s.query(ctx, "open", func(querier) error { return nil }); err != nil {
			s.foreign.close()
		}
	} else {
		s.db, err = openDatabase(ctx, path, &s.opts)
	}
	if err != nil {
		stop()
		return nil, err
	}
	s.memo = memo{
		cache:    newSessionCache(opts.CacheEntries),
		flights:  newFlights(lookupTimeout, opts.Log),
		maxToken: maxSessionToken,
		renews:   true,
		ended:    opts.OnRevoked,
	}
	go s.watch(ctx)
	return s, nil
}

// Close ends the watcher, waits for lookups under way and closes the file. Sessions
// that are cached can still be asked for.
func (s *Sessions) Close() error {
	s.stop()
	<-s.watched
	s.memo.flights.close()
	if s.foreign != nil {
		s.foreign.close()
		return nil
	}
	db, _ := s.current()
	s.set(nil, ErrClosed)
	if db == nil {
		return nil
	}
	return db.close()
}

// Cached answers from memory.
func (s *Sessions) Cached(token string) (*hub.Identity, bool) { return s.memo.cached(token) }

// Authenticate asks the database about a token that isn't cached. While the file can't
// be used, its error isn't hub.ErrUnauthorized.
func (s *Sessions) Authenticate(ctx context.Context, token string) (*hub.Identity, error) {
	return s.memo.authenticate(ctx, token, func(ctx context.Context) (*hub.Identity, error) {
		return s.find(ctx, token)
	})
}

// find reads one session; hub.ErrUnauthorized when there is none.
func (s *Sessions) find(ctx context.Context, token string) (id *hub.Identity, err error) {
	const doing = "read session from"
	if s.foreign == nil {
		err = s.queryOwn(doing, func(db *database) error {
			id, err = db.find(ctx, token)
			return err
		})
	} else if id, err = s.foreign.find(token); err != nil {
		err = explain(doing, s.path, err)
	}
	if err == nil && id == nil {
		err = &hub.Refusal{Cause: hub.CauseUnknownSession}
	}
	return id, err
}
