package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// coderWriteTimeout is the chat example's.
const coderWriteTimeout = 5 * time.Second

// coder is the hub of coder/websocket's chat example: a set of subscribers under a mutex,
// a channel per subscriber, the handler's goroutine writes, CloseRead's reads. The library
// has no prepared messages, and each write has a context with a timeout of its own.
type coder struct {
	counters
	queue int

	mu          sync.Mutex
	subscribers map[*coderSubscriber]struct{}
}

// coderSubscriber is one connection. broadcast alone sends to messages.
type coderSubscriber struct {
	messages chan []byte
	conn     *websocket.Conn
}

func newCoder(queue int) *coder {
	return &coder{queue: queue, subscribers: make(map[*coderSubscriber]struct{})}
}

func (h *coder) serve(ln net.Listener) error {
	return http.Serve(countingListener{ln, &h.sends}, h)
}

// ServeHTTP upgrades a request and writes to its client until one of them gives up.
func (h *coder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // any origin, as the bench's contract says
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return // the library has answered
	}
	defer conn.CloseNow()
	s := &coderSubscriber{messages: make(chan []byte, h.queue), conn: conn}
	h.add(s)
	defer h.remove(s)
	// Not the request's context, which net/http may end once the connection is hijacked.
	ctx := conn.CloseRead(context.Background())
	for {
		select {
		case m := <-s.messages:
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

func (h *coder) add(s *coderSubscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subscribers[s] = struct{}{}
	h.clients.Add(1)
}

func (h *coder) remove(s *coderSubscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subscribers, s)
	h.clients.Add(-1)
}

func (h *coder) broadcast(payload []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subscribers {
		select {
		case s.messages <- payload:
		default:
			go s.conn.Close(websocket.StatusPolicyViolation, "too slow")
		}
	}
}
