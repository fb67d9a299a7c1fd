package bench

import (
	"strings"
	"sync"
)

// tailSize is how much of what a process wrote to its standard error is kept, in bytes.
const tailSize = 4096

// tail keeps the end of what is written to it. Safe from any goroutine.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - tailSize; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

// suffix is what an error about the process ends with.
func (t *tail) suffix() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := strings.TrimSpace(string(t.kept)); text != "" {
		return "; it wrote: " + text
	}
	return ""
}
