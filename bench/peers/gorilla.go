package main

import (
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// gorillaWriteWait is how long a write may take before the client is given up, as in the
// library's chat example.
const gorillaWriteWait = 10 * time.Second

var gorillaUpgrader = websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, CheckOrigin: anyOrigin}

// gorilla is the hub of gorilla/websocket's chat example: one goroutine that owns the set of
// clients, two goroutines and a channel per client. Three things differ: messages are
// prepared once (PreparedMessage), one record stays one message where the example joins
// queued ones with newlines, and there are no pings, which the bench's clients needn't answer.
type gorilla struct {
	roster[*gorillaClient] // run alone changes it
	queue                  int
	joining, leaving       chan *gorillaClient
	messages               chan *websocket.PreparedMessage
}

// gorillaClient is one connection. The hub's goroutine alone sends to and closes send.
type gorillaClient struct {
	conn *websocket.Conn
	send chan *websocket.PreparedMessage
}

func newGorilla(queue int) *gorilla {
	g := &gorilla{
		queue:    queue,
		joining:  make(chan *gorillaClient),
		leaving:  make(chan *gorillaClient),
		messages: make(chan *websocket.PreparedMessage),
	}
	go g.run()
	return g
}

func (g *gorilla) serve(ln net.Listener) error { return g.serveHTTP(ln, g.upgrade) }

// upgrade makes a request a client of the hub.
func (g *gorilla) upgrade(w http.ResponseWriter, r *http.Request) {
	conn, err := gorillaUpgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the library has answered
	}
	c := &gorillaClient{conn: conn, send: make(chan *websocket.PreparedMessage, g.queue)}
	g.joining <- c
	go g.write(c)
	go g.read(c)
}

func (g *gorilla) run() {
	drop := func(c *gorillaClient) {
		if g.remove(c) {
			close(c.send)
		}
	}
	for {
		select {
		case c := <-g.joining:
			g.add(c)
		case c := <-g.leaving:
			drop(c)
		case m := <-g.messages:
			for _, c := range g.all() {
				select {
				case c.send <- m:
				default:
					drop(c)
				}
			}
		}
	}
}

func (g *gorilla) broadcast(payload []byte) {
	m, err := websocket.NewPreparedMessage(websocket.BinaryMessage, payload)
	if err != nil {
		return // only a compressor could fail, and there is none
	}
	g.messages <- m
}

// write sends what the hub queues for c until the hub closes the queue.
func (g *gorilla) write(c *gorillaClient) {
	defer c.conn.Close()
	for m := range c.send {
		c.conn.SetWriteDeadline(time.Now().Add(gorillaWriteWait))
		if c.conn.WritePreparedMessage(m) != nil {
			return
		}
		g.deliveries.Add(1)
	}
	c.conn.WriteMessage(websocket.CloseMessage, nil)
}

// read answers control frames and notices when c is gone.
func (g *gorilla) read(c *gorillaClient) {
	defer func() {
		g.leaving <- c
		c.conn.Close()
	}()
	c.conn.SetReadLimit(512)
	for {
		if _, _, err := c.conn.NextReader(); err != nil {
			return
		}
	}
}
