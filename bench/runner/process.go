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

// ReservedDescriptors are kept of a process' limit for everything but clients.
const ReservedDescriptors = 64

// RaiseDescriptors lifts the soft limit of descriptors to the hard one and returns it.
func RaiseDescriptors() (int, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("reading the descriptor limit: %w", err)
	}
	if r.Cur < r.Max {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: r.Max, Max: r.Max}); err == nil {
			r.Cur = r.Max
		}
	}
	const most = 1 << 30
	return int(min(r.Cur, most)), nil
}

// HoldsClients is an error when one process, such as the server's, can't have that many clients.
func HoldsClients(clients int) error {
	limit, err := RaiseDescriptors()
	if err == nil && clients+ReservedDescriptors > limit {
		err = fmt.Errorf("%w: clients: %d need as many descriptors in one process, whose limit is %d (ulimit -Hn)",
			ErrOptions, clients, limit)
	}
	return err
}
