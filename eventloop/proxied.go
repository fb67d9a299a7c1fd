package eventloop

import (
	"errors"
	"net/netip"

	"github.com/busbar-ws/busbar/wsproto"
)

// source is where the client in a slot comes from: 17 bytes for each slot, without a pointer.
// It stands here for gnet not to keep it (poll.DropAddresses).
type source struct {
	addr    [16]byte // the socket's peer, or what a trusted proxy has said
	awaited bool     // a proxy's header isn't here yet; nothing counts for any address
}

// sources are a loop's, by slot. Owned by the loop.
type sources []source

func (s sources) of(slot uint32) source {
	if int(slot) >= len(s) {
		return source{}
	}
	return s[slot]
}

func (s *sources) set(slot uint32, from source) {
	if missing := int(slot) + 1 - len(*s); missing > 0 {
		*s = append(*s, make([]source, missing)...)
	}
	(*s)[slot] = from
}

func (s sources) forget(slot uint32) {
	if int(slot) < len(s) {
		s[slot] = source{}
	}
}

// Addr is the client's address: what a trusted proxy has said, else the socket's peer. It
// is what counts for MaxPerAddress. An IPv4 address is never in IPv6's form.
func (c *Client) Addr() netip.Addr {
	return netip.AddrFrom16(c.loop.clients.sources.of(c.slot).addr).Unmap()
}

// introduced reads the header that a proxy has put before the upgrade request, and is true
// when it is known where the client comes from and the request can be read. Until then the
// connection counts for no address: the proxy's own would be full with the clients of all the
// others. Its time is Timeouts.Handshake.
func (l *Loop) introduced(c *Client) bool {
	if !l.clients.sources.of(c.slot).awaited {
		return true
	}
	p, _ := c.conn.Peek(-1)
	addr, n, err := wsproto.ParseProxyHeader(p)
	switch {
	case errors.Is(err, wsproto.ErrNoProxyHeader) && l.opts.Accept.ProxyProtocol == ProxyOptional:
	case err != nil:
		// The specification (2.1) wants it ended at once. An answer could only go to the
		// proxy's client, which has done nothing wrong.
		l.engine.trouble(CauseBadProxyHeader, "a trusted proxy's connection was closed", "proxy", c.Addr(), "error", err)
		l.abort(c, CauseBadProxyHeader)
		return false
	case n == 0:
		return false
	}
	if n > 0 { // to gnet, 0 is everything
		_, _ = c.conn.Discard(n)
	}
	return l.count(c, addr)
}

// count takes a place for the client's address, which is its socket's when addr is none.
func (l *Loop) count(c *Client, addr netip.Addr) bool {
	if !addr.IsValid() {
		addr = c.Addr()
	}
	if !l.engine.admits(addr) {
		l.abort(c, CauseAddressCap)
		return false
	}
	l.clients.sources.set(c.slot, source{addr: addr.As16()})
	return true
}

// uncount gives the place back. The client has ended.
func (l *Loop) uncount(c *Client) {
	if !l.clients.sources.of(c.slot).awaited {
		l.engine.admission.addresses.release(c.Addr())
	}
	l.clients.sources.forget(c.slot)
}

// admits takes a place for an address, or says why its connections aren't answered.
func (e *Engine) admits(addr netip.Addr) bool {
	if e.admission.addresses.acquire(addr) {
		return true
	}
	e.trouble(CauseAddressCap, "a connection was closed: its address has as many as one may have", "from", addr, "most", e.opts.Accept.MaxPerAddress)
	return false
}

// trouble logs the first of each cause: it is most likely a mistake in how Busbar or
// the proxy are set up, and then every connection has it.
func (e *Engine) trouble(cause Cause, what string, args ...any) {
	if _, again := e.reports.once.LoadOrStore(cause, true); !again {
		args = append(args, "note", "what follows of this kind is only counted, as "+cause.String())
		e.opts.Log.Warn(what, args...)
	}
}
