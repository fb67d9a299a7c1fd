package eventloop

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// farAway puts all timeouts where no test gets to.
func farAway(o *Options) {
	o.Timeouts.Handshake, o.Timeouts.PingInterval, o.Timeouts.Pong, o.Slow.LagTime = time.Hour, time.Hour, time.Hour, time.Hour
}

// closeBy makes them short, and yet longer than a slow machine takes to bring a few clients where
// the test wants them, and one that answers pings to answer.
func closeBy(o *Options) {
	o.Timeouts.Handshake, o.Slow.LagTime = 4*time.Second, 2*time.Second
	o.Timeouts.PingInterval, o.Timeouts.Pong = 2*time.Second, 4*time.Second
}

// slack is for a machine that has other things to do. A round of the wheel is in the bounds.
const slack = 10 * time.Second

// bound is by when a connection has to have ended with timeouts as in o.
func bound(o *Options, cause Cause) time.Duration {
	const round = roundTicks * tick
	switch cause {
	case CauseHandshakeTimeout:
		return o.Timeouts.Handshake + round
	case CauseDead:
		return o.Timeouts.PingInterval + o.Timeouts.Pong + 2*round
	case CauseSlow:
		return o.Slow.LagTime + closeWait + 2*round
	}
	return closeWait + round
}

// Every state × everything that a peer or a network can do.
func TestHostilePeers(t *testing.T) {
	t.Parallel()
	for _, s := range situations() {
		for _, timing := range []struct {
			name   string
			prompt bool
			tune   func(*Options)
		}{{"at once", true, farAway}, {"by timeout", false, closeBy}} {
			t.Run(s.name+", "+timing.name, func(t *testing.T) {
				t.Parallel()
				g := newCrowd(t, &s, timing.tune)
				g.run(timing.prompt)
			})
		}
	}
}

// run does every event to a peer of its own, and looks at what becomes of them.
func (g *crowd) run(prompt bool) {
	var did []happening
	var peers []*peer
	var clients []*Client
	for _, e := range happenings {
		if e.prompt == prompt {
			p, c := g.join()
			did, peers, clients = append(did, e), append(peers, p), append(clients, c)
		}
	}
	if g.situation.drain {
		g.drain()
	}
	began := time.Now()
	for i := range did {
		did[i].do(peers[i])
	}
	var causes [causeCount]int
	for i, c := range clients {
		var end outcome
		eventually(g.t, did[i].name+" ends it", func() (over bool) { end, over = g.look(c); return over })
		took := time.Since(began)
		want := g.situation.cause(did[i].name)
		if end.cause == CauseReset && (want == CauseSlow || did[i].name == vanishedHost && want == CauseDead) {
			want = CauseReset // the kernel may be the first to give up on it (TCP_USER_TIMEOUT), whose clock never stops
		}
		causes[want]++
		if end.cause != want || end.left != "" {
			g.t.Errorf("%s: it ended by %v, want %v; left: %s", did[i].name, end.cause, want, end.left)
		}
		if most := bound(&g.engine.opts, want); !prompt && took > most+slack {
			g.t.Errorf("%s: it ended after %v, at most %v is fine", did[i].name, took, most)
		}
	}
	for cause, n := range causes {
		if got := closedBy(g.engine, Cause(cause)); got != n {
			g.t.Errorf("%v is counted %d times, want %d", Cause(cause), got, n)
		}
	}
	g.closedOnce(clients)
	g.othersGoOn()
	g.nothingLeft()
}

// drain has the engine send Close to all, as at its end.
func (g *crowd) drain() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = g.engine.Drain(ctx, ws.StatusGoingAway, "") }()
	g.t.Cleanup(func() { cancel(); <-done })
	eventually(g.t, "all are closing", func() bool { return g.engine.Clients() == 0 })
}

// closedOnce: the Handler hears once of each client that it had let in, or was still asked about.
func (g *crowd) closedOnce(clients []*Client) {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	want := 1
	if g.situation.name == "rejected" || g.situation.fin == CauseBadHandshake || g.situation.junk == CauseBadHandshake {
		want = 0
	}
	for _, c := range clients {
		if n := g.closed[c.ID()]; n != want {
			g.t.Errorf("Closed was called %d times, want %d", n, want)
		}
	}
}

// othersGoOn: the healthy client has everything that was published, and nothing else.
func (g *crowd) othersGoOn() {
	g.t.Helper()
	if g.healthy == nil {
		return
	}
	for i := range 10 {
		g.engine.Publish(text("%d", i), nil)
	}
	for i := range 10 {
		select {
		case got := <-g.healthy:
			if want := fmt.Sprint(i); got != want {
				g.t.Errorf("the healthy client got %q, want %q", got, want)
			}
		case <-time.After(patience):
			g.t.Fatal("the healthy client gets nothing")
		}
	}
}

// healthyClient answers pings; what else it gets comes from the channel.
func healthyClient(t *testing.T, e *Engine) <-chan string {
	p := dial(t, e, "name=healthy")
	got, done := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(done)
		for {
			f, err := p.Next()
			if err != nil {
				return
			}
			if f.Header.OpCode == ws.OpPing {
				_, _ = io.WriteString(p, clientFrame(ws.OpPong, ""))
			} else {
				got <- string(f.Payload)
			}
		}
	}()
	t.Cleanup(func() { p.Close(); <-done })
	return got
}
