package proof

import (
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
	name string // which is its topic, entity or row as well
	kind kind
	// How changes are published: so many in a body, with op ids or without, to one user or all.
	body   int
	opIDs  bool
	toUser string
	late   bool // what wasn't acknowledged may come behind what was, as from a node that was stopped
	lossy  bool // what comes is in order, and some may not
	nats   bool // published by NATS requests

	begun atomic.Uint64 // number of the newest that may have reached the server
	taken atomic.Uint64 // number of the newest that the server has taken for certain
	count atomic.Int64  // changes that were acknowledged

	mu    sync.Mutex
	fates map[uint64]fate
	acks  []ack // of changes, since somebody looked
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

// fate is what is special about one message.
type fate uint8

const (
	unsure   fate = 1 << iota // nobody knows whether the server has it
	refused                   // for want of room
	repeated                  // of a row, which has no op ids: it may come any number of times, and late
)

// ack is what a publisher of changes was answered: so many, from n on, have seqs from seq on.
type ack struct{ n, count, seq uint64 }

// begin is the first of so many numbers.
func (s *stream) begin(count int) uint64 { return s.begun.Add(uint64(count)) - uint64(count) + 1 }

func (s *stream) finish(first uint64, count int, err error) {
	last := first + uint64(count) - 1
	if err == nil {
		s.taken.Store(max(s.taken.Load(), last))
		return
	}
	what := unsure
	if statusOf(err) == http.StatusInsufficientStorage {
		what |= refused
	}
	for n := first; n <= last; n++ {
		s.mark(n, what)
	}
}

func (s *stream) mark(n uint64, what fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fates == nil {
		s.fates = map[uint64]fate{}
	}
	s.fates[n] |= what
}

func (s *stream) is(n uint64, what fate) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fates[n]&what != 0
}

// missing is the first number from..to-1 that ought to have come, 0 when there is none.
func (s *stream) missing(from, to uint64) uint64 {
	for n := from; n < to; n++ {
		if !s.is(n, unsure) {
			return n
		}
	}
	return 0
}

func (s *stream) acknowledged(a ack) {
	s.count.Add(int64(a.count)) //nolint:gosec // of a body
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acks = append(s.acks, a)
}

func (s *stream) takeAcks() (acks []ack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	acks, s.acks = s.acks, nil
	return acks
}

// isUpdate is whether a row's message changes nothing of what is stored.
func isUpdate(n uint64) bool { return n > 0 && n%3 == 0 }

// stored is the number of a row's newest snapshot that the server has taken for certain.
func (s *stream) stored() uint64 {
	n := s.taken.Load()
	if isUpdate(n) {
		n--
	}
	return n
}

// isFor is whether a user may see what comes of it.
func (s *stream) isFor(user string) bool {
	return s.toUser == "" || s.toUser == user || user == everyone
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
		s := &stream{kind: k, name: fmt.Sprintf("%s%d", prefix, i), body: 1}
		b.streams[s.name] = s
		made = append(made, s)
	}
	return made
}

// toAll is whether every client gets the stream without asking for it.
func (b *Book) toAll(s *stream) bool {
	asked := s.kind == rows || b.routed && (s.kind == changes || s.kind == topics)
	return !asked && s.toUser == ""
}

func (b *Book) of(kinds ...kind) (found []*stream) {
	for _, name := range slices.Sorted(maps.Keys(b.streams)) {
		if s := b.streams[name]; slices.Contains(kinds, s.kind) {
			found = append(found, s)
		}
	}
	return found
}
