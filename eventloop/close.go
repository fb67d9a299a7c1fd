package eventloop

import (
	"errors"
	"io"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/busbar-ws/busbar/wsproto"
)

// Close sends Close behind all that the client is owed, takes it out of every
// broadcast, and ends the connection when the peer has answered or closeWait is over.
func (c *Client) Close(code ws.StatusCode, reason string, cause Cause) {
	l := c.loop
	switch c.state {
	case open:
		// All that it was sent before it goes out first.
		owed := c.queue != nil || (!c.is(flagReplaying) && c.pos < l.broadcasts.End())
		if c.is(flagPinned) && c.queue != nil {
			c.queue.LeaveOutEvents()
		}
		l.setState(c, closing, cause)
		l.scratch = wsproto.AppendClose(l.scratch[:0], code, reason)
		if !owed {
			l.write(c, l.scratch)
			return
		}
		o := c.ensureQueue()
		if !c.is(flagReplaying) {
			o.StopAt(l.broadcasts.End())
		}
		// However much that is: a client has one Close, and no bound is for it.
		o.Push(l.control(l.scratch), l.broadcasts.End(), false)
		if !o.Waiting {
			l.markDirty(c)
		}
	case handshaking, authorising:
		l.abort(c, cause)
	}
}

// abort ends the connection now. While its own bytes are being read the end comes right
// after that: gnet still holds on to it.
func (l *Loop) abort(c *Client, cause Cause) {
	if !l.setState(c, gone, cause) {
		return
	}
	if l.reading == c {
		l.closeAfter = true
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
	defer l.counters.closed[c.cause].Add(1) // whatever panics on the way
	l.setState(c, gone, c.cause)
	l.freeSendQueue(c)
	if c.decoder != nil {
		l.freeDecoder(c)
	}
	l.meters.Free(c.slot, time.Since(l.engine.started))
	l.clients.remove(c)
}

// shutWrite tells the peer that nothing more comes, and leaves it time to read. While
// the client is owed something that waits: caughtUp comes back here.
func (l *Loop) shutWrite(c *Client) {
	if c.state == gone || c.queue != nil { // gone: its descriptor may be somebody else's by now
		return
	}
	if !poll.ShutWrite(c.fd) {
		l.abort(c, c.cause)
	}
}
