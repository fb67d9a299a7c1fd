package eventloop

import (
	"bytes"
	"io"
	"math"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

// sockets is a connected pair of stream sockets: one to send on, one to read from.
func sockets(t testing.TB, sendBuffer int) (fd int, reader *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	must(t, err)
	if sendBuffer > 0 {
		must(t, unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer))
	}
	reader = os.NewFile(uintptr(pair[1]), "socket")
	t.Cleanup(func() { unix.Close(pair[0]); reader.Close() })
	return pair[0], reader
}

func feedOf(sizes ...int) (f broadcastLog, all []byte) {
	for i, size := range sizes {
		wire := bytes.Repeat([]byte{byte(i)}, size)
		f.append(&Frame{wire: wire})
		all = append(all, wire...)
	}
	return f, all
}

func repeated(size, times int) []int {
	sizes := make([]int, times)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
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
		{"more than one system call takes", repeated(100, 3000), 3000},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, all := feedOf(c.sizes...)
			var b batch
			b.build(&f, f.first, f.end)
			y := b.layout(&f, asIs)
			if y.size != len(all) || len(y.iov) != c.pieces || (y.wire == nil) != (c.pieces > 0) {
				t.Fatalf("%d bytes in %d pieces, want %d in %d", y.size, len(y.iov), len(all), c.pieces)
			}
			if b.layout(&f, deflated) != y {
				t.Error("no frame has a twin, and both forms were laid out")
			}
			if got := laidOut(y); !bytes.Equal(got, all) {
				t.Error("the bytes differ from the frames'")
			}
			if len(c.sizes) == 1 && unsafe.SliceData(y.wire) != unsafe.SliceData(f.at(0).wire) {
				t.Error("a single frame was copied")
			}
			for pos, behind := uint64(0), 0; pos <= f.end; pos++ {
				if got := b.rest(y, pos); got != len(all)-behind {
					t.Fatalf("a client at %d is owed %d bytes, want %d", pos, got, len(all)-behind)
				}
				if pos < f.end {
					behind += c.sizes[pos]
				}
			}
			b.forget()
		})
	}
}

func laidOut(y *layout) (all []byte) {
	all = append(all, y.wire...)
	for _, v := range y.iov {
		all = append(all, unsafe.Slice(v.Base, v.Len)...)
	}
	return all
}

// From whatever position, what is sent is the rest, or as much as one system call takes.
func TestBatchSendsTheRest(t *testing.T) {
	for _, sizes := range [][]int{{7}, {3, 4, 5}, repeated(70, 1500)} {
		f, all := feedOf(sizes...)
		var b batch
		b.build(&f, 0, f.end)
		fd, reader := sockets(t, 1<<20)
		behind := 0
		for pos := range f.end {
			if pos%97 == 0 || len(sizes) < 10 {
				expectSent(t, &b, b.layout(&f, asIs), int32(fd), reader, pos, all[behind:])
			}
			behind += sizes[pos]
		}
	}
}

func expectSent(t *testing.T, b *batch, y *layout, fd int32, reader io.Reader, pos uint64, want []byte) {
	t.Helper()
	n, ok := b.send(y, fd, pos)
	if frames := b.end - pos; y.wire == nil && frames > poll.MaxPieces {
		want = want[:70*poll.MaxPieces]
	}
	if !ok || n != len(want) {
		t.Fatalf("from %d: sent %d bytes (%v), want %d", pos, n, ok, len(want))
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(reader, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("from %d: other bytes came out (%v)", pos, err)
	}
}

// A batch is built again and again from the same memory, also behind the wrap of the ring.
func TestBatchIsReused(t *testing.T) {
	f := broadcastLog{first: math.MaxUint32, end: math.MaxUint32}
	var b batch
	for round := range 100 {
		from := f.end
		var want []byte
		for i := range 1 + round%7 {
			wire := bytes.Repeat([]byte{byte(round), byte(i)}, 1+round*i*50)
			f.append(&Frame{wire: wire})
			want = append(want, wire...)
		}
		b.build(&f, from, f.end)
		if got := laidOut(b.layout(&f, asIs)); !bytes.Equal(got, want) {
			t.Fatalf("round %d: the bytes differ", round)
		}
		b.forget()
		f.forget()
	}
}

func TestFeedKeepsAtMostSoManyBytes(t *testing.T) {
	f, _ := feedOf(10, 10, 10, 50, 10, 20)
	for _, step := range []struct {
		keep, bytes int
		first       uint64
	}{{60, 110, 0}, {59, 100, 1}, {30, 80, 3}, {29, 30, 4}, {5, 20, 5}, {0, 20, 5}} {
		if f.trim(step.keep); f.first != step.first || f.bytes != step.bytes {
			t.Errorf("%d beside the largest: %d bytes from %d on, want %d from %d on", step.keep, f.bytes, f.first, step.bytes, step.first)
		}
	}
	f.forget()
	if f.len() != 0 || f.bytes != 0 || f.end != 6 {
		t.Errorf("%d frames, %d bytes, end %d: want none and 6", f.len(), f.bytes, f.end)
	}
}
