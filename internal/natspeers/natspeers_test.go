package natspeers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/wstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// serve starts a NATS server; port 0 takes any.
func serve(t *testing.T, port int) *server.Server {
	t.Helper()
	if port == 0 {
		port = wstest.FreePort(t)
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

func join(t *testing.T, servers string, node int) (*Peers, received) {
	t.Helper()
	p, err := Open(t.Context(), Options{
		Servers: servers, Name: "test", Node: node, Logger: slog.New(slog.DiscardHandler),
		NATS: []nats.Option{nats.DontRandomize(), nats.ReconnectWait(10 * time.Millisecond), nats.ReconnectJitter(0, 0)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	got := make(received, 1<<17)
	p.Follow(func(m *hub.PeerMessage) { got <- m }, func(_ context.Context, c *hub.PeerCall) bool {
		got <- &hub.PeerMessage{Names: []string{c.Tenant, c.Entity, c.RowID, c.User}, Clients: []uint64{c.Disconnect}}
		return c.Disconnect%2 == 1 || c.DisconnectUser
	})
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
	a, toA := join(t, s.ClientURL(), 1)
	_, toB := join(t, s.ClientURL(), 2)
	_, toC := join(t, s.ClientURL(), 255)
	sent := []*hub.PeerMessage{message("everyone")}
	for _, m := range []hub.PeerMessage{
		{Lossy: true}, {Key: "topic\x00\xff"}, {Label: eventloop.LabelTenant, Names: []string{""}},
		{Label: eventloop.LabelUser, Names: []string{"a", "bücher", "not \xff UTF-8"}}, {Key: "k", Label: eventloop.LabelTenant, Names: []string{"t"}},
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
	a, _ := join(t, s.ClientURL(), 1)
	_, toB := join(t, s.ClientURL(), 2)
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

// What a NATS server still had when it stood still, and was left for another, comes when it goes on. A node that was
// started again begins anew.
func TestLateMessagesAreLost(t *testing.T) {
	s := serve(t, 0)
	a, _ := join(t, s.ClientURL(), 1)
	b, toB := join(t, s.ClientURL(), 2)
	late, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(late.Close)
	heard, err := late.SubscribeSync("test.peers.1")
	if err == nil {
		err = late.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	var first *nats.Msg
	for _, text := range []string{"first", "second"} {
		a.Send(message(text))
		m, err := heard.NextMsg(wstest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = m
		}
	}
	if err := errors.Join(late.PublishMsg(first), late.Flush()); err != nil {
		t.Fatal(err)
	}
	a.Send(message("third"))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	again, _ := join(t, s.ClientURL(), 1)
	again.Send(message("fourth"))
	for _, want := range []string{"first", "second", "third", "fourth"} {
		if got := string(eventloop.FrameOf(toB.next(t).Wire).Payload()); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	if n := b.Lost(); n != 1 {
		t.Errorf("%d counted as lost, want the one that was late", n)
	}
}

// A server that stands still, with its connections open, is found out and left for another.
func TestServerStandsStill(t *testing.T) {
	c := natstest.Start(t, 2, t.TempDir())
	join := func(first, node int) (p *Peers, got received) {
		wstest.Eventually(t, "there is a server", func() bool {
			conn, err := nats.Connect(c.Servers(first))
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
		return join(t, c.Servers(first), node)
	}
	_, toA := join(0, 1)
	b, _ := join(1, 2)
	reach := func(text string) {
		t.Helper()
		wstest.Eventually(t, "a message came to the other node: "+text, func() bool {
			b.Send(message(text))
			return len(toA) > 0 && bytes.Contains((<-toA).Wire, []byte(text))
		})
	}
	reach("before")
	c.Nodes[0].Pause()
	defer c.Nodes[0].GoOn()
	reach("afterwards")
}

// Two nodes with one number would give their clients the same ids.
func TestNumbersAreUnique(t *testing.T) {
	s := serve(t, 0)
	_, _ = join(t, s.ClientURL(), 7)
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

// A node that doesn't reach NATS, as when that was restarted, doesn't answer one that begins meanwhile. Once both do,
// the younger one learns of it, whichever came back, and it alone.
func TestNumbersAreUniqueAgain(t *testing.T) {
	for _, back := range []string{"older", "younger"} {
		t.Run(back, func(t *testing.T) {
			servers := map[string]*server.Server{"older": serve(t, 0), "younger": serve(t, 0)}
			nodes := make(map[string]*Peers)
			for _, name := range []string{"older", "younger"} {
				here, there := servers[name].ClientURL(), servers["older"].ClientURL()
				if name == "older" {
					there = servers["younger"].ClientURL()
				}
				nodes[name], _ = join(t, here+","+there, 7)
			}
			stop(servers[back])
			ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
			defer cancel()
			select {
			case err := <-nodes["younger"].Failed():
				if !strings.Contains(err.Error(), "number 7") {
					t.Errorf("got %v", err)
				}
			case <-ctx.Done():
				t.Fatal("the younger never knows")
			}
			for range 2 { // the older has been asked, and has asked
				if other, err := nodes["older"].ask(ctx, nodes["older"].claim); err != nil || other == nil {
					t.Errorf("the older gets %v, %v", other, err)
				} else {
					nodes["older"].compare(*other)
				}
			}
			if len(nodes["older"].Failed()) != 0 {
				t.Errorf("the older ends too: %v", <-nodes["older"].Failed())
			}
		})
	}
}

// A call is carried out by the node that it is for, or by all others, and who asks is told when one can't be asked.
func TestCalls(t *testing.T) {
	s := serve(t, 0)
	a, _ := join(t, s.ClientURL(), 1)
	_, toB := join(t, s.ClientURL(), 2)
	_, toC := join(t, s.ClientURL(), 255)
	end := &hub.PeerCall{Tenant: "", Entity: "E", RowID: "r\xff", User: "ü"}
	for _, test := range []struct {
		node int
		call *hub.PeerCall
		done bool
		to   []received
	}{
		{2, &hub.PeerCall{Disconnect: 1<<53 - 1}, true, []received{toB}},
		{255, &hub.PeerCall{Disconnect: 18}, false, []received{toC}},
		{3, &hub.PeerCall{Disconnect: 17}, false, nil}, // there is none
		{1 << 11, &hub.PeerCall{Disconnect: 17}, false, nil},
		{hub.AllNodes, end, false, []received{toB, toC}},
		{hub.AllNodes, &hub.PeerCall{DisconnectUser: true, Tenant: "t", User: "u"}, true, []received{toB, toC}},
		{hub.AllNodes, &hub.PeerCall{Disconnect: 17}, true, []received{toB, toC}},
	} {
		done, err := a.Call(t.Context(), test.node, test.call)
		if err != nil || done != test.done {
			t.Errorf("%d: %t, %v", test.node, done, err)
		}
		for _, to := range test.to {
			want := []string{test.call.Tenant, test.call.Entity, test.call.RowID, test.call.User}
			if m := to.next(t); m.Clients[0] != test.call.Disconnect || !slices.Equal(m.Names, want) {
				t.Errorf("%d: got %v, want %+v", test.node, *m, *test.call)
			}
		}
		if len(toB)+len(toC) != 0 {
			t.Errorf("%d: it was carried out elsewhere, or twice", test.node)
		}
	}
	for _, odd := range []string{ // each would disconnect the user of more tenants than it says
		`{"Call":{"DisconnectUser":true,"User":"dQ==","tenant":"dA=="}}`, `{"Call":{"DisconnectUser":true,"User":"dQ==","Tenant":null}}`,
		`{"Call":{"DisconnectUser":true,"User":"dQ==","Tenant":"dA==","Tenant":""}}`, `{"Call":{"DisconnectUser":true,"User":"dQ==","Unless":"dA=="}}`,
	} {
		if err := a.conn.Publish("test.node.2", []byte(odd)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Call(t.Context(), 2, &hub.PeerCall{Disconnect: 19}); err != nil {
		t.Error(err)
	}
	if m := toB.next(t); m.Clients[0] != 19 {
		t.Errorf("carried out: %v", *m)
	}
	silent, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := silent.SubscribeSync("test.node.9"); err != nil {
		t.Fatal(err)
	}
	if err := silent.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Call(t.Context(), hub.AllNodes, end); !errors.Is(err, hub.ErrPeers) {
		t.Errorf("a node that doesn't answer: %v", err)
	}
	if m := toB.next(t); m.Names[1] != "E" {
		t.Error("the others weren't asked")
	}
	stop(s)
	if _, err := a.Call(t.Context(), hub.AllNodes, end); !errors.Is(err, hub.ErrPeers) {
		t.Errorf("without NATS: %v", err)
	}
}

// What NATS doesn't take, and what there is no room for, is counted, and said in the log.
func TestLosses(t *testing.T) {
	began, s := time.Now(), serve(t, 0)
	log := &wstest.Text{}
	p, err := Open(t.Context(), Options{Servers: s.ClientURL(), Name: "test", Node: 1, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, toB := join(t, s.ClientURL(), 2)
	if most := p.MaxMessage(); most != 1<<20 {
		t.Errorf("NATS takes %d bytes", most)
	}
	p.Send(message(strings.Repeat("x", 1<<20)))
	p.Send(message("small"))
	if m := toB.next(t); string(eventloop.FrameOf(m.Wire).Payload()) != "small" {
		t.Error("the large one came")
	}
	if p.Lost() != 1 || !strings.Contains(log.String(), "lost_so_far=1") {
		t.Errorf("%d were lost; the log says %s", p.Lost(), log)
	}
	p.stop()
	p.running.Wait() // nobody sends any more
	for range maxBytes>>20 + 10 {
		p.Send(message(strings.Repeat("x", 1<<20)))
	}
	if p.bytes > maxBytes || p.Lost() < 10 {
		t.Errorf("%d bytes wait, and %d messages were lost", p.bytes, p.Lost())
	}
	took := time.Since(began)
	if n := strings.Count(log.String(), "lost_so_far"); n > 1+int(took/tellLosses) {
		t.Errorf("%d lines about it in %v", n, took)
	}
}

// What is sent while there is no NATS is lost and counted; afterwards it goes on by itself.
func TestWithoutNATS(t *testing.T) {
	s := serve(t, 0)
	port := s.Addr().String()[strings.LastIndex(s.Addr().String(), ":")+1:]
	a, _ := join(t, s.ClientURL(), 1)
	_, toB := join(t, s.ClientURL(), 2)
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

// What another program puts on the subject is left out, and what can't be read in one way: it might be for others.
func TestMessagesThatAreNone(t *testing.T) {
	for _, head := range []string{
		`{"names":null}`, `{"label":1,"Names":["dDE="]}`, `{"label":1,"names":["dDE="],"names":[]}`, `{"label":1,"names":["dDE="],"but":["dTE="]}`,
		`{"label":null,"names":["dDE="]}`, `{"key":null}`, `{"clients":null}`, `{}{}`, "{\"key\":\"\xff\"}",
	} {
		if m, _, err := decode(slices.Concat([]byte{0, 0, 0, byte(len(head))}, []byte(head), message("x").Wire)); err == nil {
			t.Errorf("%s: got %+v", head, m)
		}
	}
	for _, wire := range []string{"\x01\x01x", "\x81\x02x", "\x81\x00x", "\x81\x81\x00\x00\x00\x00x", "\xc1\x01x", "\x80\x01x", "\x88\x00", "\x89\x00", "\x81\x7e", "\x81\x01\xff"} {
		if m, _, err := decode([]byte("\x00\x00\x00\x02{}" + wire)); err == nil {
			t.Errorf("%q: got %+v", wire, m)
		}
	}
	for _, b := range [][]byte{nil, {0}, {0, 0, 0, 9, '{'}, {0, 0, 0, 2, '{', '}'}, {0, 0, 0, 2, '{', '}', 1}, {0, 0, 0, 1, 'x', 1, 2, 3}, {255, 255, 255, 255, '{', '}', 1, 2}} {
		if m, _, err := decode(b); err == nil {
			t.Errorf("%v: got %+v", b, m)
		}
	}
}
