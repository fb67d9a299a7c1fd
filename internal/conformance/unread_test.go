package conformance

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// receiveQueue asks the kernel how much of what was sent the other end of a connection
// hasn't read yet (sock_diag(7)). Writing byte by byte alone proves nothing: what piles up
// in a socket is read in one go.
type receiveQueue struct {
	conn    syscall.RawConn // our end
	fd      int
	request []byte
	answer  []byte
}

var errGone = errors.New("the server has closed its socket")

// openReceiveQueue is for a connection over IPv4 to this host. It belongs to one goroutine,
// which has to close it.
func openReceiveQueue(conn net.Conn) (*receiveQueue, error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("asking the kernel about sockets: %w", err)
	}
	ours, theirs := conn.LocalAddr().(*net.TCPAddr), conn.RemoteAddr().(*net.TCPAddr)
	return &receiveQueue{conn: raw, fd: fd, request: diagRequest(theirs, ours), answer: make([]byte, 4096)}, nil
}

func (q *receiveQueue) close() { _ = unix.Close(q.fd) }

// diagRequest is a nlmsghdr and an inet_diag_req_v2 (linux/inet_diag.h) for one socket: the
// one with the address of its own and the peer's.
func diagRequest(own, peer *net.TCPAddr) []byte {
	const length = unix.NLMSG_HDRLEN + 56
	b := make([]byte, 0, length)
	b = binary.NativeEndian.AppendUint32(b, length)
	b = binary.NativeEndian.AppendUint16(b, unix.SOCK_DIAG_BY_FAMILY)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, make([]byte, 8)...) // sequence number, port
	b = append(b, unix.AF_INET, unix.IPPROTO_TCP, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, 1<<32-1) // in any state
	b = binary.BigEndian.AppendUint16(b, uint16(own.Port))
	b = binary.BigEndian.AppendUint16(b, uint16(peer.Port))
	for _, ip := range []net.IP{own.IP.To4(), peer.IP.To4()} {
		b = append(append(b, ip...), make([]byte, 12)...)
	}
	b = binary.NativeEndian.AppendUint32(b, 0) // any interface
	return binary.NativeEndian.AppendUint64(b, 1<<64-1)
}

// awaitRead returns when the server has read all that was sent, or errGone. Between two looks it sleeps:
// looking without rest took most of the processor, which the server needs to read.
func (q *receiveQueue) awaitRead() error {
	rest := 20 * time.Microsecond
	for deadline := time.Now().Add(wstest.Patience); time.Now().Before(deadline); {
		time.Sleep(rest)
		unsent, err := q.unsent() // first: what isn't sent yet would come after a look at the other end
		if err != nil {
			return err
		}
		n, err := q.unread()
		if unsent == 0 && n == 0 || err != nil {
			return err
		}
		rest = min(2*rest, time.Millisecond)
	}
	return fmt.Errorf("the server didn't read for %v", wstest.Patience)
}

// unsent is how much our end still has because the other one's window is full.
func (q *receiveQueue) unsent() (n int, err error) {
	const outqNotSent = 0x894b // SIOCOUTQNSD, linux/sockios.h
	failed := q.conn.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), outqNotSent) })
	return n, errors.Join(failed, err)
}

func (q *receiveQueue) unread() (uint32, error) {
	if err := unix.Sendto(q.fd, q.request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	n, _, err := unix.Recvfrom(q.fd, q.answer, 0)
	if err != nil {
		return 0, err
	}
	header := (*unix.NlMsghdr)(unsafe.Pointer(&q.answer[0]))
	const state, rqueue = unix.NLMSG_HDRLEN + 1, unix.NLMSG_HDRLEN + 56 // in inet_diag_msg
	if header.Type == unix.NLMSG_ERROR || n < rqueue+4 || q.answer[state] != unix.BPF_TCP_ESTABLISHED && q.answer[state] != unix.BPF_TCP_FIN_WAIT2 && q.answer[state] != unix.BPF_TCP_FIN_WAIT1 {
		return 0, errGone
	}
	return binary.NativeEndian.Uint32(q.answer[rqueue:]), nil
}
