package wsproto

import (
	"bytes"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// decodeOne expects that p is one message and no more.
func decodeOne(t *testing.T, d *Decoder, p []byte) Message {
	t.Helper()
	m, n, ok, err := d.Decode(p, 1<<20)
	if err != nil || !ok || n != len(p) {
		t.Fatalf("Decode of %d bytes: n=%d ok=%t err=%v, want all of them and a message", len(p), n, ok, err)
	}
	return m
}

// decodeNone expects that p ends inside a message.
func decodeNone(t *testing.T, d *Decoder, p []byte) {
	t.Helper()
	if m, n, ok, err := d.Decode(p, 1<<20); err != nil || ok || n != len(p) {
		t.Fatalf("Decode of %d bytes: %+v n=%d ok=%t err=%v, want all of them and no message", len(p), m, n, ok, err)
	}
}

func TestDecodeUnmasksInPlace(t *testing.T) {
	for _, c := range []struct {
		name   string
		before []byte
		frame  []byte
	}{
		{"text", nil, clientFrame(true, ws.OpText, "hello there")},
		{"ping", nil, clientFrame(true, ws.OpPing, "hello there")},
		{"text whose header came before", clientFrame(true, ws.OpText, "hello there")[:6], clientFrame(true, ws.OpText, "hello there")[6:]},
		{"ping inside a fragmented message", clientFrame(false, ws.OpText, "begun"), clientFrame(true, ws.OpPing, "hello there")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			defer d.Release()
			decodeNone(t, &d, c.before)
			m := decodeOne(t, &d, c.frame)
			if &m.Payload[0] != &c.frame[len(c.frame)-len(m.Payload)] {
				t.Error("the payload was copied")
			}
		})
	}
}

// A frame that comes in pieces must not be unmasked where it lies: those bytes
// belong to the reader.
func TestDecodeLeavesPiecesAlone(t *testing.T) {
	var d Decoder
	defer d.Release()
	frame := clientFrame(true, ws.OpText, "hello there")
	p := bytes.Clone(frame)
	decodeNone(t, &d, p[:9])
	m := decodeOne(t, &d, p[9:])
	if string(m.Payload) != "hello there" || !bytes.Equal(p, frame) {
		t.Errorf("got %q, pieces changed: %t", m.Payload, !bytes.Equal(p, frame))
	}
}

func TestHeldAndIdle(t *testing.T) {
	first, last := clientFrame(false, ws.OpText, "abc"), clientFrame(true, ws.OpContinuation, "def")
	ping := clientFrame(true, ws.OpPing, "12345")
	var d Decoder
	check := func(when string, held int, idle bool) {
		t.Helper()
		if d.Held() != held || d.Idle() != idle {
			t.Errorf("%s: held %d idle %t, want %d %t", when, d.Held(), d.Idle(), held, idle)
		}
	}
	check("new", 0, true)
	decodeNone(t, &d, first[:1])
	check("one byte of a header", 0, false)
	decodeNone(t, &d, first[1:8])
	check("two bytes of payload", 2, false)
	decodeNone(t, &d, first[8:])
	check("a fragment", 3, false)
	decodeNone(t, &d, ping[:9])
	check("part of a ping", 6, false)
	decodeOne(t, &d, ping[9:])
	check("the ping given out", 3, false)
	m := decodeOne(t, &d, last)
	check("the message given out", 0, true)
	if string(m.Payload) != "abcdef" {
		t.Errorf("got %q", m.Payload)
	}
	decodeNone(t, &d, first)
	d.Release()
	if d != (Decoder{}) {
		t.Errorf("not a zero value after Release: %+v", d)
	}
}

// An attacker who announces much and sends little must not make the server
// allocate what was announced.
func TestAnnouncedLengthIsNotAllocated(t *testing.T) {
	const clients, announced = 1000, 64 << 10
	frame := clientFrame(true, ws.OpText, strings.Repeat("x", announced))
	decoders := make([]Decoder, clients)
	allocated := allocatedBy(func() {
		for i := range decoders {
			decodeNone(t, &decoders[i], frame[:15]) // the header and one byte
		}
	})
	if each := allocated / clients; each > 2<<10 {
		t.Errorf("%d bytes allocated for each byte received", each)
	}
}

// Nor may it make the server hand out big buffers that others have left.
func TestBigBuffersAreNotReused(t *testing.T) {
	frame := clientFrame(true, ws.OpBinary, strings.Repeat("x", 64<<10))
	for range 20 {
		var big, small Decoder
		decodeNone(t, &big, bytes.Clone(frame[:len(frame)/2]))
		decodeOne(t, &big, bytes.Clone(frame[len(frame)/2:]))
		big.Release()
		decodeNone(t, &small, frame[:15])
		if got := cap(small.buf.B); got > maxPooled {
			t.Fatalf("one byte is held in a buffer of %d", got)
		}
		small.Release()
	}
}

// Byte by byte, in one frame or in a frame each, a message is copied a bounded
// number of times: its buffer doubles.
func TestByteByByteIsLinear(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   int
		limit  int
		stream []byte
	}{
		{"one frame", 1 << 20, 1 << 20, clientFrame(true, ws.OpText, strings.Repeat("x", 1<<20))},
		{"a frame each", 1 << 16, 1 << 16, fragments(1<<16, nil)},
		{"no limit to speak of", 1 << 16, math.MaxInt, fragments(1<<16, nil)},
		{"a ping behind each", 1 << 14, 1 << 14, fragments(1<<14, clientFrame(true, ws.OpPing, strings.Repeat("p", maxControl)))},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			defer d.Release()
			allocated := allocatedBy(func() {
				for i := range c.stream {
					if _, _, _, err := d.Decode(c.stream[i:i+1], c.limit); err != nil {
						t.Fatal(err)
					}
				}
			})
			if allocated > uint64(4*c.size) {
				t.Errorf("%d bytes allocated for a message of %d", allocated, c.size)
			}
			if !d.Idle() {
				t.Error("the message isn't complete")
			}
		})
	}
}

// fragments is a message of one-byte fragments with something behind each.
func fragments(n int, between []byte) []byte {
	stream := clientFrame(false, ws.OpText, "")
	for range n {
		stream = append(stream, clientFrame(false, ws.OpContinuation, "x")...)
		stream = append(stream, between...)
	}
	return append(stream, clientFrame(true, ws.OpContinuation, "")...)
}

func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
