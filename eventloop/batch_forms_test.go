package eventloop

import (
	"bytes"
	"fmt"
	"testing"
)

// twinned is a broadcast log whose frames' sizes are given for both forms; a twin of 0 bytes is none.
func twinned(sizes ...[2]int) (f broadcastLog, all [forms][][]byte) {
	for i, size := range sizes {
		fr := &Frame{wire: bytes.Repeat([]byte{byte(i)}, size[asIs])}
		if size[deflated] > 0 {
			fr.twin = bytes.Repeat([]byte{^byte(i)}, size[deflated])
		}
		f.append(fr)
		for as := range forms {
			all[as] = append(all[as], fr.in(as))
		}
	}
	return f, all
}

// Clients of either form are sent the same batch, each from where it stands; what is
// larger than is copied in one form needn't be in the other.
func TestBatchInBothForms(t *testing.T) {
	for _, c := range []struct {
		name   string
		sizes  [][2]int
		pieces [forms]int
	}{
		{"one frame", [][2]int{{100, 40}}, [forms]int{}},
		{"some with a twin", [][2]int{{100, 40}, {10, 0}, {300, 100}, {7, 0}}, [forms]int{}},
		{"one piece compressed, several plain", [][2]int{{copyUpTo, 40}, {10, 0}, {300, 100}}, [forms]int{3, 0}},
		{"several pieces both ways", [][2]int{{copyUpTo, copyUpTo - 10}, {10, 0}, {300, 100}}, [forms]int{3, 3}},
	} {
		for _, order := range [][]form{{asIs, deflated}, {deflated, asIs}} {
			t.Run(fmt.Sprint(c.name, order), func(t *testing.T) {
				f, all := twinned(c.sizes...)
				var b batch
				b.build(&f, 0, f.end)
				for _, as := range order {
					y := b.layout(&f, as)
					if len(y.iov) != c.pieces[as] {
						t.Errorf("form %d: %d pieces, want %d", as, len(y.iov), c.pieces[as])
					}
					fd, reader := sockets(t, 1<<20)
					for pos := range f.end {
						want := bytes.Join(all[as][pos:], nil)
						if got := b.rest(y, pos); got != len(want) {
							t.Errorf("form %d: a client at %d is owed %d bytes, want %d", as, pos, got, len(want))
						}
						expectSent(t, &b, y, int32(fd), reader, pos, want)
					}
				}
				b.forget()
			})
		}
	}
}

// The second form is laid out for the first client of it and not before, and never from
// the batch before this one.
func TestSecondFormIsLaidOutWhenNeeded(t *testing.T) {
	f, all := twinned([2]int{100, 40}, [2]int{50, 20})
	var b batch
	for pos := range f.end {
		b.build(&f, pos, pos+1)
		if b.layout(&f, asIs); b.layouts[deflated].laid {
			t.Fatal("laid out for nobody")
		}
		if got := laidOut(b.layout(&f, deflated)); !bytes.Equal(got, all[deflated][pos]) {
			t.Fatalf("batch %d: %d bytes, want %d", pos, len(got), len(all[deflated][pos]))
		}
	}
}
