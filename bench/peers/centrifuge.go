package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/gorilla/websocket"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// centrifugeChannel is the one channel, to which every client is subscribed by the server.
	centrifugeChannel = "bench"
	// centrifugeMaxQueue is how many bytes may wait for one client before it is disconnected.
	// The default of 1 MiB is less than a window of 64 messages of 64 KiB.
	centrifugeMaxQueue = 16 << 20
	// centrifugeWriteTimeout is the default of centrifuge's own WebSocket handler.
	centrifugeWriteTimeout = time.Second
)

var centrifugeUpgrader = websocket.Upgrader{CheckOrigin: anyOrigin}

// centrifugeHub is a centrifuge node with its in-memory broker. Clients are connected by
// a unidirectional WebSocket transport, centrifugeTransport, and needn't say anything.
type centrifugeHub struct {
	roster[*websocket.Conn]
	node *centrifuge.Node
}

// newCentrifuge has a node that logs nothing (its default), compresses nothing and keeps no
// history.
func newCentrifuge(int) (hub, error) {
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
	return &centrifugeHub{node: node}, nil
}

func (h *centrifugeHub) serve(ln net.Listener) error {
	if err := h.node.Run(); err != nil {
		return fmt.Errorf("starting centrifuge's node: %w", err)
	}
	return h.serveHTTP(ln, func(w http.ResponseWriter, r *http.Request) {
		conn, err := centrifugeUpgrader.Upgrade(w, r, nil)
		if err != nil {
			return // the library has answered
		}
		// A goroutine of its own, so that the request can be collected.
		go h.attend(conn)
	})
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
	h.add(conn)
	defer h.remove(conn)
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

// centrifugeTransport is a unidirectional WebSocket transport. centrifuge has none of its
// own (Centrifugo, the server built on it, has one for JSON); its WebSocket handler is
// bidirectional, wants a connect command from the client and joins several publications in
// one message. This one asks the node for Protobuf and sends each publication's data alone,
// as one binary message, without the push and publication that the node wraps it in (some
// 16 bytes): what a client sees is what every other target sends. What is queued together
// goes out in one write, as with the bidirectional handler.
//
// The node calls Write and WriteMany from one goroutine at a time.
type centrifugeTransport struct {
	conn       *websocket.Conn
	deliveries *atomic.Int64
}

// These are centrifuge.TransportInfo's. Protobuf carries any bytes; JSON would need them escaped.
// Pushes other than publications, and the application's pings, are off: a client of the bench
// expects neither.
func (t *centrifugeTransport) Name() string           { return "uni_websocket" }
func (t *centrifugeTransport) AcceptProtocol() string { return "h1" }
func (t *centrifugeTransport) Protocol() centrifuge.ProtocolType {
	return centrifuge.ProtocolTypeProtobuf
}
func (t *centrifugeTransport) ProtocolVersion() centrifuge.ProtocolVersion {
	return centrifuge.ProtocolVersion2
}
func (t *centrifugeTransport) Unidirectional() bool      { return true }
func (t *centrifugeTransport) Emulation() bool           { return false }
func (t *centrifugeTransport) DisabledPushFlags() uint64 { return ^centrifuge.PushFlagPublication }
func (t *centrifugeTransport) PingPongConfig() centrifuge.PingPongConfig {
	return centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1}
}

// Write sends the data of one push.
func (t *centrifugeTransport) Write(push []byte) error {
	data, err := publishedData(push)
	if err != nil {
		return err
	}
	t.conn.SetWriteDeadline(time.Now().Add(centrifugeWriteTimeout))
	if err := t.conn.WriteMessage(websocket.BinaryMessage, data); err != nil {
		return err
	}
	t.deliveries.Add(1)
	return nil
}

// WriteMany sends the data of each push as a message of its own, all in one write.
func (t *centrifugeTransport) WriteMany(pushes ...[]byte) error {
	size := 0
	for _, push := range pushes {
		size += 10 + len(push) // 10: the longest header
	}
	frames := make([]byte, 0, size)
	for _, push := range pushes {
		data, err := publishedData(push)
		if err != nil {
			return err
		}
		frames = appendFrame(frames, data)
	}
	conn := t.conn.NetConn()
	conn.SetWriteDeadline(time.Now().Add(centrifugeWriteTimeout))
	if _, err := conn.Write(frames); err != nil {
		return fmt.Errorf("writing %d frames: %w", len(pushes), err)
	}
	t.deliveries.Add(int64(len(pushes)))
	return nil
}

// Close is centrifuge.Transport's.
func (t *centrifugeTransport) Close(centrifuge.Disconnect) error { return t.conn.Close() }

// appendFrame appends payload to b as one final, unmasked binary frame (RFC 6455, 5.2).
func appendFrame(b, payload []byte) []byte {
	b = append(b, 0x82)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

var errNoPublication = errors.New("the push holds no publication's data")

// publishedData finds a publication's data in an encoded push. It is a part of push. In
// centrifuge's client protocol both Push.pub and Publication.data are field 4.
func publishedData(push []byte) ([]byte, error) {
	pub, err := field4(push)
	if err != nil {
		return nil, err
	}
	return field4(pub)
}

// field4 finds field 4, of wire type bytes, in an encoded message.
func field4(message []byte) ([]byte, error) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			break
		}
		if value, n := protowire.ConsumeBytes(message[n:]); number == 4 && kind == protowire.BytesType && n >= 0 {
			return value, nil
		}
		size := protowire.ConsumeFieldValue(number, kind, message[n:])
		if size < 0 {
			break
		}
		message = message[n+size:]
	}
	return nil, errNoPublication
}
