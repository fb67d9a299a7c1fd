package hub

import (
	"strconv"
	"sync"

	"github.com/busbar-ws/busbar/eventloop"
)

// fetchQuota is who has how many fetches of snapshots waiting or under way. Nobody may have more
// than a tenth of what can wait, or than one connection may ask for: a user who subscribes
// and unsubscribes in turns must not be why another is told to try again later. Safe from
// any goroutine; loops meet here for subscriptions to rows only.
type fetchQuota struct {
	most, mostBytes int // of one payer

	mu    sync.Mutex
	taken map[string]share
}

type share struct{ fetches, bytes int }

func newFetchQuota(o *Options) *fetchQuota {
	most := max(o.WorkerQueue/10, o.MaxSubscriptions)
	return &fetchQuota{most: most, mostBytes: max(most*subscriptionBytes, o.Loops.MaxMessageIn), taken: make(map[string]share)}
}

// take is false, and takes nothing, when the payer has its share.
func (s *fetchQuota) take(payer string, bytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.taken[payer]
	if now.fetches >= s.most || now.bytes+bytes > s.mostBytes {
		return false
	}
	s.taken[payer] = share{now.fetches + 1, now.bytes + bytes}
	return true
}

func (s *fetchQuota) giveBack(payer string, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.taken[payer]
	if now.fetches <= 1 {
		delete(s.taken, payer)
		return
	}
	s.taken[payer] = share{now.fetches - 1, now.bytes - bytes}
}

// payerOfFetches is the client's user; each of those that have none of their own pays for itself.
func payerOfFetches(c *eventloop.Client) string {
	if user, _ := payer(c); user != "" {
		return "user " + user
	}
	return "client " + strconv.FormatUint(c.ID(), 10)
}
