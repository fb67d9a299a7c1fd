package eventloop

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/wsproto"
)

// patience is how long a test waits for what has to happen: longer than any machine takes
// for it, however much else it has to do.
const patience = time.Minute

// host is a Handler that accepts everybody and remembers them by ?name=. Functions
// that are set take the place of what it does; they are set before the engine starts.
type host struct {
	onUpgrade func(*Client, *wsproto.Request)
	onMessage func(*Client, ws.OpCode, []byte)
	onClosed  func(*Client, Cause)
	onLagged  func(*Client) *Frame
	onDrained func(*Client)

	mu     sync.Mutex
	ids    map[string]uint64
	causes map[uint64]Cause
}

func (h *host) Upgrade(c *Client, r *wsproto.Request) {
	if h.onUpgrade != nil {
		h.onUpgrade(c, r)
		return
	}
	h.admit(c, r)
}

// admit accepts with the labels, and the hold, that the request's query asks for.
func (h *host) admit(c *Client, r *wsproto.Request) {
	q, _ := url.ParseQuery(r.Query)
	h.mu.Lock()
	if h.ids == nil {
		h.ids = make(map[string]uint64)
	}
	h.ids[q.Get("name")] = c.ID()
	h.mu.Unlock()
	c.Accept(Acceptance{
		Answer: r.Answer, Hold: q.Has("hold"),
		Labels: [labelKinds]string{q.Get("user"), q.Get("tenant")},
	})
}

func (h *host) Message(c *Client, op ws.OpCode, p []byte) {
	if h.onMessage != nil {
		h.onMessage(c, op, p)
	}
}

func (h *host) Closed(c *Client, cause Cause) {
	h.mu.Lock()
	if h.causes == nil {
		h.causes = make(map[uint64]Cause)
	}
	h.causes[c.ID()] = cause
	h.mu.Unlock()
	if h.onClosed != nil {
		h.onClosed(c, cause)
	}
}

func (h *host) Lagged(c *Client) *Frame {
	if h.onLagged != nil {
		return h.onLagged(c)
	}
	return nil
}

func (h *host) Drained(c *Client) {
	if h.onDrained != nil {
		h.onDrained(c)
	}
}

func (h *host) id(name string) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ids[name]
}

// start runs an engine on a free port until the test is over. It pings nobody unless the test
// says so: most of its clients don't read all the time, and a slow machine may take its own.
func start(t testing.TB, h Handler, tune ...func(*Options)) *Engine {
	t.Helper()
	o := Options{Listen: "127.0.0.1:0", Loops: 2, MaxPerAddress: -1, Reserve: 32, PingInterval: time.Hour,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, f := range tune {
		f(&o)
	}
	e, err := New(h, o)
	must(t, err)
	must(t, e.Start())
	t.Cleanup(func() { e.Stop(); expectNothingHeld(t, e) })
	return e
}

// peer is a client made of a socket: what it reads and when is the test's choice.
type peer struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

// connect opens a connection and sends nothing. Control functions see the socket first.
func connect(t testing.TB, e *Engine, control ...func(fd int)) *peer {
	t.Helper()
	p, err := tryConnect(t, e, net.IPv4(127, 0, 0, 1), control...)
	must(t, err)
	return p
}

func tryConnect(t testing.TB, e *Engine, from net.IP, control ...func(fd int)) (*peer, error) {
	d := net.Dialer{Timeout: patience}
	d.Control = func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			for _, f := range control {
				f(int(fd))
			}
		})
	}
	return connectBy(d, t, e, from)
}

func connectBy(d net.Dialer, t testing.TB, e *Engine, from net.IP) (*peer, error) {
	d.LocalAddr = &net.TCPAddr{IP: from}
	conn, err := d.Dial("tcp", dialAddr(e, from))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(2*patience)))
	return &peer{Conn: conn, t: t, r: bufio.NewReader(conn)}, nil
}

// dialAddr is where the engine is to be reached from an address.
func dialAddr(e *Engine, from net.IP) string {
	if !e.addr.Addr().IsUnspecified() {
		return e.addr.String()
	}
	host := "::1"
	if from.To4() != nil {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, fmt.Sprint(e.addr.Port()))
}

// admitted tries the whole upgrade, and is false when the connection just ends.
func admitted(t testing.TB, e *Engine, from net.IP) (*peer, bool) {
	t.Helper()
	p, err := tryConnect(t, e, from)
	if err != nil {
		return nil, false
	}
	if _, err = io.WriteString(p, request("")); err == nil {
		_, err = p.r.Peek(1)
	}
	if err != nil {
		if isTimeout(err) {
			t.Fatal("neither let in nor refused")
		}
		p.Close()
		return nil, false
	}
	switch got := p.status(); got {
	case http.StatusSwitchingProtocols:
		return p, true
	case http.StatusServiceUnavailable:
		p.Close()
		return nil, false
	default:
		t.Fatalf("upgrade answered with %d", got)
		return nil, false
	}
}

// smallReceive gives a client a window of a few KB.
func smallReceive(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 2048) }

// request is an upgrade request with the query.
func request(query string) string {
	return "GET /?" + query + " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
}

// dial is connect and the upgrade.
func dial(t testing.TB, e *Engine, query string, control ...func(fd int)) *peer {
	t.Helper()
	p := connect(t, e, control...)
	p.write(request(query))
	p.upgraded()
	return p
}

func (p *peer) write(s string) {
	p.t.Helper()
	_, err := io.WriteString(p, s)
	must(p.t, err)
}

// status reads the head of an HTTP answer.
func (p *peer) status() int {
	p.t.Helper()
	answer, err := http.ReadResponse(p.r, nil)
	must(p.t, err)
	if answer.StatusCode != http.StatusSwitchingProtocols {
		_, err = io.Copy(io.Discard, answer.Body)
		must(p.t, err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

func (p *peer) upgraded() {
	p.t.Helper()
	if got := p.status(); got != http.StatusSwitchingProtocols {
		p.t.Fatalf("upgrade answered with %d", got)
	}
}

func (p *peer) send(op ws.OpCode, payload string) {
	p.t.Helper()
	p.write(clientFrame(op, payload))
}

func (p *peer) read() (ws.Frame, error) { return ws.ReadFrame(p.r) }

// expect reads the next frame, which has to be this one.
func (p *peer) expect(op ws.OpCode, payload string) {
	p.t.Helper()
	f, err := p.read()
	if err != nil {
		p.t.Fatalf("waiting for %q: %v", brief(payload), err)
	}
	if f.Header.OpCode != op || string(f.Payload) != payload {
		p.t.Fatalf("got opcode %v %q, want opcode %v %q", f.Header.OpCode, brief(string(f.Payload)), op, brief(payload))
	}
}

// expectClose reads a Close frame with the code.
func (p *peer) expectClose(code ws.StatusCode) {
	p.t.Helper()
	f, err := p.read()
	must(p.t, err)
	if f.Header.OpCode != ws.OpClose {
		p.t.Fatalf("got opcode %v %q, want Close %d", f.Header.OpCode, brief(string(f.Payload)), code)
	}
	if got, _ := ws.ParseCloseFrameData(f.Payload); got != code {
		p.t.Fatalf("got Close %d, want %d", got, code)
	}
}

// expectEnd reads until the server ends the connection, and fails if a message comes.
func (p *peer) expectEnd() {
	p.t.Helper()
	if n, err := io.Copy(io.Discard, p.r); n > 0 || isTimeout(err) {
		p.t.Fatalf("%d more bytes, then %v; want the end", n, err)
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// on runs f on the client's loop and waits for it.
func on(t testing.TB, e *Engine, id uint64, f func(*Client)) {
	t.Helper()
	ran := make(chan struct{})
	e.Post(id, func(c *Client) { defer close(ran); f(c) })
	select {
	case <-ran:
	case <-time.After(patience):
		t.Fatalf("client %d has gone", id)
	}
}

// everyLoop runs f on each loop and waits for it.
func everyLoop(t testing.TB, e *Engine, f func(*Loop)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(t, e.Each(ctx, f))
}

// stopTicking has time stand still for the loops: no tick sends what it finds, and none ends a
// connection that a test takes longer for than a server would wait.
func stopTicking(t testing.TB, e *Engine) {
	t.Helper()
	for _, l := range e.loops {
		eventually(t, "no tick is on its way", func() bool { return l.ticking.CompareAndSwap(false, true) })
	}
	everyLoop(t, e, func(*Loop) {}) // the last ones are over
}

// tickAgain undoes stopTicking.
func tickAgain(e *Engine) {
	for _, l := range e.loops {
		l.ticking.Store(false)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}

func closedBy(e *Engine, cause Cause) int { return int(e.Stats().Closed[cause.String()]) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
