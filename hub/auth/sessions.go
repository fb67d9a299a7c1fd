package auth

import (
	"context"
	"iter"
	"log/slog"
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

// store is where sessions are: a file, or a bucket of a NATS cluster. It is safe from any goroutine.
type store interface {
	// key is what the store knows a token by, and what its sessions are cached by.
	key(token string) string
	// find is nil when there is no such session.
	find(ctx context.Context, key string) (*hub.Identity, error)
	findAll(ctx context.Context, keys []string) (map[string]*hub.Identity, error)
	add(ctx context.Context, key string, s *Session) error
	// remove is ErrNoSession when there is none.
	remove(ctx context.Context, key string) error
	list(ctx context.Context) iter.Seq2[listed, error]

	// watch has s told of what others do, until ctx ends.
	watch(ctx context.Context, s *Sessions)
	close() error
}

// listed is a session as a store lists it.
type listed struct {
	Session
	key string
}

// Sessions is a store of sessions with a cache in front. Safe from any goroutine.
type Sessions struct {
	opts  SessionOptions
	store store
	memo  memo

	panics panics.Log // of the watcher
	// ending is held from when a session is dropped until its end was told: who revokes it returns
	// behind that, also when the watcher was first to drop it.
	ending sync.Mutex

	stop    context.CancelFunc
	watched chan struct{} // closed when the watcher has ended
}

var _ hub.Authenticator = (*Sessions)(nil)

// openSessions begins to watch what open opens, whose context ends when the store is closed.
func openSessions(opts SessionOptions, open func(context.Context, *SessionOptions) (store, error)) (*Sessions, error) {
	opts.setDefaults()
	ctx, stop := context.WithCancel(context.Background())
	s := &Sessions{opts: opts, stop: stop, watched: make(chan struct{})}
	var err error
	if s.store, err = open(ctx, &s.opts); err != nil {
		stop()
		return nil, err
	}
	s.memo = memo{
		cache:    newSessionCache(opts.CacheEntries),
		flights:  newFlights(lookupTimeout, opts.Log),
		key:      s.store.key,
		maxToken: maxSessionToken,
		renews:   true,
		ended:    opts.OnRevoked,
	}
	go func() {
		defer close(s.watched)
		s.store.watch(ctx, s)
	}()
	return s, nil
}

// Close ends the watcher, waits for lookups under way and closes the store. Sessions
// that are cached can still be asked for.
func (s *Sessions) Close() error {
	s.stop()
	<-s.watched
	s.memo.flights.close()
	return s.store.close()
}

// Cached answers from memory.
func (s *Sessions) Cached(token string) (*hub.Identity, bool) { return s.memo.cached(token) }

// Authenticate asks the store about a token that isn't cached. While it can't
// be used, its error isn't hub.ErrUnauthorized.
func (s *Sessions) Authenticate(ctx context.Context, token string) (*hub.Identity, error) {
	return s.memo.authenticate(ctx, token, func(ctx context.Context) (*hub.Identity, error) {
		id, err := s.store.find(ctx, s.store.key(token))
		if err == nil && id == nil {
			err = &hub.Refusal{Cause: hub.CauseUnknownSession}
		}
		return id, err
	})
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
