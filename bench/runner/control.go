package runner

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/gobwas/ws"
)

// ControlStats, in place of a record's length, asks a target for its statistics.
const ControlStats = 0xFFFFFFFE

// ControlPatience bounds how long a target may take for an answer, or to take a message.
const ControlPatience = 30 * time.Second

// Control is the connection through which a target is told to publish: records of a
// length (u32, big endian) and so many bytes, each broadcast as one binary message.
// Owned by one goroutine.
type Control struct {
	conn   net.Conn
	reader *bufio.Reader
	buffer []byte // records that weren't sent yet

	protocol string        // of a server to which this is a client that publishes; empty: of a target
	drained  chan struct{} // closed when nobody reads from that server any more
}

// ServerStats are what a target says about itself: totals since it started.
type ServerStats struct {
	Clients    int   `json:"clients"`    // connected, now
	Sends      int64 `json:"sends"`      // system calls that wrote to clients; -1 where it can't count them
	Deliveries int64 `json:"deliveries"` // messages that went to a client's socket

	// What follows is of targets that take more than broadcasts.
	Takes         []string          `json:"takes,omitempty"`         // TakesRows and so on
	Subscriptions int               `json:"subscriptions,omitempty"` // pairs of a client and a row, now
	Loops         []LoopCounts      `json:"loops,omitempty"`
	Relayed       uint64            `json:"relayed,omitempty"` // messages of clients that were passed on
	Limited       uint64            `json:"limited,omitempty"` // messages of clients that were too many to be
	Dropped       map[string]uint64 `json:"dropped,omitempty"` // messages, by cause
}

// LoopCounts are of one of a target's event loops: totals since it started.
type LoopCounts struct {
	Wakes    uint64 `json:"wakes"`    // times that it was woken for messages
	Unwanted uint64 `json:"unwanted"` // messages to a row that none of its clients had
}

// ListenControl listens at a target's control address. Neither end asks whether the other is
// still there: a machine that very many clients keep busy may take minutes to answer, and a
// process that ends ends its connection.
func ListenControl(ctx context.Context, address string) (net.Listener, error) {
	l := net.ListenConfig{KeepAlive: -1}
	return l.Listen(ctx, "tcp", address)
}

// DialControl connects to a target's control address.
func DialControl(address string) (*Control, error) {
	d := net.Dialer{Timeout: ControlPatience, KeepAlive: -1}
	conn, err := d.Dial("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting to a target's control address: %w", err)
	}
	return &Control{conn: conn, reader: bufio.NewReader(conn)}, nil
}

// Add puts a message behind those that the next Flush sends, and returns the payload to
// be filled in, which is valid until then.
func (c *Control) Add(size int) []byte {
	end := ""
	switch c.protocol {
	case Echo:
		c.addFrame(ws.OpBinary, "", size)
	case Centrifugo:
		end = centrifugoEnd
		c.addFrame(ws.OpText, centrifugoPublish, size+len(end))
	default:
		c.buffer = binary.BigEndian.AppendUint32(c.buffer, uint32(size))
	}
	start := len(c.buffer)
	for len(c.buffer) < start+size {
		c.buffer = append(c.buffer, filling[:min(len(filling), start+size-len(c.buffer))]...)
	}
	c.buffer = append(c.buffer, end...)
	return c.buffer[start : start+size]
}

// filling is what payloads consist of behind the stamp.
var filling = bytes.Repeat([]byte("busbar"), 682)

// Buffered is how many bytes the next Flush sends.
func (c *Control) Buffered() int { return len(c.buffer) }

// Flush sends what was added.
func (c *Control) Flush() error {
	if len(c.buffer) == 0 {
		return nil
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(ControlPatience))
	_, err := c.conn.Write(c.buffer)
	c.buffer = c.buffer[:0]
	if err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	return nil
}

// Stats asks for the target's statistics. A server that has none counts -1 of everything.
func (c *Control) Stats() (ServerStats, error) {
	if c.protocol != "" {
		return ServerStats{Clients: -1, Sends: -1, Deliveries: -1}, c.Flush()
	}
	c.buffer = binary.BigEndian.AppendUint32(c.buffer, ControlStats)
	if err := c.Flush(); err != nil {
		return ServerStats{}, err
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(ControlPatience))
	line, err := c.reader.ReadBytes('\n')
	if err != nil {
		return ServerStats{}, fmt.Errorf("reading a target's statistics: %w", err)
	}
	var s ServerStats
	if err := json.Unmarshal(line, &s); err != nil {
		return ServerStats{}, fmt.Errorf("reading a target's statistics %q: %w", line, err)
	}
	return s, nil
}

// Close ends the connection.
func (c *Control) Close() error {
	err := c.conn.Close()
	if c.drained != nil {
		<-c.drained
	}
	return err
}

// In place of a record's length these announce another kind of record, for targets that
// name it in ServerStats.Takes. Others are never sent one.
const (
	// ControlRow: a length (u32) follows and so many bytes, a row frame (docs/protocol.md section 3), which
	// is to be published to the row's subscribers.
	ControlRow = 0xFFFFFFFD
	// ControlClients: a count (u16) and so many numbers of clients (u32 each), then a length
	// (u32) and so many bytes, to be sent to these clients as one binary message. Which
	// client has which number from 0 on is the target's choice, and stays.
	ControlClients = 0xFFFFFFFC
)

// What a target may name in ServerStats.Takes.
const (
	TakesRows     = "rows"     // ControlRow; every client may subscribe to every row, whose snapshot is empty
	TakesClients  = "clients"  // ControlClients
	TakesPresence = "presence" // relays what clients send (docs/protocol.md section 2), and counts that in its statistics
)

// Requires checks that a target takes all of some kinds.
func (s *ServerStats) Requires(target string, kinds ...string) error {
	for _, kind := range kinds {
		if !slices.Contains(s.Takes, kind) {
			return fmt.Errorf("%w: target %s doesn't take %s", ErrOptions, target, kind)
		}
	}
	return nil
}

// AddRow is Add for a publish to a row. The row frame begins with head, and has size bytes in
// all; what is returned lies behind the head.
func (c *Control) AddRow(head []byte, size int) []byte {
	c.buffer = binary.BigEndian.AppendUint32(c.buffer, ControlRow)
	frame := c.Add(size)
	return frame[copy(frame, head):]
}

// AddTo is Add for a message to some clients.
func (c *Control) AddTo(clients []uint32, size int) []byte {
	c.buffer = binary.BigEndian.AppendUint32(c.buffer, ControlClients)
	c.buffer = binary.BigEndian.AppendUint16(c.buffer, uint16(len(clients)))
	for _, number := range clients {
		c.buffer = binary.BigEndian.AppendUint32(c.buffer, number)
	}
	return c.Add(size)
}
