package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/gorilla/websocket"
	"google.golang.org/protobuf/encoding/protowire"
)

// centrifugeWriteTimeout is the default of centrifuge's own WebSocket handler.
const centrifugeWriteTimeout = time.Second

// Field numbers in centrifuge's client protocol: Push.pub and Publication.data.
const (
	pushPub         = 4
	publicationData = 4
)

var errNoPublication = errors.New("the push holds no publication's data")

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

// Name is centrifuge.TransportInfo's.
func (t *centrifugeTransport) Name() string { return "uni_websocket" }

// AcceptProtocol is centrifuge.TransportInfo's.
func (t *centrifugeTransport) AcceptProtocol() string { return "h1" }

// Protocol is Protobuf, which carries any bytes; JSON would need them escaped.
func (t *centrifugeTransport) Protocol() centrifuge.ProtocolType {
	return centrifuge.ProtocolTypeProtobuf
}

// ProtocolVersion is centrifuge.TransportInfo's.
func (t *centrifugeTransport) ProtocolVersion() centrifuge.ProtocolVersion {
	return centrifuge.ProtocolVersion2
}

// Unidirectional is centrifuge.TransportInfo's.
func (t *centrifugeTransport) Unidirectional() bool { return true }

// Emulation is centrifuge.TransportInfo's.
func (t *centrifugeTransport) Emulation() bool { return false }

// DisabledPushFlags leaves publications alone: a client of the bench expects nothing else.
func (t *centrifugeTransport) DisabledPushFlags() uint64 { return ^centrifuge.PushFlagPublication }

// PingPongConfig turns the application's pings off.
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
		size += maxHeader + len(push)
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

// publishedData finds the publication's data in an encoded push. It is a part of push.
func publishedData(push []byte) ([]byte, error) {
	pub, err := bytesField(push, pushPub)
	if err != nil {
		return nil, err
	}
	return bytesField(pub, publicationData)
}

// bytesField finds the field with the number want, of wire type bytes, in an encoded message.
func bytesField(message []byte, want protowire.Number) ([]byte, error) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, fmt.Errorf("%w: %w", errNoPublication, protowire.ParseError(n))
		}
		message = message[n:]
		if number == want && kind == protowire.BytesType {
			value, n := protowire.ConsumeBytes(message)
			if n < 0 {
				return nil, fmt.Errorf("%w: %w", errNoPublication, protowire.ParseError(n))
			}
			return value, nil
		}
		n = protowire.ConsumeFieldValue(number, kind, message)
		if n < 0 {
			return nil, fmt.Errorf("%w: %w", errNoPublication, protowire.ParseError(n))
		}
		message = message[n:]
	}
	return nil, errNoPublication
}
