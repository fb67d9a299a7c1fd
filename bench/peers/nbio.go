package main

import (
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

// nbioMaxUnsent is how many bytes the engine keeps for a client that doesn't read before it
// disconnects it: what the Quick Start of nbio's README sets. The default is no limit.
const nbioMaxUnsent = 6 << 20

// nbioHub is an nbio engine with every connection in its epoll loops (IOModNonBlocking) and
// WriteMessage to each connection per message: it writes to the socket at once and copies
// what doesn't fit. nbio has no prepared messages.
type nbioHub struct {
	roster[*websocket.Conn]
	upgrader *websocket.Upgrader
}

func newNBIO(int) (hub, error) {
	h := &nbioHub{upgrader: websocket.NewUpgrader()}
	h.upgrader.CheckOrigin = anyOrigin
	// By default a connection that says nothing for 120 s is closed; idle ones are measured.
	h.upgrader.KeepaliveTime = 0
	h.upgrader.OnOpen(h.add)
	h.upgrader.OnClose(func(c *websocket.Conn, _ error) { h.remove(c) })
	h.upgrader.OnMessage(func(*websocket.Conn, websocket.MessageType, []byte) {})
	return h, nil
}

func (h *nbioHub) serve(ln net.Listener) error {
	// nbio logs to standard output, where the bench waits for one line.
	logging.Output = os.Stderr
	logging.SetLevel(logging.LevelWarn)

	failed := make(chan error, 1)
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network: "tcp",
		Addrs:   []string{ln.Addr().String()},
		Listen:  func(_, _ string) (net.Listener, error) { return ln, nil },
		IOMod:   nbhttp.IOModNonBlocking,
		MaxLoad: 2_000_000,
		// As in nbio's example for a million connections.
		ReadBufferSize:          4 << 10,
		ReleaseWebsocketPayload: true,
		MaxWriteBufferSize:      nbioMaxUnsent,
		// By default a message of more than 32 KiB is split into frames.
		MaxWebsocketFramePayloadSize: maxRecord,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = h.upgrader.Upgrade(w, r, nil) // the library has answered when this fails
		}),
		OnAcceptError: func(err error) {
			select {
			case failed <- fmt.Errorf("accepting: %w", err):
			default:
			}
		},
	})
	if err := engine.Start(); err != nil {
		return fmt.Errorf("starting nbio's engine: %w", err)
	}
	defer engine.Stop()
	return <-failed
}

func (h *nbioHub) broadcast(payload []byte) {
	for _, c := range h.all() {
		if c.WriteMessage(websocket.BinaryMessage, payload) == nil {
			h.deliveries.Add(1)
		}
	}
}

// stats can't count sends: nbio makes its system calls itself. What its write buffer
// accepted counts as delivered.
func (h *nbioHub) stats() stats {
	s := h.roster.stats()
	s.Sends = -1
	return s
}
