package eventloop

import (
	"time"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

// Flags of a client.
const (
	flagDirty        uint16 = 1 << iota // stands in Loop.dirty
	flagReplaying                       // it catches up from the change log and gets nothing live
	flagPinned                          // replaying, and the broadcast log is kept for it from its position on
	flagPinged                          // a ping went out and nothing has been heard since
	flagDiscardInput                    // what still comes is read and forgotten
	flagDrained                         // tell the Handler when the send queue has drained
	flagLost                            // something it was owed is lost, and it hasn't been told
	flagOverflow                        // will be refused whatever it asks for
	flagWatched                         // the socket is known to the watcher
	flagDeflate                         // may be sent compressed messages
	flagAsking                          // tell the Handler when it has taken what it asked for
	flagInflate                         // compression was negotiated: it may send compressed messages
	flagAnswered                        // the Handler has answered Upgrade
	flagAgain                           // pinned, and events have been let go of that the log has to be read for again
)

// Client is one connection. It is owned by its loop: its methods must only be called
// on the loop's goroutine, that is in a Handler's methods and in tasks.
//
// A connection that is idle costs this struct, its place in the loop's client table, what
// gnet keeps, and nothing else: what is needed for a while only (a message that is
// half there, bytes that the kernel didn't take) hangs from a pointer.
type Client struct {
	conn poll.Conn
	loop *Loop

	// Data is the Handler's own; the package doesn't look at it.
	Data any

	id       uint64
	pos      uint64              // next broadcast log position to send; before acceptance: see waitFor
	queue    *delivery.SendQueue // nil: everything before pos is with the kernel
	decoder  *delivery.Assembly  // nil: at a frame boundary
	groups   [labelKinds]*group
	next     [labelKinds]uint32 // neighbours in the groups, by slot
	prev     [labelKinds]uint32
	slot     uint32
	fd       int32
	since    uint32 // tick of the last change of state; closing: or of the last look at which the peer had acknowledged more
	heard    uint32 // tick of the last bytes from the peer; until it is accepted: the delivery.Moment at which it came; closing: what it hadn't acknowledged at the last look, in bytes
	deadline uint32 // of the loop's lifetime: when the client's identity expires, 0 = never; closing: when that is over in any case

	state state
	cause Cause
	flags uint16
}

// ID is the client's number: below 2^53 and never used again while the engine lives.
func (c *Client) ID() uint64 { return c.id }

// Loop is the loop that owns the client.
func (c *Client) Loop() *Loop { return c.loop }

// Open is true from acceptance until a Close was sent or the connection ended.
func (c *Client) Open() bool { return c.state == open }

func (c *Client) is(flag uint16) bool { return c.flags&flag != 0 }
func (c *Client) set(flag uint16)     { c.flags |= flag }
func (c *Client) unset(flag uint16)   { c.flags &^= flag }

// ensureQueue is the client's send queue, made when there is none.
func (c *Client) ensureQueue() *delivery.SendQueue {
	if c.queue == nil {
		c.queue = c.loop.newSendQueue(c.form())
		switch {
		case c.is(flagPinned):
			c.queue.Pin()
		case c.is(flagReplaying) || c.state != open:
			c.queue.StopAt(0)
		}
	}
	return c.queue
}

// OpenedAt is when the client was accepted, to a tick.
func (c *Client) OpenedAt() time.Time {
	return c.loop.engine.started.Add(time.Duration(c.since) * tick)
}

func (l *Loop) newSendQueue(as delivery.Form) (o *delivery.SendQueue) {
	if n := len(l.pools.queues); n > 0 {
		o, l.pools.queues = l.pools.queues[n-1], l.pools.queues[:n-1]
	} else {
		o = new(delivery.SendQueue)
	}
	o.Begin(l.engine.budget, as)
	return o
}

// freeSendQueue is called when a client is owed nothing any more, or has gone.
func (l *Loop) freeSendQueue(c *Client) {
	o := c.queue
	if o == nil {
		return
	}
	l.stopWaiting(o)
	c.queue = nil
	o.End()
	const keep = 1024
	if len(l.pools.queues) < keep {
		l.pools.queues = append(l.pools.queues, o)
	}
}
