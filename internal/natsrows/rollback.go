package natsrows

import (
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/internal/natsconn"
)

// mark is a message of a row by which the stream is known to be the one that it was.
type mark struct {
	subject string
	seq     uint64
	id      string
	expires time.Time // zero for a snapshot's
}

// known is what this node has taken of the stream.
type known struct {
	suspicions uint64
	newest     uint64
	marks      []mark // of all rows, the newest first; while nothing is suspicious they aren't needed
}

// marksAsked are how many rows are looked for that were taken last. Where all of them have a newer snapshot nothing is
// said of those before.
const marksAsked = 256

func (s *Rows) known() (k known) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.suspicions, k.newest = s.suspicions.Load(), s.newest
	if k.suspicions == s.settled {
		return k
	}
	for _, r := range s.rows {
		if r.mark.seq != 0 {
			k.marks = append(k.marks, r.mark)
		}
	}
	slices.SortFunc(k.marks, func(a, b mark) int { return int(b.seq) - int(a.seq) })
	return k
}

// verify has everything read anew when the stream doesn't go on from what this node has had of it: one that was restored
// from a backup gives out sequences again that stood for something else.
func (s *Rows) verify(state *jetstream.StreamState, k known) error {
	if goesOn, err := s.goesOn(state, k); goesOn || err != nil {
		return err
	}
	// A leader that is none any more doesn't know what was stored since, and one that is new has it in a moment.
	if err := natsconn.Agree(s.ctx, s.conn, s.name()); err != nil {
		return err
	}
	info, err := s.info()
	if err != nil {
		return err
	}
	if goesOn, err := s.goesOn(&info.State, k); goesOn || err != nil {
		return err
	}
	s.opts.Logger.Warn("the stream of rows has lost rows that it had, as one that was restored from a backup has: clients get what is there",
		"from", state.LastSeq+1, "to", k.newest)
	s.startOver()
	return nil
}

// goesOn asks the leader for the newest message that this node has had of a row, or for that of the row before, where there
// is a newer snapshot: of those before that nothing is lost then.
func (s *Rows) goesOn(state *jetstream.StreamState, k known) (bool, error) {
	if state.LastSeq < k.newest {
		return false, nil
	}
	for _, m := range k.marks[:min(len(k.marks), marksAsked)] {
		if m.seq < state.FirstSeq {
			return true, nil // it was let go of, and all before it
		}
		found, err := natsconn.AskLeader(s.ctx, s.conn, s.name(), m.subject, m.seq)
		gone := errors.Is(err, jetstream.ErrMsgNotFound)
		switch expires := !m.expires.IsZero(); {
		case err != nil && !gone:
			return false, err
		case !gone && found.Seq == m.seq:
			return found.Header.Get(jetstream.MsgIDHeader) == m.id, nil
		case !gone && found.Header.Get(jetstream.MsgRollup) != "": // a newer snapshot
		case expires && time.Until(m.expires) < updatesKept/2: // clocks differ
		default:
			return false, nil
		}
	}
	return true, nil
}

// startOver has all rows read as the stream has them now.
func (s *Rows) startOver() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		r.taken, r.doubts = taken{}, 2
		s.forget(r.entity, r.rowID)
	}
	s.shift += s.newest
	s.newest = 0
}

// gone is whether the stream has let go of the row's snapshot, as far as this node knows of it.
func (r *row) gone(state *jetstream.StreamState) bool {
	return r.snapshot != 0 && r.first < state.FirstSeq
}
