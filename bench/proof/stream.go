package proof

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// stream is a sequence of messages that are numbered from 1. Safe from any goroutine; one at a
// time publishes.
type stream struct {
	name string
	kind kind
	key  string // topic, entity or row

	mu     sync.Mutex
	begun  uint64              // number of the newest that may have reached the server
	done   uint64              // number of the newest that the server has taken for certain
	unsure map[uint64]struct{} // numbers whose fate nobody knows: their sender's connection ended
}

// kind is how a stream reaches the server, and who gets it.
type kind uint8

const (
	changes    kind = iota // of an entity, by HTTP
	topics                 // by HTTP
	rows                   // by HTTP, to the row's subscribers
	presence               // by HTTP, to everyone
	broadcasts             // by HTTP, to everyone
	relays                 // presence messages of a client, to everyone
)

func (s *stream) begin() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun++
	return s.begun
}

func (s *stream) finish(n uint64, taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if taken {
		s.done = max(s.done, n)
		return
	}
	if s.unsure == nil {
		s.unsure = map[uint64]struct{}{}
	}
	s.unsure[n] = struct{}{}
}

// next is the first number that hasn't been begun.
func (s *stream) next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun + 1
}

func (s *stream) taken() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

func (s *stream) isUnsure(n uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, yes := s.unsure[n]
	return yes
}

// missing is the first number from..to-1 that ought to have come, 0 when there is none.
func (s *stream) missing(from, to uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := from; n < to; n++ {
		if _, unsure := s.unsure[n]; !unsure {
			return n
		}
	}
	return 0
}

// Book has all streams of a daemon. It doesn't change once clients connect.
type Book struct {
	streams map[string]*stream
	routed  bool // topics and changes go to subscribers alone
}

func newBook(routed bool) *Book { return &Book{streams: map[string]*stream{}, routed: routed} }

func (b *Book) add(k kind, prefix string, count int) (made []*stream) {
	for i := range count {
		s := &stream{kind: k, key: fmt.Sprintf("%s%d", prefix, i)}
		s.name = s.key
		b.streams[s.name] = s
		made = append(made, s)
	}
	return made
}

// toAll is whether every client gets the stream without asking for it.
func (b *Book) toAll(s *stream) bool {
	switch s.kind {
	case changes, topics:
		return !b.routed
	case rows:
		return false
	}
	return true
}

func (b *Book) of(kinds ...kind) (found []*stream) {
	for _, name := range slices.Sorted(maps.Keys(b.streams)) {
		if s := b.streams[name]; slices.Contains(kinds, s.kind) {
			found = append(found, s)
		}
	}
	return found
}
