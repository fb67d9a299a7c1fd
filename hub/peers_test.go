package hub

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// line joins two hubs in one process.
type line struct {
	other    *line
	deliver  func(*PeerMessage)
	carryOut func(context.Context, *PeerCall) bool
	calls    []int // to which nodes
	cut      error
}

func (l *line) Send(m *PeerMessage) { l.other.deliver(m) }
func (l *line) MaxMessage() int     { return 1000 }
func (l *line) Lost() uint64        { return 17 }

func (l *line) Call(ctx context.Context, node int, c *PeerCall) (bool, error) {
	if l.calls = append(l.calls, node); l.cut != nil {
		return false, l.cut
	}
	return l.other.carryOut(ctx, c), nil
}

func (l *line) Follow(deliver func(*PeerMessage), carryOut func(context.Context, *PeerCall) bool) {
	l.deliver, l.carryOut = deliver, carryOut
}

// docs/cluster.md: presence, topics, binary messages and the news of who has left reach the clients of every
// node that they would reach on one, once, and clients' ids are different on each.
func TestPeers(t *testing.T) {
	left, right := &line{}, &line{}
	left.other, right.other = right, left
	node := func(n int, l *line) *Hub {
		return start(t, func(o *Options) {
			o.Peers, o.Loops.Node, o.Loops.Loops, o.Routing = l, n, 1, RouteSubscribed
			o.Rows.Fetch = func(context.Context, *Identity, string, string) ([]byte, bool, error) { return nil, false, nil }
		})
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
	many := make(map[uint64]bool)
	for i := range uint64(1000) {
		many[i] = true
	}
	for what, err := range map[string]error{
		"binary":    h.BroadcastBinary([]byte("small"), make([]byte, 1000)),
		"to two":    h.SendBinary(make([]byte, 1000), ids["bob"]),
		"to many":   h.SendBinary(nil, slices.Collect(maps.Keys(many))...),
		"presence":  h.PublishPresence("acme", []byte(`{"type":"presence","x":"`+strings.Repeat("x", 1000)+`"}`)),
		"topic":     h.PublishTopic("", strings.Repeat("t", 600), []byte(`1`)),
		"long name": h.PublishTopic(strings.Repeat("t", 600), "news", []byte(`1`)),
	} {
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v, though other nodes can't be sent it", what, err)
		}
	}
	if n := h.Stats().Dropped["nodes"]; n != 17 {
		t.Errorf("%d are counted as lost between nodes", n)
	}
	_ = alice.Conn.CloseNow()
	if got := bob.Text(); !strings.HasPrefix(got, `{"type":"presence","event":"disconnect","clientId":`) {
		t.Errorf("bob got %s", got)
	}
	if found, err := h.Disconnect(t.Context(), ids["bob"]); !found || err != nil {
		t.Errorf("another node's client: %t, %v", found, err)
	}
	if _, _, err := bob.Conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("bob's connection: %v", err)
	}
	if !slices.Equal(left.calls, []int{2}) || right.calls != nil {
		t.Errorf("calls to %v, %v", left.calls, right.calls)
	}
	again := connect(t, far, "bob@acme")
	if err := h.DisconnectUser(t.Context(), "", "bob"); err != nil {
		t.Errorf("disconnecting a user of another node: %v", err)
	}
	if _, _, err := again.Conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("bob's second connection: %v", err)
	}
	left.cut = ErrPeers
	if err := h.DisconnectUser(t.Context(), "", "bob"); !errors.Is(err, ErrPeers) {
		t.Errorf("disconnecting a user without the other node: %v", err)
	}
}

// With a service for rows, frames of rows reach subscribers on every node.
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
	if err := h.EndRowSubscriptions(t.Context(), "", "E", "r", "alice"); err != nil || far.SubscriptionCount() != 0 {
		t.Errorf("subscriptions at another node: %v, %d are left", err, far.SubscriptionCount())
	}
	left.cut = ErrPeers
	if err := h.EndRowSubscriptions(t.Context(), "", "E", "r", "alice"); !errors.Is(err, ErrPeers) {
		t.Errorf("without the other node: %v", err)
	}
	if err := h.PublishRow(Snapshot, "", "E", "r", make([]byte, 2000)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a row that other nodes can't be sent: %v", err)
	}
}
