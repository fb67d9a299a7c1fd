package eventloop

import (
	"bufio"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/wsproto"
)

// echo sends every message back to its sender.
func echo(c *Client, op ws.OpCode, p []byte) { c.Send(NewFrame(op, p)) }

// docs/protocol.md section 1: a request in whatever pieces, and frames right behind it.
func TestUpgradeInPieces(t *testing.T) {
	t.Parallel()
	e := start(t, &host{onMessage: echo})
	whole := request("name=x") + clientFrame(ws.OpText, "early") + clientFrame(ws.OpPing, "too")
	for _, size := range []int{1, 2, 7, 100, len(whole)} {
		p := connect(t, e)
		for left := whole; left != ""; left = left[min(size, len(left)):] {
			p.Say(left[:min(size, len(left))])
		}
		p.Upgraded()
		got := map[string]bool{}
		for range 2 {
			f, err := p.Next()
			must(t, err)
			got[string(f.Payload)] = true
		}
		if !got["early"] || !got["too"] {
			t.Errorf("in pieces of %d: got %v", size, got)
		}
		p.Send(ws.OpText, "later")
		p.Expect(ws.OpText, "later")
	}
}

// An independent client library gets in, and its messages come back.
func TestCoderClient(t *testing.T) {
	t.Parallel()
	e := start(t, &host{onMessage: echo})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+e.Addr().String()+"/?name=coder", nil)
	must(t, err)
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	for _, size := range []int{0, 1, 125, 126, 60_000} {
		want := strings.Repeat("x", size)
		must(t, c.Write(ctx, websocket.MessageText, []byte(want)))
		if kind, got, err := c.Read(ctx); err != nil || kind != websocket.MessageText || string(got) != want {
			t.Fatalf("%d bytes came back as %d: %v", size, len(got), err)
		}
	}
	must(t, c.Close(websocket.StatusNormalClosure, "bye"))
	eventually(t, "the client has gone", func() bool { return closedBy(e, CausePeerClosed) == 1 })
}

// pendingHost answers upgrades when the test says so.
type pendingHost struct {
	host
	asked chan *Client
}

func newPendingHost() *pendingHost {
	h := &pendingHost{asked: make(chan *Client, 10)}
	h.onMessage = echo
	h.onUpgrade = func(c *Client, r *wsproto.Request) {
		c.Data = r.Answer
		h.asked <- c
	}
	return h
}

func acceptPending(c *Client) { c.Accept(Acceptance{Answer: c.Data.([]byte)}) }

// docs/protocol.md section 1: until identity is known nothing of a client is acted on, and nothing is lost.
func TestEarlyFramesWhileAuthorising(t *testing.T) {
	t.Parallel()
	h := newPendingHost()
	e := start(t, h)
	p := connect(t, e)
	p.Say(request("") + clientFrame(ws.OpText, "one"))
	c := <-h.asked
	id := c.ID()
	p.Send(ws.OpText, "two")
	frame := clientFrame(ws.OpText, "three")
	p.Say(frame[:4])
	on(t, e, id, func(c *Client) {
		if c.Open() || e.Clients() != 0 {
			t.Error("open before it was accepted")
		}
		acceptPending(c)
	})
	p.Say(frame[4:])
	p.Upgraded()
	for _, want := range []string{"one", "two", "three"} {
		p.Expect(ws.OpText, want)
	}
}

func TestTooManyEarlyBytesEnd(t *testing.T) {
	t.Parallel()
	h := newPendingHost()
	e := start(t, h, func(o *Options) { o.MaxMessageIn = 1000 })
	p := connect(t, e)
	p.Say(request(""))
	<-h.asked
	p.Say(strings.Repeat("x", 2000))
	p.ExpectEnd()
	eventually(t, "it is counted", func() bool { return closedBy(e, CauseTooBig) == 1 })
}

// docs/protocol.md section 1: plain HTTP gets 426, but GET /healthz 200; other refusals in between.
func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	e := start(t, &host{})
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"plain HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426},
		{"health", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200},
		{"not HTTP", "hello\r\n\r\n", 400},
		{"oversized head", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", wsproto.MaxHead) + "\r\n\r\n", 431},
		{"endless head", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 2*wsproto.MaxHead), 431},
	} {
		p := connect(t, e)
		p.Say(c.request)
		if got := p.Status(); got != c.status {
			t.Errorf("%s: %d, want %d", c.name, got, c.status)
		}
		p.ExpectEnd()
		p.Close()
	}
	eventually(t, "all have gone", func() bool { return e.Connections() == 0 })
	if probes, bad := closedBy(e, CauseProbe), closedBy(e, CauseBadHandshake); probes != 1 || bad != 4 {
		t.Errorf("%d probes and %d bad requests are counted, want 1 and 4", probes, bad)
	}
}

// A peer that never completes its request, or that nobody says who it is, is let go.
func TestSlowHandshakesEnd(t *testing.T) {
	t.Parallel()
	h := newPendingHost()
	e := start(t, h, func(o *Options) { o.Timeouts.Handshake = 2 * time.Second })
	silent, half, unanswered := connect(t, e), connect(t, e), connect(t, e)
	half.Say("GET / HTTP/1.1\r\nHost:")
	unanswered.Say(request(""))
	began := time.Now()
	if got := half.Status(); got != 408 { // RFC 9110 15.5.9
		t.Errorf("half a request was answered with %d, want 408", got)
	}
	for _, p := range []*peer{silent, half, unanswered} {
		p.ExpectEnd()
	}
	if took := time.Since(began); took > 9*time.Second {
		t.Errorf("took %v", took)
	}
	half.Close()
	eventually(t, "three are counted", func() bool { return closedBy(e, CauseHandshakeTimeout) == 3 })
}

// An answer that comes too late changes nothing.
func TestAcceptAfterTheClientWentAway(t *testing.T) {
	t.Parallel()
	h := newPendingHost()
	e := start(t, h)
	p := connect(t, e)
	p.Say(request(""))
	c := <-h.asked
	loop := c.Loop()
	p.Close()
	eventually(t, "the client has gone", func() bool { return e.Connections() == 0 })
	e.Post(c.ID(), func(*Client) { t.Error("posted to a client that has gone") })
	everyLoop(t, e, func(l *Loop) {
		if l == loop {
			acceptPending(c)
			c.Refuse(wsproto.RefuseUnauthorized)
			c.AcceptAndClose(c.Data.([]byte), 1008, "")
			c.Send(text("x"))
			c.Close(1000, "", CauseServerClosed)
		}
	})
	if s := e.Stats().Loops[loop.Index()]; s.Accepted != 0 || s.Clients != 0 || s.Panics != 0 {
		t.Errorf("accepted %d, open %d, panics %d", s.Accepted, s.Clients, s.Panics)
	}
}

// docs/protocol.md section 1: refused with a status, or upgraded and closed with 1008.
func TestRejected(t *testing.T) {
	t.Parallel()
	e := start(t, &host{onUpgrade: func(c *Client, r *wsproto.Request) {
		if r.Query == "http" {
			c.Refuse(wsproto.RefuseUnauthorized)
			return
		}
		c.AcceptAndClose(r.Answer, 1008, "unauthorized: bearer token required")
	}})
	p := connect(t, e)
	p.Say(request("http"))
	if got := p.Status(); got != 401 {
		t.Errorf("answered with %d, want 401", got)
	}
	p.ExpectEnd()
	p.Close()
	p = connect(t, e)
	p.Say(request("") + clientFrame(ws.OpText, "not acted on"))
	p.Upgraded()
	p.ExpectClose(1008)
	p.Say(string(wsClose(1008)))
	p.ExpectEnd()
	eventually(t, "two are counted", func() bool { return closedBy(e, CauseRejected) == 2 })
}

// docs/protocol.md section 1: the request's head and what is behind it may arrive in one read with a
// whole page of pipelined frames.
func TestManyFramesBehindTheRequest(t *testing.T) {
	t.Parallel()
	e := start(t, &host{onMessage: echo})
	p := connect(t, e)
	var all strings.Builder
	all.WriteString(request(""))
	for i := range 500 {
		all.WriteString(clientFrame(ws.OpText, strings.Repeat("y", i)))
	}
	go func() { _, _ = p.Write([]byte(all.String())) }()
	p.R = bufio.NewReaderSize(p.Conn, 64<<10)
	p.Upgraded()
	for i := range 500 {
		p.Expect(ws.OpText, strings.Repeat("y", i))
	}
}
