package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
)

// docs/protocol.md section 6: the Go API, an example for each operation of the original hub.

// startHub is a hub whose tokens are user names, with one row that alice alone may read.
func startHub() *hub.Hub {
	changes := hub.NewMemoryLog(0, 0)
	changes.Resume(0) // begin with 1 instead of the time
	h, err := hub.New(hub.Options{
		Log:   changes,
		Loops: eventloop.Options{Listen: "127.0.0.1:0", Loops: 1},
		Auth: hub.AuthenticatorFunc(func(_ context.Context, token string) (*hub.Identity, error) {
			if token == "" {
				return nil, hub.ErrUnauthorized
			}
			return &hub.Identity{UserID: token}, nil
		}),
		Rows: hub.RowOptions{Fetch: func(_ context.Context, id *hub.Identity, entity, rowID string) ([]byte, bool, error) {
			if id.UserID != "alice" || entity != "Todo" || rowID != "t_1" {
				return nil, false, nil
			}
			return []byte("milk"), true, nil
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return h
}

func connect(ctx context.Context, h *hub.Hub, token string) *websocket.Conn {
	conn, _, err := websocket.Dial(ctx, "ws://"+h.Addr().String(), &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return conn
}

func printNext(ctx context.Context, who string, conn *websocket.Conn) {
	_, message, err := conn.Read(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", who, message)
}

func Example() {
	ctx := context.Background()
	h := startHub()
	defer func() { _ = h.Shutdown(ctx) }()
	alice, bob := connect(ctx, h, "alice"), connect(ctx, h, "bob")
	defer alice.CloseNow()
	defer bob.CloseNow()
	seq, err := h.PublishChange(hub.Change{
		Entity: "Todo", RowID: "t_1", Kind: hub.Insert, Data: json.RawMessage(`{"title":"milk"}`), Timestamp: "1767225600Z",
	})
	fmt.Println(seq, err, h.ClientCount())
	printNext(ctx, "alice", alice)
	printNext(ctx, "bob", bob)
	// Output:
	// 1 <nil> 2
	// alice: {"seq":1,"entity":"Todo","row_id":"t_1","kind":"insert","data":{"title":"milk"},"timestamp":"1767225600Z"}
	// bob: {"seq":1,"entity":"Todo","row_id":"t_1","kind":"insert","data":{"title":"milk"},"timestamp":"1767225600Z"}
}

func ExampleHub_PublishPresence() {
	ctx := context.Background()
	h := startHub()
	defer func() { _ = h.Shutdown(ctx) }()
	alice := connect(ctx, h, "alice")
	defer alice.CloseNow()
	_ = h.PublishPresence("", json.RawMessage(`{"type":"presence","event":"maintenance"}`))
	printNext(ctx, "alice", alice)
	// What a client sends is stamped with who it is.
	_ = alice.Write(ctx, websocket.MessageText, []byte(`{"type":"presence","event":"join"}`))
	printNext(ctx, "alice", alice)
	// Output:
	// alice: {"type":"presence","event":"maintenance"}
	// alice: {"type":"presence","event":"join","from":"alice"}
}

func ExampleHub_PublishTopic() {
	ctx := context.Background()
	h := startHub()
	defer func() { _ = h.Shutdown(ctx) }()
	alice := connect(ctx, h, "alice")
	defer alice.CloseNow()
	_ = h.PublishTopic("", "news", json.RawMessage(`{"headline":"none"}`))
	printNext(ctx, "alice", alice)
	// Output:
	// alice: {"type":"topic","topic":"news","data":{"headline":"none"}}
}

func ExampleHub_SendBinary() {
	ctx := context.Background()
	h := startHub()
	defer func() { _ = h.Shutdown(ctx) }()
	alice, bob := connect(ctx, h, "alice"), connect(ctx, h, "bob")
	defer alice.CloseNow()
	defer bob.CloseNow()
	clients, err := h.Clients(ctx, 0, 10) // in the order of their ids
	if err != nil {
		log.Fatal(err)
	}
	ids := map[string]uint64{}
	for _, c := range clients {
		ids[c.UserID] = c.ID
	}
	_ = h.SendBinary([]byte("one"), ids["alice"])
	_ = h.SendBinary([]byte("some"), ids["alice"], ids["bob"])
	_ = h.BroadcastBinary([]byte("all"))
	for range 3 {
		printNext(ctx, "alice", alice)
	}
	for range 2 {
		printNext(ctx, "bob", bob)
	}
	// Output:
	// alice: one
	// alice: some
	// alice: all
	// bob: some
	// bob: all
}

func ExampleHub_PublishRow() {
	ctx := context.Background()
	h := startHub()
	defer func() { _ = h.Shutdown(ctx) }()
	alice := connect(ctx, h, "alice")
	defer alice.CloseNow()
	subscribe := `{"type":"crdt-subscribe","entity":"Todo","rowId":"t_1"}`
	if err := alice.Write(ctx, websocket.MessageText, []byte(subscribe)); err != nil {
		log.Fatal(err)
	}
	printRow := func() {
		_, message, err := alice.Read(ctx)
		if err != nil {
			log.Fatal(err)
		}
		row, err := hub.ParseRowFrame(message)
		fmt.Printf("0x%x %s/%s %s %v\n", byte(row.Kind), row.Entity, row.RowID, row.Payload, err)
	}
	printRow() // the snapshot, from the fetcher
	_ = h.PublishRow(hub.Incremental, "", "Todo", "t_1", []byte("and eggs"))
	printRow()
	fmt.Println(h.SubscriptionCount(), "subscription")
	// Output:
	// 0x10 Todo/t_1 milk <nil>
	// 0x11 Todo/t_1 and eggs <nil>
	// 1 subscription
}
