package eventloop

import (
	"errors"
	"io"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/busbar-ws/busbar/wsproto"
)

// Close sends Close behind all that the client is owed, takes it out of every
// broadcast, and ends the connection when the peer has answered or closeWait is over. With CauseSlow and CauseMemory
// the client isn't sent what it is owed, with CauseMemory it isn't listened to either.
func (c *Client) Close(code ws.StatusCode, reason string, cause Cause) {
	c.loop.close(c, code, reason, cause)
}

// close is Client.Close. What a client that isn't to be listened to still sends is read and forgotten (RFC 6455
// 5.5.1): what follows a violation has no frames in it, and what follows abuse is more of it.
func (l *Loop) close(c *Client, code ws.StatusCode, reason string, cause Cause) {
	switch c.state {
	case handshaking, authorising:
		l.abort(c, cause)
		return
	case open:
		l.sendClose(c, code, reason, cause)
	}
	switch cause {
	case CausePeerClosed, CauseProtocolError, CauseTooBig, CauseRateAbuse, CauseMemory:
		l.shutWrite(c)
	}
}

// sendClose says the last word to an open client.
func (l *Loop) sendClose(c *Client, code ws.StatusCode, reason string, cause Cause) {
	owed := c.queue != nil || !c.is(flagReplaying) && c.pos < l.broadcasts.End()
	if c.is(flagPinned) && c.queue != nil {
		had := c.queue.Kinds()
		c.queue.LeaveOutEvents()
		had.Less(c.queue.Kinds())
		l.account.replace(byChangeLog, had[delivery.KindChange])
	}
	l.setState(c, closing, cause)
	l.scratch = wsproto.AppendClose(l.scratch[:0], code, reason)
	if !owed {
		l.write(c, l.scratch)
		return
	}
	o := c.ensureQueue()
	if cause == CauseSlow || cause == CauseMemory {
		o.Replace(l.control(l.scratch)) // behind the rest of the message in progress
	} else {
		if !c.is(flagReplaying) {
			o.StopAt(l.broadcasts.End())
		}
		// However much that is: a client has one Close, and no bound is for it.
		o.Push(l.control(l.scratch), l.broadcasts.End(), false)
	}
	if !o.Waiting {
		l.markDirty(c)
	}
}

// abort ends the connection now. While its own bytes are being read the end comes right
// after that: gnet still holds on to it.
func (l *Loop) abort(c *Client, cause Cause) {
	if !l.setState(c, gone, cause) {
		return
	}
	if l.reading.client == c {
		l.reading.closeAfter = true
		return
	}
	c.conn.Close()
}

// ended is called by events.Closed, whoever closed.
func (l *Loop) ended(c *Client, err error) {
	if c.cause == CauseUnknown {
		c.cause = CausePeerGone
		if err != nil && !errors.Is(err, io.EOF) {
			c.cause = CauseReset
		}
	}
	defer func() { // whatever panics on the way, also the second time: its descriptor will be somebody else's
		l.counters.closed[c.cause].Add(1)
		l.markGone(c)
		l.account.show(&l.counters.accounts)
	}()
	l.setState(c, gone, c.cause)
	l.freeSendQueue(c)
	if c.decoder != nil {
		l.freeDecoder(c)
	}
	l.meters.Free(c.slot, time.Since(l.engine.started))
	l.clients.remove(c)
}

// shutWrite ends a connection on which the last word has been said, once the peer has had all
// that it is owed: until then it waits, and caughtUp comes back here. What still comes is read and
// forgotten, because a socket that is closed with unread input resets the connection, and a reset
// takes from the peer what it hasn't read (RFC 6455 7.1.1, RFC 2525 2.17).
func (l *Loop) shutWrite(c *Client) {
	c.set(flagDiscardInput)
	if c.state == gone || c.queue != nil { // gone: its descriptor may be somebody else's by now
		return
	}
	if !poll.ShutWrite(c.fd) {
		l.abort(c, c.cause)
	}
}
