package eventloop

import (
	"errors"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/internal/rates"
	"github.com/busbar-ws/busbar/wsproto"
)

// readFrames decodes everything that has arrived, in the buffer where it arrived. What
// is left of a frame that isn't whole goes to the client's decoder, so nothing stays
// with gnet.
func (l *Loop) readFrames(c *Client) {
	if c.state == open {
		c.heard = l.now
	}
	pinged := c.is(flagPinged)
	c.unset(flagPinged)
	p := c.conn.Peek()
	within := l.spendRead(c, len(p), pinged)
	d := c.decoder
	if d == nil {
		d = l.decoder()
		if c.is(flagInflate) {
			d.AllowDeflate(l.opts.inflateTo())
		}
		c.decoder = d
	}
	for len(p) > 0 && (c.state == open || c.state == closing) && !c.is(flagDiscardInput) {
		m, n, whole, err := d.Decode(p, l.opts.MaxMessageIn)
		if err != nil {
			l.violated(c, err)
			break
		}
		p = p[n:]
		if whole && m.Opcode == ws.OpPong && pinged {
			l.counters.Pongs.Add(1)
			pinged = false // one answers our ping; each further one is the peer's own idea
		} else if whole {
			l.received(c, m, within)
		}
	}
	if d.Idle() || c.state == gone || c.is(flagDiscardInput) {
		l.freeDecoder(c)
	} else {
		l.assembling(c)
	}
	c.conn.DiscardAll()
	l.finish(c)
}

// finish sends what a client that has had its last word is still owed, before its socket is
// read again: it may have ended its half right behind that, and gnet ends the connection
// when it reads so.
func (l *Loop) finish(c *Client) {
	if c.state == closing && c.is(flagDiscardInput) && c.queue != nil && !c.queue.Waiting {
		l.pump(c)
	}
}

// received acts on one whole message; within says whether the client may still send so many
// bytes. A closing client is waited for and not listened to. Pings count like messages: each
// costs a pong.
func (l *Loop) received(c *Client, m wsproto.Message, within bool) {
	switch m.Opcode {
	case ws.OpClose:
		l.close(c, answerTo(m.Payload), "", CausePeerClosed) // which ends the connection: the server's part (RFC 6455 7.1.1)
	case ws.OpPing:
		l.counters.Pings.Add(1)
		if c.state == open && within && c.Spend(rates.Messages, 1) {
			l.scratch = wsproto.AppendFrame(l.scratch[:0], ws.OpPong, m.Payload)
			l.write(c, l.scratch)
		}
	case ws.OpPong:
		l.counters.Pongs.Add(1)
		_ = c.state != open || c.Spend(rates.Messages, 1)
	default:
		l.counters.MessagesIn.Add(1)
		l.counters.BytesIn.Add(uint64(len(m.Payload)))
		if c.state == open && within && c.Spend(rates.Messages, 1) {
			l.engine.handler.Message(c, m.Opcode, m.Payload)
		}
	}
}

// answerTo is the code that a Close is answered with, the same (RFC 6455 5.5.1). An empty one says
// that nothing was wrong.
func answerTo(payload []byte) ws.StatusCode {
	code, _, err := wsproto.ParseClose(payload)
	switch {
	case err != nil:
		return ws.StatusProtocolError
	case code == ws.StatusNoStatusRcvd:
		return ws.StatusNormalClosure
	}
	return code
}

// violated ends a connection whose peer broke the protocol, with the code that says so.
func (l *Loop) violated(c *Client, err error) {
	code, reason, cause := ws.StatusProtocolError, "", CauseProtocolError
	var violation *wsproto.ProtocolError
	if errors.As(err, &violation) {
		code, reason = violation.Code, violation.Reason
	}
	if code == ws.StatusMessageTooBig {
		cause = CauseTooBig
	}
	if c.state == open && errors.Is(err, wsproto.ErrInflate) {
		l.counters.InflateErrors.Add(1)
	}
	l.close(c, code, reason, cause)
}

func (l *Loop) decoder() *delivery.Assembly {
	if l.pools.decoder == nil {
		return new(delivery.Assembly)
	}
	d := l.pools.decoder
	l.pools.decoder = nil
	return d
}

// assembling counts what has come of c's message. At the ceiling the client that has more to
// come isn't waited for: which clients are the largest is found out between the reads of a
// round, and in one round 1,024 sockets may bring 64 KiB each.
func (l *Loop) assembling(c *Client) {
	if !c.decoder.Count(l.engine.budget) {
		return
	}
	l.engine.budget.Judge()
	if !l.engine.budget.Takes(0) {
		l.shed(c)
	}
}

func (l *Loop) freeDecoder(c *Client) {
	d := c.decoder
	d.End(l.engine.budget)
	l.pools.decoder, c.decoder = d, nil
}
