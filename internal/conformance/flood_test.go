package conformance

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// flood sends and reads at the same time, and then leaves as others do.
func flood(t *testing.T, d *daemon, send string, want []frame) {
	t.Helper()
	c, err := connect(d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.upgrade(upgradeRequest(), ""); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- c.write([]string{send}) }()
	if err := c.expect(want, false); err != nil {
		c.Close()
		<-written
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if err := c.leave(false); err != nil {
		t.Fatal(err)
	}
}

// 5.4, 5.5.2: tens of thousands of messages and pings from one client all come back, in order.
func TestFloods(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "-lag-bytes", "16MiB")
	for name, count := range map[string]int{"messages": 40_000, "pings": 40_000, "both": 20_000, "fragments with pings": 5_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var send strings.Builder
			var want []frame
			for i := range count {
				payload := fmt.Sprintf("%d", i)
				if name == "messages" || name == "both" {
					send.WriteString(text(payload))
					want = append(want, gotText(payload))
				}
				if name == "pings" || name == "both" {
					send.WriteString(ping(payload))
					want = append(want, gotPong(payload))
				}
				if name == "fragments with pings" {
					send.WriteString(first(opText, payload) + ping("1") + more("") + ping("2") + last("."))
					want = append(want, gotPong("1"), gotPong("2"), gotText(payload+"."))
				}
			}
			flood(t, d, send.String(), want)
		})
	}
}

// A client that sends and doesn't read what comes back is let go with 1013, and what it has
// waiting is bounded by -lag-bytes, not by what it sends.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	const total = 32 << 20
	d := startDaemon(t)
	for name, one := range map[string]string{"messages": data(bits(1000)), "pings": ping(filler(125))} {
		t.Run(name, func(t *testing.T) {
			before := residentMemory(t, d)
			c := connectWithWindow(t, d.addr, 4096)
			defer c.close()
			if err := c.upgrade(upgradeRequest(), ""); err != nil {
				t.Fatal(err)
			}
			if err := c.write([]string{repeat(total/len(one), one)}); err != nil {
				t.Fatal(err)
			}
			if grown := residentMemory(t, d) - before; grown > total/2 {
				t.Errorf("the server grew by %d bytes", grown)
			}
			got := 0
			for {
				f, err := readFrame(c.r, false)
				if err != nil {
					t.Fatalf("after %d bytes of answers: %v, want Close 1013", got, err)
				}
				if f.op == opClose {
					if f.code() != 1013 {
						t.Errorf("closed with %d, want 1013", f.code())
					}
					break
				}
				got += len(f.payload)
			}
			if got > total/2 { // what the kernel's buffers hold, which aren't the server's
				t.Errorf("%d of %d bytes came back", got, total)
			}
		})
	}
}

// connectWithWindow is connect with a receive buffer that doesn't grow.
func connectWithWindow(t *testing.T, addr string, window int) *client {
	t.Helper()
	dialer := net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, window) })
	}}
	c, err := connectBy(&dialer, addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func residentMemory(t *testing.T, d *daemon) int {
	t.Helper()
	kib := 0
	for line := range strings.Lines(readFile(t, fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))) {
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &kib)
	}
	if kib == 0 {
		t.Fatal("no VmRSS")
	}
	return kib << 10
}
