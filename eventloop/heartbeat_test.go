package eventloop

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

// docs/protocol.md section 3, keepalive: a client's ping is answered with its payload.
func TestPingIsEchoed(t *testing.T) {
	t.Parallel()
	e := start(t, &host{})
	p := dial(t, e, "name=x")
	for _, size := range []int{0, 1, 125} {
		payload := string(bytes.Repeat([]byte{'p'}, size))
		p.Send(ws.OpPing, payload)
		p.Expect(ws.OpPong, payload)
	}
	p.Send(ws.OpPong, "unasked for") // RFC 6455 5.5.3: no answer
	p.Send(ws.OpPing, "last")
	p.Expect(ws.OpPong, "last")
	pings, pongs := uint64(0), uint64(0)
	for _, l := range e.Stats().Loops {
		pings, pongs = pings+l.Pings, pongs+l.Pongs
	}
	if pings != 4 || pongs != 1 {
		t.Errorf("counted %d pings and %d pongs, want 4 and 1", pings, pongs)
	}
}

// docs/protocol.md section 3, keepalive: quiet clients are pinged; who answers stays, who doesn't is dead.
func TestQuietClients(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, func(o *Options) {
		o.Timeouts.PingInterval, o.Timeouts.Pong = 300*time.Millisecond, 5*time.Second
	})
	dead, alive := dial(t, e, "name=dead"), dial(t, e, "name=alive")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		dead.Expect(ws.OpPing, "")
		dead.ExpectEnd()
	}()
	pings := 0
	for done := false; !done || pings < 3; pings++ {
		alive.Expect(ws.OpPing, "")
		alive.Send(ws.OpPong, "")
		select {
		case <-ended:
			done = true
		default:
		}
	}
	if n := closedBy(e, CauseDead); n != 1 {
		t.Errorf("%d are counted as dead, want 1", n)
	}
	alive.Send(ws.OpPing, "still here")
	for {
		f, err := alive.Next()
		must(t, err)
		if f.Header.OpCode == ws.OpPong && string(f.Payload) == "still here" {
			return
		}
	}
}

// A pong that the loop hasn't read yet is a sign of life: a loop that is late mustn't end
// connections for it. Without one the same client is dead.
func TestUnreadPongKeepsClient(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h)
	p := dial(t, e, "name=x")
	check := func(before func(*Client)) (left state) {
		on(t, e, h.id("x"), func(c *Client) {
			before(c)
			c.set(flagPinged)
			c.heard = c.loop.now - ticks(e.opts.Timeouts.PingInterval+e.opts.Timeouts.Pong)
			c.loop.checkAlive(c)
			left = c.state
		})
		return left
	}
	late := check(func(c *Client) { // the loop is in here, and so reads nothing
		p.Send(ws.OpPong, "")
		for deadline := time.Now().Add(patience); !poll.Unread(c.fd) && time.Now().Before(deadline); {
			runtime.Gosched()
		}
	})
	if late != open {
		t.Errorf("with a pong unread the client's state is %d, want %d", late, open)
	}
	p.Send(ws.OpPing, "still here")
	p.Expect(ws.OpPong, "still here") // and the loop has read everything
	if silent := check(func(*Client) {}); silent != gone {
		t.Errorf("with nothing unread the client's state is %d, want %d", silent, gone)
	}
	p.ExpectEnd()
}

// A session that expires ends its connection with 1008 (docs/protocol.md section 3, close codes).
func TestExpiry(t *testing.T) {
	t.Parallel()
	h := newPendingHost()
	e := start(t, h)
	p := connect(t, e)
	p.Say(request(""))
	on(t, e, (<-h.asked).ID(), func(c *Client) {
		c.Accept(Acceptance{Answer: c.Data.([]byte), Expires: time.Now().Add(time.Second)})
	})
	p.Upgraded()
	p.ExpectClose(1008)
	p.Say(wsClose(1008))
	eventually(t, "it is counted", func() bool { return closedBy(e, CauseExpired) == 1 })
}

// A Handler may give a client more time, as often as it likes, or for ever.
func TestExpiryPutOff(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	times := 0
	h := &host{onExpired: func(c *Client) {
		if times++; times < 3 {
			c.ExpireAt(time.Now().Add(-time.Hour)) // at the next look
		} else {
			c.ExpireAt(time.Time{})
		}
		asked <- struct{}{}
	}}
	e := start(t, h)
	p := dial(t, e, "name=x")
	on(t, e, h.id("x"), func(c *Client) { c.ExpireAt(time.Now()) })
	for range 3 {
		<-asked
	}
	p.Send(ws.OpPing, "still here")
	p.Expect(ws.OpPong, "still here")
	everyLoop(t, e, func(l *Loop) {
		for c := range l.openClients() {
			if c.deadline != 0 {
				t.Errorf("it is to expire at %d", c.deadline)
			}
		}
	})
}

// What a Handler sends when somebody else's connection ends goes out at once, and not
// with whatever happens next on the loop.
func TestSendFromClosedIsNotDelayed(t *testing.T) {
	t.Parallel()
	h := &host{}
	var e *Engine
	h.onClosed = func(c *Client, _ Cause) {
		if watching := c.Loop().Find(h.id("watching")); watching != nil && watching != c {
			watching.Send(text("left"))
		}
	}
	e = start(t, h, func(o *Options) { o.Loops = 1 })
	watching := dial(t, e, "name=watching")
	stopTicking(t, e)
	for i := range 20 {
		p := dial(t, e, fmt.Sprint("name=", i))
		p.Close()
		watching.Expect(ws.OpText, "left")
	}
}

// Snapshots and pages that are given while bytes are read go out at once too.
func TestReleaseFromMessageIsNotDelayed(t *testing.T) {
	t.Parallel()
	h := &host{onMessage: func(c *Client, _ ws.OpCode, p []byte) {
		name := string(p)
		if name == "log" {
			c.GoLive([]*Frame{text("page")}, 1)
			return
		}
		if ticket, ok := c.SubscribePending(name); ok {
			c.ReleaseSubscription(name, ticket, text("snapshot"), 0)
		}
	}}
	e := start(t, h)
	stopTicking(t, e)
	for i := range 10 {
		p := dial(t, e, fmt.Sprintf("hold=1&name=%d", i))
		p.Send(ws.OpText, "log")
		p.Expect(ws.OpText, "page")
		p.Send(ws.OpText, "row")
		p.Expect(ws.OpText, "snapshot")
	}
}

// A ping that comes late, because the server didn't run for a while, leaves as much time for its answer as
// any other.
func TestLatePingLeavesTimeToAnswer(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, func(o *Options) { o.Timeouts.PingInterval, o.Timeouts.Pong = time.Second, time.Hour })
	dial(t, e, "name=a")
	stopTicking(t, e)
	on(t, e, h.id("a"), func(c *Client) {
		l := c.loop
		l.now += ticks(3 * time.Hour)
		l.checkAlive(c) // pings it
		l.now += ticks(time.Second)
		if l.checkAlive(c); c.state != open {
			t.Error("it is taken for dead a second after the ping")
		}
		l.now += ticks(2 * time.Hour)
		if l.checkAlive(c); c.state == open && !poll.Unread(c.fd) {
			t.Error("it didn't answer, and isn't taken for dead")
		}
	})
}
