package eventloop

import (
	"math/bits"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/wsproto"
)

// readHead waits for the whole upgrade request and hands it to the Handler. More than
// wsproto.MaxHead bytes without an end are refused.
func (l *Loop) readHead(c *Client) {
	p := c.conn.Peek()
	// The blank line may straddle what has been searched and what has come now.
	from := max(0, c.searched()-3)
	end := wsproto.HeadEnd(p[from:])
	if refusal := wsproto.CheckHead(p, from, end); refusal != nil {
		l.refuse(c, refusal, CauseBadHandshake)
		return
	}
	if end < 0 {
		l.waitFor(c, 0, len(p))
		if len(p) > wsproto.MaxHead {
			l.refuse(c, wsproto.RefuseHeadTooLarge.AnswerTo(p), CauseBadHandshake)
		} else if !l.engine.budget.Takes(0) {
			l.shed(c)
		}
		return
	}
	end += from
	if end > wsproto.MaxHead {
		l.refuse(c, wsproto.RefuseHeadTooLarge.AnswerTo(p), CauseBadHandshake)
		return
	}
	l.waitFor(c, 0, 0)
	request, refusal := wsproto.ParseUpgrade(p[:end])
	cause := CauseBadHandshake
	if refusal.Healthy() {
		cause = CauseProbe
		if l.engine.unready.Load() {
			refusal = wsproto.RefuseDraining.AnswerTo(p)
		}
	}
	if c.is(flagOverflow) {
		l.refuseOverflow(c, refusal, cause, p)
		c.conn.Discard(end)
		return
	}
	c.conn.Discard(end) // and p with it
	if refusal != nil {
		l.refuse(c, refusal, cause)
		return
	}
	if l.engine.budget.Full() {
		l.refuse(c, wsproto.RefuseOverloaded, CauseOverloaded)
		return
	}
	if l.opts.Compression != CompressOff {
		c.acceptDeflate(request)
	}
	l.setState(c, authorising, CauseUnknown)
	l.engine.handler.Upgrade(c, request)
	if c.state == authorising { // it takes time
		l.waitFor(c, end, c.conn.Buffered())
	}
}

func (c *Client) acceptDeflate(request *wsproto.Request) {
	in, out := request.AcceptDeflate()
	if in {
		c.set(flagInflate)
	}
	if out {
		c.set(flagDeflate)
	}
}

// waitAuthorised leaves what a client sends ahead of its acceptance with gnet, up to
// the size of one message and its header.
func (l *Loop) waitAuthorised(c *Client) {
	const header = 14
	if c.conn.Buffered() > l.opts.MaxMessageIn+header {
		l.abort(c, CauseTooBig)
		return
	}
	l.waitFor(c, int(c.pos>>32), c.conn.Buffered())
	if !l.engine.budget.Takes(0) {
		l.shed(c)
	}
}

// Acceptance is what a Handler lets a client in with.
type Acceptance struct {
	Answer []byte // the request's 101 response
	Data   any    // becomes Client.Data
	// Labels are names by which an Audience finds the client. The empty name is one like
	// any other. The strings are kept; equal names should be the same string.
	Labels [labelKinds]string
	// Expires is when Handler.Expired is called, or within a second of it. Zero: never.
	Expires time.Time
	// Replay starts the client pinned: it gets nothing live until GoLive. See SendPage.
	Replay bool
}

// Accept completes the upgrade and opens the client. It must be called once in answer
// to Handler.Upgrade; a client that has gone meanwhile is left alone.
func (c *Client) Accept(a Acceptance) {
	if c.state != authorising {
		return
	}
	l := c.loop
	c.set(flagAnswered)
	c.Data = a.Data
	c.ExpireAt(a.Expires)
	// Before the client's cursor is looked at: a publisher that doesn't count it
	// here has appended its event to the change log already.
	l.setState(c, open, CauseUnknown)
	for kind, name := range a.Labels { // at once: isEveryone takes every open client to have them
		l.clients.label(c, Label(kind), name)
	}
	now := time.Now()
	l.counters.handshake.Observe(delivery.MomentOf(now.Sub(l.engine.started)).Since(delivery.Moment(c.heard)))
	c.heard, c.pos = l.now, l.broadcasts.End()
	if a.Replay {
		l.pin(c)
	}
	l.counters.Accepted.Add(1)
	l.scratch = wsproto.AppendAnswer(l.scratch[:0], a.Answer, l.accepting.date.At(now))
	l.write(c, l.scratch)
	l.readEarly(c)
}

// readEarly reads what came between the request and the answer to it. On the way
// through OnTraffic that is done there.
func (l *Loop) readEarly(c *Client) {
	if l.reading.client == c || c.state == gone || c.conn.Buffered() == 0 {
		return
	}
	before := l.reading
	l.reading = reading{client: c}
	l.guard(c, func() { l.readFrames(c) })
	ended := l.reading.closeAfter
	l.reading = before // whose own end may stand out
	if ended {
		c.conn.Close()
	}
}

// Refuse answers the request with an HTTP status and ends the connection.
func (c *Client) Refuse(r *wsproto.Refusal) {
	if c.state == authorising {
		c.set(flagAnswered)
		c.loop.refuse(c, r, CauseRejected)
	}
}

func (l *Loop) refuse(c *Client, r *wsproto.Refusal, cause Cause) {
	l.counters.refusedStatus(r.Status)
	if r.RetryAfter > 0 {
		r = spreadRetry(*r)
	}
	l.setState(c, closing, cause)
	l.scratch = r.AppendResponse(l.scratch[:0], l.accepting.date.At(time.Now()))
	l.write(c, l.scratch)
	l.shutWrite(c)
}

// AcceptAndClose completes the upgrade and sends Close at once, so that a page in a
// browser can tell why. The client is never open.
func (c *Client) AcceptAndClose(answer []byte, code ws.StatusCode, reason string) {
	if c.state != authorising {
		return
	}
	l := c.loop
	c.set(flagAnswered)
	l.setState(c, closing, CauseRejected)
	l.scratch = wsproto.AppendAnswer(l.scratch[:0], answer, l.accepting.date.At(time.Now()))
	l.scratch = wsproto.AppendClose(l.scratch, code, reason)
	l.write(c, l.scratch)
	l.readEarly(c)
}

// Until a client is accepted, its pos is what the budget has been told of it: the bytes of
// its request's head, once that is whole, and the bytes that are with gnet. With nothing
// there it is 0.
func upgrading(head, buffered int) uint64 { return uint64(head)<<32 | uint64(uint32(buffered)) }

// searched is how many bytes of a request were there when it was last looked at.
func (c *Client) searched() int { return int(uint32(c.pos)) }

// upgradeBytes is the memory behind such a pos. gnet keeps bytes in a ring, whose size
// begins at 1 KiB and is then at most a quarter above what is in it (v2.9.8, ring.Buffer.grow,
// to the next power of two below 4 KiB), and beside it copies what Peek is asked for into a
// buffer whose size is a power of two, which it keeps until the next Discard. A head was
// taken apart into strings and an answer, which wait with whoever decides.
func upgradeBytes(pos uint64) (size int64) {
	if n := int64(uint32(pos)); n > 0 {
		size = max(1024, n+n/4) + int64(1)<<bits.Len64(uint64(n))
	}
	if head := int64(pos >> 32); head > 0 {
		size += head + 1024
	}
	return size
}

// waitFor notes what is there of a client that isn't accepted yet.
func (l *Loop) waitFor(c *Client, head, buffered int) {
	pos := upgrading(head, buffered)
	l.engine.budget.Add(budget.Upgrades, upgradeBytes(pos)-upgradeBytes(c.pos))
	c.pos = pos
	if pos != 0 {
		l.engine.budget.Judge()
	}
}

// upgradeEnds is called when a client is accepted or refused, or goes: from there on what
// it has sent is read, or forgotten.
func (l *Loop) upgradeEnds(c *Client) {
	if c.state == handshaking || c.state == authorising {
		l.waitFor(c, 0, 0)
	}
}
