package httpapi

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds waits for something that must happen.
const patience = time.Minute

func listen(t *testing.T, n int) *Listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := LimitListener(inner, n)
	t.Cleanup(func() { l.Close() })
	return l
}

// accepts runs Accept until the test ends.
func accepts(t *testing.T, l net.Listener) <-chan net.Conn {
	t.Helper()
	conns := make(chan net.Conn)
	t.Cleanup(func() {
		l.Close()
		for c := range conns {
			c.Close()
		}
	})
	go func() {
		defer close(conns)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	return conns
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func next(t *testing.T, conns <-chan net.Conn) net.Conn {
	t.Helper()
	select {
	case c := <-conns:
		return c
	case <-time.After(patience):
		t.Fatal("no connection was accepted")
		return nil
	}
}

// ended waits until the other side has closed c.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection isn't closed: %v", err)
	}
}

func TestTheLongestWaitingMakesRoom(t *testing.T) {
	l := listen(t, 2)
	conns := accepts(t, l)
	first := dial(t, l)
	next(t, conns)
	dial(t, l)
	second := next(t, conns)
	for range 5 {
		second.Close()
		second.Close() // a second close must not free a second place
		dial(t, l)
		second = next(t, conns)
	}
	if n := l.Evicted(); n != 0 {
		t.Errorf("%d had to go though there was room", n)
	}
	dial(t, l)
	next(t, conns)
	ended(t, first)
	if n := l.Evicted(); n != 1 {
		t.Errorf("%d had to go, want 1", n)
	}
}

// holding is the connection while a request on it has a place.
func holding(c net.Conn, admin bool) *limitedConn {
	held := c.(*limitedConn)
	held.hold(admin)
	return held
}

func TestNobodyGoesWhileServed(t *testing.T) {
	l := listen(t, 2)
	conns := accepts(t, l)
	dial(t, l)
	first := holding(next(t, conns), false)
	dial(t, l)
	second := holding(next(t, conns), false)
	dial(t, l)
	select {
	case <-conns:
		t.Fatal("a third connection was accepted while two were served")
	case <-time.After(5 * evictAfter):
	}
	second.letGo()
	third := next(t, conns)
	if _, err := second.Write([]byte("x")); err == nil {
		t.Error("the second one is still open")
	}
	holding(third, false)
	dial(t, l)
	first.Close()
	next(t, conns)
}

// Strangers who come all the time don't end the connection that an admin keeps for its next call.
func TestStrangersMakeRoomBeforeAdmins(t *testing.T) {
	l := listen(t, 2)
	conns := accepts(t, l)
	dial(t, l)
	admin := holding(next(t, conns), true)
	admin.letGo()
	stranger := dial(t, l)
	next(t, conns)
	for range 5 {
		newcomer := dial(t, l)
		next(t, conns)
		ended(t, stranger)
		stranger = newcomer
	}
	if _, err := admin.Write([]byte("x")); err != nil {
		t.Errorf("the admin's connection had to go: %v", err)
	}
}

func TestLimitListenerCloseEndsAWaitingAccept(t *testing.T) {
	l := listen(t, 1)
	dial(t, l)
	held, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer holding(held, false).Close()
	waiting := dial(t, l)
	done := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		done <- err
	}()
	l.Close()
	select {
	case err := <-done:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
	case <-time.After(patience):
		t.Fatal("Accept still waits for a place of a closed listener")
	}
	ended(t, waiting)
}

// troubled is a listener whose accept fails before it goes on.
type troubled struct {
	net.Listener
	errs []error // Accept's alone
}

func (l *troubled) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	return l.Listener.Accept()
}

// What accept(2) fails with ends neither the API nor the daemon, which ends with it.
func TestServingOutlivesAcceptsErrors(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	failing := &troubled{Listener: inner}
	for _, errno := range []syscall.Errno{syscall.ENOMEM, syscall.ENOBUFS, syscall.EPROTO, syscall.EPERM, syscall.ECONNABORTED} {
		failing.errs = append(failing.errs, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", errno)})
	}
	l := LimitListener(failing, 10)
	srv := NewServer("", http.NotFoundHandler(), ServerOptions{Logger: slog.New(slog.DiscardHandler)})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	answered := make(chan string, 1)
	go func() {
		defer close(answered)
		answered <- talk(t, l.Addr().String(), "GET / HTTP/1.0\r\n\r\n")
	}()
	select {
	case err := <-served:
		l.Close() // ends talk
		<-answered
		t.Fatalf("serving ended: %v", err)
	case answer := <-answered:
		if !strings.Contains(answer, "404") {
			t.Errorf("answered %q", answer)
		}
	}
	l.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("serving a closed listener ended with %v", err)
	}
}

func serve(t *testing.T, h http.Handler, o ServerOptions) net.Listener {
	t.Helper()
	l := listen(t, 10)
	serveOn(t, l, h, o)
	return l
}

func serveOn(t *testing.T, l net.Listener, h http.Handler, o ServerOptions) {
	t.Helper()
	srv := NewServer("", h, o)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() { srv.Close(); <-done })
}

func TestServerCutsASilentCaller(t *testing.T) {
	l := serve(t, http.NotFoundHandler(), ServerOptions{ReadHeaderTimeout: 50 * time.Millisecond})
	c := dial(t, l)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the connection wasn't closed: %v", err)
	}
}

func TestServerRefusesALongHeader(t *testing.T) {
	for _, tt := range []struct{ size, status int }{{14 << 10, 404}, {18 << 10, 431}} {
		l := serve(t, http.NotFoundHandler(), ServerOptions{})
		req, _ := http.NewRequest("GET", "http://"+l.Addr().String()+"/", nil)
		req.Header.Set("X", strings.Repeat("a", tt.size))
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("a header of %d bytes: got %d, want %d", tt.size, resp.StatusCode, tt.status)
		}
	}
}
