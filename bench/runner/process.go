package runner

import (
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// tailSize is how much of what a process wrote to its standard error is kept, in bytes.
const tailSize = 4096

// Tail keeps the end of what is written to it. Safe from any goroutine.
type Tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *Tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - tailSize; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

// Suffix is what an error about the process ends with.
func (t *Tail) Suffix() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := strings.TrimSpace(string(t.kept)); text != "" {
		return "; it wrote: " + text
	}
	return ""
}

// HoldsClients is an error when one process, such as the server's, can't have that many clients. It lifts the soft limit
// of descriptors to the hard one.
func HoldsClients(clients int) error {
	const reserved = 64 // descriptors for everything but clients
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return fmt.Errorf("reading the descriptor limit: %w", err)
	}
	raised := unix.Rlimit{Cur: r.Max, Max: r.Max}
	if r.Cur < r.Max && unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
		r = raised
	}
	if uint64(clients)+reserved > r.Cur {
		return fmt.Errorf("%w: clients: %d need as many descriptors in one process, whose limit is %d (ulimit -Hn)",
			ErrOptions, clients, r.Cur)
	}
	return nil
}
