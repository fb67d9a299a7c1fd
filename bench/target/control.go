package target

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"

	"github.com/busbar-ws/busbar/bench/runner"
	"github.com/busbar-ws/busbar/hub"
)

// maxRecord bounds a message of the bench, in bytes; it is the hub's own bound.
const maxRecord = 16 << 20

// control is the connection that the bench publishes over. Owned by one goroutine.
type control struct {
	conn net.Conn
	in   *bufio.Reader
	hub  *hub.Hub
	// What has been read and not published: messages, and the bytes that they are in. A full
	// buffer is replaced, so that the messages in the old one stay.
	messages [][]byte
	buffer   []byte
}

// readAhead is how many bytes of records are published in one go at most, and one record.
const readAhead = 256 << 10

// obey publishes what comes over the control connection until it ends, which is io.EOF.
// Records that have come together are published together.
func obey(ctx context.Context, h *hub.Hub, conn net.Conn) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c := &control{conn: conn, in: bufio.NewReaderSize(conn, readAhead), hub: h}
	r := &records{control: c}
	for {
		size, err := c.head()
		if err != nil {
			return err
		}
		switch size {
		case runner.ControlStats:
			if err = c.publish(ctx); err == nil {
				err = answer(h, conn)
			}
		case runner.ControlRow: // more is false before these: nothing waits
			err = r.row(ctx)
		case runner.ControlClients:
			err = r.clients(ctx)
		default:
			if err = c.read(size); err == nil && (!c.more() || len(c.messages) == h.DrainedMessages()) {
				err = c.publish(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
}

func (c *control) head() (uint32, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return 0, fmt.Errorf("reading a record: %w", err)
	}
	return binary.BigEndian.Uint32(head[:]), nil
}

// more is whether another record, or a question, has come whole.
func (c *control) more() bool {
	head, err := c.in.Peek(min(4, c.in.Buffered()))
	if err != nil || len(head) < 4 {
		return false
	}
	size := binary.BigEndian.Uint32(head)
	return size == runner.ControlStats || uint64(size)+4 <= uint64(c.in.Buffered())
}

func (c *control) read(size uint32) error {
	if size > maxRecord {
		return fmt.Errorf("a record of %d bytes: at most %d", size, maxRecord)
	}
	if cap(c.buffer)-len(c.buffer) < int(size) {
		c.buffer = make([]byte, 0, max(readAhead, int(size)))
	}
	from := len(c.buffer)
	c.buffer = c.buffer[:from+int(size)]
	if _, err := io.ReadFull(c.in, c.buffer[from:]); err != nil {
		return fmt.Errorf("reading a record: %w", err)
	}
	c.messages = append(c.messages, c.buffer[from:])
	return nil
}

// publish waits for room first: a message that pushed another one out of a full queue
// would be a loss that the bench asked for.
func (c *control) publish(ctx context.Context) error {
	if len(c.messages) == 0 {
		return nil
	}
	if err := c.hub.WaitDrained(ctx); err != nil {
		return fmt.Errorf("waiting for room: %w", err)
	}
	if err := c.hub.BroadcastBinary(c.messages...); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	clear(c.messages)
	c.messages, c.buffer = c.messages[:0], c.buffer[:0] // the hub has copied them
	return nil
}

func answer(h *hub.Hub, conn net.Conn) error {
	s := h.Stats()
	stats := runner.ServerStats{
		Clients: s.Clients, Sends: int64(s.Sends), Deliveries: int64(s.FramesDelivered),
		Takes:         []string{runner.TakesRows, runner.TakesClients, runner.TakesPresence},
		Subscriptions: s.Subscriptions, Relayed: s.Relayed, Limited: s.RateLimited["relays"], Dropped: s.Dropped,
	}
	for _, l := range s.Loops {
		stats.Loops = append(stats.Loops, runner.LoopCounts{Clients: l.Clients, Wakes: l.Wakes, Unwanted: l.Unwanted})
	}
	line, err := json.Marshal(stats)
	if err == nil {
		_, err = conn.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	return nil
}
