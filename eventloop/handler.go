package eventloop

import (
	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/wsproto"
)

// Handler says what connections and messages mean. Its methods are called on the
// client's loop and must not block: whatever may take longer than a few microseconds
// goes to another goroutine and comes back through Engine.Post. A slice handed to a
// Handler is valid until the method returns.
//
// A method that panics costs the connection it was called for, nothing else.
type Handler interface {
	// Upgrade is asked about a complete upgrade request. It answers, then or later,
	// by Client.Accept, Client.Refuse or Client.AcceptAndClose. Until then Data is the Handler's.
	Upgrade(c *Client, r *wsproto.Request)

	// Message is called for each whole text or binary message of an open client.
	Message(c *Client, op ws.OpCode, payload []byte)

	// Closed is called once for each client that was accepted, when it has ended, and for one that
	// goes while Upgrade's answer is awaited. The client's id and Data may still be used, nothing
	// else of it.
	Closed(c *Client, cause Cause)

	// LossNotice is called when an open client has lost messages, by policy drop-oldest or because
	// a full mailbox let go of them. What it returns is sent to the client ahead of what comes
	// next, whole messages in one frame. lost is the change events that it isn't sent, of which there may be none:
	// each below these it has been sent, or asked for, and each above comes behind the notice. Nil: it can't be
	// told, and is closed with 1013 and sent nothing from behind the gap. Lossy frames are lost without a word.
	LossNotice(c *Client, lost Gap) *Frame

	// Behind is called when an open client with policy catch-up has fallen too far behind, or a full mailbox let go
	// of events: it replays from here on, and Drained is called when it has taken what it is owed still. Then it is
	// to be given the events above since.
	Behind(c *Client, since uint64)

	// Expired is called when an open client's Expires has come. It closes the client, now or
	// later, or gives it more time by Client.ExpireAt.
	Expired(c *Client)

	// Taken is called when an open client has taken most of what it asked for, after
	// Client.MayAsk has said no.
	Taken(c *Client)

	// Drained is called once everything given to Client.SendPage is with the kernel, or that was owed when Behind
	// was called.
	Drained(c *Client)
}
