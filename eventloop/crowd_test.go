package eventloop

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// Events of the crowd's test are binary messages of one number: 10 bytes on the wire.
const eventWire = 2 + 8

func event(n uint64) *Frame {
	f := NewFrame(ws.OpBinary, binary.BigEndian.AppendUint64(nil, n))
	f.Seq = n
	return f
}

// member is one of many clients: a connection, a goroutine, and two numbers.
type member struct {
	*peer
	first, next uint64 // events that it got: from first, all before next
	until       uint64 // it leaves when it has got this one
	wrong       string
	done        chan struct{}
}

// run reads until the member leaves by itself or the connection ends.
func (m *member) run() {
	defer close(m.done)
	defer m.Close()
	if answer, err := http.ReadResponse(m.R, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		m.wrong = fmt.Sprintf("upgrade answered with %+v, %v", answer, err)
		return
	}
	for m.next == 0 || m.next <= m.until {
		var wire [eventWire]byte
		if _, err := io.ReadFull(m, wire[:]); err != nil {
			m.wrong = fmt.Sprintf("behind event %d: %v", m.next, err)
			return
		}
		n := binary.BigEndian.Uint64(wire[2:])
		if m.next == 0 {
			m.first, m.next = n, n
		}
		if wire[0] != 0x82 || wire[1] != 8 || n != m.next {
			m.wrong = fmt.Sprintf("got % x, want event %d", wire, m.next)
			return
		}
		m.next++
	}
}

// crowdTest: members stay, leave and come while events are published.
type crowdTest struct {
	e               *Engine
	random          *rand.Rand
	staying, moving []*member
}

func (x *crowdTest) join(t *testing.T, i int, until uint64) *member {
	p, err := tryConnect(t, x.e, sourceAddr(i))
	if err == nil {
		_, err = io.WriteString(p, request("")) // the answer is run's: the next one doesn't wait for it
	}
	if err == nil {
		err = p.SetDeadline(time.Now().Add(5 * time.Minute))
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	m := &member{peer: p, until: until, done: make(chan struct{})}
	go m.run()
	return m
}

// Thousands of clients, hundreds of which leave and hundreds come while events are
// published: everyone gets every event once and in order from its first one on.
func TestCrowd(t *testing.T) {
	clients, events := 5000, uint64(1000)
	if wstest.RaceEnabled {
		clients, events = 500, 300
	}
	x := &crowdTest{random: rand.New(rand.NewPCG(12, 13))}
	x.e = start(t, &host{}, lagFar, func(o *Options) { o.Timeouts.PingInterval, o.Timeouts.Handshake = time.Hour, time.Minute })
	for i := range clients {
		if i%10 == 0 {
			x.moving = append(x.moving, x.join(t, i, 1+x.random.Uint64N(events)))
		} else {
			x.staying = append(x.staying, x.join(t, i, events))
		}
	}
	if t.Failed() {
		return
	}
	eventually(t, "all are in", func() bool { return x.e.Clients() == clients })
	coming := x.publish(t, events)
	for _, m := range append(append(x.staying, x.moving...), coming...) {
		<-m.done
		if m.wrong != "" {
			t.Fatal(m.wrong)
		}
	}
	x.check(t, events, coming)
	eventually(t, "all have gone", func() bool { return x.e.Connections() == 0 })
	everyLoop(t, x.e, func(*Loop) {})
	everyLoop(t, x.e, func(l *Loop) {
		if l.clients.count != 0 || l.broadcasts.Len() != 0 || len(l.behind.laggards) != 0 || len(l.fanout.dirty) != 0 {
			t.Errorf("clients %d, feed %d, lagging %d, dirty %d are left", l.clients.count, l.broadcasts.Len(), len(l.behind.laggards), len(l.fanout.dirty))
		}
	})
}

// publish publishes all events in bursts, while as many come as were moving. The last
// event waits until all of them are in, so that each has a first one.
func (x *crowdTest) publish(t *testing.T, events uint64) (coming []*member) {
	arrived := make(chan []*member)
	go func() {
		var in []*member
		for i := range x.moving {
			if m := x.join(t, i, events); m != nil {
				in = append(in, m)
			}
		}
		arrived <- in
	}()
	for n := uint64(1); n < events; n++ {
		if n == events/2 {
			eventually(t, "one has come", func() bool { return x.accepted() > len(x.staying)+len(x.moving) })
		}
		if d := x.e.Publish(event(n), nil); d.Any() {
			t.Errorf("dropped %+v", d)
		}
		if x.random.IntN(4) == 0 { // a burst is over when the loops have it
			everyLoop(t, x.e, func(*Loop) {})
		}
	}
	coming = <-arrived
	eventually(t, "all that come are in", func() bool {
		return x.accepted() == len(x.staying)+len(x.moving)+len(coming)
	})
	x.e.Publish(event(events), nil)
	return coming
}

// accepted is how many have come so far.
func (x *crowdTest) accepted() (n int) {
	for _, l := range x.e.Stats().Loops {
		n += int(l.Accepted)
	}
	return n
}

func (x *crowdTest) check(t *testing.T, events uint64, coming []*member) {
	t.Helper()
	for _, m := range x.staying {
		if m.first != 1 || m.next != events+1 {
			t.Fatalf("one that stayed got events %d to %d", m.first, m.next-1)
		}
	}
	for _, m := range x.moving {
		if m.first != 1 || m.next <= m.until {
			t.Fatalf("one that left got events %d to %d, it stayed for %d", m.first, m.next-1, m.until)
		}
	}
	midway := 0
	for _, m := range coming {
		if m.next != events+1 {
			t.Fatalf("one that came got events %d to %d", m.first, m.next-1)
		}
		if m.first < events {
			midway++
		}
	}
	if midway == 0 {
		t.Error("nobody came while events were published: nothing is shown")
	}
	t.Logf("%d came while events were published", midway)
}
