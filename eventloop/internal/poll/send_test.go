package poll

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/internal/wstest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sockets are a pair; what is sent to fd comes out of reader.
func sockets(t *testing.T, sendBuffer int) (fd int, reader *os.File) {
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

// readMost reads what has come, without waiting for more.
func readMost(t *testing.T, r *os.File, most int) []byte {
	t.Helper()
	p := make([]byte, most)
	must(t, r.SetReadDeadline(time.Now().Add(wstest.Patience)))
	n, err := r.Read(p)
	must(t, err)
	return p[:n]
}

// With a socket that takes little at a time, whatever pieces it takes, all arrives once.
func TestSendTakesWhatFits(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 7))
	fd, reader := sockets(t, 2048)
	want := make([]byte, 400_000)
	for i := range want {
		want[i] = byte(random.Uint32())
	}
	var got []byte
	full, short := 0, 0
	for left := want; len(left) > 0; {
		piece := left[:min(len(left), 1+random.IntN(8000))]
		var n int
		var ok bool
		if random.IntN(2) == 0 {
			n, ok = Send(int32(fd), piece)
		} else {
			cut := random.IntN(len(piece))
			n, ok = Sendv(int32(fd), []Piece{PieceOf(piece[:cut]), PieceOf(piece[cut:])})
		}
		switch {
		case !ok:
			t.Fatal("the connection has broken")
		case n == 0:
			full++
			got = append(got, readMost(t, reader, 1+random.IntN(3000))...)
		case n < len(piece):
			short++
		}
		left = left[n:]
	}
	must(t, unix.Shutdown(fd, unix.SHUT_WR))
	rest, err := io.ReadAll(reader)
	must(t, err)
	if got = append(got, rest...); !bytes.Equal(got, want) {
		t.Error("what was read isn't what was sent")
	}
	if full == 0 {
		t.Error("the socket never ran full: nothing was shown")
	}
	t.Logf("ran full %d times, took a part %d times", full, short)
}

// A peer that has gone is an error and no SIGPIPE.
func TestSendToAPeerThatHasGone(t *testing.T) {
	fd, reader := sockets(t, 0)
	reader.Close()
	if n, ok := Send(int32(fd), []byte("x")); n != 0 || ok {
		t.Errorf("send: %d, %v", n, ok)
	}
	if n, ok := Sendv(int32(fd), []Piece{PieceOf([]byte("x"))}); n != 0 || ok {
		t.Errorf("sendv: %d, %v", n, ok)
	}
}

// More pieces than one system call takes are sent as far as it does.
func TestSendvTakesAsManyAsItCan(t *testing.T) {
	fd, reader := sockets(t, 1<<20)
	all := bytes.Repeat([]byte("0123456789"), maxPieces+50)
	var iov []Piece
	for i := 0; i < len(all); i += 10 {
		iov = append(iov, PieceOf(all[i:i+10]))
	}
	n, ok := Sendv(int32(fd), iov)
	if !ok || n != 10*maxPieces {
		t.Fatalf("sent %d bytes (%v), want %d", n, ok, 10*maxPieces)
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(reader, got); err != nil || !bytes.Equal(got, all[:n]) {
		t.Errorf("other bytes came out (%v)", err)
	}
}
