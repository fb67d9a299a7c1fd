package loadgen

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/bench/runner"
)

// Phase is what is published.
type Phase int

// Phases. Whether clients are given changes or relay messages is known when they connect; the others are those of a
// run with rows.
const (
	ToAll       Phase = iota // messages to everyone
	subscribing              // nothing: every row's snapshot comes
	ToRows                   // messages to rows
	ToClients                // messages to some clients
	changes                  // change events, to everyone
	relaying                 // messages of clients to everyone
)

// expectation is what a swarm's clients are to get. Owned by the swarm.
type expectation struct {
	phase      Phase
	sizes      Mixture // of payloads
	recordFrom uint64  // the first message whose latency counts
	firstSeq   uint64  // of the first change event; 0 until one has come
	rows       *RowPlan
	answered   []uint64 // a bit for each client and block: the subscription's snapshot came
	unanswered int      // subscriptions
}

// message is what a frame says of itself.
type message struct {
	seq       uint64 // of relayed messages the sender
	number    uint64 // among those that the client is to get: consecutive, but in phases in which nobody knows who gets what
	published int64
}

// take goes through what a member has read, and returns what isn't a whole frame yet. An error ends
// the connection.
func (s *swarm) take(m *member, b []byte, at int64) ([]byte, error) {
	for len(b) > 0 && (m.state == open || m.state == joining) {
		f, rest, ok, err := nextFrame(b)
		if err != nil || !ok {
			return b, err
		}
		switch text := f.op == ws.OpText; {
		case text && s.plan.Protocol == runner.Centrifugo:
			err = s.takeLines(m, f.payload, at)
		case f.op == ws.OpBinary || text && s.phase >= changes:
			if a, ok := s.read(m, f.payload, text); ok {
				s.deliver(m, a, at)
			}
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

// read finds out which message has arrived. What isn't one that the client is to get now is noted.
func (s *swarm) read(m *member, payload []byte, text bool) (a message, ok bool) {
	switch {
	case text && s.phase == changes:
		a, ok = s.readChange(payload)
	case text:
		a, ok = s.readRelay(payload)
	case s.phase == subscribing:
		s.answer(payload)
		return a, false
	case s.phase == ToRows:
		a, ok = s.readUpdate(payload)
	case len(payload) >= MinSize:
		a.number, a.published = readStamp(payload)
		a, ok = s.expected(a, len(payload))
	}
	if !ok && !text {
		s.report.Faults.Foreign++
	}
	return a, ok
}

// expected is whether a message of so many bytes can have been published, to everyone or to some clients.
func (s *swarm) expected(a message, size int) (message, bool) {
	a.seq = a.number
	return a, size == s.sizes.Of(a.seq) && (s.phase == ToClients || s.phase == ToAll && s.tally.room(a.seq))
}

// takeLines takes what Centrifugo sends: answers, pings, and messages whose data begins with a
// stamp in hexadecimal digits.
func (s *swarm) takeLines(m *member, text []byte, at int64) error {
	for line := range bytes.Lines(text) {
		_, data, found := bytes.Cut(line, []byte(`"data":"`))
		data, _, _ = bytes.Cut(data, []byte(`"`))
		switch {
		case bytes.HasPrefix(line, []byte(`{"push":`)) && found:
			var a message
			var ok bool
			if a.number, a.published, ok = readHexStamp(data); !ok {
				s.report.Texts++
			} else if a, ok = s.expected(a, len(data)); ok {
				s.deliver(m, a, at)
			} else {
				s.report.Faults.Foreign++
			}
		case bytes.Contains(line, []byte(`"error":`)):
			return fmt.Errorf("%w: %.200s", errUpgrade, line)
		case m.state == joining && bytes.Contains(line, []byte(runner.CentrifugoJoined)):
			s.opened(s.reading, m)
		case string(bytes.TrimSpace(line)) == "{}":
			_ = sendNow(m, ws.NewTextFrame([]byte("{}"))) // as with control's pong
		}
	}
	return nil
}

// deliver checks that a message comes once and in order, and records how long it took.
func (s *swarm) deliver(m *member, a message, at int64) {
	from, fresh := m.position.next, false
	switch {
	case s.phase == relaying:
		fresh = newest(s.relays.latest(s.reading, a.seq), uint32(a.number), &s.report.Faults)
	case s.phase == ToClients:
		fresh = newest(&m.position.next, a.number, &s.report.Faults)
	case m.role.is(stalled):
		s.deliverStalled(m, a.number)
		return
	case m.role.is(unplaced):
		m.role &^= unplaced
		m.position = newPosition(a.number)
		fallthrough
	default:
		fresh = m.position.take(a.number, &s.report.Faults)
	}
	switch {
	case s.phase == relaying || s.phase == ToClients || s.phase == ToRows:
		if fresh {
			s.counted++
		}
	case m.role.is(uncounted): // one that has come is waited for from when it has what all the others have
		if m.position.next >= s.tally.low {
			m.role &^= uncounted
			s.tally.join(m.position.next)
		}
	default:
		s.tally.pass(from, m.position.next)
	}
	if !fresh {
		return
	}
	s.report.Deliveries++
	if s.phase == changes && a.published >= m.began || s.phase != changes && a.seq >= s.recordFrom {
		s.report.Measured++
		if !m.role.is(transient) {
			record(s.latency, at-a.published)
		}
	}
}

// newest takes a number where gaps are no fault.
func newest[N uint32 | uint64](next *N, number N, faults *Faults) (fresh bool) {
	switch {
	case number >= *next:
		*next = number + 1
		return true
	case number+1 == *next:
		faults.Repeated++
	default:
		faults.Disordered++
	}
	return false
}

// deliverStalled takes a message to a client that has stalled: it may lack messages, and must
// not have one twice or too late.
func (s *swarm) deliverStalled(m *member, number uint64) {
	var f Faults
	if m.position.take(number, &f) {
		s.report.Stalled.Deliveries++
		s.moves++
	}
	if f.Lost > 0 && f.Disordered == 0 && !m.role.is(gapped) {
		m.role |= gapped
		s.report.Stalled.Gapped++
	}
	s.report.Stalled.Lost += f.Lost // one that was made good for wraps around to -1
	f.Lost = 0
	s.report.Faults.Add(f)
}

// What Busbar tells a client that has lost something begins with one of these.
var lossNotices = [][]byte{[]byte(`{"type":"resync"`), []byte(`{"type":"gap"`)}

func isLossNotice(text []byte) bool {
	return slices.ContainsFunc(lossNotices, func(start []byte) bool { return bytes.HasPrefix(text, start) })
}

// control deals with everything but messages. Text is what some servers tell
// clients about each other; it is counted and is no fault.
func (s *swarm) control(m *member, f frame) error {
	switch f.op {
	case ws.OpPing:
		// A socket that hasn't room for a pong hasn't been read by the server for a
		// while: it will miss the pong, and say so by closing.
		_ = sendNow(m, ws.NewPongFrame(f.payload))
	case ws.OpClose:
		code, reason := ws.ParseCloseFrameDataUnsafe(f.payload)
		if len(f.payload) < 2 {
			code = ws.StatusNoStatusRcvd // RFC 6455 7.1.5: no code was given
		}
		if m.role.is(stalled) {
			s.report.Stalled.Closed++
		}
		return fmt.Errorf("%w: close code %d %q", errPeer, code, reason)
	case ws.OpText:
		s.report.Texts++
		if m.role.is(stalled) && !m.role.is(told) && isLossNotice(f.payload) {
			m.role |= told
			s.report.Stalled.Told++
		}
	}
	return nil
}

// A change of the bench and a message of a client have a number and a time in hexadecimal digits.
const hexStampSize = 2 * stampSize

func appendHexStamp(b []byte, number uint64, at int64) []byte {
	return fmt.Appendf(b, "%016x%016x", number, at)
}

func readHexStamp(b []byte) (number uint64, at int64, ok bool) {
	if len(b) < hexStampSize {
		return 0, 0, false
	}
	number, err := strconv.ParseUint(string(b[:16]), 16, 64)
	at, err2 := strconv.ParseInt(string(b[16:hexStampSize]), 16, 64)
	return number, at, err == nil && err2 == nil
}

// The stamp of a change, whose number is from 0 on, is its row's id, so that clients have it at the start of the event.
const changeStart = `,"entity":"bench","row_id":"`

// AppendChange appends the body of a change whose event comes to clients as one of the bench.
func AppendChange(b []byte, number uint64, at int64, size int) []byte {
	b = appendHexStamp(fmt.Appendf(b, `{"op_id":"%d"%s`, number, changeStart), number, at)
	return fmt.Appendf(b, `","kind":"update","data":{"pad":"%0*d"}}`, size, 0)
}

// readChange reads a change event. Nobody else publishes, so that seq and number go on alike.
func (s *swarm) readChange(text []byte) (a message, ok bool) {
	rest, isEvent := bytes.CutPrefix(text, []byte(`{"seq":`))
	digits, stamp, _ := bytes.Cut(rest, []byte(changeStart))
	seq, err := strconv.ParseUint(string(digits), 10, 64)
	a.number, a.published, ok = readHexStamp(stamp)
	switch {
	case isLossNotice(text):
		s.report.Faults.Foreign++
		s.note(fmt.Errorf("a client was told of a loss: %.80s", text))
		return a, false
	case !isEvent || !ok || err != nil:
		s.report.Texts++
		return a, false
	case s.firstSeq == 0:
		s.firstSeq = seq - a.number
	}
	if seq-a.number != s.firstSeq || !s.tally.room(a.number) {
		s.report.Faults.Foreign++
		return a, false
	}
	return a, true
}

// cursor is what a client says that it has.
func (s *swarm) cursor(m *member) uint64 {
	if m.position.next == 0 {
		return 0
	}
	return s.firstSeq + m.position.next - 1
}

// behind is whether a client that nobody waits for lacks a message below end: one that has stalled, or one that came.
func (s *swarm) behind(end uint64, stalledOnes bool) bool {
	return slices.ContainsFunc(s.members, func(m member) bool {
		return m.state == open && m.role.is(uncounted) && m.role.is(stalled) == stalledOnes && m.position.next < end
	})
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
	for Now()-began < int64(Settle) || s.behind(end, false) && Now()-began < int64(catchUp) {
		if err := s.poll(int(Settle / time.Millisecond)); err != nil {
			return Report{}, nil, err
		}
	}
	r = s.report
	if s.phase == relaying {
		r.Sent = uint64(s.relays.total)
		return r, s.relays.late, nil
	}
	for i := range s.members {
		due := end
		if s.phase == ToRows {
			due = s.rows.before(s.plan.first+i, end)
		}
		if s.phase != ToClients {
			s.members[i].lack(due, &r)
		}
	}
	return r, s.upgrades, nil
}

// lack counts what a client hasn't had of the messages below end.
func (m *member) lack(end uint64, r *Report) {
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

// putStamp writes the head of a payload: its sequence number and when it was published,
// or in runs at a rate when it should have been, in ns of Now.
func putStamp(payload []byte, seq uint64, published int64) {
	binary.BigEndian.PutUint64(payload, seq)
	binary.BigEndian.PutUint64(payload[8:], uint64(published))
}

func readStamp(payload []byte) (seq uint64, published int64) {
	return binary.BigEndian.Uint64(payload), int64(binary.BigEndian.Uint64(payload[8:]))
}
