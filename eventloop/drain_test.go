package eventloop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/wsproto"
)

// Clients go one after the other at an even pace, over several loops. Whoever stays gets what is published, and Close
// behind it.
func TestClientsAreClosedAtASteadyPace(t *testing.T) {
	t.Parallel()
	const clients, over, loops = 60, 1200 * time.Millisecond, 3
	e := start(t, &host{}, func(o *Options) { o.Loops = loops })
	var peers []*peer
	for i := range clients {
		peers = append(peers, dial(t, e, fmt.Sprint("name=", i)))
	}
	closed, published := make(chan time.Time, clients), 0
	done, began := make(chan error, 1), time.Now()
	go func() {
		done <- e.CloseOver(t.Context(), over, wsproto.StatusServiceRestart, func(left time.Duration) string {
			closed <- time.Now()
			return wsproto.ReconnectAfter(left)
		})
	}()
	for ; len(closed) < clients; published++ {
		e.Publish(numbered(published, 20), nil)
		time.Sleep(time.Millisecond) // the publisher's pace
	}
	must(t, <-done)
	for n := range clients { // how late a busy machine is, is its own business
		due := began.Add(over * time.Duration(n-loops) / clients)
		if at := <-closed; at.Before(due) {
			t.Errorf("client %d was closed %v early", n, due.Sub(at))
		}
	}
	longest := 0
	for _, p := range peers {
		got := 0
		f, err := p.Next()
		for ; err == nil && f.Header.OpCode == ws.OpText; f, err = p.Next() {
			if number(f.Payload) != got {
				t.Fatalf("%q, want %d", f.Payload, got)
			}
			got++
		}
		if code, reason := ws.ParseCloseFrameData(f.Payload); err != nil || code != wsproto.StatusServiceRestart {
			t.Errorf("ended with %d %q, %v", code, reason, err)
		}
		longest = max(longest, got)
		p.Close()
	}
	if longest < published/2 {
		t.Errorf("the client that stayed longest got %d of %d", longest, published)
	}
	must(t, e.Drain(t.Context(), wsproto.StatusServiceRestart, ""))
}

// Few clients, or none, don't take as long as many.
func TestFewClientsAreClosedSoon(t *testing.T) {
	t.Parallel()
	e := start(t, &host{})
	must(t, e.CloseOver(t.Context(), time.Hour, 1012, nil))
	e = start(t, &host{})
	one, two := dial(t, e, "name=1"), dial(t, e, "name=2")
	if got := e.CloseTime(time.Hour); got != time.Second/leastPace {
		t.Errorf("two clients take %v", got)
	}
	must(t, e.CloseOver(t.Context(), time.Hour, 1012, func(time.Duration) string { return "" }))
	one.ExpectClose(1012)
	two.ExpectClose(1012)
}

// Once a pace is given up, clients that haven't had their turn are open still, and a shorter one closes them.
func TestPaceIsGivenUp(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, func(o *Options) { o.Loops = 1 })
	var peers []*peer
	for i := range 30 { // a second and a half
		peers = append(peers, dial(t, e, fmt.Sprint("name=", i)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := e.CloseOver(ctx, time.Hour, 1012, func(time.Duration) string { cancel(); return "" })
	if !errors.Is(err, context.Canceled) || e.Clients() == 0 {
		t.Errorf("%v, and %d clients are left", err, e.Clients())
	}
	must(t, e.CloseOver(t.Context(), 0, 1012, func(time.Duration) string { return "" }))
	for _, p := range peers {
		p.ExpectClose(1012)
	}
}

// Unready changes nothing but the answer to health checks, whether or not there is room for more.
func TestUnreadyServerServes(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, func(o *Options) { o.Accept.MaxConnections = 2 })
	probe := func(clients, want int) {
		p := connect(t, e)
		if got := p.ask(health).StatusCode; got != want {
			t.Errorf("health is %d, want %d", got, want)
		}
		p.Close()
		eventually(t, "the probe has gone", func() bool { return e.Connections() == clients })
	}
	probe(0, http.StatusOK)
	e.Unready()
	for clients := range 2 { // the second one fills the server
		probe(clients, http.StatusServiceUnavailable)
		p := dial(t, e, "name=x")
		e.Publish(text("hello"), nil)
		p.Expect(ws.OpText, "hello")
	}
	probe(2, http.StatusServiceUnavailable)
	eventually(t, "all four are counted as probes", func() bool { return closedBy(e, CauseProbe) == 4 })
}
