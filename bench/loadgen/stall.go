package loadgen

import (
	"bytes"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Stalled is what became of the clients that stopped reading, as they found it when they
// read on at the end of the run. None of it is a fault: a server may give them up.
type Stalled struct {
	Clients      uint64 // that stopped reading
	Disconnected uint64 // whose connection the server ended
	Closed       uint64 // of these, with a Close frame that arrived
	Told         uint64 // that were sent a notice of the loss (Busbar's resync)
	Gapped       uint64 // that stayed connected for a message behind one they lost
	Lost         uint64 // that never came, to those that are connected
	Deliveries   uint64 // that came after they read on
	CaughtUp     uint64 // that have had the run's last message
	Behind       uint64 // that are connected and haven't
}

func (s *Stalled) add(o Stalled) {
	s.Clients += o.Clients
	s.Disconnected += o.Disconnected
	s.Closed += o.Closed
	s.Told += o.Told
	s.Gapped += o.Gapped
	s.Lost += o.Lost
	s.Deliveries += o.Deliveries
	s.CaughtUp += o.CaughtUp
	s.Behind += o.Behind
}

// The socket of a client that is going to stall. A segment as over Ethernet has the server's
// kernel begin with a send buffer as small as over Ethernet too; with loopback's 64 KiB it
// would take megabytes before the server noticed (tcp_sndbuf_expand, net/ipv4/tcp_input.c).
const (
	limpBuffer  = 4 << 10 // SO_RCVBUF in bytes
	limpSegment = 1400    // TCP_MAXSEG in bytes
)

// makeLimp prepares a socket before it connects: the window that it offers is never large.
func makeLimp(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, limpBuffer); err != nil {
		return fmt.Errorf("SO_RCVBUF: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, limpSegment); err != nil {
		return fmt.Errorf("TCP_MAXSEG: %w", err)
	}
	return nil
}

// stall has the limp clients stop reading. Nobody waits for them from here on.
func (s *swarm) stall() error {
	for i := range s.members {
		m := &s.members[i]
		if m.state != open || !m.role.is(limp) {
			continue
		}
		if err := s.watch(unix.EPOLL_CTL_MOD, int(m.fd), int32(i), 0); err != nil {
			return err
		}
		s.untally(m)
		m.state = deaf
		m.role |= stalled
		s.report.Stalled.Clients++
	}
	return nil
}

// resumeQuiet ends reading on when nothing has come for so long.
const resumeQuiet = 2 * time.Second

// resume has the clients that stalled read on until each has had all messages below end, or
// is disconnected, or nothing comes any more.
func (s *swarm) resume(end uint64) error {
	for i := range s.members {
		m := &s.members[i]
		if m.state != deaf {
			continue
		}
		m.state = open
		if err := s.watch(unix.EPOLL_CTL_MOD, int(m.fd), int32(i), unix.EPOLLIN); err != nil {
			return err
		}
	}
	seen, last := Stalled{}, Now()
	for s.stalledBelow(end) && Now()-last < int64(resumeQuiet) {
		if err := s.poll(100); err != nil {
			return err
		}
		if s.report.Stalled != seen {
			seen, last = s.report.Stalled, Now()
		}
	}
	return nil
}

// stalledBelow is whether a client that stalled and is connected lacks a message below end.
func (s *swarm) stalledBelow(end uint64) bool {
	for i := range s.members {
		if m := &s.members[i]; m.state == open && m.role.is(stalled) && m.position.next < end {
			return true
		}
	}
	return false
}

// deliverStalled is deliver for a client that has stalled: it may lack messages, and must
// not have one twice or too late.
func (s *swarm) deliverStalled(m *member, seq uint64) {
	var f Faults
	if m.position.take(seq, &f) {
		s.report.Stalled.Deliveries++
	}
	if f.Lost > 0 && f.Disordered == 0 && !m.role.is(gapped) {
		m.role |= gapped
		s.report.Stalled.Gapped++
	}
	s.report.Stalled.Lost += f.Lost // one that was made good for wraps around to -1
	f.Lost = 0
	s.report.Faults.Add(f)
}

// text notes a text message to a client that has stalled: notices of loss are text.
func (s *Stalled) text(m *member, head []byte) {
	if bytes.HasPrefix(head, []byte(`{"type":"resync"`)) && !m.role.is(told) {
		m.role |= told
		s.Told++
	}
}
