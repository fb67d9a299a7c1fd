package wsproto

import (
	"bytes"
	stdflate "compress/flate"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// packedFrame is a client's frame with RSV1 set.
func packedFrame(fin bool, op ws.OpCode, payload string) []byte {
	p := clientFrame(fin, op, payload)
	p[0] |= 0x40
	return p
}

// pack compresses with the standard library, which is another implementation.
func pack(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := stdflate.NewWriter(&b, stdflate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// expectInflated is expectAnySplit with compression negotiated.
func expectInflated(t *testing.T, stream []byte, maxMessage, inflateTo int, want []string) {
	t.Helper()
	decode := func(next func() int) []string { return decodeInflating(stream, maxMessage, inflateTo, next) }
	expectEvents(t, "in one piece", decode(func() int { return len(stream) }), want)
	if len(stream) < 4096 {
		expectEvents(t, "byte by byte", decode(func() int { return 1 }), want)
	}
	random := rand.New(rand.NewPCG(1, uint64(len(stream))))
	for range 20 {
		most := 1 + random.IntN(max(len(stream), 30))
		expectEvents(t, "in random pieces", decode(func() int { return random.IntN(most) }), want)
	}
}

const (
	packedHello = "\xf2\x48\xcd\xc9\xc9\x07\x00"
	packedStart = "\xf2\x48\xcd"
	packedRest  = "\xc9\xc9\x07\x00"
)

// RFC 7692 7.2.3 has the bytes of these.
func TestInflateMessages(t *testing.T) {
	hello := []string{event(ws.OpText, "Hello"), atRest}
	long := strings.Repeat("0123456789abcdef é€🚌", 4096)
	for _, c := range []struct {
		name   string
		stream []byte
		want   []string
	}{
		{"7.2.3.1 one frame", packedFrame(true, ws.OpText, packedHello), hello},
		{"7.2.3.1 fragments", frames(packedFrame(false, ws.OpText, packedStart), clientFrame(true, ws.OpContinuation, packedRest)), hello},
		{"5.4 an empty first fragment", frames(packedFrame(false, ws.OpText, ""), clientFrame(false, ws.OpContinuation, packedHello), clientFrame(true, ws.OpContinuation, "")), hello},
		{"5.4 a ping between fragments", frames(packedFrame(false, ws.OpText, packedStart), clientFrame(true, ws.OpPing, "p"), clientFrame(true, ws.OpContinuation, packedRest)), []string{event(ws.OpPing, "p"), event(ws.OpText, "Hello"), atRest}},
		{"7.2.3.3 a block without compression", packedFrame(true, ws.OpText, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), hello},
		{"7.2.3.4 a block with BFINAL", packedFrame(true, ws.OpText, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), hello},
		{"7.2.3.5 two blocks", packedFrame(true, ws.OpText, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), hello},
		{"7.2.3.6 an empty message", packedFrame(true, ws.OpText, "\x00"), []string{event(ws.OpText, ""), atRest}},
		{"7.2.1 two blocks with BFINAL", packedFrame(true, ws.OpText, "\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), []string{event(ws.OpText, "HelloHello"), atRest}},
		{"7.2.1 the left-out tail ends in BFINAL", packedFrame(true, ws.OpText, "\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff\x01"), hello},
		{"6 an uncompressed message", frames(clientFrame(true, ws.OpText, "plain"), packedFrame(true, ws.OpText, packedHello), clientFrame(true, ws.OpBinary, "\xff")), []string{event(ws.OpText, "plain"), event(ws.OpText, "Hello"), event(ws.OpBinary, "\xff"), atRest}},
		{"6 uncompressed fragments", frames(clientFrame(false, ws.OpText, "pl"), clientFrame(true, ws.OpContinuation, "ain")), []string{event(ws.OpText, "plain"), atRest}},
		{"8.1 binary need not be UTF-8", packedFrame(true, ws.OpBinary, pack(t, "\xff\xfe")), []string{event(ws.OpBinary, "\xff\xfe"), atRest}},
		{"several at once", frames(packedFrame(true, ws.OpText, packedHello), packedFrame(true, ws.OpText, packedHello), clientFrame(true, ws.OpPing, "x"), packedFrame(true, ws.OpText, packedHello)), []string{event(ws.OpText, "Hello"), event(ws.OpText, "Hello"), event(ws.OpPing, "x"), event(ws.OpText, "Hello"), atRest}},
		{"a long one", packedFrame(true, ws.OpText, pack(t, long)), []string{event(ws.OpText, long), atRest}},
		{"a fragment that never ends", packedFrame(false, ws.OpText, packedStart), []string{"idle=false held=3"}},
	} {
		t.Run(c.name, func(t *testing.T) { expectInflated(t, c.stream, 1<<20, 1<<20, c.want) })
	}
}

func TestInflateViolations(t *testing.T) {
	deflateError := ErrInflate.(*ProtocolError)
	ok := packedFrame(true, ws.OpText, packedHello)
	first := packedFrame(false, ws.OpText, packedStart)
	rsv2 := packedFrame(true, ws.OpText, packedHello)
	rsv2[0] |= 0x20
	for _, c := range []struct {
		name string
		bad  []byte
		want *ProtocolError
	}{
		{"6.1 RSV1 on a continuation", frames(first, packedFrame(true, ws.OpContinuation, packedRest)), errReservedBits},
		{"6.1 RSV1 on the continuation of an uncompressed message", frames(clientFrame(false, ws.OpText, "a"), packedFrame(true, ws.OpContinuation, packedRest)), errReservedBits},
		{"6.1 RSV1 on a ping", packedFrame(true, ws.OpPing, "x"), errReservedBits},
		{"6.1 RSV1 on a ping between fragments", frames(first, packedFrame(true, ws.OpPing, "x")), errReservedBits},
		{"6.1 RSV1 on a close", packedFrame(true, ws.OpClose, closePayload(1000, "")), errReservedBits},
		{"5.2 RSV2", rsv2, errReservedBits},
		{"5.4 a compressed message inside another", frames(first, ok), errInterruptedMessage},
		{"7.2.3.2 a window that wasn't kept", packedFrame(true, ws.OpText, "\xf2\x00\x11\x00\x00"), deflateError},
		{"7.2.2 no deflate data", packedFrame(true, ws.OpText, "\xff\xff\xff"), deflateError},
		{"7.2.2 nothing at all", packedFrame(true, ws.OpText, ""), deflateError},
		{"7.2.2 cut short", packedFrame(true, ws.OpText, packedHello[:4]), deflateError},
		{"7.2.2 a reserved block type", packedFrame(true, ws.OpText, "\x06\x00"), deflateError},
		{"7.2.2 a block without compression whose lengths differ", packedFrame(true, ws.OpText, "\x00\x05\x00\xfa\xfeHello\x00"), deflateError},
		{"7.2.2 a block that goes on behind the message", packedFrame(true, ws.OpBinary, "\x01\x09\x00\xf6\xff"), deflateError},
		{"7.2.2 something behind the last block", packedFrame(true, ws.OpText, "\xf3\x48\xcd\xc9\xc9\x07\x00\x07"), deflateError},
		{"8.1 text", packedFrame(true, ws.OpText, pack(t, "ab\xffcd")), errTextNotUTF8},
		{"8.1 a cut rune", packedFrame(true, ws.OpText, pack(t, "ab\xe2\x82")), errTextNotUTF8},
		{"8.1 a bad byte, then too big", packedFrame(true, ws.OpText, pack(t, "\xff"+strings.Repeat("x", 2000))), errTextNotUTF8},
		{"7.4.1 a bad byte behind the limit", packedFrame(true, ws.OpText, pack(t, strings.Repeat("x", 1000)+"\xff")), errTooBig},
		{"7.4.1 one byte too big", packedFrame(true, ws.OpBinary, pack(t, strings.Repeat("x", 1001))), errTooBig},
		{"7.4.1 a bomb", packedFrame(true, ws.OpBinary, pack(t, strings.Repeat("\x00", 1<<20))), errTooBig},
		{"7.4.1 announced longer than deflate needs", []byte{0xc2, 0x80 | 126, 0x1b, 0x99}, errTooBig},
		{"7.4.1 fragments longer than deflate needs", frames(packedFrame(false, ws.OpBinary, strings.Repeat("\x00", 7064)), []byte{0x00, 0x81}), errTooBig},
		{"7.4.1 a block for each byte, and one byte too big", packedFrame(true, ws.OpBinary, strings.Repeat("\x00\x01\x00\xfe\xffx", 1001)+"\x00"), errTooBig},
		{"7.4.1 blocks without content", packedFrame(true, ws.OpBinary, strings.Repeat("\x00\x00\x00\xff\xff", 1413)), errTooBig},
	} {
		t.Run(c.name, func(t *testing.T) {
			expectInflated(t, frames(ok, c.bad), 1000, 1<<20, []string{event(ws.OpText, "Hello"), failure(c.want)})
		})
	}
}

// RFC 7692 7.2.1 doesn't say how many blocks with BFINAL a message may have.
func TestInflateFinalBlocks(t *testing.T) {
	const limit = 1 << 16
	for finals, want := range map[int][]string{
		maxFinals:     {event(ws.OpText, ""), atRest},
		maxFinals + 1: {failure(ErrInflate.(*ProtocolError))},
	} {
		expectInflated(t, packedFrame(true, ws.OpText, strings.Repeat("\x03\x00", finals)+"\x00"), limit, limit, want)
	}
}

// Without negotiation RSV1 is a violation, also after a Release.
func TestDeflateMustBeNegotiated(t *testing.T) {
	var d Decoder
	d.AllowDeflate(100)
	p := packedFrame(true, ws.OpText, packedHello)
	if m := decodeOne(t, &d, bytes.Clone(p)); string(m.Payload) != "Hello" {
		t.Fatalf("got %q", m.Payload)
	}
	d.Release()
	if _, _, _, err := d.Decode(p, 1000); err != errReservedBits {
		t.Errorf("got %v, want %v", err, errReservedBits)
	}
}

// The lower of the two limits holds for compressed messages, maxMessage for the others.
func TestInflateLimits(t *testing.T) {
	text := strings.Repeat("ab", 50)
	for _, c := range []struct{ maxMessage, inflateTo, longest int }{{100, 1000, 100}, {1000, 100, 100}, {99, 1000, 98}, {1000, 99, 98}} {
		want := []string{event(ws.OpText, text), atRest}
		if c.longest < len(text) {
			want = []string{failure(errTooBig)}
		}
		expectInflated(t, packedFrame(true, ws.OpText, pack(t, text)), c.maxMessage, c.inflateTo, want)
		expectInflated(t, clientFrame(true, ws.OpText, text[:min(len(text), c.maxMessage)]), c.maxMessage, c.inflateTo,
			[]string{event(ws.OpText, text[:min(len(text), c.maxMessage)]), atRest})
	}
}

// Data that doesn't compress is taken up to the same limit.
func TestInflateIncompressible(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{1, 100, 1000, 65536} {
		noise := make([]byte, size)
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		var fixed bytes.Buffer // nine bits for most bytes, and several blocks
		for piece := string(noise); piece != ""; piece = piece[min(len(piece), 30000):] {
			fixed.WriteString(pack(t, piece[:min(len(piece), 30000)]) + deflateTail)
		}
		expectInflated(t, packedFrame(true, ws.OpBinary, strings.TrimSuffix(fixed.String(), deflateTail)), size, size,
			[]string{event(ws.OpBinary, string(noise)), atRest})
	}
}

// However little each block holds, it is the content that the limit is for.
func TestInflateManySmallBlocks(t *testing.T) {
	const limit = 1000
	for name, block := range map[string]string{
		"stored":                  "\x00\x01\x00\xfe\xff\xff",
		"stored, each the last":   "\x01\x01\x00\xfe\xff\xff",
		"compressed, and flushed": pack(t, "\xff") + deflateTail,
	} {
		t.Run(name, func(t *testing.T) {
			packed, want := strings.Repeat(block, limit)+"\x00", []string{event(ws.OpBinary, strings.Repeat("\xff", limit)), atRest}
			expectInflated(t, packedFrame(true, ws.OpBinary, packed), limit, limit, want)
			expectInflated(t, packedFrame(true, ws.OpBinary, packed), 1<<16, limit, want)
		})
	}
}

// FuzzInflate: whatever a compressed message holds, cut anywhere, the same comes out, no
// more than the limit of it, and what the standard library makes of it.
func FuzzInflate(f *testing.F) {
	for _, s := range []string{"", "\x00", packedHello, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "\x00\x05\x00\xfa\xffHello\x00", "\x03\x00\x03\x00\x00", pack(f, strings.Repeat("é", 300)), pack(f, "\xff")} {
		f.Add([]byte(s), uint16(100), uint16(3), true)
	}
	random := rand.New(rand.NewPCG(5, 6))
	for _, size := range []int{300, 3000} {
		f.Add([]byte(pack(f, string(changeEvent(random, size)))), uint16(size+20), uint16(50), false)
	}
	f.Fuzz(func(t *testing.T, payload []byte, limit, cut uint16, text bool) {
		op := ws.OpBinary
		if text {
			op = ws.OpText
		}
		at := min(int(cut), len(payload))
		inOne := packedFrame(true, op, string(payload))
		inTwo := frames(packedFrame(false, op, string(payload[:at])), clientFrame(true, ws.OpPing, "p"), clientFrame(true, ws.OpContinuation, string(payload[at:])))
		most := max(int(limit), 1)
		got := decodeInflating(inOne, most, most, func() int { return len(inOne) })
		expectEvents(t, "byte by byte", decodeInflating(inOne, most, most, func() int { return 1 }), got)
		fragmented := decodeInflating(inTwo, most, most, func() int { return 1 + at })
		if got[0] != failure(errTooBig) { // one fragment's length may be too much without the ping being read
			expectEvents(t, "fragmented", fragmented, append([]string{event(ws.OpPing, "p")}, got...))
		}
		checkEvent(t, got[0], most)
		expectSameAsStandard(t, payload, most, op, got[0])
	})
}

// expectSameAsStandard compares with the standard library, when that took all there is.
func expectSameAsStandard(t *testing.T, payload []byte, most int, op ws.OpCode, got string) {
	out, complete := standard(payload, packedStop)
	// With another last block the same comes out, unless a block before it ran into it.
	again, completeAgain := standard(payload, "\x03\x00")
	if !complete || !completeAgain || !bytes.Equal(out, again) || len(out) > most || len(payload) > packedLimit(most) {
		return
	}
	want := event(op, string(out))
	if op == ws.OpText && !validText(out) {
		want = failure(errTextNotUTF8)
	}
	if got != want {
		t.Errorf("% x: got %.200s, want %.200s", payload, got, want)
	}
}

// standard inflates a message, and says whether the first block with BFINAL was its last or stop.
func standard(payload []byte, stop string) (out []byte, complete bool) {
	src := bytes.NewReader(append(bytes.Clone(payload), deflateTail+stop...))
	var b bytes.Buffer
	_, err := b.ReadFrom(stdflate.NewReader(src))
	return b.Bytes(), err == nil && (src.Len() == 0 || src.Len() == len(stop))
}

func validText(p []byte) bool {
	var s utf8State
	return s.accept(p) && s.between()
}
