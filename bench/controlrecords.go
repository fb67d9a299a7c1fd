package bench

import (
	"encoding/binary"
	"fmt"
	"slices"
)

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

// requires checks that a target takes all of some kinds.
func (s *ServerStats) requires(target string, kinds ...string) error {
	for _, kind := range kinds {
		if !slices.Contains(s.Takes, kind) {
			return fmt.Errorf("%w: target %s doesn't take %s", ErrOptions, target, kind)
		}
	}
	return nil
}

// addRow is add for a publish to a row. size is that of the whole row frame; what is
// returned begins behind the frame's head.
func (c *Control) addRow(row uint64, size int) []byte {
	c.buffer = binary.BigEndian.AppendUint32(c.buffer, ControlRow)
	frame := c.add(size)
	appendRowHead(frame[:0], rowUpdate, row)
	return frame[rowHeadSize:]
}

// addTo is add for a message to some clients.
func (c *Control) addTo(clients []uint32, size int) []byte {
	c.buffer = binary.BigEndian.AppendUint32(c.buffer, ControlClients)
	c.buffer = binary.BigEndian.AppendUint16(c.buffer, uint16(len(clients)))
	for _, number := range clients {
		c.buffer = binary.BigEndian.AppendUint32(c.buffer, number)
	}
	return c.add(size)
}
