package hub

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// line joins two hubs in one process.
type line struct {
	other   *line
	deliver func(*PeerMessage)
}

func (l *line) Send(m *PeerMessage)                 { l.other.deliver(m) }
func (l *line) Follow(deliver func(m *PeerMessage)) { l.deliver = deliver }

// docs/cluster.md: presence, topics, binary messages and the news of who has left reach the clients of every
// node that they would reach on one, once, and clients' ids are different on each.
func TestPeers(t *testing.T) {
	left, right := &line{}, &line{}
	left.other, right.other = right, left
	node := func(n int, l *line) *Hub {
		return start(t, func(o *Options) { o.Peers, o.Loops.Node, o.Loops.Loops, o.Routing = l, n, 1, RouteSubscribed })
	}
	h, far := node(1, left), node(2, right)
	alice, zoe := connect(t, h, "alice@acme"), connect(t, h, "zoe@other")
	bob := connect(t, far, "bob@acme")
	bob.Send(`{"type":"subscribe","topic":"news"}`)
	bob.Send(`{"type":"presence","n":1}`)
	const fromBob = `{"type":"presence","n":1,"from":"bob"}`
	alice.Expect(websocket.MessageText, fromBob)
	bob.Expect(websocket.MessageText, fromBob)

	alice.Send(`{"type":"topic","topic":"news","data":1}`)
	bob.Expect(websocket.MessageText, `{"type":"topic","topic":"news","data":1,"from":"alice"}`)
	alice.Send(`{"type":"topic","topic":"other","data":1}`)
	if err := h.PublishPresence("", []byte(`{"type":"presence","all":1}`)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{alice, zoe, bob} {
		c.Expect(websocket.MessageText, `{"type":"presence","all":1}`)
	}
	if err := h.BroadcastBinary([]byte("all")); err != nil {
		t.Fatal(err)
	}
	ids := map[string]uint64{}
	for _, h := range []*Hub{h, far} {
		page, err := h.Clients(t.Context(), 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page {
			ids[c.UserID] = c.ID
		}
	}
	if ids["bob"] == ids["alice"] || ids["bob"] == ids["zoe"] || ids["bob"] >= 1<<53 {
		t.Errorf("ids %v", ids)
	}
	if err := h.SendBinary([]byte("two"), ids["bob"], ids["zoe"]); err != nil {
		t.Fatal(err)
	}
	for who, c := range map[string]*client{"alice": alice, "zoe": zoe, "bob": bob} {
		c.Expect(websocket.MessageBinary, "all")
		if who != "alice" {
			c.Expect(websocket.MessageBinary, "two")
		}
	}
	_ = alice.Conn.CloseNow()
	if got := bob.Text(); !strings.HasPrefix(got, `{"type":"presence","event":"disconnect","clientId":`) {
		t.Errorf("bob got %s", got)
	}
}

// With a service for rows, frames of rows reach subscribers on every node; without one they can't.
func TestRowsOfPeers(t *testing.T) {
	left, right := &line{}, &line{}
	left.other, right.other = right, left
	node := func(n int, l *line) *Hub {
		return start(t, func(o *Options) {
			o.Peers, o.Loops.Node = l, n
			o.Rows.Fetch = func(context.Context, *Identity, string, string) ([]byte, bool, error) { return []byte("s"), true, nil }
		})
	}
	h, far := node(1, left), node(2, right)
	c := connect(t, far, "alice")
	c.Send(`{"type":"crdt-subscribe","entity":"E","rowId":"r"}`)
	for i, want := range []string{"s", "update", "snapshot"} {
		kind := []RowKind{Snapshot, Incremental, Snapshot}[i]
		if i > 0 {
			if err := h.PublishRow(kind, "", "E", "r", []byte(want)); err != nil {
				t.Fatal(err)
			}
		}
		frame, err := AppendRowFrame(nil, kind, "E", "r", []byte(want))
		if err != nil {
			t.Fatal(err)
		}
		c.Expect(websocket.MessageBinary, string(frame))
	}
	alone := start(t, func(o *Options) { o.Peers = &line{} })
	if err := alone.PublishRow(Snapshot, "", "E", "r", nil); !errors.Is(err, ErrRowsNotShared) {
		t.Errorf("got %v", err)
	}
}
