package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// clockless is a socket whose write deadlines come when the test says so.
type clockless struct {
	*net.TCPConn
	set chan struct{} // has an element for each deadline
}

func (c *clockless) SetWriteDeadline(time.Time) error {
	err := c.TCPConn.SetWriteDeadline(time.Time{})
	c.set <- struct{}{}
	return err
}

func (c *clockless) expire() { _ = c.TCPConn.SetWriteDeadline(time.Unix(1, 0)) }

// writing has a limitedConn write b to a reader with a small buffer.
func writing(t *testing.T, b []byte) (server *clockless, reader *net.TCPConn, ended <-chan error) {
	t.Helper()
	l := listen(t, 1)
	reader = dial(t, l).(*net.TCPConn)
	_ = reader.SetReadBuffer(16 << 10)
	_ = reader.SetReadDeadline(time.Now().Add(patience))
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	c := accepted.(*limitedConn)
	server = &clockless{c.Conn.(*net.TCPConn), make(chan struct{}, 100)}
	c.Conn, c.stall = server, time.Second
	done := make(chan error, 1)
	go func() {
		n, err := c.Write(b)
		if err == nil && n != len(b) {
			err = io.ErrShortWrite
		}
		done <- err
		close(done)
	}()
	return server, reader, done
}

// However many spans an answer takes, whoever takes some of it in each gets the whole.
func TestSteadyReadersGetTheWhole(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcdef"), 256<<10)
	server, reader, ended := writing(t, text)
	got := make([]byte, 0, len(text))
	part := make([]byte, 512<<10)
	for len(got) < len(text) {
		select {
		case <-server.set:
		case err := <-ended:
			if err != nil {
				t.Fatalf("cut off after %d bytes: %v", len(got), err)
			}
		}
		n, err := io.ReadFull(reader, part[:min(len(part), len(text)-len(got))])
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
		got = append(got, part[:n]...)
		server.expire()
	}
	if !bytes.Equal(got, text) {
		t.Error("what was read isn't what was written")
	}
}

func TestReadersWhoStopAreCutOff(t *testing.T) {
	server, _, ended := writing(t, make([]byte, 8<<20))
	for spans := 0; ; spans++ {
		select {
		case <-server.set:
			server.expire()
		case err := <-ended:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("ended by %v", err)
			}
			return
		case <-time.After(patience):
			t.Fatalf("still being written after %d spans", spans)
		}
	}
}

func TestProgress(t *testing.T) {
	begin := time.Unix(1000, 0)
	p := progress{span: 10 * time.Second}
	for _, step := range []struct {
		after, bytes, until int64
	}{
		{0, 100, 10},       // where it begins
		{4, 4000, 10},      // not enough for more time
		{9, 5100, 19},      // enough
		{9, 9_000_000, 19}, // how much more doesn't matter
		{10, 9_000_001, 19},
		{18, 9_005_001, 28},
	} {
		if got := p.deadline(step.bytes, begin.Add(time.Duration(step.after)*time.Second)); !got.Equal(begin.Add(time.Duration(step.until) * time.Second)) {
			t.Errorf("%+v: until %v", step, got.Sub(begin))
		}
	}
}
