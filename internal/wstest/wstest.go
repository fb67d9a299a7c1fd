// Package wstest has the two WebSocket clients that tests connect with. Client is a library that
// isn't ours, for what any client does. Raw is a socket, for what no library does: bytes that
// break the protocol, a window of a few kilobytes, reading when the test says so. Tests alone
// import it.
package wstest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience bounds every wait of a test: longer than any machine takes for what has to happen,
// however much else it has to do. Only a test that fails reaches it.
const Patience = time.Minute

// Eventually waits for a condition that has no event to wait for.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if !ComesTrue(holds) {
		t.Fatalf("not within %v: %s", Patience, what)
	}
}

// ComesTrue looks at a condition again and again, until it holds or Patience is over.
func ComesTrue(holds func() bool) bool {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for late := time.After(Patience); !holds(); {
		select {
		case <-again.C:
		case <-late:
			return false
		}
	}
	return true
}

// Text is a log that may be read while it is being written. Safe from any goroutine.
type Text struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *Text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// givenPorts are those that FreePort has returned.
var givenPorts sync.Map

// FreePort is one that nobody listens at. The kernel gives it to no connection either, so that a server which is
// started there again finds it free.
func FreePort(t testing.TB) int {
	t.Helper()
	var low, high int
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		_, err = fmt.Sscan(string(text), &low, &high)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		port := 1024 + rand.IntN(1<<16-1024)
		if low <= port && port <= high {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		if _, given := givenPorts.LoadOrStore(port, true); !given {
			return port
		}
	}
	t.Fatalf("no port beside those of connections, %d to %d, is free", low, high)
	return 0
}

// FreeAddress is one of this host with such a port.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", FreePort(t))
}
