package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// ControlStats, in place of a record's length, asks a target for its statistics.
const ControlStats = 0xFFFFFFFE

// controlPatience bounds how long a target may take for an answer, or to take a message.
const controlPatience = 30 * time.Second

// Control is the connection through which a target is told to publish: records of a
// length (u32, big endian) and so many bytes, each broadcast as one binary message.
// Owned by one goroutine.
type Control struct {
	conn   net.Conn
	reader *bufio.Reader
	buffer []byte // records that weren't sent yet
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
	Clients  int    `json:"clients"`  // now
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
	d := net.Dialer{Timeout: controlPatience, KeepAlive: -1}
	conn, err := d.Dial("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting to a target's control address: %w", err)
	}
	return &Control{conn: conn, reader: bufio.NewReader(conn)}, nil
}

// add puts a message behind those that the next flush sends, and returns the payload to
// be filled in, which is valid until then.
func (c *Control) add(size int) []byte {
	c.buffer = binary.BigEndian.AppendUint32(c.buffer, uint32(size))
	start := len(c.buffer)
	for len(c.buffer) < start+size {
		c.buffer = append(c.buffer, filling[:min(len(filling), start+size-len(c.buffer))]...)
	}
	return c.buffer[start:]
}

// filling is what payloads consist of behind the stamp.
var filling [4096]byte

func init() {
	for i := range filling {
		filling[i] = "busbar"[i%6]
	}
}

// flush sends what was added.
func (c *Control) flush() error {
	if len(c.buffer) == 0 {
		return nil
	}
	_ = c.conn.SetDeadline(time.Now().Add(controlPatience))
	_, err := c.conn.Write(c.buffer)
	c.buffer = c.buffer[:0]
	if err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	return nil
}

// Stats asks for the target's statistics.
func (c *Control) Stats() (ServerStats, error) {
	c.buffer = binary.BigEndian.AppendUint32(c.buffer, ControlStats)
	if err := c.flush(); err != nil {
		return ServerStats{}, err
	}
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
func (c *Control) Close() error { return c.conn.Close() }
