package main

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/centrifugal/centrifuge"
	"github.com/gorilla/websocket"
)

// centrifugeChannel is the one channel, to which every client is subscribed by the server.
const centrifugeChannel = "bench"

// centrifugeMaxQueue is how many bytes may wait for one client before it is disconnected.
// The default of 1 MiB is less than a window of 64 messages of 64 KiB.
const centrifugeMaxQueue = 16 << 20

// centrifugeHub is a centrifuge node with its in-memory broker. Clients are connected by
// a unidirectional WebSocket transport, centrifugeTransport, and needn't say anything.
type centrifugeHub struct {
	counters
	upgrader websocket.Upgrader
	node     *centrifuge.Node
}

func newCentrifuge() (*centrifugeHub, error) {
	node, err := newNode()
	if err != nil {
		return nil, err
	}
	anyOrigin := func(*http.Request) bool { return true }
	return &centrifugeHub{upgrader: websocket.Upgrader{CheckOrigin: anyOrigin}, node: node}, nil
}

func (h *centrifugeHub) serve(ln net.Listener) error {
	if err := h.node.Run(); err != nil {
		return fmt.Errorf("starting centrifuge's node: %w", err)
	}
	return http.Serve(countingListener{ln, &h.sends}, h)
}

// newNode makes a node that logs nothing (its default), compresses nothing and keeps no
// history.
func newNode() (*centrifuge.Node, error) {
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: centrifugeMaxQueue})
	if err != nil {
		return nil, fmt.Errorf("making centrifuge's node: %w", err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{},
			Subscriptions: map[string]centrifuge.SubscribeOptions{centrifugeChannel: {}},
		}, nil
	})
	return node, nil
}

// ServeHTTP upgrades a request to a client of the node.
func (h *centrifugeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := h.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the library has answered
	}
	// A goroutine of its own, so that the request can be collected.
	go h.attend(conn)
}

// attend makes conn a client of the node for as long as it lasts.
func (h *centrifugeHub) attend(conn *websocket.Conn) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client, closeClient, err := centrifuge.NewClient(ctx, h.node, &centrifugeTransport{conn: conn, deliveries: &h.deliveries})
	if err != nil {
		return
	}
	defer closeClient()
	client.Connect(centrifuge.ConnectRequest{})
	h.clients.Add(1)
	defer h.clients.Add(-1)
	for {
		if _, _, err := conn.NextReader(); err != nil {
			return
		}
	}
}

func (h *centrifugeHub) broadcast(payload []byte) {
	// The in-memory broker fails only when the node is shut down.
	_, _ = h.node.Publish(centrifugeChannel, payload)
}
