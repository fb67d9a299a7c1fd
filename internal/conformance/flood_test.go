package conformance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/wstest"
	"golang.org/x/sys/unix"
)

// flood sends and reads at the same time, and then leaves as others do.
func flood(t *testing.T, d *daemon, send string, want []frame) {
	t.Helper()
	c, err := connect(t, d.addr)
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
	const enough, flood = 4 << 20, 16 << 20 // bytes
	d := startDaemon(t, "-lag-bytes", "1MiB")
	for name, one := range map[string]string{"messages": data(bits(1000)), "pings": ping(filler(125))} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			c := sendWithoutReading(t, d, repeat(enough/len(one), one))
			got, err := c.answersUntilClose(1013)
			// Who hasn't read it 3 s after the server has sent it, while more was sent, doesn't find it any more.
			if err != nil && time.Since(began) < 2*time.Second {
				t.Errorf("after %d bytes of answers: %v, want Close 1013", got, err)
			}
			if got > enough/2 {
				t.Errorf("%d of %d bytes came back", got, enough)
			}
			before := residentMemory(t, d)
			sendWithoutReading(t, d, repeat(flood/len(one), one))
			if grown := residentMemory(t, d) - before; grown > flood*3/4 && !wstest.RaceEnabled { // which takes as much again, and more
				t.Errorf("the server grew by %d bytes", grown)
			}
		})
	}
}

// sendWithoutReading returns when the server has read all of it, or ended the connection.
func sendWithoutReading(t *testing.T, d *daemon, send string) *client {
	t.Helper()
	// wstest.SmallWindow would do for this, but not for reading the answers before the server has gone.
	window := func(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) }
	c, err := connect(t, d.addr, window)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	if err := c.upgrade(upgradeRequest(), ""); err != nil {
		t.Fatal(err)
	}
	if err := c.write([]string{send, ""}); err != nil {
		t.Fatal(err)
	}
	return c
}

// answersUntilClose reads frames until a Close with the code, and adds up their payloads.
func (c *client) answersUntilClose(code int) (got int, err error) {
	for {
		f, err := readFrame(c.R, false)
		if err != nil {
			return got, err
		}
		if f.op == opClose && f.code() != code {
			return got, fmt.Errorf("closed with %d", f.code())
		}
		if f.op == opClose {
			return got, nil
		}
		got += len(f.payload)
	}
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
