package proof

import (
	"bytes"
	"fmt"
	"sync"
)

// tail keeps the end of what a process says. Safe from any goroutine.
type tail struct {
	mu    sync.Mutex
	text  []byte
	alarm string
}

const tailBytes = 8 << 10

var alarms = []string{"panic", "DATA RACE", "fatal error"}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range alarms {
		if t.alarm == "" && bytes.Contains(p, []byte(a)) {
			t.alarm = a
		}
	}
	t.text = append(t.text, p...)
	if over := len(t.text) - tailBytes; over > 0 && t.alarm == "" {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.text) == 0 {
		return ""
	}
	return "; its log:\n" + string(t.text)
}

func (t *tail) has(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Contains(t.text, []byte(text))
}

func (t *tail) alarming() error {
	t.mu.Lock()
	alarm := t.alarm
	t.mu.Unlock()
	if alarm == "" {
		return nil
	}
	return fmt.Errorf("%w: it said %q%s", errUnorderly, alarm, t)
}
