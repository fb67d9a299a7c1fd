package main

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

const (
	seedShards     = 16
	seedQueue      = 1024                   // messages per shard
	seedTimeout    = 200 * time.Millisecond // of a read and of a write
	seedReaderRest = time.Millisecond       // between two reads, without the mutex
)

// seedlike is the design of the hub that Busbar replaces: a reader per client that holds the
// client's mutex while it waits up to 200 ms for bytes, 16 shards by turns, a broadcast
// worker per shard behind a bounded queue, a copy of each message per client. A worker that
// wants to send waits until the reader's deadline lets go of the mutex: that is the point.
type seedlike struct {
	counters
	shards [seedShards]*seedShard
	joined atomic.Uint64
}

// seedShard is a sixteenth of the clients. Safe from any goroutine.
type seedShard struct {
	owner    *seedlike
	messages chan []byte

	mu      sync.Mutex
	clients map[*seedClient]struct{}
}

// seedClient is one connection; whoever reads or writes holds mu.
type seedClient struct {
	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
}

func newSeedlike() *seedlike {
	h := &seedlike{}
	for i := range h.shards {
		h.shards[i] = &seedShard{
			owner:    h,
			messages: make(chan []byte, seedQueue),
			clients:  make(map[*seedClient]struct{}),
		}
		go h.shards[i].run()
	}
	return h
}

func (h *seedlike) serve(ln net.Listener) error {
	counting := countingListener{ln, &h.sends}
	for {
		conn, err := counting.Accept()
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		go h.attend(conn)
	}
}

// attend upgrades conn and reads from it until it is gone.
func (h *seedlike) attend(conn net.Conn) {
	defer conn.Close()
	if _, err := ws.Upgrade(conn); err != nil {
		return // an answer has been sent
	}
	c := &seedClient{conn: conn, in: bufio.NewReaderSize(conn, 512)}
	shard := h.shards[(h.joined.Add(1)-1)%seedShards]
	shard.add(c)
	defer shard.remove(c)
	for c.read() {
		time.Sleep(seedReaderRest)
	}
}

func (h *seedlike) broadcast(payload []byte) {
	for _, shard := range h.shards {
		shard.put(payload)
	}
}

// put queues payload, and drops the oldest message in its place when the queue is full.
// broadcast's goroutine alone may call it.
func (s *seedShard) put(payload []byte) {
	for {
		select {
		case s.messages <- payload:
			return
		default:
		}
		select {
		case <-s.messages:
		default:
		}
	}
}

// run is the shard's broadcast worker.
func (s *seedShard) run() {
	for payload := range s.messages {
		for _, c := range s.snapshot() {
			if err := c.send(payload); err != nil {
				s.remove(c)
				c.conn.Close()
				continue
			}
			s.owner.deliveries.Add(1)
		}
	}
}

func (s *seedShard) snapshot() []*seedClient {
	s.mu.Lock()
	defer s.mu.Unlock()
	clients := make([]*seedClient, 0, len(s.clients))
	for c := range s.clients {
		clients = append(clients, c)
	}
	return clients
}

func (s *seedShard) add(c *seedClient) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c] = struct{}{}
	s.owner.clients.Add(1)
}

func (s *seedShard) remove(c *seedClient) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.clients[c]; ok {
		delete(s.clients, c)
		s.owner.clients.Add(-1)
	}
}

// send writes payload, from a copy of its own as the original does.
func (c *seedClient) send(payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	frame := appendFrame(nil, slices.Clone(payload))
	c.conn.SetWriteDeadline(time.Now().Add(seedTimeout))
	_, err := c.conn.Write(frame)
	return err
}

// read waits for a frame until the deadline, with the mutex held, and says whether the
// client is still there.
func (c *seedClient) read() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.SetReadDeadline(time.Now().Add(seedTimeout))
	if _, err := c.in.Peek(1); err != nil {
		ne, ok := err.(net.Error)
		return ok && ne.Timeout()
	}
	// A frame has begun; one that doesn't end within the deadline ends the connection.
	frame, err := ws.ReadFrame(c.in)
	if err != nil || frame.Header.OpCode == ws.OpClose {
		return false
	}
	if frame.Header.OpCode != ws.OpPing {
		return true
	}
	frame = ws.UnmaskFrameInPlace(frame)
	c.conn.SetWriteDeadline(time.Now().Add(seedTimeout))
	return ws.WriteFrame(c.conn, ws.NewPongFrame(frame.Payload)) == nil
}
