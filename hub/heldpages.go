package hub

import (
	"encoding/json"
	"runtime"
	"sync"
)

// heldChanges are the changes of pages that are held, but those that the log keeps in memory: a log on disk gives each
// reader bytes of its own. They are there once, and count once, however many hold them. Safe from any goroutine.
type heldChanges struct {
	mu    sync.Mutex
	bySeq map[uint64]*heldChange
}

// heldChange is one of them; guarded by heldChanges.mu.
type heldChange struct {
	json    json.RawMessage
	holders int
	release func() // of the bytes
}

// heldBytes is what it takes to know who holds a change, about: as much as a small change itself.
const heldBytes = 128

// readChange is a change of a page that isn't the log's own bytes.
type readChange struct {
	seq   uint64
	index int // in Changes
}

// take puts the bytes that others hold in place of a page's own; spare is asked for those that nobody has held. It
// returns false, and holds nothing, once spare does.
func (h *heldChanges) take(p *Pulled, spare func(n int) (release func(), ok bool)) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, read := range p.read {
		c := h.bySeq[read.seq]
		if c == nil {
			own := p.Changes[read.index]
			release, ok := spare(len(own) + heldBytes)
			if !ok {
				h.drop(p.read[:i])
				return false
			}
			if h.bySeq == nil {
				h.bySeq = make(map[uint64]*heldChange, len(p.read))
			}
			c = &heldChange{json: own, release: release}
			h.bySeq[read.seq] = c
		}
		c.holders++
		p.Changes[read.index] = c.json
	}
	return true
}

func (h *heldChanges) giveBack(read []readChange) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(read)
}

// drop is called with mu held.
func (h *heldChanges) drop(read []readChange) {
	for _, r := range read {
		c := h.bySeq[r.seq]
		if c.holders--; c.holders == 0 {
			delete(h.bySeq, r.seq)
			c.release()
		}
	}
	if len(h.bySeq) == 0 {
		h.bySeq = nil // a map stays as large as it ever was
	}
}

// Hold counts a page's changes as buffered for clients until release is called, once: an
// embedder calls it for pages that it keeps for peers of its own, who may be slow. What pages
// share counts once: Hold puts what others hold in place of p's Changes. ErrOverloaded says that clients would have to
// go for it.
func (h *Hub) Hold(p Pulled) (release func(), err error) {
	if !h.held.take(&p, h.engine.Hold) {
		return nil, ErrOverloaded
	}
	return func() {
		h.held.giveBack(p.read)
		runtime.KeepAlive(p.frames) // they count for as long as they are there
	}, nil
}
