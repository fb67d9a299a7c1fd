package auth

import (
	"hash/maphash"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/memory"
)

const (
	shardCount = 64

	badTTL     = time.Second // so that a session made a moment later is found
	badEntries = 10_000

	defaultCacheEntries = 1_000_000
)

// cache remembers what tokens stand for. It is safe from any goroutine; readers take no
// lock. It knows no clock: every call is told the moment.
//
// Good and bad tokens live in separate tables, so that a flood of invented tokens
// pushes no session out.
type cache struct {
	seed maphash.Seed
	good []shard
	bad  []shard
}

// newCache makes a cache for about entries good tokens (0 = 1,000,000), or fewer where their
// share of the memory is full.
func newCache(entries int) *cache {
	if entries <= 0 {
		entries = defaultCacheEntries
	}
	return &cache{
		seed: maphash.MakeSeed(),
		good: newShards(entries, memory.Defaults().Tokens),
		bad:  newShards(badEntries, memory.Defaults().BadTokens),
	}
}

// newSessionCache makes a cache whose drop and chunks also know of what was evicted, for as
// long as somebody has its identity: a session may be revoked while its connections are open.
func newSessionCache(entries int) *cache {
	c := newCache(entries)
	for i := range c.good {
		c.good[i].sweep()
	}
	return c
}

// newShards splits the bounds. Few entries are not split: a shard of one or two would
// evict while its neighbours stand empty.
func newShards(entries, bytes int) []shard {
	n := shardCount
	if entries < 16*shardCount {
		n = 1
	}
	shards := make([]shard, n)
	for i := range shards {
		shards[i].init(entries/n, bytes/n)
	}
	return shards
}

// get answers a good token that is remembered and hasn't expired.
func (c *cache) get(token string, now moment) (id *hub.Identity, ok bool) {
	return shardOf(c.good, maphash.String(c.seed, token)).get(token, now)
}

// why says why a token is remembered as bad; nil when it isn't.
func (c *cache) why(token string, now moment) error {
	if e := shardOf(c.bad, maphash.String(c.seed, token)).find(token, now); e != nil {
		return e.why
	}
	return nil
}

// put remembers a good token until its identity expires or ttl has passed, whichever is
// first (ttl 0 = no limit but the identity's). It returns the identity to use: the one
// remembered already when it says the same, so that one session has one pointer.
func (c *cache) put(token string, id *hub.Identity, ttl time.Duration, now moment) *hub.Identity {
	sum := maphash.String(c.seed, token)
	shardOf(c.bad, sum).drop(token)
	return shardOf(c.good, sum).put(token, id, until(id, ttl, now), now)
}

// putBad remembers for a second that a token is bad, and why.
func (c *cache) putBad(token string, why error, now moment) {
	sum := maphash.String(c.seed, token)
	shardOf(c.bad, sum).keep(token, &entry{why: why, until: now.mono + badTTL}, now)
}

// drop forgets a good token and returns the identities it had, if any, the latest first; those
// of one that was evicted, too, if this is a session cache.
func (c *cache) drop(token string) []*hub.Identity {
	return shardOf(c.good, maphash.String(c.seed, token)).drop(token)
}

// clear forgets every good token.
func (c *cache) clear() {
	for i := range c.good {
		c.good[i].clear()
	}
}

// known is one good token as the cache holds it, or as somebody else does.
type known struct {
	key string
	id  *hub.Identity
}

// chunks hands out every good token in slices of at most size, until f returns false.
// Tokens that come or go meanwhile may be missed or be gone.
func (c *cache) chunks(size int, f func([]known) bool) {
	for i := range c.good {
		rest := c.good[i].all()
		for len(rest) > 0 {
			n := min(size, len(rest))
			if !f(rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// len counts the good tokens, expired ones included.
func (c *cache) len() int {
	n := 0
	for i := range c.good {
		n += c.good[i].len()
	}
	return n
}

func shardOf(shards []shard, sum uint64) *shard {
	return &shards[sum%uint64(len(shards))]
}

// until is when an answer stops being one, by the monotonic clock; 0 = never.
func until(id *hub.Identity, ttl time.Duration, now moment) time.Duration {
	lasts := ttl
	if !id.Expires.IsZero() {
		if left := id.Expires.Sub(now.wall); ttl == 0 || left < ttl {
			lasts = left
		}
	}
	if lasts == 0 && id.Expires.IsZero() || lasts > farFuture {
		return 0
	}
	return max(now.mono+lasts, 1)
}

// farFuture is longer than any process runs, and far from what a Duration can hold.
const farFuture = 100 * 365 * 24 * time.Hour
