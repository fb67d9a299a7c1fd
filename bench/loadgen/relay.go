package loadgen

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// RelayOrder is the same for all workers; each takes its share.
type RelayOrder struct {
	Clients int           // of all workers
	Senders int           // of all workers
	Size    int           // of messages, in bytes
	Rate    float64       // of all senders together, a second
	For     time.Duration // how long they send
	Leave   int           // clients that are to go, of all workers
}

// chosen is whether a client is one of some of all, evenly spread, and which of them.
func chosen(client, some, all int) (which int, ok bool) {
	which = client * some / all
	return which, (client+1)*some/all > which
}

// relayBook is what a worker's clients send to all others, and what they had of that.
// Owned by its swarm.
type relayBook struct {
	order   RelayOrder
	first   int // number of the swarm's first client
	timer   int // a timerfd that wakes the swarm for the next message
	senders []relaySender
	next    []uint32 // of each client and sender of all workers: the number that comes next
	late    *hdrhistogram.Histogram

	began, sending int64 // ns of now: since when, and how long
	planned, sent  int   // messages of this while
	total          int   // messages of all whiles
	message        []byte

	leaves     []uint32 // of each client: messages about others that have left
	leaveBytes uint64
}

type relaySender struct {
	member int32
	number uint32 // among the senders of all workers
	next   uint32 // number of its next message
}

func newRelayBook(o RelayOrder, first, clients int) *relayBook {
	b := &relayBook{
		order: o, first: first, next: make([]uint32, clients*o.Senders), leaves: make([]uint32, clients), late: NewHistogram(),
	}
	for i := range clients {
		if number, ok := chosen(first+i, o.Senders, o.Clients); ok {
			b.senders = append(b.senders, relaySender{member: int32(i), number: uint32(number)})
		}
	}
	return b
}

// Messages of the bench: the start, then sender, number and time in hexadecimal digits,
// then what fills them up. Clients are sent them with a "from" at the end.
const (
	relayStart   = `{"type":"presence","bench":"`
	relayDigits  = 8 + 8 + 16
	leaveStart   = `{"type":"presence","event":"disconnect"`
	relayPadding = `","pad":"`

	// MinRelay is the smallest presence message of the bench, in bytes.
	MinRelay = len(relayStart) + relayDigits + len(relayPadding) + 2
)

func appendHex(b []byte, n uint64, digits int) []byte {
	for digits--; digits >= 0; digits-- {
		b = append(b, "0123456789abcdef"[n>>(4*digits)&15])
	}
	return b
}

func appendRelay(b []byte, sender, number uint32, at int64, size int) []byte {
	b = append(appendClientHeader(b, opText, size), relayStart...)
	b = appendHex(appendHex(appendHex(b, uint64(sender), 8), uint64(number), 8), uint64(at), 16)
	b = append(b, relayPadding...)
	for range size - MinRelay {
		b = append(b, 'x')
	}
	return append(b, '"', '}')
}

func readRelay(head []byte) (sender, number uint32, at int64, ok bool) {
	digits, ok := bytes.CutPrefix(head, []byte(relayStart))
	if !ok || len(digits) < relayDigits {
		return 0, 0, 0, false
	}
	both, err := strconv.ParseUint(string(digits[:16]), 16, 64)
	if err != nil {
		return 0, 0, 0, false
	}
	ns, err := strconv.ParseUint(string(digits[16:relayDigits]), 16, 64)
	return uint32(both >> 32), uint32(both), int64(ns), err == nil
}

// deliver checks a text message. Presence is lossy: gaps are no fault here, and what should
// have come is counted in the end.
func (b *relayBook) deliver(s *swarm, f frame, at int64) {
	s.report.Texts++
	if bytes.HasPrefix(f.payload, []byte(leaveStart)) {
		b.leaves[s.reading]++
		b.leaveBytes += uint64(len(f.payload))
		s.counted++
		return
	}
	sender, number, published, ok := readRelay(f.payload)
	if !ok || int(sender) >= b.order.Senders || len(f.payload) < b.order.Size {
		s.report.Faults.Foreign++
		return
	}
	switch next := &b.next[int(s.reading)*b.order.Senders+int(sender)]; {
	case number >= *next:
		*next = number + 1
		s.counted++
		s.report.Deliveries++
		record(s.latency, at-published)
	case number+1 == *next:
		s.report.Faults.Repeated++
	default:
		s.report.Faults.Disordered++
	}
}

// readyToSend makes the book, the first time, and empties what is measured.
func (s *swarm) readyToSend(o RelayOrder) error {
	s.latency.Reset()
	if s.relays != nil {
		s.relays.late.Reset()
		return nil
	}
	b := newRelayBook(o, s.plan.first, len(s.members))
	var err error
	if b.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return fmt.Errorf("making a timer: %w", err)
	}
	// It wakes the loop as the eventfd does; setting it anew takes its event away.
	if err := s.watch(unix.EPOLL_CTL_ADD, b.timer, wakeIndex, unix.EPOLLIN); err != nil {
		return errors.Join(err, unix.Close(b.timer))
	}
	s.relays = b
	return nil
}

// startSending has the swarm's senders take turns from now on.
func (s *swarm) startSending(o RelayOrder) error {
	b := s.relays
	b.order, b.began, b.sending, b.sent = o, Now(), int64(o.For), 0
	share := float64(len(b.senders)) / float64(o.Senders)
	b.planned = int(math.Round(o.Rate * share * float64(o.For) / 1e9))
	return b.send(s) // which sets the timer
}

// due is when the message after those that were sent is to go out.
func (b *relayBook) due() int64 {
	return b.began + int64(float64(b.sent)/float64(b.planned)*float64(b.sending))
}

// sendAtOnce bounds the messages that go out before the loop reads again.
const sendAtOnce = 256

// send sends what is due, and sets the timer for what comes next. Each message is stamped
// with the time at which it was due. b may be nil.
func (b *relayBook) send(s *swarm) error {
	if b == nil {
		return nil
	}
	for range sendAtOnce {
		at := Now()
		if b.sent >= b.planned || b.due() > at {
			break
		}
		record(b.late, at-b.due())
		b.sendOne(s, b.due())
		b.sent++
		b.total++
	}
	next := unix.ItimerSpec{} // off
	if b.sent < b.planned {
		next.Value = unix.NsecToTimespec(max(b.due()-Now(), 1))
	}
	if err := unix.TimerfdSettime(b.timer, 0, &next, nil); err != nil {
		return fmt.Errorf("setting a timer: %w", err)
	}
	return nil
}

func (b *relayBook) sendOne(s *swarm, due int64) {
	from := &b.senders[b.total%len(b.senders)]
	m := &s.members[from.member]
	if m.state != open {
		return // which is a fault already
	}
	b.message = appendRelay(b.message[:0], from.number, from.next, due, b.order.Size)
	from.next++
	if err := sendAll(int(m.fd), b.message); err != nil {
		s.end(from.member, m, err)
	}
}

// leaveAtOnce ends the swarm's share of connections, one right after the other.
func (s *swarm) leaveAtOnce(o RelayOrder) error {
	for i := range s.members {
		m := &s.members[i]
		if _, ok := chosen(s.plan.first+i, o.Leave, o.Clients); !ok || m.state != open {
			continue
		}
		if err := unix.Close(int(m.fd)); err != nil {
			return fmt.Errorf("leaving: %w", err)
		}
		delete(s.pieces, int32(i))
		m.state = ended
		s.connected--
		s.untally(m)
	}
	return nil
}

// report adds what was sent, and what those that are there were told of others.
func (b *relayBook) report(members []member, r *Report) {
	r.Relays = &RelayReport{Sent: uint64(b.total), LeaveBytes: b.leaveBytes, FewestLeaves: math.MaxUint64}
	for i := range members {
		if members[i].state != open {
			continue
		}
		n := uint64(b.leaves[i])
		r.Relays.Stayed++
		r.Relays.Leaves += n
		r.Relays.FewestLeaves, r.Relays.MostLeaves = min(r.Relays.FewestLeaves, n), max(r.Relays.MostLeaves, n)
	}
}
