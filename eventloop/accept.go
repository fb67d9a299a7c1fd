package eventloop

import (
	"time"

	"github.com/gobwas/ws"

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
			l.evict(c)
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
	if c.is(flagOverflow) {
		l.refuseOverflow(c, refusal, p)
		c.conn.Discard(end)
		return
	}
	c.conn.Discard(end) // and p with it
	if refusal.Healthy() {
		l.refuse(c, refusal, CauseProbe)
		return
	}
	if refusal != nil {
		l.refuse(c, refusal, CauseBadHandshake)
		return
	}
	if l.engine.budget.Full() {
		l.refuse(c, wsproto.RefuseOverloaded, CauseOverloaded)
		return
	}
	if l.opts.Compression != CompressOff {
		in, out := request.AcceptDeflate()
		if in {
			c.set(flagInflate)
		}
		if out {
			c.set(flagDeflate)
		}
	}
	l.setState(c, authorising, CauseUnknown)
	l.handler.Upgrade(c, request)
	if c.state == authorising { // it takes time
		l.waitFor(c, end, c.conn.Buffered())
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
		l.evict(c)
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
	c.heard, c.pos = l.now, l.broadcasts.End()
	if a.Replay {
		l.pin(c)
	}
	l.counters.Accepted.Add(1)
	l.scratch = wsproto.AppendAnswer(l.scratch[:0], a.Answer, l.accepting.date.At(time.Now()))
	l.write(c, l.scratch)
	l.readEarly(c)
}

// readEarly reads what came between the request and the answer to it. On the way
// through OnTraffic that is done there.
func (l *Loop) readEarly(c *Client) {
	if l.reading.client == c || c.state == gone || c.conn.Buffered() == 0 {
		return
	}
	before, closeAfterRead := l.reading.client, l.reading.closeAfter
	l.reading.client, l.reading.closeAfter = c, false
	l.guard(c, func() { l.readFrames(c) })
	ended := l.reading.closeAfter
	l.reading.client, l.reading.closeAfter = before, closeAfterRead // whose own end may stand out
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
	c.set(flagDiscardInput)
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
