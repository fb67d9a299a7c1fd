package wsproto

import (
	"bytes"
	"fmt"
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

// gobwasReading reads the stream frame by frame with gobwas/ws, and judges by its checks. What
// these don't cover is added here in plain form: minimal lengths, UTF-8, close codes from
// 5000 on, and that 1012 to 1014 have been registered since.
func gobwasReading(stream []byte, maxMessage int) (r reading) {
	left := bytes.NewReader(stream)
	state := ws.StateServerSide
	var kind ws.OpCode
	var message []byte
	for {
		start := stream[len(stream)-left.Len():]
		h, err := ws.ReadHeader(left)
		switch {
		case len(start) == 0:
			r.end = atBoundary
			if kind != 0 {
				r.end = unfinished
			}
			return r
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			r.end = unfinished
			return r
		case err != nil || ws.CheckHeader(h, state) != nil || len(start) > 2 && !minimal(start, h.Length),
			!h.OpCode.IsControl() && h.Length > int64(max(maxMessage-len(message), 0)):
			r.end = forbidden
			return r
		case int64(left.Len()) < h.Length:
			r.end = unfinished
			return r
		}
		payload := make([]byte, h.Length)
		_, _ = io.ReadFull(left, payload)
		ws.Cipher(payload, h.Mask, 0)
		if h.OpCode.IsControl() {
			if h.OpCode == ws.OpClose && !gobwasAllowsClose(payload) {
				r.end = forbidden
				return r
			}
			r.events = append(r.events, event(h.OpCode, string(payload)))
			continue
		}
		if h.OpCode != ws.OpContinuation {
			kind = h.OpCode
		}
		message = append(message, payload...)
		if kind == ws.OpText && !mayBecomeText(message, h.Fin) {
			r.end = forbidden
			return r
		}
		state = state.Set(ws.StateFragmented)
		if h.Fin {
			r.events = append(r.events, event(kind, string(message)))
			state, kind, message = state.Clear(ws.StateFragmented), 0, nil
		}
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

// verdict is what the head of a request that comes in pieces leads to, as a loop would look
// at it (eventloop, readHead), and how many bytes were needed.
func verdict(stream []byte, next func() int) string {
	seen, searched := 0, 0
	for seen < len(stream) {
		seen = min(seen+max(next(), 1), len(stream))
		p, from := stream[:seen], max(0, searched-3)
		end := HeadEnd(p[from:])
		if refusal := CheckHead(p, from, end); refusal != nil {
			return refused(refusal)
		}
		if end < 0 {
			if searched = len(p); searched > MaxHead {
				return refused(RefuseHeadTooLarge)
			}
			continue
		}
		if end += from; end > MaxHead {
			return refused(RefuseHeadTooLarge)
		}
		r, refusal := ParseUpgrade(p[:end])
		if refusal != nil {
			return refused(refusal)
		}
		return fmt.Sprintf("upgraded %q %q %q", r.Path, r.Host, r.Answer)
	}
	return "waits"
}

func refused(r *Refusal) string { return fmt.Sprintf("%d %s", r.Status, r.Reason) }

// However a request is cut, the answer is the same.
func FuzzHandshakeSplit(f *testing.F) {
	for i, head := range []string{
		upgradeHead("/"), "\r\n" + upgradeHead("/a?b"), upgradeHead("/") + "\x81\x80\n\n\n\n", "GET / HTTP/1.1\nHost: a\n\n",
		"\x16\x03\x01\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", upgradeHead("/", "X: a\nb"), upgradeHead("/", " folded"), "\r", "\r\n\r\n",
		upgradeHead("/", "X: "+strings.Repeat("x", MaxHead)), "GET /" + strings.Repeat("\n", 10),
	} {
		f.Add([]byte(head), uint64(i))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		want := verdict(stream, func() int { return len(stream) })
		if len(stream) < 2048 { // each byte is a search
			if got := verdict(stream, func() int { return 1 }); got != want {
				t.Errorf("byte by byte %q, whole %q", got, want)
			}
		}
		random := rand.New(rand.NewPCG(seed, 21))
		if got := verdict(stream, func() int { return 1 + random.IntN(1+len(stream)/4) }); got != want {
			t.Errorf("in random pieces %q, whole %q", got, want)
		}
	})
}
