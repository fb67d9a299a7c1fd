package target

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"slices"

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
	// What has been read and not published: messages to all, and the bytes that these and others are in. A full
	// buffer is replaced, so that the messages in the old one stay.
	messages [][]byte
	buffer   []byte
	ids      []uint64 // of the clients by the bench's numbers; nil until they are asked for
}

// readAhead is how many bytes of records are published in one go at most, and one record.
const readAhead = 256 << 10

// obey publishes what comes over the control connection until it ends, which is io.EOF.
// Records that have come together are published together.
func obey(ctx context.Context, h *hub.Hub, conn net.Conn) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c := &control{conn: conn, in: bufio.NewReaderSize(conn, readAhead), hub: h}
	for {
		if err := c.record(ctx); err != nil {
			return err
		}
	}
}

func (c *control) record(ctx context.Context) error {
	size, err := c.number()
	if err != nil {
		return err
	}
	switch size {
	case runner.ControlStats:
		if err := c.publish(ctx); err != nil {
			return err
		}
		return c.answer()
	case runner.ControlRow: // more is false before these: nothing waits
		return c.row(ctx)
	case runner.ControlClients:
		return c.clients(ctx)
	}
	message, err := c.read(size)
	if err != nil {
		return err
	}
	c.messages = append(c.messages, message)
	if c.more() && len(c.messages) < c.hub.DrainedMessages() {
		return nil
	}
	return c.publish(ctx)
}

func (c *control) number() (uint32, error) {
	var b [4]byte
	if _, err := io.ReadFull(c.in, b[:]); err != nil {
		return 0, fmt.Errorf("reading a record: %w", err)
	}
	return binary.BigEndian.Uint32(b[:]), nil
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

// read reads so many bytes, which are valid until something is published.
func (c *control) read(size uint32) ([]byte, error) {
	if size > maxRecord {
		return nil, fmt.Errorf("a record of %d bytes: at most %d", size, maxRecord)
	}
	if cap(c.buffer)-len(c.buffer) < int(size) {
		c.buffer = make([]byte, 0, max(readAhead, int(size)))
	}
	from := len(c.buffer)
	c.buffer = c.buffer[:from+int(size)]
	if _, err := io.ReadFull(c.in, c.buffer[from:]); err != nil {
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	return c.buffer[from:], nil
}

// sized reads a length and so many bytes.
func (c *control) sized() ([]byte, error) {
	size, err := c.number()
	if err != nil {
		return nil, err
	}
	return c.read(size)
}

// hand has the hub publish when there is room: a message that pushed another one out of a full
// queue would be a loss that the bench asked for. The hub has copied what it needs.
func (c *control) hand(ctx context.Context, publish func() error) error {
	if err := c.hub.WaitDrained(ctx); err != nil {
		return fmt.Errorf("waiting for room: %w", err)
	}
	if err := publish(); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	clear(c.messages)
	c.messages, c.buffer = c.messages[:0], c.buffer[:0]
	return nil
}

// publish publishes messages to all that have been read.
func (c *control) publish(ctx context.Context) error {
	if len(c.messages) == 0 {
		return nil
	}
	return c.hand(ctx, func() error { return c.hub.BroadcastBinary(c.messages...) })
}

// row publishes to a row's subscribers. The hub may keep the payload, so it gets its own.
func (c *control) row(ctx context.Context) error {
	record, err := c.sized()
	if err != nil {
		return err
	}
	f, err := hub.ParseRowFrame(record)
	if err != nil {
		return fmt.Errorf("a record for a row: %w", err)
	}
	return c.hand(ctx, func() error {
		return c.hub.PublishRow(f.Kind, "", f.Entity, f.RowID, slices.Clone(f.Payload))
	})
}

// clients publishes to some clients.
func (c *control) clients(ctx context.Context) error {
	var b [2]byte
	if _, err := io.ReadFull(c.in, b[:]); err != nil {
		return fmt.Errorf("reading a record: %w", err)
	}
	ids := make([]uint64, binary.BigEndian.Uint16(b[:]))
	for i := range ids {
		number, err := c.number()
		if err != nil {
			return err
		}
		if ids[i], err = c.id(ctx, number); err != nil {
			return err
		}
	}
	payload, err := c.sized()
	if err != nil {
		return err
	}
	return c.hand(ctx, func() error { return c.hub.SendBinary(payload, ids...) })
}

// id is that of the client with a number. Numbers are given out in no order: otherwise
// neighbours would be neighbours in the server's memory as well.
func (c *control) id(ctx context.Context, number uint32) (uint64, error) {
	if c.ids == nil {
		all, err := c.hub.Clients(ctx, 0, math.MaxInt)
		if err != nil {
			return 0, fmt.Errorf("numbering the clients: %w", err)
		}
		for _, client := range all {
			c.ids = append(c.ids, client.ID)
		}
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(c.ids), func(i, j int) { c.ids[i], c.ids[j] = c.ids[j], c.ids[i] }) //nolint:gosec // the same each time
	}
	if int(number) >= len(c.ids) {
		return 0, fmt.Errorf("a record for client %d: there are %d", number, len(c.ids))
	}
	return c.ids[number], nil
}

func (c *control) answer() error {
	s := c.hub.Stats()
	stats := runner.ServerStats{
		Clients: s.Clients, Sends: int64(s.Sends), Deliveries: int64(s.FramesDelivered),
		Takes:         []string{runner.TakesRows, runner.TakesClients, runner.TakesPresence},
		Subscriptions: s.Subscriptions, Relayed: s.Relayed, Limited: s.RateLimited["relays"], Dropped: s.Dropped,
	}
	for _, l := range s.Loops {
		stats.Loops = append(stats.Loops, runner.LoopCounts{Wakes: l.Wakes, Unwanted: l.Unwanted})
	}
	if err := json.NewEncoder(c.conn).Encode(stats); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	return nil
}
