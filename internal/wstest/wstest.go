// Package wstest has the two WebSocket clients that tests connect with. Client is a library that
// isn't ours, for what any client does. Raw is a socket, for what no library does: bytes that
// break the protocol, a window of a few kilobytes, reading when the test says so. Tests alone
// import it.
package wstest

import (
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
