package target

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/hub"
)

// maxRecord bounds a message of the bench, in bytes; it is the hub's own bound.
const maxRecord = 16 << 20

// obey publishes what comes over the control connection until it ends, which is io.EOF.
func obey(ctx context.Context, h *hub.Hub, conn net.Conn) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	in := bufio.NewReaderSize(conn, 64<<10)
	var head [4]byte
	var payload []byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return fmt.Errorf("reading a record: %w", err)
		}
		size := binary.BigEndian.Uint32(head[:])
		if size == bench.ControlStats {
			if err := answer(h, conn); err != nil {
				return err
			}
			continue
		}
		if size > maxRecord {
			return fmt.Errorf("a record of %d bytes: at most %d", size, maxRecord)
		}
		if cap(payload) < int(size) {
			payload = make([]byte, size)
		}
		payload = payload[:size]
		if _, err := io.ReadFull(in, payload); err != nil {
			return fmt.Errorf("reading a record: %w", err)
		}
		if err := publish(ctx, h, payload); err != nil {
			return err
		}
	}
}

// publish waits for room first: a message that pushed another one out of a full queue
// would be a loss that the bench asked for.
func publish(ctx context.Context, h *hub.Hub, payload []byte) error {
	if err := h.AwaitRoom(ctx); err != nil {
		return fmt.Errorf("waiting for room: %w", err)
	}
	if err := h.BroadcastBinary(payload); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	return nil
}

func answer(h *hub.Hub, conn net.Conn) error {
	s := h.Stats()
	line, err := json.Marshal(bench.ServerStats{
		Clients: s.Clients, Sends: int64(s.Sends), Deliveries: int64(s.FramesDelivered),
	})
	if err == nil {
		_, err = conn.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	return nil
}
