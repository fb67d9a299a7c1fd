package main

import "sync"

// roster is the set of a hub's connected clients. Safe from any goroutine.
//
// A broadcast walks a snapshot, so that no lock is held while it writes: libraries call
// back when a connection closes, which may be inside of a write.
type roster[C comparable] struct {
	mu  sync.Mutex
	set map[C]struct{}
	// snapshot holds what set does and is never changed, only replaced; nil when set
	// changed since it was made.
	snapshot []C
}

func newRoster[C comparable]() *roster[C] { return &roster[C]{set: make(map[C]struct{})} }

func (r *roster[C]) add(c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set[c] = struct{}{}
	r.snapshot = nil
}

func (r *roster[C]) remove(c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.set, c)
	r.snapshot = nil
}

func (r *roster[C]) len() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int64(len(r.set))
}

// all is every client, for reading only.
func (r *roster[C]) all() []C {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.snapshot == nil {
		r.snapshot = make([]C, 0, len(r.set))
		for c := range r.set {
			r.snapshot = append(r.snapshot, c)
		}
	}
	return r.snapshot
}
