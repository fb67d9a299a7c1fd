package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"

	"github.com/busbar-ws/busbar/eventloop"
)

// account is what one connection has been given and has to be given. Its peer's lock guards it.
type account struct {
	book   *Book
	places map[*stream]*place
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
	asked    bool   // for it, by a subscription
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
	a := &account{book: b, places: map[*stream]*place{}, left: map[uint64]int64{}}
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
			p.must = s.begun.Load() + 1
		}
	}
}

// subscribe is false for what the account has already. Where all is sent to all nothing changes
// by asking, but it may be asked for.
func (a *account) subscribe(s *stream) bool {
	p := a.places[s]
	if p == nil {
		p = &place{snapshot: s.kind == rows, stored: s.stored()}
		a.places[s] = p
	}
	fresh := !p.asked
	p.asked = true
	return fresh
}

func (a *account) unsubscribed(s *stream) {
	if a.places[s].asked = false; !a.book.toAll(s) {
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
		upTo[s] = s.taken.Load()
	}
	return upTo
}

// subscriptions are the streams that it has asked for.
func (a *account) subscriptions() (asked []*stream) {
	for s, p := range a.places {
		if p.asked {
			asked = append(asked, s)
		}
	}
	return asked
}

var crcTable = crc64.MakeTable(crc64.ECMA)

// text takes a text message.
func (a *account) text(b []byte) error {
	first, change := a.since, bytes.HasPrefix(b, []byte(`{"seq":`))
	if !bytes.HasPrefix(b, []byte(`{"type":"presence"`)) {
		a.since = false
	}
	switch {
	case bytes.HasPrefix(b, []byte(`{"type":"resync"`)):
		return a.resync(b, first)
	case bytes.HasPrefix(b, []byte(`{"type":"gap"`)):
		return a.missing(b)
	case bytes.HasPrefix(b, []byte(`{"type":"presence","event":"disconnect"`)):
		return a.leaves(b)
	case change:
		if err := a.change(b); err != nil {
			return err
		}
	}
	m, err := readJSONNote(b)
	if err != nil {
		return wronged("%w", err)
	}
	if err := a.take(m, false); err != nil || !a.book.audited || !change {
		return err
	}
	a.events = append(a.events, event{a.seq, m.n, crc64.Checksum(b, crcTable), a.book.streams[m.stream]})
	return nil
}

// leaves takes the news of clients that have left, of whatever node.
func (a *account) leaves(b []byte) error {
	var news struct {
		ClientID  uint64
		ClientIDs []uint64
	}
	if err := json.Unmarshal(b, &news); err != nil || news.ClientID == 0 {
		return wronged("the news that nobody left: %.80q", b)
	}
	if !a.book.audited {
		return nil
	}
	if len(news.ClientIDs) == 0 {
		news.ClientIDs = []uint64{news.ClientID}
	}
	for _, id := range news.ClientIDs {
		if node := eventloop.NodeOf(id); node > clusterNodes {
			return wronged("a client %d of no node has left", id)
		} else if start := a.book.starts[node].Load(); start > 0 && a.left[id] == start {
			return wronged("told twice that client %d has left", id)
		} else {
			a.left[id] = start
		}
	}
	return nil
}

// binary takes a binary message.
func (a *account) binary(b []byte) error {
	m, snapshot, err := readBinary(b)
	if err != nil {
		return wronged("%w", err)
	}
	return a.take(m, snapshot)
}

func (a *account) resync(b []byte, first bool) error {
	seq, err := number(b, `"seq":`)
	oldest, errOldest := number(b, `"oldest_seq":`)
	switch {
	case err != nil || errOldest != nil:
		return wronged("a resync without its numbers: %.80q", b)
	case a.book.audited:
		return wronged("told to resync with since %d: %s", a.seq, b)
	case first && a.seq+1 >= oldest && a.seq <= seq:
		return wronged("told to resync for nothing: since %d, %s", a.seq, b)
	case !first && !a.slow:
		return wronged("it has lost messages, and had read all the time: %s", b)
	}
	a.resynced++
	for _, p := range a.places {
		p.told = true
	}
	if first { // it was away: the next is the one behind seq
		a.seq = seq
	} else {
		a.gap = true
	}
	return nil
}

// missing takes a gap: it names what comes before the next change, and a resync follows.
func (a *account) missing(b []byte) error {
	from, err := number(b, `"from":`)
	to, errTo := number(b, `"to":`)
	if err != nil || errTo != nil || from <= a.seq || to < from || !a.slow {
		return wronged("a gap behind change %d: %s", a.seq, b)
	}
	a.seq = to
	return nil
}

func (a *account) change(b []byte) error {
	seq, err := number(b, `"seq":`)
	if err != nil {
		return wronged("a change without seq: %.80q", b)
	}
	exact := !a.book.routed && !a.book.audited && a.seq != 0 && !a.gap
	if seq <= a.seq || exact && seq != a.seq+1 {
		return wronged("change with seq %d behind %d", seq, a.seq)
	}
	a.seq, a.gap = seq, false
	return nil
}

// take moves on in a stream.
func (a *account) take(m note, snapshot bool) error {
	s := a.book.streams[m.stream]
	if s == nil {
		return wronged("a message of a stream %q that there isn't", m.stream)
	}
	p := a.places[s]
	a.counts[s.kind]++
	switch {
	case s.is(m.n, refused):
		return wronged("%s %d came, which was refused", m.stream, m.n)
	case p != nil && p.snapshot:
		p.snapshot = false
		if !snapshot {
			return wronged("%s %d came before the snapshot", m.stream, m.n)
		}
		if m.n < p.stored && !s.is(m.n, repeated) {
			if !s.late {
				return wronged("%s: the snapshot is %d, and %d was stored", m.stream, m.n, p.stored)
			}
			p.next = m.n + 1 // a node gives what it has, and then all behind that
		}
		if p.must > 0 { // it was published while the subscription was being decided about
			p.must = max(p.must, m.n+1)
		}
		return nil
	case (p == nil || s.late || s.kind != changes && s.kind != bulks) && s.is(m.n, unsure): // sent over a connection that is gone: it comes whenever it is found there
		return nil
	case p == nil:
		return wronged("%s %d came, and nobody asked for it", m.stream, m.n)
	}
	if s.is(m.n, repeated) && m.n < max(p.next, p.must) {
		return nil
	}
	// A client that lags, if only for a moment, is sent a row's newest snapshot instead of others, and a node that was
	// away has that one.
	p.told = p.told || s.lossy || snapshot
	return a.step(s, p, m.n)
}

func (a *account) step(s *stream, p *place, n uint64) error {
	told := p.told
	p.told = false
	from := p.next
	if from == 0 {
		from = p.must
	}
	switch {
	case p.next != 0 && n < p.next:
		return wronged("%s %d came behind %d", s.name, n, p.next-1)
	case from != 0 && !told:
		if lost := s.missing(from, n); lost != 0 {
			return wronged("%s %d came, and %d was missing", s.name, n, lost)
		}
	}
	p.next = n + 1
	return nil
}
