package main

import (
	"context"
	"net"
	"net/http"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// chat is the hub of both libraries' chat examples: a channel for each client, from which a goroutine
// of its own writes. A client whose channel is full is given up. M is a message as it is queued.
type chat[M any] struct {
	roster[*chatClient[M]]
	queue   int
	prepare func(payload []byte) M
	attend  func(h *chat[M], w http.ResponseWriter, r *http.Request)
}

// chatClient is one connection. broadcast alone sends to messages.
type chatClient[M any] struct {
	messages chan M
	giveUp   func()
}

func (h *chat[M]) serve(ln net.Listener) error {
	return h.serveHTTP(ln, func(w http.ResponseWriter, r *http.Request) { h.attend(h, w, r) })
}

// write sends what is queued for a client until write fails or the client is gone.
func (h *chat[M]) write(gone <-chan struct{}, giveUp func(), write func(M) error) {
	c := &chatClient[M]{messages: make(chan M, h.queue), giveUp: giveUp}
	h.add(c)
	defer h.remove(c)
	for {
		select {
		case m := <-c.messages:
			if write(m) != nil {
				return
			}
			h.deliveries.Add(1)
		case <-gone:
			return
		}
	}
}

func (h *chat[M]) broadcast(payload []byte) {
	m := h.prepare(payload)
	for _, c := range h.all() {
		select {
		case c.messages <- m:
		default:
			go c.giveUp()
		}
	}
}

// coderWriteTimeout is the chat example's.
const coderWriteTimeout = 5 * time.Second

// newCoder is coder/websocket: the handler's goroutine writes, CloseRead's reads. The library has no
// prepared messages, and each write has a context with a timeout of its own.
func newCoder(queue int) (hub, error) {
	attend := func(h *chat[[]byte], w http.ResponseWriter, r *http.Request) {
		conn, err := coder.Accept(w, r, &coder.AcceptOptions{
			InsecureSkipVerify: true, // any origin, as the bench's contract says
			CompressionMode:    coder.CompressionDisabled,
		})
		if err != nil {
			return // the library has answered
		}
		defer conn.CloseNow()
		// Not the request's context, which net/http may end once the connection is hijacked.
		ctx := conn.CloseRead(context.Background())
		h.write(ctx.Done(), func() { conn.Close(coder.StatusPolicyViolation, "too slow") }, func(m []byte) error {
			ctx, cancel := context.WithTimeout(ctx, coderWriteTimeout)
			defer cancel()
			return conn.Write(ctx, coder.MessageBinary, m)
		})
	}
	return &chat[[]byte]{queue: queue, prepare: func(payload []byte) []byte { return payload }, attend: attend}, nil
}

// gorillaWriteWait is how long a write may take before the client is given up, as in the example.
const gorillaWriteWait = 10 * time.Second

var gorillaUpgrader = gorilla.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, CheckOrigin: anyOrigin}

// newGorilla is gorilla/websocket: two goroutines for each client. Messages are prepared once
// (PreparedMessage), one record stays one message where the example joins queued ones with newlines,
// and there are no pings, which the bench's clients needn't answer.
func newGorilla(queue int) (hub, error) {
	prepare := func(payload []byte) *gorilla.PreparedMessage {
		m, _ := gorilla.NewPreparedMessage(gorilla.BinaryMessage, payload) // only a compressor could fail, and there is none
		return m
	}
	attend := func(h *chat[*gorilla.PreparedMessage], w http.ResponseWriter, r *http.Request) {
		conn, err := gorillaUpgrader.Upgrade(w, r, nil)
		if err != nil {
			return // the library has answered
		}
		gone := make(chan struct{})
		go func() { // answers control frames and notices when the client is gone
			defer close(gone)
			conn.SetReadLimit(512)
			for {
				if _, _, err := conn.NextReader(); err != nil {
					return
				}
			}
		}()
		go func() { // not the handler's goroutine, so that the request can be collected
			defer conn.Close()
			h.write(gone, func() { conn.Close() }, func(m *gorilla.PreparedMessage) error {
				conn.SetWriteDeadline(time.Now().Add(gorillaWriteWait))
				return conn.WritePreparedMessage(m)
			})
		}()
	}
	return &chat[*gorilla.PreparedMessage]{queue: queue, prepare: prepare, attend: attend}, nil
}
