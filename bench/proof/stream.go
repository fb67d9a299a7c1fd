package proof

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// stream is a sequence of messages that are numbered from 1. Safe from any goroutine; one at a
// time publishes.
type stream struct {
	name string
	kind kind
	key  string // topic, entity or row
	// How changes are published: so many in a body, with op ids or without, to one user or all.
	body   int
	opIDs  bool
	toUser string
	late   bool // what wasn't acknowledged may come behind what was, as from a node that was stopped
	lossy  bool // what comes is in order, and some may not
	nats   bool // published by NATS requests

	mu     sync.Mutex
	begun  uint64          // number of the newest that may have reached the server
	done   uint64          // number of the newest that the server has taken for certain
	unsure map[uint64]bool // numbers whose fate nobody knows, or, true, that were refused for want of room
	again  map[uint64]bool // of a row, that were sent more than once, so that they may come again, and late
	acks   []ack           // of changes, since somebody looked
}

// kind is how a stream reaches the server, and who gets it.
type kind uint8

const (
	changes    kind = iota // of an entity, by HTTP
	bulks                  // changes, very many in a body
	topics                 // by HTTP
	rows                   // by HTTP, to the row's subscribers
	presence               // by HTTP, to everyone
	broadcasts             // by HTTP, to everyone
	relays                 // presence messages of a client, to everyone
	kinds                  // how many there are
)

// ack is what a publisher of changes was answered: so many, from n on, have seqs from seq on.
type ack struct{ n, count, seq uint64 }

// begin is the first of so many numbers.
func (s *stream) begin(count int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun += uint64(count)
	return s.begun - uint64(count) + 1
}

func (s *stream) finish(first uint64, count int, err error) {
	var no *refusal
	refused := errors.As(err, &no) && no.status == http.StatusInsufficientStorage
	s.mu.Lock()
	defer s.mu.Unlock()
	last := first + uint64(count) - 1
	if err == nil {
		s.done = max(s.done, last)
		return
	}
	if s.unsure == nil {
		s.unsure = map[uint64]bool{}
	}
	for n := first; n <= last; n++ {
		s.unsure[n] = refused
	}
}

func (s *stream) acknowledged(a ack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acks = append(s.acks, a)
}

func (s *stream) acknowledgedSoFar() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.acks {
		n += int(a.count) //nolint:gosec // of a body
	}
	return n
}

// lastAck is the newest seq that was acknowledged, and nobody has taken.
func (s *stream) lastAck() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.acks[len(s.acks)-1]
	return last.seq + last.count - 1
}

func (s *stream) takeAcks() (acks []ack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	acks, s.acks = s.acks, nil
	return acks
}

// stored is the number of a row's newest snapshot that the server has taken for certain.
func (s *stream) stored() uint64 {
	n := s.taken()
	if isUpdate(n) {
		n--
	}
	return n
}

// isFor is whether a user may see what comes of it.
func (s *stream) isFor(user string) bool {
	return s.toUser == "" || s.toUser == user || user == everyone
}

// isUpdate is whether a row's message changes nothing of what is stored.
func isUpdate(n uint64) bool { return n > 0 && n%3 == 0 }

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

// repeats has a number come any number of times from now on: a row has no op ids.
func (s *stream) repeats(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.again == nil {
		s.again = map[uint64]bool{}
	}
	s.again[n] = true
}

func (s *stream) mayRepeat(n uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.again[n]
}

func (s *stream) wasRefused(n uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsure[n]
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
	audited bool // changes outlive the server, some are for one user, and accounts keep them

	starts [1 + clusterNodes]atomic.Int64 // of each node, by its number: its clients' ids begin anew
}

func newBook(routed bool) *Book { return &Book{streams: map[string]*stream{}, routed: routed} }

func (b *Book) add(k kind, prefix string, count int) (made []*stream) {
	for i := range count {
		s := &stream{kind: k, key: fmt.Sprintf("%s%d", prefix, i), body: 1}
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
		return !b.routed && s.toUser == ""
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
