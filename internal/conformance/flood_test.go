package conformance

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

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

// 5.5.1, 7.1.1: the server closes all of its clients just as they close. Each gets one Close,
// of either's code, and the end, soon; one that is in the middle of a frame gets it too.
func TestBothSidesCloseAtOnce(t *testing.T) {
	t.Parallel()
	const clients = 24
	d := startDaemon(t)
	var all []*client
	for i := range clients {
		c, err := connect(d.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if err := c.upgrade(upgradeRequest(), ""); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 { // half a frame: its other half follows the Close
			if err := c.write([]string{text("unfinished")[:8]}); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, c)
	}
	began := time.Now()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		rest := ""
		if i%3 == 0 {
			rest = text("unfinished")[8:]
		}
		if err := c.write([]string{rest + closing(1000, "")}); err != nil {
			t.Error(err)
		}
	}
	for i, c := range all {
		if err := c.leftByBoth(i%3 == 0); err != nil {
			t.Errorf("client %d: %v", i, err)
		}
		c.Close()
	}
	<-d.exited
	if took := time.Since(began); took > 4*time.Second { // -drain is 5 s
		t.Errorf("it took %v", took)
	}
}

// leftByBoth reads a Close of 1000 or 1001 and the end. A message may have come back before.
func (c *client) leftByBoth(message bool) error {
	f, err := readFrame(c.r, false)
	if err == nil && message && f == gotText("unfinished") {
		f, err = readFrame(c.r, false)
	}
	if err != nil {
		return err
	}
	if f.op != opClose || f.code() != 1000 && f.code() != 1001 {
		return fmt.Errorf("got %v", f)
	}
	if f, err := readFrame(c.r, false); err == nil {
		return fmt.Errorf("%v follows the Close", f)
	}
	return nil
}
