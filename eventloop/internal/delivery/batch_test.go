package delivery

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"
	"unsafe"
)

// newBatch takes pieces as they are.
func newBatch() *Batch[[]byte] { return &Batch[[]byte]{Piece: func(p []byte) []byte { return p }} }

func logOf(sizes ...int) (g BroadcastLog, all []byte) {
	for i, size := range sizes {
		wire := bytes.Repeat([]byte{byte(i)}, size)
		g.Append(FrameOf(wire))
		all = append(all, wire...)
	}
	return g, all
}

// twinned is a broadcast log whose frames' sizes are given for both forms; a twin of 0 bytes is none.
func twinned(sizes ...[2]int) (g BroadcastLog, all [forms][][]byte) {
	for i, size := range sizes {
		f := FrameOf(bytes.Repeat([]byte{byte(i)}, size[AsIs]))
		if size[Deflated] > 0 {
			f.twin = bytes.Repeat([]byte{^byte(i)}, size[Deflated])
		}
		g.Append(f)
		for as := range forms {
			all[as] = append(all[as], f.In(as))
		}
	}
	return g, all
}

// expectOwed is that a client at pos gets these bytes, in one piece of memory or several.
func expectOwed(t *testing.T, b *Batch[[]byte], as Form, pos uint64, want []byte) {
	t.Helper()
	wire, pieces, size := b.Owed(as, pos)
	if got := slices.Concat(append(pieces, wire)...); size != len(want) || !bytes.Equal(got, want) {
		t.Fatalf("form %d: a client at %d is owed %d bytes, said to be %d, want %d", as, pos, len(got), size, len(want))
	}
}

func TestBatchForms(t *testing.T) {
	for _, c := range []struct {
		name   string
		sizes  []int
		pieces int // 0: one piece of memory
	}{
		{"one small frame", []int{5}, 0},
		{"one frame larger than what is copied", []int{copyUpTo + 1}, 0},
		{"several frames", []int{1, 200, 3}, 0},
		{"as much as is copied", []int{copyUpTo - 10, 10}, 0},
		{"more than is copied", []int{copyUpTo - 10, 11}, 2},
		{"more than one write takes", slices.Repeat([]int{100}, 1100), 1100},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, all := logOf(c.sizes...)
			b := newBatch()
			b.Build(&g, 0)
			for pos, behind := uint64(0), 0; pos <= g.end; pos++ {
				expectOwed(t, b, AsIs, pos, all[behind:])
				if pos < g.end {
					behind += c.sizes[pos]
				}
			}
			wire, pieces, _ := b.Owed(Deflated, 0)
			if len(pieces) != c.pieces || (wire == nil) != (c.pieces > 0) {
				t.Errorf("%d pieces, want %d", len(pieces), c.pieces)
			}
			if b.layouts[Deflated].laid {
				t.Error("no frame has a twin, and both forms were laid out")
			}
			if len(c.sizes) == 1 && unsafe.SliceData(wire) != unsafe.SliceData(g.At(0).wire) {
				t.Error("a single frame was copied")
			}
			b.Forget()
		})
	}
}

// A batch is built again and again from the same memory, also behind the wrap of the ring.
func TestBatchIsReused(t *testing.T) {
	g := BroadcastLog{first: math.MaxUint32, end: math.MaxUint32}
	b := newBatch()
	for round := range 100 {
		from := g.end
		var want []byte
		for i := range 1 + round%7 {
			wire := bytes.Repeat([]byte{byte(round), byte(i)}, 1+round*i*50)
			g.Append(FrameOf(wire))
			want = append(want, wire...)
		}
		b.Build(&g, from)
		expectOwed(t, b, AsIs, from, want)
		b.Forget()
		g.Forget()
	}
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
		for _, order := range [][]Form{{AsIs, Deflated}, {Deflated, AsIs}} {
			t.Run(fmt.Sprint(c.name, order), func(t *testing.T) {
				g, all := twinned(c.sizes...)
				b := newBatch()
				b.Build(&g, 0)
				for _, as := range order {
					if _, pieces, _ := b.Owed(as, 0); len(pieces) != c.pieces[as] {
						t.Errorf("form %d: %d pieces, want %d", as, len(pieces), c.pieces[as])
					}
					for pos := range g.end {
						expectOwed(t, b, as, pos, bytes.Join(all[as][pos:], nil))
					}
				}
			})
		}
	}
}

// The second form is laid out for the first client of it and not before, and never from
// the batch before this one.
func TestSecondFormIsLaidOutWhenNeeded(t *testing.T) {
	g, all := twinned([2]int{100, 40}, [2]int{50, 20})
	b := newBatch()
	b.Build(&g, 0)
	expectOwed(t, b, Deflated, 0, bytes.Join(all[Deflated], nil))
	b.Build(&g, 1)
	if b.Owed(AsIs, 1); b.layouts[Deflated].laid {
		t.Fatal("laid out for nobody")
	}
	expectOwed(t, b, Deflated, 1, all[Deflated][1])
}

func TestBroadcastLogKeepsAtMostSoManyBytes(t *testing.T) {
	g, _ := logOf(10, 10, 10, 50, 10, 20)
	for _, step := range []struct {
		keep, bytes int
		first       uint64
	}{{60, 110, 0}, {59, 100, 1}, {30, 80, 3}, {29, 30, 4}, {5, 20, 5}, {0, 20, 5}} {
		if g.Trim(step.keep, func(uint64, *Frame) {}); g.first != step.first || g.bytes != step.bytes {
			t.Errorf("%d beside the largest: %d bytes from %d on, want %d from %d on", step.keep, g.bytes, g.first, step.bytes, step.first)
		}
	}
	g.Forget()
	if g.Len() != 0 || g.bytes != 0 || g.end != 6 {
		t.Errorf("%d frames, %d bytes, end %d: want none and 6", g.Len(), g.bytes, g.end)
	}
}
