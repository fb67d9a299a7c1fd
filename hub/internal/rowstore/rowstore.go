// Package rowstore keeps the rows of a hub that has no service for them.
package rowstore

import (
	"sync"
	"weak"

	"github.com/busbar-ws/busbar/eventloop"
)

// overhead is what a row takes besides its strings: itself, its place in the map, and its
// frames.
const overhead = 400

// Store keeps the last snapshot of each row. It is safe from any goroutine. It is
// bounded in rows and bytes: when it is full, the row that wasn't read or written for
// longest goes first, which is counted.
type Store struct {
	maxRows  int
	maxBytes int64

	mu      sync.Mutex
	rows    map[key]*snapshot
	recent  snapshot // root of a ring: next was used last, prev is the first to go
	bytes   int64
	version uint64
	evicted uint64
	gone    func(entity, row string) // told of each row that is let go of for newer ones
}

// key is a struct rather than a joined string: no separator is safe, as either of the two
// may contain any character.
type key struct{ entity, row string }

type snapshot struct {
	key        key
	tenant     string // whose clients may read it; "": everyone
	payload    []byte
	version    uint64
	frames     [2]weak.Pointer[eventloop.Frame] // of the payload: plain, and for those that take it compressed
	prev, next *snapshot
}

// New makes an empty store. Where a limit isn't positive, nothing is kept. gone is told of each row that is
// let go of for newer ones, while the store is locked.
func New(maxRows int, maxBytes int64, gone func(entity, row string)) *Store {
	s := &Store{maxRows: maxRows, maxBytes: maxBytes, rows: make(map[key]*snapshot), gone: gone}
	s.recent.prev, s.recent.next = &s.recent, &s.recent
	return s
}

// Put makes payload the row's snapshot, and the row the tenant's, and returns its version. That is one above all
// before it, so that a row that was evicted never comes back with one it had before, unless the caller has versions
// of its own: then what is newer stays. The payload belongs to the store from here on and must not change.
//
// A row that is larger than the store isn't kept, and neither is its outdated snapshot.
func (s *Store) Put(own uint64, tenant, entity, row string, payload []byte) (version uint64) {
	fresh := &snapshot{key: key{entity, row}, tenant: tenant, payload: payload}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.rows[fresh.key]
	if fresh.version = own; own == 0 {
		s.version++
		fresh.version = s.version
	} else if old != nil && old.version >= own {
		return old.version
	}
	if old != nil {
		s.remove(old)
	}
	if fresh.size() > s.maxBytes || s.maxRows <= 0 {
		s.evict(fresh) // without evicting everyone else first
		return fresh.version
	}
	s.rows[fresh.key] = fresh
	s.bytes += fresh.size()
	s.use(fresh)
	for len(s.rows) > s.maxRows || s.bytes > s.maxBytes {
		oldest := s.recent.prev
		s.remove(oldest)
		s.evict(oldest)
	}
	return fresh.version
}

// Update returns a version for an update that isn't stored, by which it stands among the
// snapshots, and whose row it is: "" is everyone's, and of a row that isn't kept nobody knows better.
func (s *Store) Update(entity, row string) (version uint64, tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	if stored := s.rows[key{entity, row}]; stored != nil {
		tenant = stored.tenant
	}
	return s.version, tenant
}

// Frame is the snapshot of a row, a whole frame, nil where there is none that the tenant's clients may read, and its
// version. All who ask for one version are given the
// same frame, which is then buffered once, however many of them don't take it; those that take
// it compressed have one of their own, for who is first to be sent a frame settles its form. The store
// keeps none of them, which would count as buffered for as long as the row is stored.
func (s *Store) Frame(tenant, entity, row string, deflate bool) (f *eventloop.Frame, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.rows[key{entity, row}]
	if found == nil {
		return nil, 0
	}
	if found.tenant != "" && found.tenant != tenant {
		return nil, found.version
	}
	found.unlink()
	s.use(found)
	which := &found.frames[0]
	if deflate {
		which = &found.frames[1]
	}
	if f = which.Value(); f == nil {
		f = eventloop.FrameOf(found.payload)
		*which = weak.Make(f)
	}
	return f, found.version
}

// Forget lets go of a row's snapshot, if there is one.
func (s *Store) Forget(entity, row string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stored := s.rows[key{entity, row}]; stored != nil {
		s.remove(stored)
	}
}

// Stats is how full the store is, and how many rows it has given up so far.
type Stats struct {
	Rows    int
	Bytes   int64 // what storing the rows costs, payloads included
	Evicted uint64
}

func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Rows: len(s.rows), Bytes: s.bytes, Evicted: s.evicted}
}

func (s *Store) evict(r *snapshot) {
	s.evicted++
	s.gone(r.key.entity, r.key.row)
}

func (s *Store) remove(r *snapshot) {
	delete(s.rows, r.key)
	s.bytes -= r.size()
	r.unlink()
}

// use makes an unlinked row the last used one.
func (s *Store) use(r *snapshot) {
	r.prev, r.next = &s.recent, s.recent.next
	r.prev.next, r.next.prev = r, r
}

func (r *snapshot) unlink() { r.prev.next, r.next.prev = r.next, r.prev }

// size counts the payload's capacity, because that is what it keeps from being freed.
func (r *snapshot) size() int64 {
	return int64(overhead + cap(r.payload) + len(r.tenant) + len(r.key.entity) + len(r.key.row))
}
