package eventloop

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/busbar-ws/busbar/eventloop/internal/admission"
	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/busbar-ws/busbar/wsproto"
)

// ErrDescriptors: the descriptor limit leaves no room for clients.
var ErrDescriptors = admission.ErrDescriptors

// Capacity says how many connections there can be.
type Capacity = admission.Capacity

// ProxyProtocol says whether connections begin with a PROXY protocol header.
type ProxyProtocol = admission.ProxyProtocol

// The choices. ProxyOff is the default.
const (
	ProxyOff      = admission.ProxyOff      // a header is a bad request
	ProxyOptional = admission.ProxyOptional // a trusted proxy's header is believed when there is one
	ProxyRequired = admission.ProxyRequired // connections come from trusted proxies only, and begin with one
)

// Each loop has a listener, an epoll set, an eventfd and its turn's two sockets, four while
// these are opened, and may have accepted one connection that Opened hasn't refused yet.
// The watcher has two, and one is open now and then to see what a loop's epoll set holds or
// whether there are any left.
const (
	descriptorsPerLoop = 8
	descriptorsShared  = 3
)

// Capacity is how many connections there can be with so many descriptors. Loops and Accept.Reserve have
// to be set.
func (o *Options) Capacity(limit int) (Capacity, error) {
	return admission.CapacityOf(limit, o.Accept.Reserve+descriptorsPerLoop*o.Loops+descriptorsShared, o.Accept.MaxConnections)
}

// accepting is how a loop takes connections in.
type accepting struct {
	pace      admission.Pacer
	paceTimer *time.Timer // ends the pacer's pause
	silent    group       // connections whose request isn't complete
	date      wsproto.Date
}

// accepted is called for each connection that the loop has accepted, and pauses that when this was
// the last for now. The pause is ended by a timer, not by the tick, which would let a burst in ten
// times a second and nobody in between.
func (l *Loop) accepted(now time.Duration) {
	g := l.poller.AcceptPause()
	if g == nil {
		return
	}
	if wait := l.accepting.pace.Accepted(now); wait > 0 && g.Pause(poll.PausePace) {
		l.accepting.paceTimer.Reset(wait)
	}
}

// resumePaced is called by the timer, and by a loop that has got done.
func (l *Loop) resumePaced() { l.poller.AcceptPause().Resume(poll.PausePace) }

// overflowTime is how long who is in the overflow may take for a request. Who doesn't send one in time
// is closed without a word, and so is who finds the overflow full: sixteen silent ones from everywhere
// must not keep everybody else from being told.
const overflowTime = 2 * time.Second

// refuseOverflow answers a client in the overflow whose request, head, is complete; what it would be refused by if there
// were room counts as cause. A full server is a healthy one: whoever restarts it for not saying so ends all its
// connections. One that drains isn't to be sent anybody.
func (l *Loop) refuseOverflow(c *Client, refusal *wsproto.Refusal, cause Cause, head []byte) {
	switch {
	case c.cause == CauseDraining:
		l.refuse(c, wsproto.RefuseDraining.AnswerTo(head), CauseDraining)
	case refusal != nil:
		if cause == CauseProbe {
			c.cause = CauseUnknown
		}
		l.refuse(c, refusal, cause)
	default:
		l.refuse(c, wsproto.RefuseOverloaded, CauseCapacity)
	}
	l.counters.overflowAnswers.Add(1)
}

// spreadRetry makes Retry-After up to twice as long, by chance: those who were refused
// together mustn't come back together.
func spreadRetry(r wsproto.Refusal) *wsproto.Refusal {
	r.RetryAfter += rand.IntN(r.RetryAfter + 1)
	return &r
}

// Addr is the client's address: what a trusted proxy has said, else the socket's peer. It
// is what counts for MaxPerAddress. An IPv4 address is never in IPv6's form.
func (c *Client) Addr() netip.Addr {
	addr, _ := c.loop.clients.sources.Of(c.slot)
	return addr
}

// introduced reads the header that a proxy has put before the upgrade request, and is true
// when it is known where the client comes from and the request can be read. Until then the
// connection counts for no address: the proxy's own would be full with the clients of all the
// others. Its time is Timeouts.Handshake.
func (l *Loop) introduced(c *Client) bool {
	if _, awaited := l.clients.sources.Of(c.slot); !awaited {
		return true
	}
	p := c.conn.Peek()
	addr, n, err := wsproto.ParseProxyHeader(p)
	switch {
	case errors.Is(err, wsproto.ErrNoProxyHeader) && !l.engine.proxies.NeedsHeader():
	case err != nil:
		// The specification (2.1) wants it ended at once. An answer could only go to the
		// proxy's client, which has done nothing wrong.
		l.engine.trouble(CauseBadProxyHeader, "a trusted proxy's connection was closed", "proxy", c.Addr(), "error", err)
		l.abort(c, CauseBadProxyHeader)
		return false
	case n == 0:
		return false
	}
	c.conn.Discard(n)
	if !addr.IsValid() {
		addr = c.Addr()
	}
	if !l.engine.admits(addr) {
		l.abort(c, CauseAddressCap)
		return false
	}
	l.clients.sources.Set(c.slot, addr, false)
	return true
}

// uncount gives the place for the client's address back. The client has ended.
func (l *Loop) uncount(c *Client) {
	if addr, awaited := l.clients.sources.Of(c.slot); !awaited {
		l.engine.addresses.Release(addr)
	}
	l.clients.sources.Forget(c.slot)
}

// admits takes a place for an address, or says why its connections aren't answered.
func (e *Engine) admits(addr netip.Addr) bool {
	if e.addresses.Acquire(addr) {
		return true
	}
	e.trouble(CauseAddressCap, "a connection was closed: its address has as many as one may have", "from", addr, "most", e.addresses.Most())
	return false
}

// trouble logs the first of each cause: it is most likely a mistake in how Busbar or
// the proxy are set up, and then every connection has it.
func (e *Engine) trouble(cause Cause, what string, args ...any) {
	if _, again := e.told.LoadOrStore(cause, true); !again {
		args = append(args, "note", "what follows of this kind is only counted, as "+cause.String())
		e.opts.Log.Warn(what, args...)
	}
}

// silentShare is the part of Timeouts.Handshake after which a connection that hasn't sent its
// request yet makes room for others, when there are as many handshakes as there may be.
// Whoever waits in the kernel's queue has sent its request meanwhile, and most need one
// round trip. With the defaults, 2,048 and 10 s, 10,000 silent connections are gone from
// one loop in five rounds of 1.25 s.
const silentShare = 8

// startHandshake is called for a client that has its slot.
func (l *Loop) startHandshake(c *Client) {
	l.clients.link(&l.accepting.silent, c, 0)
	l.counters.Handshakes.Add(1)
	if l.handshakesFull() {
		l.poller.AcceptPause().Pause(poll.PauseHandshakes)
		l.dueBy(l.now + 1)
	}
}

// endHandshake is called for a client that has been upgraded or refused, or goes.
func (l *Loop) endHandshake() {
	if l.counters.Handshakes.Add(-1) == int64(l.opts.Accept.MaxHandshakes-1) {
		l.poller.AcceptPause().Resume(poll.PauseHandshakes)
	}
}

// handshakesFull is whether there are as many handshakes as there may be.
func (l *Loop) handshakesFull() bool {
	return l.counters.Handshakes.Load() >= int64(l.opts.Accept.MaxHandshakes)
}

// abortSilent makes room when there are as many handshakes as there may be.
func (l *Loop) abortSilent() {
	if !l.handshakesFull() {
		return
	}
	for l.accepting.silent.last != 0 {
		c := l.clients.slots[l.accepting.silent.last]
		if l.now-c.since <= ticks(l.opts.Timeouts.Handshake)/silentShare {
			return
		}
		l.abort(c, CauseHandshakeTimeout)
	}
}
