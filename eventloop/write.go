package eventloop

import (
	"bytes"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/busbar-ws/busbar/wsproto"
)

// write sends bytes for this client alone: answers to upgrades, pongs, pings and
// Close. They go at once, unless something is owed already. p stays the caller's.
func (l *Loop) write(c *Client, p []byte) {
	if c.queue != nil {
		l.queueBytes(c, p)
		return
	}
	n, ok := poll.Send(c.fd, p)
	l.counters.add(delivery.Tally{Sends: 1, Bytes: uint64(n)})
	switch {
	case n == len(p):
	case ok:
		if c.state != closing { // see account
			l.account.owed++
		}
		c.ensureQueue().Continue(l.control(p), n)
		l.wait(c)
	default:
		l.abort(c, CauseReset)
	}
}

// control is a frame of a copy of p, which is one already.
func (l *Loop) control(p []byte) *Frame {
	f := FrameOf(bytes.Clone(p))
	f.Kind = delivery.KindControl
	l.engine.Count(f)
	return f
}

func (l *Loop) queueBytes(c *Client, p []byte) {
	o := c.queue
	// A peer that pings and doesn't read. The one Close of a client that is being closed
	// is let through.
	if c.state == open && o.TooMuch(len(p), l.opts.Slow.LagBytes) {
		l.close(c, wsproto.StatusTryAgainLater, "too slow", CauseSlow)
		return
	}
	if c.state != closing {
		l.account.owed++
	}
	o.Push(l.control(p), l.broadcasts.End(), false)
	if !o.Waiting {
		l.markDirty(c)
	}
}

// wakeSelf makes sure that a drain comes after what is going on: what is queued while
// bytes are read or a connection ends would otherwise wait for the next message.
func (l *Loop) wakeSelf() {
	if !l.mailbox.draining.Load() {
		l.wake(l.mailbox.PutTask(entry{run: func(*Loop) {}}))
	}
}

// Send owes the client one frame of its own, behind everything that it was sent before.
// The client must be open; otherwise nothing happens. A short frame is compressed here, if
// the client takes that; a long one only if Engine.Deflate has done it.
func (c *Client) Send(f *Frame) {
	if c.is(flagDeflate) && f.Size() <= deflateOnLoop {
		c.loop.engine.Deflate(f)
	}
	c.loop.engine.Count(f)
	c.loop.enqueue(c, f, false)
}

// AskedBytes is how much of what a client has asked for (snapshots, and events that it missed) may
// wait for it before it should be given more. It bridges the time that fetching more takes; the
// kernel's buffer comes on top.
const AskedBytes = 256 << 10

// MayAsk is whether n more bytes may be fetched for the client: with them no more than AskedBytes
// would wait, the message in progress left out. While less than n have room, and something waits,
// Handler.Taken is called once there may be more.
func (c *Client) MayAsk(n int) bool {
	waits := c.loop.asked(c)
	if waits+n <= AskedBytes {
		return true
	}
	if waits > 0 {
		c.set(flagAsking)
	}
	return false
}

// asked is how much a client that has asked for it is still to be sent.
func (l *Loop) asked(c *Client) (bytes int) {
	if c.queue != nil {
		bytes = c.queue.Asked()
	}
	if m := l.behind.replays[c.slot]; m != nil {
		bytes += m.Asked()
	}
	return bytes
}

// tellTaken tells the Handler that a client has room for more of what it asks for.
func (l *Loop) tellTaken(c *Client) {
	if c.is(flagAsking) && c.state == open && l.asked(c) <= AskedBytes/2 {
		c.unset(flagAsking)
		l.guard(c, func() { l.engine.handler.Taken(c) })
	}
}
