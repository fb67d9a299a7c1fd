package wsproto

import (
	"errors"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// RFC 6455 8.1: text fails with the byte that makes it bad, in a frame whose payload comes in
// pieces, however these are cut, and in a fragment that isn't the last.
func TestBadTextFailsAtItsByte(t *testing.T) {
	for _, good := range []string{"", "κόσμε", strings.Repeat("a", 200)} {
		for _, bad := range []string{"\xff", "\xc0", "\xed\xa0", "\xf4\x90", "\xe2\x28", "\x80", "\xf0\x9f\x9a\xc2"} {
			for _, fin := range []bool{true, false} {
				frame := clientFrame(fin, ws.OpText, good+bad+strings.Repeat("z", 200))
				at := len(frame) - 200 // how much there is with the bad byte
				for _, size := range []int{1, 2, 3, 7, 100} {
					expectFailureAt(t, frame, at, size, errTextNotUTF8)
				}
			}
		}
	}
}

// RFC 6455 7.4, 8.1: so does a Close, with its code's second byte or the bad one of its reason.
func TestBadCloseFailsAtItsByte(t *testing.T) {
	const header = 6
	for _, size := range []int{1, 2, 3, 7, 100} {
		for _, code := range []int{0, 999, 1005, 2999, 5000} {
			frame := clientFrame(true, ws.OpClose, closePayload(code, strings.Repeat("z", 100)))
			expectFailureAt(t, frame, header+2, size, errCloseCode)
		}
		for _, bad := range []string{"\xff", "\xed\xa0", "κόσμε\xc0", "\xe2\x28"} {
			frame := clientFrame(true, ws.OpClose, closePayload(1000, bad+strings.Repeat("z", 100)))
			expectFailureAt(t, frame, header+2+len(bad), size, errCloseNotUTF8)
		}
	}
}

// expectFailureAt wants the error of the piece that brings byte at, and none before.
func expectFailureAt(t *testing.T, frame []byte, at, size int, want error) {
	t.Helper()
	var d Decoder
	defer d.Release()
	for n := 0; n < at; n += size {
		piece := append([]byte(nil), frame[n:min(n+size, at)]...)
		_, _, ok, err := d.Decode(piece, 1<<16)
		if last := n+size >= at; ok || last != errors.Is(err, want) || !last && err != nil {
			t.Fatalf("% x in pieces of %d: after %d bytes ok %t, %v; it is bad after %d", frame[:14], size, n+len(piece), ok, err, at)
		}
	}
}
