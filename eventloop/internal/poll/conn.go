package poll

import (
	"net"
	"net/netip"

	"github.com/panjf2000/gnet/v2"
)

// Conn is one of gnet's connections. Owned by its loop.
type Conn struct{ gnet gnet.Conn }

// FD is its descriptor, which stays gnet's.
func (c Conn) FD() int32 { return int32(c.gnet.Fd()) }

// Peek is what was read and not discarded yet. It is the loop's own buffer: it may be changed in
// place, and is valid until the connection's Discard, or the end of the callback.
func (c Conn) Peek() []byte {
	p, _ := c.gnet.Peek(-1)
	return p
}

// Buffered is len(Peek()) without laying it out.
func (c Conn) Buffered() int { return c.gnet.InboundBuffered() }

// Discard forgets the next n bytes.
func (c Conn) Discard(n int) {
	if n > 0 { // to gnet, 0 is everything
		_, _ = c.gnet.Discard(n)
	}
}

// DiscardAll forgets all that was read.
func (c Conn) DiscardAll() { _, _ = c.gnet.Discard(-1) }

// Close ends the connection now. Not while it is being read: Readable's result does that.
func (c Conn) Close() { _ = c.gnet.EventLoop().Close(c.gnet) }

// Peer is the address at the other end, which is known until Handler.Opened has returned.
func (c Conn) Peer() netip.Addr {
	if tcp, ok := c.gnet.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
