package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// coderWriteTimeout is the chat example's.
const coderWriteTimeout = 5 * time.Second

// coder is the hub of coder/websocket's chat example: a set of subscribers under a mutex,
// a channel per subscriber, the handler's goroutine writes, CloseRead's reads. The library
// has no prepared messages, and each write has a context with a timeout of its own.
type coder struct {
	roster[*coderClient]
	queue int
}

// coderClient is one connection. broadcast alone sends to messages.
type coderClient struct {
	messages chan []byte
	conn     *websocket.Conn
}

func newCoder(queue int) *coder { return &coder{queue: queue} }

func (h *coder) serve(ln net.Listener) error { return h.serveHTTP(ln, h.attend) }

// attend upgrades a request and writes to its client until one of them gives up.
func (h *coder) attend(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // any origin, as the bench's contract says
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return // the library has answered
	}
	defer conn.CloseNow()
	c := &coderClient{messages: make(chan []byte, h.queue), conn: conn}
	h.add(c)
	defer h.remove(c)
	// Not the request's context, which net/http may end once the connection is hijacked.
	ctx := conn.CloseRead(context.Background())
	for {
		select {
		case m := <-c.messages:
			if writeTo(ctx, conn, m) != nil {
				return
			}
			h.deliveries.Add(1)
		case <-ctx.Done():
			return
		}
	}
}

func writeTo(ctx context.Context, conn *websocket.Conn, m []byte) error {
	ctx, cancel := context.WithTimeout(ctx, coderWriteTimeout)
	defer cancel()
	return conn.Write(ctx, websocket.MessageBinary, m)
}

func (h *coder) broadcast(payload []byte) {
	for _, c := range h.all() {
		select {
		case c.messages <- payload:
		default:
			go c.conn.Close(websocket.StatusPolicyViolation, "too slow")
		}
	}
}
