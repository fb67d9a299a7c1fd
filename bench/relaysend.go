package bench

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// readyToSend makes the book, the first time, and empties what is measured.
func (s *swarm) readyToSend(o presenceOrder) error {
	s.latency.Reset()
	if s.relays != nil {
		s.relays.late.Reset()
		return nil
	}
	b := newRelayBook(o, s.plan.First, len(s.members))
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
func (s *swarm) startSending(o presenceOrder) error {
	b := s.relays
	b.order, b.began, b.sending, b.sent = o, now(), o.For, 0
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
		at := now()
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
		next.Value = unix.NsecToTimespec(max(b.due(), 1))
	}
	if err := unix.TimerfdSettime(b.timer, unix.TFD_TIMER_ABSTIME, &next, nil); err != nil {
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
func (s *swarm) leaveAtOnce(o *presenceOrder) error {
	for i := range s.members {
		m := &s.members[i]
		if _, ok := chosen(s.plan.First+i, o.Leave, o.Clients); !ok || m.state != open {
			continue
		}
		if err := unix.Close(int(m.fd)); err != nil {
			return fmt.Errorf("leaving: %w", err)
		}
		if m.kept != nil {
			s.pieces.put(m.kept)
			m.kept = nil
		}
		m.state = ended
		s.connected--
		s.untally(m)
	}
	return nil
}

// reportPresence adds what was sent, and what those who are there were told of others.
func (s *swarm) reportPresence() (Report, error) {
	if err := s.listen(settle); err != nil {
		return Report{}, err
	}
	r, b := s.report, s.relays
	r.Relays = &RelayReport{Sent: uint64(b.total), LeaveBytes: b.leaveBytes, FewestLeaves: math.MaxUint64}
	for i := range s.members {
		if s.members[i].state != open {
			continue
		}
		n := uint64(b.leaves[i])
		r.Relays.Stayed++
		r.Relays.Leaves += n
		r.Relays.FewestLeaves, r.Relays.MostLeaves = min(r.Relays.FewestLeaves, n), max(r.Relays.MostLeaves, n)
	}
	var err error
	if r.Latency, err = s.latency.EncodeV2(); err == nil {
		r.Upgrades, err = b.late.EncodeV2()
	}
	if err != nil {
		return Report{}, fmt.Errorf("encoding latencies: %w", err)
	}
	return r, nil
}
