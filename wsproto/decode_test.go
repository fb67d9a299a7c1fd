package wsproto

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
)

func TestDecoderIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Decoder{}); size > 96 {
		t.Errorf("a Decoder takes %d bytes, want at most 96", size)
	}
}

func TestDecodeMessages(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 4096) // 65536 bytes
	for _, c := range []struct {
		name   string
		stream []byte
		want   []string
	}{
		{"5.7 a single-frame masked text message", []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}, []string{event(ws.OpText, "Hello"), atRest}},
		{"5.2 empty text", clientFrame(true, ws.OpText, ""), []string{event(ws.OpText, ""), atRest}},
		{"5.2 length 125", clientFrame(true, ws.OpBinary, long[:125]), []string{event(ws.OpBinary, long[:125]), atRest}},
		{"5.2 length 126", clientFrame(true, ws.OpBinary, long[:126]), []string{event(ws.OpBinary, long[:126]), atRest}},
		{"5.2 length 65535", clientFrame(true, ws.OpText, long[:65535]), []string{event(ws.OpText, long[:65535]), atRest}},
		{"5.2 length 65536", clientFrame(true, ws.OpText, long), []string{event(ws.OpText, long), atRest}},
		{"5.4 fragments", frames(clientFrame(false, ws.OpText, "Hel"), clientFrame(false, ws.OpContinuation, ""), clientFrame(true, ws.OpContinuation, "lo")), []string{event(ws.OpText, "Hello"), atRest}},
		{"5.4 empty fragments", frames(clientFrame(false, ws.OpBinary, ""), clientFrame(true, ws.OpContinuation, "")), []string{event(ws.OpBinary, ""), atRest}},
		{"5.4 control frames between fragments", frames(
			clientFrame(false, ws.OpText, "a"), clientFrame(true, ws.OpPing, "p1"), clientFrame(false, ws.OpContinuation, "b"),
			clientFrame(true, ws.OpPing, ""), clientFrame(true, ws.OpPong, long[:125]), clientFrame(true, ws.OpContinuation, "c"),
			clientFrame(true, ws.OpText, "d")),
			[]string{event(ws.OpPing, "p1"), event(ws.OpPing, ""), event(ws.OpPong, long[:125]), event(ws.OpText, "abc"), event(ws.OpText, "d"), atRest}},
		{"5.4 unfinished message", frames(clientFrame(false, ws.OpText, "ab"), clientFrame(true, ws.OpPing, "x")), []string{event(ws.OpPing, "x"), "idle=false held=2"}},
		{"5.5.1 close", clientFrame(true, ws.OpClose, closePayload(1000, "bye")), []string{event(ws.OpClose, closePayload(1000, "bye")), atRest}},
		{"5.5.1 close without payload", clientFrame(true, ws.OpClose, ""), []string{event(ws.OpClose, ""), atRest}},
		{"5.6 a rune across fragments", frames(clientFrame(false, ws.OpText, "\xf0\x9f"), clientFrame(true, ws.OpPing, "\xff"), clientFrame(false, ws.OpContinuation, "\x9a"), clientFrame(true, ws.OpContinuation, "\x8c!")), []string{event(ws.OpPing, "\xff"), event(ws.OpText, "🚌!"), atRest}},
		{"8.1 binary need not be UTF-8", clientFrame(true, ws.OpBinary, "\xff\xfe"), []string{event(ws.OpBinary, "\xff\xfe"), atRest}},
	} {
		t.Run(c.name, func(t *testing.T) {
			expectAnySplit(t, c.stream, 1<<20, c.want)
		})
	}
}

func TestDecodeViolations(t *testing.T) {
	ok := clientFrame(true, ws.OpText, "ok")
	first := clientFrame(false, ws.OpText, "part")
	for _, c := range []struct {
		name string
		bad  []byte
		want *ProtocolError
	}{
		{"5.2 RSV1", []byte{0xc1}, errReservedBits},
		{"5.2 RSV2", []byte{0xa1}, errReservedBits},
		{"5.2 RSV3", []byte{0x91}, errReservedBits},
		{"5.2 reserved data opcode", []byte{0x83}, errReservedOpcode},
		{"5.2 reserved control opcode", []byte{0x8b}, errReservedOpcode},
		{"5.1 unmasked", []byte{0x81, 0x00}, errUnmasked},
		{"5.5 fragmented ping", []byte{0x09}, errFragmentedControl},
		{"5.5 ping of 126 bytes", []byte{0x89, 0x80 | 126}, errLongControl},
		{"5.2 125 in two bytes", []byte{0x82, 0x80 | 126, 0, 125}, errNonMinimalLength},
		{"5.2 65535 in eight bytes", []byte{0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, errNonMinimalLength},
		{"5.2 top bit", []byte{0x82, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, errLengthTopBit},
		{"5.4 stray continuation", []byte{0x80}, errStrayContinuation},
		{"5.4 stray continuation that isn't the last", []byte{0x00}, errStrayContinuation},
		{"5.4 text inside a message", frames(first, []byte{0x81}), errInterruptedMessage},
		{"5.4 binary inside a message", frames(first, []byte{0x02}), errInterruptedMessage},
		{"5.4 text inside an empty message", frames(clientFrame(false, ws.OpText, ""), []byte{0x81}), errInterruptedMessage},
		{"5.5.1 close of one byte", []byte{0x88, 0x81}, errShortClose},
		{"7.4.1 close 1005", clientFrame(true, ws.OpClose, closePayload(1005, "")), errCloseCode},
		{"7.4.1 close 999", clientFrame(true, ws.OpClose, closePayload(999, "x")), errCloseCode},
		{"8.1 close reason", clientFrame(true, ws.OpClose, closePayload(1000, "\xc3")), errCloseNotUTF8},
		{"8.1 bad byte", clientFrame(true, ws.OpText, "ab\xffcd"), errTextNotUTF8},
		{"8.1 surrogate", clientFrame(true, ws.OpText, "\xed\xa0\x80"), errTextNotUTF8},
		{"8.1 overlong", clientFrame(true, ws.OpText, "\xc0\xaf"), errTextNotUTF8},
		{"8.1 cut rune", clientFrame(true, ws.OpText, "ab\xe2\x82"), errTextNotUTF8},
		{"8.1 cut rune in the last fragment", frames(first, clientFrame(true, ws.OpContinuation, "\xe2\x82")), errTextNotUTF8},
		{"8.1 cut rune, empty last fragment", frames(clientFrame(false, ws.OpText, "\xe2\x82"), clientFrame(true, ws.OpContinuation, "")), errTextNotUTF8},
		{"8.1 rune broken by the next fragment", frames(clientFrame(false, ws.OpText, "\xe2\x82"), clientFrame(false, ws.OpContinuation, "a")), errTextNotUTF8},
		{"7.4.1 too big by 16-bit length", []byte{0x82, 0x80 | 126, 0x03, 0xe9}, errTooBig},
		{"7.4.1 too big by 64-bit length", []byte{0x82, 0x80 | 127, 0x7f, 0, 0, 0, 0, 0, 0, 0}, errTooBig},
		{"7.4.1 fragments too big together", frames(clientFrame(false, ws.OpBinary, strings.Repeat("x", 990)), clientFrame(false, ws.OpContinuation, "0123456789"), []byte{0x00, 0x81}), errTooBig},
	} {
		t.Run(c.name, func(t *testing.T) {
			expectAnySplit(t, frames(ok, c.bad), 1000, []string{event(ws.OpText, "ok"), failure(c.want)})
		})
	}
}

// A violation is told by the byte that makes it one, not when the frame is complete.
func TestDecodeFailsEarly(t *testing.T) {
	start := clientFrame(true, ws.OpText, "\xf0\x9f\xff and so on")
	for _, c := range []struct {
		name string
		in   []byte
		at   int // bytes after which it must have failed
		want *ProtocolError
	}{
		{"bad UTF-8 in a frame not all here", start, 6 + 3, errTextNotUTF8},
		{"overlong form at its second byte", clientFrame(true, ws.OpText, "\xe0\x80 and so on"), 6 + 2, errTextNotUTF8},
		{"announced too big", []byte{0x81, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0}, 10, errTooBig},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := whole(c.in[:c.at-1], 1000); strings.HasPrefix(got[0], "error") {
				t.Errorf("failed too early: %s", got[0])
			}
			expectEvents(t, "at the byte", whole(c.in[:c.at], 1000), []string{failure(c.want)})
		})
	}
}
