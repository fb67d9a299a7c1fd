package auth

import (
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/busbar-ws/busbar/hub"
)

const (
	// entryBytes is about what an entry costs besides its token: its places in the map and in
	// the index, entry, identity.
	entryBytes = 304
	// evictSample is how many entries are looked at to find one to evict. Five to ten
	// come close to a true least-recently-used order without keeping one.
	evictSample = 8
	// leastSweep is how many tokens outside a shard it is worth while to sweep.
	leastSweep = 64
)

// shard is a part of a cache: a map bounded in entries and bytes. Safe from any goroutine.
type shard struct {
	mu      sync.RWMutex
	entries map[string]*entry
	// index has the same entries, for hits, which so take no lock that loops would share.
	index      sync.Map // string → *entry
	bytes      int
	maxEntries int
	maxBytes   int
	// outside are the tokens that aren't in entries, but of which somebody may have an identity:
	// a connection. Nil where nothing is ever revoked. Swept when it has twice as many as somebody
	// had at the last sweep: so connections bound it, and not those who came and went.
	outside map[string]*[]weak.Pointer[hub.Identity]
	sweepAt int // len(outside)
}

// entry is immutable but for used.
type entry struct {
	id    *hub.Identity // nil in the table of bad tokens
	why   error         // nil in the table of good ones
	until time.Duration // by the monotonic clock; 0 = never
	used  atomic.Int64  // seconds of the last hit, for eviction
	// before are the token's earlier identities, which connections keep when a session is
	// prolonged; nil for most. They are weak, and so only those that somebody has: a session
	// may be prolonged every second for weeks.
	before *[]weak.Pointer[hub.Identity]
}

func weakly(ids []*hub.Identity) *[]weak.Pointer[hub.Identity] {
	if len(ids) == 0 {
		return nil
	}
	pointers := make([]weak.Pointer[hub.Identity], len(ids))
	for i, id := range ids {
		pointers[i] = weak.Make(id)
	}
	return &pointers
}

// alive are those of the pointers' identities that somebody has.
func alive(pointers *[]weak.Pointer[hub.Identity]) (ids []*hub.Identity) {
	if pointers == nil {
		return nil
	}
	for _, w := range *pointers {
		if id := w.Value(); id != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// identities are all that the token has stood for and that somebody may have, the latest first.
func (e *entry) identities() (ids []*hub.Identity) {
	if e.id != nil {
		ids = append(ids, e.id)
	}
	return append(ids, alive(e.before)...)
}

func (s *shard) init(maxEntries, maxBytes int) {
	s.entries = make(map[string]*entry)
	s.maxEntries, s.maxBytes = max(maxEntries, 1), maxBytes
}

func (s *shard) get(token string, now moment) (*hub.Identity, bool) {
	if e := s.find(token, now); e != nil {
		return e.id, true
	}
	return nil, false
}

// find is nil for what isn't there or is over.
func (s *shard) find(token string, now moment) *entry {
	found, ok := s.index.Load(token)
	if !ok {
		return nil
	}
	e := found.(*entry)
	if e.over(now) {
		return nil
	}
	// Stored only when it changes: a write for every hit would bounce the cache line.
	if sec := int64(now.mono / time.Second); e.used.Load() != sec {
		e.used.Store(sec)
	}
	return e
}

func (s *shard) put(token string, id *hub.Identity, until time.Duration, now moment) *hub.Identity {
	return s.keep(token, &entry{id: id, until: until}, now)
}

// keep takes an entry in. It returns the identity to use: the one that the token has already when
// it says the same.
func (s *shard) keep(token string, e *entry, now moment) *hub.Identity {
	id := e.id
	e.used.Store(int64(now.mono / time.Second))
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[token]; old != nil {
		if sameIdentity(old.id, id) {
			e.id, e.before = old.id, old.before
		} else {
			e.before = weakly(old.identities())
		}
		s.set(token, e)
		return e.id
	}
	if had := alive(s.outside[token]); len(had) > 0 {
		if sameIdentity(had[0], id) {
			e.id, had = had[0], had[1:]
		}
		e.before = weakly(had)
	}
	cost := len(token) + entryBytes
	if cost > s.maxBytes {
		s.putOutside(token, e)
		return e.id
	}
	delete(s.outside, token)
	for len(s.entries) > 0 && (len(s.entries) >= s.maxEntries || s.bytes+cost > s.maxBytes) {
		s.evict(now)
	}
	s.set(token, e)
	s.bytes += cost
	return e.id
}

// evict removes an expired entry if the sample has one, else its least recently used.
func (s *shard) evict(now moment) {
	victim, oldest, seen := "", int64(0), 0
	for token, e := range s.entries {
		if e.over(now) {
			victim = token
			break
		}
		if used := e.used.Load(); seen == 0 || used < oldest {
			victim, oldest = token, used
		}
		if seen++; seen == evictSample {
			break
		}
	}
	s.putOutside(victim, s.entries[victim])
	s.remove(victim)
}

// putOutside goes on knowing who has an identity of an entry that is remembered no more.
func (s *shard) putOutside(token string, e *entry) {
	if s.outside == nil {
		return
	}
	if len(s.outside) >= s.sweepAt {
		s.sweep()
	}
	s.outside[token] = weakly(e.identities())
}

// sweep forgets the tokens outside whose identities nobody has. It makes a new map, for maps
// don't shrink.
func (s *shard) sweep() {
	left := make(map[string]*[]weak.Pointer[hub.Identity])
	for token, pointers := range s.outside {
		if ids := alive(pointers); len(ids) > 0 {
			left[token] = weakly(ids)
		}
	}
	s.outside, s.sweepAt = left, max(2*len(left), leastSweep)
}

func (s *shard) drop(token string) []*hub.Identity {
	s.mu.RLock()
	known := s.entries[token] != nil || s.outside[token] != nil
	s.mu.RUnlock()
	if !known {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[token]; e != nil {
		s.remove(token)
		return e.identities()
	}
	ids := alive(s.outside[token])
	delete(s.outside, token)
	return ids
}

func (s *shard) set(token string, e *entry) {
	s.entries[token] = e
	s.index.Store(token, e)
}

func (s *shard) remove(token string) {
	delete(s.entries, token)
	s.index.Delete(token)
	s.bytes -= len(token) + entryBytes
}

func (s *shard) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.entries) // outside is nil: sessions are dropped one by one
	s.index.Clear()
	s.bytes = 0
}

// all are the tokens in the shard, and those outside it.
func (s *shard) all() []known {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]known, 0, len(s.entries)+len(s.outside))
	for token, e := range s.entries {
		list = append(list, known{token, e.id})
	}
	for token, pointers := range s.outside {
		if ids := alive(pointers); len(ids) > 0 {
			list = append(list, known{token, ids[0]})
		}
	}
	return list
}

func (s *shard) len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.entries)
}

func (e *entry) over(now moment) bool {
	return e.until != 0 && now.mono >= e.until
}
