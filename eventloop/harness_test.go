package eventloop

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/internal/wstest"
	"github.com/busbar-ws/busbar/wsproto"
)

// openClients yields the open clients in no particular order.
func (l *Loop) openClients() iter.Seq[*Client] {
	return func(yield func(*Client) bool) {
		for _, c := range l.clients.slots {
			if c != nil && c.state == open && !yield(c) {
				return
			}
		}
	}
}

// patience bounds every wait.
const patience = wstest.Patience

var (
	eventually  = wstest.Eventually
	clientFrame = wstest.Frame
)

// host is a Handler that accepts everybody and remembers them by ?name=. Functions
// that are set take the place of what it does; they are set before the engine starts.
type host struct {
	onUpgrade func(*Client, *wsproto.Request)
	onMessage func(*Client, ws.OpCode, []byte)
	onClosed  func(*Client, Cause)
	onLoss    func(*Client) *Frame
	onGap     func(c *Client, lost Gap) *Frame
	onBehind  func(c *Client, since uint64)
	onExpired func(c *Client)
	onDrained func(*Client)
	onTaken   func(*Client)

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
		Answer: r.Answer, Replay: q.Has("hold"),
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

func (h *host) LossNotice(c *Client, lost Gap) *Frame {
	if h.onGap != nil {
		return h.onGap(c, lost)
	}
	if h.onLoss != nil {
		return h.onLoss(c)
	}
	return nil
}

func (h *host) Behind(c *Client, since uint64) {
	if h.onBehind != nil {
		h.onBehind(c, since)
	}
}

func (h *host) Expired(c *Client) {
	if h.onExpired != nil {
		h.onExpired(c)
		return
	}
	c.Close(ws.StatusPolicyViolation, "session expired", CauseExpired)
}

func (h *host) Taken(c *Client) {
	if h.onTaken != nil {
		h.onTaken(c)
	}
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
	o := Options{Listen: "127.0.0.1:0", Loops: 2, Accept: AcceptOptions{MaxPerAddress: -1, Reserve: 32},
		Timeouts: Timeouts{PingInterval: time.Hour}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
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
type peer struct{ *wstest.Raw }

// connect opens a connection and sends nothing. Control functions see the socket first.
func connect(t testing.TB, e *Engine, control ...func(fd int)) *peer {
	t.Helper()
	p, err := tryConnect(t, e, net.IPv4(127, 0, 0, 1), control...)
	must(t, err)
	return p
}

func tryConnect(t testing.TB, e *Engine, from net.IP, control ...func(fd int)) (*peer, error) {
	raw, err := wstest.DialRaw(t, from.String(), dialAddr(e, from), control...)
	return &peer{raw}, err
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
		_, err = p.R.Peek(1)
	}
	if err != nil {
		if wstest.IsTimeout(err) {
			t.Fatal("neither let in nor refused")
		}
		p.Close()
		return nil, false
	}
	switch got := p.Status(); got {
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

// request is an upgrade request with the query.
func request(query string) string { return wstest.Request("/?" + query) }

// dial is connect and the upgrade.
func dial(t testing.TB, e *Engine, query string, control ...func(fd int)) *peer {
	t.Helper()
	p := connect(t, e, control...)
	p.Say(request(query))
	p.Upgraded()
	return p
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
		eventually(t, "no tick is on its way", func() bool { return l.ticker.posted.CompareAndSwap(false, true) })
	}
	everyLoop(t, e, func(*Loop) {}) // the last ones are over
}

// wholeTick is a tick, and all that the loop looks at for it.
func (l *Loop) wholeTick() {
	l.onTick()
	l.fanout.beginSlice(time.Now(), time.Hour)
	l.lookAround()
}

// tickAgain undoes stopTicking.
func tickAgain(e *Engine) {
	for _, l := range e.loops {
		l.ticker.posted.Store(false)
	}
}

func closedBy(e *Engine, cause Cause) int { return int(e.Stats().Closed[cause.String()]) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expectNothingHeld is called for every engine of every test once it has stopped: whatever its
// clients did, nothing may stay counted, but for messages that the collector hasn't freed yet.
func expectNothingHeld(t testing.TB, e *Engine) {
	t.Helper()
	for k := range budget.Kinds {
		if n := e.budget.UsedFor(k); n != 0 && k != budget.Messages {
			t.Errorf("%d bytes of %s are left", n, k)
		}
	}
}
