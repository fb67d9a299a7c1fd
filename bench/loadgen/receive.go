package loadgen

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/bench/runner"
)

// take goes through what a member has read, and returns what isn't a whole frame yet. An error ends
// the connection.
func (s *swarm) take(m *member, b []byte, at int64) ([]byte, error) {
	for len(b) > 0 && (m.state == open || m.state == joining) {
		f, rest, ok, err := nextFrame(b)
		if err != nil || !ok {
			return b, err
		}
		switch {
		case f.op == opBinary && s.rows.wants():
			s.rows.deliver(s, f, at)
		case f.op == opBinary:
			s.deliver(m, f.payload, len(f.payload), at)
		case f.op == opText && s.plan.Protocol == runner.Centrifugo:
			err = s.deliverLines(m, f.payload, at)
		case f.op == opText && s.plan.Changes:
			s.deliverChange(m, f, at)
		case f.op == opText && s.relays != nil:
			s.relays.deliver(s, f, at)
		default:
			err = s.control(m, f)
		}
		if err != nil {
			return nil, err
		}
		b = rest
	}
	return nil, nil
}

// deliverLines takes what Centrifugo sends: answers, pings, and messages whose data begins with a
// stamp in hexadecimal digits.
func (s *swarm) deliverLines(m *member, text []byte, at int64) error {
	for line := range bytes.Lines(text) {
		_, data, found := bytes.Cut(line, []byte(`"data":"`))
		data, _, _ = bytes.Cut(data, []byte(`"`))
		var stamp [stampSize]byte
		switch {
		case bytes.HasPrefix(line, []byte(`{"push":`)) && found:
			if len(data) < MinSize {
				s.report.Texts++
			} else if _, err := hex.Decode(stamp[:], data[:MinSize]); err == nil {
				s.deliver(m, stamp[:], len(data), at)
			}
		case bytes.Contains(line, []byte(`"error":`)):
			return fmt.Errorf("%w: %.200s", errUpgrade, line)
		case m.state == joining && bytes.Contains(line, []byte(runner.CentrifugoJoined)):
			s.opened(s.reading, m)
		case string(bytes.TrimSpace(line)) == "{}":
			_ = unix.Send(int(m.fd), append(appendClientHeader(nil, opText, 2), "{}"...), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT) // as with control's pong
		}
	}
	return nil
}

// deliver checks a message of so many bytes that has arrived to its last one, and records how long
// that took.
func (s *swarm) deliver(m *member, stamp []byte, size int, at int64) {
	if size < MinSize {
		s.report.Faults.Foreign++
		return
	}
	seq, published := readStamp(stamp)
	if !s.tally.room(seq) || size != s.sizes.Of(seq) {
		s.report.Faults.Foreign++
		return
	}
	if m.role.is(stalled | uncounted) {
		s.deliverApart(m, seq)
		return
	}
	from := m.position.next
	if !m.position.take(seq, &s.report.Faults) {
		return
	}
	s.tally.pass(from, m.position.next)
	s.report.Deliveries++
	if seq >= s.recordFrom {
		s.report.Measured++
		if !m.role.is(transient) {
			record(s.latency, at-published)
		}
	}
}

// control deals with everything but binary messages. Text is what some servers tell
// clients about each other; it is counted and is no fault.
func (s *swarm) control(m *member, f frame) error {
	switch f.op {
	case opPing:
		// A socket that hasn't room for a pong hasn't been read by the server for a
		// while: it will miss the pong, and say so by closing.
		pong := appendPong(make([]byte, 0, 6+125), f.payload)
		_ = unix.Send(int(m.fd), pong, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	case opClose:
		code, reason := 1005, "" // RFC 6455 7.1.5: no code was given
		if len(f.payload) >= 2 {
			code, reason = int(binary.BigEndian.Uint16(f.payload)), string(f.payload[2:])
		}
		if m.role.is(stalled) {
			s.report.Stalled.Closed++
		}
		return fmt.Errorf("%w: close code %d %q", errPeer, code, reason)
	case opText:
		s.report.Texts++
		if m.role.is(stalled) {
			s.report.Stalled.text(m, f.payload)
		}
	}
	return nil
}

// deliverApart is deliver for a client that nobody waits for. One that has come is waited
// for from when it has what all the others have.
func (s *swarm) deliverApart(m *member, seq uint64) {
	if m.role.is(stalled) {
		s.deliverStalled(m, seq)
		return
	}
	if m.role.is(unplaced) {
		m.role &^= unplaced
		m.position = newPosition(seq)
		s.report.Churn.Placed++
	}
	if m.position.take(seq, &s.report.Faults) {
		s.report.Deliveries++
		if seq >= s.recordFrom {
			s.report.Measured++
		}
	}
	if m.position.next >= s.tally.low {
		m.role &^= uncounted
		s.tally.join(m.position.next)
	}
}

// untally takes a client out of what others wait for.
func (s *swarm) untally(m *member) {
	if !m.role.is(uncounted) {
		s.tally.leave(m.position.next)
	}
	m.role |= uncounted
}

// behind is whether a client that nobody waits for lacks a message below end.
func (s *swarm) behind(end uint64) bool {
	for i := range s.members {
		m := &s.members[i]
		if m.state == open && m.role.is(uncounted) && !m.role.is(stalled) && m.position.next < end {
			return true
		}
	}
	return false
}

// lack counts what a client hasn't had of the messages below end.
func (s *swarm) lack(m *member, end uint64, r *Report) {
	here := m.state == open
	switch {
	case m.role.is(stalled) && !here:
	case m.role.is(stalled) && m.position.next >= end:
		r.Stalled.CaughtUp++
	case m.role.is(stalled):
		r.Stalled.Behind++
		r.Stalled.Lost += end - m.position.next
	case m.role.is(unplaced):
		if here && end > 0 {
			r.Churn.Silent++
		}
	case (here || m.state == ended) && m.position.next < end:
		r.Lost += end - m.position.next
	}
}

// catchUp bounds the wait for clients that others needn't wait for.
const catchUp = 2 * time.Second

// Settle is how long clients are listened to after the last message, for one that comes
// twice.
const Settle = 50 * time.Millisecond

// finish counts what hasn't come of the messages below end as lost, and closes the books. second is the histogram
// beside that of deliveries.
func (s *swarm) finish(end uint64) (r Report, second *hdrhistogram.Histogram, err error) {
	began := Now()
	for Now()-began < int64(Settle) || s.behind(end) && Now()-began < int64(catchUp) {
		if err := s.poll(int(Settle / time.Millisecond)); err != nil {
			return Report{}, nil, err
		}
	}
	r, second = s.report, s.upgrades
	switch {
	case s.rows.wants():
		s.rows.lack(end, &r)
	case s.relays != nil:
		second = s.relays.late
		s.relays.report(s.members, &r)
	default:
		for i := range s.members {
			s.lack(&s.members[i], end, &r)
		}
	}
	return r, second, nil
}
