package loadgen

import (
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/gobwas/ws"
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
	server  netip.AddrPort
	first   int    // clients of the swarms before: says whose source addresses are taken
	apart   bool   // this thread is in a namespace: the addresses behind the server's
	request []byte // of a client without a cursor
}

func serverAddress(server string, clients int) (netip.AddrPort, error) {
	address, err := netip.ParseAddrPort(server)
	switch most := maxSources * clientsPerSource; {
	case err != nil:
		return address, fmt.Errorf("server address %q: %w", server, err)
	case !address.Addr().Is4():
		return address, fmt.Errorf("server address %s: only IPv4 is supported", server)
	case address.Addr().IsLoopback() && clients > most:
		return address, fmt.Errorf("%d clients: 127.0.1.x is good for %d", clients, most)
	}
	return address, nil
}

// source is the address that a client of this plan connects from; ok is false when it
// is the kernel's choice, because the server isn't on this machine.
func (p *connectPlan) source(index int) (addr [4]byte, ok bool) {
	n := byte(1 + (p.first+index)/clientsPerSource)
	if p.apart {
		addr = p.server.Addr().As4()
		addr[3] += n
		return addr, true
	}
	return [4]byte{127, 0, 1, n}, p.server.Addr().IsLoopback()
}

// connect carries out the plan. Members that couldn't connect are counted in failed.
func (s *swarm) connect() error {
	s.plan.request = upgradeRequest(s.plan.server.String(), "/"+s.plan.Path, s.plan.Token)
	s.members = make([]member, s.plan.Clients)
	for i := range s.members {
		s.members[i].role = s.plan.Roles.of(s.plan.first + i)
	}
	if s.plan.Changes {
		s.phase = changes
	}
	return s.startAll(math.Inf(1))
}

// comeBack waits until the server has ended all connections, and then connects so many clients a
// second, each with the cursor that it has. Latencies are recorded anew.
func (s *swarm) comeBack(rate float64) error {
	if err := s.until(s.plan.Stall, func() bool { return s.connected == 0 }); err != nil {
		return err
	}
	s.returning = true
	s.latency.Reset()
	s.upgrades.Reset()
	return s.startAll(rate)
}

// startAll connects so many members a second, as far as the pace allows.
func (s *swarm) startAll(rate float64) error {
	began, next := Now(), 0
	return s.until(s.plan.Stall, func() bool {
		for next < len(s.members) && s.pending < s.plan.Pace && (next == 0 || float64(next)/rate <= float64(Now()-began)/1e9) {
			s.start(int32(next))
			next++
		}
		return next == len(s.members) && s.pending == 0
	})
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
		s.lose(index, m, fmt.Errorf("connecting: %w", err))
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
	to := &unix.SockaddrInet4{Port: int(s.plan.server.Port()), Addr: s.plan.server.Addr().As4()}
	if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	return nil
}

// established asks for the upgrade when the kernel has connected. Clients that are to be told of what they lose bring a
// cursor (Busbar's since; other servers don't look at the query).
func (s *swarm) established(index int32, m *member) {
	code, err := unix.GetsockoptInt(int(m.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err == nil {
		request := s.plan.request
		if s.plan.Changes || m.role.is(limp) {
			request = upgradeRequest(s.plan.server.String(), fmt.Sprintf("/%s?since=%d", s.plan.Path, s.cursor(m)), s.plan.Token)
		}
		// The send buffer is empty, so that it takes all or the connection is gone.
		err = unix.Send(int(m.fd), request, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	}
	if err == nil {
		m.state = upgrading
		err = s.watch(unix.EPOLL_CTL_MOD, int(m.fd), index, unix.EPOLLIN)
	}
	if err != nil {
		s.lose(index, m, fmt.Errorf("connecting: %w", err))
	}
}

// upgraded reads the answer to the upgrade and returns what came behind it, or what there is of it.
func (s *swarm) upgraded(index int32, m *member, b []byte) []byte {
	size, err := checkUpgrade(b)
	switch {
	case err != nil:
		s.lose(index, m, err)
		return nil
	case size == 0:
		return b
	}
	if s.plan.Protocol == runner.Centrifugo {
		_ = sendNow(m, ws.NewTextFrame([]byte(runner.CentrifugoJoin))) // an empty socket has room
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
	s.moves++
	switch {
	case s.returning:
	case s.plan.Brief:
		s.reset(index, m)
	case m.role.is(uncounted):
		s.report.Churn.Came++
	default:
		m.position = newPosition(0)
		s.tally.clients++
	}
}
