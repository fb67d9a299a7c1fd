package runner

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// A machine that is too busy to answer for minutes mustn't cost the connection.
func TestControlConnectionsAreNotProbed(t *testing.T) {
	l, err := ListenControl(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := DialControl(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	for name, conn := range map[string]net.Conn{"the bench": c.conn, "the target": accepted} {
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		probed, errGet := 0, error(nil)
		if err := raw.Control(func(fd uintptr) {
			probed, errGet = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		}); err != nil || errGet != nil {
			t.Fatal(err, errGet)
		}
		if probed != 0 {
			t.Errorf("%s probes the other end", name)
		}
	}
}
