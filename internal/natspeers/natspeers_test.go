package natspeers

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/leaks"
	"github.com/busbar-ws/busbar/internal/wstest"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// serve starts a NATS server; port 0 takes any.
func serve(t *testing.T, port int) *server.Server {
	t.Helper()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { stop(s) })
	if !s.ReadyForConnections(wstest.Patience) {
		t.Fatal("the NATS server isn't ready")
	}
	return s
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// received are the messages of other nodes, in their order.
type received chan *hub.PeerMessage

func join(t *testing.T, s *server.Server, node int) (*Peers, received) {
	t.Helper()
	p, err := Open(t.Context(), Options{
		Servers: s.ClientURL(), Name: "test", Node: node, Logger: slog.New(slog.DiscardHandler),
		NATS: []nats.Option{nats.ReconnectWait(10 * time.Millisecond), nats.ReconnectJitter(0, 0)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	got := make(received, 1<<17)
	p.Follow(func(m *hub.PeerMessage) { got <- m })
	return p, got
}

func (r received) next(t *testing.T) *hub.PeerMessage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
	defer cancel()
	select {
	case m := <-r:
		return m
	case <-ctx.Done():
		t.Fatal("no message of another node")
		return nil
	}
}

func message(text string) *hub.PeerMessage {
	return &hub.PeerMessage{Wire: eventloop.NewFrame(ws.OpText, []byte(text)).Wire()}
}

// Every audience arrives as it was sent, at every other node, and not at its own.
func TestMessagesReachTheOtherNodes(t *testing.T) {
	s := serve(t, 0)
	a, toA := join(t, s, 1)
	_, toB := join(t, s, 2)
	_, toC := join(t, s, 255)
	sent := []*hub.PeerMessage{message("everyone")}
	for _, m := range []hub.PeerMessage{
		{Lossy: true}, {Key: "topic\x00\xff"}, {Label: eventloop.LabelTenant, Names: []string{""}},
		{Label: eventloop.LabelUser, Names: []string{"a", "bücher"}}, {Key: "k", Label: eventloop.LabelTenant, Names: []string{"t"}},
		{Clients: []uint64{1, 1<<53 - 1}},
	} {
		m.Wire = message(strings.Repeat("x", 70_000)).Wire
		sent = append(sent, &m)
	}
	for _, m := range sent {
		a.Send(m)
	}
	for _, to := range []received{toB, toC} {
		for _, want := range sent {
			if got := to.next(t); !reflect.DeepEqual(got, want) {
				t.Errorf("got %.100v, want %.100v", *got, *want)
			}
		}
	}
	if len(toA) != 0 {
		t.Errorf("%d messages came back", len(toA))
	}
}

func TestMessagesStayInOrder(t *testing.T) {
	s := serve(t, 0)
	a, _ := join(t, s, 1)
	_, toB := join(t, s, 2)
	const n = 20_000
	for i := range n {
		a.Send(message(fmt.Sprint(i)))
	}
	for i := range n {
		if got := string(eventloop.FrameOf(toB.next(t).Wire).Payload()); got != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", got, i)
		}
	}
	if lost := a.Lost(); lost != 0 {
		t.Errorf("%d were lost", lost)
	}
}

// Two nodes with one number would give their clients the same ids.
func TestNumbersAreUnique(t *testing.T) {
	s := serve(t, 0)
	_, _ = join(t, s, 7)
	if p, err := Open(t.Context(), Options{Servers: s.ClientURL(), Name: "test", Node: 7, Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "number 7") {
		_ = p.Close()
		t.Errorf("got %v", err)
	}
	other, err := Open(t.Context(), Options{Servers: s.ClientURL(), Name: "another", Node: 7, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	_ = other.Close()
}

// What is sent while there is no NATS is lost and counted; afterwards it goes on by itself.
func TestWithoutNATS(t *testing.T) {
	s := serve(t, 0)
	port := s.Addr().String()[strings.LastIndex(s.Addr().String(), ":")+1:]
	a, _ := join(t, s, 1)
	_, toB := join(t, s, 2)
	stop(s)
	wstest.Eventually(t, "nothing is sent", func() bool {
		a.Send(message("lost"))
		return a.Lost() > 0
	})
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	serve(t, number)
	wstest.Eventually(t, "messages arrive again", func() bool {
		a.Send(message("again"))
		return len(toB) > 0
	})
}

// What another program puts on the subject is left out.
func TestMessagesThatAreNone(t *testing.T) {
	for _, b := range [][]byte{nil, {0}, {0, 0, 0, 9, '{'}, {0, 0, 0, 2, '{', '}'}, {0, 0, 0, 2, '{', '}', 1}, {0, 0, 0, 1, 'x', 1, 2, 3}, {255, 255, 255, 255, '{', '}', 1, 2}} {
		if m, err := decode(b); err == nil {
			t.Errorf("%v: got %+v", b, m)
		}
	}
}
