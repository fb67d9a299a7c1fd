package eventloop

import (
	"bytes"
	"testing"
)

// The end of a message of which the kernel has taken some stays what it was, in the form that
// its beginning went out in, or there is too much of it.
func TestShortenKeepsTheForm(t *testing.T) {
	for _, as := range []form{asIs, deflated} {
		for _, size := range []int{closeBehind / 2, closeBehind, 2 * closeBehind} {
			x := newSendQueueTest(t, as)
			f := &Frame{wire: bytes.Repeat([]byte{1}, 2*size), twin: bytes.Repeat([]byte{2}, size)}
			x.c.queue.push(f, 0)
			x.c.pos, _ = x.c.queue.take(&x.l.broadcasts, 0, 100)
			want := bytes.Clone(f.in(as)[100:])
			kept := x.c.queue.shorten()
			if kept != (len(want) <= closeBehind) {
				t.Errorf("form %d, %d bytes are left: kept is %t", as, len(want), kept)
			}
			next := x.c.queue.cursor(&x.l.broadcasts, x.c.pos)
			if got := next.next(); !bytes.Equal(got, want) {
				t.Errorf("form %d, %d bytes were left: %d other bytes go out", as, len(want), len(got))
			}
			x.end()
		}
	}
}
