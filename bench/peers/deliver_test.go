package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"
)

// payloads makes n payloads of 32 B to 64 KiB, each different from all others. Those that a frame
// has other headers for come first and only twice: all of them fit into sockets' buffers, so that
// no target gives up a client that a busy machine keeps from reading.
func payloads(n int) [][]byte {
	sizes := []int{32, 125, 126, 128, 1000, 4096, 32 << 10, 0xFFFF, 64 << 10}
	random := rand.NewChaCha8([32]byte{1})
	all := make([][]byte, n)
	for i := range all {
		size := sizes[i%len(sizes)]
		if i >= 2*len(sizes) {
			size = min(size, 1000)
		}
		all[i] = make([]byte, size)
		random.Read(all[i])
		binary.BigEndian.PutUint64(all[i], uint64(i))
	}
	return all
}

// records are payloads as they stand on the control connection.
func records(all ...[]byte) []byte {
	var stream []byte
	for _, payload := range all {
		stream = append(binary.BigEndian.AppendUint32(stream, uint32(len(payload))), payload...)
	}
	return stream
}

// expect reads from conn and fails unless exactly all comes, in order.
func expect(ctx context.Context, conn *websocket.Conn, all [][]byte) error {
	for i, want := range all {
		kind, got, err := conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if kind != websocket.MessageBinary {
			return fmt.Errorf("message %d is %v", i, kind)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("message %d: got %d bytes, %x…, want %d, %x…", i, len(got), got[:min(8, len(got))], len(want), want[:8])
		}
	}
	return nil
}

// TestEveryClientGetsEverythingInOrder sends more at once than any target takes in one go,
// but less than the 256 messages at which the hubs with channels disconnect a client.
func TestEveryClientGetsEverythingInOrder(t *testing.T) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			deliver(t, name, 20, payloads(200))
		})
	}
}

func deliver(t *testing.T, name string, clients int, all [][]byte) {
	p := startTarget(t, name)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conns := connect(ctx, p, clients)
	before := p.stats()

	var group errgroup.Group
	for i, conn := range conns {
		group.Go(func() error {
			if err := expect(ctx, conn, all); err != nil {
				return fmt.Errorf("client %d: %w", i, err)
			}
			return nil
		})
	}
	if _, err := p.control.Write(records(all...)); err != nil {
		t.Fatal(err)
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	want := int64(clients * len(all))
	after := p.until("deliveries", func(s stats) bool { return s.Deliveries-before.Deliveries >= want })
	checkSends(t, name, want, before, after)

	// Nothing came twice: the next message is the next one that is sent.
	last := [][]byte{[]byte("the last message")}
	if _, err := p.control.Write(records(last...)); err != nil {
		t.Fatal(err)
	}
	for i, conn := range conns {
		if err := expect(ctx, conn, last); err != nil {
			t.Fatalf("client %d, past the end: %v", i, err)
		}
		conn.CloseNow()
	}
	p.untilClients(0)
}

// connect connects clients and waits until the target counts them.
func connect(ctx context.Context, p *target, clients int) []*websocket.Conn {
	p.t.Helper()
	conns := make([]*websocket.Conn, clients)
	for i := range conns {
		conn, _, err := websocket.Dial(ctx, fmt.Sprintf("ws://%s/any/path?%d", p.listen, i), nil)
		if err != nil {
			p.t.Fatalf("client %d: %v", i, err)
		}
		p.t.Cleanup(func() { conn.CloseNow() })
		conn.SetReadLimit(1 << 20)
		conns[i] = conn
	}
	p.untilClients(int64(clients))
	return conns
}

// checkSends checks the statistics after want messages.
func checkSends(t *testing.T, name string, want int64, before, after stats) {
	t.Helper()
	if n := after.Deliveries - before.Deliveries; n != want {
		t.Errorf("%d deliveries counted, want %d", n, want)
	}
	sends := after.Sends - before.Sends
	switch name {
	case "nbio":
		if after.Sends != -1 {
			t.Errorf("%d sends counted where they can't be", after.Sends)
		}
	case "raw-batch":
		if sends <= 0 || sends-after.Again >= want {
			t.Errorf("%d sends for %d deliveries: nothing was coalesced", sends, want)
		}
	case "centrifuge": // coalesces what its writer finds queued, which may be nothing
		if sends <= 0 {
			t.Errorf("%d sends counted for %d deliveries", sends, want)
		}
	default:
		if sends < want {
			t.Errorf("%d sends for %d deliveries: some weren't counted", sends, want)
		}
	}
}

// TestRawWaitsForAClientThatDoesNotRead has raw meet a full socket: it must wait there, and
// lose nothing.
func TestRawWaitsForAClientThatDoesNotRead(t *testing.T) {
	for _, name := range []string{"raw", "raw-batch"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startTarget(t, name)
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			conn := connect(ctx, p, 1)[0]

			payload := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
			whole, rest := p.sendUntilItStops(records(payload))
			go func() {
				// When this fails, so does the read.
				p.control.SetWriteDeadline(time.Now().Add(patience))
				p.control.Write(rest)
			}()
			for i := range whole + 1 {
				if err := expect(ctx, conn, [][]byte{payload}); err != nil {
					t.Fatalf("message %d of %d: %v", i, whole+1, err)
				}
			}
			if s := p.stats(); s.Again == 0 || s.Deliveries != int64(whole+1) {
				t.Errorf("after a full socket and %d messages: %+v", whole+1, s)
			}
		})
	}
}

// sendUntilItStops sends stream again and again until the target, which is one thread, sleeps with
// more to read. It says how often that went as a whole, and what is left of the last time.
func (p *target) sendUntilItStops(stream []byte) (whole int, rest []byte) {
	p.t.Helper()
	for rest = stream; ; {
		p.control.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := p.control.Write(rest)
		if rest = rest[n:]; len(rest) == 0 {
			whole, rest = whole+1, stream
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			p.t.Fatalf("sending record %d: %v", whole, err)
		}
		if n > 0 {
			continue
		}
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid)); err != nil {
			p.t.Fatal(err)
		} else if bytes.Contains(stat, []byte(") S ")) {
			return whole, rest
		}
	}
}
