package loadgen

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// A change of the bench has its number, from 0 on, and its time in hexadecimal digits as its row's
// id, so that clients have both at the start of the event.
const changeStart = `,"entity":"bench","row_id":"`

// AppendChange appends the body of a change whose event comes to clients as one of the bench.
func AppendChange(b []byte, number uint64, at int64, size int) []byte {
	return fmt.Appendf(b, `{"op_id":"%d"%s%016x%016x","kind":"update","data":{"pad":"%0*d"}}`, number, changeStart, number, at, size, 0)
}

// readChange is false for a text message that is none of the bench's events.
func readChange(head []byte) (seq, number uint64, published int64, ok bool) {
	rest, ok := bytes.CutPrefix(head, []byte(`{"seq":`))
	digits, rest, found := bytes.Cut(rest, []byte(changeStart))
	if !ok || !found || len(rest) < 32 {
		return 0, 0, 0, false
	}
	seq, err := strconv.ParseUint(string(digits), 10, 64)
	number, err2 := strconv.ParseUint(string(rest[:16]), 16, 64)
	published, err3 := strconv.ParseInt(string(rest[16:32]), 16, 64)
	return seq, number, published, errors.Join(err, err2, err3) == nil
}

// deliverChange checks a change event, and records how long it took unless it was published before
// the client came. Nobody else publishes, so that seq and number go on alike.
func (s *swarm) deliverChange(m *member, f frame, at int64) {
	seq, number, published, ok := readChange(f.payload)
	if ok && s.firstSeq == 0 {
		s.firstSeq = seq - number
	}
	switch {
	case !ok && (bytes.HasPrefix(f.payload, []byte(`{"type":"resync"`)) || bytes.HasPrefix(f.payload, []byte(`{"type":"gap"`))):
		s.report.Faults.Foreign++
		s.note(fmt.Errorf("a client was told of a loss: %.80s", f.payload))
		return
	case !ok:
		s.report.Texts++
		return
	case seq-number != s.firstSeq || !s.tally.room(number):
		s.report.Faults.Foreign++
		return
	}
	from := m.position.next
	if !m.position.take(number, &s.report.Faults) {
		return
	}
	s.tally.pass(from, m.position.next)
	s.report.Deliveries++
	if published >= m.began {
		s.report.Measured++
		record(s.latency, at-published)
	}
}

// cursor is what a client says that it has.
func (s *swarm) cursor(m *member) uint64 {
	if m.position.next == 0 {
		return 0
	}
	return s.firstSeq + m.position.next - 1
}

// note keeps the first thing that went wrong.
func (s *swarm) note(cause error) {
	if s.report.Error == "" {
		s.report.Error = cause.Error()
	}
}

// comeBack waits until the server has ended all connections, and then connects so many clients a
// second, each with the cursor that it has. Latencies are recorded anew.
func (s *swarm) comeBack(rate float64) error {
	last, had := Now(), s.connected
	for began, next := int64(0), 0; ; {
		switch {
		case began == 0 && s.connected > 0: // the server hasn't ended them all
		case began == 0:
			s.returning, began = true, Now()
			s.latency.Reset()
			s.upgrades.Reset()
		case next == len(s.members) && s.pending == 0:
			return nil
		}
		for began > 0 && next < len(s.members) && s.pending < s.plan.Pace && float64(next) <= float64(Now()-began)/1e9*rate {
			s.start(int32(next))
			next++
		}
		if err := s.poll(1); err != nil {
			return err
		}
		if s.connected != had {
			last, had = Now(), s.connected
		}
		if Now()-last > int64(s.plan.Stall) {
			return fmt.Errorf("coming back: %w with %d clients connected for %v", errStall, s.connected, s.plan.Stall)
		}
	}
}
