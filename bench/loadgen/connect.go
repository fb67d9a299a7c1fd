package loadgen

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/bench/runner"
)

// clientsPerSource is how many connections to one server an address is good for: each
// takes a port of it, and the usual range has 28,000.
const clientsPerSource = 25_000

// maxSources is how many addresses 127.0.1.x has.
const maxSources = 254

// SourcesFor is how many addresses so many clients connect from.
func SourcesFor(clients int) int { return (clients + clientsPerSource - 1) / clientsPerSource }

// connectPlan is what a swarm is to connect: its own share of Options.Clients.
type connectPlan struct {
	Options
	server string // address and port
	first  int    // clients of the swarms before: says whose source addresses are taken
	apart  bool   // this thread is in a namespace: the addresses behind the server's

	address              netip.AddrPort
	request, limpRequest []byte
}

func (p *connectPlan) prepare() error {
	var err error
	if p.address, err = netip.ParseAddrPort(p.server); err != nil {
		return fmt.Errorf("server address %q: %w", p.server, err)
	}
	if !p.address.Addr().Is4() {
		return fmt.Errorf("server address %s: only IPv4 is supported", p.server)
	}
	if p.Clients < 1 || p.Pace < 1 {
		return fmt.Errorf("clients %d, pace %d: at least 1", p.Clients, p.Pace)
	}
	if most := maxSources * clientsPerSource; p.address.Addr().IsLoopback() && p.first+p.Clients > most {
		return fmt.Errorf("%d clients: 127.0.1.x is good for %d", p.first+p.Clients, most)
	}
	p.request = upgradeRequest(p.server, "/"+p.Path, p.Token)
	p.limpRequest = upgradeRequest(p.server, "/"+p.Path+withCursor, p.Token)
	return nil
}

// source is the address that a client of this plan connects from; ok is false when it
// is the kernel's choice, because the server isn't on this machine.
func (p *connectPlan) source(index int) (addr [4]byte, ok bool) {
	n := byte(1 + (p.first+index)/clientsPerSource)
	if p.apart {
		addr = p.address.Addr().As4()
		addr[3] += n
		return addr, true
	}
	return [4]byte{127, 0, 1, n}, p.address.Addr().IsLoopback()
}

var errStall = errors.New("nothing happened any more")

// connect carries out the plan. Members that couldn't connect are counted in failed.
func (s *swarm) connect() error {
	plan := &s.plan
	if err := plan.prepare(); err != nil {
		return err
	}
	s.members = make([]member, plan.Clients)
	for i := range s.members {
		s.members[i].role = plan.Roles.of(plan.first + i)
	}
	last := Now()
	for s.started < plan.Clients || s.pending > 0 {
		for s.started < plan.Clients && s.pending < plan.Pace {
			s.start(int32(s.started))
			s.started++
		}
		if err := s.poll(100); err != nil {
			return err
		}
		if s.moved {
			s.moved = false
			last = Now()
		}
		if Now()-last > int64(plan.Stall) {
			return fmt.Errorf("connecting %d clients: %w after %d for %v", plan.Clients, errStall, s.connected, plan.Stall)
		}
	}
	return nil
}

func (s *swarm) start(index int32) {
	m := &s.members[index]
	s.pending++
	m.began = Now()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	m.fd, m.state = int32(fd), connecting
	if err == nil && m.role.is(limp) {
		err = makeLimp(fd)
	}
	if err == nil {
		err = s.dial(fd, int(index))
	}
	if err == nil {
		err = s.watch(unix.EPOLL_CTL_ADD, fd, index, unix.EPOLLOUT)
	}
	if err != nil {
		s.end(index, m, fmt.Errorf("connecting: %w", err))
	}
}

func (s *swarm) dial(fd, index int) error {
	if source, ok := s.plan.source(index); ok {
		// Without it bind picks the port, and then each port serves one server only.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return fmt.Errorf("IP_BIND_ADDRESS_NO_PORT: %w", err)
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: source}); err != nil {
			return fmt.Errorf("bind to %v: %w", source, err)
		}
	}
	to := &unix.SockaddrInet4{Port: int(s.plan.address.Port()), Addr: s.plan.address.Addr().As4()}
	if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	return nil
}

// established asks for the upgrade when the kernel has connected.
func (s *swarm) established(index int32, m *member) {
	code, err := unix.GetsockoptInt(int(m.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err == nil {
		// The send buffer is empty, so that it takes all or the connection is gone.
		request := s.plan.request
		if s.plan.Changes {
			request = upgradeRequest(s.plan.server, fmt.Sprintf("/?since=%d", s.cursor(m)), s.plan.Token)
		}
		if m.role.is(limp) {
			request = s.plan.limpRequest
		}
		err = unix.Send(int(m.fd), request, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	}
	if err == nil {
		m.state = upgrading
		err = s.watch(unix.EPOLL_CTL_MOD, int(m.fd), index, unix.EPOLLIN)
	}
	if err != nil {
		s.end(index, m, fmt.Errorf("connecting: %w", err))
	}
}

// upgraded reads the answer to the upgrade and returns what came behind it, or what there is of it.
func (s *swarm) upgraded(index int32, m *member, b []byte) []byte {
	size, err := checkUpgrade(b)
	switch {
	case err != nil:
		s.end(index, m, err)
		return nil
	case size == 0:
		return b
	}
	if s.plan.Protocol == runner.Centrifugo {
		join := append(appendClientHeader(nil, opText, len(runner.CentrifugoJoin)), runner.CentrifugoJoin...)
		_ = unix.Send(int(m.fd), join, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT) // an empty socket has room
		m.state = joining
		return b[size:]
	}
	s.opened(index, m)
	return b[size:]
}

// opened takes in a member to which messages may come from now on.
func (s *swarm) opened(index int32, m *member) {
	m.state = open
	record(s.upgrades, Now()-m.began)
	s.pending--
	s.connected++
	s.moved = true
	if s.returning {
		return
	}
	m.position = newPosition(0)
	switch {
	case s.plan.Brief:
		s.reset(index, m)
	case m.role.is(uncounted):
		s.report.Churn.Came++
	default:
		s.tally.clients++
	}
}

// role is what a client does in a run beside taking messages: a set of the bits below.
// Owned by its client's swarm.
type role uint8

const (
	transient role = 1 << iota // may leave for another one to come
	limp                       // has a small receive buffer, and stops reading when it is told
	stalled                    // has stopped reading once: what it lacks is no fault
	uncounted                  // isn't in the tally
	unplaced                   // hasn't had a message: the first one says where it starts
	gapped                     // stalled, and a number was left out
	told                       // stalled, and was told that it has lost something
)

func (r role) is(what role) bool { return r&what != 0 }

// Roles says which clients of a run are which.
type Roles struct {
	Stalled float64 // share of clients that stop reading; at most MaxStalled
	Churn   bool    // every other client is transient
}

// MaxStalled leaves each worker one client at least that stays and reads: of any
// clientsPerWorker in a row at most one stalls, and two are no transients.
const (
	MaxStalled       = 0.25
	clientsPerWorker = 4
)

// of is the role of the run's client number i, counted over all workers.
func (r Roles) of(i int) role {
	switch {
	case r.stalledBelow(i+1) > r.stalledBelow(i): // spread evenly
		return limp
	case r.Churn && i%2 == 1:
		return transient
	}
	return 0
}

// stalledBelow is how many of the first n clients stop reading.
func (r Roles) stalledBelow(n int) int { return int(float64(n)*r.Stalled + 1e-9) }

// Count is how many of so many clients stop reading, and how many stay and read.
func (r Roles) Count(clients int) (stop, stay int) {
	for i := range clients {
		switch r.of(i) {
		case limp:
			stop++
		case 0:
			stay++
		}
	}
	return stop, stay
}
