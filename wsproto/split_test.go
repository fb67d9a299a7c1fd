package wsproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

var testMask = [4]byte{0x37, 0xfa, 0x21, 0x3d} // RFC 6455 5.7

// clientFrame is an independent writer: it masks byte by byte.
func clientFrame(fin bool, op ws.OpCode, payload string) []byte {
	b0 := byte(op)
	if fin {
		b0 |= 0x80
	}
	p := []byte{b0}
	switch n := len(payload); {
	case n < 126:
		p = append(p, 0x80|byte(n))
	case n < 1<<16:
		p = binary.BigEndian.AppendUint16(append(p, 0x80|126), uint16(n))
	default:
		p = binary.BigEndian.AppendUint64(append(p, 0x80|127), uint64(n))
	}
	p = append(p, testMask[:]...)
	for i := range len(payload) {
		p = append(p, payload[i]^testMask[i%4])
	}
	return p
}

func frames(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func closePayload(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

// decodeIn feeds stream in pieces of the sizes that next gives, and tells what
// came out, one line per event.
func decodeIn(stream []byte, maxMessage int, next func() int) []string {
	return decodeInflating(stream, maxMessage, 0, next)
}

// decodeInflating is decodeIn for a client that may send compressed messages, unless
// inflateTo is 0.
func decodeInflating(stream []byte, maxMessage, inflateTo int, next func() int) []string {
	var d Decoder
	mostHeld := max(maxMessage, 0)
	if inflateTo > 0 {
		d.AllowDeflate(inflateTo)
		mostHeld = max(mostHeld, packedLimit(min(maxMessage, inflateTo)))
	}
	defer d.Release()
	var events []string
	rest := bytes.Clone(stream)
	for len(rest) > 0 {
		size := min(max(next(), 1), len(rest))
		p := bytes.Clone(rest[:size])
		rest = rest[size:]
		for len(p) > 0 {
			m, n, ok, err := d.Decode(p, maxMessage)
			if err != nil {
				var violated *ProtocolError
				if !errors.As(err, &violated) {
					return append(events, "not a ProtocolError: "+err.Error())
				}
				return append(events, fmt.Sprintf("error %d %s", violated.Code, violated.Reason))
			}
			if held := d.Held(); held-maxControl > mostHeld {
				return append(events, fmt.Sprintf("holds %d bytes", held))
			}
			if ok {
				events = append(events, fmt.Sprintf("%x %x", byte(m.Opcode), m.Payload))
			} else if n != len(p) {
				return append(events, fmt.Sprintf("wants more and took %d of %d", n, len(p)))
			}
			p = p[n:]
		}
	}
	return append(events, fmt.Sprintf("idle=%t held=%d", d.Idle(), d.Held()))
}

func whole(stream []byte, maxMessage int) []string {
	return decodeIn(stream, maxMessage, func() int { return len(stream) })
}

func perByte(stream []byte, maxMessage int) []string {
	return decodeIn(stream, maxMessage, func() int { return 1 })
}

func event(op ws.OpCode, payload string) string { return fmt.Sprintf("%x %x", byte(op), payload) }

func failure(e *ProtocolError) string { return fmt.Sprintf("error %d %s", e.Code, e.Reason) }

// atRest is the last event of a stream that ends with a message.
const atRest = "idle=true held=0"

// expectAnySplit decodes stream in one piece, in every two pieces (of a short
// stream), byte by byte and in random pieces.
func expectAnySplit(t *testing.T, stream []byte, maxMessage int, want []string) {
	t.Helper()
	expectEvents(t, "in one piece", whole(stream, maxMessage), want)
	expectEvents(t, "byte by byte", perByte(stream, maxMessage), want)
	cuts := min(len(stream), 300)
	if len(stream) > 4096 {
		cuts = 24 // its header and some of the payload
	}
	for at := 1; at < cuts; at++ {
		sizes := []int{at, len(stream)}
		expectEvents(t, fmt.Sprintf("cut at %d", at), decodeIn(stream, maxMessage, func() int {
			size := sizes[0]
			sizes = sizes[1:]
			return size
		}), want)
	}
	random := rand.New(rand.NewPCG(1, uint64(len(stream))))
	for range 20 {
		expectEvents(t, "in random pieces", decodeIn(stream, maxMessage, func() int { return random.IntN(30) }), want)
	}
}

func expectEvents(t *testing.T, how string, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Fatalf("%s:\ngot\n%.300s\nwant\n%.300s", how, g, w)
	}
}
