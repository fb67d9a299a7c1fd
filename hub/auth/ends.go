package auth

import (
	"sync"

	"github.com/busbar-ws/busbar/hub"
)

// Ends closes the connections of sessions that are sessions no more. A store is opened before the hub that it
// authenticates for, and the hub lets clients in before anybody has it: what ends until then waits for it. The zero value
// is ready; it is safe from any goroutine.
type Ends struct {
	mu      sync.Mutex
	hub     *hub.Hub
	waiting []*hub.Identity // until there is a hub
}

// Revoked is for SessionOptions.OnRevoked.
func (e *Ends) Revoked(ids []*hub.Identity) {
	e.mu.Lock()
	h := e.hub
	if h == nil {
		e.waiting = append(e.waiting, ids...)
	}
	e.mu.Unlock()
	if h != nil {
		closeAll(h, ids)
	}
}

// Opened gives it the hub, once, as soon as there is one.
func (e *Ends) Opened(h *hub.Hub) {
	e.mu.Lock()
	ids := e.waiting
	e.hub, e.waiting = h, nil
	e.mu.Unlock()
	if len(ids) > 0 {
		closeAll(h, ids)
	}
}

func closeAll(h *hub.Hub, ids []*hub.Identity) {
	gone := make(map[*hub.Identity]bool, len(ids))
	for _, id := range ids {
		gone[id] = true
	}
	h.CloseIdentity(func(id *hub.Identity) bool { return gone[id] }, "session revoked")
}
