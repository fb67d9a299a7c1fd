package eventloop

import (
	"slices"
	"sync"
)

// gates are those of all loops. Safe from any goroutine.
type gates struct {
	mu   sync.Mutex
	all  []*gate
	free []*gate // that no loop has claimed
}

func (s *gates) set(found []*gate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all, s.free = found, slices.Clone(found)
}

func (s *gates) each(f func(*gate)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.all {
		f(g)
	}
}

// any is false where no gate could be found, which was logged.
func (s *gates) any() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all) > 0
}

// end leaves all gates as they are for good.
func (s *gates) end() { s.each((*gate).end) }

// claim finds the gate whose epoll set watches the descriptor, nil if none does. Those that
// nobody has claimed are of loops that have no connections yet, so there is little to read.
func (s *gates) claim(fd int) *gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, g := range s.free {
		if slices.ContainsFunc(watchedBy(g.epoll), func(w watched) bool { return w.fd == fd }) {
			s.free = slices.Delete(s.free, i, i+1)
			return g
		}
	}
	return nil
}
