package eventloop

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// At the limit newcomers are refused, nobody who is in loses anything, and places that
// become free are given again.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	const most = 6
	e := start(t, &host{}, func(o *Options) { o.Accept.MaxConnections = most })
	if c := e.Capacity(); c.Connections != most || e.Stats().Capacity != most {
		t.Errorf("capacity is %+v", c)
	}
	expectPlaces(t, e, most, net.IPv4(127, 0, 0, 1), CauseCapacity)
}

// docs/protocol.md section 1: the cap for each address is checked before anything is parsed, and the
// connection is closed without an answer.
func TestMaxPerAddress(t *testing.T) {
	t.Parallel()
	const most = 3
	var log wstest.Text
	e := start(t, &host{}, func(o *Options) { o.Accept.MaxPerAddress, o.Log = most, slog.New(slog.NewTextHandler(&log, nil)) })
	other, ok := admitted(t, e, net.IPv4(127, 0, 1, 2))
	if !ok {
		t.Fatal("the first from another address is refused")
	}
	expectPlaces(t, e, most, net.IPv4(127, 0, 1, 1), CauseAddressCap)
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "from=127.0.1.1 most=3") {
		t.Errorf("of all that were refused the first alone is logged: %q", text)
	}
	for i := range 4 {
		other.Expect(ws.OpText, fmt.Sprint("message ", i))
	}
}

// expectPlaces fills all places, and checks that there is one for each that leaves.
func expectPlaces(t *testing.T, e *Engine, most int, from net.IP, cause Cause) {
	t.Helper()
	var in []*peer
	for range most {
		p, ok := admitted(t, e, from)
		if !ok {
			t.Fatalf("refused with %d of %d places taken", len(in), most)
		}
		in = append(in, p)
	}
	for i := range 4 {
		if _, ok := admitted(t, e, from); ok {
			t.Fatalf("one more than %d is let in", most)
		}
		e.Publish(text("message %d", i), nil)
		for _, p := range in {
			p.Expect(ws.OpText, fmt.Sprint("message ", i))
		}
	}
	if n := closedBy(e, cause); n != 4 {
		t.Errorf("%d refusals are counted, want 4", n)
	}
	for range 3 {
		before := e.Connections()
		in[0].Close()
		eventually(t, "it has gone", func() bool { return e.Connections() < before })
		p, ok := admitted(t, e, from)
		if !ok {
			t.Fatal("a free place isn't given again")
		}
		in = append(in[1:], p)
	}
}

func TestCapacityOfDescriptors(t *testing.T) {
	limit, err := DescriptorLimit()
	must(t, err)
	o := Options{Loops: 2, Accept: AcceptOptions{Reserve: 30}}
	c, err := o.Capacity(limit)
	must(t, err)
	if c.Descriptors != limit || c.Connections >= limit-o.Accept.Reserve || c.Connections < limit-o.Accept.Reserve-20-limit/64 {
		t.Errorf("of %d descriptors, 30 of them reserved, %d are for clients", limit, c.Connections)
	}
	if c.Overflow < 16 || c.Overflow > 1024 || c.Connections+c.Overflow > limit-o.Accept.Reserve {
		t.Errorf("of %d descriptors %d are for clients and %d for the overflow", limit, c.Connections, c.Overflow)
	}
	o.Accept.MaxConnections = 7
	if c, err = o.Capacity(limit); err != nil || c.Connections != 7 || c.LimitedBy != "-max-connections" {
		t.Errorf("at most 7: %+v, %v", c, err)
	}
	o.Accept.Reserve = limit
	if _, err = New(&host{}, o); !errors.Is(err, ErrDescriptors) {
		t.Errorf("everything reserved: %v", err)
	}
}
