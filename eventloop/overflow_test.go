package eventloop

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/wsproto"
)

// ask sends a request and reads the whole answer.
func (p *peer) ask(head string) *http.Response {
	p.T.Helper()
	p.Say(head)
	answer, err := http.ReadResponse(p.R, nil)
	must(p.T, err)
	_, err = io.Copy(io.Discard, answer.Body)
	must(p.T, err)
	answer.Body.Close()
	return answer
}

// expectRetry wants 503 and a Retry-After of that and up to twice as much.
func (p *peer) expectRetry(least int) {
	p.T.Helper()
	answer := p.ask(request(""))
	after, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	if answer.StatusCode != http.StatusServiceUnavailable || err != nil || after < least || after > 2*least {
		p.T.Errorf("status %d, Retry-After %q", answer.StatusCode, answer.Header.Get("Retry-After"))
	}
	p.ExpectEnd()
}

const health = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

// Whoever comes when the server is full is told so by HTTP, and costs nobody a place.
func TestFullServerSaysSo(t *testing.T) {
	t.Parallel()
	const most = 3
	e := start(t, &host{}, func(o *Options) { o.Accept.MaxConnections = most })
	var in []*peer
	for range most {
		in = append(in, dial(t, e, ""))
	}
	for range 40 { // more than fit the overflow, one after the other
		p := connect(t, e)
		p.expectRetry(5)
		p.Close()
		eventually(t, "the overflow is empty", func() bool { return e.Stats().Overflow == 0 })
	}
	if answer := connect(t, e).ask(health); answer.StatusCode != http.StatusOK {
		t.Errorf("a full server's health is %d", answer.StatusCode)
	}
	if answer := connect(t, e).ask("POST / HTTP/1.1\r\nHost: x\r\n\r\n"); answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a bad request: %d", answer.StatusCode)
	}
	e.Publish(text("inside"), nil)
	for _, p := range in {
		p.Expect(ws.OpText, "inside")
	}
	if s := e.Stats(); s.OverflowAnswers != 42 || s.Connections != most {
		t.Errorf("%d answers, %d connections", s.OverflowAnswers, s.Connections)
	}
	eventually(t, "the probe's connection has ended", func() bool { return closedBy(e, CauseProbe) == 1 })
	in[0].Close()
	eventually(t, "one has gone", func() bool { return e.Connections() < most })
	dial(t, e, "")
}

// The overflow is bounded in places and in time, and a place in it is no connection's.
func TestOverflowIsBounded(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, func(o *Options) { o.Accept.MaxConnections = 1 })
	in := dial(t, e, "")
	stopTicking(t, e) // overflowTime begins when all are in
	var silent []*peer
	for range e.Capacity().Overflow {
		silent = append(silent, connect(t, e))
	}
	eventually(t, "the overflow is full", func() bool { return e.Stats().Overflow == len(silent) })
	connect(t, e).ExpectEnd()
	silent[0].expectRetry(5)
	in.Close()
	eventually(t, "one has gone", func() bool { return e.Connections() == 0 })
	dial(t, e, "") // though the overflow is full of silent ones
	began := time.Now()
	tickAgain(e)
	for _, p := range silent[1:] {
		p.ExpectEnd()
	}
	if took := time.Since(began); took > 8*time.Second { // the handshake timeout is 10 s
		t.Errorf("silent ones may stay for %v", took)
	}
	eventually(t, "the overflow is empty", func() bool { return e.Stats().Overflow == 0 })
	if n, want := closedBy(e, CauseCapacity), len(silent)+1; n != want {
		t.Errorf("%d were refused for capacity, want %d", n, want)
	}
}

// While the engine drains newcomers are told to go elsewhere, and probes too.
func TestDrainingServerSaysSo(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, func(o *Options) { o.Loops = 1; o.SendBuffer = 4096 })
	stays := dial(t, e, "") // doesn't answer Close, so that draining goes on
	over, stop := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	go func() { drained <- e.Drain(over, ws.StatusGoingAway, "bye") }()
	stays.ExpectClose(ws.StatusGoingAway)
	connect(t, e).expectRetry(2)
	if answer := connect(t, e).ask(health); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a draining server's health is %d", answer.StatusCode)
	}
	stop()
	<-drained
}

// A request that is being decided about when draining begins is answered.
func TestDrainAnswersThoseBeingAuthorised(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	e := start(t, &host{onUpgrade: func(*Client, *wsproto.Request) { close(asked) }})
	p := connect(t, e)
	p.Say(request(""))
	<-asked
	done := make(chan error, 1)
	go func() { done <- e.Drain(t.Context(), ws.StatusGoingAway, "bye") }()
	if got := p.Status(); got != http.StatusServiceUnavailable {
		t.Errorf("status %d", got)
	}
	p.Close()
	must(t, <-done)
}

// The overflow's places are an address's too.
func TestOverflowAndAddressCap(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, func(o *Options) { o.Accept.MaxConnections, o.Accept.MaxPerAddress = 1, 2 })
	dial(t, e, "")
	connect(t, e)
	eventually(t, "one is in the overflow", func() bool { return e.Stats().Overflow == 1 })
	connect(t, e).ExpectEnd()
	other, err := tryConnect(t, e, net.IPv4(127, 0, 1, 9))
	must(t, err)
	other.expectRetry(5)
	if e.Stats().Closed["address_cap"] != 1 {
		t.Errorf("%v", e.Stats().Closed)
	}
}
