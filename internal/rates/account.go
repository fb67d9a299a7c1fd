package rates

import (
	"hash/maphash"
	"sync"
	"time"
)

// account is what connections of one user, or of one address, draw on together. It is safe
// from any goroutine: the connections may be on several loops. A nil one refuses nothing.
type account struct {
	allowance *Allowance
	key       string
	open      int // meters that draw on it; guarded by its shard's mu

	mu      sync.Mutex // the innermost lock, held for a few additions
	buckets [Kinds]bucket
}

func (a *account) take(now time.Duration, k Kind, n float64) bool {
	if a == nil {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b := &a.buckets[k]
	b.settle(a.allowance[k], now)
	if !b.holds(a.allowance[k], n) {
		return false
	}
	b.used += n
	return true
}

func (a *account) giveBack(k Kind, n float64) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.buckets[k].used = max(0, a.buckets[k].used-n)
}

// full is whether the account is as good as a new one.
func (a *account) full(now time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.buckets {
		if !a.buckets[k].full(a.allowance[k], now) {
			return false
		}
	}
	return true
}

const (
	accountShards   = 64
	defaultAccounts = 1 << 16
	// sampled is how many accounts are looked at to find some that aren't needed.
	sampled = 8
)

// accounts finds accounts by name. It is safe from any goroutine; loops meet here when a
// connection begins to be metered and when that ends, and not for each message.
//
// Invariant: an account that a meter draws on is in its shard. Were it let go of, the same
// user's next connection would get another allowance.
type accounts struct {
	allowance Allowance
	most      int // of one shard, those in use not counted
	seed      maphash.Seed
	shards    [accountShards]accountShard
}

type accountShard struct {
	mu    sync.Mutex
	named map[string]*account
	_     [48]byte // a cache line for each
}

// newAccounts is nil, and refuses nothing, when times is not positive.
func newAccounts(one Allowance, times, most int) *accounts {
	if times <= 0 {
		return nil
	}
	if most <= 0 {
		most = defaultAccounts
	}
	t := &accounts{allowance: one.times(times), most: max(most/accountShards, 1), seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].named = make(map[string]*account)
	}
	return t
}

func (t *accounts) shard(key string) *accountShard {
	return &t.shards[maphash.String(t.seed, key)%accountShards]
}

// open finds or makes an account; an empty key has none. close must follow.
func (t *accounts) open(key string, now time.Duration) *account {
	if t == nil || key == "" {
		return nil
	}
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.named[key]
	if a == nil {
		s.tidy(t.most, now)
		a = &account{allowance: &t.allowance, key: key}
		s.named[key] = a
	}
	a.open++
	return a
}

// close lets go of an account that is full again; another one is remembered until it is.
func (t *accounts) close(a *account, now time.Duration) {
	if a == nil {
		return
	}
	s := t.shard(a.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.open--; a.open == 0 && a.full(now) {
		delete(s.named, a.key)
	}
}

// tidy looks at some accounts, which a map yields from a random place on, and lets go of
// those that are full again; in a full shard also of one that isn't.
func (s *accountShard) tidy(most int, now time.Duration) {
	seen, victim := 0, ""
	for key, a := range s.named {
		if seen++; seen > sampled {
			break
		}
		switch {
		case a.open > 0:
		case a.full(now):
			delete(s.named, key)
		default:
			victim = key
		}
	}
	if victim != "" && len(s.named) >= most {
		delete(s.named, victim)
	}
}
