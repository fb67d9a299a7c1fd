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
					expectFailureAt(t, frame, at, size)
				}
			}
		}
	}
}

func expectFailureAt(t *testing.T, frame []byte, at, size int) {
	t.Helper()
	var d Decoder
	defer d.Release()
	for n := 0; n < at; n += size {
		piece := append([]byte(nil), frame[n:min(n+size, at)]...)
		_, _, ok, err := d.Decode(piece, 1<<16)
		if last := n+size >= at; ok || last != errors.Is(err, errTextNotUTF8) || !last && err != nil {
			t.Fatalf("% x in pieces of %d: after %d bytes ok %t, %v; it is bad after %d", frame[:14], size, n+len(piece), ok, err, at)
		}
	}
}
