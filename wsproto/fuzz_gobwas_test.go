package wsproto

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// reading is what gobwas makes of a stream: our words for the events, and how it went on.
type reading struct {
	events []string
	end    outcome
}

type outcome string

const (
	atBoundary outcome = "idle"
	unfinished outcome = "unfinished" // inside a header or payload: what is there may be wrong already
	forbidden  outcome = "error"
)

// gobwasReader reads a stream frame by frame with gobwas/ws, and judges by its checks. What
// these don't cover is added here in plain form: minimal lengths, UTF-8, close codes from
// 5000 on, and that 1012 to 1014 have been registered since.
type gobwasReader struct {
	reading
	left       *bytes.Reader
	state      ws.State
	kind       ws.OpCode // of the message that has begun, 0 for none
	message    []byte
	maxMessage int
}

func gobwasReading(stream []byte, maxMessage int) reading {
	r := gobwasReader{left: bytes.NewReader(stream), state: ws.StateServerSide, maxMessage: maxMessage}
	for r.end == "" {
		r.frame(stream[len(stream)-r.left.Len():])
	}
	return r.reading
}

// frame reads the next frame, which start begins with.
func (r *gobwasReader) frame(start []byte) {
	h, err := ws.ReadHeader(r.left)
	switch {
	case len(start) == 0 && r.kind == 0:
		r.end = atBoundary
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		r.end = unfinished
	case err != nil || ws.CheckHeader(h, r.state) != nil || !minimal(start, h.Length),
		!h.OpCode.IsControl() && h.Length > int64(max(r.maxMessage-len(r.message), 0)):
		r.end = forbidden
	case int64(r.left.Len()) < h.Length:
		r.end = unfinished
	default:
		payload := make([]byte, h.Length)
		_, _ = io.ReadFull(r.left, payload)
		ws.Cipher(payload, h.Mask, 0)
		r.payload(h, payload)
	}
}

func (r *gobwasReader) payload(h ws.Header, payload []byte) {
	if h.OpCode.IsControl() {
		if h.OpCode == ws.OpClose && !gobwasAllowsClose(payload) {
			r.end = forbidden
			return
		}
		r.events = append(r.events, event(h.OpCode, string(payload)))
		return
	}
	if h.OpCode != ws.OpContinuation {
		r.kind = h.OpCode
	}
	r.message = append(r.message, payload...)
	if r.kind == ws.OpText && !mayBecomeText(r.message, h.Fin) {
		r.end = forbidden
		return
	}
	r.state = r.state.Set(ws.StateFragmented)
	if h.Fin {
		r.events = append(r.events, event(r.kind, string(r.message)))
		r.state, r.kind, r.message = r.state.Clear(ws.StateFragmented), 0, nil
	}
}

// minimal says whether the header at the front of p has its length in the shortest form.
func minimal(p []byte, length int64) bool {
	switch p[1] & 0x7f {
	case 126:
		return length > 125
	case 127:
		return length > 65535
	}
	return true
}

func gobwasAllowsClose(payload []byte) bool {
	if len(payload) == 0 {
		return true
	}
	if len(payload) == 1 {
		return false
	}
	code, reason := ws.ParseCloseFrameData(payload)
	switch {
	case code >= 1012 && code <= 1014:
		code = 1011
	case code >= 5000: // RFC 6455 7.4.2 gives nobody a use for them
		return false
	}
	return ws.CheckCloseFrameData(code, reason) == nil
}

// mayBecomeText is RFC 6455 8.1 as the standard library has it.
func mayBecomeText(p []byte, whole bool) bool {
	for len(p) > 0 {
		r, size := utf8.DecodeRune(p)
		if r == utf8.RuneError && size == 1 {
			return !whole && !utf8.FullRune(p)
		}
		p = p[size:]
	}
	return true
}

// What gobwas reads is read here, what it refuses is refused, at the same place, and cutting
// the stream changes nothing about that.
func FuzzAgainstGobwas(f *testing.F) {
	for seed := range uint64(6) {
		stream, _ := conversation(rand.New(rand.NewPCG(seed, 19)), 3)
		f.Add(stream, 1000, seed)
	}
	for _, stream := range [][]byte{
		clientFrame(true, ws.OpText, "\xed\xa0\x80"),
		frames(clientFrame(false, ws.OpText, "\xf0\x9f"), clientFrame(true, ws.OpPing, "p"), clientFrame(true, ws.OpContinuation, "\x9a\x8c")),
		frames(clientFrame(false, ws.OpBinary, "a"), clientFrame(true, ws.OpBinary, "b")),
		frames(clientFrame(true, ws.OpText, "a"), clientFrame(true, ws.OpClose, closePayload(1005, ""))),
		{0x82, 0x80 | 126, 0, 125, 1, 2, 3, 4}, {0x82, 5, 'h', 'e', 'l', 'l', 'o'}, {0xc1, 0x80, 1, 2, 3, 4}, {0x83, 0x80, 1, 2, 3, 4},
	} {
		f.Add(stream, 1000, uint64(1))
	}
	f.Fuzz(func(t *testing.T, stream []byte, maxMessage int, seed uint64) {
		if maxMessage > 1<<30 { // gobwas' lengths are signed
			return
		}
		want, got := gobwasReading(stream, maxMessage), whole(stream, maxMessage)
		random := rand.New(rand.NewPCG(seed, 20))
		expectEvents(t, "in random pieces", decodeIn(stream, maxMessage, func() int { return 1 + random.IntN(20) }), got)
		events, last := got[:len(got)-1], got[len(got)-1]
		if !slices.Equal(events, want.events) {
			t.Fatalf("got %.300q, gobwas reads %.300q", got, want.events)
		}
		failed, idle := strings.HasPrefix(last, "error "), strings.HasPrefix(last, "idle=true")
		switch want.end {
		case forbidden:
			if !failed {
				t.Errorf("%q: gobwas refuses it", last)
			}
		case atBoundary:
			if !idle {
				t.Errorf("%q: gobwas is at a frame boundary", last)
			}
		case unfinished:
			if idle && len(stream) > 0 {
				t.Errorf("%q: gobwas is inside a frame or message", last)
			}
		}
	})
}

// Close payloads are allowed here if and only if gobwas allows them.
func FuzzCloseAgainstGobwas(f *testing.F) {
	for _, code := range []int{0, 999, 1000, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1014, 1015, 1016, 2999, 3000, 4999, 5000, 65535} {
		f.Add([]byte(closePayload(code, "")))
		f.Add([]byte(closePayload(code, "Grüße")))
	}
	f.Add([]byte(closePayload(1000, "\xed\xa0\x80")))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > maxControl {
			return
		}
		_, _, err := ParseClose(payload)
		if allowed := gobwasAllowsClose(payload); allowed != (err == nil) {
			t.Errorf("% x: %v, gobwas allows it: %t", payload, err, allowed)
		}
	})
}
