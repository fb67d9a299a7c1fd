package target

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/busbar-ws/busbar/hub"
)

// records are those for some clients only, each of which is published by itself. Owned by
// one goroutine.
type records struct {
	*control
	payload []byte   // of the last record, reused
	ids     []uint64 // of the clients by the bench's numbers; nil until they are asked for
}

// sized reads a length and so many bytes, which are valid until the next record.
func (r *records) sized() ([]byte, error) {
	size, err := r.head()
	if err != nil {
		return nil, err
	}
	if size > maxRecord {
		return nil, fmt.Errorf("a record of %d bytes: at most %d", size, maxRecord)
	}
	if cap(r.payload) < int(size) {
		r.payload = make([]byte, size)
	}
	r.payload = r.payload[:size]
	if _, err := io.ReadFull(r.in, r.payload); err != nil {
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	return r.payload, nil
}

// hand has the hub publish when there is room, as control.publish does.
func (r *records) hand(ctx context.Context, publish func() error) error {
	if err := r.hub.WaitDrained(ctx); err != nil {
		return fmt.Errorf("waiting for room: %w", err)
	}
	if err := publish(); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	return nil
}

// row publishes to a row's subscribers. The hub may keep the payload, so it gets its own.
func (r *records) row(ctx context.Context) error {
	record, err := r.sized()
	if err != nil {
		return err
	}
	f, err := hub.ParseRowFrame(record)
	if err != nil {
		return fmt.Errorf("a record for a row: %w", err)
	}
	return r.hand(ctx, func() error {
		return r.hub.PublishRow(f.Kind, "", f.Entity, f.RowID, slices.Clone(f.Payload))
	})
}

// clients publishes to some clients.
func (r *records) clients(ctx context.Context) error {
	var b [2]byte
	if _, err := io.ReadFull(r.in, b[:]); err != nil {
		return fmt.Errorf("reading a record: %w", err)
	}
	ids := make([]uint64, binary.BigEndian.Uint16(b[:]))
	for i := range ids {
		number, err := r.head()
		if err != nil {
			return err
		}
		if ids[i], err = r.id(ctx, number); err != nil {
			return err
		}
	}
	payload, err := r.sized()
	if err != nil {
		return err
	}
	return r.hand(ctx, func() error { return r.hub.SendBinary(payload, ids...) })
}

// id is that of the client with a number. Numbers are given out in no order: otherwise
// neighbours would be neighbours in the server's memory as well.
func (r *records) id(ctx context.Context, number uint32) (uint64, error) {
	if r.ids == nil {
		all, err := r.hub.Clients(ctx, 0, math.MaxInt)
		if err != nil {
			return 0, fmt.Errorf("numbering the clients: %w", err)
		}
		for _, c := range all {
			r.ids = append(r.ids, c.ID)
		}
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(r.ids), func(i, j int) { r.ids[i], r.ids[j] = r.ids[j], r.ids[i] }) //nolint:gosec // the same each time
	}
	if int(number) >= len(r.ids) {
		return 0, fmt.Errorf("a record for client %d: there are %d", number, len(r.ids))
	}
	return r.ids[number], nil
}
