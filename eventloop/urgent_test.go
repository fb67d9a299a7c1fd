package eventloop

import (
	"syscall"
	"testing"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// sendUrgent sends one byte of urgent data (RFC 9293 3.8.5).
func (p *peer) sendUrgent(b byte) {
	p.T.Helper()
	raw, err := p.Conn.(syscall.Conn).SyscallConn()
	must(p.T, err)
	failed := raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte{b}, unix.MSG_OOB, nil) })
	must(p.T, failed)
	must(p.T, err)
}

// pending is what a poll of the client's socket finds.
func pending(c *Client) int16 {
	fds := []unix.PollFd{{Fd: c.fd, Events: unix.POLLIN | unix.POLLPRI}}
	_, _ = unix.Poll(fds, 0)
	return fds[0].Revents
}

// Urgent data isn't part of the stream. It costs its sender a byte, and the loop one look:
// epoll reports it (EPOLLPRI, level-triggered) until a read has passed it, and the read
// that finds nothing else does (net/ipv4/tcp.c, tcp_recvmsg_locked).
func TestUrgentDataIsPassedOver(t *testing.T) {
	t.Parallel()
	h := &host{onMessage: echo}
	e := start(t, h)
	p := dial(t, e, "name=x")
	p.sendUrgent('!')
	eventually(t, "it is read past", func() (past bool) {
		on(t, e, h.id("x"), func(c *Client) { past = pending(c) == 0 })
		return past
	})
	p.Send(ws.OpText, "on")
	p.Expect(ws.OpText, "on")
}
