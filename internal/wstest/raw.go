package wstest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"golang.org/x/sys/unix"
)

// Raw is a socket to a server. Owned by its test; one goroutine may read while another writes.
type Raw struct {
	net.Conn
	R *bufio.Reader // what was read from Conn and not looked at yet
	T testing.TB
}

// DialRaw opens a connection that sends nothing yet, and ends with the test. from is this end's
// address, "" for any; controls see the socket before it connects.
func DialRaw(t testing.TB, from, to string, controls ...func(fd int)) (*Raw, error) {
	var d net.Dialer // no Timeout: its timer stays in this process's heap, which some tests weigh; the kernel gives up too
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	d.Control = func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			for _, control := range controls {
				control(int(fd))
			}
		})
	}
	conn, err := d.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	return NewRaw(t, conn), conn.SetDeadline(time.Now().Add(2 * Patience))
}

// NewRaw is a Raw on a connection that somebody else has opened.
func NewRaw(t testing.TB, conn net.Conn) *Raw { return &Raw{conn, bufio.NewReader(conn), t} }

// SmallWindow is a control after which the peer can send a few kilobytes that nobody reads.
func SmallWindow(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 2048) }

// Request is a whole upgrade request (RFC 6455 4.1) for a target, with more header lines.
func Request(target string, lines ...string) string {
	return strings.Join(append([]string{
		"GET " + target + " HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
	}, lines...), "\r\n") + "\r\n\r\n"
}

// Frame is a client's whole frame, masked.
func Frame(op ws.OpCode, payload string) string {
	return string(ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewFrame(op, true, []byte(payload)))))
}

// Say writes bytes as they are.
func (r *Raw) Say(bytes string) {
	r.T.Helper()
	if _, err := io.WriteString(r.Conn, bytes); err != nil {
		r.T.Fatalf("writing %q: %v", brief(bytes), err)
	}
}

// Send sends a whole frame.
func (r *Raw) Send(op ws.OpCode, payload string) {
	r.T.Helper()
	r.Say(Frame(op, payload))
}

// Upgrade sends an upgrade request. An answer other than 101 is an error.
func (r *Raw) Upgrade(target string, lines ...string) error {
	if _, err := io.WriteString(r.Conn, Request(target, lines...)); err != nil {
		return err
	}
	answer, err := http.ReadResponse(r.R, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		r.Close()
		return fmt.Errorf("upgrade answered with %s", answer.Status)
	}
	return nil
}

// Upgraded reads the answer to an upgrade request, which has to be 101.
func (r *Raw) Upgraded() {
	r.T.Helper()
	if got := r.Status(); got != http.StatusSwitchingProtocols {
		r.T.Fatalf("upgrade answered with %d", got)
	}
}

// Status reads an HTTP answer, up to and with its body.
func (r *Raw) Status() int {
	r.T.Helper()
	answer, err := http.ReadResponse(r.R, nil)
	if err == nil && answer.StatusCode != http.StatusSwitchingProtocols {
		_, err = io.Copy(io.Discard, answer.Body)
	}
	if err != nil {
		r.T.Fatalf("reading an HTTP answer: %v", err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// Read reads from behind what was looked at.
func (r *Raw) Read(p []byte) (int, error) { return r.R.Read(p) }

// Text reads the next message, which is text, and answers pings before it.
func (r *Raw) Text() (string, error) {
	_ = r.SetReadDeadline(time.Now().Add(Patience))
	payload, err := wsutil.ReadServerText(r)
	return string(payload), err
}

// Next reads one frame.
func (r *Raw) Next() (ws.Frame, error) { return ws.ReadFrame(r) }

// Expect reads the next frame, which has to be this one.
func (r *Raw) Expect(op ws.OpCode, payload string) {
	r.T.Helper()
	f, err := r.Next()
	if err != nil {
		r.T.Fatalf("waiting for %q: %v", brief(payload), err)
	}
	if f.Header.OpCode != op || string(f.Payload) != payload {
		r.T.Fatalf("got opcode %v %q, want opcode %v %q", f.Header.OpCode, brief(string(f.Payload)), op, brief(payload))
	}
}

// ExpectClose reads the next frame, which has to be a Close with the code.
func (r *Raw) ExpectClose(code ws.StatusCode) {
	r.T.Helper()
	f, err := r.Next()
	if err != nil {
		r.T.Fatalf("waiting for Close %d: %v", code, err)
	}
	got, reason := ws.ParseCloseFrameData(f.Payload)
	if f.Header.OpCode != ws.OpClose || got != code {
		r.T.Fatalf("got opcode %v, %d %q; want Close %d", f.Header.OpCode, got, brief(reason), code)
	}
}

// ExpectEnd reads until the server ends the connection, and fails when anything comes before.
func (r *Raw) ExpectEnd() {
	r.T.Helper()
	if n, err := io.Copy(io.Discard, r.R); n > 0 || IsTimeout(err) {
		r.T.Fatalf("%d more bytes, then %v; want the end", n, err)
	}
}

// IsTimeout tells a deadline from a connection's end.
func IsTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

func brief(s string) string {
	if len(s) <= 80 {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", s[:80], len(s))
}
