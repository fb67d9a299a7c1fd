package proof

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// account is what one connection has been given and has to be given. Its peer's lock guards it.
type account struct {
	book   *Book
	places map[*stream]*place
	asked  map[*stream]bool
	// seq is the newest change event's. With changes to all, each is one above the one before.
	seq      uint64
	gap      bool // it was told that it has lost some
	since    bool // nothing came yet on a connection that asked for what it had missed
	slow     bool // it has stopped reading at times: it may be told that it has lost something
	resynced int
	events   []event          // the changes that have come, of an audited book
	counts   [kinds]int       // what has come
	left     map[uint64]int64 // clients of an audited book that have, and of which of their node's starts
}

// event is a change event as somebody got it.
type event struct {
	seq, n, sum uint64
	stream      *stream
}

// place is how far an account is in a stream.
type place struct {
	next     uint64 // 0: nothing came yet
	must     uint64 // the first may not be above it; 0: anything goes until then
	told     bool   // something may be missing before the next
	snapshot bool   // the answer to a subscription to a row is to come first
	stored   uint64 // what that may not be older than
}

var errWronged = errors.New("a client was wronged")

func wronged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errWronged, fmt.Errorf(format, args...))
}

// everyone is a user who may see what is for any user.
const everyone = "*"

func newAccount(b *Book, user string) *account {
	a := &account{book: b, places: map[*stream]*place{}, asked: map[*stream]bool{}, left: map[uint64]int64{}}
	for _, s := range b.streams {
		if b.toAll(s) || s.toUser != "" && s.isFor(user) {
			a.places[s] = &place{}
		}
	}
	return a
}

// settled says that the server has surely acted on what was sent: whatever is published from
// now on has to come.
func (a *account) settled() {
	for s, p := range a.places {
		if p.next == 0 && p.must == 0 {
			p.must = s.next()
		}
	}
}

// subscribe is false for what the account has already. Where all is sent to all nothing changes
// by asking, but it may be asked for.
func (a *account) subscribe(s *stream) bool {
	if a.asked[s] {
		return false
	}
	a.asked[s] = true
	if a.places[s] == nil {
		p := &place{snapshot: s.kind == rows}
		if p.snapshot {
			p.stored = s.stored()
		}
		a.places[s] = p
	}
	return true
}

func (a *account) unsubscribed(s *stream) {
	delete(a.asked, s)
	if !a.book.toAll(s) {
		delete(a.places, s)
	}
}

// behind names a stream of which less has come than upTo says. What may be lost, as it was told,
// isn't waited for.
func (a *account) behind(upTo map[*stream]uint64) (string, bool) {
	for s, p := range a.places {
		n := upTo[s]
		if p.snapshot && p.stored > 0 && !p.told {
			return s.name + "'s snapshot", true
		}
		from := max(p.next, p.must)
		if from == 0 || n < from || p.told || s.lossy {
			continue
		}
		if s.missing(from, n+1) != 0 {
			return fmt.Sprintf("%s is at %d of %d", s.name, p.next, n), true
		}
	}
	return "", false
}

// owed is what the server has taken so far of the streams that it gets.
func (a *account) owed() map[*stream]uint64 {
	upTo := make(map[*stream]uint64, len(a.places))
	for s := range a.places {
		upTo[s] = s.taken()
	}
	return upTo
}

// subscriptions are the streams that it has asked for.
func (a *account) subscriptions() []*stream { return slices.Collect(maps.Keys(a.asked)) }
